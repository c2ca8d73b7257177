//! Messages are found by what their records say, newest first.

use std::collections::BTreeMap;

use super::*;
use crate::store::fixtures::{self, small_store};
use crate::store::{READ_MAX_BYTES, Store};

const DOMAIN: &str = "shop/links";

fn message(id: &str, recipient: Option<&str>) -> MessageRecord {
    fixtures::message(DOMAIN, id, recipient, "x")
}

fn time(n: i64) -> Option<Timestamp> {
    Timestamp::from_millisecond(1_790_000_000_000 + n).ok()
}

fn nth(n: usize) -> MessageRecord {
    let mut record = message(&format!("m-{n}"), ["ada", "bob"].get(n % 3).copied());
    if n.is_multiple_of(7) {
        record.domain = "shop/other".parse().expect("realm");
    }
    record.rewritten_at = time(n as i64).expect("a time");
    record.tags.insert("third".into(), (n % 3).to_string());
    record.tags.insert("fourth".into(), (n % 4).to_string());
    record
}

/// All messages that are asked for, page by page; and how many pages.
fn all(store: &Store, asked: &MessageQuery, bytes: u64) -> (Vec<MessageRecord>, usize) {
    let mut asked = asked.clone();
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let sources = Sources {
            reader: &store.inner.journal.reader(),
            lookup: &store.inner.here().index.lookup(),
            key: &store.inner.folder.key,
            budget: Budget::new(bytes),
        };
        let page = messages(sources, &asked).expect("a page");
        assert!(page.messages.len() <= asked.limit);
        found.extend(page.messages);
        pages += 1;
        match page.next {
            Some(next) => asked.after = Some(next),
            None => return (found, pages),
        }
    }
}

/// The question for everything, changed.
fn asked(change: impl FnOnce(&mut MessageQuery)) -> MessageQuery {
    let mut query = MessageQuery {
        domain: DOMAIN.parse().expect("realm"),
        recipient: None,
        tags: BTreeMap::new(),
        id_prefix: None,
        since: None,
        until: None,
        after: None,
        limit: 7,
    };
    change(&mut query);
    query
}

fn tags(tags: &[(&str, &str)]) -> BTreeMap<String, String> {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    tags.iter().map(owned).collect()
}

/// Questions, and which numbers pass.
type Question = (MessageQuery, fn(usize) -> bool);

fn questions() -> Vec<Question> {
    vec![
        (asked(|_| {}), |_| true),
        (asked(|q| q.recipient = "bob".parse().ok()), |n| n % 3 == 1),
        (asked(|q| q.tags = tags(&[("third", "2")])), |n| n % 3 == 2),
        (
            asked(|q| q.tags = tags(&[("third", "2"), ("fourth", "1")])),
            |n| n % 3 == 2 && n % 4 == 1,
        ),
        (asked(|q| q.tags = tags(&[("third", "9")])), |_| false),
        (asked(|q| q.id_prefix = Some("m-1".into())), |n| {
            n.to_string().starts_with('1')
        }),
        (asked(|q| (q.since, q.until) = (time(40), time(90))), |n| {
            (40..90).contains(&n)
        }),
    ]
}

#[test]
fn messages_are_found_newest_first_with_and_without_the_index() {
    let (store, _dir) = small_store();
    let records: Vec<_> = (0..120).map(nth).collect();
    for record in &records {
        store.append_message(record).wait().expect("kept");
    }
    let check = || {
        for (asked, passes) in questions() {
            let expected: Vec<_> = records
                .iter()
                .enumerate()
                .filter(|(n, record)| record.domain.as_str() == DOMAIN && passes(*n))
                .map(|(_, record)| record.clone())
                .rev()
                .collect();
            for bytes in [READ_MAX_BYTES, 1] {
                assert_eq!(all(&store, &asked, bytes).0, expected, "{bytes} {asked:?}");
            }
        }
    };
    check();
    let reader = store.inner.journal.reader();
    while !store.inner.here().index.is_caught_up(&reader) {
        std::thread::yield_now();
    }
    check();
}

#[test]
fn what_is_rewritten_meanwhile_is_not_repeated_on_older_pages() {
    let (store, _dir) = small_store();
    for n in 1..7 {
        store
            .append_message(&message(&format!("m-{n}"), None))
            .wait()
            .expect("kept");
    }
    let mut asked = asked(|q| q.limit = 3);
    let first = store.messages(&asked).expect("a page");
    store
        .append_message(&message("late", None))
        .wait()
        .expect("kept");
    asked.after = first.next;
    let second = store.messages(&asked).expect("a page");
    let ids = |page: &[MessageRecord]| -> Vec<String> {
        page.iter().map(|m| m.message_id.to_string()).collect()
    };
    assert_eq!(ids(&first.messages), ["m-6", "m-5", "m-4"]);
    assert_eq!(ids(&second.messages), ["m-3", "m-2", "m-1"]);
}

#[test]
fn a_cursor_of_events_is_none_of_messages() {
    let (store, _dir) = small_store();
    let events = crate::store::EventQuery::of(DOMAIN.parse().expect("realm"));
    let next = store.events(&events).expect("a page").next;
    let refused = store.messages(&asked(|q| q.after = Some(next)));
    assert!(matches!(refused, Err(QueryError::Cursor)));
}
