//! What is told of nobody stands in no table, and counts once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use mailtrail_tests::{Database, Flags, Postgres, Program};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::world::{Replica, bytes_below, click, holds, metric, until_shipped};

const DOMAIN: &str = "shop/links";
/// What stands nowhere else.
const WORDS: [&str; 4] = ["message-q7x", "reader-q7x", "target-q7x", "tag-q7x"];
/// As long as a record may stay in a spool once it is shipped, and a while for a
/// busy machine.
const GONE_WITHIN: Duration = Duration::from_secs(120);

/// A folder with the manifest of a domain that records this.
fn declared(opens: &str, clicks: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    declare(folder.path(), opens, clicks);
    folder
}

fn declare(folder: &Path, opens: &str, clicks: &str) {
    let text = format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: links, namespace: shop}}\nspec:\n  host: links.localhost\n  opens: {{enabled: true, record: {opens}}}\n  clicks: {{enabled: true, record: {clicks}}}\n"
    );
    fs::write(folder.join("domain.yaml"), text).expect("written");
}

/// Rewrites a mail; gives its link and its pixel.
fn mail(program: &Program, message: &str, reader: Option<&str>) -> [String; 2] {
    let report = program.rewrite(&json!({
        "domain": DOMAIN, "message_id": message, "recipient": reader, "tags": {"kind": WORDS[3]},
        "subject": reader, "to": reader,
        "html": format!("<p><a href=\"https://shop.example/{}\">x</a></p>", WORDS[2]),
    }))["report"]
        .clone();
    let text = |url: &Value| url.as_str().expect("a URL").to_owned();
    [
        text(&report["links"][0]["url"]),
        text(&report["pixel"]["url"]),
    ]
}

fn total(program: &Program) -> Value {
    let path = format!("/v1/domains/{DOMAIN}/stats");
    program.get(program.api(), &path).json()["total"].clone()
}

fn counted(program: &Program, opens: u64, clicks: u64) -> Value {
    let mut said = Value::Null;
    program.until(
        &format!("{opens} opens and {clicks} clicks are counted"),
        |program| {
            said = total(program);
            said["opened"]["total"] == opens && said["clicked"]["total"] == clicks
        },
    );
    said
}

#[test]
fn what_is_anonymous_stands_in_no_table_and_no_spool_and_every_replica_counts_it() {
    let database = Postgres::shared().database();
    let manifests = declared("Anonymous", "Anonymous");
    let folder = || tempfile::tempdir().expect("a folder");
    let first = Replica::declared_by(&database, manifests.path(), folder());
    let here = first.start();
    let keyring = first.folder.path().join("keyring.json");
    let other = Replica::declared_by(&database, manifests.path(), folder())
        .with("--keyring", &keyring.to_string_lossy());
    let there = other.start();
    let [link, pixel] = mail(&here, WORDS[0], Some(WORDS[1]));
    // Rewritten by another: it is sent once.
    mail(&there, WORDS[0], Some(WORDS[1]));
    click(&here, &link);
    click(&there, &link);
    assert_eq!(there.follow(&pixel).status, 200);
    let said = counted(&here, 1, 2);
    assert_eq!(
        said,
        json!({
            "sent": 1, "click_to_open": null,
            "opened": said["opened"], "clicked": said["clicked"],
        })
    );
    assert_eq!(
        (&said["opened"]["anonymous"], &said["clicked"]["anonymous"]),
        (&json!(1), &json!(2))
    );
    assert_eq!(total(&there), said);
    let path = format!("/v1/domains/{DOMAIN}/stats?group_by=link");
    assert_eq!(there.get(there.api(), &path).json()["total"]["sent"], 1);
    for list in ["events", "messages"] {
        let path = format!("/v1/domains/{DOMAIN}/{list}?provisional=true");
        let path = path.trim_end_matches("?provisional=true");
        assert_eq!(here.get(here.api(), path).json()[list], json!([]));
    }
    let dump = database.dump();
    for word in WORDS {
        assert!(!holds(dump.as_bytes(), word), "{word} is in a table");
    }
    for replica in [&first, &other] {
        let begun = Instant::now();
        let is_there = || {
            let bytes = bytes_below(replica.folder.path());
            WORDS.iter().any(|word| holds(&bytes, word))
        };
        while is_there() {
            assert!(begun.elapsed() < GONE_WITHIN, "it is still in a spool");
            std::thread::sleep(Duration::from_millis(500));
        }
    }
}

