//! A cursor misses nothing and repeats nothing, whoever writes at once and
//! however late they commit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mailtrail_tests::{Database, Postgres, Program, follow};

use crate::world::{DOMAIN, Replica, mail, until_shipped};

/// Replicas that write at once.
const REPLICAS: usize = 4;

/// Follows the list of events until told to stop; gives how often each id came,
/// in their order.
fn follow_events(program: &Program, stop: &AtomicBool, pages: &mut Vec<String>) {
    let mut after = String::new();
    loop {
        // Looked at first: what is there when it is set is still read.
        let last = stop.load(Ordering::SeqCst);
        loop {
            let path = format!("/v1/domains/{DOMAIN}/events?limit=50{after}");
            let page = program.get(program.api(), &path);
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            for event in page["events"].as_array().expect("a list") {
                pages.push(event["id"].as_str().expect("an id").to_owned());
            }
            after = format!("&after={}", page["next"].as_str().expect("a cursor"));
            if page["more"] == false {
                break;
            }
        }
        if last {
            return;
        }
    }
}

#[test]
fn with_four_replicas_and_commits_out_of_order_each_event_comes_once() {
    let database = Postgres::shared().database();
    let first = Replica::first(&database);
    let mut programs = vec![first.start()];
    let others: Vec<_> = (1..REPLICAS).map(|_| first.beside(&database)).collect();
    programs.extend(others.iter().map(Replica::start));
    let url = mail(&programs[0], "m-1", Some("ada"), 1).remove(0);
    let (stop, mut seen) = (AtomicBool::new(false), Vec::new());
    let clicks = thread::scope(|scope| {
        let following = scope.spawn(|| {
            let mut seen = Vec::new();
            follow_events(&programs[1], &stop, &mut seen);
            seen
        });
        let writing: Vec<_> = programs
            .iter()
            .map(|program| {
                let (public, url) = (program.public(), &url);
                scope.spawn(move || {
                    let (mut count, begun) = (0, Instant::now());
                    while begun.elapsed() < Duration::from_secs(6) {
                        assert_eq!(follow(public, url).expect("an answer").status, 302);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        hold_one_after_the_other(&database);
        let clicks: usize = writing
            .into_iter()
            .map(|w| w.join().expect("clicked"))
            .sum();
        programs.iter().for_each(until_shipped);
        programs[0].until("all is settled", |_| {
            database.number("SELECT count(*) FROM mailtrail.hits") == 0
                && database.number("SELECT count(*) FROM mailtrail.events") == clicks as i64
        });
        stop.store(true, Ordering::SeqCst);
        seen = following.join().expect("followed");
        clicks
    });
    let mut times = HashMap::new();
    for id in &seen {
        *times.entry(id).or_insert(0) += 1;
    }
    assert!(times.values().all(|times| *times == 1), "some came again");
    assert_eq!((seen.len(), times.len()), (clicks, clicks));
    let gaps = "SELECT max(number) - count(DISTINCT number) FROM mailtrail.events";
    assert_eq!(database.number(gaps), 0);
    // In the order of their numbers.
    let numbered = database.sql("SELECT id FROM mailtrail.events ORDER BY number");
    let numbered: Vec<_> = numbered.lines().map(str::to_owned).collect();
    assert_eq!(seen, numbered);
    assert!(clicks > 200, "{clicks}");
}

/// Holds one replica's commits back for a second, then the next one's.
fn hold_one_after_the_other(database: &Database<'_>) {
    let replicas = database.sql("SELECT replica FROM mailtrail.replicas");
    for replica in replicas.lines() {
        let mut session = database.session();
        session.run("BEGIN");
        session.run(&format!(
            "SELECT 1 FROM mailtrail.replicas WHERE replica = '{replica}' FOR UPDATE"
        ));
        thread::sleep(Duration::from_millis(1200));
        session.run("COMMIT");
    }
}

/// What the test above would find with the usual way: a number from a sequence,
/// and a cursor that goes by it.
#[test]
fn a_plain_sequence_would_miss_what_commits_late() {
    let database = Postgres::shared().database();
    database.sql("CREATE TABLE plain (number bigserial PRIMARY KEY, what text)");
    let mut slow = database.session();
    slow.run("BEGIN");
    slow.run("INSERT INTO plain (what) VALUES ('slow')");
    database.sql("INSERT INTO plain (what) VALUES ('fast')");
    let behind = |cursor: i64| {
        let sql = format!(
            "SELECT string_agg(what, ','), coalesce(max(number), {cursor}) FROM plain WHERE number > {cursor}"
        );
        let said = database.sql(&sql);
        let (what, next) = said.split_once('|').expect("two fields");
        (what.to_owned(), next.parse::<i64>().expect("a number"))
    };
    let (first, cursor) = behind(0);
    slow.run("COMMIT");
    let (second, _) = behind(cursor);
    assert_eq!((first.as_str(), second.as_str()), ("fast", ""));
    assert_eq!(database.number("SELECT count(*) FROM plain"), 2);
}

#[test]
fn a_cursor_of_another_list_or_install_is_none() {
    let server = Postgres::shared();
    let (here, there) = (server.database(), server.database());
    let (here, there) = (
        Replica::first(&here).start(),
        Replica::first(&there).start(),
    );
    let path = |after: &str| format!("/v1/domains/{DOMAIN}/events?after={after}");
    let next = here
        .get(here.api(), &format!("/v1/domains/{DOMAIN}/events"))
        .json()["next"]
        .clone();
    let next = next.as_str().expect("a cursor");
    assert_eq!(here.get(here.api(), &path(next)).status, 200);
    assert_eq!(there.get(there.api(), &path(next)).status, 422);
    let messages = format!("/v1/domains/{DOMAIN}/messages?after={next}");
    assert_eq!(here.get(here.api(), &messages).status, 422);
}
