//! The store as its users see it, on a real disk.

use std::collections::BTreeSet;

use mailtrail_core::event::EventKind;

use super::fixtures::{event, hit, message, unsettled, wait_until_settled};
use super::*;
use crate::metrics::Metrics;

fn open(dir: &std::path::Path) -> Store {
    let settings = Settings::at(dir).settling_at_once();
    let store = Store::open(settings, Arc::new(Metrics::new())).expect("opens");
    // Until then the folder may be in use a little longer than the store.
    wait_until_loaded(&store);
    store
}

fn query(domain: &str) -> EventQuery {
    EventQuery::of(domain.parse().expect("realm"))
}

fn wait_until_loaded(store: &Store) {
    let (realm, nobody) = ("a/b".parse().expect("realm"), "x".parse().expect("name"));
    while store.withdrawn(&realm, &nobody) == Withdrawn::NotLoaded {
        std::thread::yield_now();
    }
}

#[test]
fn an_acknowledged_event_is_found_after_opening_again() {
    let dir = tempfile::tempdir().expect("dir");
    let sent = event("shop/links", "m-1");
    let store = open(dir.path());
    store
        .append_hit(&unsettled(sent.clone()))
        .wait()
        .expect("kept");
    drop(store);
    let store = open(dir.path());
    wait_until_settled(&store);
    let page = store.events(&query("shop/links")).expect("list");
    assert_eq!(page.events, [sent]);
}

#[test]
fn a_second_process_is_told_that_the_folder_is_in_use() {
    let dir = tempfile::tempdir().expect("dir");
    let _store = open(dir.path());
    let settings = Settings::at(dir.path());
    let error = Store::open(settings, Arc::default())
        .err()
        .expect("refused");
    assert!(matches!(error, OpenError::InUse(_)), "{error}");
    assert!(error.to_string().contains("in use"));
}

#[test]
fn a_process_that_ends_within_seconds_is_waited_for() {
    let dir = tempfile::tempdir().expect("dir");
    let (store, begun) = (open(dir.path()), Instant::now());
    let held = Duration::from_secs(3);
    let ending = std::thread::spawn(move || {
        std::thread::sleep(held);
        drop(store);
    });
    drop(open(dir.path()));
    assert!(begun.elapsed() >= held, "not before it has ended");
    ending.join().expect("no panic");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let file = dir.path().join("file");
    std::fs::write(&file, b"").expect("file");
    let settings = Settings::at(file.join("data"));
    let error = Store::open(settings, Arc::default())
        .err()
        .expect("refused");
    assert!(
        error.to_string().contains("file/data is not writable"),
        "{error}"
    );
}

#[test]
fn pages_miss_nothing_and_repeat_nothing_whatever_the_filter() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let mut sent = Vec::new();
    for n in 0..100 {
        let mut event = event(
            ["shop/links", "shop/other"][n % 2],
            ["m-1", "m-2", "m-3"][n % 3],
        );
        if n % 5 == 0 {
            (event.kind, event.link) = (EventKind::Opened, None);
        }
        drop(store.append_hit(&unsettled(event.clone())));
        sent.push(event);
    }
    store
        .append_hit(&hit("shop/last", "m-1"))
        .wait()
        .expect("kept");
    wait_until_settled(&store);
    for (kind, message) in [
        (None, None),
        (Some(EventKind::Opened), None),
        (Some(EventKind::Clicked), Some("m-2")),
    ] {
        let expected: Vec<_> = sent
            .iter()
            .filter(|e| e.domain.as_str() == "shop/links")
            .filter(|e| kind.is_none_or(|kind| e.kind == kind))
            .filter(|e| message.is_none_or(|message| e.message_id.as_str() == message))
            .cloned()
            .collect();
        let mut asked = EventQuery {
            filter: EventFilter {
                kind,
                message: message.map(|m| m.parse().expect("id")),
                ..EventFilter::default()
            },
            limit: 7,
            ..query("shop/links")
        };
        let mut found = Vec::new();
        loop {
            let page = store.events(&asked).expect("page");
            asked.after = Some(page.next);
            if page.events.is_empty() {
                break;
            }
            found.extend(page.events);
        }
        assert_eq!(found, expected);
        // The last cursor goes on where new events come.
        let late = event("shop/links", "m-2");
        store
            .append_hit(&unsettled(late.clone()))
            .wait()
            .expect("kept");
        wait_until_settled(&store);
        let more = store.events(&asked).expect("page").events;
        assert_eq!(more.len(), usize::from(kind != Some(EventKind::Opened)));
        sent.push(late);
    }
}

