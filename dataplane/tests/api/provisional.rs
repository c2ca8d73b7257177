//! Events before they are settled, for those who ask for them.

use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::event::{Event, Verdict};
use serde_json::{Value, json};

use crate::client::{get, post};
use crate::lists::{QUERY, named};
use crate::world::{Server, World, click};

/// A server whose hits wait for as long as a test lasts.
fn server() -> Server {
    World {
        settle: Duration::from_secs(3600),
        ..World::open()
    }
    .start()
}

/// A click of this moment: what is older than the settling time settles at once.
fn fresh(message: &str, recipient: &str) -> Event {
    let mut event = click("shop/links", message);
    let now_ms = Timestamp::now().as_millisecond();
    event.time = Timestamp::from_millisecond(now_ms).expect("a time");
    event.recipient = Some(recipient.parse().expect("recipient"));
    event
}

fn list(server: &Server, query: &str) -> Value {
    let path = format!("/v1/domains/shop/links/events{query}");
    let answer = get(&path).send(server.address);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

fn names(server: &Server, query: &str) -> Vec<String> {
    named(&list(server, query)).0
}

#[test]
fn what_is_not_settled_is_shown_to_those_who_ask_and_says_so() {
    let server = server();
    let (settled, hit) = (
        fresh("m-1", "ada@example.org"),
        fresh("m-2", "ada@example.org"),
    );
    server.keep_hit(&hit);
    server.keep_settled(&settled);
    let alone = json!([settled]);
    for query in ["", "?provisional=false"] {
        assert_eq!(list(&server, query)["events"], alone, "{query}");
    }
    let both = list(&server, "?provisional=true");
    let mut unsettled = serde_json::to_value(&hit).expect("JSON");
    unsettled["settled"] = json!(false);
    assert_eq!(both["events"], json!([settled, unsettled]));
    let asked = post(QUERY, &json!({"provisional": true})).send(server.address);
    assert_eq!(asked.json()["events"], both["events"]);
    assert_eq!(both["more"], false);
}

#[test]
fn the_cursor_stays_in_front_of_what_is_not_settled() {
    let server = server();
    let hit = fresh("m-1", "ada@example.org");
    server.keep_hit(&hit);
    let (found, next) = named(&list(&server, "?provisional=true"));
    assert_eq!(found, ["clicked m-1"]);
    // As settling keeps it; for a moment it stands in both.
    let mut judged = hit;
    judged.client.verdict = Verdict::Human;
    server.keep_settled(&judged);
    let page = list(&server, &format!("?provisional=true&after={next}"));
    assert_eq!(page["events"], json!([judged]));
}

#[test]
fn a_page_has_room_for_the_unsettled_behind_the_last_settled_only() {
    let server = server();
    for message in ["h-1", "h-2"] {
        server.keep_hit(&fresh(message, "ada@example.org"));
    }
    for message in ["m-1", "m-2"] {
        server.keep_settled(&fresh(message, "ada@example.org"));
    }
    let of = |limit: u32| names(&server, &format!("?provisional=true&limit={limit}"));
    assert_eq!(of(1), ["clicked m-1"]);
    assert_eq!(of(2), ["clicked m-1", "clicked m-2"]);
    assert_eq!(of(3), ["clicked m-1", "clicked m-2", "clicked h-1"]);
    assert_eq!(of(4).len(), 4);
}

#[test]
fn filters_hold_for_what_is_not_settled_too() {
    let server = server();
    let mail = json!({"domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org",
        "tags": {"campaign": "tea"}, "html": "<p>"});
    assert_eq!(post("/v1/rewrite", &mail).send(server.address).status, 200);
    for (message, verdict) in [("m-1", Verdict::Human), ("m-2", Verdict::Scanner)] {
        let mut hit = fresh(message, "ada@example.org");
        hit.client.verdict = verdict;
        hit.tags.clear();
        server.keep_hit(&hit);
    }
    let mut elsewhere = fresh("m-3", "ada@example.org");
    elsewhere.domain = "toys/links".parse().expect("realm");
    server.keep_hit(&elsewhere);
    for (filter, expected) in [
        ("", vec!["clicked m-1", "clicked m-2"]),
        ("&verdict=machines", vec!["clicked m-2"]),
        ("&verdict=machines&limit=1", vec!["clicked m-2"]),
        ("&message_id=m-2", vec!["clicked m-2"]),
        ("&tag=campaign=tea", vec!["clicked m-1"]),
        ("&type=opened", vec![]),
        ("&first=true", vec![]),
    ] {
        let query = format!("?provisional=true{filter}");
        assert_eq!(names(&server, &query), expected, "{query}");
    }
    let body = json!({"provisional": true, "recipient": "bob@example.org"});
    let asked = post(QUERY, &body).send(server.address);
    assert_eq!(named(&asked.json()).0, [""; 0]);
}

#[test]
fn of_who_withdrew_or_was_erased_nothing_unsettled_is_shown() {
    let server = server();
    for (message, recipient) in [
        ("m-1", "ada@example.org"),
        ("m-2", "bob@example.org"),
        ("m-3", "eve@example.org"),
    ] {
        server.keep_hit(&fresh(message, recipient));
    }
    assert_eq!(names(&server, "?provisional=true").len(), 3);
    server.withdraw("shop/links", "ada@example.org");
    assert_eq!(
        names(&server, "?provisional=true"),
        ["clicked m-2", "clicked m-3"]
    );
    let erase = post(
        "/v1/domains/shop/links/recipients/erase",
        &json!({"recipient": "bob@example.org"}),
    );
    assert_eq!(erase.send(server.address).status, 200);
    assert_eq!(names(&server, "?provisional=true"), ["clicked m-3"]);
}
