//! Takes the fields of a JSON object one by one and collects every fault, so
//! that a caller learns all of them at once. Values are never repeated.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::problem::{Code, FieldError, Problem};

/// Most faults that are listed.
const ERRORS_MAX: usize = 50;
/// Longest name of an unknown field that is repeated, in bytes.
const NAME_MAX_BYTES: usize = 64;

/// The fields of an object that were not taken yet.
pub(super) struct Fields {
    map: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// A JSON object in which no field stands twice: readers differ in which of
/// the two counts.
struct Object {
    map: Map<String, Value>,
    twice: Vec<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Object, A::Error> {
                let mut object = Object {
                    map: Map::new(),
                    twice: Vec::new(),
                };
                while let Some((name, value)) = from.next_entry::<String, Value>()? {
                    if object.map.insert(name.clone(), value).is_some() {
                        object.twice.push(name);
                    }
                }
                Ok(object)
            }
        }
        from.deserialize_map(Fields)
    }
}

impl Fields {
    /// Reads an object.
    pub(super) fn parse(body: &[u8]) -> Result<Self, Problem> {
        let object: Object = serde_json::from_slice(body).map_err(|error| {
            let what = match error.classify() {
                serde_json::error::Category::Data => "is no JSON object",
                serde_json::error::Category::Eof => "ends too early",
                _ => "is not valid JSON",
            };
            Problem::new(Code::Malformed).detail(format!(
                "the body {what}: line {}, column {}",
                error.line(),
                error.column()
            ))
        })?;
        let mut fields = Self::of(object.map);
        for name in object.twice {
            fields.error(shown(&name), "must stand once");
        }
        Ok(fields)
    }

    /// Takes an object that was read already.
    pub(super) fn of(map: Map<String, Value>) -> Self {
        Self {
            map,
            errors: Vec::new(),
        }
    }

    /// Notes a fault.
    pub(super) fn error(&mut self, field: impl Into<String>, rule: impl Into<String>) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(FieldError {
                field: field.into(),
                rule: rule.into(),
            });
        }
    }

    /// Whether a field is there and not null.
    pub(super) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// Takes a field; null is as good as absent.
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// Takes a text of any length.
    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        match self.take(name)? {
            Value::String(text) => Some(text),
            _ => {
                self.error(name, "must be a string");
                None
            }
        }
    }

    /// Takes a text of a line: at most so many bytes, no control characters.
    pub(super) fn line(&mut self, name: &str, max_bytes: usize) -> Option<String> {
        let text = self.text(name)?;
        if let Some(rule) = line_fault(&text, max_bytes) {
            self.error(name, rule);
            return None;
        }
        Some(text)
    }

    /// Takes a text that `parse` understands.
    pub(super) fn parsed<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let text = self.text(name)?;
        match parse(&text) {
            Ok(value) => Some(value),
            Err(rule) => {
                self.error(name, rule);
                None
            }
        }
    }

    /// Takes true or false.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        match self.take(name)? {
            Value::Bool(on) => Some(on),
            _ => {
                self.error(name, "must be true or false");
                None
            }
        }
    }

    /// Takes an object.
    pub(super) fn object(&mut self, name: &str) -> Option<Map<String, Value>> {
        match self.take(name)? {
            Value::Object(map) => Some(map),
            _ => {
                self.error(name, "must be an object");
                None
            }
        }
    }

    /// Takes a list of at most so many.
    pub(super) fn list(&mut self, name: &str, max: usize) -> Vec<Value> {
        match self.take(name) {
            None => Vec::new(),
            Some(Value::Array(items)) if items.len() <= max => items,
            Some(Value::Array(_)) => {
                self.error(name, format!("must have at most {max} entries"));
                Vec::new()
            }
            Some(_) => {
                self.error(name, "must be a list");
                Vec::new()
            }
        }
    }

    /// Takes over the faults of an object within this one.
    pub(super) fn adopt(&mut self, name: &str, inner: Self) {
        for error in inner.into_errors() {
            self.error(format!("{name}.{}", error.field), error.rule);
        }
    }

    /// Notes a field that has to be there, if it is missing and nothing else
    /// is known to be wrong with it.
    pub(super) fn require<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() && !self.errors.iter().any(|error| error.field == name) {
            self.error(name, "is required");
        }
        value
    }

    /// Ends: what was not taken is unknown.
    pub(super) fn finish(self) -> Result<(), Problem> {
        match self.into_errors() {
            errors if errors.is_empty() => Ok(()),
            errors => Err(Problem::invalid(errors)),
        }
    }

    fn into_errors(mut self) -> Vec<FieldError> {
        for name in std::mem::take(&mut self.map)
            .into_iter()
            .map(|(name, _)| name)
        {
            self.error(shown(&name), "is not a known field");
        }
        self.errors
    }
}

/// What is wrong with a text that has to be a line.
pub(super) fn line_fault(text: &str, max_bytes: usize) -> Option<String> {
    if text.len() > max_bytes {
        Some(format!("must be at most {max_bytes} bytes long"))
    } else if text.chars().any(char::is_control) {
        Some("must not hold control characters".to_owned())
    } else {
        None
    }
}

/// The name of an unknown field, where it can be one: a value that went astray
/// may be personal.
pub(super) fn shown(name: &str) -> String {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    if !name.is_empty() && name.len() <= NAME_MAX_BYTES && name.bytes().all(is_word) {
        name.to_owned()
    } else {
        "(a name that is not repeated here)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_json_is_named_by_line_and_column() {
        let check = |body: &str, detail: &str| {
            let problem = Fields::parse(body.as_bytes()).err().expect("refused");
            assert_eq!(problem.status, 400);
            assert_eq!(problem.detail.as_deref(), Some(detail));
        };
        check(
            "{\n \"a\": x}",
            "the body is not valid JSON: line 2, column 7",
        );
        check("{\"a\":", "the body ends too early: line 1, column 5");
        check("[]", "the body is no JSON object: line 1, column 0");
        check("", "the body ends too early: line 1, column 0");
    }

    #[test]
    fn all_faults_are_told_at_once_and_no_value_is_repeated() {
        let mut fields =
            Fields::parse(br#"{"a":1,"a":2,"b":"x","c":3,"ada@example.org":1,"d":[1,2]}"#)
                .unwrap_or_else(|_| panic!("an object"));
        assert_eq!(fields.flag("b"), None);
        assert_eq!(fields.text("c"), None);
        assert!(fields.list("d", 1).is_empty());
        let e = fields.text("e");
        fields.require("e", e);
        let problem = fields.finish().expect_err("faults");
        let told: Vec<_> = problem
            .errors
            .iter()
            .map(|e| (e.field.as_str(), e.rule.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                ("a", "must stand once"),
                ("b", "must be true or false"),
                ("c", "must be a string"),
                ("d", "must have at most 1 entries"),
                ("e", "is required"),
                ("a", "is not a known field"),
                ("(a name that is not repeated here)", "is not a known field"),
            ]
        );
    }
}
