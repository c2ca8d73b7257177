//! Erasing on a real disk, as users of the store see it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::event::Event;

use super::*;
use crate::metrics::Metrics;
use crate::store::fixtures::{event, hit, message, unsettled, wait_for_index, wait_until_settled};
use crate::store::journal::Limits;
use crate::store::{Cursor, EventQuery, Settings, Store, Withdrawn, inspect};

/// Small, so that some segments are written.
const SMALL: Limits = Limits {
    segment_bytes: 4096,
    total_bytes: u64::MAX,
    fill_bytes: 4096,
};
/// As it stands in an event and, quoted, in a message record.
const ADA: &str = "ada-lovelace@example.org";

fn open(dir: &Path) -> Store {
    let settings = Settings::at(dir).settling_at_once();
    let store = Store::open_with(settings, SMALL, &Metrics::new()).expect("opens");
    while !store.withdrawals_loaded() {
        std::thread::yield_now();
    }
    store
}

fn recipient(name: &str) -> Recipient {
    name.parse().expect("recipient")
}

fn realm(name: &str) -> Realm {
    name.parse().expect("realm")
}

/// Events of Ada and Bob in two domains, and a message record before each;
/// Ada's in the second have another name, to be found when it is erased too.
fn fill(store: &Store) {
    for n in 0..40 {
        for (domain, name) in [
            ("shop/links", ADA),
            ("shop/links", "bob"),
            ("shop/other", "ada-elsewhere"),
        ] {
            let id = format!("m-{n}");
            drop(store.append_message(&message(domain, &id, Some(name), "tag")));
            let mut event = event(domain, &id);
            event.recipient = Some(recipient(name));
            store.append_settled(&event).wait().expect("kept");
        }
    }
}

fn list(store: &Store, domain: &str, after: Option<Cursor>) -> (Vec<String>, Cursor) {
    let query = EventQuery {
        after,
        ..EventQuery::of(realm(domain))
    };
    let page = store.events(&query).expect("page");
    let name = |event: &mailtrail_core::event::Event| {
        let recipient = event.recipient.as_ref().map_or("", Recipient::as_str);
        format!("{} {recipient}", event.message_id.as_str())
    };
    (page.events.iter().map(name).collect(), page.next)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn assert_nowhere(dir: &Path, name: &str) {
    // A file that goes meanwhile may have another name now: all are read again.
    while !is_nowhere(&files(dir), name) {}
}

/// Fails where the name is found; `false` where a file is not there any more.
fn is_nowhere(files: &[PathBuf], name: &str) -> bool {
    files.iter().all(|file| match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        read => {
            let bytes = read.expect("readable");
            let found = memchr::memmem::find(&bytes, name.as_bytes());
            assert_eq!(found, None, "{name} in {}", file.display());
            true
        }
    })
}

#[test]
fn an_erased_recipient_is_in_no_file_and_others_read_as_before() {
    for indexed in [false, true] {
        let dir = tempfile::tempdir().expect("dir");
        let store = open(dir.path());
        fill(&store);
        if indexed {
            wait_for_index(&store);
        }
        let (before, _) = list(&store, "shop/links", None);
        let (elsewhere, _) = list(&store, "shop/other", None);
        let erased = store.erase(&realm("shop/links"), &recipient(ADA));
        assert_eq!(
            erased.expect("erased"),
            Erased {
                events: 40,
                messages: 40
            }
        );
        assert_nowhere(dir.path(), ADA);
        let expected: Vec<_> = before.into_iter().filter(|e| e.ends_with("bob")).collect();
        assert_eq!(list(&store, "shop/links", None).0, expected);
        assert_eq!(list(&store, "shop/other", None).0, elsewhere);
        // Nothing is left to do, and nothing comes back.
        let again = store.erase(&realm("shop/links"), &recipient(ADA));
        assert_eq!(again.expect("again"), Erased::default());
        drop(store);
        let store = open(dir.path());
        wait_for_index(&store);
        assert_nowhere(dir.path(), ADA);
        assert_eq!(list(&store, "shop/links", None).0, expected);
        let checks = inspect::check(dir.path()).expect("checked");
        assert!(checks.iter().all(inspect::Check::is_sound), "{checks:?}");
    }
}

#[test]
fn nothing_of_an_erased_recipient_is_recorded_any_more_in_that_domain() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    store
        .erase(&realm("shop/links"), &recipient(ADA))
        .expect("erased");
    let mut theirs = event("shop/links", "m-9");
    theirs.recipient = Some(recipient(ADA));
    let append = |hit: &Event| store.append_hit(&unsettled(hit.clone()));
    append(&theirs).wait().expect("nothing to keep");
    drop(store.append_message(&message("shop/links", "m-9", Some(ADA), "t")));
    theirs.domain = realm("shop/other");
    append(&theirs).wait().expect("kept");
    wait_until_settled(&store);
    assert_eq!(list(&store, "shop/links", None).0, [""; 0]);
    assert_eq!(list(&store, "shop/other", None).0.len(), 1);
    assert_eq!(
        store.withdrawn(&realm("shop/links"), &recipient(ADA)),
        Withdrawn::Yes
    );
}

