//! A shard as its source gives it → what it says, each entry parsed alone. Pure.

use std::sync::Arc;

use mailtrail_core::ack::{Refused, ShardState};
use mailtrail_core::config::{Domain, ENTRY_MAX_BYTES, ENTRY_VERSION};
use mailtrail_core::sink::{SINK_ENTRY_MAX_BYTES, SINK_VERSION, Sink};
use mailtrail_crds::shard::{SHARD_ENTRIES_MAX, SHARD_VERSION, SHARDS_MAX, shard_name};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Longest rule that a refusal tells, in characters: a parser may repeat what it
/// was given.
const RULE_MAX_CHARS: usize = 300;

/// What a shard says.
#[derive(Debug, Clone)]
pub struct Document {
    /// Which state of which shard.
    pub at: ShardState,
    /// How many shards there are, as it says.
    pub count: u16,
    /// Its entries, or why one cannot be read.
    pub entries: Vec<Entry>,
    /// Its sinks, or why one cannot be read.
    pub sinks: Vec<SinkEntry>,
}

/// An entry, or why it cannot be read.
pub type Entry = Result<Arc<Domain>, Refused>;
/// The same of a sink.
pub type SinkEntry = Result<Arc<Sink>, Refused>;

/// Why an object is no shard that can be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// The fields that say which shard it is are missing or of another type.
    #[error("spec.{0}")]
    Field(&'static str),
    /// A version of another program.
    #[error("spec.version is {0}; this program reads {SHARD_VERSION}")]
    Version(u64),
    /// Its number is none of the shards that it counts.
    #[error("spec.index {index} must be below spec.count {count}")]
    Index {
        /// The number.
        index: u16,
        /// How many there are.
        count: u16,
    },
    /// Another object has that name: two would take turns.
    #[error("an object with spec.index {index} must be named {}", shard_name(*.index))]
    Name {
        /// The number.
        index: u16,
    },
    /// More than [`SHARD_ENTRIES_MAX`].
    #[error("spec.{0} has more than {SHARD_ENTRIES_MAX} entries")]
    TooMany(&'static str),
    /// Something else.
    #[error("spec.{0} must be a list")]
    List(&'static str),
}

/// What stands beside the spec.
#[derive(Debug, Clone, Copy)]
pub struct About<'a> {
    /// The object's name.
    pub name: &'a str,
    /// Its UID; empty where there is none.
    pub uid: &'a str,
    /// Its generation; 0 where there is none.
    pub generation: i64,
}

/// Reads a shard.
///
/// # Errors
///
/// It cannot be known which shard it is, or it is for another program. What is
/// wrong with an entry is that entry's.
pub fn read(about: About<'_>, mut spec: Value) -> Result<Document, DocumentError> {
    let number = |field: &str| spec.get(field).and_then(Value::as_u64);
    match number("version") {
        None => return Err(DocumentError::Field("version must be a number")),
        Some(version) if version != u64::from(SHARD_VERSION) => {
            return Err(DocumentError::Version(version));
        }
        Some(_) => {}
    }
    let small = |field| number(field).and_then(|number| u16::try_from(number).ok());
    let index = small("index").ok_or(DocumentError::Field("index must be a number"))?;
    let count = small("count")
        .filter(|count| (1..=SHARDS_MAX).contains(count))
        .ok_or(DocumentError::Field(
            "count must be a number from 1 to 4096",
        ))?;
    if index >= count {
        return Err(DocumentError::Index { index, count });
    }
    if about.name != shard_name(index) {
        return Err(DocumentError::Name { index });
    }
    let entries = list(&mut spec, "entries")?;
    let sinks = list(&mut spec, "sinks")?;
    Ok(Document {
        at: ShardState {
            index,
            uid: about.uid.to_owned(),
            generation: about.generation,
        },
        count,
        entries: entries.into_iter().map(entry).collect(),
        sinks: sinks.into_iter().map(sink).collect(),
    })
}

/// A list of the spec; none where it is not there.
fn list(spec: &mut Value, field: &'static str) -> Result<Vec<Value>, DocumentError> {
    match spec.get_mut(field).map(Value::take) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) if entries.len() > SHARD_ENTRIES_MAX => {
            Err(DocumentError::TooMany(field))
        }
        Some(Value::Array(entries)) => Ok(entries),
        Some(_) => Err(DocumentError::List(field)),
    }
}

fn entry(value: Value) -> Entry {
    parsed(value, ENTRY_VERSION, ENTRY_MAX_BYTES)
}

fn sink(value: Value) -> SinkEntry {
    let sink: Arc<Sink> = parsed(value, SINK_VERSION, SINK_ENTRY_MAX_BYTES)?;
    match sink.cluster {
        Some(_) => Ok(sink),
        // It would be looked for in a folder of secrets, by a name that another
        // machine's owner gave.
        None => Err(Refused {
            realm: Some(sink.realm.clone()),
            generation: sink.generation,
            rule: "must have what the operator has found out (cluster)".to_owned(),
        }),
    }
}

/// One entry, by its own version and bounds.
fn parsed<T: DeserializeOwned>(
    value: Value,
    version: u32,
    max_bytes: usize,
) -> Result<Arc<T>, Refused> {
    let refused = |value: &Value, rule: String| Refused {
        realm: value
            .get("realm")
            .and_then(Value::as_str)
            .and_then(|realm| realm.parse().ok()),
        generation: value
            .get("generation")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
        rule: rule.chars().take(RULE_MAX_CHARS).collect(),
    };
    if let Some(rule) = not_ours(&value, version, max_bytes) {
        return Err(refused(&value, rule));
    }
    match T::deserialize(&value) {
        Ok(entry) => Ok(Arc::new(entry)),
        Err(error) => Err(refused(&value, format!("is no entry: {error}"))),
    }
}

/// What is wrong with an entry before its fields are looked at.
fn not_ours(value: &Value, version: u32, max_bytes: usize) -> Option<String> {
    let bytes = match value {
        Value::Object(_) => value.to_string().len(),
        _ => return Some("must be an object".to_owned()),
    };
    if bytes > max_bytes {
        return Some(format!(
            "has {bytes} bytes as JSON; {max_bytes} are allowed"
        ));
    }
    match value.get("version").and_then(Value::as_u64) {
        Some(of) if of == u64::from(version) => None,
        Some(of) => Some(format!("is of version {of}; this program reads {version}")),
        None => Some("must have a version".to_owned()),
    }
}
