//! A rewrite whose body is HTML as it is.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Answer, Request, connect, post};
use crate::world::World;

const HEAD: &str = "<html><body><p>";
const TAIL: &str =
    "<a href=\"https://shop.example/a\">A</a> <a href=\"tel:1\">B</a></p></body></html>";

fn html(body: &[u8]) -> Request {
    Request::new("POST", "/v1/rewrite")
        .header("content-type", "text/html; charset=utf-8")
        .header("mailtrail-domain", "shop/links")
        .header("mailtrail-message-id", "m-1")
        .header("mailtrail-recipient", "ada@example.org")
        .header("te", "trailers")
        .body(body)
}

/// A mail of about so many bytes, with a link a kilobyte.
fn document(filling: usize) -> String {
    let tea = "<p>Tea &amp; <b>biscuits</b></p>\n".repeat(31);
    let paragraph = format!("{tea}<a href='https://shop.example/p?a=1&amp;b=2'>now</a>\n");
    format!(
        "{HEAD}{}{TAIL}",
        paragraph.repeat(filling / paragraph.len())
    )
}

/// Random bytes from a seed (xorshift).
fn noise(seed: u64, count: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // Many angle brackets and quotes, so that much of it looks like markup.
    let alphabet = b"<>/\"'=! -&;abhref\0\xff\xc3\xa9\r\n";
    (0..count)
        .map(|_| match next() % 4 {
            0 => (next() & 0xff) as u8,
            _ => alphabet[(next() % alphabet.len() as u64) as usize],
        })
        .collect()
}

#[test]
fn a_stream_gives_the_bytes_that_json_gives() {
    let server = World::open().start();
    for filling in [0, 30_000, 200_000, 900_000] {
        let document = document(filling);
        let mail = json!({"domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org", "html": document});
        let expected = post("/v1/rewrite", &mail).send(server.address).json();
        for request in [
            html(document.as_bytes()),
            html(document.as_bytes()).chunked(),
        ] {
            let answer = request.send(server.address);
            assert_eq!((answer.status, answer.whole), (200, true), "{filling}");
            assert!(
                answer.text() == expected["html"].as_str().expect("html"),
                "{filling}"
            );
        }
    }
}

#[test]
fn counts_stand_in_the_header_of_short_ones_and_in_the_trailer_of_long_ones() {
    let server = World::open().start();
    let check =
        |find: &dyn Fn(&str) -> Option<String>, links: &str, tracked: &str, warnings: &str| {
            let expected = [
                ("mailtrail-links", links),
                ("mailtrail-links-tracked", tracked),
                ("mailtrail-pixel", "placed"),
                ("mailtrail-warnings", warnings),
            ];
            for (name, value) in expected {
                assert_eq!(find(name).as_deref(), Some(value), "{name}");
            }
        };
    let short = html(document(0).as_bytes()).send(server.address);
    check(&|name| short.header(name).map(str::to_owned), "2", "1", "");
    assert!(short.header("content-length").is_some() && short.trailers.is_empty());
    let links = "<a href='https://shop.example/'>x</a>\n".repeat(10_100);
    let long = html(links.as_bytes()).chunked().send(server.address);
    check(
        &|name| long.trailer(name).map(str::to_owned),
        "10100",
        "10000",
        "gmail_clips,too_many_links",
    );
}

#[test]
fn who_did_not_ask_for_trailers_gets_none() {
    let server = World::open().start();
    let answer = html(document(400_000).as_bytes())
        .with("te", "")
        .send(server.address);
    assert_eq!(
        (answer.status, answer.whole, answer.trailers.len()),
        (200, true, 0)
    );
}

#[test]
fn case_67_bytes_of_another_charset_come_back_as_they_are() {
    let server = World::open().start();
    let body = b"<p>caf\xe9 <a href=\"https://e.com/\">\x93x\x94</a></p>";
    let request = html(body).with("content-type", "text/html; charset=windows-1252");
    let answer = request.send(server.address);
    assert_eq!(
        answer.header("content-type"),
        Some("text/html; charset=windows-1252")
    );
    assert!(
        answer
            .body
            .starts_with(b"<p>caf\xe9 <a href=\"https://links.shop.example/c/")
    );
    assert!(answer.body.windows(3).any(|w| w == b"\x93x\x94"));
}

#[test]
fn html_of_any_bytes_comes_back_as_it_was_where_nothing_is_tracked() {
    let server = World::open().start();
    for seed in 1..=24 {
        let body = noise(seed, 400 * usize::try_from(seed).expect("small"));
        let request = html(&body).with("mailtrail-domain", "shop/quiet").chunked();
        let answer = request.send(server.address);
        assert_eq!(answer.status, 200, "seed {seed}");
        assert!(answer.body == body, "seed {seed}");
        // With everything on it is answered as well, in whatever form.
        assert_eq!(html(&body).send(server.address).status, 200, "seed {seed}");
    }
    let long = noise(99, 700_000);
    let answer = html(&long)
        .with("mailtrail-domain", "shop/quiet")
        .send(server.address);
    assert!(answer.whole && answer.body == long);
}

#[test]
fn a_dry_run_of_html_gives_the_report() {
    let server = World::open().start();
    let body = document(400_000);
    let answer = html(body.as_bytes())
        .header("mailtrail-dry-run", "true")
        .send(server.address);
    let answer = answer.json();
    assert_eq!(
        (&answer["html"], &answer["report"]["pixel"]["placed"]),
        (&Value::Null, &json!(true))
    );
}

#[test]
fn a_body_over_the_limit_is_refused_with_the_limits_name_or_cut() {
    let mut world = World::open();
    world.settings.html_max_bytes = 400_000;
    let server = world.start();
    assert_eq!(html(&[b' '; 400_000]).send(server.address).status, 200);
    let (status, word, body) = html(&[b' '; 400_001]).send(server.address).problem();
    assert_eq!((status, word.as_str()), (413, "too-large"));
    assert_eq!(
        body["limit"],
        json!({"name": "html_max_bytes", "max": 400_000})
    );
    // Its length unsaid, the answer has begun by the time: it is never ended.
    let answer = html(&[b' '; 500_000]).chunked().send(server.address);
    assert!(!answer.whole, "{}", answer.status);
}

#[test]
fn a_stream_that_breaks_off_is_never_ended_as_if_it_were_whole() {
    let server = World::open().start();
    let bytes = html(document(600_000).as_bytes()).chunked().bytes();
    let mut stream = connect(server.address);
    stream.write_all(&bytes[..500_000]).expect("written");
    stream.shutdown(std::net::Shutdown::Write).expect("shut");
    let answer = Answer::read(stream);
    assert!(!answer.whole, "{} bytes", answer.body.len());
}

#[test]
fn who_writes_all_before_reading_is_served() {
    let server = World::open().start();
    let body = document(4_500_000);
    let mut stream = connect(server.address);
    stream
        .set_write_timeout(Some(Duration::from_secs(15)))
        .expect("timeout");
    let request = html(body.as_bytes()).chunked();
    stream
        .write_all(&request.bytes())
        .expect("taken to its end");
    let answer = Answer::read(stream);
    assert!(answer.whole && answer.body.len() > body.len());
}
