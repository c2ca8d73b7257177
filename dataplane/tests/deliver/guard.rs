//! Where deliveries may go, however a name is made to lead elsewhere.

use std::time::Duration;

use crate::receiver::{Receiver, Reply};
use crate::world::{Setup, World, sink};

fn only(network: &'static str) -> Setup {
    Setup {
        allow: vec![network],
        ..Setup::default()
    }
}

/// Two receivers with one port, at 127.0.0.2 and 127.0.0.3.
fn neighbours() -> (Receiver, Receiver) {
    let answer = |_: &crate::receiver::Received, _| Reply::Status(204);
    for _ in 0..100 {
        let first = Receiver::at("127.0.0.2:0".parse().expect("an address"), answer);
        let second = std::net::SocketAddr::new(
            "127.0.0.3".parse().expect("an address"),
            first.address().port(),
        );
        if std::net::TcpListener::bind(second).is_ok() {
            return (first, Receiver::at(second, answer));
        }
    }
    panic!("no port is free at both addresses");
}

#[test]
fn an_address_that_is_not_allowed_is_never_connected_to() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let by_address = sink("address", &receiver.url());
    let by_name = sink("name", &format!("http://inside.test:{port}/"));
    let mapped = sink("mapped", &format!("http://[::ffff:7f00:1]:{port}/"));
    let world = World::with(only("10.0.0.0/8"), &[by_address, by_name, mapped]);
    world.names.set("inside.test", &["127.0.0.1"]);
    world.settle_many("shop/links", 1);
    for name in ["shop/address", "shop/name", "shop/mapped"] {
        world.until("it fails", || world.view(name).failing_since_ms.is_some());
        let realm = name.parse().expect("realm");
        let tested = world.ask(world.handle.test(&realm)).expect("tested");
        assert_eq!(
            format!("{:?}", tested.outcome),
            "Some(Failed(Refused, None))",
            "{name}"
        );
    }
    assert_eq!(receiver.connections(), 0);
}

#[test]
fn a_name_that_leads_elsewhere_from_one_attempt_to_the_next_is_noticed() {
    let (allowed, inside) = neighbours();
    let port = allowed.address().port();
    let world = World::with(
        only("127.0.0.2/32"),
        &[sink("moves", &format!("http://moves.test:{port}/"))],
    );
    world.names.set("moves.test", &["127.0.0.2"]);
    world.settle_many("shop/links", 3);
    allowed.until(3);
    // The connection is kept, and may not be used for what the name means now.
    world.names.set("moves.test", &["127.0.0.3"]);
    world.settle_many("shop/links", 3);
    world.until("it fails", || world.view("shop/moves").retries == 3);
    assert_eq!((allowed.count(), inside.connections()), (3, 0));
    // One good address beside a bad one is no excuse.
    world.names.set("moves.test", &["127.0.0.2", "127.0.0.3"]);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!((allowed.count(), inside.connections()), (3, 0));
    world.names.set("moves.test", &["127.0.0.2"]);
    allowed.until(6);
    assert_eq!(inside.connections(), 0);
}

#[test]
fn a_kept_connection_is_used_for_the_url_alone_that_it_was_made_for() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let world = World::new(&[sink("safe", &format!("http://127.0.0.1:{port}/"))]);
    world.settle_many("shop/links", 1);
    world.until("it is delivered", || {
        world.metrics.deliver.delivered.get() == 1
    });
    // The same address, but nobody there speaks TLS.
    world.declare(&[sink("safe", &format!("https://127.0.0.1:{port}/"))]);
    world.settle_many("shop/links", 1);
    world.until("it fails", || world.view("shop/safe").retries == 1);
    assert_eq!(receiver.count(), 1);
}

#[test]
fn the_name_is_told_to_the_receiver_and_the_address_is_the_one_that_was_looked_at() {
    let receiver = Receiver::at("127.0.0.2:0".parse().expect("an address"), |_, _| {
        Reply::Status(204)
    });
    let port = receiver.address().port();
    let world = World::with(
        only("127.0.0.2/32"),
        &[sink("named", &format!("http://named.test:{port}/a?b=c"))],
    );
    world.names.set("named.test", &["127.0.0.2"]);
    world.settle_many("shop/links", 1);
    let received = &receiver.until(1)[0];
    assert_eq!(
        received.header("host"),
        Some(format!("named.test:{port}").as_str())
    );
    assert_eq!(received.line, "POST /a?b=c HTTP/1.1");
}

#[test]
fn a_name_without_addresses_is_a_failure_that_is_tried_again() {
    let receiver = Receiver::start();
    let port = receiver.address().port();
    let world = World::new(&[sink("late", &format!("http://late.test:{port}/"))]);
    world.settle_many("shop/links", 1);
    world.until("it fails", || {
        world.view("shop/late").failing_since_ms.is_some()
    });
    world.names.set("late.test", &["127.0.0.1"]);
    receiver.until(1);
}
