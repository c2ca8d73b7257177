//! Deliveries where replicas share a database: one replica delivers for a sink,
//! another does when that is gone, and any of them answers for it.

use std::collections::BTreeMap;

use mailtrail_tests::{Database, Postgres, Program, Receiver, ReceiverReply};
use serde_json::{Value, json};

use crate::world::{DOMAIN, Replica, SECRET, click, mail, until_shipped};

const SINK: &str = "/v1/sinks/demo/orders";

/// A replica that delivers for the sink, and one that does not.
fn pair(database: &Database<'_>, receiver: &Receiver) -> [(Replica, Program); 2] {
    let first = Replica::delivering(database, &[("orders", receiver.url())]);
    let owner = first.start();
    owner.until("the sink has its owner", |owner| view(owner).is_some());
    let second = first.beside(database);
    let other = second.start();
    other.until("the other knows the sink", |other| view(other).is_some());
    [(first, owner), (second, other)]
}

/// How the sink stands, as a replica says.
fn view(program: &Program) -> Option<Value> {
    let answer = program.get(program.api(), SINK);
    (answer.status == 200).then(|| answer.json())
}

/// How often each message was told of.
fn told(receiver: &Receiver) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for received in receiver.received() {
        let id = received.json()["data"]["message_id"].clone();
        *told
            .entry(id.as_str().expect("an id").to_owned())
            .or_default() += 1;
    }
    told
}

/// Clicks a link of a mail that this replica made.
fn click_new(program: &Program, message: &str, to: Option<&str>) {
    click(program, &mail(program, message, to, 1)[0]);
}

#[test]
fn one_replica_delivers_what_all_recorded_and_another_goes_on_when_it_is_killed() {
    let server = Postgres::start();
    let database = server.database();
    let receiver = Receiver::start();
    let [(_first, owner), (_second, other)] = pair(&database, &receiver);
    for round in 0..10 {
        click_new(&owner, &format!("a-{round}"), Some("ada@example.org"));
        click_new(&other, &format!("b-{round}"), None);
    }
    receiver.until(20);
    let all = told(&receiver);
    assert!(
        all.len() == 20 && all.values().all(|times| *times == 1),
        "{all:?}"
    );
    assert!(
        receiver
            .received()
            .iter()
            .all(|received| { received.json()["data"]["tags"]["kind"] == "news" })
    );
    owner.kill();
    for round in 0..10 {
        click_new(&other, &format!("c-{round}"), Some("ada@example.org"));
    }
    other.until("the other delivers", |_| {
        let all = told(&receiver);
        (0..10).all(|round| all.contains_key(&format!("c-{round}")))
    });
    assert!(!other.log().contains("ada@example.org"));
}

#[test]
fn a_replica_that_stops_leaves_its_sinks_to_another_at_once() {
    let server = Postgres::start();
    let database = server.database();
    let receiver = Receiver::start();
    let [(_first, owner), (_second, other)] = pair(&database, &receiver);
    click_new(&owner, "m-1", None);
    receiver.until(1);
    let of = |database: &Database<'_>| {
        database.number("SELECT count(*) FROM mailtrail.deliveries WHERE until > clock_timestamp()")
    };
    assert_eq!(of(&database), 1);
    assert!(owner.stop().success());
    click_new(&other, "m-2", None);
    receiver.until(2);
    let all = told(&receiver);
    assert!(all.values().all(|times| *times == 1), "{all:?}");
}

#[test]
fn any_replica_tells_how_a_sink_stands_and_resumes_replays_and_tests_it() {
    let server = Postgres::start();
    let database = server.database();
    let receiver = Receiver::answering(|_, _| ReceiverReply::Status(410));
    let [(_first, owner), (_second, other)] = pair(&database, &receiver);
    click_new(&owner, "m-1", None);
    receiver.until(1);
    for program in [&owner, &other] {
        program.until("it is suspended", |program| {
            view(program).is_some_and(|view| view["suspended"]["why"] == "gone")
        });
    }
    receiver.answer(|_, _| ReceiverReply::Status(204));
    let resumed = other.post(&format!("{SINK}/resume"), &json!({}));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    other.until("it is delivered after all", |_| told(&receiver)["m-1"] == 2);
    let all = json!({"since": "2020-01-01T00:00:00Z", "until": "2100-01-01T00:00:00Z"});
    let replayed = other.post(&format!("{SINK}/replays"), &all);
    assert_eq!(replayed.status, 200, "{}", replayed.text());
    other.until("it is delivered once more", |_| told(&receiver)["m-1"] == 3);
    let tested = other.post(&format!("{SINK}/test"), &json!({}));
    assert_eq!(tested.json()["outcome"], "delivered", "{}", tested.text());
    // The owner goes on from what the other kept for it.
    click_new(&owner, "m-2", None);
    other.until("deliveries go on", |_| told(&receiver).contains_key("m-2"));
}

/// Not only the one that delivers knows what is missing, and what waits for it.
#[test]
fn every_replica_tells_that_a_secret_is_missing_and_that_events_wait() {
    let server = Postgres::start();
    let database = server.database();
    let receiver = Receiver::start();
    let [(first, owner), (_second, other)] = pair(&database, &receiver);
    std::fs::remove_file(first.secret()).expect("removed");
    click_new(&owner, "m-1", None);
    for program in [&owner, &other] {
        program.until("it says so", |program| {
            view(program).is_some_and(|view| {
                view["secret_missing"]
                    .as_str()
                    .is_some_and(|told| told.starts_with("secret key: "))
                    && view["oldest_undelivered"].is_string()
            })
        });
    }
    let [ours, theirs] = [&owner, &other].map(|program| view(program).expect("a view"));
    assert_eq!(ours["oldest_undelivered"], theirs["oldest_undelivered"]);
    std::fs::write(first.secret(), SECRET).expect("written");
    receiver.until(1);
    for program in [&owner, &other] {
        program.until("nothing is missing", |program| {
            view(program).is_some_and(|view| {
                view["secret_missing"].is_null() && view["oldest_undelivered"].is_null()
            })
        });
    }
}

#[test]
fn who_has_withdrawn_at_one_replica_is_not_told_of_by_another() {
    let server = Postgres::start();
    let database = server.database();
    let receiver = Receiver::answering(|_, _| ReceiverReply::Status(503));
    let [(_first, owner), (_second, other)] = pair(&database, &receiver);
    let ada = mail(&owner, "m-ada", Some("ada"), 1);
    click(&owner, &ada[0]);
    receiver.until(1);
    until_shipped(&owner);
    let path = format!("/v1/domains/{DOMAIN}/recipients/withdraw");
    let withdrawn = other.post(&path, &json!({"recipient": "ada"}));
    assert_eq!(withdrawn.status, 200, "{}", withdrawn.text());
    std::thread::sleep(std::time::Duration::from_secs(5));
    receiver.answer(|_, _| ReceiverReply::Status(204));
    click_new(&other, "m-bob", Some("bob"));
    let resumed = owner.post(&format!("{SINK}/resume"), &json!({}));
    assert_eq!(resumed.status, 200, "{}", resumed.text());
    owner.until("the other reader's is told", |_| {
        told(&receiver).contains_key("m-bob")
    });
    assert_eq!(told(&receiver)["m-ada"], 1, "only before the withdrawal");
}
