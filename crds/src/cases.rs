//! The table of objects that must be taken and objects that must be refused,
//! with the field and the rule of each refusal. Whoever validates objects is
//! asked about all of it: the in-process check here, the API server where there
//! is one.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::domain::TrackingDomain;
use crate::sink::EventSink;
use crate::validate::{Checked, object};

const DOMAINS: &str = include_str!("../cases/trackingdomains.yaml");
const SINKS: &str = include_str!("../cases/eventsinks.yaml");

/// One object, and what is to become of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows, as words.
    pub name: String,
    /// The object, whole.
    pub object: Value,
    /// Every refusal expected of it; none means that it is taken.
    pub refused: Vec<Refusal>,
}

/// A refusal that is expected.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Path of the field.
    pub field: String,
    /// Kind of the fault, as [`crate::validate::FaultKind::reason`] has it.
    /// `UnknownField` is refused by an API server only if it is asked to be
    /// strict (`fieldValidation=Strict`), and without naming causes.
    pub reason: String,
    /// A part of the rule's message that tells it from others. Messages of
    /// CEL rules are the same everywhere; those of types and bounds are each
    /// validator's own, and theirs is left out.
    #[serde(default)]
    pub rule: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    name: String,
    #[serde(default)]
    spec: Option<Value>,
    /// Merged over the object at its top; null takes a key away.
    #[serde(default)]
    over: Map<String, Value>,
    #[serde(default)]
    refused: Vec<Refusal>,
}

/// All cases of `TrackingDomain`, those to be taken and those to be refused.
pub fn tracking_domains() -> Vec<Case> {
    cases::<TrackingDomain>(DOMAINS)
}

/// All cases of `EventSink`.
pub fn event_sinks() -> Vec<Case> {
    cases::<EventSink>(SINKS)
}

fn cases<K: Checked>(table: &str) -> Vec<Case> {
    let rows: Vec<Row> = serde_saphyr::from_str(table).expect("a table is part of the program");
    rows.into_iter().enumerate().map(case::<K>).collect()
}

fn case<K: Checked>((at, row): (usize, Row)) -> Case {
    let spec = row.spec.unwrap_or_else(|| json!({}));
    let mut object = object::<K>("cases", &format!("case-{at}"), &spec);
    if let Value::Object(fields) = &mut object {
        for (key, value) in row.over {
            if value.is_null() {
                fields.remove(&key);
            } else {
                fields.insert(key, value);
            }
        }
    }
    Case {
        name: row.name,
        object,
        refused: row.refused,
    }
}