#[test]
fn both_stores_count_the_same_and_tell_the_same_of_what_is_anonymous() {
    let database = Postgres::shared().database();
    let manifests = declared("Anonymous", "Identified");
    let folder = || tempfile::tempdir().expect("a folder");
    let own = folder();
    let embedded = Flags::new(manifests.path(), own.path()).start();
    let replica = Replica::declared_by(&database, manifests.path(), folder());
    let shared = replica.start();
    for program in [&embedded, &shared] {
        for reader in [Some("ada"), Some("bob"), None] {
            let [link, pixel] = mail(program, "m-1", reader);
            click(program, &link);
            assert_eq!(program.follow(&pixel).status, 200);
            assert_eq!(program.follow(&pixel).status, 200);
        }
        counted(program, 6, 3);
    }
    for query in [
        "",
        "?by=day",
        "?by=day&time_zone=Asia/Kolkata",
        "?time_zone=Asia/Kolkata",
        "?group_by=message",
        "?group_by=link",
        "?group_by=tag&tag_name=kind",
        "?message_id=m-1",
        "?tag=kind=tag-q7x",
    ] {
        let path = format!("/v1/domains/{DOMAIN}/stats{query}");
        let [one, other] = [&embedded, &shared].map(|of| of.get(of.api(), &path).json());
        for what in ["total", "groups"] {
            assert_eq!(one[what], other[what], "{query}");
        }
        let opens = if query.contains("kind=") || query.contains("_id=") {
            0
        } else {
            6
        };
        assert_eq!(one["total"]["opened"]["total"], opens, "{query}: {one}");
    }
    let [one, other] = [&embedded, &shared].map(|of| {
        let path = format!("/v1/domains/{DOMAIN}/messages/m-1");
        of.get(of.api(), &path).json()
    });
    assert_eq!(one["opens"], other["opens"]);
    assert_eq!(one["opens"]["total"], 0, "{one}");
}

#[test]
fn a_folder_that_gets_a_database_counts_nothing_twice() {
    let database = Postgres::shared().database();
    let manifests = declared("Anonymous", "Anonymous");
    let folder = tempfile::tempdir().expect("a folder");
    let embedded = Flags::new(manifests.path(), folder.path()).start();
    let [link, pixel] = mail(&embedded, "m-1", Some("ada"));
    click(&embedded, &link);
    click(&embedded, &link);
    assert_eq!(embedded.follow(&pixel).status, 200);
    let before = counted(&embedded, 1, 2);
    // Its hits are still in the folder, counted and not removed yet.
    embedded.kill();
    let replica = Replica::declared_by(&database, manifests.path(), folder);
    let program = replica.start();
    until_shipped(&program);
    click(&program, &link);
    let after = counted(&program, 1, 3);
    assert_eq!(after["sent"], before["sent"]);
    assert_eq!(metric(&program, "mailtrail_hits_waiting"), 0.0);
}

#[test]
fn a_copy_of_a_folder_counts_nothing_twice() {
    let database = Postgres::shared().database();
    let manifests = declared("Anonymous", "Anonymous");
    let replica = Replica::declared_by(
        &database,
        manifests.path(),
        tempfile::tempdir().expect("a folder"),
    );
    let program = replica.start();
    let [link, _] = mail(&program, "m-1", Some("ada"));
    for _ in 0..3 {
        click(&program, &link);
    }
    counted(&program, 0, 3);
    assert!(program.stop().success());
    // Another name, as a copy of an older folder gets one: all is shipped again.
    for name in fs::read_dir(replica.folder.path()).expect("a folder") {
        let path = name.expect("an entry").path();
        if path.file_name().is_some_and(|name| name == "replica") {
            fs::remove_file(path).expect("removed");
        }
    }
    let program = replica.start();
    until_shipped(&program);
    click(&program, &link);
    let said = counted(&program, 0, 4);
    assert_eq!(said["clicked"]["anonymous"], 4, "{said}");
    // What is identified from now on is told; what was counted is not.
    declare(manifests.path(), "Identified", "Identified");
    program.until("it is identified", |program| {
        let path = format!("/v1/domains/{DOMAIN}");
        program.get(program.api(), &path).json()["clicks"]["record"] == "identified"
    });
    click(&program, &link);
    program.events_once_settled(DOMAIN, 1);
    assert_eq!(total(&program)["clicked"]["total"], 5);
}

