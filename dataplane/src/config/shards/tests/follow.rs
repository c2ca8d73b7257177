use std::fs;

use mailtrail_core::config::Snapshot;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::token::Keys;
use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::config::{ConfigMetrics, Live, Look as _, Looked};

pub(super) struct World {
    _data: TempDir,
    pub(super) live: Arc<Live>,
    metrics: ConfigMetrics,
    feed: Feed,
    _stop: watch::Sender<bool>,
}

pub(super) fn keyring() -> Keyring {
    let mut random = [7; 35];
    random[3] = 1;
    Keyring::generate(random).expect("a good key")
}

pub(super) fn following() -> World {
    let data = TempDir::new().expect("a folder");
    let keys = Keys::new(keyring());
    let live = Arc::new(Live::new(Snapshot::default(), keys));
    let metrics = ConfigMetrics::new(&mut Registry::default());
    let kept = KeptShards::in_folder(data.path());
    let follower = Follower::begin(Order::Generation, kept, Arc::clone(&live), metrics.clone());
    let (feed, seen) = Follower::feed();
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(follower.run(seen, stopping));
    World {
        _data: data,
        live,
        metrics,
        feed,
        _stop: stop,
    }
}

impl World {
    pub(super) async fn sees(&self, seen: Seen) {
        self.feed.send(seen).await.expect("followed");
    }

    pub(super) async fn until(&self, done: impl Fn(&Applied) -> bool) -> Arc<Applied> {
        let mut applied = self.live.applied();
        let applied = applied.wait_for(|a| a.as_deref().is_some_and(&done)).await;
        applied.expect("followed").clone().expect("applied")
    }
}

#[tokio::test]
async fn what_is_said_to_be_applied_is_what_is_served() {
    let world = following();
    for index in 0..COUNT {
        world.sees(Seen::Shard(shard(index, 1, vec![]))).await;
    }
    world.sees(Seen::Listed).await;
    world.until(Applied::is_complete).await;
    for generation in 2..50 {
        let host = format!("h{generation}.example");
        let entries = vec![entry("a/x", &host)];
        world.sees(Seen::Shard(shard(0, generation, entries))).await;
        let asked = shard(0, generation, vec![]).at;
        world
            .until(|applied| applied.has(std::slice::from_ref(&asked)))
            .await;
        assert!(world.live.snapshot().by_host(&host).is_some());
    }
    assert_eq!(world.metrics.shards.applied.get(), i64::from(COUNT));
    assert_eq!(world.metrics.domains.get(), 1);
}

#[tokio::test]
async fn what_cannot_be_read_or_is_deleted_holds_up_nothing() {
    let world = following();
    for index in 0..COUNT {
        let entries = vec![entry(&format!("n{index}/x"), &format!("x{index}.example"))];
        world.sees(Seen::Shard(shard(index, 1, entries))).await;
    }
    world.sees(Seen::Listed).await;
    world.until(Applied::is_complete).await;
    let name = || "config-0000".to_owned();
    let why = "spec.version is 9".to_owned();
    world.sees(Seen::Unreadable { name: name(), why }).await;
    let name = "config-0001".to_owned();
    world.sees(Seen::Gone { name }).await;
    world.sees(Seen::Shard(shard(2, 2, vec![]))).await;
    let asked = shard(2, 2, vec![]).at;
    world
        .until(|applied| applied.has(std::slice::from_ref(&asked)))
        .await;
    let snapshot = world.live.snapshot();
    assert!(snapshot.by_host("x0.example").is_some());
    assert!(snapshot.by_host("x1.example").is_some());
    assert!(snapshot.by_host("x2.example").is_none());
    assert_eq!(world.metrics.shards.unreadable.get(), 1);
}

#[test]
fn a_folder_gives_what_its_files_say_and_again_when_they_change() {
    let folder = TempDir::new().expect("a folder");
    let write = |file: &str, text: &str| {
        fs::write(folder.path().join(file), text).expect("written");
    };
    let object = |index: u16, host: &str| {
        let entries = vec![entry("a/x", host)];
        let meta = json!({"name": format!("config-{index:04}"), "uid": "u", "generation": 2});
        json!({"apiVersion": "mailtrail.dev/v1alpha1", "kind": "ConfigShard", "metadata": meta, "spec": spec(index, entries)})
    };
    write("a.json", &object(0, "x.example").to_string());
    write("b.yaml", "kind: ConfigMap\napiVersion: v1\n");
    write("c.yaml", "{");
    write("notes.txt", "not read");
    let (feed, mut seen) = Follower::feed();
    let mut watcher = FolderWatcher::begin(folder.path().to_owned(), feed);
    let mut next = || seen.try_recv().ok();
    assert!(matches!(next(), Some(Seen::Shard(of)) if of.at.index == 0 && of.at.generation == 2));
    for file in ["b.yaml", "c.yaml"] {
        assert!(matches!(next(), Some(Seen::Unreadable { name, .. }) if name.ends_with(file)));
    }
    assert!(matches!(next(), Some(Seen::Listed)));
    assert_eq!(watcher.look(), Looked::Unchanged);
    write("a.json", &object(0, "yy.example").to_string());
    assert_eq!(watcher.look(), Looked::Settling);
    assert_eq!(watcher.look(), Looked::Reloaded);
    let Some(Seen::Shard(of)) = next() else {
        panic!("only the changed file is read");
    };
    assert!(matches!(&of.entries[0], Ok(entry) if entry.host.as_str() == "yy.example"));
    assert!(matches!(next(), Some(Seen::Listed)));
    fs::remove_file(folder.path().join("a.json")).expect("removed");
    assert_eq!(watcher.look(), Looked::Settling);
    assert_eq!(watcher.look(), Looked::Reloaded);
    assert!(matches!(next(), Some(Seen::Gone { name }) if name.ends_with("a.json")));
}

#[test]
fn what_the_first_version_of_the_operator_wrote_is_read() {
    let folder = TempDir::new().expect("a folder");
    let text = include_str!("configshard-v1.yaml");
    fs::write(folder.path().join("config-0007.yaml"), text).expect("written");
    let (feed, mut seen) = Follower::feed();
    let _watcher = FolderWatcher::begin(folder.path().to_owned(), feed);
    let Ok(Seen::Shard(document)) = seen.try_recv() else {
        panic!("it is a shard");
    };
    assert_eq!((document.at.index, document.count), (7, 256));
    assert_eq!(document.at.uid, "6f0c2d4e-3b1a-4c58-9d27-0e8f5a7b1c93");
    let entries: Result<Vec<_>, _> = document.entries.into_iter().collect();
    let entries = entries.expect("each is read");
    let realms: Vec<_> = entries.iter().map(|entry| entry.realm.as_str()).collect();
    assert_eq!(realms, ["blog/mail", "news/old", "shop/links"]);
    assert!(!entries[1].records_clicks() && entries[2].records_clicks());
}
