//! What became of a message, as its events say.

use mailtrail_core::event::Verdict;
use mailtrail_core::target::Target;

use super::*;
use crate::store::Store;
use crate::store::counts::Split;
use crate::store::fixtures::{event, message, small_store};

const DOMAIN: &str = "shop/links";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_790_000_000 + second).expect("a time")
}

/// A click of a reader on a link; position 0 is the pixel.
fn hit(reader: &str, position: u32, verdict: Verdict, second: i64) -> Event {
    let mut event = event(DOMAIN, "m");
    event.recipient = reader.parse().ok();
    event.client.verdict = verdict;
    event.time = at(second);
    event.link = match position {
        0 => None,
        _ => event.link.map(|link| mailtrail_core::event::EventLink {
            position: LinkPosition(position),
            target: Target::parse(&format!("https://e.com/{position}")).expect("target"),
            ..link
        }),
    };
    if position == 0 {
        event.kind = EventKind::Opened;
    }
    event
}

fn first(mut event: Event) -> Event {
    event.first = true;
    event
}

fn keep(store: &Store, events: &[Event]) {
    for event in events {
        store.append_settled(event).wait().expect("kept");
    }
}

fn ask(store: &Store, recipient: Option<&str>) -> Option<MessageSummary> {
    let query = SummaryQuery {
        domain: DOMAIN.parse().expect("realm"),
        message: "m".parse().expect("id"),
        recipient: recipient.map(|r| r.parse().expect("recipient")),
        since: None,
    };
    store.summary(&query).expect("a summary")
}

fn counts([people, machines, unknown, first]: [u64; 4]) -> HitCounts {
    HitCounts {
        people,
        machines,
        unknown,
        first,
        anonymous: Split::default(),
    }
}

/// Two readers, a scanner's burst on the second, somebody unknown.
fn busy() -> Vec<Event> {
    vec![
        first(hit("ada", 0, Verdict::Proxy, 10)),
        hit("ada", 0, Verdict::Human, 20),
        first(hit("ada", 2, Verdict::Human, 30)),
        hit("bob", 0, Verdict::Scanner, 1),
        hit("bob", 2, Verdict::Scanner, 1),
        hit("bob", 3, Verdict::Scanner, 2),
        first(hit("bob", 3, Verdict::Human, 90)),
        hit("eve", 2, Verdict::Unknown, 95),
    ]
}

#[test]
fn people_machines_and_unknown_are_told_apart_for_message_links_and_readers() {
    let (store, _dir) = small_store();
    keep(&store, &busy());
    let summary = ask(&store, None).expect("known");
    assert!(summary.complete && summary.record.is_none());
    assert_eq!(summary.opens.hits, counts([2, 1, 0, 1]));
    assert_eq!((summary.opens.unique, summary.derived_opens), (1, 1));
    assert_eq!(
        (summary.opens.first_at, summary.opens.last_at),
        (Some(at(10)), Some(at(20)))
    );
    assert_eq!(summary.clicks.hits, counts([2, 2, 1, 2]));
    assert_eq!(summary.clicks.unique, 2);
    let links: Vec<_> = summary
        .links
        .iter()
        .map(|link| (link.position.0, link.target.as_str(), link.clicks.hits))
        .collect();
    assert_eq!(
        links,
        [
            (2, "https://e.com/2", counts([1, 1, 1, 1])),
            (3, "https://e.com/3", counts([1, 1, 0, 1])),
        ]
    );
    let readers: Vec<_> = summary
        .readers
        .iter()
        .map(|r| {
            (
                r.recipient.as_ref().map(Recipient::as_str),
                r.is_derived_open(),
            )
        })
        .collect();
    assert_eq!(
        readers,
        [
            (Some("ada"), false),
            (Some("bob"), true),
            (Some("eve"), false)
        ]
    );
}

#[test]
fn case_98_a_click_by_a_person_without_an_open_is_a_derived_open() {
    let (store, _dir) = small_store();
    keep(
        &store,
        &[
            hit("ada", 0, Verdict::Prefetch, 1),
            hit("ada", 2, Verdict::Scanner, 2),
        ],
    );
    assert_eq!(ask(&store, None).expect("known").derived_opens, 0);
    keep(&store, &[hit("ada", 2, Verdict::Human, 3)]);
    assert_eq!(ask(&store, None).expect("known").derived_opens, 1);
    keep(&store, &[hit("ada", 0, Verdict::Proxy, 4)]);
    assert_eq!(ask(&store, None).expect("known").derived_opens, 0);
}

#[test]
fn case_96_hits_of_a_test_mail_are_in_none_of_the_figures() {
    let (store, _dir) = small_store();
    let mut test = hit("ada", 2, Verdict::Human, 3);
    test.test = true;
    keep(&store, &[test]);
    let summary = ask(&store, None).expect("known");
    assert_eq!(summary.test_hits, 1);
    assert_eq!(summary.clicks, HitSummary::default());
    assert!(summary.readers.is_empty() && summary.links.is_empty());
}

#[test]
fn the_last_rewrite_says_links_and_names_and_a_reader_narrows() {
    let (store, _dir) = small_store();
    for (reader, name) in [("ada", "old"), ("ada", "new"), ("bob", "bobs")] {
        let mut record = message(DOMAIN, "m", Some(reader), "x");
        record.links[0].name = Some(name.into());
        store.append_message(&record).wait().expect("kept");
    }
    let names = |recipient| {
        let summary = ask(&store, recipient).expect("known");
        assert_eq!(summary.links.len(), 1);
        (summary.links[0].name.clone(), summary.clicks.hits.people)
    };
    let (ada, bob) = (Some("ada"), Some("bob"));
    let check = || {
        assert_eq!(names(None).0.as_deref(), Some("bobs"));
        assert_eq!(names(ada), (Some("new".into()), 1));
        assert_eq!(names(bob), (Some("bobs".into()), 0));
    };
    keep(&store, &[hit("ada", 2, Verdict::Human, 3)]);
    check();
    let reader = store.inner.journal.reader();
    while !store.inner.here().index.is_caught_up(&reader) {
        std::thread::yield_now();
    }
    check();
    assert_eq!(ask(&store, Some("eve")), None);
}

#[test]
fn nothing_is_known_of_a_message_nobody_sent() {
    let (store, _dir) = small_store();
    let mut other = hit("ada", 2, Verdict::Human, 3);
    other.message_id = "n".parse().expect("id");
    keep(&store, &[other]);
    assert_eq!(ask(&store, None), None);
}

#[test]
fn readers_are_told_up_to_a_bound_and_counted_beyond_it() {
    let (store, _dir) = small_store();
    let readers = SUMMARY_MAX_READERS + 20;
    let events: Vec<_> = (0..readers)
        .map(|n| hit(&format!("r-{n}"), 0, Verdict::Human, n as i64))
        .collect();
    keep(&store, &events);
    let summary = ask(&store, None).expect("known");
    assert_eq!(summary.opens.unique, readers as u64);
    assert_eq!(summary.readers.len(), SUMMARY_MAX_READERS);
    assert!(summary.more_readers);
    assert!(!ask(&store, Some("r-3")).expect("known").more_readers);
}
