//! What requests are answered from: the domains and keys of this moment.
//!
//! Sources (manifests; ConfigShards from a folder or the cluster) build
//! snapshots and swap them in here; requests take one and keep it to their end.

mod acks;
mod changes;
mod kept;
pub mod manifests;
mod metrics;
pub mod rules;
pub mod shards;
mod status;
mod watch;

pub use acks::{QuestionError, answer, question};
pub(crate) use changes::{Change, Changes};
pub use changes::{Look, Looked, POLL, SETTLE, watch};
pub use kept::{Before, Kept};
pub(crate) use manifests::{Fingerprint, bounded};
pub use metrics::ConfigMetrics;
pub use status::{ConfigStatus, DomainStatus, ShardStatus};
pub use watch::Watcher;

use std::sync::Arc;

use arc_swap::ArcSwap;
use mailtrail_core::config::Snapshot;
use mailtrail_core::sink::Sinks;
use mailtrail_core::token::Keys;
use tokio::sync::watch as channel;

use manifests::ManifestErrors;
use shards::Applied;

/// What was in use when it was looked at.
pub type Peeked<T> = arc_swap::Guard<Arc<T>>;

/// The domains and keys in use; swapped as a whole, never changed in place.
#[derive(Debug)]
pub struct Live {
    snapshot: ArcSwap<Snapshot>,
    keys: ArcSwap<Keys>,
    sinks: channel::Sender<Arc<Sinks>>,
    refused: ArcSwap<ManifestErrors>,
    /// What is applied of shards; nothing where domains come from manifests.
    applied: channel::Sender<Option<Arc<Applied>>>,
}

impl Live {
    /// Starts with these.
    pub fn new(snapshot: Snapshot, keys: Keys) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            keys: ArcSwap::from_pointee(keys),
            sinks: channel::Sender::default(),
            refused: ArcSwap::default(),
            applied: channel::Sender::new(None),
        }
    }

    /// The domains of this moment.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// The keys of this moment.
    pub fn keys(&self) -> Arc<Keys> {
        self.keys.load_full()
    }

    /// The same to look at and let go: threads that do so at once do not
    /// disturb each other, as they would by counting who holds it.
    pub fn peek(&self) -> (Peeked<Snapshot>, Peeked<Keys>) {
        (self.snapshot.load(), self.keys.load())
    }

    /// Requests that begin from now on see these domains.
    pub fn replace_snapshot(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Events are delivered to these sinks from now on.
    pub fn replace_sinks(&self, sinks: Sinks) {
        self.sinks.send_if_modified(|known| {
            let differs = **known != sinks;
            *known = Arc::new(sinks);
            differs
        });
    }

    /// The sinks that are declared, now and as that changes.
    pub fn sinks(&self) -> channel::Receiver<Arc<Sinks>> {
        self.sinks.subscribe()
    }

    /// Requests that begin from now on see these domains, and who asks is told
    /// that these shards are applied: in that order.
    pub fn replace_shards(&self, snapshot: Snapshot, applied: Applied) {
        self.replace_snapshot(snapshot);
        self.applied.send_replace(Some(Arc::new(applied)));
    }

    /// Whether all domains are here that the source has: of shards some may be
    /// waited for after a start.
    pub(crate) fn knows_domains(&self) -> bool {
        let applied = self.applied.borrow();
        let applied = applied.as_ref();
        applied.is_none_or(|applied| applied.waits_for().is_none())
    }

    /// What is applied of shards, now and as it changes.
    pub fn applied(&self) -> channel::Receiver<Option<Arc<Applied>>> {
        self.applied.subscribe()
    }

    /// Requests that begin from now on see these keys.
    pub fn replace_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// What is served, and what of the source's newest state is not.
    pub fn status(&self) -> ConfigStatus {
        let applied = self.applied.borrow().clone();
        ConfigStatus::new(
            &self.snapshot.load(),
            &self.refused.load(),
            applied.as_deref(),
        )
    }

    /// Notes what of the source's newest state was refused; nothing, when it is
    /// the one that is served.
    pub fn replace_refused(&self, refused: ManifestErrors) {
        self.refused.store(Arc::new(refused));
    }
}
