//! What is wanted, and what stands in the cluster.

use mailtrail_core::target::Target;
use mailtrail_crds::ConfigShardSpec;
use mailtrail_crds::shard::shard_name;
use serde_json::json;

use super::*;

fn entry(name: &str) -> Domain {
    let (realm, host) = (format!("shop/{name}"), format!("{name}.example"));
    Domain::new(realm.parse().expect("realm"), host.parse().expect("host"))
}

fn subject(domain: &Domain) -> Subject {
    Subject::Domain(domain.realm.clone())
}

fn sink(name: &str) -> Sink {
    serde_json::from_value(json!({
        "version": 1, "realm": format!("shop/{name}"), "generation": 1, "url": "https://a.example/",
        "secrets": ["key"], "kinds": ["opened"], "verdicts": ["human"], "cluster": {"uid": "u", "since": 0},
    }))
    .expect("a sink")
}

/// The object that a draft becomes, as the API server answers.
fn object(shards: &Shards, draft: &Draft, uid: &str, generation: i64) -> ConfigShard {
    let entries = draft.entries.iter();
    let spec = ConfigShardSpec {
        version: 1,
        index: draft.index,
        count: shards.count(),
        entries: entries
            .map(|e| serde_json::from_str(e).expect("json"))
            .collect(),
        sinks: draft
            .sinks
            .iter()
            .map(|e| serde_json::from_str(e).expect("json"))
            .collect(),
    };
    let mut object = ConfigShard::new(&shard_name(draft.index), spec);
    object.metadata.uid = Some(uid.to_owned());
    object.metadata.generation = Some(generation);
    object.metadata.resource_version = Some(format!("{}", 100 + generation));
    object
}

/// One shard, written with these entries.
fn written(names: &[&str]) -> Shards {
    let shards = Shards::new(1);
    for name in names {
        shards.put(&entry(name)).expect("room");
    }
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    shards.written(&draft, &object(&shards, &draft, "u1", 1));
    assert!(shards.is_settled(&HashSet::new()));
    shards
}

#[test]
fn an_entry_waits_until_it_is_written_and_is_named_then() {
    let shards = Shards::new(1);
    let a = entry("a");
    shards.put(&a).expect("room");
    assert_eq!(shards.standing(&subject(&a)), Standing::Waiting);
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    let named = shards.written(&draft, &object(&shards, &draft, "u1", 1));
    assert_eq!(Vec::from_iter(named), [subject(&a)]);
    assert!(
        matches!(shards.standing(&subject(&a)), Standing::Written(state) if state.generation == 1)
    );
}

#[test]
fn what_changed_while_it_was_written_is_written_again() {
    let shards = Shards::new(1);
    let mut a = entry("a");
    shards.put(&a).expect("room");
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    a.generation = 2;
    shards.put(&a).expect("room");
    let named = shards.written(&draft, &object(&shards, &draft, "u1", 1));
    assert!(named.is_empty() && !shards.is_settled(&HashSet::new()));
    assert_eq!(shards.standing(&subject(&a)), Standing::Waiting);
}

#[test]
fn the_same_entry_changes_nothing() {
    let shards = written(&["a"]);
    shards.put(&entry("a")).expect("room");
    assert!(shards.is_settled(&HashSet::new()));
}

#[test]
fn an_entry_counts_from_the_state_that_first_had_it() {
    let shards = written(&["a"]);
    shards.put(&entry("b")).expect("room");
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    shards.written(&draft, &object(&shards, &draft, "u1", 2));
    let generation = |name: &str| match shards.standing(&subject(&entry(name))) {
        Standing::Written(state) => state.generation,
        other => panic!("{other:?}"),
    };
    assert_eq!((generation("a"), generation("b")), (1, 2));
}

#[test]
fn what_somebody_else_writes_is_written_over() {
    let shards = written(&["a"]);
    let mut foreign = object(&shards, &shards.draft_of(0), "u1", 2);
    foreign.spec.entries = vec![json!({"realm": "evil/x"})];
    assert!(shards.seen(&foreign));
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    assert_eq!(draft.resource_version.as_deref(), Some("102"));
    assert_eq!(draft.entries.len(), 1);
}

#[test]
fn an_own_write_seen_again_is_no_drift() {
    let shards = written(&["a"]);
    assert!(!shards.seen(&object(&shards, &shards.draft_of(0), "u1", 1)));
    // Nor is an earlier one that comes late.
    shards.put(&entry("b")).expect("room");
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    shards.written(&draft, &object(&shards, &draft, "u1", 2));
    let mut late = object(&shards, &shards.draft_of(0), "u1", 1);
    late.spec.entries.pop();
    assert!(!shards.seen(&late) && shards.is_settled(&HashSet::new()));
}

