//! The latest day counts, and what it replaced goes.

use mailtrail_core::event::{Event, EventKind};

use super::*;
use crate::store::fixtures::{event, small_store, wait_for_index};
use crate::store::{Store, SummaryQuery};

const DOMAIN: &str = "shop/links";

/// Keeps that somebody opened a mail, or followed a link, on a day.
fn keep(store: &Store, (message, reader): (&str, &str), kind: EventKind, day: u32) {
    let event = Event {
        kind,
        recipient: Some(reader.parse().expect("a recipient")),
        ..event(DOMAIN, message)
    };
    let (journal, payload) = (&store.inner.journal, record::encode_last(&event, day));
    let pending = journal.append(&journal.hub(), record::LAST, day_ms(day), &payload);
    pending.wait().expect("kept");
}

fn told(store: &Store, reader: &str) -> Vec<(String, EventKind, u32)> {
    let domain = DOMAIN.parse().expect("a realm");
    let reader = reader.parse().expect("a recipient");
    let lasts = store.last_dates(&domain, &reader).expect("days");
    let of = |last: LastDate| (last.message.to_string(), last.kind, last.day);
    lasts.into_iter().map(of).collect()
}

/// How many such records are on the disk.
fn held(store: &Store) -> usize {
    let mut count = 0;
    let read = store.inner.journal.reader().each_after(0, |head, _| {
        count += usize::from(head.kind == record::LAST);
        ControlFlow::Continue(())
    });
    read.expect("reads");
    count
}

fn forget(store: &Store, held_max: usize) {
    let lookup = store.inner.here().index.lookup();
    forget_replaced_bounded(&store.inner.journal, &lookup, held_max).expect("rewritten");
}

#[test]
fn a_later_day_is_told_at_once_and_what_it_replaced_leaves_the_disk() {
    use EventKind::{Clicked, Opened};
    for (held_max, indexed) in [(1 << 20, true), (7, true), (7, false)] {
        let (store, _dir) = small_store();
        for day in [20_001, 20_003, 20_002, 20_003] {
            for n in 0..30 {
                keep(&store, ("m-1", &format!("reader-{n}")), Opened, day);
            }
            keep(&store, ("m-2", "reader-0"), Opened, day - 1);
            keep(&store, ("m-1", "reader-0"), Clicked, day + 7);
        }
        if indexed {
            wait_for_index(&store);
        }
        let expected = [
            ("m-1".to_owned(), Opened, 20_003),
            ("m-1".to_owned(), Clicked, 20_010),
            ("m-2".to_owned(), Opened, 20_002),
        ];
        assert_eq!(told(&store, "reader-0"), expected);
        assert_eq!(held(&store), 4 * 32);
        forget(&store, held_max);
        assert_eq!(held(&store), 32, "{held_max}");
        assert_eq!(told(&store, "reader-0"), expected);
        assert_eq!(told(&store, "reader-29"), expected[..1]);
        assert_eq!(told(&store, "nobody"), []);
        // Again: there is nothing to do.
        forget(&store, held_max);
        assert_eq!(held(&store), 32);
    }
}

#[test]
fn the_summary_of_a_mail_shows_the_days_of_its_readers() {
    let (store, _dir) = small_store();
    keep(&store, ("m-1", "ada"), EventKind::Opened, 20_001);
    keep(&store, ("m-1", "ada"), EventKind::Clicked, 20_002);
    keep(&store, ("m-1", "bob"), EventKind::Opened, 20_000);
    keep(&store, ("m-2", "eve"), EventKind::Opened, 20_003);
    let ask = |recipient: Option<&str>| {
        let query = SummaryQuery {
            domain: DOMAIN.parse().expect("a realm"),
            message: "m-1".parse().expect("an id"),
            recipient: recipient.map(|of| of.parse().expect("a recipient")),
            since: None,
        };
        let summary = store.summary(&query).expect("a summary").expect("known");
        let readers = summary.readers.iter();
        let of = readers.map(|of| {
            let name = of.recipient.as_ref().map(|of| of.as_str().to_owned());
            (name.expect("a name"), of.opened_on, of.clicked_on)
        });
        of.collect::<Vec<_>>()
    };
    let ada = ("ada".to_owned(), Some(20_001), Some(20_002));
    let bob = ("bob".to_owned(), Some(20_000), None);
    assert_eq!(ask(None), [ada, bob.clone()]);
    assert_eq!(ask(Some("bob")), [bob]);
}

#[test]
fn who_is_erased_has_no_day_and_others_have_theirs() {
    let (store, _dir) = small_store();
    while !store.withdrawals_loaded() {
        std::thread::yield_now();
    }
    for n in 0..40 {
        keep(
            &store,
            ("m-1", &format!("reader-{n}")),
            EventKind::Opened,
            20_001,
        );
    }
    let (domain, ada) = (DOMAIN.parse(), "reader-7".parse());
    let (domain, ada) = (domain.expect("a realm"), ada.expect("a recipient"));
    store.erase(&domain, &ada).expect("erased");
    assert_eq!(told(&store, "reader-7"), []);
    assert_eq!(held(&store), 39);
}