#[test]
fn a_cursor_from_before_goes_on_where_it_was() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store);
    let (_, next) = list(&store, "shop/links", None);
    store
        .erase(&realm("shop/links"), &recipient(ADA))
        .expect("erased");
    assert_eq!(list(&store, "shop/links", Some(next.clone())).0, [""; 0]);
    store
        .append_settled(&event("shop/links", "late"))
        .wait()
        .expect("kept");
    drop(store);
    let store = open(dir.path());
    assert_eq!(list(&store, "shop/links", Some(next)).0, ["late "]);
}

#[test]
fn an_index_that_was_set_aside_holds_no_name() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store);
    wait_for_index(&store);
    drop(store);
    std::fs::rename(dir.path().join("index"), dir.path().join("index.aside")).expect("moved");
    let store = open(dir.path());
    store
        .erase(&realm("shop/links"), &recipient(ADA))
        .expect("erased");
    assert!(dir.path().join("index.aside").exists());
    assert_nowhere(dir.path(), ADA);
}

#[test]
fn a_damaged_record_of_theirs_goes_too() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store);
    drop(store);
    let path = dir.path().join("journal/0000000002.journal");
    let mut bytes = std::fs::read(&path).expect("segment");
    let at = memchr::memmem::find(&bytes, ADA.as_bytes()).expect("a record of theirs");
    bytes[at - 3] ^= 0x40;
    std::fs::write(&path, bytes).expect("written");
    let store = open(dir.path());
    store
        .erase(&realm("shop/links"), &recipient(ADA))
        .expect("erased");
    assert_nowhere(dir.path(), ADA);
    let (left, _) = list(&store, "shop/links", None);
    assert_eq!(left.len(), 40, "{left:?}");
}

#[test]
fn a_draft_that_a_crash_left_is_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store);
    drop(store);
    let journal = dir.path().join("journal");
    let segment = journal.join("0000000001.journal");
    std::fs::copy(&segment, journal.join("0000000001.rewrite")).expect("copied");
    let store = open(dir.path());
    assert!(!journal.join("0000000001.rewrite").exists());
    store
        .erase(&realm("shop/links"), &recipient(ADA))
        .expect("erased");
    assert_nowhere(dir.path(), ADA);
}

/// Requests that had looked at the list before the recipient was on it.
#[test]
fn what_is_appended_while_it_is_erased_does_not_stay() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    for round in 0..5 {
        let name = format!("reader-{round}@example.org");
        std::thread::scope(|scope| {
            for _ in 0..3 {
                let store = store.local();
                let mut theirs = hit("shop/links", "m");
                theirs.event.recipient = Some(recipient(&name));
                scope.spawn(move || {
                    for _ in 0..200 {
                        drop(store.append_hit(&theirs));
                    }
                });
            }
            store
                .erase(&realm("shop/links"), &recipient(&name))
                .expect("erased");
        });
        // All that was appended is on the disk.
        store
            .append_hit(&hit("shop/links", "last"))
            .wait()
            .expect("kept");
        wait_until_settled(&store);
        assert_nowhere(dir.path(), &name);
    }
}

#[test]
fn hits_that_wait_for_their_verdict_or_have_just_settled_go_too() {
    for settle in [Duration::from_secs(100), Duration::ZERO] {
        let dir = tempfile::tempdir().expect("dir");
        let settings = Settings {
            settle,
            ..Settings::at(dir.path())
        };
        let store = Store::open(settings, Arc::new(Metrics::new())).expect("opens");
        while !store.withdrawals_loaded() {
            std::thread::yield_now();
        }
        for name in [ADA, "bob", ADA, "bob"] {
            let mut theirs = hit("shop/links", "m");
            theirs.event.time = Timestamp::now();
            theirs.event.recipient = Some(recipient(name));
            store.append_hit(&theirs).wait().expect("kept");
        }
        if settle.is_zero() {
            wait_until_settled(&store);
        }
        store
            .erase(&realm("shop/links"), &recipient(ADA))
            .expect("erased");
        assert_nowhere(dir.path(), ADA);
        drop(store);
        let store = open(dir.path());
        wait_until_settled(&store);
        assert_eq!(list(&store, "shop/links", None).0, ["m bob", "m bob"]);
    }
}
