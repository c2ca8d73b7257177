//! Every hit is counted once, in its hour, whatever the index knows.

use std::collections::BTreeMap;

use mailtrail_core::config::{Domain, Recorded, Snapshot};
use mailtrail_core::event::{Event, EventKind, Unsettled, Verdict};

use super::*;
use crate::metrics::Metrics;
use crate::store::fixtures::{event, message, small_store, unsettled, wait_until_settled};
use crate::store::journal::Limits;
use crate::store::{Retention, Settings, Store};

const DOMAIN: &str = "shop/links";
/// An hour of the year 2026.
const HOUR: u32 = 497_222;

fn at(hour: u32, ms: i64) -> jiff::Timestamp {
    let ms = i64::from(HOUR + hour) * HOUR_MS + ms;
    jiff::Timestamp::from_millisecond(ms).expect("a time")
}

fn nth(n: usize) -> Event {
    let mut event = event(
        [DOMAIN, "shop/other"][usize::from(n.is_multiple_of(7))],
        "m",
    );
    event.time = at(n as u32 % 3, [0, HOUR_MS - 1][n % 2]);
    event.client.verdict = [
        Verdict::Human,
        Verdict::Proxy,
        Verdict::Scanner,
        Verdict::Unknown,
    ][n % 4];
    event.first = n.is_multiple_of(8);
    event.test = n.is_multiple_of(11);
    if n.is_multiple_of(5) {
        (event.kind, event.link) = (EventKind::Opened, None);
    }
    event
}

fn asked(from: u32, to: u32) -> StatsQuery {
    StatsQuery {
        domain: DOMAIN.parse().expect("realm"),
        from: HOUR + from,
        to: HOUR + to,
    }
}

/// What a walk over all events counts.
fn expected(events: &[Event]) -> BTreeMap<u32, HourCounts> {
    let mut hours = BTreeMap::<u32, HourCounts>::new();
    for event in events {
        if event.test || event.domain.as_str() != DOMAIN {
            continue;
        }
        let hour = u32::try_from(event.time.as_second() / 3600).expect("after 1970");
        let hour = hours.entry(hour).or_default();
        let hits = match event.kind {
            EventKind::Opened => &mut hour.opened,
            EventKind::Clicked => &mut hour.clicked,
        };
        match event.client.verdict {
            Verdict::Human | Verdict::Proxy => hits.people += 1,
            Verdict::Prefetch | Verdict::Scanner => hits.machines += 1,
            Verdict::Unknown => hits.unknown += 1,
        }
        hits.first += u64::from(event.first);
    }
    hours
}

fn caught_up(store: &Store) {
    let reader = store.inner.journal.reader();
    while !store.inner.here().index.is_caught_up(&reader) {
        std::thread::yield_now();
    }
}

#[test]
fn hours_are_the_same_with_the_index_without_it_and_after_opening_again() {
    let (store, dir) = small_store();
    let events: Vec<_> = (0..300).map(nth).collect();
    for event in &events {
        store.append_settled(event).wait().expect("kept");
    }
    let mut expected = expected(&events);
    for (n, test) in [(0, false), (1, false), (1, true), (2, false)] {
        let mut message = message(DOMAIN, &format!("sent-{n}"), None, "x");
        message.rewritten_at = at(n, 7);
        message.test = test;
        store.append_message(&message).wait().expect("kept");
        if !test {
            expected.entry(HOUR + n).or_default().sent += 1;
        }
    }
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    caught_up(&store);
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    drop(store);
    let settings = Settings::at(dir.path().to_owned());
    let store = Store::open(settings, Metrics::new().into()).expect("opens");
    caught_up(&store);
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    let one: Vec<_> = store
        .stats(&asked(1, 2))
        .expect("hours")
        .into_iter()
        .collect();
    assert_eq!(one, [(HOUR + 1, expected[&(HOUR + 1)])]);
    assert!(store.stats(&asked(3, 9)).expect("hours").is_empty());
}

#[test]
fn what_a_run_keeps_reads_back() {
    let key = |n: u64| KeyHash(n << 40);
    let mut hours = DomainHours::default();
    let payload = record::encode_event(&nth(1));
    let facts = record::event_facts(&payload).expect("facts");
    for domain in [3, 1, 2, 1] {
        hours.count_event(key(domain), &facts);
    }
    let bytes = hours.encode();
    assert_eq!(bytes.len(), 3 * ENTRY_BYTES);
    for domain in 0..5 {
        assert_eq!(
            decode(&bytes, key(domain)),
            hours.of(key(domain)),
            "{domain}"
        );
    }
    // Cut or changed, it is wrong and no more.
    for at in 0..bytes.len() {
        let _ = decode(&bytes[..at], key(1));
    }
}

