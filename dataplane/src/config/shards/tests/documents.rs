use mailtrail_core::config::ENTRY_MAX_BYTES;

use super::*;

fn about(name: &str) -> About<'_> {
    About {
        name,
        uid: "u",
        generation: 7,
    }
}

#[test]
fn a_shard_that_cannot_be_known_is_refused_with_its_field() {
    let good = spec(1, vec![]);
    assert!(read(about("config-0001"), good.clone()).is_ok());
    for (field, value, says) in [
        ("version", json!(2), "spec.version is 2"),
        ("version", json!("1"), "spec.version must be a number"),
        ("index", json!(-1), "spec.index must be a number"),
        ("index", json!(3), "spec.index 3 must be below spec.count 3"),
        ("index", json!(2), "must be named config-0002"),
        ("count", json!(0), "spec.count must be a number from 1"),
        ("count", json!(5000), "spec.count must be a number from 1"),
        ("entries", json!({}), "spec.entries must be a list"),
        ("entries", json!(vec![0; 4097]), "more than 4096 entries"),
    ] {
        let error = read(about("config-0001"), with(good.clone(), field, value));
        let error = error.expect_err(says).to_string();
        assert!(error.contains(says), "{error}");
    }
    assert!(read(about("config-0001"), Value::Null).is_err());
}

#[test]
fn an_entry_that_cannot_be_read_says_whose_it_is_and_why() {
    let good = entry("shop/links", "links.shop.example");
    let long = vec!["a.example"; ENTRY_MAX_BYTES / 10];
    for (bad, realm, says) in [
        (json!("text"), None, "must be an object"),
        (
            json!({"realm": "shop/links"}),
            Some("shop/links"),
            "must have a version",
        ),
        (
            with(good.clone(), "version", json!(2)),
            Some("shop/links"),
            "is of version 2",
        ),
        (
            with(good.clone(), "later", json!(1)),
            Some("shop/links"),
            "unknown field `later`",
        ),
        (
            with(good.clone(), "host", json!("no host")),
            Some("shop/links"),
            "host must",
        ),
        (
            with(good.clone(), "realm", json!("links")),
            None,
            "realm must",
        ),
        (
            with(good.clone(), "otherHosts", json!(long)),
            Some("shop/links"),
            "bytes as JSON",
        ),
    ] {
        let bad = with_generation(bad);
        let document = read(about("config-0001"), spec(1, vec![bad, good.clone()]));
        let entries = document.expect("a shard").entries;
        assert!(entries[1].is_ok());
        let refused = entries[0].as_ref().expect_err(says);
        assert!(refused.rule.contains(says), "{}", refused.rule);
        let told = refused.realm.as_ref().map(|realm| realm.as_str());
        assert_eq!(told, realm, "{says}");
        let generation = if says == "must be an object" { 0 } else { 4 };
        assert_eq!(refused.generation, generation);
    }
}

fn with_generation(entry: Value) -> Value {
    match entry {
        Value::Object(_) => with(entry, "generation", json!(4)),
        other => other,
    }
}
