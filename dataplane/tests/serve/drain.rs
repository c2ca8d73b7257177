//! How the listener begins, leaves and ends.

use std::net::{Ipv4Addr, TcpStream};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mailtrail_dataplane::serve::{self, BindError, Settings};

use crate::client::PATIENCE;
use crate::world::{HOST, wanted, world};

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n")
}

#[test]
fn a_port_in_use_is_said_to_be() {
    let world = world();
    let error = serve::bind(Settings::at(world.address)).expect_err("in use");
    assert!(matches!(error, BindError::InUse { .. }), "{error}");
    assert!(error.to_string().contains(&world.address.to_string()));
}

#[test]
fn every_runtime_listens_on_the_one_port() {
    let mut wanted = wanted();
    wanted.settings.runtimes = NonZeroUsize::new(3);
    let world = wanted.start();
    for _ in 0..32 {
        assert_eq!(world.get(&world.pixel_path()).status, 200);
    }
    assert_eq!(world.events().len(), 32);
}

#[test]
fn idle_connections_do_not_hold_a_drain_up() {
    let mut world = world();
    let mut client = world.client();
    assert_eq!(client.ask(&request("/robots.txt")).status, 200);
    let begin = Instant::now();
    assert_eq!(world.drain(PATIENCE).cut_off, 0);
    assert!(begin.elapsed() < PATIENCE / 2);
    assert!(client.is_closed());
    assert!(TcpStream::connect(world.address).is_err(), "nobody listens");
}

#[test]
fn a_request_that_has_begun_is_answered_and_its_connection_ends() {
    let mut world = world();
    let mut client = world.client();
    assert_eq!(client.ask(&request("/robots.txt")).status, 200);
    let whole = request(&world.link_path());
    let (begin, rest) = whole.split_at(10);
    client.send(begin);
    let mut other = world.client();
    assert_eq!(
        other.ask(&request("/robots.txt")).status,
        200,
        "by now it was read"
    );
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| world.drain(PATIENCE));
        assert!(other.is_closed(), "the drain has begun");
        client.send(rest);
        let response = client.receive();
        assert_eq!(response.status, 302);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(client.is_closed());
        assert_eq!(drained.join().expect("no panic").cut_off, 0);
    });
    assert_eq!(world.events().len(), 1);
}

#[test]
fn a_request_that_never_ends_is_cut_off_at_the_deadline() {
    let mut world = world();
    let mut client = world.client();
    assert_eq!(client.ask(&request("/robots.txt")).status, 200);
    client.send("GET / HT");
    let mut other = world.client();
    assert_eq!(
        other.ask(&request("/robots.txt")).status,
        200,
        "by now it was read"
    );
    let begin = Instant::now();
    assert_eq!(world.drain(Duration::from_millis(200)).cut_off, 1);
    assert!(begin.elapsed() < PATIENCE / 2);
    assert!(client.is_closed());
}

#[test]
fn who_leaves_still_answers_and_asks_to_connect_elsewhere() {
    let mut world = world();
    let mut idle = world.client();
    assert_eq!(idle.ask(&request("/robots.txt")).header("connection"), None);
    world.leave();
    assert!(idle.is_closed());
    for _ in 0..3 {
        let mut client = world.client();
        let response = client.ask(&request(&world.link_path()));
        assert_eq!(response.status, 302);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(client.is_closed());
    }
    assert_eq!(world.drain(PATIENCE).cut_off, 0);
    assert_eq!(world.events().len(), 3);
}

#[test]
fn no_answered_event_is_lost_when_drained_under_load() {
    let mut wanted = wanted();
    wanted.settings.runtimes = NonZeroUsize::new(2);
    let mut world = wanted.start();
    let (path, address) = (request(&world.link_path()), world.address);
    let (answered, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let Some(mut client) = crate::client::Client::try_connect(address) else {
                        continue;
                    };
                    while client.try_ask(&path).is_some_and(|r| r.status == 302) {
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        while answered.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        assert_eq!(world.drain(PATIENCE).cut_off, 0);
        over.store(true, Ordering::Relaxed);
    });
    assert!(world.events().len() >= answered.load(Ordering::Relaxed));
}

#[test]
fn a_listener_that_is_dropped_ends() {
    let world = world();
    let address = world.address;
    let mut client = world.client();
    assert_eq!(client.ask(&request("/robots.txt")).status, 200);
    drop(world);
    assert!(client.is_closed());
    let begin = Instant::now();
    while TcpStream::connect(address).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "it still listens");
        std::thread::yield_now();
    }
    let settings = Settings::at((Ipv4Addr::LOCALHOST, address.port()).into());
    assert!(serve::bind(settings).is_ok(), "the port is free again");
}
