//! How hosts get out, as the chart has it: the operator reads what is rendered,
//! and has the rights of its mode alone.

use std::collections::BTreeMap;
use std::fs;

use mailtrail_tests::{OperatorFlags, root};
use serde_json::Value;
use tempfile::TempDir;

use crate::chart::{object, objects, rendered, tried};

const POLICY: &str = r#"hostPolicy=[{"namespaces":["shop"],"hosts":["*.shop.example"]}]"#;
const PARENTS: &str = r#"exposure.httpRoute.parentRefs=[{"name":"public","namespace":"gateways","kind":"ListenerSet","sectionName":"https","port":443}]"#;

/// Flags of Helm, and the role that is rendered with them.
fn modes() -> [(&'static [&'static str], &'static str); 3] {
    [
        (
            &["--set-json", POLICY, "--set", "exposure.mode=Ingress"],
            "mailtrail-operator-ingress",
        ),
        (
            &[
                "--set-json",
                POLICY,
                "--set-json",
                PARENTS,
                "--set",
                "exposure.mode=HTTPRoute",
            ],
            "mailtrail-operator-httproute",
        ),
        (
            &["--set", "exposure.cleanUp=true"],
            "mailtrail-operator-cleanup",
        ),
    ]
}

/// The rules of Roles that are about routes, by name.
fn rules(yaml: &str) -> BTreeMap<String, Value> {
    let roles = objects(yaml).into_iter().filter(|object| {
        object["kind"] == "Role"
            && ["ingresses", "httproutes"]
                .iter()
                .any(|word| object.to_string().contains(word))
    });
    roles
        .map(|role| {
            let name = role["metadata"]["name"].as_str().expect("a name");
            (name.to_owned(), role["rules"].clone())
        })
        .collect()
}

#[test]
fn the_operator_has_the_rights_of_its_mode_and_without_one_none() {
    let written = fs::read_to_string(root().join("operator/rbac-exposure.yaml"));
    let written = rules(&written.expect("a manifest"));
    assert_eq!(written.len(), 3);
    for (flags, role) in modes() {
        let rendered = rules(&rendered(flags));
        assert_eq!(rendered.len(), 1, "{role}");
        assert_eq!(rendered[role], written[role], "{role}");
    }
    let nothing = rendered(&[]);
    assert!(rules(&nothing).is_empty());
    assert!(!nothing.contains("exposure"), "nothing is mounted or told");
}

#[test]
fn the_operator_reads_the_file_that_is_rendered() {
    for (flags, role) in modes() {
        let objects = objects(&rendered(flags));
        let folder = TempDir::new().expect("a folder");
        let file = |map: &str, key: &str| {
            let text = object(&objects, "ConfigMap", map)["data"][key].clone();
            let path = folder.path().join(key);
            fs::write(&path, text.as_str().expect("text")).expect("a file");
            path.to_str().expect("text").to_owned()
        };
        let nowhere = folder.path().join("no-kubeconfig");
        let mut operator = OperatorFlags::new("mailtrail-system", &nowhere)
            .with("--exposure", file("mailtrail-exposure", "exposure.yaml"));
        if role != "mailtrail-operator-cleanup" {
            let policy = file("mailtrail-host-policy", "hosts.yaml");
            operator = operator.with("--host-policy", policy);
        }
        let (_, said) = operator.refused();
        // Both were read: all that is missing is a cluster.
        assert!(
            said.contains("no cluster") && !said.contains("--exposure"),
            "{role}: {said}"
        );
    }
}

#[test]
fn what_cannot_be_exposed_is_refused_by_the_field_and_the_rule() {
    let check = |flags: &[&str], says: &str| {
        let said = tried(flags).expect_err(says);
        assert!(said.contains(says), "{flags:?}: {said}");
    };
    for mode in ["Ingress", "HTTPRoute"] {
        let set = format!("exposure.mode={mode}");
        let says = format!("exposure.mode: {mode} needs hostPolicy");
        check(&["--set", &set], &says);
    }
    let policy = ["--set-json", POLICY];
    let with = |set: &'static str| [&policy[..], &["--set", set]].concat();
    check(
        &with("exposure.mode=HTTPRoute"),
        "exposure.httpRoute.parentRefs: mode HTTPRoute needs at least one",
    );
    check(
        &with("exposure.mode=Ingress,exposure.cleanUp=true"),
        "exposure.cleanUp: is for mode None",
    );
    for (set, field) in [
        ("exposure.mode=Gateway", "/exposure/mode"),
        ("exposure.externalDNS.ttl=soon", "/exposure/externalDNS/ttl"),
        (
            "exposure.ingress.tlsSecretName=A_b",
            "/exposure/ingress/tlsSecretName",
        ),
        (
            "exposure.httpRoute.parentRefs[0].kind=Service",
            "/exposure/httpRoute/parentRefs",
        ),
    ] {
        check(&with(set), field);
    }
}
