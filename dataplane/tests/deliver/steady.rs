//! What receivers that behave get.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use mailtrail_core::event::{Event, EventKind, Verdict};
use mailtrail_core::sink::{Batch, Sink};
use mailtrail_dataplane::deliver::sign::{Secret, signatures};

use crate::receiver::{Receiver, Reply};
use crate::world::{OTHER_SECRET, SECRET, World, ids, open, orders, sink};

#[test]
fn events_come_in_their_order_once_each_over_one_connection() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 500);
    receiver.until(500);
    assert_eq!(ids(&receiver), settled);
    assert_eq!(receiver.connections(), 1);
    assert_eq!(world.metrics.deliver.delivered.get(), 500);
    let first = &receiver.received()[0];
    assert_eq!(first.line, "POST /events HTTP/1.1");
    assert_eq!(
        first.header("host"),
        Some(receiver.address().to_string().as_str())
    );
    assert_eq!(first.json()["data"]["recipient"], "ada@example.org");
}

#[test]
fn a_sink_gets_what_it_asks_for_and_nothing_of_other_namespaces() {
    let receiver = Receiver::start();
    let asks = Sink {
        domains: vec!["links".to_owned()],
        kinds: vec![EventKind::Clicked],
        verdicts: vec![Verdict::Human],
        first_only: true,
        ..orders(&receiver)
    };
    let world = World::new(&[asks]);
    let clicked = |domain| {
        let mut event = open(domain, "m");
        event.kind = EventKind::Clicked;
        event
    };
    let wanted = clicked("shop/links");
    let mut others = vec![
        open("shop/links", "m"),
        clicked("shop/other"),
        clicked("toys/links"),
    ];
    let mut scanner = clicked("shop/links");
    scanner.client.verdict = Verdict::Scanner;
    let mut repeated = clicked("shop/links");
    repeated.first = false;
    let mut test = clicked("shop/links");
    test.test = true;
    others.extend([scanner, repeated, test]);
    for other in &others {
        world.settle(other);
    }
    world.settle(&wanted);
    receiver.until(1);
    assert_eq!(ids(&receiver), [wanted.id.to_string()]);
}

#[test]
fn a_new_sink_gets_what_settles_from_then_on_and_goes_on_after_a_restart() {
    let receiver = Receiver::start();
    let world = World::new(&[]);
    world.settle_many("shop/links", 3);
    world.declare(&[orders(&receiver)]);
    let mut settled = world.settle_many("shop/links", 2);
    receiver.until(2);
    let world = world.restart(&[]);
    settled.extend(world.settle_many("shop/links", 2));
    let world = world.restart(&[orders(&receiver)]);
    settled.extend(world.settle_many("shop/links", 2));
    receiver.until(6);
    assert_eq!(ids(&receiver), settled);
}

