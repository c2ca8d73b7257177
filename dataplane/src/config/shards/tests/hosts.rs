use super::*;

#[test]
fn a_host_that_another_domain_has_is_refused_and_the_old_entry_stays() {
    let mut shards = listed(vec![
        shard(0, 1, vec![entry("a/x", "x.example")]),
        shard(1, 1, vec![entry("b/y", "y.example")]),
    ]);
    shards.apply(vec![shard(1, 2, vec![entry("b/y", "x.example")])]);
    assert_eq!(owner_of(&shards, "x.example").as_deref(), Some("a/x"));
    assert_eq!(host_of(&shards, "b/y").as_deref(), Some("y.example"));
    assert_eq!(rules(&shards, 1).len(), 1);
    // Who has it is nobody else's business.
    assert!(
        !rules(&shards, 1)[0].contains("a/x"),
        "{:?}",
        rules(&shards, 1)
    );
    assert!(rules(&shards, 0).is_empty());
}

#[test]
fn a_host_moves_over_two_shards_whichever_comes_first() {
    let mut shards = listed(vec![
        shard(0, 1, vec![entry("a/x", "x.example")]),
        shard(1, 1, vec![]),
    ]);
    // The new owner comes before the old one has let go.
    shards.apply(vec![shard(1, 2, vec![entry("b/y", "x.example")])]);
    assert_eq!(rules(&shards, 1).len(), 1);
    let changed = shards.apply(vec![shard(0, 2, vec![entry("a/x", "z.example")])]);
    assert_eq!(owner_of(&shards, "x.example").as_deref(), Some("b/y"));
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("z.example"));
    assert!(rules(&shards, 1).is_empty());
    assert!(
        changed.shards.contains(&1),
        "it is kept as it is served now"
    );
}

#[test]
fn hosts_are_swapped_at_once() {
    let mut shards = listed(vec![
        shard(0, 1, vec![entry("a/x", "x.example")]),
        shard(1, 1, vec![entry("b/y", "y.example")]),
    ]);
    shards.apply(vec![
        shard(0, 2, vec![entry("a/x", "y.example")]),
        shard(1, 2, vec![entry("b/y", "x.example")]),
    ]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("y.example"));
    assert_eq!(host_of(&shards, "b/y").as_deref(), Some("x.example"));
}

#[test]
fn who_loses_a_host_keeps_its_old_ones_and_that_may_refuse_others() {
    // c wants what b gives up, b wants what a keeps: neither gets it.
    let mut shards = listed(vec![
        shard(0, 1, vec![entry("a/x", "x.example")]),
        shard(1, 1, vec![entry("b/y", "y.example")]),
        shard(2, 1, vec![entry("c/z", "z.example")]),
    ]);
    shards.apply(vec![
        shard(2, 2, vec![entry("c/z", "y.example")]),
        shard(1, 2, vec![entry("b/y", "x.example")]),
    ]);
    assert_eq!(host_of(&shards, "b/y").as_deref(), Some("y.example"));
    assert_eq!(host_of(&shards, "c/z").as_deref(), Some("z.example"));
    assert_eq!((rules(&shards, 1).len(), rules(&shards, 2).len()), (1, 1));
}

#[test]
fn of_two_that_come_together_who_has_the_host_keeps_it() {
    let mut shards = listed(vec![
        shard(0, 1, vec![]),
        shard(1, 1, vec![entry("b/y", "x.example")]),
    ]);
    let verified = with(entry("b/y", "x.example"), "verified", json!(true));
    shards.apply(vec![
        shard(0, 2, vec![entry("a/x", "x.example")]),
        shard(1, 2, vec![verified]),
    ]);
    assert_eq!(owner_of(&shards, "x.example").as_deref(), Some("b/y"));
    assert_eq!((rules(&shards, 0).len(), rules(&shards, 1).len()), (1, 0));
    assert!(
        shards
            .snapshot()
            .by_host("x.example")
            .expect("b/y")
            .verified
    );
}

#[test]
fn a_domain_in_two_shards_is_served_from_the_first_that_has_it() {
    let mut shards = listed(vec![shard(0, 1, vec![entry("a/x", "x.example")])]);
    shards.apply(vec![shard(1, 2, vec![entry("a/x", "other.example")])]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
    assert!(rules(&shards, 1)[0].contains("shard 0"));
    shards.apply(vec![shard(0, 2, vec![])]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("other.example"));
    assert!(rules(&shards, 1).is_empty());
}

#[test]
fn a_host_named_twice_by_one_domain_refuses_that_domain_alone() {
    let twice = with(
        entry("a/x", "x.example"),
        "otherHosts",
        json!(["x.example"]),
    );
    let shards = listed(vec![shard(0, 1, vec![twice, entry("b/y", "y.example")])]);
    assert_eq!(host_of(&shards, "a/x"), None);
    assert_eq!(host_of(&shards, "b/y").as_deref(), Some("y.example"));
    assert_eq!(rules(&shards, 0), ["names the host x.example twice"]);
}
