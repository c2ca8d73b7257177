//! Sinks as an operator hands them on: sealed secrets, Services, and what rests.

use std::collections::BTreeSet;
use std::time::Duration;

use mailtrail_core::ack::How;
use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;
use mailtrail_core::sink::sealed::Sealed;
use mailtrail_core::sink::{InCluster, Sink, secret};
use mailtrail_dataplane::deliver::sign::{Secret, signatures};
use mailtrail_dataplane::deliver::state::Rules;

use crate::receiver::{Receiver, Reply};
use crate::world::{OTHER_SECRET, SECRET, Setup, World, ids, keyring, open, orders, sink};

const UID: &str = "7c0e9a4e-0000-4000-8000-000000000001";

fn sealed(secret: &str) -> Option<Sealed> {
    let realm: Realm = "shop/orders".parse().expect("a realm");
    let secret = secret::Secret::parse(secret).expect("a secret");
    Sealed::seal(&keyring(), &realm, UID, &[secret]).ok()
}

/// What the operator has found out, of a sink named `orders`.
fn found(sink: Sink, sealed: Option<Sealed>, service: Option<&Receiver>) -> Sink {
    Sink {
        cluster: Some(InCluster {
            uid: UID.to_owned(),
            since: 0,
            sealed,
            service: service.map(Receiver::address),
        }),
        ..sink
    }
}

fn signed_by(receiver: &Receiver, at: usize, secret: &str) -> bool {
    let received = &receiver.received()[at];
    let secrets = [Secret::parse(secret).expect("a secret")];
    let time = received.header("webhook-timestamp").expect("a time");
    let seconds = time.parse().expect("seconds");
    let expected = signatures(&secrets, received.id(), seconds, &received.body);
    received.header("webhook-signature") == Some(expected.as_str())
}

fn outcome(world: &World) -> String {
    let realm = "shop/orders".parse().expect("a realm");
    let tested = world.ask(world.handle.test(&realm)).expect("tested");
    format!("{:?}", tested.outcome)
}

#[test]
fn requests_are_signed_with_what_was_sealed_and_with_its_successor_at_once() {
    let receiver = Receiver::start();
    let world = World::new(&[found(orders(&receiver), sealed(SECRET), None)]);
    world.settle_many("shop/links", 1);
    receiver.until(1);
    world.declare(&[found(orders(&receiver), sealed(OTHER_SECRET), None)]);
    world.settle_many("shop/links", 1);
    receiver.until(2);
    assert!(signed_by(&receiver, 0, SECRET) && signed_by(&receiver, 1, OTHER_SECRET));
}

#[test]
fn a_service_is_reached_at_its_address_and_no_name_is_asked_for() {
    let receiver = Receiver::start();
    let nowhere = Setup {
        allow: Vec::new(),
        ..Setup::default()
    };
    let service = sink("orders", "http://receiver.shop.svc:8080/events");
    let service = found(service, sealed(SECRET), Some(&receiver));
    let world = World::with(nowhere, &[service]);
    world.settle_many("shop/links", 1);
    let received = &receiver.until(1)[0];
    assert_eq!(received.header("host"), Some("receiver.shop.svc:8080"));
}

#[test]
fn a_name_that_a_cluster_makes_up_leads_nowhere_without_an_address_from_the_operator() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    for name in [
        "receiver.shop.svc",
        "receiver.shop.svc.cluster.local",
        "receiver",
    ] {
        let named = sink("orders", &format!("http://{name}:{port}/"));
        let world = World::new(&[found(named, sealed(SECRET), None)]);
        for of in [name.to_owned(), format!("{name}.")] {
            world.names.set(&of, &["127.0.0.1"]);
        }
        assert_eq!(outcome(&world), "Some(Failed(Refused, None))", "{name}");
    }
    assert_eq!(receiver.connections(), 0);
}

