//! Pixels and links over TLS: as over plain HTTP, and never anything before it.

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use mailtrail_core::config::AddressDetail;
use mailtrail_dataplane::serve::PIXEL;
use rustls::{ClientConfig, HandshakeKind, ProtocolVersion};

use crate::client::{Client, PATIENCE};
use crate::secure::{connect, dial, mount, shake_hands};
use crate::world::{HOST, TARGET, World};

/// Short enough to wait for, long enough for a busy machine to stay within.
const SHORT: Duration = Duration::from_millis(300);

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n\r\n")
}

fn refused(world: &World, limit: &str, times: u64) {
    let metric = format!("public_refusals_total{{limit=\"{limit}\"}}");
    world.counts(&metric, times);
}

#[test]
fn pixels_and_links_are_served_as_over_plain_http_and_recorded_with_the_readers_address() {
    let mount = mount();
    let world = mount.world(|wanted| wanted.domain.privacy.address = AddressDetail::Full);
    let mut client = connect(&world, &mount.config(&["http/1.1"]));
    let pixel = client.ask(&request(&world.pixel_path()));
    assert_eq!((pixel.status, &*pixel.body), (200, &PIXEL[..]));
    let link = client.ask(&request(&world.link_path()));
    assert_eq!((link.status, link.header("location")), (302, Some(TARGET)));
    assert_eq!(link.head(), world.get(&world.link_path()).head());
    let events = world.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(event.client.address.as_deref(), Some("127.0.0.1"));
    }
}

#[test]
fn both_versions_of_tls_are_spoken() {
    let mount = mount();
    let world = mount.world(|_| {});
    for (versions, expected) in [
        (&[&rustls::version::TLS12], ProtocolVersion::TLSv1_2),
        (&[&rustls::version::TLS13], ProtocolVersion::TLSv1_3),
    ] {
        let config = Arc::new(mount.config_of(versions));
        let stream = shake_hands(dial(&world), config, HOST, b"").expect("TLS");
        assert_eq!(stream.conn.protocol_version(), Some(expected));
    }
}

#[test]
fn a_session_is_resumed_and_nothing_comes_before_its_handshake() {
    let mount = mount();
    let world = mount.world(|_| {});
    let mut config = ClientConfig::clone(&mount.config(&[]));
    config.enable_early_data = true;
    let config = Arc::new(config);
    let kinds = [(); 2].map(|()| {
        let socket = dial(&world);
        let handle = socket.try_clone().expect("a handle");
        let mut stream = shake_hands(socket, Arc::clone(&config), HOST, b"").expect("TLS");
        assert!(!stream.conn.is_early_data_accepted());
        stream
            .write_all(request("/robots.txt").as_bytes())
            .expect("sent");
        let kind = stream.conn.handshake_kind();
        // With the answer comes the ticket.
        assert_eq!(Client::over(stream, handle).receive().status, 200);
        kind
    });
    assert_eq!(
        kinds,
        [HandshakeKind::Full, HandshakeKind::Resumed].map(Some)
    );
}

#[test]
fn http_2_is_spoken_where_it_is_agreed_upon() {
    let mount = mount();
    let world = mount.world(|_| {});
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let address = world.tls_address.expect("TLS");
        let socket = tokio::net::TcpStream::connect(address)
            .await
            .expect("connect");
        let connector = tokio_rustls::TlsConnector::from(mount.config(&["h2", "http/1.1"]));
        let name = HOST.try_into().expect("a name");
        let stream = connector.connect(name, socket).await.expect("TLS");
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let connection = tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("ready");
        let uri = format!("https://{HOST}{}", world.pixel_path());
        let request = Request::get(uri).body(()).expect("a request");
        let (response, _) = requests.send_request(request, true).expect("sent");
        let mut body = response.await.expect("a response").into_body();
        let data: Bytes = body.data().await.expect("data").expect("a body");
        assert_eq!(data, PIXEL[..]);
        drop((requests, body));
        let ended = tokio::time::timeout(PATIENCE, connection).await;
        assert!(matches!(ended, Ok(Ok(Ok(())))), "{ended:?}");
    });
    assert_eq!(world.events().len(), 1);

    // Without it, what HTTP/2 begins with is no request.
    let mut client = connect(&world, &mount.config(&[]));
    client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(client.is_closed());
    let spdy = shake_hands(dial(&world), mount.config(&["spdy/3"]), HOST, b"");
    assert!(spdy.is_err(), "nothing in common");
}

