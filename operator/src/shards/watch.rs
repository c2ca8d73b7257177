//! Watches the shards that stand in the cluster: what somebody else changes is
//! changed back, what somebody deletes comes again.

use std::collections::HashSet;
use std::sync::Arc;

use kube::Api;
use kube::core::{DeserializeGuard, ObjectMeta};
use mailtrail_crds::ConfigShard;
use mailtrail_crds::shard::shard_name;

use super::Shards;
use super::place::index_of;
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
    };
    watch::follow(api, to, || {}, metrics).await;
}

/// The shards that stand in the cluster.
struct Standing {
    shards: Arc<Shards>,
    metrics: Arc<Metrics>,
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

    fn known(&self) -> HashSet<Named> {
        let states = self.shards.states().into_iter();
        let named = states.map(|state| (shard_name(state.index), state.uid));
        named.collect()
    }
}

impl Standing {
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
