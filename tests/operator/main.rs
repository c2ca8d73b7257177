//! The operator and the data plane on a real API server: what a person applies
//! is what readers get, and the status says so truthfully.

mod callers;
mod exposure;
mod gateway;
mod hosts;
mod keys;
mod leases;
mod lost;
mod moved;
mod person;
mod routes;
mod shards;
mod sinks;
mod verification;

use std::time::Duration;

use mailtrail_tests::{ControlPlane, Operator, Program};
use serde_json::{Value, json};

/// A mail with one link.
fn mail(domain: &str, message: &str) -> Value {
    let html =
        "<html><body><p>Hello</p><a href=\"https://shop.example/offer\">Look</a></body></html>";
    json!({"domain": domain, "message_id": message, "recipient": "r-1", "html": html})
}

/// What a mail's one link becomes: its tracking URL, where it is tracked.
fn tracked_link(report: &Value) -> Option<String> {
    let link = &report["report"]["links"][0];
    link["tracked"].as_bool().filter(|tracked| *tracked)?;
    link["url"].as_str().map(str::to_owned)
}

/// Whether a link leads home.
fn leads_home(program: &Program, url: &str) -> bool {
    let answer = program.follow(url);
    answer.status == 302 && answer.header("location") == Some("https://shop.example/offer")
}

/// What an operator's metric says.
fn metric(operator: &Operator, name: &str) -> Option<u64> {
    let text = operator.get("/metrics").text();
    let mut lines = text.lines();
    lines.find_map(|line| {
        let value = line
            .strip_prefix("mailtrail_operator_")?
            .strip_prefix(name)?;
        value.strip_prefix(' ')?.parse().ok()
    })
}

/// How long nothing is added to the audit log before it is taken for whole: a
/// write's line comes a moment after what it wrote can be seen.
const AUDIT_LAG: Duration = Duration::from_millis(700);

/// How often a domain's status has been written, all that can be seen included.
fn status_writes(plane: &ControlPlane, namespace: &str, name: &str) -> usize {
    writes(plane, |line| {
        let object = &line["objectRef"];
        object["subresource"] == "status"
            && object["namespace"] == namespace
            && object["name"] == name
            && line["responseStatus"]["code"] == 200
    })
}

/// How many writes of these there have been, all that can be seen included.
fn writes(plane: &ControlPlane, of: impl Fn(&Value) -> bool) -> usize {
    settled(plane, of).len()
}

/// These lines of the audit log, in order, all that can be seen included.
fn settled(plane: &ControlPlane, of: impl Fn(&Value) -> bool) -> Vec<Value> {
    let lines = || {
        let mut lines = plane.audit();
        lines.retain(&of);
        lines
    };
    let mut found = lines();
    loop {
        std::thread::sleep(AUDIT_LAG);
        let again = lines();
        if again.len() == found.len() {
            return found;
        }
        found = again;
    }
}
