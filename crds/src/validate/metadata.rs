//! What the API server asks of `metadata`, as far as a file can get it wrong.

use std::sync::OnceLock;

use mailtrail_core::id::Realm;
use serde_json::{Value, json};

use super::{FaultKind, Faults, walk};

/// A name that is right, to ask about the other half of a realm.
const RIGHT: &str = "x";

/// Checks names, labels and unknown fields.
pub(super) fn check(metadata: Option<&mut Value>, faults: &mut Faults) {
    let Some(metadata) = metadata else {
        faults.push("metadata.name", FaultKind::Required, "must be given");
        return;
    };
    walk::check_at(schema(), metadata, "metadata", faults);
    let part = |key: &str| metadata.get(key).and_then(Value::as_str);
    if let Some(name) = part("name")
        && !is_subdomain(name)
    {
        faults.push(
            "metadata.name",
            FaultKind::Invalid,
            "must be lower-case letters, digits, inner hyphens and dots (a DNS subdomain, RFC 1123)",
        );
    }
    if let Some(namespace) = part("namespace")
        && Realm::new(namespace, RIGHT).is_err()
    {
        faults.push(
            "metadata.namespace",
            FaultKind::Invalid,
            "must be lower-case letters, digits and inner hyphens (a DNS label, RFC 1123)",
        );
    }
}

/// The API server's own rule for names, which does not bound labels; ours, that
/// the whole is at most 63 characters, is among the CEL rules.
fn is_subdomain(name: &str) -> bool {
    !name.is_empty()
        && name.split('.').all(|label| {
            let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            !label.is_empty()
                && label.bytes().all(inner)
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

/// `ObjectMeta`, read strictly. What the API server fills in may stand in a
/// file, too: it does when the file was made by `kubectl get -o yaml`.
fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let text = json!({"type": "string"});
        let texts = json!({"type": "object", "additionalProperties": text});
        let anything = json!({"x-kubernetes-preserve-unknown-fields": true});
        json!({
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": {"type": "string", "maxLength": 253},
                "namespace": {"type": "string", "maxLength": 63},
                "labels": texts,
                "annotations": texts,
                "finalizers": {"type": "array", "items": text},
                "generateName": text,
                "generation": {"type": "integer"},
                "uid": text,
                "resourceVersion": text,
                "creationTimestamp": text,
                "deletionTimestamp": text,
                "deletionGracePeriodSeconds": {"type": "integer"},
                "selfLink": text,
                "managedFields": anything,
                "ownerReferences": anything,
            },
        })
    })
}