#[test]
fn batches_hold_many_events_and_come_in_order() {
    let receiver = Receiver::start();
    let batch = Batch {
        max_events: 100,
        max_delay_seconds: 1,
    };
    let batched = Sink {
        batch: Some(batch),
        ..orders(&receiver)
    };
    let world = World::new(&[batched]);
    let settled = world.settle_many("shop/links", 250);
    let told = || -> Vec<String> {
        let lists = receiver.received();
        let lists = lists.iter().map(|request| request.json()["data"].clone());
        lists
            .flat_map(|list| list.as_array().cloned().expect("a list"))
            .map(|event| event["data"]["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    world.until("all came", || told().len() >= 250);
    assert_eq!(told(), settled);
    assert!((3..=8).contains(&receiver.count()), "{}", receiver.count());
    let distinct: BTreeSet<_> = ids(&receiver).into_iter().collect();
    assert_eq!(distinct.len(), receiver.count());
    assert!(distinct.iter().all(|id| id.starts_with("batch_")));
}

#[test]
fn requests_are_signed_with_all_secrets_of_the_moment() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    world.settle_many("shop/links", 1);
    receiver.until(1);
    world.write_secret("new", OTHER_SECRET);
    let rotating = Sink {
        secrets: vec!["new".to_owned(), "key".to_owned()],
        ..orders(&receiver)
    };
    world.declare(&[rotating]);
    world.settle_many("shop/links", 1);
    receiver.until(2);
    let check = |at: usize, secrets: &[&str]| {
        let received = &receiver.received()[at];
        let secrets: Vec<_> = secrets
            .iter()
            .map(|s| Secret::parse(s).expect("a secret"))
            .collect();
        let time = received.header("webhook-timestamp").expect("a time");
        let seconds = time.parse().expect("seconds");
        let expected = signatures(&secrets, received.id(), seconds, &received.body);
        assert_eq!(
            received.header("webhook-signature"),
            Some(expected.as_str())
        );
    };
    check(0, &[SECRET]);
    check(1, &[OTHER_SECRET, SECRET]);
}

#[test]
fn without_its_secret_nothing_is_sent_and_with_it_everything() {
    let receiver = Receiver::start();
    let missing = Sink {
        secrets: vec!["later".to_owned()],
        ..orders(&receiver)
    };
    let world = World::new(&[missing]);
    let settled = world.settle_many("shop/links", 3);
    world.until("it says so", || {
        world.view("shop/orders").secret_missing.is_some()
    });
    assert_eq!(receiver.count(), 0);
    world.write_secret("later", "whsec_none");
    world.write_secret("later", SECRET);
    receiver.until(3);
    assert_eq!(ids(&receiver), settled);
    assert_eq!(world.view("shop/orders").secret_missing, None);
}

#[test]
fn a_sink_that_its_owner_suspends_rests_and_goes_on() {
    let receiver = Receiver::start();
    let resting = Sink {
        suspend: true,
        ..orders(&receiver)
    };
    let world = World::new(&[resting]);
    let settled = world.settle_many("shop/links", 3);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(receiver.count(), 0);
    world.declare(&[orders(&receiver)]);
    receiver.until(3);
    assert_eq!(ids(&receiver), settled);
}

/// When an event happened, as a view says it.
fn ms(event: &Event) -> Option<u64> {
    u64::try_from(event.time.as_millisecond()).ok()
}

/// The age of the oldest event that waits, as it is watched.
fn oldest_seconds(world: &World) -> u64 {
    let text = world.metrics.encode();
    let name = "mailtrail_sinks_oldest_undelivered_seconds ";
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.expect("the metric").parse().expect("a number")
}

#[test]
fn what_waits_for_a_sink_that_its_owner_suspends_is_told_and_alerts_nobody() {
    let receiver = Receiver::start();
    let resting = Sink {
        suspend: true,
        domains: vec!["links".to_owned()],
        ..orders(&receiver)
    };
    let world = World::new(std::slice::from_ref(&resting));
    world.settle_many("shop/others", 300);
    let first = Event {
        time: jiff::Timestamp::now() - Duration::from_secs(100),
        ..open("shop/links", "m-1")
    };
    let oldest = || world.view("shop/orders").oldest_ms;
    assert_eq!(oldest(), None, "nothing of it waits");
    world.settle(&first);
    world.until("it is told", || oldest() == ms(&first));
    world.settle_many("shop/links", 300);
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(oldest(), ms(&first));
    assert_eq!(oldest_seconds(&world), 0, "its owner knows");
    // What else it asks for is looked for anew.
    let elsewhere = Sink {
        domains: vec!["nowhere".to_owned()],
        ..resting.clone()
    };
    world.declare(&[elsewhere]);
    assert_eq!(oldest(), None);
    assert_eq!(receiver.count(), 0);
}

#[test]
fn what_waits_for_a_secret_is_told_and_watched_all_the_time() {
    let receiver = Receiver::start();
    let missing = Sink {
        secrets: vec!["later".to_owned()],
        ..orders(&receiver)
    };
    let world = World::new(&[missing]);
    let first = Event {
        time: jiff::Timestamp::now() - Duration::from_secs(100),
        ..open("shop/links", "m-1")
    };
    world.settle(&first);
    let oldest = || world.view("shop/orders").oldest_ms;
    world.until("it is told", || oldest() == ms(&first));
    let begun = Instant::now();
    world.until("it is summed up", || oldest_seconds(&world) >= 100);
    // Over more than one look for the secret.
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(oldest(), ms(&first));
        assert!(oldest_seconds(&world) >= 100);
        std::thread::sleep(Duration::from_millis(20));
    }
    world.write_secret("later", SECRET);
    receiver.until(1);
    world.until("nothing waits", || oldest().is_none());
    world.until("it is summed up", || oldest_seconds(&world) == 0);
}

#[test]
fn a_missing_secret_is_told_once_the_sink_is_declared_and_until_it_is_there() {
    let receiver = Receiver::start();
    let missing = Sink {
        secrets: vec!["later".to_owned()],
        ..orders(&receiver)
    };
    let world = World::new(std::slice::from_ref(&missing));
    let told = || world.view("shop/orders").secret_missing;
    assert!(told().is_some_and(|told| told.starts_with("secret later: ")));
    // Nothing settles meanwhile.
    world.write_secret("later", SECRET);
    world.until("it is there", || told().is_none());
    let other = |suspend, name: &str| Sink {
        secrets: vec![name.to_owned()],
        suspend,
        ..orders(&receiver)
    };
    world.declare(&[other(false, "nope")]);
    assert!(told().is_some_and(|told| told.starts_with("secret nope: ")));
    // The right one is named, and the sink suspended by the same edit.
    world.declare(&[other(true, "later")]);
    assert_eq!(told(), None);
    world.declare(&[other(true, "nope")]);
    assert!(told().is_some());
}

#[test]
fn a_test_event_is_posted_and_its_outcome_told() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    let realm = "shop/orders".parse().expect("realm");
    let tested = world.ask(world.handle.test(&realm)).expect("tested");
    assert_eq!(format!("{:?}", tested.outcome), "Some(Delivered)");
    let said = receiver.received()[0].json();
    assert_eq!(
        (&said["data"]["test"], &said["data"]["message_id"]),
        (&true.into(), &"mailtrail-test".into())
    );
    receiver.answer(|_, _| Reply::Status(404));
    let tested = world.ask(world.handle.test(&realm)).expect("tested");
    assert_eq!(
        format!("{:?}", tested.outcome),
        "Some(Failed(Status(404), None))"
    );
    // It counts as no delivery.
    assert_eq!(world.view("shop/orders").retries, 0);
}

#[test]
fn sinks_are_separate() {
    let (one, two) = (Receiver::start(), Receiver::start());
    let world = World::new(&[sink("one", &one.url()), sink("two", &two.url())]);
    let settled = world.settle_many("shop/links", 20);
    one.until(20);
    two.until(20);
    assert_eq!((ids(&one), ids(&two)), (settled.clone(), settled));
    // One is declared no longer, and again: it missed nothing.
    world.declare(&[sink("two", &two.url())]);
    let more = world.settle_many("shop/links", 5);
    two.until(25);
    world.declare(&[sink("one", &one.url()), sink("two", &two.url())]);
    one.until(25);
    assert_eq!(ids(&one)[20..], more);
}
