//! What is bounded: bodies, heads, time, how many at once; and the drain.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::client::{Answer, Request, connect, get, post, post_raw};
use crate::world::{Server, World};

const MOMENT: Duration = Duration::from_millis(300);

fn mail_head(length: usize) -> String {
    format!(
        "POST /v1/rewrite HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    )
}

/// A request that has begun: its head and some of its body are sent, and the
/// server has begun to read (`Expect` makes it say so).
fn begun(server: &Server, length: usize) -> TcpStream {
    let mut stream = connect(server.address);
    let head = mail_head(length).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("written");
    let mut said = [0; 25];
    stream.read_exact(&mut said).expect("100 Continue");
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream
}

#[test]
fn bodies_over_their_limit_are_refused_with_the_limits_name() {
    let mut world = World::open();
    world.settings.html_max_bytes = 10_000;
    let server = world.start();
    let mail = |html: usize, text: usize| {
        let body = json!({"domain": "shop/links", "message_id": "m", "html": "a".repeat(html), "text": "a".repeat(text)});
        post("/v1/rewrite", &body).send(server.address)
    };
    assert_eq!(mail(10_000, 1024 * 1024).status, 200);
    let json_max_bytes = 3 * (10_000 + 1024 * 1024) + 64 * 1024;
    for (answer, name, max) in [
        (mail(10_001, 1), "html_max_bytes", 10_000),
        (mail(1, 1024 * 1024 + 1), "text_max_bytes", 1024 * 1024),
        (mail(1, 4 * 1024 * 1024), "json_max_bytes", json_max_bytes),
        (
            post("/v1/rewrite", &json!({"html": "a".repeat(4 * 1024 * 1024)}))
                .chunked()
                .send(server.address),
            "json_max_bytes",
            json_max_bytes,
        ),
        (
            post(
                "/v1/domains/shop/links/resolve",
                &json!({"url": "u".repeat(20_000)}),
            )
            .send(server.address),
            "small_body_max_bytes",
            16 * 1024,
        ),
    ] {
        let (status, word, body) = answer.problem();
        assert_eq!((status, word.as_str()), (413, "too-large"), "{body}");
        assert_eq!(body["limit"], json!({"name": name, "max": max}));
    }
}

#[test]
fn a_body_that_says_it_is_too_large_is_refused_unread() {
    let server = World::open().start();
    let mut stream = connect(server.address);
    stream
        .write_all(mail_head(1 << 40).as_bytes())
        .expect("written");
    assert_eq!(Answer::read(stream).problem().0, 413);
}

#[test]
fn a_slow_body_is_given_up() {
    let mut world = World::open();
    world.settings.body_time = MOMENT;
    let server = world.start();
    let mut stream = connect(server.address);
    stream
        .write_all(mail_head(100).as_bytes())
        .expect("written");
    stream.write_all(b"{\"domain\"").expect("written");
    let (status, word, _) = Answer::read(stream).problem();
    assert_eq!((status, word.as_str()), (408, "slow-body"));
}

#[test]
fn a_head_that_does_not_end_is_given_up() {
    let mut world = World::open();
    world.settings.head_time = MOMENT;
    world.settings.stall_time = 2 * MOMENT;
    let server = world.start();
    for begin in [
        "",
        "GET /v1/domains HTTP/1.1\r\nhost: lo",
        "PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut stream = connect(server.address);
        stream.write_all(begin.as_bytes()).expect("written");
        let mut rest = Vec::new();
        let began = Instant::now();
        let _ = stream.read_to_end(&mut rest);
        assert!(began.elapsed() < Duration::from_secs(10), "{begin:?}");
    }
}

#[test]
fn too_many_header_fields_are_refused() {
    let server = World::open().start();
    let with = |count: usize| {
        (0..count).fold(get("/v1/domains"), |request, at| {
            request.header(&format!("x-{at}"), "v")
        })
    };
    // Two are there already, and the length.
    assert_eq!(with(61).send(server.address).status, 200);
    let (status, word, body) = with(62).send(server.address).problem();
    assert_eq!((status, word.as_str()), (431, "too-many-headers"));
    assert_eq!(body["limit"]["max"], 64);
    // These are too many for the parser too.
    let (status, word, body) = with(500).send(server.address).problem();
    assert_eq!((status, word.as_str()), (431, "head-too-large"));
    assert_eq!(body["limit"]["name"], "head_max_bytes");
}

#[test]
fn a_body_that_is_cut_off_is_told_as_that_whatever_it_is() {
    let server = World::open().start();
    for (content_type, begin) in [("text/html", "<p>Hel"), ("application/json", "{\"doma")] {
        let mut stream = connect(server.address);
        let head = mail_head(1000)
            .replace("application/json", content_type)
            .replace(
                "\r\n\r\n",
                "\r\nmailtrail-domain: shop/links\r\nmailtrail-message-id: m\r\n\r\n",
            );
        stream
            .write_all((head + begin).as_bytes())
            .expect("written");
        stream
            .shutdown(std::net::Shutdown::Write)
            .expect("half closed");
        let (status, word, body) = Answer::read(stream).problem();
        assert_eq!((status, word.as_str()), (400, "cut-off"), "{content_type}");
        assert_eq!(body["title"], "The body did not arrive whole");
    }
}

/// Reads an answer and leaves the connection as it is.
fn read_one(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("a head");
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head).expect("text");
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.parse().ok());
    let mut body = vec![0; length.expect("a length")];
    stream.read_exact(&mut body).expect("a body");
}