#[test]
fn a_cursor_of_another_folder_or_of_nobody_is_refused() {
    let (one, other) = (
        tempfile::tempdir().expect("dir"),
        tempfile::tempdir().expect("dir"),
    );
    let (one, other) = (open(one.path()), open(other.path()));
    let next = one.events(&query("a/b")).expect("page").next;
    for cursor in [next.0.as_str(), "", "1", "AAAAAAAAAAAAAAAAAAAA", "ü"] {
        let asked = EventQuery {
            after: Some(Cursor(cursor.into())),
            ..query("a/b")
        };
        assert!(
            matches!(other.events(&asked), Err(QueryError::Cursor)),
            "{cursor}"
        );
    }
}

#[test]
fn a_cursor_ahead_of_an_older_copy_has_expired() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    store.append_hit(&hit("a/b", "m")).wait().expect("kept");
    wait_until_settled(&store);
    let next = store.events(&query("a/b")).expect("page").next;
    drop(store);
    for journal in ["journal", "hits"] {
        std::fs::remove_dir_all(dir.path().join(journal)).expect("removed");
    }
    let asked = EventQuery {
        after: Some(next),
        ..query("a/b")
    };
    assert!(matches!(
        open(dir.path()).events(&asked),
        Err(QueryError::Expired)
    ));
}

#[test]
fn a_withdrawal_counts_at_once_and_after_opening_again() {
    let dir = tempfile::tempdir().expect("dir");
    let realm = "shop/links".parse().expect("realm");
    let (ada, bob) = ("ada".parse().expect("name"), "bob".parse().expect("name"));
    let store = open(dir.path());
    wait_until_loaded(&store);
    store.withdraw(&realm, &ada).wait().expect("kept");
    store.withdraw(&realm, &ada).wait().expect("kept already");
    assert_eq!(store.withdrawn(&realm, &ada), Withdrawn::Yes);
    drop(store);
    let store = open(dir.path());
    wait_until_loaded(&store);
    assert_eq!(store.withdrawn(&realm, &ada), Withdrawn::Yes);
    assert_eq!(store.withdrawn(&realm, &bob), Withdrawn::No);
    assert_eq!(
        store.withdrawn(&"shop/other".parse().expect("realm"), &ada),
        Withdrawn::No
    );
    drop(store);
    let bytes = std::fs::read(dir.path().join("withdrawals/0000000001.journal")).expect("file");
    assert!(
        !bytes.windows(3).any(|three| three == b"ada"),
        "a name on the disk"
    );
}

#[test]
fn withdrawals_without_their_key_are_not_forgotten_silently() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    store
        .withdraw(
            &"a/b".parse().expect("realm"),
            &"ada".parse().expect("name"),
        )
        .wait()
        .expect("kept");
    drop(store);
    std::fs::remove_file(dir.path().join("key")).expect("removed");
    let refused = || {
        let settings = Settings::at(dir.path());
        let opened = Store::open(settings, Arc::default());
        opened.err().expect("refused")
    };
    assert!(matches!(refused(), OpenError::Key(_)), "{}", refused());
    // Nor where they are lost as well, and only their count is left.
    std::fs::remove_dir_all(dir.path().join("withdrawals")).expect("removed");
    assert!(matches!(refused(), OpenError::Key(_)), "{}", refused());
}

#[test]
fn a_hit_that_waits_when_its_reader_withdraws_is_left_out_and_counted() {
    let dir = tempfile::tempdir().expect("dir");
    let metrics = Arc::new(Metrics::new());
    let settings = Settings {
        settle: Duration::from_millis(300),
        ..Settings::at(dir.path())
    };
    let store = Store::open(settings, Arc::clone(&metrics)).expect("opens");
    wait_until_loaded(&store);
    let realm = "a/b".parse().expect("realm");
    let ada: Recipient = "ada".parse().expect("name");
    let mut hit = hit("a/b", "m");
    hit.event.time = jiff::Timestamp::now();
    hit.event.recipient = Some(ada.clone());
    store.append_hit(&hit).wait().expect("kept");
    store.withdraw(&realm, &ada).wait().expect("kept");
    wait_until_settled(&store);
    assert!(store.events(&query("a/b")).expect("page").events.is_empty());
    assert_eq!(metrics.settle.withheld.get(), 1);
}

