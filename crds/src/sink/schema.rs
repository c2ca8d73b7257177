//! Schemas of a sink's fields that have a bound or a rule; as
//! [`crate::schema`]'s.

use mailtrail_core::sink::{BATCH_MAX_EVENTS, URL_MAX_BYTES};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use super::rules;
use crate::schema::{set, text};

/// Most Secrets of a sink: one, and its successors while rotating.
const SECRETS_MAX: usize = 4;
/// Longest name of a Secret, in characters (a DNS subdomain).
const SECRET_NAME_MAX_CHARS: usize = 253;
/// Most tracking domains that a sink names.
const DOMAINS_MAX: usize = 16;
/// Shortest URL, in characters: `http://a`.
const URL_MIN_CHARS: usize = 8;
/// Longest delay, in characters: `300s`.
const DELAY_MAX_CHARS: usize = 4;

pub(crate) fn url(_: &mut SchemaGenerator) -> Schema {
    text(URL_MIN_CHARS, URL_MAX_BYTES, &rules::url())
}

pub(crate) fn secret_refs(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<super::SecretRef>();
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": SECRETS_MAX,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    })
}

pub(crate) fn secret_name(_: &mut SchemaGenerator) -> Schema {
    text(1, SECRET_NAME_MAX_CHARS, &rules::secret_name())
}

pub(crate) fn domains(_: &mut SchemaGenerator) -> Schema {
    set(
        DOMAINS_MAX,
        text(1, crate::rules::NAME_MAX_CHARS, &rules::domain_name()),
    )
}

pub(crate) fn types(_: &mut SchemaGenerator) -> Schema {
    words(&["Opened", "Clicked"])
}

pub(crate) fn verdicts(_: &mut SchemaGenerator) -> Schema {
    words(&["Human", "Proxy", "Prefetch", "Scanner", "Unknown"])
}

pub(crate) fn max_events(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": BATCH_MAX_EVENTS })
}

pub(crate) fn max_delay(_: &mut SchemaGenerator) -> Schema {
    text(2, DELAY_MAX_CHARS, &rules::max_delay())
}

/// A list of some of these words, one at least.
fn words(words: &[&str]) -> Schema {
    let mut list = set(
        words.len(),
        json_schema!({ "type": "string", "enum": words }),
    );
    list.insert("minItems".to_owned(), json!(1));
    list
}