#[test]
fn what_is_refused_is_told_within_tls() {
    let mount = mount();
    let world = mount.world(|wanted| {
        wanted.settings.limits.head_bytes = 10_000;
        wanted.settings.limits.head_time = SHORT;
    });
    let config = mount.config(&[]);
    let mut client = connect(&world, &config);
    let field = format!("x: {}\r\n", "x".repeat(1000));
    client.try_send(format!("GET / HTTP/1.1\r\n{}\r\n", field.repeat(12)).as_bytes());
    let response = client.receive();
    assert_eq!(response.status, 431);
    assert!(response.text().contains("head_bytes"));
    assert!(client.is_closed());
    let mut client = connect(&world, &config);
    client.send("GET / HT");
    assert_eq!(client.receive().status, 408);
    let mut silent = connect(&world, &config);
    assert!(silent.is_closed(), "without a word");
}

#[test]
fn without_tls_nothing_is_served_and_nothing_is_said() {
    let mount = mount();
    let world = mount.world(|_| {});
    let mut socket = dial(&world);
    socket
        .write_all(request(&world.pixel_path()).as_bytes())
        .expect("sent");
    let mut said = Vec::new();
    let _ = socket.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    assert!(said.len() <= 7, "an alert at most: {said:?}");
    assert_eq!(world.events(), []);
    refused(&world, "handshake", 1);
    assert_eq!(world.get(&world.pixel_path()).status, 200, "beside it");
}

#[test]
fn who_only_looks_whether_the_port_is_open_is_no_failure() {
    let mount = mount();
    let world = mount.world(|_| {});
    drop(dial(&world));
    let mut client = connect(&world, &mount.config(&[]));
    assert_eq!(
        client.ask(&request("/robots.txt")).status,
        200,
        "by now it was seen"
    );
    refused(&world, "handshake", 0);
}

#[test]
fn a_handshake_that_does_not_end_is_ended_and_its_place_given_back() {
    let mount = mount();
    let world = mount.world(|wanted| {
        wanted.settings.limits.handshake_time = SHORT;
        wanted.settings.limits.connections = 2;
    });
    let begin = Instant::now();
    let (mut silent, mut half) = (dial(&world), dial(&world));
    // A record's head, and not what it announces.
    half.write_all(&[22, 3, 1, 2, 0, 1]).expect("sent");
    let mut said = Vec::new();
    // No place is left: closed at once, without a word.
    let _ = dial(&world).read_to_end(&mut said);
    assert!(said.is_empty(), "{said:?}");
    refused(&world, "connections", 1);
    for socket in [&mut silent, &mut half] {
        let _ = socket.read_to_end(&mut said);
        assert!(said.is_empty(), "{said:?}");
    }
    assert!(begin.elapsed() >= SHORT, "not before its time");
    refused(&world, "handshake_time", 2);
    let mut client = connect(&world, &mount.config(&[]));
    assert_eq!(client.ask(&request("/robots.txt")).status, 200);
}

#[test]
fn handshakes_of_one_peer_are_as_many_as_its_connections() {
    let mount = mount();
    let world = mount.world(|wanted| wanted.settings.limits.connections_per_peer = 2);
    let _held = [dial(&world), dial(&world)];
    let mut said = Vec::new();
    let _ = dial(&world).read_to_end(&mut said);
    assert!(said.is_empty(), "{said:?}");
    refused(&world, "connections_per_peer", 1);
    // Of both ports together.
    assert_eq!(world.client().ask(&request("/robots.txt")).status, 503);
}

// === The PROXY protocol ===

