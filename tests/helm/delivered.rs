//! Event sinks on a node, over real ClusterIPs: a receiver of one's own namespace
//! is delivered to, another's is not, neither by name nor by address.

use std::time::Duration;

use mailtrail_tests::Node;
use serde_json::Value;

use crate::shop::{fetched, rewrite};

/// Longest wait for an event: it settles, and the operator may notice rights half
/// a minute late.
const PATIENCE: Duration = Duration::from_secs(90);
/// A pod that keeps what is posted to it, and its Service.
const RECEIVER: &str = include_str!("receiver.yaml");
/// A sink of everything. The secret is nobody's.
const SINK: &str = r"apiVersion: v1
kind: Secret
metadata: {name: webhook, namespace: shop}
type: mailtrail.dev/webhook-secret
stringData: {secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}
---
apiVersion: mailtrail.dev/v1alpha1
kind: EventSink
metadata: {name: NAME, namespace: shop}
spec:
  url: URL
  secretRefs: [{name: webhook}]
  verdicts: [Human, Proxy, Prefetch, Scanner, Unknown]";

pub(crate) fn delivered(node: &Node) {
    receiver(node, "shop");
    node.sh("kubectl create namespace bank");
    receiver(node, "bank");
    let bank = node.sh("kubectl get service receiver -n bank -o jsonpath='{.spec.clusterIP}'");
    sink(node, "own", "http://receiver.shop.svc:8080/cgi-bin/events");
    sink(
        node,
        "by-name",
        "http://receiver.bank.svc:8080/cgi-bin/events",
    );
    sink(
        node,
        "by-address",
        &format!("https://{bank}:8080/cgi-bin/events"),
    );
    // What lets the operator read the Secret stands in the status.
    node.until("kubectl get es -n shop own -o jsonpath='{.status.conditions[?(@.type==\"ResolvedRefs\")].message}' | kubectl apply -f -", PATIENCE);
    node.sh("kubectl wait -n shop es/own --for=condition=Programmed --timeout=90s");
    node.sh("kubectl wait -n shop es/by-address --for=condition=Programmed --timeout=90s");

    let answer = rewrite(node, "mailtrail-system", "shop/links", "m-sink");
    let link = answer["report"]["links"][0]["url"]
        .as_str()
        .expect("tracked");
    assert!(fetched(node, "mailtrail-system", link).starts_with("302"));
    node.until(
        "kubectl exec -n shop receiver -- grep m-sink /tmp/events",
        PATIENCE,
    );
    let kept = node.sh("kubectl exec -n shop receiver -- cat /tmp/events");
    let event: Value = serde_json::from_str(kept.lines().next().expect("an event")).expect("JSON");
    assert_eq!(event["data"]["message_id"], "m-sink", "{event}");
    node.sh("kubectl wait -n shop es/own --for=condition=Delivering --timeout=60s");

    is(node, "by-name", "Accepted", "UrlNotAllowed");
    is(node, "by-address", "Delivering", "Failing");
    let nothing = node.tried("kubectl exec -n bank receiver -- cat /tmp/events");
    assert!(
        !nothing.status.success(),
        "another namespace's Service was reached"
    );
    node.sh("kubectl delete es --all -n shop; kubectl delete namespace bank --wait=false");
}

fn receiver(node: &Node, namespace: &str) {
    let objects = RECEIVER.replace("NAMESPACE", namespace);
    node.sh(&format!("kubectl apply -f - <<'END'\n{objects}\nEND"));
    node.sh(&format!(
        "kubectl wait -n {namespace} pod/receiver --for=condition=Ready --timeout=60s"
    ));
}

fn sink(node: &Node, name: &str, url: &str) {
    let objects = SINK.replace("NAME", name).replace("URL", url);
    node.sh(&format!("kubectl apply -f - <<'END'\n{objects}\nEND"));
}

/// Waits until a condition of a sink has a reason, and is false.
fn is(node: &Node, name: &str, condition: &str, reason: &str) {
    let path = format!(
        "{{.status.conditions[?(@.type==\"{condition}\")].status}} {{.status.conditions[?(@.type==\"{condition}\")].reason}}"
    );
    let lines =
        format!("[ \"$(kubectl get es -n shop {name} -o jsonpath='{path}')\" = 'False {reason}' ]");
    node.until(&lines, PATIENCE);
}
