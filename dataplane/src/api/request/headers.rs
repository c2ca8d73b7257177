//! The fields of a rewrite in `Mailtrail-*` header fields, for a body that is
//! HTML as it is.
//!
//! Each header field becomes the field of the JSON body that it stands for, so
//! that both obey the same rules; faults are told by the header's name. Values
//! are UTF-8. `Mailtrail-Recipient`, `-From`, `-To` and `-Subject` are personal:
//! nothing here logs header fields, and what stands between should not either.

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use super::{Asked, asked};
use crate::api::fields::Fields;
use crate::api::problem::{FieldError, Problem};

const PREFIX: &str = "mailtrail-";

/// How a header's value becomes JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum As {
    Text,
    Flag,
    /// Repeated, each `name=value`.
    Pairs,
    /// Repeated.
    List,
}

/// Header field, what it stands for (`.` leads into an object), and how.
const HEADERS: [(&str, &str, As); 14] = [
    ("mailtrail-domain", "domain", As::Text),
    ("mailtrail-message-id", "message_id", As::Text),
    ("mailtrail-recipient", "recipient", As::Text),
    ("mailtrail-tag", "tags", As::Pairs),
    ("mailtrail-track-opens", "tracking.opens", As::Flag),
    ("mailtrail-track-clicks", "tracking.clicks", As::Flag),
    ("mailtrail-pixel", "tracking.pixel", As::Text),
    ("mailtrail-from", "from", As::Text),
    ("mailtrail-to", "to", As::Text),
    ("mailtrail-subject", "subject", As::Text),
    ("mailtrail-sent-at", "sent_at", As::Text),
    ("mailtrail-unsubscribe-url", "unsubscribe_urls", As::List),
    ("mailtrail-dry-run", "dry_run", As::Flag),
    ("mailtrail-test", "test", As::Flag),
];

/// Reads what the header fields ask for.
pub(in crate::api) fn from_headers(headers: &HeaderMap) -> Result<Asked, Problem> {
    let mut errors = Vec::new();
    let mut said = Map::new();
    for (header, field, kind) in HEADERS {
        let values = match values(headers, header) {
            Ok(values) => values,
            Err(rule) => {
                errors.push(error(header, rule));
                continue;
            }
        };
        if values.is_empty() {
            continue;
        }
        match value(kind, values) {
            Ok(value) => put(&mut said, field, value),
            Err(rule) => errors.push(error(header, rule)),
        }
    }
    for name in headers.keys().map(|name| name.as_str()) {
        if name.starts_with(PREFIX) && !HEADERS.iter().any(|(known, ..)| *known == name) {
            errors.push(error(name, "is not a known field"));
        }
    }
    let asked = asked(Fields::of(said)).map_err(|mut problem| {
        for error in &mut problem.errors {
            error.field = header_of(&error.field);
        }
        problem
    });
    match (asked, errors.is_empty()) {
        (Ok(asked), true) => Ok(asked),
        (Ok(_), false) => Err(Problem::invalid(errors)),
        (Err(mut problem), _) => {
            // A header that could not be read is not missing as well.
            problem
                .errors
                .retain(|told| !errors.iter().any(|known| known.field == told.field));
            problem.errors.extend(errors);
            Err(problem)
        }
    }
}

fn error(field: &str, rule: &str) -> FieldError {
    FieldError {
        field: field.to_owned(),
        rule: rule.to_owned(),
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Result<Vec<&'a str>, &'static str> {
    let values = headers.get_all(name).iter();
    values
        .map(|value| std::str::from_utf8(value.as_bytes()).map(str::trim))
        .collect::<Result<_, _>>()
        .map_err(|_| "must be UTF-8")
}

fn value(kind: As, values: Vec<&str>) -> Result<Value, &'static str> {
    match kind {
        As::List => Ok(values.into()),
        As::Pairs => {
            let mut map = Map::new();
            for value in values {
                let (name, value) = value.split_once('=').ok_or("must be <name>=<value>")?;
                map.insert(name.trim().to_owned(), value.trim().into());
            }
            Ok(map.into())
        }
        As::Text | As::Flag => match (kind, values.as_slice()) {
            (As::Text, [value]) => Ok((*value).into()),
            (_, ["true"]) => Ok(true.into()),
            (_, ["false"]) => Ok(false.into()),
            (_, [_]) => Err("must be true or false"),
            _ => Err("must stand once"),
        },
    }
}

fn put(said: &mut Map<String, Value>, field: &str, value: Value) {
    match field.split_once('.') {
        None => {
            said.insert(field.to_owned(), value);
        }
        Some((outer, inner)) => {
            let object = said
                .entry(outer)
                .or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(map) = object {
                map.insert(inner.to_owned(), value);
            }
        }
    }
}

/// The header field that a field of the JSON stands in; an index stays away.
fn header_of(field: &str) -> String {
    let name = field.split('[').next().unwrap_or(field);
    HEADERS
        .iter()
        .find(|(_, known, _)| *known == name)
        .map_or_else(|| field.to_owned(), |(header, ..)| (*header).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            let value = axum::http::HeaderValue::from_bytes(value.as_bytes()).expect("a value");
            headers.append(*name, value);
        }
        headers
    }

    #[test]
    fn header_fields_say_what_the_json_says() {
        let asked = from_headers(&headers(&[
            ("mailtrail-domain", "shop/links"),
            ("mailtrail-message-id", "m-1"),
            ("mailtrail-recipient", "zoë@example.org"),
            ("mailtrail-tag", "kind=news"),
            ("mailtrail-tag", "week = 47"),
            ("mailtrail-track-opens", "false"),
            ("mailtrail-unsubscribe-url", "https://e.com/u"),
            ("mailtrail-unsubscribe-url", "mailto:u@e.com"),
            ("mailtrail-test", "true"),
        ]))
        .expect("understood");
        assert_eq!(asked.message_id.as_str(), "m-1");
        assert_eq!(
            asked.recipient.as_ref().map(|r| r.as_str()),
            Some("zoë@example.org")
        );
        assert_eq!(asked.tags["week"], "47");
        assert_eq!(asked.tracking.opens, Some(false));
        assert_eq!((asked.unsubscribe_urls.len(), asked.test), (1, true));
    }

    #[test]
    fn faults_are_told_by_the_headers_name() {
        let problem = from_headers(&headers(&[
            ("mailtrail-domain", "shop/links"),
            ("mailtrail-domain", "shop/other"),
            ("mailtrail-tag", "news"),
            ("mailtrail-track-opens", "yes"),
            ("mailtrail-pixel", "left"),
            ("mailtrail-recipent", "ada@example.org"),
            ("mailtrail-unsubscribe-url", "ftp://e.com"),
        ]))
        .expect_err("faults");
        let mut told: Vec<_> = problem.errors.iter().map(|e| e.field.as_str()).collect();
        told.sort_unstable();
        assert_eq!(
            told,
            [
                "mailtrail-domain",
                "mailtrail-message-id",
                "mailtrail-pixel",
                "mailtrail-recipent",
                "mailtrail-tag",
                "mailtrail-track-opens",
                "mailtrail-unsubscribe-url",
            ]
        );
    }
}
