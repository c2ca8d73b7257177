//! Three replicas, of which one is killed, then another, then the database, by
//! turns under load: at the end everything is there once, counted, and delivered
//! to each sink at least once.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mailtrail_tests::{Database, Postgres, Program, Receiver, follow};

use crate::load::{Link, links, rounds};
use crate::world::{DOMAIN, Replica, until_shipped};

/// Replicas that are killed by turns.
const REPLICAS: usize = 3;
/// Readers that click at each of them.
const READERS: usize = 2;
/// An answer that took longer was not waited for on the disk.
const BOUNDED_WAIT: Duration = Duration::from_millis(50);

/// Where a replica is; nowhere while it is not running.
type Place = Mutex<Option<SocketAddr>>;

/// Clicks link after link, each once, at one replica; gives those that were
/// answered in time and before it was killed.
fn click(place: &Place, links: &[Link], next: &AtomicUsize, stop: &AtomicBool) -> Vec<String> {
    let mut answered = Vec::new();
    while !stop.load(Ordering::SeqCst) {
        let at = *place.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(at) = at else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let Some((id, url)) = links.get(next.fetch_add(1, Ordering::SeqCst)) else {
            break;
        };
        let begun = Instant::now();
        let is_answered = follow(at, url).is_ok_and(|answer| answer.status == 302);
        let still = *place.lock().unwrap_or_else(PoisonError::into_inner) == Some(at);
        if is_answered && still && begun.elapsed() < BOUNDED_WAIT {
            answered.push(id.clone());
        }
        thread::sleep(Duration::from_millis(2));
    }
    answered
}

fn put(place: &Place, at: Option<SocketAddr>) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = at;
}

#[test]
fn replicas_and_the_database_are_killed_by_turns_and_every_answered_event_is_there_once() {
    let server = Postgres::start();
    let database = server.database();
    let receivers = [Receiver::start(), Receiver::start()];
    let sinks = [("one", receivers[0].url()), ("two", receivers[1].url())];
    let first = Replica::delivering(&database, &sinks);
    let maker = first.start();
    let sets = rounds("MAILTRAIL_TURNS", 4);
    let links: Vec<Link> = (0..sets).flat_map(|round| links(&maker, round)).collect();
    until_shipped(&maker);
    let mut replicas = vec![first];
    replicas.extend(
        (1..REPLICAS)
            .map(|_| replicas[0].beside(&database))
            .collect::<Vec<_>>(),
    );
    let mut programs: Vec<Option<Program>> = vec![Some(maker)];
    programs.extend(replicas[1..].iter().map(|replica| Some(replica.start())));
    let places: Vec<Place> = programs
        .iter()
        .map(|program| Mutex::new(program.as_ref().map(Program::public)))
        .collect();
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let answered = thread::scope(|scope| {
        let readers: Vec<_> = places
            .iter()
            .flat_map(|place| (0..READERS).map(move |_| place))
            .map(|place| scope.spawn(|| click(place, &links, &next, &stop)))
            .collect();
        for turn in 0..sets {
            thread::sleep(Duration::from_millis(600));
            let at = turn % REPLICAS;
            put(&places[at], None);
            if let Some(program) = programs[at].take() {
                program.kill();
            }
            thread::sleep(Duration::from_millis(200));
            // The database goes while others run.
            server.crash();
            thread::sleep(Duration::from_millis(700));
            server.restart();
            let program = replicas[at].start();
            put(&places[at], Some(program.public()));
            programs[at] = Some(program);
        }
        stop.store(true, Ordering::SeqCst);
        readers
            .into_iter()
            .flat_map(|reader| reader.join().expect("no reader panics"))
            .collect::<Vec<_>>()
    });
    let programs: Vec<_> = programs.into_iter().flatten().collect();
    let times = check(&database, &programs, &answered, (sets, links.len()));
    for receiver in &receivers {
        programs[0].until("every event is delivered", |_| {
            let told = told(receiver);
            times.keys().all(|id| told.contains(id))
        });
    }
}

/// The messages that a receiver was told of.
fn told(receiver: &Receiver) -> HashSet<String> {
    let id = |event: &serde_json::Value| event["data"]["message_id"].as_str().map(str::to_owned);
    let received = receiver.received();
    received
        .iter()
        .filter_map(|received| id(&received.json()))
        .collect()
}

/// Every answered click is there once, and counted; gives how often each is.
fn check(
    database: &Database<'_>,
    programs: &[Program],
    answered: &[String],
    (sets, mails): (usize, usize),
) -> HashMap<String, usize> {
    programs.iter().for_each(until_shipped);
    let program = &programs[0];
    program.until("all is settled", |_| {
        database.number("SELECT count(*) FROM mailtrail.hits") == 0
    });
    let mut times: HashMap<String, usize> = HashMap::new();
    for event in program.events(DOMAIN) {
        let id = event["message_id"].as_str().expect("an id").to_owned();
        *times.entry(id).or_default() += 1;
    }
    let lost: Vec<_> = answered
        .iter()
        .filter(|id| !times.contains_key(*id))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        answered.len()
    );
    assert!(
        times.values().all(|times| *times == 1),
        "some are there twice"
    );
    assert!(
        answered.len() > 100 * sets / 2,
        "the load was too small: {}",
        answered.len()
    );
    let ids: HashSet<_> = answered.iter().collect();
    assert_eq!(ids.len(), answered.len());
    let stats = program
        .get(program.api(), &format!("/v1/domains/{DOMAIN}/stats"))
        .json();
    assert_eq!(stats["total"]["clicked"]["people"], times.len(), "{stats}");
    assert_eq!(stats["total"]["clicked"]["first"], times.len(), "{stats}");
    assert_eq!(stats["total"]["sent"], mails, "{stats}");
    times
}
