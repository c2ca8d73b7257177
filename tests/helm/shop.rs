//! The shop on a node: a pod of its account, which calls the API and comes as a
//! reader.

use std::time::{Duration, Instant};

use mailtrail_tests::Node;
use serde_json::Value;

/// Longest wait for events.
const PATIENCE: Duration = Duration::from_secs(90);
/// The pod.
const CLIENT: &str = include_str!("client.yaml");
/// Its curl. Where a Service leads follows a moment after a pod is ready, so it
/// tries again where nobody answers, as every sender does.
pub(crate) const CURL: &str =
    "curl -sS --retry 10 --retry-delay 1 --retry-all-errors --max-time 10";

/// Starts the pod; the shop of `examples/cluster.yaml` is there.
pub(crate) fn client_pod(node: &Node) {
    node.sh(&format!("kubectl apply -f - <<'END'\n{CLIENT}\nEND"));
    node.sh("kubectl wait -n shop pod/client --for=condition=Ready --timeout=60s");
}

/// Lines of a shell in the client's pod, which must succeed; gives what they print.
pub(crate) fn client(node: &Node, lines: &str) -> String {
    node.sh(&format!("kubectl exec -n shop client -- sh -euc '{lines}'"))
}

/// A mail with one link, rewritten, tracked.
pub(crate) fn rewrite(node: &Node, install: &str, domain: &str, message: &str) -> Value {
    let mail = format!(
        r#"{{"domain": "{domain}", "message_id": "{message}", "recipient": "r-1", "html": "<body><a href=\"https://example.com/offer\">Look</a></body>"}}"#
    );
    let answer = client(
        node,
        &format!(
            "{CURL} --fail-with-body -H \"Authorization: Bearer $(cat /token/token)\" http://mailtrail-api.{install}:8081/v1/rewrite --json '\\''{mail}'\\''"
        ),
    );
    let answer: Value = serde_json::from_str(&answer).expect("JSON");
    assert_eq!(answer["report"]["links"][0]["tracked"], true, "{answer}");
    answer
}

/// Status and place of a redirect, as a reader gets them by the Service.
pub(crate) fn fetched(node: &Node, install: &str, url: &str) -> String {
    let url = url.replacen("https", "http", 1);
    let said = "%{http_code} %{redirect_url}";
    client(
        node,
        &format!(
            "{CURL} -o /dev/null -w \"{said}\" --connect-to ::mailtrail-public.{install}:80 {url}"
        ),
    )
}

/// The events of a message of the shop's links, once there are so many.
pub(crate) fn listed(node: &Node, message: &str, count: usize) -> Vec<Value> {
    listed_of(node, "shop/links", message, count)
}

/// The same of a domain.
pub(crate) fn listed_of(node: &Node, domain: &str, message: &str, count: usize) -> Vec<Value> {
    let lines = format!(
        "{CURL} --fail-with-body -H \"Authorization: Bearer $(cat /token/token)\" \"http://mailtrail-api.mailtrail-system:8081/v1/domains/{domain}/events?message_id={message}\""
    );
    let begun = Instant::now();
    loop {
        let mut page: Value = serde_json::from_str(&client(node, &lines)).expect("JSON");
        let Value::Array(events) = page["events"].take() else {
            panic!("no list: {page}")
        };
        if events.len() == count {
            return events;
        }
        assert!(begun.elapsed() < PATIENCE, "{count} awaited: {events:#?}");
        std::thread::sleep(Duration::from_secs(1));
    }
}
