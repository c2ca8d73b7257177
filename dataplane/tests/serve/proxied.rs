//! The PROXY protocol, where it is on and where it is not.

use std::net::SocketAddr;
use std::time::Duration;

use mailtrail_core::config::AddressDetail;

use crate::world::{HOST, World, wanted, world};

fn proxied() -> World {
    let mut wanted = wanted();
    wanted.settings.proxy_protocol = true;
    wanted.settings.limits.head_time = Duration::from_millis(300);
    wanted.domain.privacy.address = AddressDetail::Full;
    wanted.start()
}

fn version_2(command: u8, source: [u8; 4]) -> Vec<u8> {
    let begin = b"\r\n\r\n\0\r\nQUIT\n";
    let addresses = [&source[..], &[10, 0, 0, 1, 0x12, 0x34, 0, 80]].concat();
    [begin, &[command, 0x11, 0, 12][..], &addresses].concat()
}

fn pixel_request(world: &World) -> String {
    format!(
        "GET {} HTTP/1.1\r\nhost: {HOST}\r\n\r\n",
        world.pixel_path()
    )
}

#[test]
fn the_client_is_whom_the_header_names() {
    let local = SocketAddr::from(([127, 0, 0, 1], 0)).ip().to_string();
    for (header, expected) in [
        (
            b"PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n".to_vec(),
            "198.51.100.1",
        ),
        (
            b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
            "2001:db8::1",
        ),
        (b"PROXY UNKNOWN\r\n".to_vec(), &*local),
        (version_2(0x21, [198, 51, 100, 2]), "198.51.100.2"),
        (version_2(0x20, [198, 51, 100, 2]), &*local),
    ] {
        let world = proxied();
        let mut client = world.client();
        // In pieces, then with the request's begin behind it.
        let (first, second) = header.split_at(header.len() / 2);
        client.send(first);
        client.send([second, pixel_request(&world).as_bytes()].concat());
        assert_eq!(client.receive().status, 200);
        client.send(pixel_request(&world));
        assert_eq!(client.receive().status, 200, "one header per connection");
        for event in world.events() {
            assert_eq!(event.client.address.as_deref(), Some(expected));
        }
        assert_eq!(world.events().len(), 2);
    }
}

#[test]
fn without_the_header_nothing_is_served() {
    let world = proxied();
    for bytes in [
        pixel_request(&world).into_bytes(),
        b"PROXY nonsense\r\n".to_vec(),
        [b"PROXY ".to_vec(), vec![b'x'; 200]].concat(),
        version_2(0x2f, [1, 2, 3, 4]),
    ] {
        let mut client = world.client();
        client.send(bytes);
        let response = client.receive();
        assert_eq!(response.status, 400);
        assert!(response.text().contains("PROXY"));
        assert!(client.is_closed());
    }
    assert_eq!(world.events(), []);
    assert_eq!(
        world.metric(r#"public_refusals_total{limit="proxy_header"}"#),
        4
    );
}

#[test]
fn a_header_that_does_not_come_is_not_waited_for() {
    let world = proxied();
    for bytes in [&b""[..], b"PROXY TCP4 198.51", b"\r\n\r\n\0\r\nQUIT\n"] {
        let mut client = world.client();
        client.send(bytes);
        assert!(client.is_closed());
    }
}

#[test]
fn where_it_is_off_the_header_is_no_http() {
    let world = world();
    let mut client = world.client();
    client.send("PROXY TCP4 198.51.100.1 10.0.0.1 4711 80\r\n");
    client.try_send(pixel_request(&world).as_bytes());
    assert_eq!(client.receive().status, 400);
    assert_eq!(world.events(), []);
}

#[test]
fn connections_are_counted_by_the_client_that_the_header_names() {
    let mut wanted = wanted();
    wanted.settings.proxy_protocol = true;
    wanted.settings.limits.connections_per_peer = 1;
    let world = wanted.start();
    let connect = |source: &str| {
        let mut client = world.client();
        client.send(format!("PROXY TCP4 {source} 10.0.0.1 4711 80\r\n"));
        client.try_send(pixel_request(&world).as_bytes());
        let response = client.receive();
        (client, response.status)
    };
    let first = connect("198.51.100.1");
    let second = connect("198.51.100.2");
    assert_eq!((first.1, second.1), (200, 200));
    assert_eq!(connect("198.51.100.1").1, 503);
}
