//! `ConfigShard`: a part of what the data plane is told, an object of the
//! install's own namespace. The operator writes it, replicas watch it; the same
//! document stands in a file where there is no cluster (`--config-dir`).

#![allow(
    unreachable_pub,
    reason = "kube's schema derive repeats the struct inside a function"
)]
#![allow(
    clippy::duplicated_attributes,
    reason = "each printer column has a type, and some have the same"
)]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::schema;

/// The version that shards are written in.
pub const SHARD_VERSION: u32 = 1;
/// Shards of an install that names no other number.
pub const SHARDS_DEFAULT: u16 = 256;
/// Most shards of an install.
pub const SHARDS_MAX: u16 = 4096;
/// Most bytes of the entries of one shard, as JSON. An object of etcd may have
/// 1.5 MiB, and every change of one entry writes its whole shard.
pub const SHARD_MAX_BYTES: usize = 512 * 1024;
/// Most entries of one shard: as many of the shortest as fit, some 200 bytes.
pub const SHARD_ENTRIES_MAX: usize = 4096;

/// A part of the configuration of the data plane.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailtrail.dev",
    version = "v1alpha1",
    kind = "ConfigShard",
    plural = "configshards",
    namespaced,
    derive = "PartialEq",
    doc = "A part of what Mailtrail's replicas serve, written by its operator from TrackingDomains, HostClaims and EventSinks. Changes made by hand are undone.",
    printcolumn(
        name = "Index",
        type_ = "integer",
        json_path = ".spec.index",
        description = "Number of this shard."
    ),
    printcolumn(
        name = "Of",
        type_ = "integer",
        json_path = ".spec.count",
        description = "How many shards there are."
    ),
    printcolumn(
        name = "Generation",
        type_ = "integer",
        json_path = ".metadata.generation",
        description = "How often its entries changed."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since it was created."
    )
)]
#[serde(rename_all = "camelCase")]
pub struct ConfigShardSpec {
    /// Version of this document: 1.
    #[schemars(schema_with = "schema::shard_version")]
    pub version: u32,

    /// Number of this shard, from 0 on.
    #[schemars(schema_with = "schema::shard_index")]
    pub index: u16,

    /// How many shards there are. Replicas serve once they have all of them.
    #[schemars(schema_with = "schema::shard_count")]
    pub count: u16,

    /// One entry per tracking domain, each a versioned document of its own
    /// (`mailtrail_core::config::Domain`): a replica that cannot read one goes
    /// on with the others.
    #[serde(default)]
    #[schemars(schema_with = "schema::shard_entries")]
    pub entries: Vec<Value>,

    /// One entry per event sink, as above (`mailtrail_core::sink::Sink`), in a
    /// list of its own: a replica that knows no sinks passes it over. Secrets
    /// stand in it sealed under the keyring.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "schema::shard_entries")]
    pub sinks: Vec<Value>,
}

/// Name of the object of a shard.
pub fn shard_name(index: u16) -> String {
    format!("config-{index:04}")
}
