//! Retention on a real disk, with a clock of our own.

use std::path::Path;

use jiff::Timestamp;
use mailtrail_core::config::Domain;

use super::*;
use crate::metrics::Metrics;
use crate::store::fixtures::{event, message};
use crate::store::journal::Limits;
use crate::store::{Cursor, EventQuery, QueryError, Settings, inspect};

/// Small, so that some segments are written.
const SMALL: Limits = Limits {
    segment_bytes: 4096,
    total_bytes: u64::MAX,
    fill_bytes: 4096,
};
/// When everything begins, in milliseconds since 1970.
const BEGIN_MS: u64 = 1_790_000_000_000;
const DOMAINS: [&str; 3] = ["shop/day", "shop/year", "shop/unknown"];

fn open(dir: &Path) -> Store {
    let settings = Settings::at(dir.to_owned());
    Store::open_with(settings, SMALL, &Metrics::new()).expect("opens")
}

/// One domain keeps for a day, one for a year; the third is not configured.
fn retention() -> Retention {
    let domain = |realm: &str, host: &str, days| Domain {
        retention_days: days,
        ..Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
    };
    let snapshot = Snapshot::new([
        domain("shop/day", "a.example", 1),
        domain("shop/year", "b.example", 365),
    ]);
    Retention::of(&snapshot.expect("no conflict"))
}

/// An event and a message record of each domain, at a time.
fn fill(store: &Store, at_ms: u64, count: u32) {
    let time = Timestamp::from_millisecond(at_ms as i64).expect("a time");
    for n in 0..count {
        for domain in DOMAINS {
            let id = format!("{}-{n}.", domain.replace('/', "-"));
            let mut message = message(domain, &id, None, "tag");
            message.rewritten_at = time;
            drop(store.append_message(&message));
            let mut event = event(domain, &id);
            event.time = time;
            store.append_settled(&event).wait().expect("kept");
        }
    }
}

/// One look; what it removes on purpose is never called missing.
fn purge_at(store: &Store, now_ms: u64, known: &mut Known) -> Removed {
    let journal = &store.inner.journal;
    let stopped = AtomicBool::new(false);
    let removed = purge(journal, &retention(), now_ms, known, &stopped);
    let checks = inspect::check(&store.inner.folder.dir).expect("checked");
    assert!(checks.iter().all(inspect::Check::is_sound), "{checks:?}");
    removed.expect("purged")
}

fn list(store: &Store, domain: &str, after: Option<Cursor>) -> Result<(usize, Cursor), QueryError> {
    let query = EventQuery {
        after,
        ..EventQuery::of(domain.parse().expect("realm"))
    };
    let page = store.events(&query)?;
    Ok((page.events.len(), page.next))
}

fn counts(store: &Store) -> [usize; 3] {
    DOMAINS.map(|domain| list(store, domain, None).expect("page").0)
}

/// Which domains' records are in a file of the journal.
fn on_disk(dir: &Path) -> [bool; 3] {
    let files: Vec<_> = std::fs::read_dir(dir.join("journal"))
        .expect("folder")
        // One may be removed between being listed and being read.
        .filter_map(|entry| std::fs::read(entry.expect("entry").path()).ok())
        .collect();
    DOMAINS.map(|domain| {
        let ids = format!("{}-", domain.replace('/', "-"));
        let is_in = |bytes: &Vec<u8>| memchr::memmem::find(bytes, ids.as_bytes()).is_some();
        files.iter().any(is_in)
    })
}

#[test]
fn what_is_past_its_domains_retention_is_in_no_file_and_the_rest_is_listed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store, BEGIN_MS, 30);
    let mut known = Known::default();
    // To the end of the last millisecond everything stays.
    assert_eq!(
        purge_at(&store, BEGIN_MS + DAY_MS, &mut known),
        Removed::default()
    );
    assert_eq!(counts(&store), [30, 30, 30]);

    let removed = purge_at(&store, BEGIN_MS + DAY_MS + 1, &mut known);
    assert_eq!((removed.events, removed.messages), (30, 30));
    assert_eq!(
        (counts(&store), on_disk(dir.path())),
        ([0, 30, 30], [false, true, true])
    );

    purge_at(&store, BEGIN_MS + 45 * DAY_MS + 1, &mut known);
    assert_eq!(
        (counts(&store), on_disk(dir.path())),
        ([0, 30, 0], [false, true, false])
    );

    purge_at(&store, BEGIN_MS + 365 * DAY_MS + 1, &mut known);
    assert_eq!(
        (counts(&store), on_disk(dir.path())),
        ([0, 0, 0], [false; 3])
    );
    drop(store);
    let store = open(dir.path());
    assert_eq!(
        (counts(&store), on_disk(dir.path())),
        ([0, 0, 0], [false; 3])
    );
}

