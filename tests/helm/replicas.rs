//! Several replicas on a real node, with a real PostgreSQL: they come, are
//! changed, evicted and go while readers follow links, and nobody notices.

use std::time::Duration;

use mailtrail_tests::Node;

use crate::shop::{client, client_pod, rewrite};

/// Longest wait for pods to come and go, and for events to settle.
const PATIENCE: Duration = Duration::from_secs(120);
/// Follows a link again and again, each time by a connection of its own, until
/// the file is there; says what was not answered as it should, and how many were.
const READER: &str = r#"rm -f /tmp/stop; asked=0; failed=0
while [ ! -e /tmp/stop ]; do
  answer=$(curl -sS -o /dev/null -w "%{http_code} %{redirect_url}" --max-time 10 --connect-to ::mailtrail-public.mailtrail-system:80 LINK 2>&1) || true
  asked=$((asked + 1))
  [ "$answer" = "302 https://example.com/offer" ] || { failed=$((failed + 1)); echo "$(date +%T) $answer"; }
done
echo "$asked $failed""#;
/// What every call of Helm has.
const CHART: &str = "charts/mailtrail --namespace mailtrail-system --wait --timeout 3m";

#[test]
fn replicas_come_and_go_under_load_and_no_reader_and_no_event_is_lost() {
    if let Some(why) = Node::hindrance() {
        eprintln!("{why}");
        return;
    }
    let node = Node::start();
    let server = node.postgres();
    let database = server.database();
    for number in 0..3 {
        node.volume(
            "mailtrail-system",
            &format!("data-mailtrail-dataplane-{number}"),
        );
    }
    node.sh("kubectl create namespace mailtrail-system");
    node.sh(&format!(
        "kubectl create secret generic mailtrail-postgres -n mailtrail-system --from-literal=password=\"$(cat {})\"; kubectl create configmap postgres-ca -n mailtrail-system --from-file=ca.crt={}",
        server.password_file().display(),
        server.ca_file().display(),
    ));
    let url = node.url(&server, database.name());
    node.sh(&format!("helm install mailtrail {CHART} --set postgres.url={url},postgres.passwordSecret.name=mailtrail-postgres,postgres.caConfigMap=postgres-ca"));
    node.sh("kubectl apply -f examples/cluster.yaml; kubectl wait -n shop td/links --for=condition=Programmed --timeout=60s");
    client_pod(&node);
    let answer = rewrite(&node, "mailtrail-system", "shop/links", "load");
    let link = answer["report"]["links"][0]["url"]
        .as_str()
        .expect("tracked");

    let reader = READER.replace("LINK", &link.replacen("https", "http", 1));
    let said = std::thread::scope(|scope| {
        let said = scope.spawn(|| client(&node, &reader));
        come_and_go(&node);
        client(&node, "touch /tmp/stop");
        said.join().expect("the reader's words")
    });

    let last = said.lines().last().expect("a last line");
    let (asked, failed) = last.split_once(' ').expect("two numbers");
    assert_eq!(failed, "0", "not answered as it should:\n{said}");
    let asked: i64 = asked.parse().expect("a number");
    eprintln!("{asked} links were followed while replicas came and went");
    assert!(asked > 200, "{asked}");
    every_click_is_one_event(&node, &database, asked);
}

/// From one to three, a changed value, one after the other evicted, and back.
fn come_and_go(node: &Node) {
    let upgrade = format!("helm upgrade mailtrail {CHART} --reuse-values --set");
    node.sh(&format!("{upgrade} dataplane.replicas=3"));
    node.sh(&format!("{upgrade} dataplane.settle=11s"));
    node.sh(
        "kubectl rollout status -n mailtrail-system statefulset/mailtrail-dataplane --timeout=120s",
    );
    for number in 0..3 {
        evicted(node, &format!("mailtrail-dataplane-{number}"));
    }
    node.sh(&format!("{upgrade} dataplane.replicas=1"));
    let gone = "[ \"$(kubectl get pods -n mailtrail-system -l app.kubernetes.io/component=dataplane -o name | wc -l)\" = 1 ]";
    node.until(gone, PATIENCE);
}

/// By the API that `kubectl drain` uses; it is ready again when this returns.
fn evicted(node: &Node, pod: &str) {
    let eviction = format!(
        r#"{{"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {{"name": "{pod}", "namespace": "mailtrail-system"}}}}"#
    );
    let path = format!("/api/v1/namespaces/mailtrail-system/pods/{pod}/eviction");
    let evict = format!("kubectl create --raw {path} -f - <<< '{eviction}'");
    let uid = format!("kubectl get pod -n mailtrail-system {pod} -o jsonpath='{{.metadata.uid}}'");
    let before = node.sh(&uid);
    // Refused (429) while another is not ready yet.
    node.until(&evict, PATIENCE);
    node.until(&format!("[ \"$({uid})\" != {before} ]"), PATIENCE);
    node.sh(
        "kubectl rollout status -n mailtrail-system statefulset/mailtrail-dataplane --timeout=120s",
    );
}

/// The database has them once they are shipped and settled: those, too, that a
/// replica took which is gone.
fn every_click_is_one_event(node: &Node, database: &mailtrail_tests::Database<'_>, asked: i64) {
    let count =
        "SELECT count(*) FROM mailtrail.events WHERE message_id = 'load' AND type = 'clicked'";
    let begun = std::time::Instant::now();
    while database.number(count) != asked {
        let found = database.number(count);
        assert!(
            found < asked && begun.elapsed() < PATIENCE,
            "{asked} links were followed, and {found} are events"
        );
        std::thread::sleep(Duration::from_secs(1));
    }
    let status = node.sh("kubectl get td -n shop links -o jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'");
    assert_eq!(status, "True");
}
