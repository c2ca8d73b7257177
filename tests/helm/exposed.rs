//! Hosts that get out of a node's cluster by an Ingress each, made by the chart's
//! operator with the chart's rights. Nobody takes them up: no ingress controller runs.

use std::time::Duration;

use mailtrail_tests::Node;
use serde_json::{Value, json};

/// Longest wait for what follows from a change.
const PATIENCE: Duration = Duration::from_secs(90);
/// What Helm is told for it.
pub(crate) const EXPOSING: &str = r#"--set-json 'hostPolicy=[{"namespaces":["shop"],"hosts":["*.shop.example"]}]' --set-json 'exposure={"mode":"Ingress","annotations":{"cert-manager.io/cluster-issuer":"letsencrypt"},"ingress":{"className":"nginx","tlsSecretName":"{host}-tls"}}'"#;
/// A host that comes, is retired, and goes.
const LEAVING: &str = "leaving.shop.example";

/// The install `mailtrail` exposes hosts afterwards.
pub(crate) fn exposed(node: &Node) {
    node.sh(&format!(
        "helm upgrade mailtrail charts/mailtrail --namespace mailtrail-system --reuse-values --wait --timeout 3m {EXPOSING}"
    ));
    let domain = format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: leaving, namespace: shop}}\nspec: {{host: {LEAVING}, verification: None, clicks: {{enabled: true}}}}"
    );
    node.sh(&format!("kubectl apply -f - <<'END'\n{domain}\nEND"));
    node.sh("kubectl wait -n shop td/links td/leaving --for=condition=Exposed --timeout=90s");
    for host in ["links.shop.example", LEAVING] {
        leads_to_the_service(&ingress(node, host), host);
    }
    let may = "kubectl auth can-i create ingresses --as=system:serviceaccount:mailtrail-system:mailtrail-operator -n";
    assert_eq!(node.sh(&format!("{may} mailtrail-system")).trim(), "yes");
    assert_eq!(node.sh(&format!("{may} shop || true")).trim(), "no");

    let before = ingress(node, LEAVING);
    node.sh("kubectl delete td -n shop leaving");
    node.until(
        &format!("kubectl get hc {LEAVING} -o jsonpath='{{.spec.state}}' | grep Retired"),
        PATIENCE,
    );
    assert_eq!(ingress(node, LEAVING), before, "a retired host has left");
    node.sh(&format!("kubectl delete hc {LEAVING}"));
    gone(node, LEAVING);
    ingress(node, "links.shop.example");
}

/// Nothing is exposed any more, and what was made is removed.
pub(crate) fn cleaned_up(node: &Node, release: &str) {
    node.sh(&format!(
        "kubectl create ingress theirs -n mailtrail-system --rule=theirs.example/=theirs:80; helm upgrade {release} charts/mailtrail --namespace mailtrail-system --reuse-values --wait --timeout 3m --set exposure.mode=None --set exposure.cleanUp=true"
    ));
    gone(node, "links.shop.example");
    let left = node.sh("kubectl get ingress -n mailtrail-system -o name");
    assert_eq!(left.trim(), "ingress.networking.k8s.io/theirs");
    // Whose links lead home is another matter.
    node.sh("kubectl get hc links.shop.example");
}

/// The Ingress of a host, which is there.
pub(crate) fn ingress(node: &Node, host: &str) -> Value {
    let text = node.sh(&format!(
        "kubectl get ingress -n mailtrail-system {host} -o json"
    ));
    serde_json::from_str(&text).expect("JSON")
}

fn leads_to_the_service(ingress: &Value, host: &str) {
    let spec = &ingress["spec"];
    assert_eq!(spec["ingressClassName"], "nginx", "{ingress:#}");
    assert_eq!(spec["rules"][0]["host"], host);
    let service = &spec["rules"][0]["http"]["paths"][0]["backend"]["service"];
    let public = json!({"name": "mailtrail-public", "port": {"number": 80}});
    assert_eq!(*service, public, "{ingress:#}");
    let tls = json!([{"hosts": [host], "secretName": format!("{host}-tls")}]);
    assert_eq!(spec["tls"], tls, "{ingress:#}");
    let annotations = &ingress["metadata"]["annotations"];
    assert_eq!(annotations["cert-manager.io/cluster-issuer"], "letsencrypt");
}

fn gone(node: &Node, host: &str) {
    let lines = format!(
        "[ -z \"$(kubectl get ingress -n mailtrail-system {host} --ignore-not-found -o name)\" ]"
    );
    node.until(&lines, PATIENCE);
}
