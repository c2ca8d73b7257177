//! Where domains come from: opened before anything is served, followed until a
//! stop.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Base, RunError, Shared, stopped};
use crate::args::{Settings, Source};
use crate::cluster;
use crate::config::shards::{FolderWatcher, Follower, KeptShards, Order};
use crate::config::{self, Kept, Live, Watcher, manifests};

/// A source whose first state is served, as far as it has one.
pub(super) enum Opened {
    Manifests(Box<Watcher>),
    ConfigDir(PathBuf, Follower),
    Cluster(Option<String>, Follower),
}

/// Opens the source: `live` then serves its domains, or those that were served
/// last.
pub(super) fn open(settings: &Settings, base: &Base, live: &Arc<Live>) -> Result<Opened, RunError> {
    let live = Arc::clone(live);
    let metrics = base.metrics.config.clone();
    let kept = KeptShards::in_folder(&settings.data_dir);
    match &settings.source {
        Source::Manifests(path) => {
            let kept = Kept::in_folder(&settings.data_dir);
            let loaded = manifests::load_and_keep(path, &kept, base.used_before)?;
            loaded.log("loaded");
            live.replace_snapshot(loaded.snapshot);
            live.replace_sinks(loaded.sinks);
            let watcher = Watcher::new(path.clone(), loaded.baseline, live, metrics, kept);
            Ok(Opened::Manifests(Box::new(watcher)))
        }
        Source::ConfigDir(folder) => Ok(Opened::ConfigDir(
            folder.clone(),
            Follower::begin(Order::Reading, kept, live, metrics),
        )),
        Source::Cluster { namespace } => Ok(Opened::Cluster(
            namespace.clone(),
            Follower::begin(Order::Generation, kept, live, metrics),
        )),
    }
}

impl Opened {
    /// Follows it until a stop.
    pub(super) fn follow(
        self,
        shared: &Shared,
        stopping: &watch::Receiver<bool>,
        tasks: &mut JoinSet<()>,
    ) {
        let stopping = || stopping.clone();
        match self {
            Self::Manifests(watcher) => {
                tasks.spawn(config::watch(*watcher, stopped(stopping())));
            }
            Self::ConfigDir(folder, follower) => {
                let (feed, seen) = Follower::feed();
                let begin = move || FolderWatcher::begin(folder, feed);
                let stop = stopped(stopping());
                tasks.spawn(async move {
                    // A panic of what reads is in the log; what is served stays.
                    if let Ok(watcher) = tokio::task::spawn_blocking(begin).await {
                        config::watch(watcher, stop).await;
                    }
                });
                tasks.spawn(follower.keeper().run(stopping()));
                tasks.spawn(follower.run(seen, stopping()));
            }
            Self::Cluster(namespace, follower) => {
                let (feed, seen) = Follower::feed();
                let metrics = shared.metrics.config.clone();
                tasks.spawn(cluster::follow(namespace, feed, metrics, stopping()));
                tasks.spawn(follower.keeper().run(stopping()));
                tasks.spawn(follower.run(seen, stopping()));
            }
        }
    }
}
