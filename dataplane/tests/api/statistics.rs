//! Statistics: by hours and days of a place, by message, link and tag.

use mailtrail_core::event::{Event, Verdict};
use mailtrail_core::target::Target;
use serde_json::{Value, json};

use crate::client::get;
use crate::messages::rewrite;
use crate::world::{Server, World, click, open};

const STATS: &str = "/v1/domains/shop/links/stats";

fn stats(server: &Server, query: &str) -> Value {
    let answer = get(&format!("{STATS}?{query}")).send(server.address);
    assert_eq!(answer.status, 200, "{query}: {}", answer.text());
    answer.json()
}

fn keep(server: &Server, event: Event, time: &str, first: bool) {
    let mut event = event;
    event.time = time.parse().expect("a time");
    event.id = uuid::Uuid::now_v7();
    event.client.verdict = Verdict::Human;
    event.first = first;
    event.recipient = Some("ada@example.org".parse().expect("a recipient"));
    // The message record has them.
    event.tags.clear();
    server.keep_settled(&event);
}

fn click_on(message: &str, target: &str) -> Event {
    let mut event = click("shop/links", message);
    let link = event.link.as_mut().expect("a click has one");
    link.target = Target::parse(target).expect("a target");
    event
}

/// Two mails, one of a campaign, opened and clicked on two days of Berlin that
/// are one of UTC, and in an hour.
fn keep_a_story(server: &Server) {
    rewrite(server, "m-1", |mail| {
        mail["tags"] = json!({"campaign": "tea"})
    });
    rewrite(server, "m-1", |mail| {
        mail["tags"] = json!({"campaign": "tea"})
    });
    rewrite(server, "m-12", |_| {});
    rewrite(server, "t", |mail| mail["test"] = json!(true));
    keep(
        server,
        open("shop/links", "m-1"),
        "2026-11-23T18:05:00Z",
        true,
    );
    keep(
        server,
        open("shop/links", "m-12"),
        "2026-11-23T18:10:00Z",
        true,
    );
    let tea = "https://shop.example/tea";
    keep(server, click_on("m-1", tea), "2026-11-23T18:10:00Z", true);
    keep(server, click_on("m-1", tea), "2026-11-23T18:50:00Z", false);
    keep(
        server,
        click_on("m-12", "https://shop.example/"),
        "2026-11-22T23:30:00Z",
        false,
    );
    let mut test = click_on("t", tea);
    test.test = true;
    keep(server, test, "2026-11-23T18:10:00Z", true);
}

fn totals(counts: &Value) -> [u64; 3] {
    [
        &counts["sent"],
        &counts["opened"]["total"],
        &counts["clicked"]["total"],
    ]
    .map(|number| number.as_u64().expect("a count"))
}

fn by_name(answer: &Value, list: &str, name: &str) -> Vec<(String, [u64; 3])> {
    let list = answer[list].as_array().expect("a list").iter();
    list.map(|each| {
        (
            each[name].as_str().expect("a name").to_owned(),
            totals(each),
        )
    })
    .collect()
}

#[test]
fn days_are_those_of_the_place_that_is_named() {
    let server = World::open().start();
    keep_a_story(&server);
    let range = "by=day&since=2026-11-22T00:00:00Z&until=2026-11-23T23:00:00Z";
    let utc = stats(&server, range);
    let expected = [
        ("2026-11-22T00:00:00Z", [0, 0, 1]),
        ("2026-11-23T00:00:00Z", [2, 2, 2]),
    ];
    let named = |days: &[(&str, [u64; 3])]| -> Vec<(String, [u64; 3])> {
        days.iter()
            .map(|(day, counts)| ((*day).to_owned(), *counts))
            .collect()
    };
    assert_eq!(by_name(&utc, "stretches", "start"), named(&expected));
    let berlin = stats(&server, &format!("{range}&time_zone=Europe/Berlin"));
    assert_eq!(
        by_name(&berlin, "stretches", "start"),
        named(&[("2026-11-22T23:00:00Z", [2, 2, 3])])
    );
    assert_eq!(
        (&berlin["time_zone"], &berlin["by"]),
        (&json!("Europe/Berlin"), &json!("day"))
    );
    // One first click for two first opens.
    assert_eq!(berlin["total"]["click_to_open"], 0.5);
}

#[test]
fn counts_one_by_one_are_those_that_are_kept_by_the_hour() {
    let server = World::open().start();
    keep_a_story(&server);
    let range = "since=2026-11-22T00:00:00Z&until=2026-11-23T19:00:00Z";
    let kept = stats(&server, range);
    // A group has all counted one by one.
    let mut counted = stats(&server, &format!("{range}&group_by=message"));
    counted.as_object_mut().expect("an object").remove("groups");
    assert_eq!(counted, kept);
    // So do hours that begin in the middle of UTC's.
    let kolkata = stats(&server, &format!("{range}&time_zone=Asia/Kolkata"));
    assert_eq!(kolkata["total"], kept["total"]);
    assert_eq!(
        by_name(&kolkata, "stretches", "start"),
        [
            ("2026-11-22T23:30:00Z".to_owned(), [0, 0, 1]),
            ("2026-11-23T17:30:00Z".to_owned(), [0, 2, 1]),
            ("2026-11-23T18:30:00Z".to_owned(), [2, 0, 1]),
        ]
    );
}

#[test]
fn groups_are_by_message_link_or_tag() {
    let server = World::open().start();
    keep_a_story(&server);
    let groups = |query: &str| {
        let range = "since=2026-11-22T00:00:00Z&until=2026-11-23T19:00:00Z";
        by_name(
            &stats(&server, &format!("{range}&{query}")),
            "groups",
            "name",
        )
    };
    let named = |name: &str, counts| (name.to_owned(), counts);
    assert_eq!(
        groups("group_by=message"),
        [named("m-1", [1, 1, 2]), named("m-12", [1, 1, 1])]
    );
    assert_eq!(
        groups("group_by=link"),
        [
            named("https://shop.example/", [0, 0, 1]),
            named("https://shop.example/tea", [0, 0, 2])
        ]
    );
    assert_eq!(
        groups("group_by=tag&tag_name=campaign"),
        [named("tea", [1, 1, 2])]
    );
    assert!(groups("group_by=tag&tag_name=none").is_empty());
    // Of one message alone, and not of one that begins so.
    assert_eq!(
        groups("group_by=message&message_id=m-1"),
        [named("m-1", [1, 1, 2])]
    );
    assert_eq!(
        groups("group_by=message&tag=campaign=tea"),
        [named("m-1", [1, 1, 2])]
    );
}

#[test]
fn what_cannot_be_counted_is_refused_by_name() {
    let server = World::open().start();
    for (query, fault) in [
        ("by=week", "by"),
        ("time_zone=Mars", "time_zone"),
        ("group_by=recipient", "group_by"),
        ("group_by=tag", "tag_name"),
        ("tag_name=a", "tag_name"),
        ("group_by=link&tag_name=a", "tag_name"),
        ("message_id=", "message_id"),
        ("tag=a", "tag"),
        (
            "by=day&since=2025-11-01T00:00:00Z&until=2026-11-23T00:00:00Z",
            "since",
        ),
    ] {
        let answer = get(&format!("{STATS}?{query}")).send(server.address);
        assert_eq!(answer.faults(), [fault], "{query}");
    }
}