#[test]
fn a_segment_is_rewritten_once_for_a_domain() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store, BEGIN_MS, 30);
    let mut known = Known::default();
    purge_at(&store, BEGIN_MS + DAY_MS + 1, &mut known);
    let salts = || {
        let reader = store.inner.journal.reader();
        let salts = reader.parts().map(|part| part.segment.summary.salt);
        salts.collect::<Vec<_>>()
    };
    let before = salts();
    assert!(before.len() > 2);
    for hours in 1..48 {
        let now_ms = BEGIN_MS + DAY_MS + 1 + hours * 60 * 60 * 1000;
        assert_eq!(purge_at(&store, now_ms, &mut known), Removed::default());
    }
    assert_eq!(salts(), before);
}

#[test]
fn whole_old_segments_go_and_a_cursor_from_before_has_expired() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store, BEGIN_MS, 1);
    let (_, next) = list(&store, "shop/year", None).expect("page");
    fill(&store, BEGIN_MS, 30);
    // A day later the segment is ended: what comes stands in another.
    purge_at(&store, BEGIN_MS + DAY_MS, &mut Known::default());
    fill(&store, BEGIN_MS + 400 * DAY_MS, 5);
    let (_, last) = list(&store, "shop/year", None).expect("page");
    let files = || {
        std::fs::read_dir(dir.path().join("journal"))
            .expect("folder")
            .count()
    };
    let before = files();
    purge_at(&store, BEGIN_MS + 400 * DAY_MS, &mut Known::default());
    assert!(files() < before - 3, "{} of {before}", files());
    let expired = list(&store, "shop/year", Some(next));
    assert!(matches!(expired, Err(QueryError::Expired)), "{expired:?}");
    assert_eq!(list(&store, "shop/year", Some(last)).expect("page").0, 0);
    assert_eq!(counts(&store), [5, 5, 5]);
}

#[test]
fn no_number_is_given_again_after_everything_was_removed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store, BEGIN_MS, 30);
    let (_, last) = list(&store, "shop/year", None).expect("page");
    purge_at(&store, BEGIN_MS + 400 * DAY_MS, &mut Known::default());
    drop(store);
    let store = open(dir.path());
    fill(&store, BEGIN_MS + 400 * DAY_MS, 1);
    assert_eq!(list(&store, "shop/year", Some(last)).expect("page").0, 1);
}

#[test]
fn the_newest_record_of_another_kind_stays() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let journal = &store.inner.journal;
    let others = || {
        let mut others = Vec::new();
        let read = journal.reader().each_after(0, |head, payload| {
            if head.kind == 99 {
                others.push(payload.to_vec());
            }
            std::ops::ControlFlow::Continue(())
        });
        read.expect("reads");
        others
    };
    fill(&store, BEGIN_MS, 30);
    for mark in [b"one", b"two"] {
        let pending = journal.append(&journal.hub(), 99, BEGIN_MS, mark);
        pending.wait().expect("kept");
        fill(&store, BEGIN_MS, 30);
    }
    assert_eq!(others(), [b"one", b"two"]);
    purge_at(&store, BEGIN_MS + 400 * DAY_MS, &mut Known::default());
    assert_eq!(others().last().map(Vec::as_slice), Some(&b"two"[..]));
    assert_eq!(on_disk(dir.path()), [false; 3]);
}

#[test]
fn the_thread_looks_at_start_with_the_clock_it_is_given() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store, BEGIN_MS, 1);
    let now_ms = || BEGIN_MS + 2 * DAY_MS;
    let retaining = store.retain(retention, now_ms).expect("starts");
    while on_disk(dir.path())[0] {
        std::thread::yield_now();
    }
    drop(retaining);
    assert_eq!(counts(&store), [0, 1, 1]);
}