#[test]
fn of_the_last_date_one_day_is_kept_on_both_stores_and_goes_with_its_reader() {
    let database = Postgres::shared().database();
    let manifests = declared("LastDate", "LastDate");
    let folder = || tempfile::tempdir().expect("a folder");
    let own = folder();
    let embedded = Flags::new(manifests.path(), own.path()).start();
    let replica = Replica::declared_by(&database, manifests.path(), folder());
    let shared = replica.start();
    let post = |program: &Program, path: &str, reader: &str| {
        let path = format!("/v1/domains/{DOMAIN}/{path}");
        program.post(&path, &json!({"recipient": reader})).text()
    };
    let lines_of_days = |program: &Program, reader: &str| {
        let lines = post(program, "recipients/export", reader);
        let days = lines.lines().filter(|line| line.contains("last_date"));
        days.map(str::to_owned).collect::<Vec<_>>()
    };
    for program in [&embedded, &shared] {
        for reader in ["ada", "bob"] {
            let [link, _] = mail(program, "m-1", Some(reader));
            person(program, &link);
            person(program, &link);
        }
        counted(program, 0, 4);
        program.until("days are told", |program| {
            lines_of_days(program, "ada").len() == 1
        });
    }
    let total_of = |program: &Program| total(program)["clicked"].clone();
    assert_eq!(total_of(&embedded)["people"], 4);
    let same = || {
        for reader in ["ada", "bob"] {
            let [one, other] = [&embedded, &shared].map(|of| lines_of_days(of, reader));
            assert_eq!(one, other);
        }
        assert_eq!(total_of(&embedded), total_of(&shared));
        let path = format!("/v1/domains/{DOMAIN}/messages/m-1");
        let [one, other] = [&embedded, &shared].map(|of| of.get(of.api(), &path).json());
        for what in ["recipients", "opens", "clicks", "derived_opens"] {
            assert_eq!(one[what], other[what], "{what}");
        }
    };
    same();
    let rows = "SELECT count(*) FROM mailtrail.last_dates";
    assert_eq!(database.number(rows), 2);
    assert_eq!(database.number("SELECT count(*) FROM mailtrail.events"), 0);
    for program in [&embedded, &shared] {
        post(program, "recipients/erase", "ada");
        assert_eq!(lines_of_days(program, "ada"), [""; 0]);
    }
    same();
    assert_eq!(database.number(rows), 1);
    only_a_later_day_replaces(&database, &shared);
}

/// An earlier day never replaces a later one, a later one does.
fn only_a_later_day_replaces(database: &Database<'_>, program: &Program) {
    let day = "SELECT day FROM mailtrail.last_dates";
    let today = database.number(day);
    database.sql("UPDATE mailtrail.last_dates SET day = day - 3");
    let [link, _] = mail(program, "m-1", Some("bob"));
    person(program, &link);
    counted(program, 0, 5);
    assert!(database.number(day) >= today);
    database.sql("UPDATE mailtrail.last_dates SET day = day + 3");
    person(program, &link);
    counted(program, 0, 6);
    assert!(database.number(day) >= today + 3);
}

/// Follows a link as a person's browser does.
fn person(program: &Program, url: &str) {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (host, path) = rest.split_once('/').expect("a path");
    let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0";
    let asked = std::process::Command::new("curl")
        .args(["--silent", "--output", "/dev/null", "--user-agent", agent])
        .args(["--header", &format!("Host: {host}")])
        .args([
            "--header",
            "Accept: text/html",
            "--header",
            "Accept-Language: de",
        ])
        .args(["--header", "Sec-Fetch-Mode: navigate"])
        .arg(format!("http://{}/{path}", program.public()))
        .status();
    assert!(asked.expect("curl runs").success());
}
