//! A database goes back to a dump by what the page on operating says, word for
//! word, while replicas serve: what they kept comes once, and nothing twice.

use std::collections::BTreeSet;

use mailtrail_tests::{Database, Postgres, Program, commands};
use serde_json::{Value, json};

use crate::world::{DOMAIN, Replica, click, mail, until_shipped};

/// The page's commands under a heading, for a database of this name.
fn typed(database: &Database<'_>, folder: &std::path::Path, heading: &str, number: usize) {
    let lines = commands("docs/OPERATE.md", heading, number);
    let name = database.name();
    let lines = lines
        .replace("mailtrail_restored", &format!("{name}_restored"))
        .replace("mailtrail_before", &format!("{name}_before"))
        .replace(
            "postgres://mailtrail@postgres.databases:5432/mailtrail",
            name,
        )
        .replace("DATABASE mailtrail ", &format!("DATABASE {name} "))
        .replace("datname = 'mailtrail'", &format!("datname = '{name}'"))
        .replace("RENAME TO mailtrail'", &format!("RENAME TO {name}'"));
    // Pods are this test's to start again.
    let lines: Vec<_> = lines
        .lines()
        .filter(|line| !line.starts_with("kubectl"))
        .collect();
    database.server.sh(folder, &lines.join("\n"));
}

fn page(program: &Program, after: &str) -> Value {
    let path = format!("/v1/domains/{DOMAIN}/events?limit=1000{after}");
    program.get(program.api(), &path).json()
}

/// The cursor behind all events.
fn cursor(program: &Program) -> String {
    let next = page(program, "")["next"].clone();
    format!("&after={}", next.as_str().expect("a cursor"))
}

fn ids(events: &[Value]) -> BTreeSet<String> {
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    events.iter().map(id).collect()
}

/// Which links of the mail were clicked.
fn positions(events: &[Value]) -> BTreeSet<u64> {
    let position = |event: &Value| event["link"]["position"].as_u64().expect("a number");
    events.iter().map(position).collect()
}

#[test]
fn a_database_that_goes_back_to_a_dump_has_what_was_kept_since_once_and_nothing_twice() {
    // Connections to the whole server come and go: one of its own.
    let server = Postgres::start();
    let database = server.database();
    let folder = tempfile::tempdir().expect("a folder");
    let first = Replica::first(&database);
    let one = first.start();
    let second = first.beside(&database);
    let two = second.start();
    let urls = mail(&one, "m-1", Some("ada"), 8);
    for at in 0..4 {
        click([&one, &two][at % 2], &urls[at]);
    }
    let before = one.events_once_settled(DOMAIN, 4);
    let known = cursor(&one);
    typed(&database, folder.path(), "Backup", 2);

    // Lost with the database, but for what the replicas have not forgotten.
    for at in 4..6 {
        click([&one, &two][at % 2], &urls[at]);
    }
    let lost = one.events_once_settled(DOMAIN, 6);
    until_shipped(&one);
    until_shipped(&two);
    // Kept: nobody can be reached, and links lead home.
    let name = database.name();
    server.sh(
        folder.path(),
        &format!("psql --quiet --dbname postgres --command 'ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false' --command \"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'\""),
    );
    click(&one, &urls[6]);
    click(&two, &urls[7]);
    typed(&database, folder.path(), "Restore", 2);
    // What the page has the cluster do.
    assert!(one.stop().success() && two.stop().success());
    let (one, two) = (first.start(), second.start());

    let mut after = Vec::new();
    one.until("what was kept is there", |one| {
        after = one.events(DOMAIN);
        [7, 8].iter().all(|link| positions(&after).contains(link))
    });
    assert_eq!(after[..4], before, "what the dump had is as it was");
    // What had been shipped since the dump is there as far as its segment was, and is the same then.
    let again = after[4..].iter().filter(|event| {
        let position = event["link"]["position"].as_u64();
        position.is_some_and(|position| position < 7)
    });
    let again: Vec<_> = again.cloned().collect();
    assert!(ids(&again).is_subset(&ids(&lost[4..])), "{after:#?}");
    assert_eq!(positions(&after).len(), after.len(), "nothing twice");
    // Who had read up to the dump goes on.
    let following = page(&one, &known)["events"].clone();
    assert_eq!(following.as_array().expect("a list")[..], after[4..]);
    // And it goes on, with withdrawals that every replica knows.
    let withdraw = json!({"recipient": "ada"});
    let path = format!("/v1/domains/{DOMAIN}/recipients/withdraw");
    assert_eq!(two.post(&path, &withdraw).status, 200);
    click(&one, &urls[0]);
    let others = mail(&two, "m-2", Some("bob"), 1);
    click(&one, &others[0]);
    let all = two.events_once_settled(DOMAIN, after.len() + 1);
    assert_eq!(all[..after.len()], after);
    assert_eq!(all[after.len()..].len(), 1);
    assert_eq!(all[after.len()]["recipient"], "bob");
}
