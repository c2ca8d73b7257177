//! What readers have a right to.

use crate::receiver::{Receiver, Reply};
use crate::world::{World, ids, open, orders};

#[test]
fn what_is_erased_is_not_delivered_afterwards() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let world = World::new(&[orders(&receiver)]);
    let ada = open("shop/links", "m-ada");
    let mut bob = open("shop/links", "m-bob");
    bob.recipient = Some("bob@example.org".parse().expect("recipient"));
    world.settle(&ada);
    world.settle(&bob);
    world.until("both wait", || world.view("shop/orders").retries == 2);
    let erased = world
        .store
        .erase(&ada.domain, &"ada@example.org".parse().expect("recipient"))
        .expect("erased");
    assert_eq!(erased.events, 1);
    // An attempt may have been under way while she was erased.
    std::thread::sleep(std::time::Duration::from_millis(100));
    let before = receiver.count();
    receiver.answer(|_, _| Reply::Status(200));
    world.until("nothing waits", || world.view("shop/orders").retries == 0);
    assert_eq!(ids(&receiver)[before..], [bob.id.to_string()]);
    assert_eq!(world.view("shop/orders").dead, 0);
    assert_nothing_of(&world, "ada@example.org");
}

#[test]
fn a_dead_letter_whose_reader_is_erased_is_empty_and_goes_nowhere() {
    let receiver = Receiver::answering(|_, _| Reply::Status(500));
    let world = World::new(&[orders(&receiver)]);
    let ada = open("shop/links", "m-ada");
    world.settle(&ada);
    world.until("it is given up", || world.view("shop/orders").dead == 1);
    let recipient = "ada@example.org".parse().expect("recipient");
    world.store.erase(&ada.domain, &recipient).expect("erased");
    let realm = "shop/orders".parse().expect("realm");
    let dead = world
        .ask(world.handle.dead_letters(&realm, 10))
        .expect("dead letters");
    assert!(dead[0].1.is_empty());
    let before = receiver.count();
    world
        .ask(world.handle.replay_dead(&realm))
        .expect("replayed");
    world.until("nothing waits", || world.view("shop/orders").retries == 0);
    assert_eq!(receiver.count(), before);
}

#[test]
fn of_who_withdraws_nothing_is_delivered_any_more() {
    let receiver = Receiver::start();
    let world = World::new(&[orders(&receiver)]);
    let (realm, recipient) = (
        "shop/links".parse().expect("realm"),
        "ada@example.org".parse().expect("recipient"),
    );
    world
        .ask(world.store.withdraw(&realm, &recipient))
        .expect("kept");
    // As if it had settled just before.
    world.settle(&open("shop/links", "m-ada"));
    let mut nobody = open("shop/links", "m-nobody");
    nobody.recipient = None;
    world.settle(&nobody);
    receiver.until(1);
    assert_eq!(ids(&receiver), [nobody.id.to_string()]);
    assert_eq!(world.metrics.deliver.withdrawn.get(), 1);
}

/// The bytes are in no file of the data folder.
fn assert_nothing_of(world: &World, text: &str) {
    let mut open = vec![world.folder.path().join("data")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => open.push(path),
                false => {
                    let bytes = std::fs::read(&path).expect("a file");
                    let found = bytes
                        .windows(text.len())
                        .any(|part| part == text.as_bytes());
                    assert!(!found, "{}", path.display());
                }
            }
        }
    }
}
