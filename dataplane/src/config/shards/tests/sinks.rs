use std::fs;

use mailtrail_core::sink::sealed::Sealed;
use mailtrail_core::sink::secret::Secret;
use tempfile::TempDir;

use super::follow::{following, keyring};
use super::kept::{keep, restored};
use super::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A sink as the operator writes it, for a receiver of that name.
fn sink(realm: &str, receiver: &str) -> Value {
    let secret = Secret::parse(SECRET).expect("a secret");
    let of = realm.parse().expect("a realm");
    let sealed = Sealed::seal(&keyring(), &of, "u", &[secret]).expect("sealed");
    json!({
        "version": 1, "realm": realm, "generation": 1, "url": format!("https://{receiver}/"),
        "secrets": ["key"], "kinds": ["opened"], "verdicts": ["human"],
        "cluster": {"uid": "u", "since": 0, "sealed": sealed},
    })
}

fn of_sinks(index: u16, generation: i64, sinks: Vec<Value>) -> Document {
    let name = mailtrail_crds::shard::shard_name(index);
    let about = About {
        name: &name,
        uid: "first",
        generation,
    };
    let mut spec = spec(index, vec![entry("a/x", "x.example")]);
    spec["sinks"] = Value::Array(sinks);
    read(about, spec).expect("a shard")
}

fn receiver_of(shards: &Shards, realm: &str) -> Option<String> {
    let sinks = shards.sinks();
    let sink = sinks.get(realm)?;
    Some(sink.url.authority().to_owned())
}

/// The rules that are told of a shard's sinks.
fn sink_rules(shards: &Shards, index: u16) -> Vec<String> {
    let applied = shards.applied();
    let refused = applied.refused_sinks(index).iter();
    refused.map(|refused| refused.rule.clone()).collect()
}

#[test]
fn a_shard_of_an_operator_that_knew_no_sinks_is_read_as_ever() {
    // As version 0.1 of the operator wrote it.
    let spec = json!({"version": 1, "index": 0, "count": 3, "entries": [{
        "version": 1, "realm": "shop/links", "generation": 2, "host": "links.shop.example",
        "state": "Active", "verified": true, "opens": {"enabled": true},
        "clicks": {"enabled": false, "linksMax": 10000}, "privacy": {"address": "Omit", "userAgent": "Omit"},
        "retentionDays": 45, "apps": {},
    }]});
    let about = About {
        name: "config-0000",
        uid: "first",
        generation: 3,
    };
    let shards = listed(vec![read(about, spec).expect("a shard")]);
    assert_eq!(
        host_of(&shards, "shop/links").as_deref(),
        Some("links.shop.example")
    );
    assert!(shards.sinks().is_empty() && rules(&shards, 0).is_empty());
}

#[test]
fn a_sink_that_cannot_be_read_is_refused_alone_and_the_old_one_stays() {
    let mut shards = listed(vec![of_sinks(
        0,
        1,
        vec![sink("shop/a", "a.example"), sink("shop/b", "b.example")],
    )]);
    let later = with(sink("shop/a", "new.example"), "later", json!(true));
    let other = sink("shop/b", "other.example");
    shards.apply(vec![of_sinks(0, 2, vec![later, other])]);
    assert_eq!(receiver_of(&shards, "shop/a").as_deref(), Some("a.example"));
    assert_eq!(
        receiver_of(&shards, "shop/b").as_deref(),
        Some("other.example")
    );
    assert!(
        sink_rules(&shards, 0)[0].contains("unknown field `later`"),
        "{:?}",
        sink_rules(&shards, 0)
    );
    assert!(rules(&shards, 0).is_empty(), "no domain is refused");
    shards.apply(vec![of_sinks(0, 3, vec![])]);
    assert!(shards.sinks().is_empty() && sink_rules(&shards, 0).is_empty());
}

#[test]
fn a_sink_that_no_operator_has_looked_at_is_refused() {
    let mut bare = sink("shop/a", "a.example");
    bare.as_object_mut().expect("an object").remove("cluster");
    let shards = listed(vec![of_sinks(0, 1, vec![bare])]);
    assert!(shards.sinks().is_empty());
    assert_eq!(sink_rules(&shards, 0).len(), 1);
}

#[test]
fn a_sink_in_two_shards_is_delivered_to_once() {
    let mut shards = listed(vec![
        of_sinks(0, 1, vec![sink("shop/a", "a.example")]),
        of_sinks(1, 1, vec![sink("shop/a", "twin.example")]),
    ]);
    assert_eq!(sink_rules(&shards, 1), ["stands in shard 0 too"]);
    shards.apply(vec![of_sinks(0, 2, vec![])]);
    assert_eq!(
        receiver_of(&shards, "shop/a").as_deref(),
        Some("twin.example")
    );
    assert!(sink_rules(&shards, 1).is_empty());
}

#[tokio::test]
async fn sinks_are_kept_on_the_disk_with_their_secrets_sealed() {
    let folder = TempDir::new().expect("a folder");
    let shards = listed(vec![of_sinks(0, 1, vec![sink("shop/a", "a.example")])]);
    keep(folder.path(), &shards).await;
    let again = restored(folder.path());
    assert_eq!(receiver_of(&again, "shop/a").as_deref(), Some("a.example"));
    assert_eq!(again.sinks(), shards.sinks());
    let text = fs::read_to_string(folder.path().join("shards/0000.json")).expect("kept");
    let secret = SECRET.trim_start_matches("whsec_");
    assert!(text.contains("sealed") && !text.contains(secret), "{text}");
}

#[tokio::test]
async fn secrets_that_were_sealed_for_another_sink_are_refused_and_told() {
    let world = following();
    let mut stolen = sink("shop/b", "b.example");
    stolen["cluster"] = sink("shop/a", "a.example")["cluster"].clone();
    let sinks = vec![sink("shop/a", "a.example"), stolen];
    for document in [
        of_sinks(0, 1, sinks),
        shard(1, 1, vec![]),
        shard(2, 1, vec![]),
    ] {
        world.sees(Seen::Shard(document)).await;
    }
    world.sees(Seen::Listed).await;
    let applied = world.until(Applied::is_complete).await;
    let refused = applied.refused_sinks(0);
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].rule, "the sealed secrets are not this sink's");
    let sinks = world.live.sinks().borrow().clone();
    assert_eq!(
        sinks.keys().map(|r| r.as_str()).collect::<Vec<_>>(),
        ["shop/a"]
    );
}
