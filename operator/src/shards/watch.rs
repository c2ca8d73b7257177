//! Watches the shards that stand in the cluster: what somebody else changes is
//! changed back, what somebody deletes comes again.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::Api;
use kube::core::{DeserializeGuard, ObjectMeta};
use mailtrail_crds::ConfigShard;

use super::place::index_of;
use super::{ShardState, Shards};
use crate::metrics::Metrics;
use crate::watch::{self, Named, Sink};

/// Follows them for ever.
pub async fn follow(
    api: Api<DeserializeGuard<ConfigShard>>,
    shards: Arc<Shards>,
    metrics: Arc<Metrics>,
) {
    let to = Standing {
        shards,
        metrics: Arc::clone(&metrics),
        before: Mutex::default(),
    };
    watch::follow(api, to, || {}, metrics).await;
}

/// The shards that stand in the cluster.
struct Standing {
    shards: Arc<Shards>,
    metrics: Arc<Metrics>,
    /// UIDs of those that stood when the list was begun: one that we have made
    /// meanwhile is not missing because the list lacks it.
    before: Mutex<HashSet<String>>,
}

impl Sink<ConfigShard> for Standing {
    type Key = Named;
    const WHAT: &'static str = "ConfigShard";
    // Each may be large.
    const PAGE: u32 = 16;
    // Whatever it holds now, it is not what is wanted.
    const UNREADABLE: &'static str = "it is written anew";

    fn key(meta: &ObjectMeta) -> Option<Named> {
        watch::named(meta)
    }

    fn begins(&self) {
        *self.before() = uids(self.shards.states());
    }

    fn apply(&self, object: ConfigShard) {
        self.repair(self.shards.seen(&object), object.spec.index);
    }

    fn unreadable(&self, meta: &ObjectMeta) {
        if let Some(index) = self.index_of(meta.name.as_deref().unwrap_or_default()) {
            self.shards.stands(index, meta);
        }
    }

    fn gone(&self, (name, uid): &Named) {
        if let Some(index) = self.index_of(name) {
            self.repair(self.shards.vanished(index, uid), index);
        }
    }

    fn only(&self, listed: &HashSet<Named>) {
        let uids: HashSet<&str> = listed.iter().map(|(_, uid)| uid.as_str()).collect();
        let before = std::mem::take(&mut *self.before());
        for state in self.shards.states() {
            if before.contains(&state.uid) && !uids.contains(state.uid.as_str()) {
                let vanished = self.shards.vanished(state.index, &state.uid);
                self.repair(vanished, state.index);
            }
        }
    }
}

fn uids(states: Vec<ShardState>) -> HashSet<String> {
    states.into_iter().map(|state| state.uid).collect()
}

impl Standing {
    fn before(&self) -> MutexGuard<'_, HashSet<String>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn index_of(&self, name: &str) -> Option<u16> {
        index_of(name, self.shards.count())
    }

    fn repair(&self, drifted: bool, shard: u16) {
        if drifted {
            self.metrics.drift.inc();
            tracing::warn!(
                shard,
                "a shard was changed or deleted by somebody else: it is written anew"
            );
        }
    }
}