#[test]
fn what_never_becomes_a_request_is_refused_in_the_same_form() {
    let server = World::open().start();
    let long = "x".repeat(70_000);
    for (sent, expected) in [
        ("nonsense\r\n\r\n".to_owned(), (400, "not-http")),
        (
            "GET / HTTP/1.1\r\n: v\r\n\r\n".to_owned(),
            (400, "not-http"),
        ),
        (
            format!("GET / HTTP/1.1\r\nx: {long}"),
            (431, "head-too-large"),
        ),
        (format!("GET /{long}"), (431, "head-too-large")),
    ] {
        let mut stream = connect(server.address);
        // Also behind a request that was answered.
        let first = "GET /v1/domains HTTP/1.1\r\nhost: localhost\r\n\r\n";
        stream.write_all(first.as_bytes()).expect("written");
        read_one(&mut stream);
        stream.write_all(sent.as_bytes()).expect("written");
        let answer = Answer::read(stream);
        let (status, word, _) = answer.problem();
        assert_eq!((status, word.as_str()), expected);
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(answer.whole);
    }
}

#[test]
fn more_requests_at_once_than_allowed_are_sent_away() {
    let mut world = World::open();
    world.settings.requests_max = 2;
    let server = world.start();
    let (first, second) = (begun(&server, 2), begun(&server, 2));
    let answer = get("/v1/domains").send(server.address);
    let (status, word, body) = answer.problem();
    assert_eq!((status, word.as_str()), (503, "overloaded"));
    assert_eq!(body["limit"], json!({"name": "requests_max", "max": 2}));
    assert_eq!(answer.header("retry-after"), Some("1"));
    // When one ends there is a place again.
    for mut stream in [first, second] {
        stream.write_all(b"{}").expect("written");
        assert_eq!(Answer::read(stream).status, 422);
    }
    assert_eq!(get("/v1/domains").send(server.address).status, 200);
}

#[test]
fn bodies_hold_no_more_than_allowed_all_together() {
    let mut world = World::open();
    world.settings.bodies_max_bytes = 1000;
    let server = world.start();
    let large = format!("{{\"domain\":\"{}\"}}", "a".repeat(2000));
    let answer = post_raw("/v1/rewrite", large.as_bytes()).send(server.address);
    assert_eq!(answer.problem().1, "overloaded");
    // What was held is given back.
    for _ in 0..5 {
        let small = format!("{{\"domain\":\"{}\"}}", "a".repeat(900));
        let answer = post_raw("/v1/rewrite", small.as_bytes()).send(server.address);
        assert_eq!(answer.status, 422);
    }
}

#[test]
fn connections_are_bounded_and_the_next_one_waits() {
    let mut world = World::open();
    world.settings.connections_max = 1;
    let server = world.start();
    let mut first = begun(&server, 2);
    let mut waiting = connect(server.address);
    waiting
        .write_all(&get("/v1/domains").bytes())
        .expect("written");
    waiting.set_read_timeout(Some(MOMENT)).expect("timeout");
    assert!(waiting.read(&mut [0; 1]).is_err(), "answered too early");
    first.write_all(b"{}").expect("written");
    assert_eq!(Answer::read(first).status, 422);
    waiting
        .set_read_timeout(Some(crate::client::PATIENCE))
        .expect("timeout");
    assert_eq!(Answer::read(waiting).status, 200);
}

#[test]
fn what_has_begun_is_answered_when_the_server_stops() {
    let mut server = World::open().start();
    let mut stream = begun(&server, 2);
    let idle = connect(server.address);
    server.begin_to_stop();
    // New connections are refused once the listener is gone.
    let began = Instant::now();
    while TcpStream::connect(server.address).is_ok() && began.elapsed() < Duration::from_secs(10) {
        std::thread::yield_now();
    }
    stream.write_all(b"{}").expect("written");
    assert_eq!(Answer::read(stream).status, 422);
    drop(idle);
    server.join();
}

#[test]
fn the_drain_has_an_end() {
    let mut world = World::open();
    world.settings.drain_time = MOMENT;
    let mut server = world.start();
    let stuck = begun(&server, 2);
    let began = Instant::now();
    server.begin_to_stop();
    server.join();
    assert!(began.elapsed() < Duration::from_secs(10));
    drop(stuck);
}

#[test]
fn several_requests_share_a_connection() {
    let server = World::open().start();
    let mut stream = connect(server.address);
    let kept = Request::new("GET", "/v1/domains").with("connection", "keep-alive");
    let mut bytes = kept.bytes();
    bytes.extend_from_slice(&kept.bytes());
    bytes.extend_from_slice(&get("/v1/domains").bytes());
    stream.write_all(&bytes).expect("written");
    let mut all = Vec::new();
    stream.read_to_end(&mut all).expect("read");
    let text = String::from_utf8_lossy(&all);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
}

#[test]
fn answers_are_counted_by_status() {
    let server = World::open().start();
    get("/v1/domains").send(server.address);
    get("/v1/nothing").send(server.address);
    get("/v1/domains").send(server.address);
    let text = server.metrics.encode();
    for line in [
        "mailtrail_api_answers_total{status=\"200\"} 2",
        "mailtrail_api_answers_total{status=\"404\"} 1",
        "mailtrail_api_messages_not_recorded_total 0",
    ] {
        assert!(text.contains(line), "{line}");
    }
}
