//! Messages: searched, summed up, counted by hours.

use mailtrail_core::event::{Event, Verdict};
use serde_json::{Value, json};

use crate::client::{get, post};
use crate::world::{Server, World, click, open};

const MESSAGES: &str = "/v1/domains/shop/links/messages";
const STATS: &str = "/v1/domains/shop/links/stats";

pub(crate) fn rewrite(server: &Server, id: &str, change: impl FnOnce(&mut Value)) {
    let mut mail = json!({"domain": "shop/links", "message_id": id, "recipient": "ada@example.org",
        "html": "<a href='https://shop.example/' data-link-name=shop>x</a>"});
    change(&mut mail);
    let answer = post("/v1/rewrite", &mail).send(server.address);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// The message ids of all pages.
fn ids(server: &Server, ask: impl Fn(&str) -> crate::client::Answer) -> Vec<String> {
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let body = ask(&after).json();
        for message in body["messages"].as_array().expect("messages") {
            ids.push(message["message_id"].as_str().expect("an id").to_owned());
        }
        match body["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return ids,
        }
        assert!(ids.len() < 100, "{}", server.address);
    }
}

fn searched(server: &Server, query: &str) -> Vec<String> {
    ids(server, |after| {
        let after = match after {
            "" => String::new(),
            after => format!("&after={after}"),
        };
        get(&format!("{MESSAGES}?limit=2{query}{after}")).send(server.address)
    })
}

#[test]
fn messages_are_searched_by_a_query_and_a_body_newest_first() {
    let server = World::open().start();
    rewrite(&server, "m-1", |mail| {
        mail["tags"] = json!({"kind": "news"})
    });
    rewrite(&server, "m-2", |mail| mail["recipient"] = Value::Null);
    rewrite(&server, "n-3", |mail| {
        mail["tags"] = json!({"kind": "news", "lang": "de"});
        mail["test"] = json!(true);
    });
    rewrite(&server, "m-4", |mail| mail["domain"] = json!("toys/links"));
    rewrite(&server, "m-5", |mail| mail["dry_run"] = json!(true));
    assert_eq!(searched(&server, ""), ["n-3", "m-2", "m-1"]);
    assert_eq!(searched(&server, "&tag=kind=news"), ["n-3", "m-1"]);
    assert_eq!(searched(&server, "&tag=kind=news&tag=lang=de"), ["n-3"]);
    assert_eq!(searched(&server, "&message_id=m-"), ["m-2", "m-1"]);
    assert_eq!(
        searched(&server, "&since=2026-11-23T18:30:00Z"),
        ["n-3", "m-2", "m-1"]
    );
    assert!(searched(&server, "&until=2026-11-23T18:30:00Z").is_empty());
    let asked = |body: Value| {
        ids(&server, |after| {
            let mut body = body.clone();
            body["limit"] = json!(1);
            if !after.is_empty() {
                body["after"] = json!(after);
            }
            post(&format!("{MESSAGES}/query"), &body).send(server.address)
        })
    };
    assert_eq!(
        asked(json!({"recipient": "ada@example.org"})),
        ["n-3", "m-1"]
    );
    assert_eq!(
        asked(json!({"recipient": "ada@example.org", "tags": {"lang": "de"}})),
        ["n-3"]
    );
    assert!(asked(json!({"recipient": "eve@example.org"})).is_empty());
    let named = get(&format!("{MESSAGES}?recipient=ada")).send(server.address);
    assert_eq!(named.faults(), ["recipient"]);
}

#[test]
fn a_message_is_listed_with_what_its_rewrite_said() {
    let server = World::open().start();
    rewrite(&server, "m-1", |mail| {
        mail["tags"] = json!({"kind": "news"});
        mail["subject"] = json!("Teas");
        mail["sent_at"] = json!("2026-11-23T19:00:00+01:00");
        mail["test"] = json!(true);
    });
    let body = get(MESSAGES).send(server.address).json();
    assert_eq!(
        body,
        json!({"messages": [{
            "message_id": "m-1", "recipient": "ada@example.org",
            "rewritten_at": "2026-11-23T18:30:00.000Z", "sent_at": "2026-11-23T18:00:00.000Z",
            "subject": "Teas", "tags": {"kind": "news"}, "links": 1, "pixel": true, "test": true
        }], "next": null})
    );
}

/// A hit of a message that is judged.
fn judged(mut event: Event, verdict: Verdict, first: bool) -> Event {
    event.recipient = "ada@example.org".parse().ok();
    event.client.verdict = verdict;
    event.first = first;
    event
}

fn keep_a_story(server: &Server) {
    rewrite(server, "m-1", |_| {});
    server.keep_settled(&judged(click("shop/links", "m-1"), Verdict::Scanner, false));
    server.keep_settled(&judged(open("shop/links", "m-1"), Verdict::Scanner, false));
    server.keep_settled(&judged(click("shop/links", "m-1"), Verdict::Human, true));
    server.keep_settled(&judged(click("shop/links", "m-1"), Verdict::Human, false));
    let mut test = judged(click("shop/links", "m-1"), Verdict::Human, true);
    test.test = true;
    server.keep_settled(&test);
}