/// In a pod `toys.example` is looked for as `toys.example.svc.cluster.local`, too.
#[test]
fn a_name_is_looked_for_as_it_is_written_and_not_below_the_clusters_own() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let named = sink("orders", &format!("http://toys.example:{port}/"));
    let world = World::new(&[found(named, sealed(SECRET), None)]);
    world.names.set("toys.example", &["127.0.0.1"]);
    assert_eq!(outcome(&world), "Some(Failed(Unresolved, None))");
    world.names.set("toys.example.", &["127.0.0.1"]);
    assert_eq!(outcome(&world), "Some(Delivered)");
}

#[test]
fn a_sink_whose_references_are_missing_rests_and_its_events_wait() {
    let receiver = Receiver::start();
    let world = World::new(&[found(orders(&receiver), None, None)]);
    let settled = world.settle_many("shop/links", 3);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(receiver.count(), 0);
    world.declare(&[found(orders(&receiver), sealed(SECRET), None)]);
    receiver.until(3);
    assert_eq!(ids(&receiver), settled);
}

/// Roles and names of sinks go by namespaces' names.
#[test]
fn a_sink_in_a_namespace_made_anew_is_told_nothing_of_the_former() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let rules = Rules {
        waits: Vec::new(),
        ..Rules::default()
    };
    let former = found(orders(&receiver), sealed(SECRET), None);
    let setup = Setup {
        rules,
        ..Setup::default()
    };
    let world = World::with(setup, std::slice::from_ref(&former));
    let now = jiff::Timestamp::now();
    let at = |seconds: i64, message: &str| Event {
        time: now - Duration::from_secs(100) + Duration::from_secs(seconds.unsigned_abs()),
        ..open("shop/links", message)
    };
    world.settle(&at(0, "m-former"));
    world.until("it is given up", || world.view("shop/orders").dead == 1);
    // Its namespace is made anew, and a sink of that name in it.
    let mut anew = former.clone();
    if let Some(cluster) = &mut anew.cluster {
        cluster.since = now.as_second() - 50;
    }
    world.declare(&[anew]);
    receiver.answer(|_, _| Reply::Status(204));
    let count = receiver.count();
    let realm: Realm = "shop/orders".parse().expect("a realm");
    let letters = world.ask(world.handle.dead_letters(&realm, 10));
    assert!(letters.expect("letters").is_empty());
    let _ = world.ask(world.handle.replay_dead(&realm)).expect("asked");
    let all = (0, u64::MAX >> 1);
    world
        .ask(world.handle.replay(&realm, all.0, all.1))
        .expect("asked");
    world.settle(&at(60, "m-new"));
    world.until("both replays are done", || {
        let view = world.view("shop/orders");
        view.replays == 0 && view.retries == 0
    });
    receiver.until(count + 1);
    std::thread::sleep(Duration::from_millis(300));
    let received = receiver.received();
    let messages: BTreeSet<_> = received[count..]
        .iter()
        .map(|r| r.json()["data"]["message_id"].to_string())
        .collect();
    assert_eq!(messages, BTreeSet::from(["\"m-new\"".to_owned()]));
}

#[test]
fn the_operator_is_told_how_deliveries_stand() {
    let receiver = Receiver::start();
    let world = World::new(&[found(orders(&receiver), sealed(SECRET), None)]);
    let now = || u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970");
    let told = || world.handle.told(now()).pop().expect("one sink");
    world.until("nothing was tried", || told().how == How::Untried);
    receiver.answer(|_, _| Reply::Status(500));
    world.settle_many("shop/links", 1);
    world.until("it fails", || told().how == How::Failing);
    assert_eq!(told().why, "it answers with status 500");
    receiver.answer(|_, _| Reply::Status(204));
    world.until("it delivers", || told().how == How::Delivering);
    assert_eq!(told().why, "");
    // Of another object: it does not open.
    let mut other = found(orders(&receiver), sealed(SECRET), None);
    if let Some(cluster) = &mut other.cluster {
        cluster.uid = "another".to_owned();
    }
    world.declare(&[other]);
    world.settle_many("shop/links", 1);
    world.until("nothing can be signed", || told().how == How::NoSecret);
    assert_eq!(told().why, "the sealed secrets are not this sink's");
}
