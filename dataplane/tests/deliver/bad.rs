//! Receivers that behave badly.

use std::time::{Duration, Instant};

use mailtrail_core::sink::Sink;
use mailtrail_dataplane::deliver::state::{Rules, Why};

use crate::receiver::{Receiver, Reply};
use crate::world::{Setup, World, ids, orders, sink};

#[test]
fn one_that_hangs_holds_up_nobody_else() {
    let hanging = Receiver::answering(|_, _| Reply::Hang);
    let others: Vec<_> = (0..9).map(|_| Receiver::start()).collect();
    let mut sinks = vec![sink("hangs", &hanging.url())];
    sinks.extend(
        others
            .iter()
            .enumerate()
            .map(|(n, r)| sink(&format!("s{n}"), &r.url())),
    );
    let world = World::new(&sinks);
    let begun = Instant::now();
    let settled = world.settle_many("shop/links", 50);
    for other in &others {
        other.until(50);
        assert_eq!(ids(other), settled);
    }
    // The first attempt at the one that hangs has not even timed out.
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    assert!(hanging.count() <= 1);
}

#[test]
fn what_fails_is_tried_again_under_the_same_id_until_it_succeeds() {
    let receiver = Receiver::answering(|_, before| match before {
        0..3 => Reply::Status(500),
        _ => Reply::Status(200),
    });
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 1);
    let received = receiver.until(4);
    assert!(received.iter().all(|request| request.id() == settled[0]));
    let waits: Vec<_> = received
        .windows(2)
        .map(|two| two[1].at - two[0].at)
        .collect();
    for (wait, least) in waits.iter().zip([50, 100, 200]) {
        assert!(*wait >= Duration::from_millis(least), "{waits:?}");
    }
    world.until("nothing waits", || world.view("shop/orders").retries == 0);
    assert_eq!(receiver.count(), 4);
}

#[test]
fn a_bad_event_does_not_hold_up_those_after_it() {
    let receiver =
        Receiver::answering(
            |request, _| match request.json()["data"]["message_id"] == "m-0" {
                true => Reply::Status(400),
                false => Reply::Status(200),
            },
        );
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 20);
    world.until("it is given up", || world.view("shop/orders").dead == 1);
    let told = ids(&receiver);
    assert_eq!(told.iter().filter(|id| **id == settled[0]).count(), 6);
    let rest: Vec<_> = told.into_iter().filter(|id| *id != settled[0]).collect();
    assert_eq!(rest, settled[1..]);
}

#[test]
fn who_asks_for_time_gets_it_for_all_events() {
    let receiver = Receiver::answering(|_, before| match before {
        0 => Reply::With(429, "retry-after: 1\r\n"),
        _ => Reply::Status(200),
    });
    let world = World::new(&[orders(&receiver)]);
    world.settle_many("shop/links", 5);
    let received = receiver.until(6);
    let wait = received[1].at - received[0].at;
    assert!(wait >= Duration::from_millis(990), "{wait:?}");
    assert_eq!(world.view("shop/orders").dead, 0);
}

#[test]
fn one_that_is_gone_gets_nothing_until_somebody_says_so() {
    let receiver = Receiver::answering(|_, _| Reply::Status(410));
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 5);
    let why = || {
        world
            .view("shop/orders")
            .suspended
            .map(|suspended| suspended.why)
    };
    world.until("it is suspended", || why() == Some(Why::Gone));
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.count(), 1);
    // Not even a restart tries it.
    let world = world.restart(&[orders(&receiver)]);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.count(), 1);
    receiver.answer(|_, _| Reply::Status(200));
    let realm = "shop/orders".parse().expect("realm");
    world.ask(world.handle.resume(&realm)).expect("resumed");
    receiver.until(6);
    let mut told = ids(&receiver)[1..].to_vec();
    told.sort();
    assert_eq!(told, settled);
}

#[test]
fn one_that_said_gone_is_back_once_it_takes_a_test_event() {
    let receiver = Receiver::answering(|_, _| Reply::Status(410));
    let world = World::new(&[orders(&receiver)]);
    world.settle_many("shop/links", 2);
    let is_suspended = || world.view("shop/orders").suspended.is_some();
    world.until("it is suspended", is_suspended);
    let realm = "shop/orders".parse().expect("realm");
    let test = || world.ask(world.handle.test(&realm)).expect("tested");
    assert_eq!(format!("{:?}", test().outcome), "Some(Gone)");
    assert!(is_suspended());
    receiver.answer(|_, _| Reply::Status(204));
    assert_eq!(format!("{:?}", test().outcome), "Some(Delivered)");
    // Twice gone, once the test; then what waited.
    receiver.until(5);
    assert!(!is_suspended());
}

