//! A host over TLS that the data plane ends itself, on a node: it is verified,
//! its links are followed, and its certificate is renewed.

use std::path::Path;
use std::time::Duration;

use mailtrail_tests::{Authority, Node};

use crate::shop::{CURL, client, listed_of, rewrite};

const HOST: &str = "verified.shop.example";
/// Longest wait for a changed Secret to reach a pod's files: this node's kubelet
/// looks every five seconds.
const RENEWED_WITHIN: Duration = Duration::from_secs(60);

/// The install `mailtrail` speaks TLS afterwards, and settles hits sooner: the
/// steps after this wait for many.
pub(crate) fn verified(node: &Node) {
    let (authority, folder) = (Authority::new(), tempfile::tempdir().expect("a folder"));
    authority.write(&[HOST], 30, folder.path());
    secret(node, folder.path());
    let ca = authority.pem();
    node.sh(&format!(
        "kubectl create configmap probe-ca -n mailtrail-system --from-file=ca.crt={}",
        ca.display()
    ));
    let resolver = Node::resolver();
    node.sh(&format!(
        "helm upgrade mailtrail charts/mailtrail --namespace mailtrail-system --reuse-values --wait --timeout 3m \
         --set 'dataplane.tls.secrets={{verified-tls}}',service.public.tlsPort=8443,dataplane.settle=3s \
         --set operator.probe.port=8443,operator.probe.caConfigMap=probe-ca,operator.probe.resolver={resolver}"
    ));
    node.sh("kubectl rollout status -n mailtrail-system statefulset/mailtrail-dataplane deployment/mailtrail-operator --timeout=120s");
    let address = node.sh(
        "kubectl get service -n mailtrail-system mailtrail-public -o jsonpath='{.spec.clusterIP}'",
    );
    node.name(HOST, &address);
    let domain = format!(
        "apiVersion: mailtrail.dev/v1alpha1\nkind: TrackingDomain\nmetadata: {{name: verified, namespace: shop}}\nspec: {{host: {HOST}, clicks: {{enabled: true}}}}"
    );
    node.sh(&format!("kubectl apply -f - <<'END'\n{domain}\nEND"));
    for condition in ["Reachable", "Programmed", "Ready"] {
        node.sh(&format!(
            "kubectl wait -n shop td/verified --for=condition={condition} --timeout=90s"
        ));
    }

    let answer = rewrite(node, "mailtrail-system", "shop/verified", "m-tls");
    let link = answer["report"]["links"][0]["url"]
        .as_str()
        .expect("tracked");
    assert!(link.starts_with(&format!("https://{HOST}/c/")), "{link}");
    let certificates = std::fs::read_to_string(&ca).expect("certificates");
    client(node, &format!("cat > /tmp/ca.crt <<END\n{certificates}END"));
    follows(node, link);

    let before = serial(node, &address);
    authority.write(&[HOST], 60, folder.path());
    secret(node, folder.path());
    node.until(
        &format!("[ \"$({})\" != '{before}' ]", shown(&address)),
        RENEWED_WITHIN,
    );
    follows(node, link);
    listed_of(node, "shop/verified", "m-tls", 2);
    let restarts = node.sh("kubectl get pod -n mailtrail-system mailtrail-dataplane-0 -o jsonpath='{.status.containerStatuses[0].restartCount}'");
    assert_eq!(restarts, "0", "a certificate is renewed without a restart");
}

/// Makes or replaces the Secret.
fn secret(node: &Node, folder: &Path) {
    let folder = folder.display();
    node.sh(&format!("kubectl create secret tls verified-tls -n mailtrail-system --cert={folder}/tls.crt --key={folder}/tls.key --dry-run=client -o yaml | kubectl apply -f -"));
}

/// As a reader does, who trusts the test's authority and nobody else.
fn follows(node: &Node, link: &str) {
    let said = client(
        node,
        &format!(
            "{CURL} --cacert /tmp/ca.crt -o /dev/null -w \"%{{http_code}} %{{redirect_url}} %{{http_version}}\" --connect-to ::mailtrail-public.mailtrail-system:8443 {link}"
        ),
    );
    assert_eq!(said, "302 https://example.com/offer 2");
}

fn shown(address: &str) -> String {
    format!(
        "openssl s_client -connect {address}:8443 -servername {HOST} < /dev/null 2> /dev/null | openssl x509 -noout -serial"
    )
}

fn serial(node: &Node, address: &str) -> String {
    let serial = node.sh(&shown(address)).trim().to_owned();
    assert!(serial.starts_with("serial="), "{serial}");
    serial
}
