//! The index changes no answer, whatever becomes of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::metrics::Metrics;
use crate::store::fixtures::{event, message, unsettled, wait_for_index, wait_until_settled};
use crate::store::journal::Limits;
use crate::store::{EventQuery, Settings, Store};

const SMALL: Limits = Limits {
    segment_bytes: 4096,
    total_bytes: u64::MAX,
    fill_bytes: 4096,
};

fn open(dir: &Path) -> Store {
    let settings = Settings::at(dir).settling_at_once();
    Store::open_with(settings, SMALL, &Metrics::new()).expect("opens")
}

/// The events of each domain and message.
type Expected = BTreeMap<(String, String), Vec<uuid::Uuid>>;

/// Everything of a domain, by pages, each with its tag.
fn list(store: &Store, domain: &str, message: Option<&str>) -> Vec<(uuid::Uuid, Option<String>)> {
    let mut query = EventQuery {
        limit: 7,
        ..EventQuery::of(domain.parse().expect("realm"))
    };
    query.filter.message = message.map(|message| message.parse().expect("id"));
    let mut found = Vec::new();
    loop {
        let page = store.events(&query).expect("page");
        if page.events.is_empty() {
            return found;
        }
        query.after = Some(page.next);
        let tag = |event: &mailtrail_core::event::Event| event.tags.get("n").cloned();
        found.extend(page.events.iter().map(|event| (event.id, tag(event))));
    }
}

/// Fills some segments; gives what each question should find.
fn fill(store: &Store) -> Expected {
    let mut expected = BTreeMap::<_, Vec<_>>::new();
    for n in 0..300 {
        let domain = ["shop/links", "shop/rare"][usize::from(n % 50 == 0)];
        let id = format!("m-{}", n % 20);
        if n < 20 {
            drop(store.append_message(&message(domain, &id, None, &id)));
        }
        let event = event(domain, &id);
        let hit = unsettled(event.clone());
        store.append_hit(&hit).wait().expect("kept");
        expected
            .entry((domain.into(), id))
            .or_default()
            .push(event.id);
    }
    wait_until_settled(store);
    expected
}

fn check(store: &Store, expected: &Expected) {
    for ((domain, id), events) in expected {
        let found = list(store, domain, Some(id));
        let found: Vec<_> = found.into_iter().map(|(id, _)| id).collect();
        assert_eq!(&found, events, "{domain} {id}");
    }
    let all: usize = expected.values().map(Vec::len).sum();
    let found = list(store, "shop/links", None).len() + list(store, "shop/rare", None).len();
    assert_eq!(found, all);
}

#[test]
fn answers_are_the_same_with_the_index_without_it_and_after_it_was_lost() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let expected = fill(&store);
    check(&store, &expected);
    wait_for_index(&store);
    check(&store, &expected);
    let with = list(&store, "shop/links", None);
    store.inner.here().index.shared.forget();
    *store.inner.here().index.shared.tail() = None;
    assert_eq!(list(&store, "shop/links", None), with, "tags too");
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).expect("removed");
    let store = open(dir.path());
    check(&store, &expected);
    wait_for_index(&store);
    check(&store, &expected);
    assert_eq!(list(&store, "shop/links", None), with);
}

#[test]
fn an_index_that_is_damaged_is_set_aside_and_made_anew() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let expected = fill(&store);
    wait_for_index(&store);
    drop(store);
    let index = dir.path().join("index");
    for entry in walk(&index) {
        let length = std::fs::metadata(&entry).expect("file").len();
        std::fs::write(&entry, vec![0x5a; length as usize]).expect("written");
    }
    let store = open(dir.path());
    check(&store, &expected);
    wait_for_index(&store);
    check(&store, &expected);
    assert!(dir.path().join("index.aside").exists());
}

#[test]
fn an_index_of_another_journal_is_not_believed() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    fill(&store);
    wait_for_index(&store);
    drop(store);
    for journal in ["journal", "hits"] {
        std::fs::remove_dir_all(dir.path().join(journal)).expect("removed");
    }
    let store = open(dir.path());
    let expected = fill(&store);
    check(&store, &expected);
    wait_for_index(&store);
    check(&store, &expected);
}

#[test]
fn an_event_carries_tags_and_link_name_of_the_last_record_of_its_reader() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    for (recipient, tag) in [
        (Some("ada"), "old"),
        (Some("bob"), "bob"),
        (Some("ada"), "new"),
    ] {
        drop(store.append_message(&message("a/b", "m", recipient, tag)));
    }
    for recipient in ["ada", "bob", "eve"] {
        let mut event = event("a/b", "m");
        event.recipient = Some(recipient.parse().expect("recipient"));
        store.append_hit(&unsettled(event)).wait().expect("kept");
    }
    wait_until_settled(&store);
    let query = EventQuery::of("a/b".parse().expect("realm"));
    let events = store.events(&query).expect("page").events;
    let tags: Vec<_> = events
        .iter()
        .map(|e| e.tags.get("n").map(String::as_str))
        .collect();
    assert_eq!(tags, [Some("new"), Some("bob"), None]);
    let names: Vec<_> = events
        .iter()
        .map(|e| e.link.as_ref()?.name.as_deref())
        .collect();
    assert_eq!(names, [Some("offer"), Some("offer"), None]);
}

fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).expect("folder") {
        let path = entry.expect("entry").path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}