#[test]
fn where_too_much_would_be_read_it_says_so_and_gives_no_half_truth() {
    let (store, _dir) = small_store();
    for n in 0..50 {
        store.append_settled(&nth(n)).wait().expect("kept");
    }
    store.inner.here().index.lose();
    let sources = Sources {
        reader: &store.inner.journal.reader(),
        lookup: &store.inner.here().index.lookup(),
        key: &store.inner.folder.key,
        budget: Budget::new(1000),
    };
    let refused = stats(sources, &asked(0, 3));
    assert!(
        matches!(refused, Err(QueryError::IndexBehind)),
        "{refused:?}"
    );
}

/// A hit that settles as a number.
fn anonymous(n: usize) -> Unsettled {
    let mut hit = unsettled(nth(n));
    hit.event.id = uuid::Uuid::now_v7();
    hit.event.recipient = Some("reader-q7x".parse().expect("a recipient"));
    hit.recorded = Recorded::Anonymous;
    hit
}

#[test]
fn what_is_told_of_nobody_counts_the_same_with_the_index_without_it_and_opened_again() {
    let dir = tempfile::tempdir().expect("dir");
    let open = || {
        let settings = Settings::at(dir.path()).settling_at_once();
        let limits = Limits {
            segment_bytes: 4096,
            total_bytes: u64::MAX,
            fill_bytes: 4096,
        };
        Store::open_with(settings, limits, &Metrics::new()).expect("opens")
    };
    let store = open();
    while !store.withdrawals_loaded() {
        std::thread::yield_now();
    }
    let mut told = Vec::new();
    for n in 0..300 {
        let hit = anonymous(n);
        store.append_hit(&hit).wait().expect("kept");
        told.push(Event {
            first: false,
            ..hit.event
        });
    }
    // A mail is sent once, whatever is kept of it, and of its second rewrite.
    let mut message = message(DOMAIN, "message-q7x", Some("reader-q7x"), "tag-q7x");
    message.rewritten_at = at(1, 7);
    for _ in 0..2 {
        store.append_sent(&message).wait().expect("kept");
    }
    store.append_message(&message).wait().expect("kept");
    wait_until_settled(&store);
    let mut expected = expected(&told);
    for counts in expected.values_mut() {
        for hits in [&mut counts.opened, &mut counts.clicked] {
            hits.anonymous = Split::of([hits.people, hits.machines, hits.unknown]);
        }
    }
    let of_mail = expected.entry(HOUR + 1).or_default();
    of_mail.sent += 1;
    of_mail.sent_anonymous += 1;
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    caught_up(&store);
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    store.inner.here().index.lose();
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    drop(store);
    let store = open();
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
    // Again, when only the disk knows.
    store.append_sent(&message).wait().expect("kept");
    caught_up(&store);
    assert_eq!(store.stats(&asked(0, 3)).expect("hours"), expected);
}

#[test]
fn numbers_go_with_the_retention_of_their_domain() {
    let (store, _dir) = small_store();
    let counted = |domain: &str, hour: u32| {
        let mut counted = Counted::none(domain, HOUR + hour, 1);
        counted.count(EventKind::Opened, Verdict::Human);
        let payload = record::encode_counted(&counted);
        let hub = store.inner.journal.hub();
        let ms = hour_ms(HOUR + hour);
        store
            .inner
            .journal
            .append(&hub, record::COUNTED, ms, &payload)
    };
    for n in 0..60 {
        for domain in [DOMAIN, "shop/other"] {
            counted(domain, n / 20).wait().expect("kept");
        }
    }
    let opened = |store: &Store| {
        let hours = store.stats(&asked(0, 9)).expect("hours");
        hours.values().map(|hour| hour.opened.people).sum::<u64>()
    };
    assert_eq!(opened(&store), 60);
    let mut domain = Domain::new(
        DOMAIN.parse().expect("realm"),
        "links.shop.example".parse().expect("host"),
    );
    domain.retention_days = 1;
    let retention = Retention::of(&Snapshot::new([domain]).expect("unique"));
    let now_ms = hour_ms(HOUR + 48);
    let retaining = store.retain(move || retention.clone(), move || now_ms);
    while opened(&store) > 0 {
        std::thread::yield_now();
    }
    drop(retaining);
    let other = StatsQuery {
        domain: "shop/other".parse().expect("realm"),
        ..asked(0, 9)
    };
    let hours = store.stats(&other).expect("hours");
    assert_eq!(
        hours.values().map(|hour| hour.opened.people).sum::<u64>(),
        60
    );
}
