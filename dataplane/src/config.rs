//! What requests are answered from: the domains and keys of this moment.
//!
//! Sources (manifests now; a config folder and the cluster later) build
//! snapshots and swap them in here; requests take one and keep it to their end.

mod changes;
mod kept;
pub mod manifests;
mod metrics;
pub mod rules;
mod status;
mod watch;

pub use changes::{Look, Looked, POLL, SETTLE, watch};
pub use kept::{Before, Kept};
pub use metrics::ConfigMetrics;
pub use status::{ConfigStatus, DomainStatus};
pub use watch::Watcher;

use std::sync::Arc;

use arc_swap::ArcSwap;
use mailtrail_core::config::Snapshot;
use mailtrail_core::token::Keys;

use manifests::ManifestErrors;

/// What was in use when it was looked at.
pub type Peeked<T> = arc_swap::Guard<Arc<T>>;

/// The domains and keys in use; swapped as a whole, never changed in place.
#[derive(Debug)]
pub struct Live {
    snapshot: ArcSwap<Snapshot>,
    keys: ArcSwap<Keys>,
    refused: ArcSwap<ManifestErrors>,
}

impl Live {
    /// Starts with these.
    pub fn new(snapshot: Snapshot, keys: Keys) -> Self {
        Self {
            snapshot: ArcSwap::from_pointee(snapshot),
            keys: ArcSwap::from_pointee(keys),
            refused: ArcSwap::default(),
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

    /// Requests that begin from now on see these keys.
    pub fn replace_keys(&self, keys: Keys) {
        self.keys.store(Arc::new(keys));
    }

    /// What is served, and what of the source's newest state is not.
    pub fn status(&self) -> ConfigStatus {
        ConfigStatus::new(&self.snapshot.load(), &self.refused.load())
    }

    /// Notes what of the source's newest state was refused; nothing, when it is
    /// the one that is served.
    pub fn replace_refused(&self, refused: ManifestErrors) {
        self.refused.store(Arc::new(refused));
    }
}
