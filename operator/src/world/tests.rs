use serde_json::json;

use super::*;
use crate::condition::{Is, Reason, Type};
use crate::subject::Subject;

fn world() -> World {
    World::new("mailtrail".to_owned(), Arc::default())
}

fn domain(name: &str, host: &str, version: u64) -> TrackingDomain {
    serde_json::from_value(json!({
        "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
        "metadata": {"namespace": "shop", "name": name, "uid": name, "resourceVersion": version.to_string()},
        "spec": {"host": host},
    }))
    .expect("a domain")
}

fn claim(host: &str, realm: &str, class: &str) -> HostClaim {
    serde_json::from_value(json!({
        "apiVersion": "mailtrail.dev/v1alpha1", "kind": "HostClaim",
        "metadata": {"name": host, "uid": host, "resourceVersion": "1"},
        "spec": {"realm": realm, "namespaceUid": "1", "className": class, "state": "Active", "role": "Host"},
    }))
    .expect("a claim")
}

fn realm(text: &str) -> Realm {
    text.parse().expect("a realm")
}

#[test]
fn an_older_state_does_not_replace_a_newer_one() {
    let world = world();
    world.domain(domain("a", "new.example", 10));
    world.domain(domain("a", "old.example", 9));
    let concern = world.concern(&realm("shop/a"));
    assert_eq!(concern.domain.expect("known").spec.host, "new.example");
}

#[test]
fn whoever_wants_a_host_hears_that_it_is_free() {
    let world = world();
    world.claim(claim("a.example", "other/b", "mailtrail"));
    world.domain(domain("a", "a.example", 1));
    let wanted = world.concern(&realm("shop/a")).wanted;
    assert_eq!(wanted.len(), 1);
    let inbox = Arc::clone(&world.inbox);
    inbox_of(&inbox).clear();
    world.claim_gone(&"a.example".parse().expect("host"));
    let named = std::mem::take(&mut *inbox_of(&inbox));
    let named_is = |name| named.contains(&Subject::Domain(realm(name)));
    assert!(named_is("shop/a") && named_is("other/b"));
}

fn inbox_of(inbox: &Inbox) -> MutexGuard<'_, HashSet<Subject>> {
    inbox.lock_for_tests()
}

#[test]
fn claims_of_another_class_stand_in_the_way_and_belong_to_nobody_here() {
    let world = world();
    world.claim(claim("a.example", "shop/a", "other"));
    world.domain(domain("a", "a.example", 1));
    let concern = world.concern(&realm("shop/a"));
    assert!(concern.own.is_empty());
    assert_eq!(concern.wanted.len(), 1);
}

fn told(mut domain: TrackingDomain, is: Is, reason: Reason) -> TrackingDomain {
    let generation = *domain.metadata.generation.get_or_insert(1);
    let finding = crate::condition::Finding::new(Type::Accepted, is, reason, "");
    let now = jiff::Timestamp::UNIX_EPOCH;
    let conditions = crate::condition::conditions(None, generation, &[finding], now);
    domain.status = Some(mailtrail_crds::status::TrackingDomainStatus {
        observed_generation: Some(generation),
        conditions,
    });
    domain
}

#[test]
fn who_has_a_place_keeps_it_and_who_is_refused_otherwise_wants_none() {
    let world = world();
    let rank = |name: &str| {
        let realm = realm(&format!("shop/{name}"));
        let domain = world.concern(&realm).domain.expect("known");
        world.rank_in_namespace(&realm, &domain)
    };
    for name in ["a", "b", "c"] {
        world.domain(domain(name, &format!("{name}.example"), 1));
    }
    assert_eq!(["a", "b", "c"].map(rank), [Some(1), Some(2), Some(3)]);
    // The last was accepted first.
    world.claim(claim("c.example", "shop/c", "mailtrail"));
    assert_eq!(["a", "b", "c"].map(rank), [Some(2), Some(3), None]);
    let full = told(
        domain("b", "b.example", 2),
        Is::False,
        Reason::TooManyDomains,
    );
    world.domain(full);
    assert_eq!(rank("b"), Some(3));
    inbox_of(&world.inbox).clear();
    let refused = told(
        domain("a", "a.example", 2),
        Is::False,
        Reason::HostNotAllowed,
    );
    world.domain(refused);
    assert_eq!(rank("b"), Some(2));
    // Who waits for a place hears of it.
    assert!(inbox_of(&world.inbox).contains(&Subject::Domain(realm("shop/b"))));
    // Another spec is not refused yet.
    let mut edited = told(
        domain("a", "a.example", 3),
        Is::False,
        Reason::HostNotAllowed,
    );
    edited.metadata.generation = Some(9);
    world.domain(edited);
    assert_eq!(rank("b"), Some(3));
}
