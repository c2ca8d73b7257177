//! Signs of headers.

use http::{HeaderMap, HeaderName};

use super::set::Signs;

/// What a header's value must be. ASCII letters match in either case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// Exactly this.
    Equals(String),
    /// Something with this in it.
    Contains(String),
}

/// A header looked at.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) name: HeaderName,
    pub(super) values: Vec<(Value, Signs)>,
}

/// The headers looked at, each once.
#[derive(Debug, Default)]
pub(super) struct Headers(Vec<Header>);

impl Headers {
    /// Has a header's value give a sign.
    pub(super) fn add(&mut self, name: HeaderName, value: Value, sign: Signs) {
        match self.0.iter_mut().find(|header| header.name == name) {
            Some(header) => header.values.push((value, sign)),
            None => self.0.push(Header {
                name,
                values: vec![(value, sign)],
            }),
        }
    }

    /// How many different headers are looked at.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn signs(&self, headers: &HeaderMap) -> Signs {
        let mut signs = Signs::NONE;
        for Header { name, values } in &self.0 {
            for line in headers.get_all(name) {
                for (value, sign) in values {
                    if value.is(line.as_bytes()) {
                        signs |= *sign;
                    }
                }
            }
        }
        signs
    }
}

impl Value {
    fn is(&self, line: &[u8]) -> bool {
        match self {
            Self::Equals(text) => line.eq_ignore_ascii_case(text.as_bytes()),
            Self::Contains(text) => line
                .windows(text.len())
                .any(|part| part.eq_ignore_ascii_case(text.as_bytes())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_in_any_line_of_its_header() {
        let mut looked_at = Headers::default();
        let name = HeaderName::from_static("sec-purpose");
        let contains = |text: &str| Value::Contains(text.to_owned());
        looked_at.add(name.clone(), contains("prefetch"), Signs::of(2));
        looked_at.add(name, Value::Equals("x".to_owned()), Signs::of(3));
        assert_eq!(looked_at.len(), 1);

        let mut headers = HeaderMap::new();
        assert_eq!(looked_at.signs(&headers), Signs::NONE);
        headers.append("sec-purpose", "x".parse().expect("a value"));
        headers.append("sec-purpose", "a;PREFETCH".parse().expect("a value"));
        assert_eq!(looked_at.signs(&headers), Signs::of(2) | Signs::of(3));
    }
}
