//! What happens to the machines of the database: a disk is full, one fails and
//! another takes over.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use mailtrail_tests::{Postgres, Program, SmallDisk, fill};

use crate::load::{assert_all_there_once, click_until, links};
use crate::world::{DOMAIN, Replica, metric};

/// Room for a new server and what it writes ahead.
const SMALL: &str = "192m";
/// How long each round of clicks lasts.
const ROUND: Duration = Duration::from_millis(700);

fn clicks(program: &Program, round: usize) -> Vec<String> {
    let urls = links(program, round);
    click_until(program.public(), &urls, ROUND, || ())
}

#[test]
fn a_full_disk_at_the_database_is_waited_for_and_nothing_is_lost_or_there_twice() {
    let place = tempfile::tempdir().expect("a folder");
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o755)).expect("its own");
    let Some(_disk) = SmallDisk::mount(place.path(), SMALL) else {
        println!("skipped: a file system cannot be mounted here");
        return;
    };
    let server = Postgres::start_in(place.path());
    let database = server.database();
    let replica = Replica::first(&database);
    let program = replica.start();
    let mut answered = clicks(&program, 0);
    let ballast = place.path().join("ballast");
    fill(&ballast);
    // Mails are rewritten and recorded meanwhile, too.
    for round in 1..4 {
        answered.extend(clicks(&program, round));
    }
    program.until("it says so", |program| {
        program.log().contains("records stay in the data folder")
    });
    assert!(metric(&program, "mailtrail_postgres_lag_records") > 0.0);
    fs::remove_file(&ballast).expect("removed");
    // Where it could not write ahead it has ended: then somebody starts it again.
    server.restart();
    assert_all_there_once(&program, &answered);
    assert_eq!(metric(&program, "mailtrail_events_not_kept_total"), 0.0);
    let sent = database.number("SELECT sum(sent) FROM mailtrail.sent_counts");
    let mails = database.number("SELECT count(DISTINCT message_id) FROM mailtrail.messages");
    assert_eq!(sent, mails);
}

#[test]
fn a_standby_that_takes_over_has_every_answered_event_once() {
    let server = Postgres::start();
    let database = server.database();
    let standby = server.standby();
    // What is committed is at the standby before it is said to be.
    database.sql("ALTER SYSTEM SET synchronous_standby_names = '*'");
    database.sql("SELECT pg_reload_conf()");
    let replica = Replica::of_two(&database, &standby);
    let program = replica.start();
    let mut answered = clicks(&program, 0);
    let listed = program.events_once_settled(DOMAIN, answered.len());
    let urls = links(&program, 1);
    answered.extend(click_until(program.public(), &urls, ROUND, || {
        server.crash();
    }));
    answered.extend(clicks(&program, 2));
    assert_eq!(metric(&program, "mailtrail_postgres_connected"), 0.0);
    assert_eq!(database.on(&standby).sql("SELECT pg_promote()"), "t");
    answered.extend(clicks(&program, 3));
    assert_all_there_once(&program, &answered);
    // A cursor from before means the same.
    assert_eq!(program.events(DOMAIN)[..listed.len()], listed);
}
