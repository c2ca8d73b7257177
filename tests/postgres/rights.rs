//! Withdrawals and erasures hold on every replica, and leave no bytes behind.

use std::time::{Duration, Instant};

use mailtrail_tests::{Postgres, Program};
use serde_json::json;

use crate::world::{DOMAIN, Replica, bytes_below, click, holds, mail, until_shipped};

/// Within so long every replica knows.
const KNOWN_WITHIN: Duration = Duration::from_secs(5);
/// Somebody whose name stands nowhere else.
const SOMEBODY: &str = "zacharias.q.quux@example.org";

fn erase(program: &Program, recipient: &str) {
    let path = format!("/v1/domains/{DOMAIN}/recipients/erase");
    let erased = program.post(&path, &json!({"recipient": recipient}));
    assert_eq!(erased.status, 200, "{}", erased.text());
}

/// Whether a rewrite says that its recipient has withdrawn.
fn is_withdrawn(program: &Program, recipient: &str) -> bool {
    let mail =
        json!({"domain": DOMAIN, "message_id": "w", "recipient": recipient, "html": "<p>x</p>"});
    let warnings = program.rewrite(&mail)["report"]["warnings"].clone();
    let warnings = warnings.as_array().expect("a list").iter();
    warnings
        .into_iter()
        .any(|warning| warning["code"] == "recipient_withdrawn")
}

#[test]
fn who_is_erased_is_in_no_file_and_no_table_and_every_replica_knows() {
    let database = Postgres::shared().database();
    let first = Replica::first(&database);
    let here = first.start();
    let other = first.beside(&database);
    let there = other.start();
    let urls = mail(&here, "m-1", Some(SOMEBODY), 2);
    let others = mail(&here, "m-1", Some("ada"), 1);
    for url in &urls[..2] {
        click(&here, url);
        click(&there, url);
    }
    click(&there, &others[0]);
    there.events_once_settled(DOMAIN, 5);
    assert!(holds(database.dump().as_bytes(), SOMEBODY));
    // One of theirs is in the other's spool and cannot leave it yet.
    let mut session = database.session();
    session.run("BEGIN");
    session.run("SELECT 1 FROM mailtrail.replicas FOR UPDATE");
    click(&there, &urls[0]);
    assert!(holds(&bytes_below(other.folder.path()), SOMEBODY));
    database.sql("CHECKPOINT");
    assert!(holds(&bytes_below(&database.files()), SOMEBODY));
    erase(&here, SOMEBODY);
    let begun = Instant::now();
    session.run("COMMIT");
    assert!(!holds(&bytes_below(first.folder.path()), SOMEBODY));
    there.until("the other replica has erased them", |_| {
        !holds(&bytes_below(other.folder.path()), SOMEBODY)
    });
    assert!(begun.elapsed() < KNOWN_WITHIN, "{:?}", begun.elapsed());
    assert!(is_withdrawn(&there, SOMEBODY));
    click(&there, &urls[0]);
    click(&here, &urls[1]);
    click(&here, &others[0]);
    let events = here.events_once_settled(DOMAIN, 2);
    assert!(
        events.iter().all(|event| event["recipient"] == "ada"),
        "{events:?}"
    );
    assert!(!holds(database.dump().as_bytes(), SOMEBODY));
    // Its own files are the server's: they forget when it writes them anew.
    database.sql("VACUUM FULL");
    database.sql("CHECKPOINT");
    assert!(!holds(&bytes_below(&database.files()), SOMEBODY));
    for folder in [&first.folder, &other.folder] {
        assert!(!holds(&bytes_below(folder.path()), SOMEBODY));
    }
    assert!(!here.log().contains(SOMEBODY) && !there.log().contains(SOMEBODY));
    // What stays counts without them.
    let stats = there
        .get(there.api(), &format!("/v1/domains/{DOMAIN}/stats"))
        .json();
    assert_eq!(stats["total"]["clicked"]["people"], 2, "{stats}");
    assert_eq!(stats["total"]["sent"], 1, "{stats}");
    let people = "SELECT count(*) FROM mailtrail.firsts f LEFT JOIN mailtrail.events e ON e.id = f.event WHERE e.id IS NULL";
    assert_eq!(database.number(people), 0);
}

#[test]
fn a_withdrawal_by_the_reader_holds_on_every_replica_and_after_restarts() {
    let database = Postgres::shared().database();
    let first = Replica::first(&database);
    let here = first.start();
    let other = first.beside(&database);
    let there = other.start();
    let rewritten = here.rewrite(&json!({
        "domain": DOMAIN, "message_id": "m-1", "recipient": "bob",
        "html": "<p><a href=\"https://shop.example/\">x</a> <a href=\"{{mailtrail:optout}}\">no</a></p>",
    }));
    let links = rewritten["report"]["links"].clone();
    let url = |at: usize| links[at]["url"].as_str().expect("a URL").to_owned();
    let (link, out) = (url(0), url(1));
    click(&there, &link);
    there.events_once_settled(DOMAIN, 1);
    assert_eq!(withdraw(&here, &out), 200);
    let begun = Instant::now();
    there.until("the other replica knows", |there| {
        is_withdrawn(there, "bob")
    });
    assert!(begun.elapsed() < KNOWN_WITHIN, "{:?}", begun.elapsed());
    for program in [here, there] {
        click(&program, &link);
        assert!(program.stop().success());
    }
    let there = other.start();
    assert!(is_withdrawn(&there, "bob"));
    click(&there, &link);
    until_shipped(&there);
    let rows =
        "SELECT (SELECT count(*) FROM mailtrail.hits) + (SELECT count(*) FROM mailtrail.events)";
    assert_eq!(database.number(rows), 1);
}

/// Withdraws as a reader does; gives the status.
fn withdraw(program: &Program, url: &str) -> u16 {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').expect("a path");
    let answer = std::process::Command::new("curl")
        .args([
            "--silent",
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code}",
            "--request",
            "POST",
        ])
        .args(["--header", &format!("Host: {host}"), "--data", ""])
        .arg(format!("http://{}/{path}", program.public()))
        .output();
    let said = answer.expect("curl runs").stdout;
    String::from_utf8_lossy(&said).parse().expect("a status")
}

#[test]
fn a_withdrawal_that_the_database_did_not_take_says_so() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let here = replica.start();
    let rewritten = here.rewrite(&json!({
        "domain": DOMAIN, "message_id": "m-1", "recipient": "bob", "html": "<p><a href=\"{{mailtrail:optout}}\">no</a></p>",
    }));
    let out = rewritten["report"]["links"][0]["url"]
        .as_str()
        .expect("a URL")
        .to_owned();
    server.crash();
    assert_eq!(withdraw(&here, &out), 503);
    let path = format!("/v1/domains/{DOMAIN}/recipients/erase");
    let erased = here.post(&path, &json!({"recipient": "bob"}));
    assert_eq!(erased.status, 503, "{}", erased.text());
    server.restart();
    here.until("it is kept when asked again", |here| {
        withdraw(here, &out) == 200
    });
    assert_eq!(
        database.number("SELECT count(*) FROM mailtrail.withdrawals"),
        1
    );
}
