//! One settles for all: bursts and firsts are told wherever their hits came.

use std::thread;
use std::time::Duration;

use mailtrail_tests::{Database, Postgres, Program};
use serde_json::Value;

use crate::world::{DOMAIN, Replica, click, mail, until_shipped};

/// Replicas with one keyring, and their folders.
fn replicas(database: &Database<'_>, count: usize, settle: &str) -> Vec<(Replica, Program)> {
    let first = Replica::first(database).with("--settle", settle);
    let program = first.start();
    let others = (1..count).map(|_| {
        let other = first.beside(database).with("--settle", settle);
        let program = other.start();
        (other, program)
    });
    let others: Vec<_> = others.collect();
    [(first, program)].into_iter().chain(others).collect()
}

fn verdicts(events: &[Value]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| event["client"]["verdict"].as_str())
        .collect()
}

#[test]
fn a_burst_whose_hits_came_to_different_replicas_is_one() {
    let database = Postgres::shared().database();
    let replicas = replicas(&database, 3, "4s");
    let urls = mail(&replicas[0].1, "m-1", Some("ada"), 3);
    let alone = mail(&replicas[0].1, "m-2", Some("ada"), 1);
    for ((_, program), url) in replicas.iter().zip(&urls) {
        click(program, url);
    }
    click(&replicas[1].1, &alone[0]);
    let events = replicas[2].1.events_once_settled(DOMAIN, 4);
    let (burst, others): (Vec<_>, Vec<_>) = events
        .into_iter()
        .partition(|event| event["message_id"] == "m-1");
    assert_eq!(verdicts(&burst), ["scanner"; 3], "{burst:?}");
    assert_eq!(verdicts(&others), ["human"]);
}

#[test]
fn a_burst_is_told_by_a_settler_that_began_in_its_middle() {
    let database = Postgres::shared().database();
    let mut replicas = replicas(&database, 3, "3s");
    let urls = mail(&replicas[0].1, "m-1", Some("ada"), 4);
    let settles =
        |program: &Program| crate::world::metric(program, "mailtrail_postgres_settles") == 1.0;
    click(&replicas[1].1, &urls[0]);
    click(&replicas[2].1, &urls[1]);
    replicas[1].1.events_once_settled(DOMAIN, 2);
    let leader = replicas.iter().position(|(_, program)| settles(program));
    let (_folder, leader) = replicas.remove(leader.expect("one settles"));
    // Within ten seconds of the first two, which are settled and stay.
    let (_, other) = &replicas[0];
    click(other, &urls[2]);
    until_shipped(other);
    leader.kill();
    let events = other.events_once_settled(DOMAIN, 3);
    assert_eq!(verdicts(&events)[2], "scanner", "{events:?}");
}

#[test]
fn of_people_who_come_at_once_everywhere_one_is_the_first() {
    let database = Postgres::shared().database();
    let replicas = replicas(&database, 3, "0s");
    let urls = mail(&replicas[0].1, "m-1", Some("ada"), 1);
    thread::scope(|scope| {
        for (_, program) in &replicas {
            let url = &urls[0];
            scope.spawn(move || (0..20).for_each(|_| click(program, url)));
        }
    });
    let events = replicas[1].1.events_once_settled(DOMAIN, 60);
    let firsts: Vec<_> = events.iter().map(|event| event["first"] == true).collect();
    assert_eq!(firsts.iter().filter(|first| **first).count(), 1);
    // The first that settled, and of the earliest time.
    assert!(firsts[0]);
}

#[test]
fn a_replica_that_ended_is_not_waited_for_and_what_it_kept_is_settled_later() {
    let database = Postgres::shared().database();
    let mut replicas = replicas(&database, 2, "0s");
    let urls = mail(&replicas[0].1, "m-1", Some("ada"), 1);
    until_shipped(&replicas[0].1);
    let replicas_left = replicas.remove(1);
    // It has a hit that it could not ship.
    let mut session = database.session();
    session.run("BEGIN");
    session.run("SELECT 1 FROM mailtrail.replicas FOR UPDATE");
    click(&replicas_left.1, &urls[0]);
    thread::sleep(Duration::from_millis(300));
    replicas_left.1.kill();
    session.run("COMMIT");
    click(&replicas[0].1, &urls[0]);
    // Somebody who died without a word is waited for some time, and no longer.
    let begun = std::time::Instant::now();
    while replicas[0].1.events(DOMAIN).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "{}",
            replicas[0].1.log()
        );
        thread::sleep(Duration::from_millis(200));
    }
    let again = replicas_left.0.start();
    assert_eq!(again.events_once_settled(DOMAIN, 2).len(), 2);
}