#[test]
fn a_shard_that_was_deleted_is_made_anew_with_the_same_content() {
    let shards = written(&["a", "b"]);
    assert!(!shards.vanished(0, "another"));
    assert!(shards.vanished(0, "u1"));
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    assert!(draft.resource_version.is_none());
    assert_eq!(draft.entries.len(), 2);
    assert_eq!(shards.standing(&subject(&entry("a"))), Standing::Waiting);
}

#[test]
fn an_object_that_cannot_be_read_is_written_over() {
    let shards = Shards::new(1);
    let metadata = object(&shards, &shards.draft_of(0), "u1", 3).metadata;
    shards.stands(0, &metadata);
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    assert_eq!(draft.resource_version.as_deref(), Some("103"));
}

#[test]
fn what_stands_in_the_cluster_is_taken_up_without_a_write() {
    let before = written(&["a"]);
    let stands = object(&before, &before.draft_of(0), "u1", 4);
    let shards = Shards::new(1);
    shards.adopt(&stands);
    assert!(shards.is_settled(&HashSet::new()));
    assert_eq!(shards.entry(&entry("a").realm), Some(entry("a")));
}

#[test]
fn a_full_shard_turns_away_the_newcomer_alone() {
    let shards = written(&["a"]);
    let mut big = entry("b");
    big.fallback = Target::parse("https://shop.example/").ok();
    let bytes = serde_json::to_string(&big).expect("json").len();
    for at in 0..=SHARD_MAX_BYTES / bytes {
        let _ = shards.put(&entry(&format!("n{at}")));
        if shards.put(&entry("last")) == Err(Full) {
            break;
        }
        shards.remove(&subject(&entry("last")));
    }
    while shards
        .put(&entry(&format!("m{}", shards.subjects().len())))
        .is_ok()
    {}
    assert_eq!(shards.put(&entry("newcomer-of-a-longer-name")), Err(Full));
    let mut changed = entry("a");
    changed.generation = 7;
    assert!(shards.put(&changed).is_ok(), "a neighbour may change");
}

#[test]
fn a_host_is_free_once_it_is_written_that_it_is_given_up() {
    let shards = Shards::new(1);
    let (a, other): (Realm, Host) = (
        "shop/a".parse().expect("realm"),
        "b.example".parse().expect("host"),
    );
    let host: Host = "a.example".parse().expect("host");
    let write = |generation| {
        let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
        shards.written(&draft, &object(&shards, &draft, "u1", generation));
    };
    shards.put(&entry("a")).expect("room");
    assert_eq!(shards.holder(&host), Some(a.clone()));
    write(1);
    // Another host: the former stands in the cluster until the next write.
    shards
        .put(&Domain::new(a.clone(), other.clone()))
        .expect("room");
    assert_eq!(shards.holder(&host), Some(a.clone()));
    // Back again, before anything was written.
    shards.put(&entry("a")).expect("room");
    write(2);
    assert_eq!(
        (shards.holder(&host), shards.holder(&other)),
        (Some(a.clone()), None)
    );
    shards.remove(&Subject::Domain(a.clone()));
    assert_eq!(shards.holder(&host), Some(a));
    write(3);
    assert_eq!(shards.holder(&host), None);
}

#[test]
fn a_sink_of_a_domains_name_is_another_entry() {
    let shards = written(&["a"]);
    let name: Realm = "shop/a".parse().expect("realm");
    shards.put_sink(&sink("a")).expect("room");
    let draft = shards.drafts(&HashSet::new()).pop().expect("dirty");
    assert_eq!((draft.entries.len(), draft.sinks.len()), (1, 1));
    let stands = object(&shards, &draft, "u1", 2);
    let named = shards.written(&draft, &stands);
    assert_eq!(Vec::from_iter(named), [Subject::Sink(name.clone())]);
    assert_eq!((shards.sinks(), shards.sink(&name)), (1, Some(sink("a"))));
    // An own write that is seen again is no drift, and what is taken up at a
    // term's start is written no more.
    assert!(!shards.seen(&stands));
    let later = Shards::new(1);
    later.adopt(&stands);
    assert!(later.is_settled(&HashSet::new()) && later.sinks() == 1);
    // One that somebody takes out is.
    let mut foreign = object(&shards, &draft, "u1", 3);
    foreign.spec.sinks.clear();
    assert!(shards.seen(&foreign));
    shards.remove(&Subject::Sink(name.clone()));
    assert_eq!((shards.sinks(), shards.entry(&name)), (0, Some(entry("a"))));
}
