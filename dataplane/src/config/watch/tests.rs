use std::fs;
use std::path::Path;
use std::time::Duration;

use mailtrail_core::config::DomainState;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::token::Keys;
use tempfile::TempDir;

use super::*;
use crate::config::manifests::{load, load_and_keep};
use crate::config::watch;

fn manifest(host: &str) -> String {
    format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{namespace: shop, name: links}}\nspec: {{host: {host}}}\n"
    )
}

struct Fixture {
    folder: TempDir,
    data: TempDir,
    live: Arc<Live>,
    metrics: ConfigMetrics,
    watcher: Watcher,
}

fn watching() -> Fixture {
    let folder = TempDir::new().expect("a folder");
    fs::write(folder.path().join("a.yaml"), manifest("a.localhost")).expect("written");
    let loaded = load(folder.path()).expect("loaded");
    let mut random = [7; 35];
    random[3] = 1;
    let keys = Keys::new(Keyring::generate(random).expect("a good key"));
    let live = Arc::new(Live::new(loaded.snapshot, keys));
    let metrics = ConfigMetrics::new(&mut prometheus_client::registry::Registry::default());
    let path = folder.path().to_owned();
    let data = TempDir::new().expect("a folder");
    let watcher = Watcher::new(
        path,
        loaded.baseline,
        Arc::clone(&live),
        metrics.clone(),
        Kept::in_folder(data.path()),
    );
    Fixture {
        folder,
        data,
        live,
        metrics,
        watcher,
    }
}

impl Fixture {
    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn host(&self) -> String {
        let realm = "shop/links".parse().expect("a realm");
        let snapshot = self.live.snapshot();
        snapshot
            .by_realm(&realm)
            .expect("the domain")
            .host
            .to_string()
    }
}

#[test]
fn a_change_is_served_once_it_has_settled() {
    let mut f = watching();
    assert_eq!(f.watcher.look(), Looked::Unchanged);
    f.write("a.yaml", &manifest("bb.localhost"));
    let under_way = f.live.snapshot();
    assert_eq!(f.watcher.look(), Looked::Settling);
    assert_eq!(f.host(), "a.localhost");
    assert_eq!(f.watcher.look(), Looked::Reloaded);
    assert_eq!(f.host(), "bb.localhost");
    // A request that began before keeps what it began with.
    assert!(under_way.by_host("bb.localhost").is_none());
    assert_eq!(f.watcher.look(), Looked::Unchanged);
}

#[test]
fn files_that_go_on_changing_are_not_read() {
    let mut f = watching();
    for n in 0..5 {
        f.write(
            "a.yaml",
            &manifest(&format!("{}.localhost", "b".repeat(n + 2))),
        );
        assert_eq!(f.watcher.look(), Looked::Settling);
    }
    assert_eq!(f.watcher.look(), Looked::Reloaded);
}

#[test]
fn a_bad_file_keeps_the_last_good_state_and_a_good_one_recovers() {
    let mut f = watching();
    f.write("a.yaml", &manifest("Bad"));
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Refused)
    );
    // Told once, not at every look.
    assert_eq!(f.watcher.look(), Looked::Unchanged);
    assert_eq!(f.host(), "a.localhost");
    assert_eq!(
        (
            f.metrics.reload_failures.get(),
            f.metrics.last_reload_ok.get()
        ),
        (1, 0)
    );
    let status = f.live.status();
    assert_eq!(status.domains.len(), 1);
    let [refused] = status.refused.as_slice() else {
        panic!("{status:?}")
    };
    assert!(
        refused
            .to_string()
            .contains("a.yaml:4:14: spec.host: must be "),
        "{refused}"
    );
    f.write("a.yaml", &manifest("good.localhost"));
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(f.host(), "good.localhost");
    assert_eq!(
        (f.metrics.reloads.get(), f.metrics.last_reload_ok.get()),
        (1, 1)
    );
    assert!(f.live.status().refused.is_empty());
}