#[test]
fn the_header_of_the_proxy_protocol_comes_before_tls() {
    const HEADER: &str = "PROXY TCP4 198.51.100.1 10.0.0.1 4711 443\r\n";
    let mount = mount();
    let world = mount.world(|wanted| {
        wanted.settings.proxy_protocol = true;
        wanted.domain.privacy.address = AddressDetail::Full;
    });
    let ask = |before: &[u8], with_begin: &[u8]| {
        let mut socket = dial(&world);
        socket.write_all(before).expect("sent");
        let handle = socket.try_clone().expect("a handle");
        let stream = shake_hands(socket, mount.config(&[]), HOST, with_begin).expect("TLS");
        let mut client = Client::over(stream, handle);
        assert_eq!(client.ask(&request(&world.link_path())).status, 302);
    };
    // In one piece with the begin of TLS, alone, and cut in two.
    let (first, second) = HEADER.split_at(12);
    ask(b"", HEADER.as_bytes());
    ask(HEADER.as_bytes(), b"");
    ask(first.as_bytes(), second.as_bytes());
    let events = world.events();
    assert_eq!(events.len(), 3);
    for event in events {
        assert_eq!(event.client.address.as_deref(), Some("198.51.100.1"));
    }

    // Without it, nothing; and behind it TLS alone.
    assert!(shake_hands(dial(&world), mount.config(&[]), HOST, b"").is_err());
    refused(&world, "proxy_header", 1);
    let mut plain = dial(&world);
    let begin = [HEADER.as_bytes(), b"GET / HTTP/1.1\r\n"].concat();
    plain.write_all(&begin).expect("sent");
    let mut said = Vec::new();
    let begin = Instant::now();
    let _ = plain.read_to_end(&mut said);
    assert!(
        said.len() <= 7 && begin.elapsed() < PATIENCE / 2,
        "{said:?}"
    );
}

// === Its end ===

#[test]
fn a_drain_is_not_held_up_by_handshakes_and_answers_what_has_begun() {
    let mount = mount();
    let mut world = mount.world(|_| {});
    let config = mount.config(&[]);
    let (mut idle, mut busy) = (connect(&world, &config), connect(&world, &config));
    assert_eq!(idle.ask(&request("/robots.txt")).status, 200);
    assert_eq!(busy.ask(&request("/robots.txt")).status, 200);
    let whole = request(&world.link_path());
    let (begin, rest) = whole.split_at(10);
    busy.send(begin);
    let (mut silent, arriving) = (dial(&world), dial(&world));
    assert_eq!(
        idle.ask(&request("/robots.txt")).status,
        200,
        "by now it was read"
    );
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let drained = scope.spawn(|| world.drain(PATIENCE));
        assert!(idle.is_closed(), "the drain has begun");
        busy.send(rest);
        let response = busy.receive();
        assert_eq!(response.status, 302);
        assert_eq!(response.header("connection"), Some("close"));
        assert!(busy.is_closed());
        // One that was accepted before is served still.
        let handle = arriving.try_clone().expect("a handle");
        let stream = shake_hands(arriving, Arc::clone(&config), HOST, b"").expect("TLS");
        let response = Client::over(stream, handle).ask(&request("/robots.txt"));
        assert_eq!(response.header("connection"), Some("close"));
        assert_eq!(drained.join().expect("no panic").cut_off, 0);
    });
    assert!(begun.elapsed() < PATIENCE / 2);
    assert_eq!(silent.read(&mut [0; 8]).unwrap_or(0), 0);
    assert_eq!(world.events().len(), 1);
}

#[test]
fn who_closes_says_so() {
    let mount = mount();
    let world = mount.world(|_| {});
    let mut stream = shake_hands(dial(&world), mount.config(&[]), HOST, b"").expect("TLS");
    let last = format!("GET /robots.txt HTTP/1.1\r\nhost: {HOST}\r\nconnection: close\r\n\r\n");
    stream.write_all(last.as_bytes()).expect("sent");
    let mut answer = String::new();
    // A truncation would be an error here (RFC 8446, 6.1).
    stream.read_to_string(&mut answer).expect("a whole answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn an_address_in_use_is_said_to_be_by_its_flag() {
    let mount = mount();
    let world = mount.world(|_| {});
    let metrics = mailtrail_dataplane::metrics::Metrics::new();
    let clock: mailtrail_dataplane::serve::tls::Clock = std::sync::Arc::new(jiff::Timestamp::now);
    let opened = mailtrail_dataplane::serve::tls::open(mount.path(), clock, metrics.tls.clone());
    let (acceptor, _) = opened.expect("TLS");
    let address = world.tls_address.expect("TLS");
    let mut settings = crate::world::wanted().settings;
    settings.tls = Some(mailtrail_dataplane::serve::tls::Tls { address, acceptor });
    let error = mailtrail_dataplane::serve::bind(settings).expect_err("in use");
    assert!(error.to_string().starts_with("--public-tls: "), "{error}");
}
