//! A namespace made anew under an old name: what was kept before it was made is
//! another's, and while that is not settled nobody may ask for anything.

use mailtrail_core::config::{Domain, DomainState, Recorded, Snapshot};
use mailtrail_core::event::Verdict;
use serde_json::{Value, json};

use crate::client::{Answer, get, post};
use crate::world::{Server, World, click, domains, now};

const OF: &str = "/v1/domains/shop/links";
const ADA: &str = "ada@example.org";

/// The same domains, the first one changed.
fn change(server: &Server, change: impl FnOnce(&mut Domain)) {
    let mut domains = domains();
    change(&mut domains[0]);
    let snapshot = Snapshot::new(domains).expect("domains");
    server.live.replace_snapshot(snapshot);
}

/// Rewrites a mail and clicks its link; gives the link.
fn mail_and_click(server: &Server, message: &str, seconds_later: i64) -> String {
    let mail = json!({"domain": "shop/links", "message_id": message, "recipient": ADA,
        "tags": {"kind": "news"}, "html": "<a href=\"https://shop.example/\">x</a>"});
    let answer = post("/v1/rewrite", &mail).send(server.address);
    let url = answer.json()["report"]["links"][0]["url"].clone();
    let mut event = click("shop/links", message);
    event.time += jiff::SignedDuration::from_secs(seconds_later);
    event.client.verdict = Verdict::Human;
    server.keep_settled(&event);
    url.as_str().expect("a URL").to_owned()
}

/// All questions about what is kept of messages, with what each says.
fn ask(server: &Server, message: &str, url: &str) -> Vec<(&'static str, Answer)> {
    let at = |path: &str| get(&format!("{OF}{path}")).send(server.address);
    let say = |path: &str, body: &Value| post(&format!("{OF}{path}"), body).send(server.address);
    let ada = json!({"recipient": ADA});
    let range = "since=2026-11-20T00:00:00Z&until=2026-11-28T00:00:00Z";
    vec![
        ("events", at("/events")),
        ("provisional events", at("/events?provisional=true")),
        ("events of a reader", say("/events/query", &ada)),
        (
            "events of any time",
            at("/events?since=2020-01-01T00:00:00Z"),
        ),
        ("download", at("/events/download")),
        ("messages", at("/messages")),
        ("messages of a reader", say("/messages/query", &ada)),
        ("a message", at(&format!("/messages/{message}"))),
        (
            "a message to a reader",
            say(&format!("/messages/{message}/query"), &ada),
        ),
        ("statistics by hours", at(&format!("/stats?{range}"))),
        (
            "statistics of a message",
            at(&format!("/stats?{range}&message_id={message}")),
        ),
        (
            "statistics by tag",
            at(&format!("/stats?{range}&group_by=tag&tag_name=kind")),
        ),
        ("export", say("/recipients/export", &ada)),
        ("resolve", say("/resolve", &json!({"url": url}))),
    ]
}

/// Whether an answer knows anything of a message.
fn knows(answer: &Answer, message: &str) -> bool {
    assert!(
        [200, 404, 422].contains(&answer.status),
        "{}",
        answer.text()
    );
    answer.text().contains(message)
        || (answer.text().contains("\"total\"") && answer.json()["total"]["clicked"]["total"] != 0)
        || (answer.status == 200 && answer.text().contains("\"target\""))
}

#[test]
fn what_was_kept_before_a_namespace_was_made_is_not_its_own() {
    let server = World::open().start();
    let url = mail_and_click(&server, "m-old", 0);
    for (what, answer) in ask(&server, "m-old", &url) {
        assert!(knows(&answer, "m-old"), "{what}: {}", answer.text());
    }
    // Its namespace was made two hours later.
    change(&server, |domain| domain.since = now().as_second() + 7200);
    for (what, answer) in ask(&server, "m-old", &url) {
        assert!(!knows(&answer, "m-old"), "{what}: {}", answer.text());
    }
    // A hit of today is told of, on a mail of then which is not.
    let mut event = click("shop/links", "m-old");
    event.time += jiff::SignedDuration::from_secs(3 * 3600);
    event.client.verdict = Verdict::Human;
    server.keep_settled(&event);
    let told = ask(&server, "m-old", &url);
    let of = |what| {
        &told
            .iter()
            .find(|(name, _)| *name == what)
            .expect("asked")
            .1
    };
    assert_eq!(
        of("events").json()["events"].as_array().map(Vec::len),
        Some(1)
    );
    let summary = of("a message").json();
    assert_eq!(summary["clicks"]["people"], 1, "{summary}");
    assert_eq!(of("messages").json()["messages"], json!([]));
    assert_eq!(of("resolve").status, 404);
}