#[test]
fn hits_that_wait_when_withdrawals_are_lost_settle_only_where_nobody_is_named() {
    let dir = tempfile::tempdir().expect("dir");
    let realm = "a/b".parse().expect("realm");
    let open = |settle| {
        let metrics = Arc::new(Metrics::new());
        let settings = Settings {
            settle,
            ..Settings::at(dir.path())
        };
        let store = Store::open(settings, Arc::clone(&metrics)).expect("opens");
        wait_until_loaded(&store);
        (store, metrics)
    };
    let (store, _) = open(Duration::from_secs(3600));
    let eve = "eve".parse().expect("name");
    store.withdraw(&realm, &eve).wait().expect("kept");
    for recipient in [Some("ada"), None] {
        let mut hit = hit("a/b", "m");
        hit.event.time = jiff::Timestamp::now();
        hit.event.recipient = recipient.map(|name| name.parse().expect("name"));
        store.append_hit(&hit).wait().expect("kept");
    }
    drop(store);
    std::fs::remove_dir_all(dir.path().join("withdrawals")).expect("removed");
    let (store, metrics) = open(Duration::ZERO);
    let mut named = hit("a/b", "m");
    named.event.recipient = Some("bob".parse().expect("name"));
    store.append_hit(&named).wait().expect("as good as done");
    let record = message("a/b", "m", Some("bob"), "tag");
    store
        .append_message(&record)
        .wait()
        .expect("as good as done");
    wait_until_settled(&store);
    let events = store.events(&query("a/b")).expect("page").events;
    let readers: Vec<_> = events.into_iter().map(|event| event.recipient).collect();
    assert_eq!(readers, [None]);
    assert_eq!(metrics.settle.withheld.get(), 1);
    let summary = store.summary(&SummaryQuery {
        domain: realm,
        message: "m".parse().expect("id"),
        recipient: None,
        since: None,
    });
    let summary = summary.expect("read").expect("known by its event");
    assert_eq!(summary.record, None);
}

#[test]
fn closing_keeps_what_is_queued_and_takes_nothing_more() {
    let dir = tempfile::tempdir().expect("dir");
    let metrics = Arc::new(Metrics::new());
    let settings = Settings::at(dir.path());
    let store = Store::open(settings, Arc::clone(&metrics)).expect("opens");
    let pending: Vec<_> = (0..50)
        .map(|_| store.append_hit(&hit("a/b", "m")))
        .collect();
    drop(store.close());
    assert_eq!(store.append_hit(&hit("a/b", "m")).wait(), Err(NotKept));
    assert_eq!(metrics.events_not_kept.get(), 1);
    for pending in pending {
        pending.wait().expect("kept");
    }
    drop(store);
    let store = open(dir.path());
    wait_until_settled(&store);
    assert_eq!(store.events(&query("a/b")).expect("list").events.len(), 50);
}

