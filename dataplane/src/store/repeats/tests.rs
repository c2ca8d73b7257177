//! Rewriting again, as statistics see it.

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;

use super::*;
use crate::metrics::Metrics;
use crate::store::fixtures::{message, wait_for_index};
use crate::store::journal::Limits;
use crate::store::simulated::SimulatedDisk;
use crate::store::{Settings, StatsQuery, Store};

const DOMAIN: &str = "shop/links";
/// So small that a dozen records fill a segment.
const SMALL: Limits = Limits {
    segment_bytes: 4096,
    total_bytes: u64::MAX,
    fill_bytes: 4096,
};

fn open(dir: &Path) -> Store {
    Store::open_with(Settings::at(dir), SMALL, &Metrics::new()).expect("opens")
}

/// A rewrite in an hour since 1970.
fn rewrite(id: &str, recipient: Option<&str>, hour: i64) -> MessageRecord {
    let mut message = message(DOMAIN, id, recipient, "tag");
    message.rewritten_at = Timestamp::from_second(hour * 3600 + 7).expect("a time");
    message
}

fn keep(store: &Store, message: &MessageRecord) {
    store.append_message(message).wait().expect("kept");
}

/// Hours and how many mails were sent in them.
fn sent(store: &Store) -> Vec<(u32, u64)> {
    let asked = StatsQuery {
        domain: DOMAIN.parse().expect("realm"),
        from: 0,
        to: 1000,
    };
    let hours = store.stats(&asked).expect("hours");
    hours
        .into_iter()
        .map(|(hour, counts)| (hour, counts.sent))
        .collect()
}

#[test]
fn a_mail_counts_once_in_the_hour_of_its_first_rewrite() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    keep(&store, &rewrite("m", Some("ada"), 5));
    // Some segments later, in the index and no longer in memory alone.
    for n in 0..60 {
        keep(&store, &rewrite(&format!("other-{n}"), None, 6));
    }
    wait_for_index(&store);
    for hour in [5, 5, 7] {
        keep(&store, &rewrite("m", Some("ada"), hour));
    }
    let expected = [(5, 1), (6, 60)];
    assert_eq!(sent(&store), expected);
    drop(store);

    let store = open(dir.path());
    // The newest segment is read at the start, the index not yet there.
    keep(&store, &rewrite("other-59", None, 8));
    keep(&store, &rewrite("m", Some("ada"), 8));
    wait_for_index(&store);
    keep(&store, &rewrite("other-0", None, 8));
    assert_eq!(sent(&store), expected);
    // Other readers', and another mail, count.
    for (id, recipient) in [("m", Some("bob")), ("m", None), ("m-2", Some("ada"))] {
        keep(&store, &rewrite(id, recipient, 9));
    }
    assert_eq!(sent(&store), [(5, 1), (6, 60), (9, 3)]);
}

#[test]
fn a_test_mail_neither_counts_nor_keeps_the_real_one_from_counting() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut test = rewrite("m", None, 5);
    test.test = true;
    keep(&store, &test);
    drop(store);
    let store = open(dir.path());
    keep(&store, &test);
    keep(&store, &rewrite("m", None, 6));
    assert_eq!(sent(&store).last(), Some(&(6, 1)));
}

#[test]
fn of_mails_that_are_rewritten_at_once_each_counts_once() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for n in 0..50 {
                    keep(&store, &rewrite(&format!("m-{n}"), None, 5));
                }
            });
        }
    });
    assert_eq!(sent(&store), [(5, 50)]);
}

#[test]
fn a_mail_whose_record_was_lost_counts_when_it_is_rewritten() {
    let dir = tempfile::tempdir().expect("dir");
    let disk = SimulatedDisk::new(1);
    let settings = Settings::at(dir.path());
    let store = Store::open_on(Arc::new(disk.clone()), settings, SMALL, &Metrics::new());
    let store = store.expect("opens");
    let mail = rewrite("m", None, 5);
    disk.set_full(true);
    assert!(store.append_message(&mail).wait().is_err());
    disk.set_full(false);
    while store.append_message(&mail).wait().is_err() {
        std::thread::yield_now();
    }
    keep(&store, &mail);
    assert_eq!(sent(&store), [(5, 1)]);
}

#[test]
fn what_is_held_no_more_is_asked_of_the_index() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let (journal, index) = (&store.inner.journal, &store.inner.here().index);
    let repeats = Repeats::load_bounded(index.hasher(), journal, 4);
    let append = |id: &str| {
        let (mail, mut told) = (rewrite(id, None, 5), None);
        let pending = repeats.append(&mail, (journal, index), |again, _| {
            told = Some(again);
            let payload = record::encode_message(&mail, again).expect("a payload");
            journal.append(&journal.hub(), record::MESSAGE, 5, &payload)
        });
        pending.wait().expect("kept");
        told.expect("it was asked")
    };
    let ids: Vec<_> = (0..100).map(|n| format!("m-{n}")).collect();
    assert!(!ids.iter().any(|id| append(id)));
    // Those of the segment that is written are held, were there not so few.
    wait_for_index(&store);
    assert!(ids[..80].iter().all(|id| append(id)));
}