#[test]
fn of_the_hour_in_which_a_namespace_was_made_what_came_later_is_counted() {
    let server = World::open().start();
    let mut before = click("shop/links", "m-old");
    before.time += jiff::SignedDuration::from_mins(-20);
    server.keep_settled(&before);
    change(&server, |domain| domain.since = now().as_second() - 600);
    mail_and_click(&server, "m-new", 0);
    let range = "since=2026-11-23T00:00:00Z&until=2026-11-23T19:00:00Z";
    for more in ["", "&by=day", "&group_by=link", "&time_zone=Asia/Kolkata"] {
        let answer = get(&format!("{OF}/stats?{range}{more}")).send(server.address);
        let total = answer.json()["total"].clone();
        let counted = (&total["sent"], &total["clicked"]["total"]);
        assert_eq!(counted, (&json!(1), &json!(1)), "{more}: {total}");
    }
}

#[test]
fn of_the_day_on_which_a_namespace_was_made_days_of_its_own_mails_are_told() {
    let server = World::open().start();
    change(&server, |domain| domain.since = now().as_second() - 600);
    // Nobody knows whether the first was before.
    for message in ["m-old", "m-new"] {
        let mut event = click("shop/links", message);
        event.client.verdict = Verdict::Human;
        server.keep_hit_as(&event, Recorded::LastDate);
    }
    let mail = json!({"domain": "shop/links", "message_id": "m-new", "recipient": ADA,
        "html": "<a href=\"https://shop.example/\">x</a>"});
    assert_eq!(post("/v1/rewrite", &mail).send(server.address).status, 200);
    while !server.store.is_settled() {
        std::thread::yield_now();
    }
    let export = post(
        &format!("{OF}/recipients/export"),
        &json!({"recipient": ADA}),
    );
    let export = export.send(server.address).text().to_owned();
    let days: Vec<_> = export
        .lines()
        .filter(|line| line.contains("last_date"))
        .collect();
    assert!(days.len() == 1 && days[0].contains("m-new"), "{export}");
    let summary = |message: &str| get(&format!("{OF}/messages/{message}")).send(server.address);
    let told = summary("m-new").json()["recipients"].clone();
    assert_eq!(told.as_array().map(Vec::len), Some(1), "{told}");
    assert_eq!(summary("m-old").status, 404);
}

#[test]
fn while_a_namespace_is_gone_or_another_nobody_may_ask_and_nothing_is_rewritten() {
    let server = World::open().start();
    let url = mail_and_click(&server, "m-old", 0);
    change(&server, |domain| domain.state = DomainState::Orphaned);
    for (what, answer) in ask(&server, "m-old", &url) {
        assert_eq!(answer.status, 404, "{what}: {}", answer.text());
    }
    for domain in ["shop/links", "links.shop.example"] {
        let mail = json!({"domain": domain, "message_id": "m", "html": "<p>"});
        let answer = post("/v1/rewrite", &mail).send(server.address);
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    let listed = get("/v1/domains").send(server.address);
    assert!(!listed.text().contains("shop/links\""), "{}", listed.text());
    assert!(listed.text().contains("toys/links"));
    for operation in ["erase", "withdraw"] {
        let path = format!("{OF}/recipients/{operation}");
        let answer = post(&path, &json!({"recipient": ADA})).send(server.address);
        assert_eq!(answer.status, 404, "{}", answer.text());
    }
    let held = server
        .store
        .events(&mailtrail_dataplane::store::EventQuery::of(
            "shop/links".parse().expect("a realm"),
        ));
    assert_eq!(held.expect("events").events.len(), 1, "nothing is erased");
}