/// Many tasks on several single-threaded runtimes, each awaiting its event.
#[test]
fn every_event_of_many_runtimes_is_acknowledged_and_kept_once() {
    const RUNTIMES: usize = 3;
    const TASKS: usize = 40;
    const EACH: usize = 25;
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let threads: Vec<_> = (0..RUNTIMES)
        .map(|_| {
            let store = store.local();
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .build()
                    .expect("runtime");
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, async move {
                    let tasks: Vec<_> = (0..TASKS)
                        .map(|_| {
                            let store = store.clone();
                            tokio::task::spawn_local(async move {
                                for _ in 0..EACH {
                                    store.append_hit(&hit("a/b", "m")).await.expect("kept");
                                }
                            })
                        })
                        .collect();
                    for task in tasks {
                        task.await.expect("task");
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("thread");
    }
    wait_until_settled(&store);
    let mut ids = BTreeSet::new();
    let mut asked = query("a/b");
    loop {
        let page = store.events(&asked).expect("page");
        if page.events.is_empty() {
            break;
        }
        asked.after = Some(page.next);
        for event in page.events {
            assert!(ids.insert(event.id), "an event twice");
        }
    }
    assert_eq!(ids.len(), RUNTIMES * TASKS * EACH);
}

#[test]
fn a_folder_is_checked_listed_and_exported_from_outside_while_it_is_used() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    let sent = event("a/b", "m");
    store
        .append_hit(&unsettled(sent.clone()))
        .wait()
        .expect("kept");
    wait_until_settled(&store);
    let checks = inspect::check(dir.path()).expect("checked");
    let names: Vec<_> = checks.iter().map(|check| check.journal).collect();
    assert_eq!(names, ["journal", "hits", "withdrawals"]);
    assert!(checks.iter().all(inspect::Check::is_sound));
    assert_eq!((checks[0].events, checks[0].torn_bytes), (1, 0));
    assert_eq!(checks[1].events, 1, "until its segment is removed");
    let listed = inspect::segments(dir.path()).expect("listed");
    assert_eq!(
        (listed.len(), listed[0].events, listed[0].sealed),
        (2, 1, false),
        "one of each journal"
    );
    assert_eq!(listed[0].first_time, sent.time);
    let mut exported = Vec::new();
    inspect::export(dir.path(), &mut exported).expect("exported");
    let line: serde_json::Value = serde_json::from_slice(&exported).expect("a line");
    assert_eq!(line["record"], "event");
    assert_eq!(line["id"], sent.id.to_string());
    assert_eq!(line["message_id"], "m");
    drop(store);
    assert!(inspect::segments(dir.path()).expect("listed")[0].sealed);
}

#[test]
fn a_check_counts_what_is_damaged() {
    let dir = tempfile::tempdir().expect("dir");
    let store = open(dir.path());
    for _ in 0..3 {
        store.append_hit(&hit("a/b", "m")).wait().expect("kept");
    }
    wait_until_settled(&store);
    drop(store);
    let path = dir.path().join("journal/0000000001.journal");
    let mut bytes = std::fs::read(&path).expect("read");
    bytes[64 + 24 + 20] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let check = &inspect::check(dir.path()).expect("checked")[0];
    assert_eq!((check.events, check.damaged), (2, 1));
    assert!(!check.is_sound());
}

#[test]
fn hits_that_are_not_settled_are_shown_apart_and_listed_nowhere_else() {
    let dir = tempfile::tempdir().expect("dir");
    let settings = Settings::at(dir.path());
    let store = Store::open(settings, Arc::new(Metrics::new())).expect("opens");
    let (one, other) = (hit("shop/links", "m-1"), hit("shop/links", "m-2"));
    // Far ahead of the wall clock, so that they wait their whole time.
    let later = |mut hit: Unsettled| {
        hit.event.time = jiff::Timestamp::now();
        hit.event.time =
            jiff::Timestamp::from_millisecond(hit.event.time.as_millisecond()).expect("a time");
        hit
    };
    let (one, other) = (later(one), later(other));
    for hit in [&one, &hit("shop/other", "m-1"), &other] {
        store.append_hit(hit).wait().expect("kept");
    }
    let mut asked = query("shop/links");
    let page = store.events(&asked).expect("page");
    assert_eq!((page.events, page.unsettled), (vec![], vec![]));
    asked.provisional = true;
    let shown = |asked: &EventQuery| store.events(asked).expect("page").unsettled;
    assert_eq!(shown(&asked), [one.event.clone(), other.event]);
    asked.limit = 1;
    assert_eq!(shown(&asked), [one.event]);
}

#[test]
fn after_a_start_what_was_settled_before_is_not_shown_as_unsettled() {
    let dir = tempfile::tempdir().expect("dir");
    let open = || {
        let settle = Duration::from_secs(3600);
        let settings = Settings {
            settle,
            ..Settings::at(dir.path())
        };
        Store::open(settings, Arc::new(Metrics::new())).expect("opens")
    };
    let of_age = |message, seconds: i64| {
        let mut hit = hit("shop/links", message);
        let ms = jiff::Timestamp::now().as_millisecond() - 1000 * seconds;
        hit.event.time = jiff::Timestamp::from_millisecond(ms).expect("a time");
        hit
    };
    let (due, waits) = (of_age("m-1", 7200), of_age("m-2", 0));
    let mut asked = query("shop/links");
    asked.provisional = true;
    let store = open();
    store.append_hit(&due).wait().expect("kept");
    wait_until_settled(&store);
    store.append_hit(&waits).wait().expect("kept");
    drop(store);
    let store = open();
    while !store.withdrawals_loaded() {
        std::thread::sleep(Duration::from_millis(5));
    }
    asked.after = Some(store.events(&asked).expect("page").next);
    let page = store.events(&asked).expect("page");
    assert_eq!((page.events, page.unsettled), (vec![], vec![waits.event]));
}
