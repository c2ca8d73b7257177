//! Every limit speaks its status and its name, and a client within them is served.

use std::time::{Duration, Instant};

use mailtrail_dataplane::serve::Limits;

use crate::client::{Client, Response};
use crate::world::{HOST, World, wanted, world};

/// Short enough to wait for, long enough for a busy machine to stay within.
const SHORT: Duration = Duration::from_millis(300);

fn world_with(change: impl FnOnce(&mut Limits)) -> World {
    let mut wanted = wanted();
    change(&mut wanted.settings.limits);
    wanted.start()
}

/// The limit's status and name, then the end of the connection; and it is counted.
fn is_refused(world: &World, mut client: Client, status: u16, limit: &str) {
    let response = client.receive();
    assert_eq!(response.status, status, "{limit}: {response:?}");
    assert!(response.text().contains(limit), "{}", response.text());
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
    let metric = format!("public_refusals_total{{limit=\"{limit}\"}}");
    assert_eq!(world.metric(&metric), 1);
    is_served(world);
}

fn is_served(world: &World) {
    assert_eq!(world.get(&world.pixel_path()).status, 200);
}

fn request(path: &str, fields: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: {HOST}\r\n{fields}\r\n")
}

#[test]
fn a_head_that_drips_is_told_so_and_cut_off() {
    let world = world_with(|limits| limits.head_time = SHORT);
    let mut client = world.client();
    let begin = Instant::now();
    client.send("GET / HTTP/1.1\r\nhost: ");
    // A byte now and then changes nothing: the time is the whole head's.
    let mut drip = client.another_handle();
    let dripping = std::thread::spawn(move || {
        while begin.elapsed() < 4 * SHORT && drip.write_byte(b'x') {
            std::thread::park_timeout(SHORT / 20);
        }
        begin.elapsed()
    });
    let response = client.receive();
    assert_eq!(response.status, 408);
    assert!(response.text().contains("head_time"));
    assert!(begin.elapsed() >= SHORT, "not before its time");
    drop(client);
    assert!(dripping.join().expect("no panic") < 4 * SHORT);
    is_served(&world);
}

