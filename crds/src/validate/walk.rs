//! Structural schema validation: the part of OpenAPI v3 that our definitions
//! use, and no more. A test fails when a definition uses a keyword that is not
//! read here.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::{FaultKind, Faults};

/// Keywords that are read here, or that say nothing about which values are
/// right (the CEL rules are asked elsewhere).
#[cfg(test)]
pub(super) const KEYWORDS: [&str; 18] = [
    "type",
    "properties",
    "required",
    "items",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "default",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
    "description",
    "title",
    "format",
];

/// Checks a whole value; see [`check_at`].
pub(super) fn check(schema: &Value, value: &mut Value, faults: &mut Faults) {
    check_at(schema, value, "", faults);
}

/// Checks a value that stands at `path`; drops nulls and fills in defaults on
/// the way, as the API server does when it decodes.
pub(super) fn check_at(schema: &Value, value: &mut Value, path: &str, faults: &mut Faults) {
    Walk {
        path: path.to_owned(),
        faults,
    }
    .node(schema, value);
}

struct Walk<'a> {
    path: String,
    faults: &'a mut Faults,
}

impl Walk<'_> {
    // The depth is that of the schema, which is ours: what a value has below it
    // is not entered.
    fn node(&mut self, schema: &Value, value: &mut Value) {
        let Some(expected) = schema.get("type").and_then(Value::as_str) else {
            return; // takes anything
        };
        match (expected, &mut *value) {
            ("object", Value::Object(fields)) => self.object(schema, fields),
            ("array", Value::Array(items)) => self.list(schema, items),
            ("string", Value::String(text)) => self.text(schema, text),
            ("integer", Value::Number(number)) if number.is_i64() || number.is_u64() => {
                self.number(schema, number.as_f64());
            }
            ("boolean", Value::Bool(_)) => {}
            _ => {
                let article = if expected.starts_with(['a', 'e', 'i', 'o', 'u']) {
                    "an"
                } else {
                    "a"
                };
                let is = type_of(value);
                let hint = if expected == "string" && !value.is_object() && !value.is_array() {
                    "; put quotes around it"
                } else {
                    ""
                };
                let rule = format!("must be {article} {expected}, not {is}{hint}");
                self.fault(FaultKind::Type, &rule);
            }
        }
        self.word(schema, value);
    }

    fn object(&mut self, schema: &Value, fields: &mut Map<String, Value>) {
        let none = Map::new();
        let known = schema
            .get("properties")
            .and_then(Value::as_object)
            .unwrap_or(&none);
        if let Some(of_each) = schema.get("additionalProperties") {
            for (key, value) in fields.iter_mut() {
                self.below(key, |walk| walk.node(of_each, value));
            }
            return;
        }
        fields.retain(|key, value| {
            if !known.contains_key(key) {
                let hint = known.keys().find(|name| name.eq_ignore_ascii_case(key));
                let rule = hint.map_or_else(
                    || "is not a field".to_owned(),
                    |name| format!("is not a field; {name} is"),
                );
                self.below(key, |walk| walk.fault(FaultKind::Unknown, &rule));
                return false;
            }
            !value.is_null()
        });
        for (key, schema) in known {
            if let Some(default) = schema.get("default") {
                fields
                    .entry(key.as_str())
                    .or_insert_with(|| default.clone());
            }
            if let Some(value) = fields.get_mut(key) {
                self.below(key, |walk| walk.node(schema, value));
            }
        }
        for key in texts(schema, "required") {
            if !fields.contains_key(key) {
                self.below(key, |walk| walk.fault(FaultKind::Required, "must be given"));
            }
        }
    }

    fn list(&mut self, schema: &Value, items: &mut [Value]) {
        let many = |count| if count == 1 { "item" } else { "items" };
        if let Some(max) = bound(schema, "maxItems")
            && items.len() > max
        {
            let rule = format!("must have at most {max} {}", many(max));
            return self.fault(FaultKind::TooMany, &rule);
        }
        if let Some(min) = bound(schema, "minItems")
            && items.len() < min
        {
            let rule = format!("must have at least {min} {}", many(min));
            self.fault(FaultKind::Invalid, &rule);
        }
        if let Some(of_each) = schema.get("items") {
            for (at, item) in items.iter_mut().enumerate() {
                self.at(at, |walk| walk.node(of_each, item));
            }
        }
        self.duplicates(schema, items);
    }

    /// Items of a set differ; those of a map differ in their keys.
    fn duplicates(&mut self, schema: &Value, items: &[Value]) {
        let keys: Vec<&str> = texts(schema, "x-kubernetes-list-map-keys").collect();
        let same = match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => |a: &Value, b: &Value, _: &[&str]| a == b,
            Some("map") => {
                |a: &Value, b: &Value, keys: &[&str]| keys.iter().all(|k| a.get(k) == b.get(k))
            }
            _ => return,
        };
        // Lists have a few dozen items at most: their maximum has been checked.
        for (at, item) in items.iter().enumerate() {
            if items[..at].iter().any(|before| same(before, item, &keys)) {
                self.at(at, |walk| {
                    walk.fault(FaultKind::Duplicate, "must not be there twice")
                });
            }
        }
    }

    fn text(&mut self, schema: &Value, text: &str) {
        let chars = text.chars().count();
        if let Some(max) = bound(schema, "maxLength")
            && chars > max
        {
            let rule = format!("must be at most {max} characters long");
            self.fault(FaultKind::TooLong, &rule);
        }
        if let Some(min) = bound(schema, "minLength")
            && chars < min
        {
            let rule = format!("must be at least {min} characters long");
            self.fault(FaultKind::Invalid, &rule);
        }
    }

    fn number(&mut self, schema: &Value, number: Option<f64>) {
        let limit = |key| schema.get(key).and_then(Value::as_f64);
        let Some(number) = number else { return };
        if limit("minimum").is_some_and(|min| number < min) {
            let rule = format!("must be at least {}", limit("minimum").unwrap_or_default());
            self.fault(FaultKind::Invalid, &rule);
        }
        if limit("maximum").is_some_and(|max| number > max) {
            let rule = format!("must be at most {}", limit("maximum").unwrap_or_default());
            self.fault(FaultKind::Invalid, &rule);
        }
    }

    fn word(&mut self, schema: &Value, value: &Value) {
        let Some(words) = schema.get("enum").and_then(Value::as_array) else {
            return;
        };
        if !words.contains(value) {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            let rule = format!("must be one of {}", words.join(", "));
            self.fault(FaultKind::NotSupported, &rule);
        }
    }

    fn below(&mut self, key: &str, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(key);
        then(self);
        self.path.truncate(length);
    }

    fn at(&mut self, index: usize, then: impl FnOnce(&mut Self)) {
        let length = self.path.len();
        // Writing to a String does not fail.
        let _ = write!(self.path, "[{index}]");
        then(self);
        self.path.truncate(length);
    }

    fn fault(&mut self, kind: FaultKind, rule: &str) {
        self.faults.push(&self.path, kind, rule);
    }
}

fn bound(schema: &Value, key: &str) -> Option<usize> {
    schema
        .get(key)
        .and_then(Value::as_u64)
        .and_then(|bound| usize::try_from(bound).ok())
}

fn texts<'a>(schema: &'a Value, key: &str) -> impl Iterator<Item = &'a str> {
    let list = schema.get(key).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(Value::as_str)
}

fn type_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing (null)",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}
