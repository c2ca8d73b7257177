//! The optional ValidatingAdmissionPolicy. It holds for all namespaces, so it
//! has a control plane of its own.

use mailtrail_tests::{ControlPlane, PATIENCE, Reply, root};
use serde_json::{Value, json};

const POLICY: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";
const LIST: &str = "/api/v1/namespaces/mailtrail-system/configmaps/mailtrail-hosts";

/// A control plane on which the example holds, with the two namespaces that it
/// names and one that it does not.
fn policed() -> ControlPlane {
    let plane = ControlPlane::own();
    plane.crds();
    for name in ["mailtrail-system", "shop", "newsletters", "others"] {
        plane.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
    }
    let example = root().join("examples/validating-admission-policy.yaml");
    plane.apply(&std::fs::read_to_string(example).expect("the example"));
    // The API server takes a policy up within a second or so.
    plane.wait_for("the policy holds", PATIENCE, |plane| {
        let bad = domain("probe", "links.elsewhere.example", &[]);
        plane
            .ask("POST", &(path("shop") + "?dryRun=All"), Some(&bad))
            .status
            == 403
    });
    plane
}

fn path(namespace: &str) -> String {
    format!("/apis/mailtrail.dev/v1alpha1/namespaces/{namespace}/trackingdomains")
}

fn domain(name: &str, host: &str, aliases: &[&str]) -> Value {
    json!({
        "apiVersion": "mailtrail.dev/v1alpha1",
        "kind": "TrackingDomain",
        "metadata": {"name": name},
        "spec": {"host": host, "aliases": aliases},
    })
}

/// What is refused names these hosts, and is refused by the policy.
fn check_refused(reply: &Reply, hosts: &str) {
    let message = reply.body["message"].as_str().unwrap_or_default();
    let words = format!("may not use {hosts};");
    assert_eq!(reply.status, 403, "{message}");
    assert!(
        message.contains("mailtrail-hosts") && message.contains(&words),
        "{message}"
    );
}

/// One test, because a control plane takes longer to start than all of this.
#[test]
fn a_host_outside_the_namespaces_names_is_refused_and_the_rest_let_through() {
    let plane = policed();
    what_is_created(&plane);
    what_is_changed(&plane);
    what_holds_without_a_list(&plane);
}

fn what_is_created(plane: &ControlPlane) {
    let create = |namespace: &str, host: &str, aliases: &[&str]| {
        let object = domain("links", host, aliases);
        plane.ask("POST", &(path(namespace) + "?dryRun=All"), Some(&object))
    };
    let taken = |namespace: &str, host: &str, aliases: &[&str]| {
        create(namespace, host, aliases).taken();
    };
    let refused = |namespace: &str, host: &str, aliases: &[&str], named: &str| {
        check_refused(&create(namespace, host, aliases), named);
    };
    taken("shop", "links.shop.example", &[]);
    taken(
        "shop",
        "shop.example",
        &["a.b.shop.example", "links.brand.example"],
    );
    taken("newsletters", "go.news.example", &[]);
    refused(
        "shop",
        "links.brand.example.org",
        &[],
        "links.brand.example.org",
    );
    refused("shop", "brand.example", &[], "brand.example");
    refused("shop", "links.otshop.example", &[], "links.otshop.example");
    refused("shop", "go.news.example", &[], "go.news.example");
    let aliases = ["go.shop.example", "go.news.example", "a.example"];
    refused(
        "shop",
        "links.shop.example",
        &aliases,
        "go.news.example, a.example",
    );
    refused("others", "links.shop.example", &[], "links.shop.example");

    if plane.has_controllers() {
        type_checks(plane);
    }
}

fn type_checks(plane: &ControlPlane) {
    // CEL was type-checked against the definition, and nothing was found.
    plane.wait_for("the policy was type-checked", PATIENCE, |plane| {
        plane.get_json(&format!("{POLICY}/mailtrail-hosts"))["status"]["observedGeneration"] == 1
    });
    let status = &plane.get_json(&format!("{POLICY}/mailtrail-hosts"))["status"];
    assert_eq!(
        status["typeChecking"]["expressionWarnings"],
        Value::Null,
        "{status:#}"
    );
}

/// No update brings such a host in; what was there may stay.
fn what_is_changed(plane: &ControlPlane) {
    let patch = |patch: Value| {
        let flags = ["patch", "td", "links", "-n", "shop", "--type=merge", "-p"];
        let output = plane.kubectl_tried(&[&flags[..], &[&patch.to_string()]].concat(), "");
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let objection = |change: Value| {
        let (taken, said) = patch(change);
        assert!(
            !taken && said.contains("may not use go.news.example;"),
            "{said}"
        );
    };
    plane.create(
        &path("shop"),
        &domain("links", "links.shop.example", &["brand.shop.example"]),
    );
    objection(json!({"spec": {"host": "go.news.example"}}));
    objection(json!({"spec": {"aliases": ["brand.shop.example", "go.news.example"]}}));
    assert!(patch(json!({"spec": {"host": "go.shop.example"}})).0);

    // The list is made shorter: what is there stays, and its toggles move.
    plane.merge(LIST, &json!({"data": {"shop": "links.brand.example\n"}}));
    plane.wait_for("the shorter list holds", PATIENCE, |plane| {
        let new = domain("new", "new.shop.example", &[]);
        plane
            .ask("POST", &(path("shop") + "?dryRun=All"), Some(&new))
            .status
            == 403
    });
    let (taken, said) = patch(json!({"spec": {"clicks": {"enabled": true}}}));
    assert!(taken, "{said}");
    assert!(!patch(json!({"spec": {"aliases": ["new.shop.example"]}})).0);
    // The status is not the policy's.
    let status = json!({"status": {"observedGeneration": 3}});
    plane.merge(&(path("shop") + "/links/status"), &status);
}

fn what_holds_without_a_list(plane: &ControlPlane) {
    plane.ask("DELETE", LIST, None).taken();
    plane.wait_for("no list, no host", PATIENCE, |plane| {
        let new = domain("new", "links.brand.example", &[]);
        let reply = plane.ask("POST", &(path("shop") + "?dryRun=All"), Some(&new));
        // Not a verdict of the policy, which could not be asked.
        let message = reply.body["message"].as_str().unwrap_or_default();
        reply.status == 422 && message.contains("no params found")
    });
}
