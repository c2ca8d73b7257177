//! Domains and events, a page at a time.

use mailtrail_core::config::{DomainState, Recorded};
use serde_json::{Value, json};

use crate::client::{get, post};
use crate::world::{Server, World, click, domain, open};

const EVENTS: &str = "/v1/domains/shop/links/events";

pub(crate) const QUERY: &str = "/v1/domains/shop/links/events/query";

pub(crate) fn events(server: &Server, query: &str) -> (Vec<String>, String) {
    let answer = get(&format!("{EVENTS}{query}")).send(server.address);
    assert_eq!(answer.status, 200, "{}", answer.text());
    named(&answer.json())
}

/// The events of a list by type and message, and its cursor.
pub(crate) fn named(body: &Value) -> (Vec<String>, String) {
    let name = |event: &Value| {
        let kind = event["type"].as_str().expect("a type");
        format!("{kind} {}", event["message_id"].as_str().expect("an id"))
    };
    let list = body["events"].as_array().expect("events");
    let next = body["next"].as_str().expect("a cursor, always");
    (list.iter().map(name).collect(), next.to_owned())
}

#[test]
fn an_event_has_the_shape_that_webhooks_have() {
    let server = World::open().start();
    let event = click("shop/links", "m-1");
    server.keep(&event);
    let body = get(EVENTS).send(server.address).json();
    let core = serde_json::to_value(&event).expect("JSON");
    assert_eq!(body["events"], json!([core]));
    server.keep(&open("shop/links", "m-2"));
    let body = get(EVENTS).send(server.address).json();
    assert_eq!(body["events"][1]["recipient"], Value::Null);
}

#[test]
fn a_cursor_misses_nothing_and_repeats_nothing() {
    let server = World::open().start();
    let (none, start) = events(&server, "");
    assert!(none.is_empty());
    let mut kept = Vec::new();
    for number in 0..25 {
        let message = format!("m-{number}");
        server.keep(&click("shop/links", &message));
        server.keep(&click("toys/links", &message));
        kept.push(format!("clicked {message}"));
    }
    let (mut seen, mut after) = (Vec::new(), start);
    loop {
        let (page, next) = events(&server, &format!("?limit=7&after={after}"));
        assert!(page.len() <= 7);
        after = next;
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, kept);
    // What comes later follows the cursor of the empty page.
    server.keep(&open("shop/links", "late"));
    assert_eq!(
        events(&server, &format!("?after={after}")).0,
        ["opened late"]
    );
}

#[test]
fn events_are_filtered_by_type_and_message() {
    let server = World::open().start();
    for message in ["m-1", "m-2"] {
        server.keep(&open("shop/links", message));
        server.keep(&click("shop/links", message));
    }
    assert_eq!(
        events(&server, "?type=opened").0,
        ["opened m-1", "opened m-2"]
    );
    assert_eq!(
        events(&server, "?type=clicked&message_id=m-2").0,
        ["clicked m-2"]
    );
    assert_eq!(
        events(&server, "?message_id=m%2D1").0,
        ["opened m-1", "clicked m-1"]
    );
}

#[test]
fn a_recipient_is_named_in_a_body_and_never_in_a_url() {
    let server = World::open().start();
    server.keep(&click("shop/links", "m-1"));
    server.keep(&open("shop/links", "m-2"));
    let body = json!({"recipient": "ada@example.org"});
    let answer = post(QUERY, &body).send(server.address);
    assert_eq!(named(&answer.json()).0, ["clicked m-1"]);
    let asked = get(&format!("{EVENTS}?recipient=ada%40example.org")).send(server.address);
    assert_eq!(asked.faults(), ["recipient"]);
    assert!(!asked.text().contains("ada"));
}

#[test]
fn a_cursor_of_one_way_of_asking_is_good_for_the_other() {
    let server = World::open().start();
    server.keep(&click("shop/links", "m-1"));
    let (_, next) = events(&server, "?type=clicked");
    server.keep(&click("shop/links", "m-2"));
    let body = json!({"after": next, "verdict": ["unknown"]});
    let answer = post(QUERY, &body).send(server.address);
    let (found, next) = named(&answer.json());
    assert_eq!(found, ["clicked m-2"]);
    assert!(events(&server, &format!("?after={next}")).0.is_empty());
}

