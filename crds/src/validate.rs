//! Refuses in-process what the API server refuses: the same schema, read from
//! the generated definition, and the same CEL rules, through `kube`'s `cel`.
//!
//! The steps are the API server's: explicit nulls dropped and defaults filled
//! in, then types and bounds, then, where none of those stands in the way, the
//! rules. Two things are stricter on purpose and agree with `kubectl apply`,
//! whose field validation is strict: an unknown field is a fault, not dropped
//! silently; and all faults are told at once.
//!
//! Not done here: what needs the state of a cluster (a host that another object
//! has, the previous version of this one). `status` is passed over, as the API
//! server does when an object is applied.

mod cel;
mod metadata;
mod walk;

use std::fmt;
use std::marker::PhantomData;

use kube::{CustomResourceExt, Resource};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use cel::Rules;

use crate::domain::TrackingDomain;
use crate::sink::EventSink;
use crate::{GROUP, VERSION};

/// Most faults told of one object; what is wrong in more places is one mistake
/// repeated, or not meant for us.
pub const FAULTS_MAX: usize = 64;

/// One thing that is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Path of the field as the API server writes it, such as `spec.aliases[1]`.
    pub field: String,
    /// The kind of fault.
    pub kind: FaultKind,
    /// What would be right; a sentence that needs no value to be understood.
    pub rule: String,
}

/// Kinds of faults, told apart as the API server's causes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FaultKind {
    /// A field that the schema does not have.
    Unknown,
    /// A field that must be there.
    Required,
    /// Another type.
    Type,
    /// A string, too long.
    TooLong,
    /// A list, too long.
    TooMany,
    /// None of the words allowed.
    NotSupported,
    /// Twice in a list, or the same as another field.
    Duplicate,
    /// Out of bounds, or against a rule.
    Invalid,
}

/// Asks objects of one kind; made once, asked often.
pub struct Checker<K = TrackingDomain> {
    schema: Value,
    rules: Rules,
    kind: PhantomData<fn() -> K>,
}

/// Kinds whose objects can be asked about.
pub trait Checked: Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned {}

impl Checked for TrackingDomain {}
impl Checked for EventSink {}

impl Checker<TrackingDomain> {
    /// A checker of `TrackingDomain`s.
    pub fn tracking_domain() -> Self {
        Self::new()
    }
}

impl Checker<EventSink> {
    /// A checker of `EventSink`s.
    pub fn event_sink() -> Self {
        Self::new()
    }
}

impl<K: Checked> Checker<K> {
    fn new() -> Self {
        let schema = crate::schema_of::<K>();
        Self {
            rules: Rules::new(&schema),
            schema,
            kind: PhantomData,
        }
    }

    /// The object as the API server would store it (nulls dropped, defaults
    /// filled in), or all its faults.
    pub fn check(&self, object: &Value) -> Result<K, Vec<Fault>> {
        let mut faults = Faults::default();
        let mut object = match object {
            Value::Object(fields) => fields.clone(),
            _ => {
                faults.push("", FaultKind::Type, "must be an object");
                return Err(faults.told);
            }
        };
        object.remove("status");
        check_kind(&object, &K::kind(&()), &mut faults);
        metadata::check(object.get_mut("metadata"), &mut faults);
        self.check_shape(&mut object, &mut faults);
        let object = Value::Object(object);
        if !faults.block_rules() {
            self.rules.check(&object, &mut faults);
        }
        if faults.told.is_empty() {
            serde_json::from_value(object).map_err(|error| vec![undecodable(&error)])
        } else {
            Err(faults.told)
        }
    }

    /// Types, bounds, unknown fields; drops nulls and fills in defaults.
    fn check_shape(&self, object: &mut Map<String, Value>, faults: &mut Faults) {
        // These three are the API server's own and checked apart.
        let mut own = Map::new();
        for key in ["apiVersion", "kind", "metadata"] {
            own.extend(object.remove_entry(key));
        }
        let mut rest = Value::Object(std::mem::take(object));
        walk::check(&self.schema, &mut rest, faults);
        if let Value::Object(fields) = rest {
            *object = fields;
        }
        object.extend(own);
    }
}

impl<K> fmt::Debug for Checker<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checker")
    }
}

fn check_kind(object: &Map<String, Value>, kind: &str, faults: &mut Faults) {
    let api_version = format!("{GROUP}/{VERSION}");
    for (key, expected) in [("apiVersion", api_version.as_str()), ("kind", kind)] {
        match object.get(key) {
            None => faults.push(key, FaultKind::Required, &format!("must be {expected}")),
            Some(value) if value == expected => {}
            Some(_) => faults.push(key, FaultKind::NotSupported, &format!("must be {expected}")),
        }
    }
}

/// The schema has passed the object, so this is a fault of ours, or an integer
/// written as `1.0`.
fn undecodable(error: &serde_json::Error) -> Fault {
    Fault {
        field: "spec".to_owned(),
        kind: FaultKind::Type,
        rule: format!("cannot be read: {error}"),
    }
}

// === Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field.is_empty() {
            f.write_str(&self.rule)
        } else {
            write!(f, "{}: {}", self.field, self.rule)
        }
    }
}

impl FaultKind {
    /// The word of the API server's causes (`status.details.causes[].reason`);
    /// unknown fields it refuses before there are any.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Unknown => "UnknownField",
            Self::Required => "FieldValueRequired",
            Self::Type => "FieldValueTypeInvalid",
            Self::TooLong => "FieldValueTooLong",
            Self::TooMany => "FieldValueTooMany",
            Self::NotSupported => "FieldValueNotSupported",
            Self::Duplicate => "FieldValueDuplicate",
            Self::Invalid => "FieldValueInvalid",
        }
    }

    /// Whether rules could not be relied on with such a fault: the API server
    /// does not evaluate them then, since their cost rests on the bounds. (That
    /// a word which is not supported is among them was found by asking it.)
    fn blocks_rules(self) -> bool {
        matches!(
            self,
            Self::Required | Self::Type | Self::TooLong | Self::TooMany | Self::NotSupported
        )
    }
}

// === Faults ===

/// Faults as they are found, bounded.
#[derive(Debug, Default)]
struct Faults {
    told: Vec<Fault>,
}

impl Faults {
    fn push(&mut self, field: &str, kind: FaultKind, rule: &str) {
        if self.told.len() < FAULTS_MAX {
            self.told.push(Fault {
                field: field.to_owned(),
                kind,
                rule: rule.to_owned(),
            });
        }
    }

    fn block_rules(&self) -> bool {
        self.told.len() >= FAULTS_MAX || self.told.iter().any(|fault| fault.kind.blocks_rules())
    }
}

/// What makes an object of a kind and a spec, for tests and examples.
pub fn object<K: Checked>(namespace: &str, name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": format!("{GROUP}/{VERSION}"),
        "kind": K::kind(&()),
        "metadata": {"namespace": namespace, "name": name},
        "spec": spec,
    })
}

#[cfg(test)]
mod tests;
