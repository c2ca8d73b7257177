use mailtrail_core::ack::ShardState;

use super::*;

fn state(index: u16, uid: &str, generation: i64) -> ShardState {
    ShardState {
        index,
        uid: uid.to_owned(),
        generation,
    }
}

#[test]
fn an_entry_that_cannot_be_read_is_refused_alone_and_the_old_one_stays() {
    let mut shards = listed(vec![shard(
        0,
        1,
        vec![entry("a/x", "x.example"), entry("b/y", "y.example")],
    )]);
    let later = with(entry("a/x", "new.example"), "later", json!(true));
    shards.apply(vec![shard(0, 2, vec![later, entry("b/y", "z.example")])]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
    assert_eq!(host_of(&shards, "b/y").as_deref(), Some("z.example"));
    assert_eq!(rules(&shards, 0).len(), 1);
    assert_eq!(shards.applied().state(0), Some(state(0, "first", 2)));
}

#[test]
fn an_entry_without_a_readable_name_takes_nobody_away() {
    let mut shards = listed(vec![shard(0, 1, vec![entry("a/x", "x.example")])]);
    shards.apply(vec![shard(0, 2, vec![json!({"version": 1, "realm": 5})])]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
    shards.apply(vec![shard(0, 3, vec![])]);
    assert_eq!(host_of(&shards, "a/x"), None);
}

#[test]
fn only_a_newer_state_takes_entries_away() {
    let mut shards = listed(vec![shard(0, 5, vec![entry("a/x", "x.example")])]);
    for older in [5, 4, 0] {
        let changed = shards.apply(vec![shard(0, older, vec![])]);
        assert!(changed.shards.is_empty());
        assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
    }
    shards.apply(vec![shard(0, 6, vec![])]);
    assert_eq!(host_of(&shards, "a/x"), None);
    assert_eq!(owner_of(&shards, "x.example"), None);
}

#[test]
fn a_shard_made_anew_replaces_the_old_one_whatever_its_generation() {
    let mut shards = listed(vec![shard(0, 5, vec![entry("a/x", "x.example")])]);
    let again = of_object(0, "second", 1, vec![entry("a/x", "y.example")]);
    shards.apply(vec![again]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("y.example"));
    assert!(shards.applied().has(&[state(0, "second", 1)]));
    assert!(!shards.applied().has(&[state(0, "first", 1)]));
}

#[test]
fn files_are_taken_in_the_order_they_are_read() {
    let mut shards = Shards::new(Order::Reading);
    for host in ["x.example", "y.example"] {
        let entries = vec![entry("a/x", host)];
        shards.apply(vec![of_object(0, "", 0, entries)]);
        shards.listed();
        assert_eq!(host_of(&shards, "a/x").as_deref(), Some(host));
    }
}

/// A replica that starts before the operator has written anything.
#[test]
fn shards_that_come_after_an_empty_list_are_served() {
    let mut shards = Shards::new(Order::Generation);
    shards.listed();
    assert!(!shards.applied().is_complete());
    shards.apply(vec![shard(1, 1, vec![entry("a/x", "x.example")])]);
    assert_eq!(host_of(&shards, "a/x"), None);
    let changed = shards.apply(vec![shard(0, 1, Vec::new())]);
    assert_eq!(changed.shards.len(), 2);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
    shards.apply(vec![shard(2, 1, Vec::new())]);
    assert!(shards.applied().is_complete());
}

#[test]
fn a_shard_of_another_count_holds_up_nobody() {
    let name = "config-0000".to_owned();
    let about = About {
        name: &name,
        uid: "first",
        generation: 9,
    };
    let one_of_one = json!({"version": 1, "index": 0, "count": 1, "entries": []});
    let wrong = read(about, one_of_one).expect("a shard");
    // At first, it does not speak for the others either.
    let mut shards = Shards::new(Order::Generation);
    shards.apply(vec![wrong.clone()]);
    shards.apply((1..COUNT).map(|index| shard(index, 1, vec![])).collect());
    let changed = shards.listed();
    assert_eq!(changed.miscounted, [(0, 1)]);
    assert_eq!(
        shards.applied().waits_for().as_deref(),
        Some("waiting for configuration: 2 of 3 shards")
    );
    shards.apply(vec![shard(0, 1, vec![entry("a/x", "x.example")])]);
    assert!(shards.applied().is_complete());
    let changed = shards.apply(vec![wrong]);
    assert_eq!(changed.miscounted, [(0, 1)]);
    assert_eq!(host_of(&shards, "a/x").as_deref(), Some("x.example"));
}

#[test]
fn before_all_were_seen_nobody_is_ready() {
    let mut shards = Shards::new(Order::Generation);
    assert!(shards.applied().waits_for().is_some());
    shards.apply(vec![shard(0, 1, vec![])]);
    assert!(!shards.applied().is_complete());
    shards.listed();
    shards.apply(vec![shard(1, 1, vec![]), shard(2, 1, vec![])]);
    assert_eq!(shards.applied().waits_for(), None);
}

#[test]
fn applied_is_said_of_the_asked_object_and_generation_or_a_later_one() {
    let shards = listed(vec![shard(0, 5, vec![])]);
    let applied = shards.applied();
    for (index, uid, generation, holds) in [
        (0, "first", 5, true),
        (0, "first", 4, true),
        (0, "first", 6, false),
        (0, "other", 5, false),
        (9, "first", 1, false),
    ] {
        assert_eq!(applied.has(&[state(index, uid, generation)]), holds);
    }
}

#[test]
fn of_ten_thousand_domains_one_change_is_cheap() {
    const SHARDS: u16 = 256;
    let document = |index: u16, generation: i64, retention: u16| {
        let name = mailtrail_crds::shard::shard_name(index);
        let entries: Vec<_> = (0..40)
            .map(|n| {
                let realm = format!("n{index}/d{n}");
                let made = entry(&realm, &format!("d{n}.n{index}.example"));
                with(made, "retentionDays", json!(retention))
            })
            .collect();
        let spec = json!({"version": 1, "index": index, "count": SHARDS, "entries": entries});
        let about = About {
            name: &name,
            uid: "u",
            generation,
        };
        read(about, spec).expect("a shard")
    };
    let mut shards = Shards::new(Order::Generation);
    let all: Vec<_> = (0..SHARDS).map(|index| document(index, 1, 45)).collect();
    let begun = std::time::Instant::now();
    shards.apply(all);
    shards.listed();
    let whole = begun.elapsed();
    assert_eq!(shards.snapshot().len(), 10_240);
    let changes: Vec<_> = (0..50).map(|index| document(index, 2, 30)).collect();
    let begun = std::time::Instant::now();
    for change in changes {
        shards.apply(vec![change]);
        assert_eq!(shards.applied().shards().len(), 256);
    }
    // Each is of one shard of 256: were all domains gone through for each, fifty
    // would take fifty times as long as all at once. Within one run, so that a busy
    // machine is one for both.
    let took = begun.elapsed();
    assert!(took < whole * 10, "{took:?}, and all at once {whole:?}");
}
