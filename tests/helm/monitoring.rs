//! What watches an install: alerts that fire when they should, and a dashboard
//! whose every query a real Prometheus answers from the real programs.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Prometheus, prometheus_program, root};
use serde_json::Value;

use crate::certificates::Certificates;
use crate::chart::{file, folder, objects};

/// Longest wait for a series: two scrapes, and a hit that settles.
const PATIENCE: Duration = Duration::from_secs(60);

fn promtool(flags: &[&str]) -> String {
    let output = Command::new(prometheus_program("promtool"))
        .args(flags)
        .current_dir(root())
        .output()
        .expect("promtool starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {flags:?}: {said}");
    said
}

/// Name and expression of each alert.
fn alerts() -> Vec<(String, String)> {
    let groups = objects(&file("files/alerts.yaml")).remove(0);
    let rules = groups["groups"][0]["rules"]
        .as_array()
        .expect("rules")
        .clone();
    let text = |rule: &Value, key: &str| rule[key].as_str().expect("text").to_owned();
    rules
        .iter()
        .map(|rule| (text(rule, "alert"), text(rule, "expr")))
        .collect()
}

#[test]
fn every_alert_fires_when_it_should_and_not_otherwise() {
    let rules = folder().join("files/alerts.yaml");
    promtool(&["check", "rules", rules.to_str().expect("text")]);
    promtool(&["test", "rules", "tests/helm/alerts.yaml"]);
    let tests = std::fs::read_to_string(root().join("tests/helm/alerts.yaml")).expect("tests");
    for (alert, _) in alerts() {
        let name = format!("alertname: {alert}");
        let mut cases = tests.split(&name).skip(1);
        let fires = |case: &str| {
            case.split("alertname:")
                .next()
                .is_some_and(|case| case.contains("exp_labels"))
        };
        let cases: Vec<_> = cases.by_ref().map(fires).collect();
        assert!(cases.contains(&true), "{alert} is never seen to fire");
        assert!(cases.contains(&false), "{alert} is never seen to be silent");
    }
}

/// The queries of the dashboard, as Grafana would fill them in.
fn queries() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&file("files/dashboard.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels");
    let mut queries = Vec::new();
    for panel in panels {
        for target in panel["targets"].as_array().into_iter().flatten() {
            let query = target["expr"].as_str().expect("text");
            let query = query
                .replace("$namespace", ".*")
                .replace("$__rate_interval", "10s");
            queries.push((panel["title"].as_str().expect("text").to_owned(), query));
        }
    }
    assert!(queries.len() > 35, "{}", queries.len());
    queries
}

/// The metrics of ours that an expression names.
fn names(expression: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_part(c));
    words
        .filter(|word| word.starts_with("mailtrail_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_real_prometheus_answers_every_query_from_the_real_programs() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "watched");
    let operator = install.operator();
    let certificates = Certificates::new();
    let replica = install.replica_with(&certificates.flags());
    let program = replica.program();
    let targets = [
        ("operator-0", operator.admin()),
        ("dataplane-0", program.admin()),
    ];
    let prometheus = Prometheus::start(install.namespace().name(), &targets);
    let has_series = |query: &str| !prometheus.query(query).is_empty();
    for (title, query) in queries() {
        plane.wait_for(&format!("{title}: {query}"), PATIENCE, |_| {
            has_series(&query)
        });
    }
    let expressions = alerts().into_iter().map(|(_, expression)| expression);
    for name in expressions.flat_map(|expression| names(&expression)) {
        assert!(
            has_series(&name),
            "an alert names {name}, which no program has"
        );
    }
}
