//! From what a source sees to what requests are answered from.
//!
//! Changes that come within [`GATHER`] of the first are applied together. What
//! is served is swapped first, then said to be applied, then kept on the disk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mailtrail_core::ack::Refused;
use mailtrail_core::sink::InCluster;
use mailtrail_core::sink::sealed::OpenError;
use mailtrail_crds::shard::{SHARDS_MAX, shard_name};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, timeout_at};

use super::document::Document;
use super::kept::{Keeper, KeptShards};
use super::set::{Changed, Order, Shards};
use crate::config::{ConfigMetrics, Live};

/// How long changes are gathered from the first on: a list of all shards comes
/// in a burst, and fifty changes a second should not be fifty swaps.
const GATHER: Duration = Duration::from_millis(5);
/// Most that is gathered.
const GATHERED_MAX: usize = 1024;
/// Most that a source is ahead; then it waits.
const QUEUE: usize = 64;

/// What a source sees.
#[derive(Debug)]
pub enum Seen {
    /// A state of a shard.
    Shard(Document),
    /// An object that is no shard that can be read.
    Unreadable {
        /// How it is called.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// An object is there no longer: what it said goes on being served.
    Gone {
        /// How it is called.
        name: String,
    },
    /// Everything that there is at first has been seen.
    Listed,
}

/// Where a source says what it sees.
pub type Feed = mpsc::Sender<Seen>;

/// Applies what a source sees.
pub struct Follower {
    shards: Shards,
    live: Arc<Live>,
    keeper: Arc<Keeper>,
    metrics: ConfigMetrics,
    /// What is wrong with which object, as the log was told.
    told: BTreeMap<String, String>,
}

impl Follower {
    /// Begins with what was served last; that is served when this returns.
    pub fn begin(order: Order, kept: KeptShards, live: Arc<Live>, metrics: ConfigMetrics) -> Self {
        let mut shards = Shards::new(order);
        shards.restore(kept.read());
        let follower = Self {
            shards,
            live,
            keeper: Keeper::new(kept, metrics.clone()),
            metrics,
            told: BTreeMap::new(),
        };
        follower.serve();
        let applied = follower.shards.applied();
        tracing::info!(
            domains = follower.live.snapshot().len(),
            shards = applied.shards().len(),
            complete = applied.is_complete(),
            "the configuration served last is served again"
        );
        follower
    }

    /// Who writes what is served to the disk.
    pub fn keeper(&self) -> Arc<Keeper> {
        Arc::clone(&self.keeper)
    }

    /// Where a source says what it sees, and where that is taken from.
    pub fn feed() -> (Feed, mpsc::Receiver<Seen>) {
        mpsc::channel(QUEUE)
    }

    /// Applies what is seen until `stop` turns true or the source ends.
    pub async fn run(mut self, mut seen: mpsc::Receiver<Seen>, mut stop: watch::Receiver<bool>) {
        loop {
            let first = tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                first = seen.recv() => first,
            };
            let Some(first) = first else { return };
            let until = Instant::now() + GATHER;
            let mut gathered = vec![first];
            while gathered.len() < GATHERED_MAX
                && let Ok(Some(next)) = timeout_at(until, seen.recv()).await
            {
                gathered.push(next);
            }
            self.take(gathered);
        }
    }

    fn take(&mut self, gathered: Vec<Seen>) {
        let mut documents = Vec::with_capacity(gathered.len());
        let mut listed = false;
        for seen in gathered {
            match seen {
                Seen::Shard(document) => {
                    self.told.remove(&shard_name(document.at.index));
                    documents.push(self.checked(document));
                }
                Seen::Unreadable { name, why } => self.tell(name, why),
                Seen::Gone { name } => tracing::warn!(
                    shard = name,
                    "a part of the configuration was deleted: its domains are served as they are until it is there again"
                ),
                Seen::Listed => listed = true,
            }
        }
        let mut changed = self.shards.apply(documents);
        if listed {
            let more = self.shards.listed();
            changed.shards.extend(more.shards);
            changed.miscounted.extend(more.miscounted);
        }
        self.conclude(changed);
    }

    /// Refuses sinks whose secrets are not theirs. A key that is not known yet
    /// may come, and is no reason to.
    fn checked(&self, mut document: Document) -> Document {
        let keys = self.live.keys();
        for entry in &mut document.sinks {
            let Ok(sink) = entry else { continue };
            let Some(InCluster {
                uid,
                sealed: Some(sealed),
                ..
            }) = &sink.cluster
            else {
                continue;
            };
            match sealed.open(keys.keyring(), &sink.realm, uid) {
                Ok(_) | Err(OpenError::UnknownKey(_) | OpenError::Revoked(_)) => {}
                Err(error @ (OpenError::Malformed | OpenError::Forged)) => {
                    *entry = Err(Refused {
                        realm: Some(sink.realm.clone()),
                        generation: sink.generation,
                        rule: error.to_string(),
                    });
                }
            }
        }
        document
    }

    fn conclude(&mut self, changed: Changed) {
        for (index, count) in changed.miscounted {
            let why = format!("spec.count is {count}, the other shards say otherwise");
            self.tell(shard_name(index), why);
        }
        if !changed.shards.is_empty() {
            self.serve();
            self.metrics.shards.changes.inc();
            self.metrics.shards.last_change.set(now_seconds());
            let shards = changed.shards.into_iter();
            self.keeper
                .keep(shards.filter_map(|index| self.shards.served(index)));
        }
        self.metrics.shards.unreadable.set(count(self.told.len()));
    }

    /// Has requests answered from what is served now, then says so.
    fn serve(&self) {
        let (snapshot, applied) = (self.shards.snapshot(), self.shards.applied());
        self.metrics.domains.set(count(snapshot.len()));
        self.metrics
            .shards
            .applied
            .set(count(applied.shards().len()));
        let refused = applied.refused_entries();
        self.metrics.shards.entries_refused.set(count(refused));
        self.live.replace_sinks(self.shards.sinks());
        self.live.replace_shards(snapshot, applied);
    }

    /// Tells the log what is wrong with an object, once.
    fn tell(&mut self, name: String, why: String) {
        let is_known = self.told.get(&name) == Some(&why);
        if is_known
            || (self.told.len() >= usize::from(SHARDS_MAX) && !self.told.contains_key(&name))
        {
            return;
        }
        tracing::error!(
            shard = name,
            rule = why,
            "a part of the configuration cannot be read: what was served of it goes on being served"
        );
        self.told.insert(name, why);
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn now_seconds() -> i64 {
    jiff::Timestamp::now().as_second()
}