#[test]
fn days_of_failure_suspend_a_sink_and_a_success_resumes_it() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let setup = Setup {
        rules: Rules {
            waits: vec![Duration::from_millis(100); 50],
            suspend_after: Duration::from_millis(500),
            probe_every: Duration::from_secs(3),
        },
        ..Setup::default()
    };
    let world = World::with(setup, &[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 3);
    let suspended = || {
        world
            .view("shop/orders")
            .suspended
            .map(|suspended| suspended.why)
    };
    world.until("it is suspended", || suspended() == Some(Why::Failing));
    // Attempts that were under way at that moment end.
    std::thread::sleep(Duration::from_millis(200));
    let before = receiver.count();
    std::thread::sleep(Duration::from_millis(400));
    assert_eq!(receiver.count(), before, "it is left alone");
    receiver.answer(|_, _| Reply::Status(200));
    world.until("it is resumed", || suspended().is_none());
    world.until("all is delivered", || {
        world.view("shop/orders").retries == 0
    });
    let told = ids(&receiver)[before..].to_vec();
    for id in settled {
        assert!(told.contains(&id));
    }
}

#[test]
fn redirects_are_not_followed() {
    let elsewhere = Receiver::start();
    let location = format!("location: {}\r\n", elsewhere.url());
    let location: &'static str = Box::leak(location.into_boxed_str());
    for status in [301, 302, 303, 307, 308] {
        let receiver = Receiver::answering(move |_, before| match before {
            0 => Reply::With(status, location),
            _ => Reply::Status(200),
        });
        let world = World::new(&[orders(&receiver)]);
        world.settle_many("shop/links", 1);
        receiver.until(2);
        assert_eq!(world.view("shop/orders").dead, 0);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[test]
fn bodies_that_are_huge_or_slow_are_left_unread() {
    for reply in [
        Reply::Flood(1 << 30),
        Reply::Drip(1000, Duration::from_millis(50)),
    ] {
        let first = reply.clone();
        let receiver = Receiver::answering(move |_, before| match before {
            0 => first.clone(),
            _ => Reply::Status(200),
        });
        let world = World::new(&[orders(&receiver)]);
        let begun = Instant::now();
        let settled = world.settle_many("shop/links", 3);
        receiver.until(3);
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{reply:?} {:?}",
            begun.elapsed()
        );
        // Delivered at the first attempt: the status says so.
        assert_eq!(ids(&receiver), settled, "{reply:?}");
    }
}

#[test]
fn what_is_no_http_or_cut_off_is_a_failure_like_others() {
    let junk: [Reply; 4] = [
        Reply::Bytes(b"SSH-2.0-OpenSSH\r\n".to_vec()),
        Reply::Bytes(vec![0; 100]),
        Reply::Bytes([b"HTTP/1.1 200 OK\r\nx: ".to_vec(), vec![b'y'; 1 << 20]].concat()),
        Reply::Cut,
    ];
    for reply in junk {
        let first = reply.clone();
        let receiver = Receiver::answering(move |_, before| match before {
            0 => first.clone(),
            _ => Reply::Status(200),
        });
        let world = World::new(&[orders(&receiver)]);
        let settled = world.settle_many("shop/links", 1);
        receiver.until(2);
        assert_eq!(
            ids(&receiver),
            [settled[0].as_str(), &settled[0]],
            "{reply:?}"
        );
        assert_eq!(world.metrics.deliver.retried.get(), 1, "{reply:?}");
    }
}

#[test]
fn what_waits_and_what_is_dead_survive_a_restart() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 3);
    world.until("all are given up", || world.view("shop/orders").dead == 3);
    let more = world.settle_many("shop/links", 3);
    world.until("others wait", || world.view("shop/orders").retries == 3);
    receiver.answer(|_, _| Reply::Status(200));
    let before = receiver.count();
    let world = world.restart(&[orders(&receiver)]);
    world.until("they are delivered", || {
        world.view("shop/orders").retries == 0
    });
    let told = ids(&receiver)[before..].to_vec();
    assert!(more.iter().all(|id| told.contains(id)));
    let realm = "shop/orders".parse().expect("realm");
    let dead = world
        .ask(world.handle.dead_letters(&realm, 10))
        .expect("dead letters");
    let mut dead: Vec<_> = dead.into_iter().map(|(dead, _)| dead.id).collect();
    dead.sort();
    assert_eq!(dead, settled);
}

#[test]
fn a_receiver_that_closes_kept_connections_gets_everything_once() {
    let receiver = Receiver::answering(|_, _| {
        Reply::Bytes(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_vec())
    });
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 30);
    receiver.until(30);
    world.until("all concluded", || {
        world.metrics.deliver.delivered.get() == 30
    });
    assert_eq!(ids(&receiver), settled);
}

#[test]
fn another_url_is_tried_at_once() {
    let gone = Receiver::answering(|_, _| Reply::Status(410));
    let receiver = Receiver::start();
    let world = World::new(&[orders(&gone)]);
    world.settle_many("shop/links", 3);
    world.until("it is suspended", || {
        world.view("shop/orders").suspended.is_some()
    });
    world.declare(&[Sink {
        url: receiver.url().parse().expect("a URL"),
        ..orders(&gone)
    }]);
    receiver.until(3);
}
