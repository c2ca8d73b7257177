//! ConfigShards as the API server lists and watches them.
//!
//! Objects are taken as they come, whatever stands in them: one that cannot be
//! read is [`Seen::Unreadable`] and stops nothing. Of each, only the entries
//! outlive this file. The API server may be away as long as it likes: it is
//! tried again, with growing times, and what was served goes on being served.

use std::time::Duration;

use backon::ExponentialBuilder;
use futures_util::StreamExt as _;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};
use mailtrail_crds::ConfigShard;
use tokio::sync::watch;

use super::client::{ClientError, client};
use crate::config::ConfigMetrics;
use crate::config::shards::{About, Feed, Seen, read};

/// Objects in one answer of a list: 16 full ones have 8 MiB.
const PAGE: u32 = 16;
/// Longest life of one watch, in seconds: a connection that died without a word
/// is noticed five seconds after it. One request a minute is what that costs.
pub(super) const WATCH_SECONDS: u32 = 60;
/// First wait after a watch that broke off.
const WATCH_FIRST: Duration = Duration::from_millis(500);
/// Longest wait before it is tried again: a change that was made meanwhile waits
/// for that, too.
const WATCH_LONGEST: Duration = Duration::from_secs(5);
/// How long after a failure the environment is looked at again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Watches the shards of a namespace (absent: the environment's) and says what
/// it sees, until `stop` turns true.
pub async fn follow(
    namespace: Option<String>,
    feed: Feed,
    metrics: ConfigMetrics,
    mut stop: watch::Receiver<bool>,
) {
    let followed = async {
        let (client, own) = connected(&metrics).await;
        let namespace = namespace.unwrap_or(own);
        tracing::info!(namespace, "watching the configuration in the cluster");
        watched(client, &namespace, &feed, &metrics).await;
    };
    tokio::select! {
        _ = stop.wait_for(|stop| *stop) => {}
        () = followed => {}
    }
}

/// A client, as soon as the environment gives one.
async fn connected(metrics: &ConfigMetrics) -> (Client, String) {
    let mut told = false;
    loop {
        match client().await {
            Ok(client) => return client,
            Err(error) => tell(&error, &mut told, metrics),
        }
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

fn tell(error: &ClientError, told: &mut bool, metrics: &ConfigMetrics) {
    metrics.shards.watch_errors.inc();
    if !std::mem::replace(told, true) {
        tracing::error!(%error, "the cluster is not watched: what was served last is served, and it is tried again");
    }
}

/// Ends only with who takes what is seen.
async fn watched(client: Client, namespace: &str, feed: &Feed, metrics: &ConfigMetrics) {
    let kind = ApiResource::erase::<ConfigShard>(&());
    let shards: Api<DynamicObject> = Api::namespaced_with(client, namespace, &kind);
    let config = watcher::Config::default()
        .page_size(PAGE)
        .timeout(WATCH_SECONDS);
    let again = ExponentialBuilder::default()
        .with_min_delay(WATCH_FIRST)
        .with_max_delay(WATCH_LONGEST)
        .with_jitter()
        .without_max_times();
    let again = watcher::ExponentialBackoff::from(again);
    let events = watcher(shards, config).backoff(again);
    tokio::pin!(events);
    let mut away = false;
    while let Some(event) = events.next().await {
        let seen = match event {
            Ok(event) => match seen(event) {
                Some(seen) => seen,
                None => continue,
            },
            Err(error) => {
                metrics.shards.watch_errors.inc();
                // Told once, not at each try.
                if !std::mem::replace(&mut away, true) {
                    tracing::warn!(%error, "the cluster's configuration cannot be watched: what was served last is served, and it is tried again");
                }
                continue;
            }
        };
        if std::mem::replace(&mut away, false) {
            tracing::info!("the cluster's configuration is watched again");
        }
        if feed.send(seen).await.is_err() {
            return;
        }
    }
}

fn seen(event: watcher::Event<DynamicObject>) -> Option<Seen> {
    match event {
        watcher::Event::Apply(object) | watcher::Event::InitApply(object) => Some(shard(object)),
        watcher::Event::Delete(object) => Some(Seen::Gone {
            name: object.name_any(),
        }),
        watcher::Event::Init => None,
        watcher::Event::InitDone => Some(Seen::Listed),
    }
}

fn shard(mut object: DynamicObject) -> Seen {
    let spec = object.data.get_mut("spec").map(serde_json::Value::take);
    let name = object.name_any();
    let about = About {
        name: &name,
        uid: object.metadata.uid.as_deref().unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
    };
    match read(about, spec.unwrap_or_default()) {
        Ok(document) => Seen::Shard(document),
        Err(error) => Seen::Unreadable {
            why: error.to_string(),
            name,
        },
    }
}
