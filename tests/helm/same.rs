//! What the chart has twice is the same in both places: the definitions of the
//! resources, and the rights of the programs and of people.

use std::collections::BTreeMap;
use std::fs;

use mailtrail_tests::root;
use serde_json::Value;

use crate::chart::{file, objects, rendered};

#[test]
fn the_definitions_are_those_that_the_types_give() {
    let folder = fs::read_dir(root().join("crds/yaml")).expect("a folder");
    let mut paths: Vec<_> = folder
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    let texts: Vec<_> = paths
        .iter()
        .map(|path| fs::read_to_string(path).expect("text"))
        .collect();
    assert!(
        file("files/crds.yaml") == texts.join("---\n"),
        "`make crds` writes it anew"
    );

    let definitions = of_kind(&rendered(&[]), "CustomResourceDefinition");
    assert_eq!(definitions.len(), paths.len());
    for text in texts {
        let made = objects(&text).remove(0);
        let name = made["metadata"]["name"].as_str().expect("a name");
        let shipped = &definitions[name];
        assert_eq!(shipped["spec"], made["spec"], "{name}");
        assert_eq!(
            shipped["metadata"]["annotations"]["helm.sh/resource-policy"], "keep",
            "{name}"
        );
    }
    let without = rendered(&["--set", "crds.enabled=false"]);
    assert!(of_kind(&without, "CustomResourceDefinition").is_empty());
}

fn of_kind(yaml: &str, kind: &str) -> BTreeMap<String, Value> {
    let of_kind = objects(yaml)
        .into_iter()
        .filter(|object| object["kind"] == kind);
    of_kind
        .map(|object| {
            (
                object["metadata"]["name"]
                    .as_str()
                    .expect("a name")
                    .to_owned(),
                object,
            )
        })
        .collect()
}

/// The rights that tests look at on an API server (`tests/control_plane/rights.rs`)
/// are those that the chart gives.
#[test]
fn the_rights_are_those_that_are_tested() {
    let chart = rendered(&[]);
    let written = [
        "operator/rbac.yaml",
        "dataplane/rbac.yaml",
        "crds/rbac.yaml",
    ]
    .map(|path| fs::read_to_string(root().join(path)).expect("a manifest"))
    .join("\n---\n");
    for kind in ["Role", "ClusterRole"] {
        let mut ours = rules(&chart, kind);
        // That of `helm test` is a caller's.
        ours.remove("test");
        assert_eq!(ours, rules(&written, kind), "{kind}");
    }
}

/// What the roles of a kind allow, by the last word of their names, each rule
/// as text, in no order.
fn rules(yaml: &str, kind: &str) -> BTreeMap<String, Vec<String>> {
    let last = |name: String| name.rsplit('-').next().expect("a word").to_owned();
    of_kind(yaml, kind)
        .into_iter()
        .map(|(name, role)| {
            let rules = role["rules"].as_array().expect("rules");
            let mut rules: Vec<_> = rules.iter().map(Value::to_string).collect();
            rules.sort();
            (last(name), rules)
        })
        .collect()
}

/// With namespaces named, the operator may not look at others.
#[test]
fn rights_are_narrowed_to_the_namespaces_that_are_watched() {
    let yaml = rendered(&["--set-json", r#"watchNamespaces=["shop","team-a"]"#]);
    let everywhere = rules(&yaml, "ClusterRole")
        .remove("operator")
        .expect("a role");
    assert!(
        !everywhere.join("\n").contains("trackingdomains\""),
        "{everywhere:?}"
    );
    let namespaces: Vec<_> = objects(&yaml)
        .into_iter()
        .filter(|object| {
            object["kind"] == "Role"
                && object["rules"]
                    .to_string()
                    .contains("trackingdomains/status")
        })
        .map(|role| {
            role["metadata"]["namespace"]
                .as_str()
                .expect("text")
                .to_owned()
        })
        .collect();
    assert_eq!(namespaces, ["shop", "team-a"]);
}
