//! Who is counted upon, and when.

use mailtrail_core::config::Domain;
use mailtrail_core::keyring::KeyId;

use super::*;

const REALM: &str = "shop/links";

fn realm() -> Realm {
    REALM.parse().expect("a realm")
}

fn state(generation: i64) -> ShardState {
    ShardState {
        index: 0,
        uid: "u1".to_owned(),
        generation,
    }
}

fn replicas() -> Replicas {
    let shards = Shards::new(1);
    let host = "a.example".parse().expect("host");
    shards.put(&Domain::new(realm(), host)).expect("room");
    Replicas::new(Arc::new(shards), Arc::default())
}

fn pod(ready: bool) -> Seen {
    Seen {
        name: "p".to_owned(),
        admin: Some(([127, 0, 0, 1], 1).into()),
        ready,
    }
}

fn answer(generation: i64) -> Answer {
    Answer {
        version: 1,
        nonce: String::new(),
        pod_uid: String::new(),
        shards: vec![state(generation)],
        refused: Vec::new(),
        more_refused: 0,
        keys: Vec::new(),
    }
}

#[test]
fn no_replica_is_never_programmed() {
    let replicas = replicas();
    // At first nobody knows who there is.
    let unknown = Programmed::Partly {
        applied: 0,
        ready: 0,
    };
    assert_eq!(replicas.programmed(&realm(), &state(1)), unknown);
    replicas.all_listed();
    assert!(replicas.inbox.lock_for_tests().contains(&realm()));
    assert_eq!(
        replicas.programmed(&realm(), &state(1)),
        Programmed::NoReplicas
    );
    replicas.seen("1", pod(false));
    assert_eq!(
        replicas.programmed(&realm(), &state(1)),
        Programmed::NoReplicas
    );
}

#[test]
fn all_ready_replicas_count_and_no_others() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    replicas.seen("2", pod(true));
    replicas.seen("3", pod(false));
    replicas.answered("1", &[state(2)], answer(2));
    let partly = Programmed::Partly {
        applied: 1,
        ready: 2,
    };
    assert_eq!(replicas.programmed(&realm(), &state(2)), partly);
    replicas.answered("2", &[state(2)], answer(3));
    assert_eq!(
        replicas.programmed(&realm(), &state(2)),
        Programmed::Everywhere
    );
    // One that vanishes is waited for no more.
    replicas.seen("4", pod(true));
    assert!(replicas.programmed(&realm(), &state(2)) != Programmed::Everywhere);
    replicas.gone("4");
    assert_eq!(
        replicas.programmed(&realm(), &state(2)),
        Programmed::Everywhere
    );
}

#[test]
fn a_state_of_another_object_does_not_count_however_late() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    let mut old = answer(99);
    old.shards[0].uid = "u0".to_owned();
    replicas.answered("1", &[state(1)], old);
    let partly = Programmed::Partly {
        applied: 0,
        ready: 1,
    };
    assert_eq!(replicas.programmed(&realm(), &state(1)), partly);
}

#[test]
fn a_refusal_is_told_with_its_replica_until_it_is_taken_back() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    let mut refusing = answer(1);
    refusing.refused.push(Refused {
        realm: Some(realm()),
        generation: 1,
        rule: "entries of version 9 cannot be read".to_owned(),
    });
    replicas.answered("1", &[state(1)], refusing);
    let found = replicas.programmed(&realm(), &state(1));
    assert!(matches!(found, Programmed::Refused { replica, .. } if replica == "p"));
    replicas.answered("1", &[state(1)], answer(1));
    assert_eq!(
        replicas.programmed(&realm(), &state(1)),
        Programmed::Everywhere
    );
}

#[test]
fn who_refuses_is_asked_about_it_until_it_does_not() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    assert_eq!(replicas.refusing("1"), None);
    assert!(replicas.shards.states().is_empty());
    replicas.shards.stands_for_tests(state(1));
    let mut refusing = answer(1);
    refusing.refused.push(Refused {
        realm: Some(realm()),
        generation: 1,
        rule: "its host is another tracking domain's here".to_owned(),
    });
    replicas.answered("1", &[state(1)], refusing);
    assert_eq!(replicas.to_ask("1"), None, "it has applied all there is");
    let asked = replicas.refusing("1").expect("it refuses");
    assert_eq!(asked.shards, [state(1)]);
    replicas.answered("1", &asked.shards, answer(1));
    assert_eq!(replicas.refusing("1"), None);
}

#[test]
fn whoever_waits_is_named_by_the_answer() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    replicas.inbox.lock_for_tests().clear();
    replicas.programmed(&realm(), &state(1));
    assert!(replicas.inbox.is_empty());
    replicas.answered("1", &[state(1)], answer(1));
    assert!(replicas.inbox.lock_for_tests().contains(&realm()));
}

#[test]
fn a_key_is_known_when_every_pod_says_so_ready_or_not() {
    let replicas = replicas();
    let id = KeyId([1, 2, 3]);
    replicas.seen("1", pod(true));
    replicas.seen("2", pod(false));
    replicas.all_listed();
    let knows = |state| Answer {
        keys: vec![KnownKey { id, state }],
        ..answer(1)
    };
    replicas.answered("1", &[], knows(KeyState::Staged));
    assert!(!replicas.all_know(id));
    replicas.answered("2", &[], knows(KeyState::Revoked));
    assert!(!replicas.all_know(id));
    replicas.answered("2", &[], knows(KeyState::VerifyOnly));
    assert!(replicas.all_know(id));
}

#[test]
fn a_key_is_known_to_nobody_while_it_is_not_known_who_there_is() {
    let replicas = replicas();
    let id = KeyId([1, 2, 3]);
    assert!(!replicas.all_know(id));
    replicas.all_listed();
    assert!(replicas.all_know(id));
}
