//! What `/config` shows: which domains are served, by generation and digest,
//! and what of the source was refused.

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use mailtrail_core::ack::Refused;
use mailtrail_core::config::{Domain, DomainState, Snapshot};
use mailtrail_core::id::{Host, Realm};
use serde::Serialize;

use super::manifests::{Fault, ManifestErrors};
use super::shards::{Applied, AppliedShard};

/// What is served, and what was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigStatus {
    /// What is served, by realm.
    pub domains: Vec<DomainStatus>,
    /// What was wrong with the newest state of the source, where it was not
    /// taken: then the domains are those of an earlier one.
    pub refused: Vec<Fault>,
    /// How much more was wrong.
    pub more_refused: usize,
    /// The shards that the domains come from, where they come from such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shards: Option<Vec<ShardStatus>>,
}

/// One shard as it is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatus {
    /// Its number.
    pub index: u16,
    /// The object's UID; empty where its source gives none.
    pub uid: String,
    /// The object's generation.
    pub generation: i64,
    /// Whether its source has given it since the start; else it was kept.
    pub confirmed: bool,
    /// Entries that are not served as they stand there.
    pub refused: Vec<Refused>,
    /// Sinks that are not delivered to as they stand there.
    pub refused_sinks: Vec<Refused>,
}

/// One domain as it is served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DomainStatus {
    /// Its identity.
    pub realm: Realm,
    /// Host of new links.
    pub host: Host,
    /// In use, or retired.
    pub state: DomainState,
    /// Generation of the resource; 0 where the source has none.
    pub generation: i64,
    /// SHA-256 of its entry, as JSON, in hexadecimal: equal digests are served
    /// the same.
    pub digest: String,
}

impl ConfigStatus {
    pub(super) fn new(
        snapshot: &Snapshot,
        refused: &ManifestErrors,
        applied: Option<&Applied>,
    ) -> Self {
        let mut domains: Vec<_> = snapshot.domains().map(|d| DomainStatus::new(d)).collect();
        domains.sort_unstable_by(|a, b| a.realm.cmp(&b.realm));
        Self {
            domains,
            refused: refused.faults.clone(),
            more_refused: refused.more,
            shards: applied.map(|applied| {
                let shards = applied.shards().iter();
                shards
                    .map(|(i, shard)| ShardStatus::new(*i, shard))
                    .collect()
            }),
        }
    }
}

impl ShardStatus {
    fn new(index: u16, shard: &AppliedShard) -> Self {
        Self {
            index,
            uid: shard.uid.to_string(),
            generation: shard.generation,
            confirmed: shard.confirmed,
            refused: shard.refused.to_vec(),
            refused_sinks: shard.refused_sinks.to_vec(),
        }
    }
}

impl DomainStatus {
    fn new(domain: &Domain) -> Self {
        let entry = serde_json::to_vec(domain).expect("an entry is plain data with text keys");
        Self {
            realm: domain.realm.clone(),
            host: domain.host.clone(),
            state: domain.state,
            generation: domain.generation,
            digest: HEXLOWER.encode(digest::digest(&digest::SHA256, &entry).as_ref()),
        }
    }
}