#[test]
fn a_list_says_whether_to_ask_again_at_once() {
    let server = World::open().start();
    for message in ["m-1", "m-2"] {
        server.keep(&click("shop/links", message));
    }
    let more = |limit: usize| {
        let path = format!("{EVENTS}?limit={limit}");
        get(&path).send(server.address).json()["more"].clone()
    };
    assert_eq!((more(1), more(3)), (json!(true), json!(false)));
}

#[test]
fn parameters_out_of_bounds_are_refused_by_name() {
    let server = World::open().start();
    for (query, faults) in [
        ("?limit=0", vec!["limit"]),
        ("?limit=1001", vec!["limit"]),
        ("?limit=-1", vec!["limit"]),
        ("?limit=x&type=seen", vec!["limit", "type"]),
        ("?limit=5&limit=5", vec!["limit"]),
        ("?message_id=", vec!["message_id"]),
        ("?verdict=bots", vec!["verdict"]),
        ("?first=1&test=", vec!["first", "test"]),
        ("?tag=a&since=now&until=", vec!["since", "tag", "until"]),
        ("?after=nonsense", vec!["after"]),
        ("?after=", vec!["after"]),
        (&format!("?after={}", "a".repeat(513)), vec!["after"]),
        (
            &format!("?message_id={}", "a".repeat(129)),
            vec!["message_id"],
        ),
    ] {
        let answer = get(&format!("{EVENTS}{query}")).send(server.address);
        assert_eq!(answer.faults(), faults, "{query}");
    }
    assert_eq!(
        get(&format!("{EVENTS}?limit=1000"))
            .send(server.address)
            .status,
        200
    );
    for query in ["?limit=0", "?after=%21", "?after=bm8"] {
        let answer = get(&format!("/v1/domains{query}")).send(server.address);
        assert_eq!(answer.status, 422, "{query}");
    }
}

#[test]
fn domains_are_listed_by_name_a_page_at_a_time() {
    let server = World::open().start();
    let (mut names, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let body = get(&format!("/v1/domains{query}"))
            .send(server.address)
            .json();
        let page = body["domains"].as_array().expect("domains");
        assert!(page.len() <= 2);
        names.extend(
            page.iter()
                .map(|d| d["domain"].as_str().expect("a name").to_owned()),
        );
        match body["next"].as_str() {
            Some(next) => query = format!("?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(
        names,
        [
            "shop/fresh",
            "shop/links",
            "shop/quiet",
            "shop/texts",
            "toys/links"
        ]
    );
}

#[test]
fn a_domain_is_shown_as_it_is_served_now() {
    let server = World::open().start();
    let shown = || get("/v1/domains/shop/links").send(server.address).json();
    assert_eq!(
        shown(),
        json!({
            "domain": "shop/links", "host": "links.shop.example", "other_hosts": [], "state": "active",
            "verified": true, "opens": {"enabled": true, "pixel": "auto", "record": "identified"},
            "clicks": {"enabled": true, "plain_text": false, "url_text": "leave", "sensitive": "leave",
                "never_track_hosts": [], "links_max": 10000, "record": "identified"},
            "privacy": {"address": "omit", "user_agent": "omit"}, "retention_days": 45, "generation": 1
        })
    );
    // What is recorded is said for each toggle, whoever decided it.
    let mut private = domain("shop/links", "links.shop.example");
    private.privacy.record = Recorded::Anonymous;
    private.clicks.record = Some(Recorded::Identified);
    let snapshot = mailtrail_core::config::Snapshot::new([private]).expect("domains");
    server.live.replace_snapshot(snapshot);
    assert_eq!(
        [&shown()["opens"]["record"], &shown()["clicks"]["record"]],
        ["anonymous", "identified"]
    );
    let mut retired = domain("shop/links", "links.shop.example");
    retired.state = DomainState::Retired;
    let snapshot = mailtrail_core::config::Snapshot::new([retired]).expect("domains");
    server.live.replace_snapshot(snapshot);
    assert_eq!(shown()["state"], "retired");
}
