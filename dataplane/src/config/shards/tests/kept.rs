use std::fs;
use std::path::Path;

use prometheus_client::registry::Registry;
use tempfile::TempDir;
use tokio::sync::watch;

use super::*;
use crate::config::ConfigMetrics;

pub(super) async fn keep(folder: &Path, shards: &Shards) -> ConfigMetrics {
    let metrics = ConfigMetrics::new(&mut Registry::default());
    let keeper = Keeper::new(KeptShards::in_folder(folder), metrics.clone());
    keeper.keep((0..COUNT).filter_map(|index| shards.served(index)));
    // Asked to stop at once: what waits is written before that.
    let (_stop, stopping) = watch::channel(true);
    keeper.run(stopping).await;
    metrics
}

pub(super) fn restored(folder: &Path) -> Shards {
    let mut shards = Shards::new(Order::Generation);
    shards.restore(KeptShards::in_folder(folder).read());
    shards
}

#[tokio::test]
async fn what_is_served_is_served_again_after_a_restart() {
    let folder = TempDir::new().expect("a folder");
    let mut shards = listed(vec![shard(0, 3, vec![entry("a/x", "x.example")])]);
    // Refused: what is kept is what is served.
    let later = with(entry("a/x", "y.example"), "later", json!(1));
    shards.apply(vec![shard(0, 4, vec![later])]);
    let metrics = keep(folder.path(), &shards).await;
    assert_eq!(metrics.domains_kept.get(), 1);
    let again = restored(folder.path());
    assert!(again.applied().is_complete());
    assert_eq!(host_of(&again, "a/x").as_deref(), Some("x.example"));
}

#[tokio::test]
async fn what_comes_from_the_disk_is_not_said_to_be_applied_until_it_is_confirmed() {
    let folder = TempDir::new().expect("a folder");
    keep(folder.path(), &listed(vec![shard(0, 3, vec![])])).await;
    let mut again = restored(folder.path());
    assert_eq!(again.applied().state(0), None);
    again.apply(vec![shard(0, 2, vec![])]);
    assert_eq!(again.applied().state(0), None);
    let unreadable = vec![json!({"version": 9, "realm": "a/x"})];
    again.apply(vec![shard(0, 3, unreadable)]);
    assert_eq!(
        again.applied().state(0).map(|state| state.generation),
        Some(3)
    );
    assert_eq!(rules(&again, 0).len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_set_aside_and_the_others_are_served() {
    let folder = TempDir::new().expect("a folder");
    let shards = listed(vec![
        shard(0, 1, vec![entry("a/x", "x.example")]),
        shard(1, 1, vec![entry("b/y", "y.example")]),
    ]);
    keep(folder.path(), &shards).await;
    for bad in ["", "{", "[]", "{\"version\":1,\"index\":7,\"count\":3}"] {
        let file = folder.path().join("shards/0000.json");
        fs::write(&file, bad).expect("written");
        let again = restored(folder.path());
        assert_eq!(host_of(&again, "a/x"), None);
        assert_eq!(host_of(&again, "b/y").as_deref(), Some("y.example"));
        assert_eq!(
            again.applied().waits_for().as_deref(),
            Some("waiting for configuration: 2 of 3 shards")
        );
        let aside = folder.path().join("shards/0000.json.aside");
        assert_eq!(fs::read_to_string(aside).expect("set aside"), bad);
    }
}

#[tokio::test]
async fn half_a_write_is_not_read() {
    let folder = TempDir::new().expect("a folder");
    keep(folder.path(), &listed(vec![])).await;
    fs::write(folder.path().join("shards/0001.json.new"), "{\"ver").expect("written");
    assert!(restored(folder.path()).applied().is_complete());
}

#[test]
fn what_cannot_be_written_is_told_by_the_metric_and_tried_again() {
    let folder = TempDir::new().expect("a folder");
    let in_the_way = folder.path().join("shards");
    fs::write(&in_the_way, "").expect("in the way");
    let metrics = ConfigMetrics::new(&mut Registry::default());
    let keeper = Keeper::new(KeptShards::in_folder(folder.path()), metrics.clone());
    let mut shards = listed(vec![shard(0, 1, vec![entry("a/x", "x.example")])]);
    keeper.keep((0..COUNT).filter_map(|index| shards.served(index)));
    assert!(!keeper.write_now());
    assert_eq!(metrics.domains_kept.get(), 0);
    // What came meanwhile is not taken back by what failed before it.
    shards.apply(vec![shard(0, 2, vec![entry("a/x", "y.example")])]);
    keeper.keep(shards.served(0));
    fs::remove_file(&in_the_way).expect("removed");
    assert!(keeper.write_now());
    assert_eq!(metrics.domains_kept.get(), 1);
    let again = restored(folder.path());
    assert!(again.applied().is_complete());
    assert_eq!(host_of(&again, "a/x").as_deref(), Some("y.example"));
}
