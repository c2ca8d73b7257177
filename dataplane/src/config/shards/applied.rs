//! What is applied of each shard, as probes, people and the operator are told.
//! Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use mailtrail_core::ack::{Refused, ShardState};

/// What is applied at one moment; told only once it is what requests are
/// answered from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Applied {
    /// How many shards there are; absent until that is known.
    pub(super) count: Option<u16>,
    pub(super) shards: BTreeMap<u16, AppliedShard>,
}

/// One shard as it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppliedShard {
    /// The object's UID; empty where its source gives none.
    pub uid: Arc<str>,
    /// The object's generation.
    pub generation: i64,
    /// Whether its source has given it since the start; else it is what was
    /// served last, read from the disk.
    pub confirmed: bool,
    /// Entries that are not served as they stand there.
    pub refused: Arc<[Refused]>,
    /// Sinks that are not delivered to as they stand there.
    pub refused_sinks: Arc<[Refused]>,
}

impl Applied {
    /// Whether all shards are there.
    pub fn is_complete(&self) -> bool {
        self.count
            .is_some_and(|count| self.shards.len() >= usize::from(count))
    }

    /// What is waited for, in words; nothing when all shards are there.
    pub fn waits_for(&self) -> Option<String> {
        match self.count {
            Some(_) if self.is_complete() => None,
            Some(count) => Some(format!(
                "waiting for configuration: {} of {count} shards",
                self.shards.len()
            )),
            None => Some("waiting for configuration: too few shards to know how many".to_owned()),
        }
    }

    /// Whether each of these is applied, or a later state of the same object.
    pub fn has(&self, asked: &[ShardState]) -> bool {
        asked.iter().all(|asked| {
            self.state(asked.index)
                .is_some_and(|now| now.reaches(asked))
        })
    }

    /// In which state a shard is applied. One that comes from the disk and was
    /// not seen since is not told: what is refused of it is not known.
    pub fn state(&self, index: u16) -> Option<ShardState> {
        let shard = self.shards.get(&index).filter(|shard| shard.confirmed)?;
        Some(ShardState {
            index,
            uid: shard.uid.to_string(),
            generation: shard.generation,
        })
    }

    /// What is refused of a shard.
    pub fn refused(&self, index: u16) -> &[Refused] {
        self.shards.get(&index).map_or(&[], |shard| &shard.refused)
    }

    /// Which sinks of a shard are refused.
    pub fn refused_sinks(&self, index: u16) -> &[Refused] {
        let shard = self.shards.get(&index);
        shard.map_or(&[], |shard| &shard.refused_sinks)
    }

    /// All shards by their number.
    pub fn shards(&self) -> &BTreeMap<u16, AppliedShard> {
        &self.shards
    }

    /// How many entries are refused in all.
    pub fn refused_entries(&self) -> usize {
        let refused = |shard: &AppliedShard| shard.refused.len() + shard.refused_sinks.len();
        self.shards.values().map(refused).sum()
    }
}