#[test]
fn a_connection_that_asks_nothing_is_closed_without_a_word() {
    let world = world_with(|limits| limits.head_time = SHORT);
    let begin = Instant::now();
    assert!(world.client().is_closed());
    assert!(begin.elapsed() >= SHORT, "not before its time");
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let world = world_with(|limits| limits.idle_time = SHORT);
    let mut client = world.client();
    for _ in 0..2 {
        client.send(request(&world.pixel_path(), ""));
        assert_eq!(client.receive().status, 200);
    }
    let begin = Instant::now();
    assert!(client.is_closed());
    assert!(begin.elapsed() >= SHORT, "not before its time");
    assert_eq!(
        world.metric(r#"public_refusals_total{limit="idle_time"}"#),
        1
    );
}

#[test]
fn a_client_that_takes_no_answers_is_cut_off() {
    let world = world_with(|limits| limits.request_time = SHORT);
    let mut client = world.client();
    let many = request("/nowhere", "").repeat(1000);
    // Nobody reads: the answers fill what the system holds, then the requests do.
    while client.try_send(many.as_bytes()) {}
    assert_eq!(
        world.metric(r#"public_refusals_total{limit="request_time"}"#),
        1
    );
    is_served(&world);
}

#[test]
fn a_large_head_is_refused() {
    let world = world_with(|limits| limits.head_bytes = 10_000);
    let mut client = world.client();
    client.send(request("/", &format!("x: {}\r\n", "x".repeat(9_000))));
    assert_eq!(client.receive().status, 200, "within the limit");
    let field = format!("x: {}\r\n", "x".repeat(1000));
    client.send(request("/", &field.repeat(12)));
    is_refused(&world, client, 431, "head_bytes");
}

#[test]
fn many_fields_are_refused() {
    let world = world_with(|limits| limits.headers = 20);
    let mut client = world.client();
    client.send(request("/", &"x: y\r\n".repeat(19)));
    assert_eq!(client.receive().status, 200, "within the limit");
    client.send(request("/", &"x: y\r\n".repeat(20)));
    is_refused(&world, client, 431, "headers");
}

#[test]
fn more_fields_than_the_parser_holds_are_refused_alike() {
    let world = world();
    let mut client = world.client();
    client.send(request("/", &"x: y\r\n".repeat(200)));
    is_refused(&world, client, 431, "headers");
}

#[test]
fn a_long_target_is_refused() {
    let world = world_with(|limits| limits.uri_bytes = 2000);
    let mut client = world.client();
    client.send(request(&format!("/{}", "x".repeat(1999)), ""));
    assert_eq!(client.receive().status, 404, "within the limit");
    client.send(request(&format!("/{}", "x".repeat(2000)), ""));
    is_refused(&world, client, 414, "uri_bytes");
}

#[test]
fn a_target_that_does_not_end_is_refused_before_it_does() {
    let world = world();
    let mut client = world.client();
    client.send("GET /");
    client.try_send(&vec![b'x'; 100_000]);
    is_refused(&world, client, 414, "uri_bytes");
}

#[test]
fn no_body_is_read() {
    for (fields, body) in [
        ("content-length: 5\r\n", "hello"),
        ("transfer-encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        ("content-length: 5\r\nexpect: 100-continue\r\n", ""),
        ("content-length: 100000000\r\n", "x"),
    ] {
        let world = world();
        let mut client = world.client();
        client.send(request(&world.link_path(), fields) + body);
        is_refused(&world, client, 413, "body_bytes");
    }
}

#[test]
fn a_post_with_a_body_is_told_what_is_allowed_and_the_connection_ends() {
    let world = world();
    let mut client = world.client();
    client.send(format!(
        "POST {} HTTP/1.1\r\nhost: {HOST}\r\ncontent-length: 100000\r\n\r\n",
        world.link_path()
    ));
    client.try_send(&[b'x'; 50_000]);
    let response = client.receive();
    assert_eq!(
        (response.status, response.header("allow")),
        (405, Some("GET, HEAD"))
    );
    assert_eq!(response.header("connection"), Some("close"));
    assert!(client.is_closed());
}

#[test]
fn what_is_no_http_is_refused() {
    for bytes in [
        "hello\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\r\nhost: b.example\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a.example\r\nbad name: x\r\n\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
    ] {
        let world = world();
        let mut client = world.client();
        client.send(bytes);
        let response = client.receive();
        assert_eq!(response.status, 400, "{bytes:?}");
        assert!(client.is_closed());
        assert_eq!(
            world.metric(r#"public_refusals_total{limit="bad_request"}"#),
            1
        );
        is_served(&world);
    }
}

#[test]
fn too_many_connections_are_told_so() {
    let world = world_with(|limits| limits.connections = 2);
    let mut kept: Vec<Client> = (0..2).map(|_| kept_alive(&world)).collect();
    let response = world.client().receive();
    assert_eq!(response.status, 503);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert!(response.text().contains("connections"));
    kept[0].send(request("/robots.txt", "connection: close\r\n"));
    assert_eq!(kept[0].receive().status, 200, "who is in is served");
    assert!(kept[0].is_closed());
    wait_until(|| world.client().ask(&request("/robots.txt", "")).status == 200);
}

#[test]
fn too_many_connections_of_one_peer_are_told_so_and_trusted_proxies_are_exempt() {
    let world = world_with(|limits| limits.connections_per_peer = 2);
    let _kept: Vec<Client> = (0..2).map(|_| kept_alive(&world)).collect();
    let response = world.client().receive();
    assert_eq!(response.status, 503);
    assert!(response.text().contains("connections_per_peer"));
    assert_eq!(
        world.metric(r#"public_refusals_total{limit="connections_per_peer"}"#),
        1
    );

    let mut wanted = wanted();
    wanted.settings.limits.connections_per_peer = 2;
    wanted.settings.trusted_proxies = vec!["127.0.0.0/8".parse().expect("net")];
    let world = wanted.start();
    let _kept: Vec<Client> = (0..5).map(|_| kept_alive(&world)).collect();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let world = world();
    let mut client = world.client();
    let (pixel, link) = (
        request(&world.pixel_path(), ""),
        request(&world.link_path(), ""),
    );
    let all = [&*pixel, &*link, &*request("/nowhere", ""), &*pixel].concat();
    // Cut so that heads end inside what is read at once.
    for piece in all.as_bytes().chunks(all.len() / 3 + 1) {
        client.send(piece);
    }
    let statuses: Vec<u16> = (0..4).map(|_| client.receive().status).collect();
    assert_eq!(statuses, [200, 302, 404, 200]);
    assert_eq!(world.events().len(), 3);
}

#[test]
fn a_bad_request_behind_a_good_one_takes_no_answer_away() {
    let world = world();
    let mut client = world.client();
    client.send(request(&world.link_path(), "") + "bad\r\n\r\n");
    assert_eq!(client.receive().status, 302);
    assert_eq!(client.receive().status, 400);
    assert!(client.is_closed());
}

#[test]
fn http_1_0_is_answered_and_closed() {
    let world = world();
    let mut client = world.client();
    client.send(format!(
        "GET {} HTTP/1.0\r\nhost: {HOST}\r\n\r\n",
        world.pixel_path()
    ));
    assert_eq!(client.receive().status, 200);
    assert!(client.is_closed());
}

#[test]
fn an_absolute_target_names_the_host() {
    let world = world();
    let path = world.link_path();
    let mut client = world.client();
    client.send(format!(
        "GET http://{HOST}{path} HTTP/1.1\r\nhost: x.example\r\n\r\n"
    ));
    assert_eq!(client.receive().status, 302);
}

/// A connection that was accepted: it has got an answer.
fn kept_alive(world: &World) -> Client {
    let mut client = world.client();
    let response: Response = client.ask(&request("/robots.txt", ""));
    assert_eq!(response.status, 200);
    client
}

/// Asks until it is so; the listener learns of a close when it gets to it.
fn wait_until(mut holds: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(
            begin.elapsed() < crate::client::PATIENCE,
            "it never came true"
        );
        std::thread::yield_now();
    }
}
