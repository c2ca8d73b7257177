//! The database is away: readers notice nothing, and what waits goes there when
//! it is back.

use std::thread;
use std::time::{Duration, Instant};

use mailtrail_tests::{Postgres, Program};

use crate::load::{assert_all_there_once, click_often, click_until, links};
use crate::world::{DOMAIN, Replica, click, mail, metric, until_shipped};

/// A round of clicks, and what was answered.
fn clicks(program: &Program, round: usize) -> Vec<String> {
    let urls = links(program, round);
    click_until(program.public(), &urls, Duration::from_millis(700), || ())
}

#[test]
fn away_under_load_and_back_nothing_is_lost_and_nothing_comes_twice() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let mut answered = clicks(&program, 0);
    for round in 1..4 {
        let urls = links(&program, round);
        answered.extend(click_until(
            program.public(),
            &urls,
            Duration::from_millis(300),
            || server.crash(),
        ));
        program.until("it says so", |program| {
            program.log().contains("records stay in the data folder")
        });
        answered.extend(clicks(&program, 10 + round));
        assert!(metric(&program, "mailtrail_postgres_lag_records") > 0.0);
        assert_eq!(metric(&program, "mailtrail_postgres_connected"), 0.0);
        server.restart();
        until_shipped(&program);
    }
    assert_all_there_once(&program, &answered);
    assert!(program.log().contains("shipping goes on"));
    assert_eq!(metric(&program, "mailtrail_events_not_kept_total"), 0.0);
}

#[test]
fn a_server_that_stands_still_holds_up_no_reader() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let mut answered = clicks(&program, 0);
    server.signal_all("STOP");
    // Half of the links were made before, half are made meanwhile.
    answered.extend(clicks(&program, 1));
    thread::sleep(Duration::from_secs(2));
    server.signal_all("CONT");
    assert_all_there_once(&program, &answered);
}

#[test]
fn connections_that_are_cut_and_a_database_that_is_read_only_are_waited_for() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let cut = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'mailtrail'";
    let urls = links(&program, 0);
    let mut answered = thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            for _ in 0..10 {
                database.sql(cut);
                thread::sleep(Duration::from_millis(80));
            }
        });
        let answered = click_until(program.public(), &urls, Duration::from_secs(1), || ());
        cutting.join().expect("cut");
        answered
    });
    database.sql("ALTER SYSTEM SET default_transaction_read_only = on");
    database.sql("SELECT pg_reload_conf()");
    database.sql(cut);
    answered.extend(clicks(&program, 1));
    program.until("it waits", |program| {
        metric(program, "mailtrail_postgres_connected") == 0.0
    });
    database.sql("ALTER SYSTEM RESET default_transaction_read_only");
    database.sql("SELECT pg_reload_conf()");
    assert_all_there_once(&program, &answered);
}

#[test]
fn a_server_without_room_is_asked_less_and_less_often_and_that_is_said_once() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    program.events_once_settled(DOMAIN, 1);
    // It lets everybody in, and takes nothing.
    database.sql(
        "CREATE FUNCTION mailtrail.no_room() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN RAISE EXCEPTION 'no room' USING ERRCODE = 'disk_full'; END $$",
    );
    database.sql(
        "CREATE TRIGGER no_room BEFORE INSERT ON mailtrail.hits
         FOR EACH ROW EXECUTE FUNCTION mailtrail.no_room()",
    );
    click(&program, &urls[0]);
    thread::sleep(Duration::from_secs(6));
    let faults = metric(&program, "mailtrail_postgres_faults_total{kind=\"busy\"}");
    assert!((1.0..12.0).contains(&faults), "{faults}");
    let said = |what: &str| program.log().matches(what).count();
    assert_eq!((said("shipping waits"), said("shipping goes on")), (1, 0));
    database.sql("DROP TRIGGER no_room ON mailtrail.hits");
    program.events_once_settled(DOMAIN, 2);
    assert_eq!((said("shipping waits"), said("shipping goes on")), (1, 1));
}

#[test]
fn at_its_bound_the_spool_drops_what_comes_counts_it_and_goes_on_afterwards() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database).with("--spool-max", "1MiB");
    let program = replica.start();
    let urls = mail(&program, "m-1", Some("ada"), 1);
    click(&program, &urls[0]);
    program.events_once_settled(DOMAIN, 1);
    server.crash();
    let mut clicks = 1;
    let not_kept = |program: &Program| metric(program, "mailtrail_events_not_kept_total") as usize;
    while not_kept(&program) < 100 {
        click_often(&program, &urls[0], 500, 10);
        clicks += 500;
        assert!(clicks < 50_000, "the spool has no bound");
    }
    // Told by what ships, now and then.
    program.until("the spool is at its bound", |program| {
        let bytes = metric(program, "mailtrail_postgres_spool_bytes");
        assert!(bytes < 1_048_576.0, "{bytes}");
        bytes > 400_000.0
    });
    program.until("it says so", |program| {
        program.log().contains("--spool-max")
    });
    server.restart();
    until_shipped(&program);
    program.until("recording goes on", |program| {
        let before = not_kept(program);
        click(program, &urls[0]);
        clicks += 1;
        not_kept(program) == before
    });
    program.until("each click is listed, or counted as dropped", |program| {
        program.events(DOMAIN).len() + not_kept(program) == clicks
    });
}

#[test]
fn a_start_without_the_database_leads_home_and_records_nobody_who_is_named() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let named = mail(&program, "m-1", Some("ada"), 1);
    let unnamed = mail(&program, "m-2", None, 1);
    assert!(program.stop().success());
    server.crash();
    let program = replica.start();
    click(&program, &named[0]);
    click(&program, &unnamed[0]);
    server.restart();
    until_shipped(&program);
    let events = program.events_once_settled(DOMAIN, 1);
    assert_eq!(events[0]["recipient"], serde_json::Value::Null);
    click(&program, &named[0]);
    assert_eq!(program.events_once_settled(DOMAIN, 2).len(), 2);
}

#[test]
fn a_stop_waits_for_a_database_that_is_away_only_if_something_is_to_be_shipped() {
    let server = Postgres::start();
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    until_shipped(&program);
    server.crash();
    let begun = Instant::now();
    assert!(program.stop().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "nothing waited");
    // Nor does one that has never seen it.
    let other = Replica::first(&database);
    let program = other.flags.start_unready();
    let begun = Instant::now();
    assert!(program.stop().success());
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "nothing was there"
    );
}
