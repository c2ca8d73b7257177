//! What is answered for gets to the database, once, whatever ends in between.

use std::time::Duration;

use mailtrail_tests::Postgres;

use crate::load::{assert_all_there_once, assert_enough, click_until, lasts, links, rounds};
use crate::world::{DOMAIN, Replica, click, mail, metric, until_shipped};

#[test]
fn what_is_shipped_is_listed_and_removed_here() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database).with("--spool-max", "1MiB");
    let program = replica.start();
    for round in 0..2 {
        let urls = links(&program, round);
        let answered = click_until(program.public(), &urls, Duration::from_secs(2), || ());
        assert!(answered.len() > 100, "{}", answered.len());
    }
    until_shipped(&program);
    let shipped = metric(&program, "mailtrail_postgres_hits_shipped_total") as usize;
    assert_eq!(program.events_once_settled(DOMAIN, shipped).len(), shipped);
    assert_eq!(metric(&program, "mailtrail_events_not_kept_total"), 0.0);
    // More than the bound went through it.
    let kept = metric(&program, "mailtrail_postgres_spool_bytes");
    assert!(kept < 300_000.0, "{kept}");
}

#[test]
fn a_replica_that_is_killed_between_shipping_and_forgetting_ships_nothing_twice() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let rounds = rounds("MAILTRAIL_CRASH_ROUNDS", 10);
    let mut expected = Vec::new();
    for round in 0..rounds {
        let program = replica.start();
        let urls = links(&program, round);
        expected.extend(click_until(program.public(), &urls, lasts(round), || {
            program.kill();
        }));
    }
    let program = replica.start();
    assert_all_there_once(&program, &expected);
    assert_enough(&expected, rounds);
    let twice = "SELECT count(*) - count(DISTINCT id) FROM mailtrail.events";
    assert_eq!(database.number(twice), 0);
    let sent = "SELECT sum(sent) FROM mailtrail.sent_counts";
    let mails = "SELECT count(DISTINCT message_id) FROM mailtrail.messages";
    assert_eq!(database.number(sent), database.number(mails));
}

#[test]
fn what_was_committed_and_not_forgotten_is_not_shipped_again() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    program.events_once_settled(DOMAIN, 1);
    // As it was a moment before its segments would have been removed.
    let copy = tempfile::tempdir().expect("a folder");
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", replica.folder.path().display()))
        .arg(copy.path())
        .status();
    assert!(copied.expect("cp runs").success());
    assert!(program.stop().success());
    let again = database
        .behind(mailtrail_tests::Flags::new(
            mailtrail_tests::root().join("examples/manifests"),
            copy.path(),
        ))
        .start();
    click(&again, &urls[0]);
    assert_eq!(again.events_once_settled(DOMAIN, 2).len(), 2);
    until_shipped(&again);
    assert_eq!(
        database.number("SELECT count(*) FROM mailtrail.messages"),
        1
    );
    assert_eq!(
        database.number("SELECT sum(sent) FROM mailtrail.sent_counts"),
        1
    );
}

#[test]
fn a_replica_ships_before_it_exits() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let urls = links(&program, 0);
    let answered = click_until(program.public(), &urls, Duration::from_millis(500), || ());
    assert!(program.stop().success());
    let rows =
        "SELECT (SELECT count(*) FROM mailtrail.hits) + (SELECT count(*) FROM mailtrail.events)";
    assert!(database.number(rows) >= answered.len() as i64);
    assert_eq!(
        database.number("SELECT count(*) FROM mailtrail.messages"),
        urls.len() as i64
    );
}

#[test]
fn a_row_that_the_database_does_not_take_holds_nothing_up() {
    let database = Postgres::shared().database();
    let replica = Replica::first(&database);
    let program = replica.start();
    database.sql("ALTER TABLE mailtrail.hits ADD CHECK (recipient <> 'poison')");
    let poison = mail(&program, "m-1", Some("poison"), 1);
    let good = mail(&program, "m-1", Some("ada"), 1);
    for url in [&good, &poison, &good] {
        click(&program, &url[0]);
    }
    let events = program.events_once_settled(DOMAIN, 2);
    assert!(events.iter().all(|event| event["recipient"] == "ada"));
    assert_eq!(
        metric(&program, "mailtrail_postgres_records_refused_total"),
        1.0
    );
    assert!(!program.log().contains("poison"));
}
