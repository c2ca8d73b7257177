//! Deliveries that are asked for once more.

use std::time::Duration;

use crate::receiver::{Receiver, Reply};
use crate::world::{World, ids, open, orders};

#[test]
fn dead_letters_are_listed_with_their_events_and_replayed() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 3);
    world.until("all are given up", || world.view("shop/orders").dead == 3);
    let realm = "shop/orders".parse().expect("realm");
    let dead = world
        .ask(world.handle.dead_letters(&realm, 2))
        .expect("dead letters");
    assert_eq!(dead.len(), 2);
    for (letter, events) in &dead {
        assert!(settled.contains(&letter.id));
        assert_eq!(letter.attempts, 6);
        assert_eq!(events[0].id.to_string(), letter.id);
    }
    receiver.answer(|_, _| Reply::Status(200));
    let before = receiver.count();
    let moved = world
        .ask(world.handle.replay_dead(&realm))
        .expect("replayed");
    assert_eq!(moved, (3, 0));
    receiver.until(before + 3);
    let mut told = ids(&receiver)[before..].to_vec();
    told.sort();
    assert_eq!(told, settled);
    world.until("none is left", || world.view("shop/orders").retries == 0);
    assert_eq!(world.view("shop/orders").dead, 0);
}

#[test]
fn the_events_of_a_time_are_delivered_again_in_order() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    let at = |second: i64| {
        let mut event = open("shop/links", &format!("m-{second}"));
        event.time = jiff::Timestamp::from_second(1_790_000_000 + second).expect("a time");
        event
    };
    let events: Vec<_> = (0..20).map(at).collect();
    for event in &events {
        world.settle(event);
    }
    receiver.until(20);
    let realm = "shop/orders".parse().expect("realm");
    let ms = |second: u64| (1_790_000_000 + second) * 1000;
    world
        .ask(world.handle.replay(&realm, ms(5), ms(10)))
        .expect("taken");
    let expected: Vec<_> = events[5..10]
        .iter()
        .map(|event| event.id.to_string())
        .collect();
    receiver.until(25);
    world.until("it ends", || world.view("shop/orders").replays == 0);
    assert_eq!(ids(&receiver)[20..], expected);
}

#[test]
fn a_replay_goes_on_after_a_restart_and_beside_what_settles() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    let settled = world.settle_many("shop/links", 200);
    receiver.until(200);
    receiver.answer(|_, _| {
        std::thread::sleep(Duration::from_millis(5));
        Reply::Status(200)
    });
    let realm = "shop/orders".parse().expect("realm");
    world
        .ask(world.handle.replay(&realm, 0, u64::MAX / 2))
        .expect("taken");
    receiver.until(220);
    let world = world.restart(&[orders(&receiver)]);
    let more = world.settle_many("shop/links", 10);
    world.until("it ends", || world.view("shop/orders").replays == 0);
    world.until("all came", || {
        let told = ids(&receiver)[200..].to_vec();
        settled.iter().chain(&more).all(|id| told.contains(id))
    });
    // Those settling were not behind the whole replay.
    let told = ids(&receiver);
    let at = told.iter().position(|id| *id == more[9]).expect("it came");
    assert!(at < told.len() - 50, "{at} of {}", told.len());
}

#[test]
fn replays_are_bounded() {
    let receiver = Receiver::answering(|_, _| Reply::Hang);
    let world = World::new(&[orders(&receiver)]);
    world.settle_many("shop/links", 1);
    let realm = "shop/orders".parse().expect("realm");
    let ask = || world.ask(world.handle.replay(&realm, 0, u64::MAX / 2));
    for _ in 0..8 {
        ask().expect("taken");
    }
    assert!(ask().is_err());
}
