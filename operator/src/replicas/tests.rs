//! Who is counted upon, and when.

use mailtrail_core::ack::{How, Sinks};
use mailtrail_core::config::Domain;
use mailtrail_core::keyring::KeyId;

use super::*;

const REALM: &str = "shop/links";

fn realm() -> Realm {
    REALM.parse().expect("a realm")
}

fn subject() -> Subject {
    Subject::Domain(realm())
}

fn asked(shards: &[ShardState]) -> ToAsk {
    ToAsk {
        admin: ([127, 0, 0, 1], 1).into(),
        shards: shards.to_vec(),
        deliveries: true,
    }
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
        sinks: None,
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
    assert_eq!(replicas.programmed(&subject(), &state(1)), unknown);
    replicas.all_listed();
    assert!(replicas.inbox.lock_for_tests().contains(&subject()));
    assert_eq!(
        replicas.programmed(&subject(), &state(1)),
        Programmed::NoReplicas
    );
    replicas.seen("1", pod(false));
    assert_eq!(
        replicas.programmed(&subject(), &state(1)),
        Programmed::NoReplicas
    );
}

#[test]
fn all_ready_replicas_count_and_no_others() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    replicas.seen("2", pod(true));
    replicas.seen("3", pod(false));
    replicas.answered("1", &asked(&[state(2)]), answer(2));
    let partly = Programmed::Partly {
        applied: 1,
        ready: 2,
    };
    assert_eq!(replicas.programmed(&subject(), &state(2)), partly);
    replicas.answered("2", &asked(&[state(2)]), answer(3));
    assert_eq!(
        replicas.programmed(&subject(), &state(2)),
        Programmed::Everywhere
    );
    // One that vanishes is waited for no more.
    replicas.seen("4", pod(true));
    assert!(replicas.programmed(&subject(), &state(2)) != Programmed::Everywhere);
    replicas.gone("4");
    assert_eq!(
        replicas.programmed(&subject(), &state(2)),
        Programmed::Everywhere
    );
}

#[test]
fn a_state_of_another_object_does_not_count_however_late() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    let mut old = answer(99);
    old.shards[0].uid = "u0".to_owned();
    replicas.answered("1", &asked(&[state(1)]), old);
    let partly = Programmed::Partly {
        applied: 0,
        ready: 1,
    };
    assert_eq!(replicas.programmed(&subject(), &state(1)), partly);
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
    replicas.answered("1", &asked(&[state(1)]), refusing);
    let found = replicas.programmed(&subject(), &state(1));
    assert!(matches!(found, Programmed::Refused { replica, .. } if replica == "p"));
    replicas.answered("1", &asked(&[state(1)]), answer(1));
    assert_eq!(
        replicas.programmed(&subject(), &state(1)),
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
    replicas.answered("1", &asked(&[state(1)]), refusing);
    assert_eq!(replicas.to_ask("1"), None, "it has applied all there is");
    let refusing = replicas.refusing("1").expect("it refuses");
    assert_eq!(refusing.shards, [state(1)]);
    replicas.answered("1", &refusing, answer(1));
    assert_eq!(replicas.refusing("1"), None);
}

#[test]
fn whoever_waits_is_named_by_the_answer() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    replicas.inbox.lock_for_tests().clear();
    replicas.programmed(&subject(), &state(1));
    assert!(replicas.inbox.is_empty());
    replicas.answered("1", &asked(&[state(1)]), answer(1));
    assert!(replicas.inbox.lock_for_tests().contains(&subject()));
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
    replicas.answered("1", &asked(&[]), knows(KeyState::Staged));
    assert!(!replicas.all_know(id));
    replicas.answered("2", &asked(&[]), knows(KeyState::Revoked));
    assert!(!replicas.all_know(id));
    replicas.answered("2", &asked(&[]), knows(KeyState::VerifyOnly));
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

fn delivery(how: How) -> Delivery {
    Delivery {
        sink: realm(),
        how,
        since_ms: None,
        why: String::new(),
    }
}

/// An answer that tells of sinks.
fn telling(generation: i64, refused: Vec<Refused>, deliveries: Vec<Delivery>) -> Answer {
    Answer {
        sinks: Some(Sinks {
            refused,
            deliveries,
        }),
        ..answer(generation)
    }
}

#[test]
fn a_replica_that_knows_no_sinks_does_not_serve_one() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    replicas.answered("1", &asked(&[state(1)]), answer(1));
    let sink = Subject::Sink(realm());
    let found = replicas.programmed(&sink, &state(1));
    assert!(matches!(found, Programmed::Refused { rule, .. } if rule.contains("older")));
    assert_eq!(
        replicas.programmed(&subject(), &state(1)),
        Programmed::Everywhere
    );
    replicas.answered("1", &asked(&[state(1)]), telling(1, vec![], vec![]));
    assert_eq!(
        replicas.programmed(&sink, &state(1)),
        Programmed::Everywhere
    );
}

#[test]
fn a_refused_sink_is_not_the_domain_of_its_name() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    let refused = Refused {
        realm: Some(realm()),
        generation: 1,
        rule: "the sealed secrets are not this sink's".to_owned(),
    };
    let answer = telling(1, vec![refused], vec![]);
    replicas.answered("1", &asked(&[state(1)]), answer);
    let found = replicas.programmed(&Subject::Sink(realm()), &state(1));
    assert!(matches!(found, Programmed::Refused { .. }), "{found:?}");
    assert_eq!(
        replicas.programmed(&subject(), &state(1)),
        Programmed::Everywhere
    );
}

#[test]
fn a_sink_is_named_when_its_deliveries_stand_otherwise_and_not_each_time() {
    let replicas = replicas();
    replicas.seen("1", pod(true));
    let tell = |how| {
        replicas.inbox.lock_for_tests().clear();
        let answer = telling(1, vec![], vec![delivery(how)]);
        replicas.answered("1", &asked(&[]), answer);
        replicas
            .inbox
            .lock_for_tests()
            .contains(&Subject::Sink(realm()))
    };
    assert!(tell(How::Delivering) && !tell(How::Delivering) && tell(How::Failing));
    assert_eq!(
        replicas.delivery(&realm()).map(|told| told.how),
        Some(How::Failing)
    );
    replicas.gone("1");
    assert_eq!(replicas.delivery(&realm()), None);
}
