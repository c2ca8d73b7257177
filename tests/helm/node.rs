//! The chart on a real node: what the README says, word for word, and what an
//! install survives. One node for all of it, one step after the other.

use std::time::Duration;

use mailtrail_tests::{Node, commands, root};
use serde_json::Value;

use crate::delivered::delivered;
use crate::exposed::{EXPOSING, cleaned_up, exposed, ingress};
use crate::shop::{client_pod, fetched, listed, rewrite};
use crate::verified::verified;

/// Longest wait for pods to come and go.
const PATIENCE: Duration = Duration::from_secs(90);

#[test]
fn an_install_on_a_node_does_what_the_readme_says_and_outlives_its_releases() {
    if let Some(why) = Node::hindrance() {
        eprintln!("{why}");
        return;
    }
    let node = Node::start();
    node.volume("mailtrail-system", "data-mailtrail-dataplane-0");
    the_readme(&node);
    let mut mail = tracked_mail(&node);
    helm_test(&node);
    restricted(&node);
    delivered(&node);
    verified(&node);
    exposed(&node);
    // With a policy, which gives the test's domain a host of its own.
    helm_test(&node);
    alone(&node);
    killed(&node, &mut mail);
    copied_and_put_back(&node, &mut mail);
    uninstalled(&node);
    installed_again(&node, &mail);
    cleaned_up(&node, "other");
    two_side_by_side(&node, &mail);
}

/// What a mail became: its link and its pixel.
struct Mail {
    link: String,
    pixel: String,
    /// Its events, as they were listed first.
    events: Vec<Value>,
}

// === What the README says ===

