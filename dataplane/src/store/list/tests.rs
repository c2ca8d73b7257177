//! Filters, cursors and the bound on reading, with and without the index.

use std::collections::BTreeMap;

use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::message::MessageRecord;
use uuid::Uuid;

use super::*;
use crate::store::fixtures::{event, small_store};
use crate::store::{READ_MAX_BYTES, Store};

const DOMAIN: &str = "shop/links";
const VERDICTS: [Verdict; 5] = [
    Verdict::Human,
    Verdict::Proxy,
    Verdict::Prefetch,
    Verdict::Scanner,
    Verdict::Unknown,
];

/// A store of small segments, and what is in it.
struct World {
    store: Store,
    events: Vec<Event>,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let (store, dir) = small_store();
        for n in 0..6 {
            drop(store.append_message(&record(n)));
        }
        let events: Vec<_> = (0..200).map(nth).collect();
        for event in &events {
            // Each waits, so that there are many segments.
            store.append_settled(event).wait().expect("kept");
        }
        Self {
            store,
            events,
            _dir: dir,
        }
    }

    fn wait_for_the_index(&self) {
        let reader = self.store.inner.journal.reader();
        while !self.store.inner.here().index.is_caught_up(&reader) {
            std::thread::yield_now();
        }
    }

    /// All pages, each question bounded; and how many pages.
    fn all(&self, filter: &EventFilter, limit: usize, bytes: u64) -> (Vec<Uuid>, usize) {
        let mut query = EventQuery {
            filter: filter.clone(),
            limit,
            ..EventQuery::of(DOMAIN.parse().expect("realm"))
        };
        let (mut found, mut pages) = (Vec::new(), 0);
        loop {
            let inner = &self.store.inner;
            let sources = Sources {
                reader: &inner.journal.reader(),
                lookup: &inner.here().index.lookup(),
                key: &inner.folder.key,
                budget: Budget::new(bytes),
            };
            let page = events(sources, &query).expect("a page");
            assert!(page.events.len() <= limit);
            found.extend(page.events.iter().map(|event| event.id));
            pages += 1;
            if !page.more {
                return (found, pages);
            }
            query.after = Some(page.next);
        }
    }
}

/// The record of the message that every sixth event is of.
fn record(n: usize) -> MessageRecord {
    MessageRecord {
        domain: DOMAIN.parse().expect("realm"),
        message_id: format!("m-{n}").parse().expect("id"),
        recipient: recipient(n),
        rewritten_at: jiff::Timestamp::UNIX_EPOCH,
        tags: tags(n),
        links: Vec::new(),
        pixel: true,
        test: false,
        from: None,
        to: None,
        subject: None,
        sent_at: None,
    }
}

fn recipient(n: usize) -> Option<mailtrail_core::id::Recipient> {
    ["ada", "bob", ""][n % 3].parse().ok()
}

fn tags(n: usize) -> BTreeMap<String, String> {
    let parity = ["even", "odd"][n % 2];
    BTreeMap::from([
        ("parity".into(), parity.into()),
        ("third".into(), (n % 3).to_string()),
    ])
}

fn nth(n: usize) -> Event {
    let mut event = event(
        [DOMAIN, DOMAIN, "shop/other"][n % 7 % 3],
        &format!("m-{}", n % 6),
    );
    event.recipient = recipient(n % 6);
    event.client.verdict = VERDICTS[n % 5];
    event.first = n.is_multiple_of(11);
    event.test = n.is_multiple_of(13);
    event.time = jiff::Timestamp::from_millisecond(1_790_000_000_000 + n as i64).expect("a time");
    if n.is_multiple_of(4) {
        (event.kind, event.link) = (EventKind::Opened, None);
    }
    event
}

/// The filter of everything, changed.
fn narrowed(change: impl FnOnce(&mut EventFilter)) -> EventFilter {
    let mut filter = EventFilter::default();
    change(&mut filter);
    filter
}

fn filters() -> Vec<EventFilter> {
    let time = |n: i64| jiff::Timestamp::from_millisecond(1_790_000_000_000 + n).ok();
    let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    vec![
        EventFilter::default(),
        narrowed(|f| f.kind = Some(EventKind::Opened)),
        narrowed(|f| f.message = "m-4".parse().ok()),
        narrowed(|f| f.recipient = recipient(0)),
        narrowed(|f| (f.message, f.recipient) = ("m-3".parse().ok(), recipient(3))),
        narrowed(|f| (f.message, f.recipient) = ("m-3".parse().ok(), recipient(1))),
        narrowed(|f| f.verdicts = vec![Verdict::Human, Verdict::Scanner]),
        narrowed(|f| f.first = Some(true)),
        narrowed(|f| (f.first, f.test) = (Some(false), Some(true))),
        narrowed(|f| (f.since, f.until) = (time(50), time(150))),
        narrowed(|f| f.since = time(500)),
        narrowed(|f| f.tags = BTreeMap::from([tag("parity", "odd")])),
        narrowed(|f| {
            f.tags = BTreeMap::from([tag("parity", "odd"), tag("third", "2")]);
            f.verdicts = vec![Verdict::Unknown];
        }),
        narrowed(|f| f.tags = BTreeMap::from([tag("third", "7")])),
    ]
}

#[test]
fn every_filter_takes_what_it_says_with_and_without_the_index() {
    let world = World::new();
    let check = || {
        for filter in filters() {
            let expected: Vec<_> = world
                .events
                .iter()
                .filter(|event| event.domain.as_str() == DOMAIN)
                .filter(|event| filter.takes_but_for_tags(event))
                .filter(|event| {
                    let of = event.message_id.as_str()[2..].parse().expect("a number");
                    filter.takes_tags(&tags(of))
                })
                .map(|event| event.id)
                .collect();
            assert_eq!(
                world.all(&filter, 7, READ_MAX_BYTES).0,
                expected,
                "{filter:?}"
            );
            // So little may be read that every page ends early.
            assert_eq!(world.all(&filter, 7, 1).0, expected, "{filter:?}");
        }
    };
    check();
    world.wait_for_the_index();
    check();
}

#[test]
fn a_page_that_may_not_read_on_ends_early_and_says_that_there_is_more() {
    let world = World::new();
    let nothing = EventFilter {
        tags: BTreeMap::from([("none".into(), "of them".into())]),
        ..EventFilter::default()
    };
    assert_eq!(world.all(&nothing, 1000, READ_MAX_BYTES), (Vec::new(), 1));
    let (found, pages) = world.all(&nothing, 1000, 10_000);
    assert!(found.is_empty() && (3..150).contains(&pages), "{pages}");
}

#[test]
fn a_cursor_is_good_with_other_filters() {
    let world = World::new();
    let mut query = EventQuery {
        limit: 20,
        ..EventQuery::of(DOMAIN.parse().expect("realm"))
    };
    query.filter.kind = Some(EventKind::Opened);
    let first = world.store.events(&query).expect("a page");
    query.filter = EventFilter::default();
    query.after = Some(first.next);
    query.limit = PAGE_MAX_EVENTS;
    let rest = world.store.events(&query).expect("a page");
    let last = first.events.last().expect("some").id;
    let place = world.events.iter().position(|event| event.id == last);
    let behind = &world.events[place.expect("it is one of them") + 1..];
    let expected = behind.iter().filter(|e| e.domain.as_str() == DOMAIN);
    assert!(rest.events.iter().map(|e| e.id).eq(expected.map(|e| e.id)));
}
