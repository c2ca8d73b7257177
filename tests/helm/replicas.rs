//! Several replicas on a real node, with a real PostgreSQL: they come, are
//! changed, evicted and go while readers follow links, and nobody notices.

use std::time::Duration;

use mailtrail_tests::{Database, Node};

use crate::shop::{client, client_pod, rewrite};

/// Longest wait for pods to come and go, and for events to settle.
const PATIENCE: Duration = Duration::from_secs(120);
/// Follows a link again and again, each time by a connection of its own, until
/// the file is there; says what was not answered as it should, and how many were.
const READER: &str = r#"asked=0; failed=0
while [ ! -e /tmp/stop ]; do
  answer=$(curl -sS -o /dev/null -w "%{http_code} %{redirect_url}" --max-time 10 --connect-to ::mailtrail-public.mailtrail-system:80 LINK 2>&1) || true
  asked=$((asked + 1))
  [ "$answer" = "302 https://example.com/offer" ] || { failed=$((failed + 1)); echo "$(date +%T) $answer"; }
done
echo "$asked $failed""#;
/// The same over connections that are kept: two hundred links on one where
/// nobody closes it, some twenty a second. Where a kept connection is closed
/// unanswered, curl asks anew on another, as every client does. Says as well how
/// many connections were opened.
const KEEPER: &str = r#"asked=0; failed=0; opened=0
seq 200 | sed "s|.*|url = \"LINK\"\noutput = /dev/null|" > /tmp/links
while [ ! -e /tmp/stop ]; do
  curl -sS -K /tmp/links --rate 1200/m --max-time 30 -w "%{http_code} %{redirect_url} %{num_connects}\n" --connect-to ::mailtrail-public.mailtrail-system:80 > /tmp/answers 2>&1 || true
  while read -r status place connects; do
    asked=$((asked + 1))
    case "$connects" in [0-9]*) opened=$((opened + connects));; esac
    [ "$status $place" = "302 https://example.com/offer" ] || { failed=$((failed + 1)); echo "$(date +%T) $status $place $connects"; }
  done < /tmp/answers
done
echo "$asked $failed $opened""#;
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
    let [reader, keeper] = [("load", READER), ("kept", KEEPER)].map(|(message, lines)| {
        let answer = rewrite(&node, "mailtrail-system", "shop/links", message);
        let link = &answer["report"]["links"][0]["url"];
        let link = link.as_str().expect("tracked").replacen("https", "http", 1);
        lines.replace("LINK", &link)
    });

    client(&node, "rm -f /tmp/stop");
    let [of_reader, of_keeper] = std::thread::scope(|scope| {
        let said = [&reader, &keeper].map(|lines| scope.spawn(|| client(&node, lines)));
        come_and_go(&node);
        client(&node, "touch /tmp/stop");
        said.map(|said| said.join().expect("a reader's words"))
    });

    let [asked] = none_failed(&of_reader);
    let [kept, opened] = none_failed(&of_keeper);
    eprintln!(
        "while replicas came and went, {asked} links were followed by as many connections, and {kept} by {opened}"
    );
    assert!(asked > 200 && kept > 200, "{asked}, {kept}");
    assert!(opened < kept / 10, "connections were kept: {opened}");
    every_click_is_one_event(&node, &database, "load", asked);
    every_click_is_one_event(&node, &database, "kept", kept);
}

/// The numbers of a reader's last line, the second of which is that of failures.
fn none_failed<const N: usize>(said: &str) -> [i64; N] {
    let last = said.lines().last().expect("a last line");
    let mut numbers: Vec<i64> = last
        .split(' ')
        .map(|number| number.parse().expect("a number"))
        .collect();
    assert_eq!(numbers.remove(1), 0, "not answered as it should:\n{said}");
    numbers.try_into().expect("as many numbers")
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
fn every_click_is_one_event(node: &Node, database: &Database<'_>, message: &str, asked: i64) {
    let count = &format!(
        "SELECT count(*) FROM mailtrail.events WHERE message_id = '{message}' AND type = 'clicked'"
    );
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