#[test]
fn a_summary_tells_people_from_machines_and_names_links_and_readers() {
    let server = World::open().start();
    keep_a_story(&server);
    let at = "2026-11-23T18:30:00.000Z";
    let clicks = json!({"total": 3, "people": 2, "machines": 1, "unknown": 0, "first": 1,
        "unique": 1, "first_at": at, "last_at": at});
    let body = get(&format!("{MESSAGES}/m-1")).send(server.address).json();
    assert_eq!(
        body,
        json!({
            "message_id": "m-1",
            "message": {"message_id": "m-1", "recipient": "ada@example.org", "rewritten_at": at,
                "links": 1, "pixel": true},
            "opens": {"total": 1, "people": 0, "machines": 1, "unknown": 0, "first": 0, "unique": 0,
                "first_at": null, "last_at": null},
            "derived_opens": 1,
            "clicks": clicks,
            "links": [{"position": 1, "target": "https://shop.example/", "name": "shop", "clicks": clicks}],
            "recipients": [{
                "recipient": "ada@example.org",
                "opens": {"total": 1, "people": 0, "machines": 1, "unknown": 0, "first": 0},
                "clicks": {"total": 3, "people": 2, "machines": 1, "unknown": 0, "first": 1},
                "derived_open": true, "first_at": at, "last_at": at
            }],
            "more_recipients": false, "test_hits": 1, "complete": true
        })
    );
    let of = |recipient: &str| {
        post(
            &format!("{MESSAGES}/m-1/query"),
            &json!({"recipient": recipient}),
        )
        .send(server.address)
    };
    assert_eq!(of("ada@example.org").json(), body);
    assert_eq!(of("eve@example.org").problem().1, "unknown-message");
}

#[test]
fn a_message_is_known_by_its_record_or_by_an_event_alone() {
    let server = World::open().start();
    rewrite(&server, "sent/only", |_| {});
    server.keep_settled(&click("shop/links", "clicked"));
    server.keep_settled(&click("shop/links", "query"));
    let show = |id: &str| get(&format!("{MESSAGES}/{id}")).send(server.address);
    assert_eq!(show("sent%2Fonly").json()["clicks"]["total"], 0);
    assert_eq!(show("clicked").json()["message"], Value::Null);
    // Called as the path beside it is.
    assert_eq!(show("query").json()["clicks"]["total"], 1);
    for unknown in ["nobody", "%00", &"x".repeat(129)] {
        let (status, word, _) = show(unknown).problem();
        assert_eq!(
            (status, word.as_str()),
            (404, "unknown-message"),
            "{unknown}"
        );
    }
    let missing = post(&format!("{MESSAGES}/clicked/query"), &json!({})).send(server.address);
    assert_eq!(missing.faults(), ["recipient"]);
}

#[test]
fn hours_count_what_was_sent_opened_and_clicked_but_no_test_mail() {
    let server = World::open().start();
    keep_a_story(&server);
    rewrite(&server, "m-2", |mail| mail["test"] = json!(true));
    let mut early = judged(click("shop/links", "m-1"), Verdict::Unknown, false);
    early.time = "2026-11-23T16:59:59.999Z".parse().expect("a time");
    server.keep_settled(&early);
    let none = json!({"total": 0, "people": 0, "machines": 0, "unknown": 0, "first": 0});
    let scanned = json!({"total": 1, "people": 0, "machines": 1, "unknown": 0, "first": 0});
    let clicked = json!({"total": 3, "people": 2, "machines": 1, "unknown": 0, "first": 1});
    let unknown = json!({"total": 1, "people": 0, "machines": 0, "unknown": 1, "first": 0});
    assert_eq!(
        get(STATS).send(server.address).json(),
        json!({
            "since": "2026-11-22T19:00:00Z",
            "until": "2026-11-23T19:00:00Z",
            "time_zone": "UTC",
            "by": "hour",
            "total": {"sent": 1, "opened": scanned, "click_to_open": null,
                "clicked": {"total": 4, "people": 2, "machines": 1, "unknown": 1, "first": 1}},
            "stretches": [
                {"start": "2026-11-23T16:00:00Z", "sent": 0, "opened": none, "clicked": unknown, "click_to_open": null},
                {"start": "2026-11-23T18:00:00Z", "sent": 1, "opened": scanned, "clicked": clicked, "click_to_open": null}
            ]
        })
    );
    let until = get(&format!("{STATS}?until=2026-11-23T18:00:00Z")).send(server.address);
    assert_eq!(until.json()["total"]["clicked"], unknown);
    for (query, fault) in [
        ("?since=2026-10-01T00:00:00Z", "since"),
        ("?since=2026-11-23T19:00:00Z", "since"),
        ("?until=x", "until"),
        ("?limit=7", "limit"),
    ] {
        let answer = get(&format!("{STATS}{query}")).send(server.address);
        assert_eq!(answer.faults(), [fault], "{query}");
    }
}

#[test]
fn an_erased_recipient_is_in_no_answer_and_stays_away() {
    let server = World::open().start();
    keep_a_story(&server);
    server.keep_settled(&open("shop/links", "m-1"));
    let body = json!({"recipient": "ada@example.org"});
    let erase = || post("/v1/domains/shop/links/recipients/erase", &body).send(server.address);
    assert_eq!(erase().json(), json!({"events": 5, "messages": 1}));
    assert_eq!(erase().json(), json!({"events": 0, "messages": 0}));
    let events = get("/v1/domains/shop/links/events").send(server.address);
    let summary = get(&format!("{MESSAGES}/m-1")).send(server.address);
    let messages = get(MESSAGES).send(server.address);
    for answer in [&events, &summary, &messages] {
        assert!(!answer.text().contains("ada"), "{}", answer.text());
    }
    // Somebody whom no rewrite named opened it, too.
    assert_eq!(events.json()["events"].as_array().map(Vec::len), Some(1));
    assert_eq!(summary.json()["opens"]["total"], 1);
    let stats = get(STATS).send(server.address).json();
    assert_eq!(stats["total"]["sent"], 0);
    assert_eq!(stats["total"]["clicked"]["total"], 0);
    rewrite(&server, "m-2", |_| {});
    assert_eq!(searched(&server, ""), Vec::<String>::new());
}
