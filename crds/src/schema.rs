//! Schemas of the fields that have a bound or a rule. Every string and list has
//! a maximum, which is what the API server estimates the cost of a rule from,
//! and every list says how it merges.

use kube::core::Rule;
use mailtrail_core::id::HOST_MAX_BYTES;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

use crate::rules;
use crate::shard::{SHARD_ENTRIES_MAX, SHARDS_MAX};

/// Most links tracked in one mail.
pub(crate) const MAX_LINKS: i32 = 10_000;
/// Longest class name, in characters: a DNS label.
const CLASS_MAX_CHARS: usize = 63;
/// Most aliases of a host.
const ALIASES_MAX: usize = 8;
/// Most patterns of hosts that are never tracked.
const NEVER_TRACK_HOSTS_MAX: usize = 32;
/// Longest such pattern: a host, with `*.` before it.
const PATTERN_MAX_CHARS: usize = HOST_MAX_BYTES + 2;
/// Longest fallback URL, in characters.
const FALLBACK_MAX_CHARS: usize = 256;
/// Longest retention, in characters: `87600h`.
const RETENTION_MAX_CHARS: usize = 6;
/// Most apps of one platform.
const APPS_MAX: usize = 4;
/// Longest Apple app id: a team id of 10, a dot, a bundle id of 155.
const APPLE_MAX_CHARS: usize = 166;
/// Longest Android package, in characters.
const PACKAGE_MAX_CHARS: usize = 150;
/// Most certificates of one app.
const FINGERPRINTS_MAX: usize = 4;
/// A SHA-256 fingerprint, in characters: 32 pairs and 31 colons.
const FINGERPRINT_CHARS: usize = 95;
/// Longest realm, in characters: a namespace, a slash, a name.
const REALM_MAX_CHARS: usize = 63 + 1 + 253;
/// Longest UID, in characters; those of today have 36.
const UID_MAX_CHARS: usize = 64;
/// Most conditions in a status.
const CONDITIONS_MAX: usize = 16;

// === Spec ===

pub(crate) fn class_name(_: &mut SchemaGenerator) -> Schema {
    text(1, CLASS_MAX_CHARS, &rules::class_name())
}

pub(crate) fn host(_: &mut SchemaGenerator) -> Schema {
    // `a.b` is the shortest host of two labels.
    text(3, HOST_MAX_BYTES, &rules::host("host"))
}

pub(crate) fn aliases(_: &mut SchemaGenerator) -> Schema {
    set(
        ALIASES_MAX,
        text(3, HOST_MAX_BYTES, &rules::host("each of aliases")),
    )
}

pub(crate) fn never_track_hosts(_: &mut SchemaGenerator) -> Schema {
    set(
        NEVER_TRACK_HOSTS_MAX,
        text(3, PATTERN_MAX_CHARS, &rules::never_track_host()),
    )
}

pub(crate) fn max_links(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": MAX_LINKS })
}

pub(crate) fn retention(_: &mut SchemaGenerator) -> Schema {
    text(2, RETENTION_MAX_CHARS, &rules::retention())
}

pub(crate) fn fallback(_: &mut SchemaGenerator) -> Schema {
    text(1, FALLBACK_MAX_CHARS, &rules::fallback())
}

/// A choice that may be left out, which an `Option` would call nullable.
pub(crate) fn recorded(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "string", "enum": ["Identified", "LastDate", "Anonymous"]})
}

pub(crate) fn apple_apps(_: &mut SchemaGenerator) -> Schema {
    set(APPS_MAX, text(1, APPLE_MAX_CHARS, &rules::apple_app()))
}

pub(crate) fn android_apps(generator: &mut SchemaGenerator) -> Schema {
    let item = generator.subschema_for::<crate::domain::AndroidApp>();
    json_schema!({
        "type": "array",
        "maxItems": APPS_MAX,
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["packageName"],
    })
}

pub(crate) fn android_package(_: &mut SchemaGenerator) -> Schema {
    text(3, PACKAGE_MAX_CHARS, &rules::android_package())
}

pub(crate) fn fingerprints(_: &mut SchemaGenerator) -> Schema {
    let item = text(FINGERPRINT_CHARS, FINGERPRINT_CHARS, &rules::fingerprint());
    let mut list = set(FINGERPRINTS_MAX, item);
    list.insert("minItems".to_owned(), json!(1));
    list
}

// === Claims and shards ===

pub(crate) fn realm(_: &mut SchemaGenerator) -> Schema {
    text(3, REALM_MAX_CHARS, &[])
}

pub(crate) fn uid(_: &mut SchemaGenerator) -> Schema {
    text(1, UID_MAX_CHARS, &[])
}

pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

pub(crate) fn shard_version(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1 })
}

pub(crate) fn shard_index(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 0, "maximum": SHARDS_MAX - 1 })
}

pub(crate) fn shard_count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": SHARDS_MAX })
}

/// Entries are versioned by themselves: the API server keeps what it does not
/// know of them, so that an older definition drops nothing of a newer entry.
pub(crate) fn shard_entries(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": SHARD_ENTRIES_MAX,
        "x-kubernetes-list-type": "atomic",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

// === Status ===

pub(crate) fn observed_generation(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}

/// As Kubernetes defines a condition, with its bounds, which its Rust type does
/// not carry.
pub(crate) fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": CONDITIONS_MAX,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "description": "One aspect of how it stands.",
            "required": ["lastTransitionTime", "message", "reason", "status", "type"],
            "properties": {
                "lastTransitionTime": {
                    "type": "string", "format": "date-time",
                    "description": "When the status last changed.",
                },
                "message": {
                    "type": "string", "maxLength": 32768,
                    "description": "What is the case, in words; may be empty.",
                },
                "observedGeneration": {
                    "type": "integer", "format": "int64", "minimum": 0,
                    "description": "The generation of the spec that this was found for.",
                },
                "reason": {
                    "type": "string", "minLength": 1, "maxLength": 1024,
                    "description": "Why, as one CamelCase word.",
                },
                "status": {
                    "type": "string", "enum": ["True", "False", "Unknown"],
                    "description": "Whether it is the case: True, False or Unknown.",
                },
                "type": {
                    "type": "string", "minLength": 1, "maxLength": 316,
                    "description": "The aspect.",
                },
            },
        },
    })
}

// === Parts ===

pub(crate) fn text(min_chars: usize, max_chars: usize, rules: &[Rule]) -> Schema {
    let mut schema = json_schema!({
        "type": "string",
        "minLength": min_chars,
        "maxLength": max_chars,
    });
    if !rules.is_empty() {
        schema.insert("x-kubernetes-validations".to_owned(), as_json(rules));
    }
    schema
}

pub(crate) fn set(max_items: usize, item: Schema) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": max_items,
        "items": item,
        "x-kubernetes-list-type": "set",
    })
}

fn as_json(rules: &[Rule]) -> Value {
    serde_json::to_value(rules).expect("a rule is made of strings")
}
