//! Watches the shards that stand in the cluster: what somebody else changes is
//! changed back, what somebody deletes comes again.

use std::sync::Arc;

use futures_util::StreamExt as _;
use kube::Api;
use kube::core::DeserializeGuard;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use mailtrail_crds::ConfigShard;

use super::{Shards, index_of};
use crate::metrics::Metrics;

/// Objects per page: each may be large.
const PAGE: u32 = 16;

/// Follows them for ever.
pub async fn follow(
    api: Api<DeserializeGuard<ConfigShard>>,
    shards: Arc<Shards>,
    metrics: Arc<Metrics>,
) {
    let config = watcher::Config::default().page_size(PAGE);
    let mut events = std::pin::pin!(watch(api, config).default_backoff());
    let mut listed = Vec::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(DeserializeGuard(object))) => {
                if let Ok(object) = &object {
                    listed.push(object.spec.index);
                }
                see(&shards, object, &metrics);
            }
            Ok(Event::InitDone) => {
                for state in shards.states() {
                    if !listed.contains(&state.index) {
                        repair(
                            &metrics,
                            shards.vanished(state.index, &state.uid),
                            state.index,
                        );
                    }
                }
            }
            Ok(Event::Apply(DeserializeGuard(object))) => see(&shards, object, &metrics),
            Ok(Event::Delete(DeserializeGuard(object))) => {
                let metadata = match object {
                    Ok(object) => object.metadata,
                    Err(bad) => bad.metadata,
                };
                let name = metadata.name.unwrap_or_default();
                if let Some(index) = index_of(&name, shards.count()) {
                    let uid = metadata.uid.unwrap_or_default();
                    repair(&metrics, shards.vanished(index, &uid), index);
                }
            }
            Err(error) => {
                metrics.watch_errors.inc();
                tracing::warn!(kind = "ConfigShard", error = %crate::watch::chain(&error), "a watch was interrupted and begins again");
            }
        }
    }
}

fn see(
    shards: &Shards,
    object: Result<ConfigShard, kube::core::error_boundary::InvalidObject>,
    metrics: &Metrics,
) {
    match object {
        Ok(object) => repair(metrics, shards.seen(&object), object.spec.index),
        Err(bad) => {
            // Whatever it holds now, it is not what is wanted.
            metrics.undecodable.inc();
            let name = bad.metadata.name.clone().unwrap_or_default();
            tracing::error!(
                object.name = name,
                error = bad.error,
                "a shard cannot be read: it is written anew"
            );
            if let Some(index) = index_of(&name, shards.count()) {
                shards.stands(index, &bad.metadata);
            }
        }
    }
}

fn repair(metrics: &Metrics, drifted: bool, shard: u16) {
    if drifted {
        metrics.drift.inc();
        tracing::warn!(
            shard,
            "a shard was changed or deleted by somebody else: it is written anew"
        );
    }
}