#[test]
fn a_folder_that_vanishes_changes_nothing() {
    let mut f = watching();
    let path = f.folder.path().to_owned();
    let away = path.with_extension("away");
    fs::rename(&path, &away).expect("moved away");
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Refused)
    );
    assert_eq!(f.host(), "a.localhost");
    fs::rename(&away, &path).expect("moved back");
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
}

#[test]
fn a_swapped_link_is_a_change() {
    let f = watching();
    let folder = TempDir::new().expect("a folder");
    let swap = |to: &str| {
        let (new, link) = (folder.path().join("..new"), folder.path().join("..data"));
        std::os::unix::fs::symlink(to, &new).expect("linked");
        fs::rename(new, link).expect("swapped");
    };
    for (version, host) in [("..1", "a.localhost"), ("..2", "b.localhost")] {
        fs::create_dir(folder.path().join(version)).expect("made");
        fs::write(folder.path().join(version).join("a.yaml"), manifest(host)).expect("written");
    }
    swap("..1");
    std::os::unix::fs::symlink("..data/a.yaml", folder.path().join("a.yaml")).expect("linked");
    let baseline = load(folder.path()).expect("loaded").baseline;
    let mut watcher = Watcher::new(
        folder.path().to_owned(),
        baseline,
        Arc::clone(&f.live),
        f.metrics.clone(),
        Kept::in_folder(f.data.path()),
    );
    assert_eq!(watcher.look(), Looked::Unchanged);
    swap("..2");
    assert_eq!(
        (watcher.look(), watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(f.host(), "b.localhost");
}

#[test]
fn case_85_a_manifest_that_is_deleted_retires_its_domain_and_brings_it_back() {
    let mut f = watching();
    f.write(
        "b.yaml",
        &manifest("b.localhost").replace("name: links", "name: other"),
    );
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    let state = |f: &Fixture| {
        f.live
            .snapshot()
            .by_host("b.localhost")
            .map(|domain| domain.state)
    };
    fs::remove_file(f.folder.path().join("b.yaml")).expect("deleted");
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(state(&f), Some(DomainState::Retired));
    // Still so after another start.
    let kept = Kept::in_folder(f.data.path());
    let started = load_and_keep(f.folder.path(), &kept, true).expect("loaded");
    let retired = started.snapshot.by_host("b.localhost").expect("kept");
    assert_eq!(retired.state, DomainState::Retired);
    // And after another, unrelated change.
    f.write("a.yaml", &manifest("aa.localhost"));
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(state(&f), Some(DomainState::Retired));
    f.write(
        "b.yaml",
        &manifest("b.localhost").replace("name: links", "name: other"),
    );
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(state(&f), Some(DomainState::Active));
}

#[test]
fn the_same_entry_has_the_same_digest() {
    let mut f = watching();
    let digest = |f: &Fixture| f.live.status().domains[0].digest.clone();
    let first = digest(&f);
    assert_eq!(first.len(), 64);
    f.write("a.yaml", &(manifest("a.localhost") + "# a remark\n"));
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_eq!(digest(&f), first);
    f.write(
        "a.yaml",
        &manifest("a.localhost").replace("{host", "{opens: {enabled: true}, host"),
    );
    assert_eq!(
        (f.watcher.look(), f.watcher.look()),
        (Looked::Settling, Looked::Reloaded)
    );
    assert_ne!(digest(&f), first);
}

#[tokio::test]
async fn watching_ends_when_it_is_told_to() {
    let f = watching();
    watch(f.watcher, std::future::ready(())).await;
}

#[tokio::test]
async fn a_change_is_served_by_itself() {
    let f = watching();
    fs::write(
        Path::new(f.folder.path()).join("a.yaml"),
        manifest("later.localhost"),
    )
    .expect("written");
    let live = Arc::clone(&f.live);
    let served = async move {
        while live.snapshot().by_host("later.localhost").is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let watched = watch(f.watcher, served);
    tokio::time::timeout(Duration::from_secs(30), watched)
        .await
        .expect("served within the time");
}
