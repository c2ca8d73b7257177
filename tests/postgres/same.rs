//! Both stores answer the same question with the same answer.

use mailtrail_tests::{Flags, Postgres, Program, root};
use serde_json::{Value, json};

use crate::world::{DOMAIN, Replica, mail};

/// What happens at each of them.
fn happen(program: &Program) {
    let ada = mail(program, "m-1", Some("ada"), 3);
    let bob = mail(program, "m-1", Some("bob"), 3);
    let none = mail(program, "m-2", None, 1);
    // Once more, and it is the one that counts.
    program.rewrite(&json!({
        "domain": DOMAIN, "message_id": "m-1", "recipient": "bob", "tags": {"kind": "late", "n": "2"},
        "html": "<p><a data-link-name=\"offer\" href=\"https://shop.example/0\">0</a></p>",
        "sent_at": "2026-01-01T00:00:00Z", "subject": "Hello",
    }));
    program.rewrite(&json!({
        "domain": DOMAIN, "message_id": "t-1", "recipient": "eve", "test": true, "html": "<p>x</p>",
    }));
    let mut count = 0;
    let mut hit = |url: &str, status| {
        assert_eq!(program.follow(url).status, status);
        count += 1;
        // One after the other: their order is the same everywhere.
        program.events_once_settled(DOMAIN, count);
    };
    hit(&ada[3], 200);
    hit(&ada[0], 302);
    hit(&ada[0], 302);
    hit(&bob[1], 302);
    hit(&none[0], 302);
    hit(&none[1], 200);
}

/// Without what is another each time: ids, times, cursors.
fn leveled(mut value: Value) -> Value {
    match &mut value {
        Value::Object(fields) => {
            for name in [
                "id",
                "time",
                "next",
                "rewritten_at",
                "since",
                "until",
                "hour",
                "first_at",
                "last_at",
            ] {
                if fields.get(name).is_some_and(Value::is_string) {
                    fields.insert(name.to_owned(), "…".into());
                }
            }
            for field in fields.values_mut() {
                *field = leveled(field.take());
            }
        }
        Value::Array(values) => {
            for value in values {
                *value = leveled(value.take());
            }
        }
        _ => {}
    }
    value
}

/// What is asked of both.
fn answers(program: &Program) -> Vec<(String, Value)> {
    let base = format!("/v1/domains/{DOMAIN}");
    let mut answers = Vec::new();
    for path in [
        "/events",
        "/events?limit=2",
        "/events?type=opened",
        "/events?verdict=people",
        "/events?verdict=machines",
        "/events?first=true",
        "/events?first=false",
        "/events?message_id=m-1",
        "/events?message_id=m-3",
        "/events?tag=kind=news",
        "/events?tag=kind=late&tag=n=2",
        "/events?tag=kind=none",
        "/events?test=true",
        "/events?since=2020-01-01T00:00:00Z",
        "/events?until=2020-01-01T00:00:00Z",
        "/events?provisional=true",
        "/events?limit=2&tag=kind=news",
        "/messages",
        "/messages?limit=2",
        "/messages?tag=kind=late",
        "/messages?message_id=m",
        "/messages?message_id=t-",
        "/messages?until=2020-01-01T00:00:00Z",
        "/messages/m-1",
        "/messages/m-2",
        "/messages/t-1",
        "/messages/m-9",
        "/stats",
    ] {
        let answer = program.get(program.api(), &format!("{base}{path}"));
        answers.push((
            path.to_owned(),
            json!({"status": answer.status, "body": answer.json()}),
        ));
    }
    for (path, body) in [
        ("/events/query", json!({"recipient": "ada"})),
        (
            "/events/query",
            json!({"recipient": "ada", "type": "clicked", "first": false}),
        ),
        ("/events/query", json!({"recipient": "zoe"})),
        ("/messages/query", json!({"recipient": "bob"})),
        ("/messages/m-1/query", json!({"recipient": "bob"})),
        ("/messages/m-1/query", json!({"recipient": "zoe"})),
    ] {
        let answer = program.post(&format!("{base}{path}"), &body);
        answers.push((
            format!("{path} {body}"),
            json!({"status": answer.status, "body": answer.json()}),
        ));
    }
    answers
}

/// Pages of two, one after the other.
fn pages(program: &Program, list: &str) -> Vec<Value> {
    let (mut found, mut after) = (Vec::new(), String::new());
    for _ in 0..10 {
        let path = format!("/v1/domains/{DOMAIN}/{list}?limit=2{after}");
        let page = program.get(program.api(), &path).json();
        found.extend(page[list].as_array().expect("a list").iter().cloned());
        let Some(next) = page["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    found.into_iter().map(leveled).collect()
}

#[test]
fn the_same_happenings_have_the_same_answers_from_both_stores() {
    let database = Postgres::shared().database();
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = Flags::new(root().join("examples/manifests"), folder.path()).start();
    let replica = Replica::first(&database);
    let shared = replica.start();
    for program in [&embedded, &shared] {
        happen(program);
    }
    let compare = || {
        for (one, other) in answers(&embedded).into_iter().zip(answers(&shared)) {
            assert_eq!(leveled(one.1), leveled(other.1), "{}", one.0);
        }
        for list in ["events", "messages"] {
            assert_eq!(pages(&embedded, list), pages(&shared, list), "{list}");
        }
    };
    compare();
    let erase = format!("/v1/domains/{DOMAIN}/recipients/erase");
    for program in [&embedded, &shared] {
        let erased = program.post(&erase, &json!({"recipient": "ada"}));
        assert_eq!(erased.json(), json!({"events": 3, "messages": 1}));
    }
    compare();
}
