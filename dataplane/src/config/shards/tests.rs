mod documents;
mod follow;
mod hosts;
mod kept;
mod sinks;
mod states;

use std::sync::Arc;

use mailtrail_core::config::Domain;
use serde_json::{Value, json};

use super::*;

/// Shards in these tests, where nothing else is said.
const COUNT: u16 = 3;

fn entry(realm: &str, host: &str) -> Value {
    let domain = Domain::new(realm.parse().expect("realm"), host.parse().expect("host"));
    serde_json::to_value(domain).expect("an entry")
}

fn with(mut entry: Value, field: &str, value: Value) -> Value {
    entry[field] = value;
    entry
}

fn spec(index: u16, entries: Vec<Value>) -> Value {
    json!({"version": 1, "index": index, "count": COUNT, "entries": entries})
}

/// A state of the first object of a shard.
fn shard(index: u16, generation: i64, entries: Vec<Value>) -> Document {
    of_object(index, "first", generation, entries)
}

fn of_object(index: u16, uid: &str, generation: i64, entries: Vec<Value>) -> Document {
    let name = mailtrail_crds::shard::shard_name(index);
    let about = About {
        name: &name,
        uid,
        generation,
    };
    read(about, spec(index, entries)).expect("a shard")
}

/// All shards have been seen, with nothing in them but these.
fn listed(documents: Vec<Document>) -> Shards {
    let mut shards = Shards::new(Order::Generation);
    let empty = (0..COUNT)
        .filter(|index| documents.iter().all(|of| of.at.index != *index))
        .map(|index| shard(index, 1, Vec::new()));
    let all = empty.chain(documents.iter().cloned()).collect();
    shards.apply(all);
    shards.listed();
    assert!(shards.applied().is_complete());
    shards
}

fn host_of(shards: &Shards, realm: &str) -> Option<String> {
    let realm = realm.parse().expect("realm");
    let snapshot = shards.snapshot();
    let domain: Option<&Arc<Domain>> = snapshot.by_realm(&realm);
    domain.map(|domain| domain.host.to_string())
}

fn owner_of(shards: &Shards, host: &str) -> Option<String> {
    let snapshot = shards.snapshot();
    snapshot
        .by_host(host)
        .map(|domain| domain.realm.to_string())
}

/// The rules that are told of a shard.
fn rules(shards: &Shards, index: u16) -> Vec<String> {
    let applied = shards.applied();
    let refused = applied.refused(index).iter();
    refused.map(|refused| refused.rule.clone()).collect()
}
