//! Events by what is asked of them.

use mailtrail_core::event::{Event, Verdict};
use serde_json::{Value, json};

use crate::client::post;
use crate::lists::{QUERY, events, named};
use crate::world::{Server, World, click};

/// An event of the filters' test.
fn judged(message: &str, verdict: Verdict, first: bool) -> Event {
    let mut event = click("shop/links", message);
    event.client.verdict = verdict;
    event.first = first;
    event.tags.clear();
    event
}

/// Messages 1 to 4, each clicked by somebody else.
fn server() -> Server {
    let server = World::open().start();
    let mail = json!({"domain": "shop/links", "message_id": "m-1", "recipient": "ada@example.org",
        "tags": {"campaign": "tea=1"}, "html": "<p>"});
    assert_eq!(post("/v1/rewrite", &mail).send(server.address).status, 200);
    server.keep_settled(&judged("m-1", Verdict::Human, true));
    server.keep_settled(&judged("m-2", Verdict::Proxy, false));
    server.keep_settled(&judged("m-3", Verdict::Scanner, false));
    let mut other = judged("m-4", Verdict::Unknown, false);
    other.recipient = None;
    other.time = "2026-11-23T17:00:00Z".parse().expect("a time");
    other.test = true;
    server.keep_settled(&other);
    server
}

/// A query, the body that asks the same, and the numbers of the messages.
fn questions() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("?verdict=people", json!({"verdict": ["people"]}), "1 2"),
        (
            "?verdict=machines,unknown",
            json!({"verdict": ["machines", "unknown"]}),
            "3 4",
        ),
        (
            "?verdict=human&verdict=unknown",
            json!({"verdict": ["human", "unknown"]}),
            "1 4",
        ),
        ("?first=true", json!({"first": true}), "1"),
        ("?test=true", json!({"test": true}), "4"),
        (
            "?test=false&first=false",
            json!({"test": false, "first": false}),
            "2 3",
        ),
        (
            "?since=2026-11-23T17:30:00Z",
            json!({"since": "2026-11-23T17:30:00Z"}),
            "1 2 3",
        ),
        (
            "?until=2026-11-23T17:30:00Z",
            json!({"until": "2026-11-23T17:30:00Z"}),
            "4",
        ),
        (
            "?tag=campaign%3Dtea%3D1",
            json!({"tags": {"campaign": "tea=1"}}),
            "1",
        ),
        (
            "?tag=campaign=tea",
            json!({"tags": {"campaign": "tea"}}),
            "",
        ),
        (
            "?message_id=m-3",
            json!({"message_id": "m-3", "recipient": "ada@example.org"}),
            "3",
        ),
        (
            "?message_id=m-9",
            json!({"message_id": "m-4", "recipient": "ada@example.org"}),
            "",
        ),
    ]
}

#[test]
fn events_are_filtered_alike_by_a_query_and_by_a_body() {
    let server = server();
    for (query, body, expected) in questions() {
        let expected: Vec<_> = expected
            .split_whitespace()
            .map(|number| format!("clicked m-{number}"))
            .collect();
        assert_eq!(events(&server, query).0, expected, "{query}");
        let answer = post(QUERY, &body).send(server.address);
        let asked = named(&answer.json());
        assert_eq!(asked.0, expected, "{body}");
    }
}