/// The commands of the README's section, word for word.
fn the_readme(node: &Node) {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let section = readme
        .split("\n## In a cluster\n")
        .nth(1)
        .expect("a section");
    let block = section.split("```sh\n").nth(1).expect("commands");
    let block = block.split("```").next().expect("their end");
    let commands: Vec<_> = block.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(commands.len(), 5, "{commands:#?}");
    let mut printed = String::new();
    for command in commands {
        printed = node.sh(command);
    }
    for line in [
        "pixel: 200 image/gif",
        "link: 302 to https://example.com/offer",
        r#""type":"opened""#,
        r#""type":"clicked""#,
    ] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

// === Steps ===

/// A mail of the client's, opened and clicked.
fn tracked_mail(node: &Node) -> Mail {
    client_pod(node);
    let answer = rewrite(node, "mailtrail-system", "shop/links", "m-1");
    let text = |path: &str| {
        answer
            .pointer(path)
            .and_then(Value::as_str)
            .expect("tracked")
    };
    let mut mail = Mail {
        events: Vec::new(),
        link: text("/report/links/0/url").to_owned(),
        pixel: text("/report/pixel/url").to_owned(),
    };
    assert_eq!(fetched(node, "mailtrail-system", &mail.pixel), "200 ");
    leads_home(node, "mailtrail-system", &mail);
    mail.events = listed(node, "m-1", 2);
    mail
}

/// What the chart brings for `helm test`.
fn helm_test(node: &Node) {
    node.sh("helm test mailtrail --namespace mailtrail-system --timeout 2m");
    let left = node.sh("kubectl get td,pod -n mailtrail-system -o name | grep test || true");
    assert_eq!(left.trim(), "", "helm test leaves something");
}

/// Both programs run under `restricted`: nothing of them is warned of.
fn restricted(node: &Node) {
    let output = node.tried(
        "kubectl label namespace mailtrail-system pod-security.kubernetes.io/enforce=restricted pod-security.kubernetes.io/warn=restricted",
    );
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{said}");
}

/// Without a word of farewell, a moment after a click was answered; then with
/// the pod gone, too.
fn killed(node: &Node, mail: &mut Mail) {
    leads_home(node, "mailtrail-system", mail);
    node.kill("mailtrail-system", "mailtrail-dataplane-0");
    comes_back(node, "restartCount", "1");
    let events = listed(node, "m-1", 3);
    assert_eq!(events[..2], mail.events, "what was listed has changed");
    mail.events = events;

    node.sh(
        "kubectl delete pod -n mailtrail-system mailtrail-dataplane-0 --grace-period=0 --force",
    );
    // At the first try: the one before holds the folder for a moment still.
    comes_back(node, "restartCount", "0");
    assert_eq!(
        listed(node, "m-1", 3),
        mail.events,
        "what was listed has changed"
    );
}

/// A second replica without a database, as `kubectl scale` makes one past the
/// chart, says why it serves nothing.
fn alone(node: &Node) {
    node.volume("mailtrail-system", "data-mailtrail-dataplane-1");
    node.sh("kubectl scale -n mailtrail-system statefulset/mailtrail-dataplane --replicas=2");
    node.until(
        "kubectl logs -n mailtrail-system mailtrail-dataplane-1 | grep -e '--ordinal 1: .*--postgres'",
        PATIENCE,
    );
    node.sh("kubectl scale -n mailtrail-system statefulset/mailtrail-dataplane --replicas=1");
    let gone = "! kubectl get pod -n mailtrail-system mailtrail-dataplane-1";
    node.until(gone, PATIENCE);
}

/// The volume, by what the page on operating says, word for word; what came
/// after the copy is gone.
fn copied_and_put_back(node: &Node, mail: &mut Mail) {
    const PAGE: &str = "docs/OPERATE.md";
    let looked = node.sh(&commands(PAGE, "Looking into a replica's folder", 0));
    assert!(looked.contains("\"journal\""), "{looked}");
    let folder = tempfile::tempdir().expect("a folder");
    let copy = folder.path().join("data.tar");
    let typed = |heading| {
        let lines = commands(PAGE, heading, 1);
        assert!(lines.contains("data.tar"), "{heading}: {lines}");
        node.sh(&lines.replace("data.tar", copy.to_str().expect("text")));
        comes_back(node, "restartCount", "0");
    };
    typed("Backup");
    leads_home(node, "mailtrail-system", mail);
    listed(node, "m-1", 4);
    typed("Restore");
    assert_eq!(listed(node, "m-1", 3), mail.events, "what the copy had");
    leads_home(node, "mailtrail-system", mail);
    let events = listed(node, "m-1", 4);
    assert_eq!(events[..3], mail.events, "what was listed has changed");
    mail.events = events;
}

fn uninstalled(node: &Node) {
    node.sh("helm uninstall mailtrail --namespace mailtrail-system --wait");
    node.until(
        "[ -z \"$(kubectl get pods -n mailtrail-system -o name)\" ]",
        PATIENCE,
    );
    // What stays, and is not about to go.
    for object in [
        "crd/trackingdomains.mailtrail.dev",
        "crd/hostclaims.mailtrail.dev",
        "crd/configshards.mailtrail.dev",
        "crd/eventsinks.mailtrail.dev",
        "td/links -n shop",
        "hc/links.shop.example",
        "secret/mailtrail-keyring -n mailtrail-system",
        "pvc/data-mailtrail-dataplane-0 -n mailtrail-system",
        "ingress/links.shop.example -n mailtrail-system",
    ] {
        let lines = format!("kubectl get {object} -o jsonpath='{{.metadata.deletionTimestamp}}'");
        assert_eq!(node.sh(&lines), "", "{object} is about to go");
    }
    let roles =
        node.sh("kubectl get clusterroles,clusterrolebindings -o name | grep mailtrail || true");
    assert_eq!(roles, "", "rights stay");
}

/// Under another name; the definitions are taken over.
fn installed_again(node: &Node, mail: &Mail) {
    let before = ingress(node, "links.shop.example");
    node.sh(&format!("helm install other charts/mailtrail --namespace mailtrail-system --take-ownership --wait --timeout 2m {EXPOSING}"));
    comes_back(node, "started", "true");
    node.sh("kubectl wait -n shop td/links --for=condition=Programmed --timeout=60s");
    assert_eq!(
        listed(node, "m-1", mail.events.len()),
        mail.events,
        "what was listed has changed"
    );
    leads_home(node, "mailtrail-system", mail);
    node.sh("kubectl wait -n shop td/links --for=condition=Exposed --timeout=60s");
    assert_eq!(
        ingress(node, "links.shop.example"),
        before,
        "its route was found"
    );
    // The account's rights came with the shop, not with the release.
    rewrite(node, "mailtrail-system", "shop/links", "m-2");
}

/// A second install, of another class, knows nothing of the first.
fn two_side_by_side(node: &Node, mail: &Mail) {
    node.sh("kubectl create namespace mailtrail-two");
    node.volume("mailtrail-two", "data-mailtrail-dataplane-0");
    node.sh("helm install two charts/mailtrail --namespace mailtrail-two --values charts/mailtrail/ci/small-values.yaml --wait --timeout 2m");
    let second = "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {name: second, namespace: shop}\nspec: {className: two, host: second.shop.example, verification: None, clicks: {enabled: true}}";
    node.sh(&format!("kubectl apply -f - <<'END'\n{second}\nEND"));
    node.sh("kubectl wait -n shop td/second --for=condition=Programmed --timeout=60s");
    let answer = rewrite(node, "mailtrail-two", "shop/second", "m-3");
    let link = answer["report"]["links"][0]["url"]
        .as_str()
        .expect("tracked");
    assert_eq!(
        fetched(node, "mailtrail-two", link),
        "302 https://example.com/offer"
    );
    // Neither opens what is the other's.
    assert!(!fetched(node, "mailtrail-system", link).starts_with("302"));
    assert!(!fetched(node, "mailtrail-two", &mail.link).starts_with("302"));
    leads_home(node, "mailtrail-system", mail);
    // One goes, the other stays.
    node.sh("helm uninstall two --namespace mailtrail-two --wait");
    leads_home(node, "mailtrail-system", mail);
}

// === What becomes of it ===

/// Waits until the replica is ready, and a field of its container's status so.
fn comes_back(node: &Node, field: &str, value: &str) {
    let status =
        format!("{{.status.containerStatuses[0].ready}} {{.status.containerStatuses[0].{field}}}");
    let lines = format!(
        "[ \"$(kubectl get pod -n mailtrail-system mailtrail-dataplane-0 -o jsonpath='{status}')\" = 'true {value}' ]"
    );
    node.until(&lines, PATIENCE);
}

fn leads_home(node: &Node, install: &str, mail: &Mail) {
    let answer = fetched(node, install, &mail.link);
    assert_eq!(answer, "302 https://example.com/offer");
}
