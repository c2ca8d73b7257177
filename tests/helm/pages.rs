//! The pages on metrics and alerts say what the programs and the chart have: no
//! less, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;

use mailtrail_tests::{ControlPlane, Install, root};
use serde_json::Value;

use crate::certificates::Certificates;
use crate::chart::{file, objects};

/// Says that what is made of the programs' words is written anew.
const BLESS: &str = "MAILTRAIL_BLESS";
/// Where the runbooks are, as the alerts have it.
const RUNBOOKS: &str = "docs/ALERTS.md#";
/// A label that every histogram has, and whose values say nothing.
const BUCKET: &str = "le";

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// The alerts of the chart.
fn alerts() -> Vec<Value> {
    let groups = objects(&file("files/alerts.yaml")).remove(0);
    let groups = groups["groups"].as_array().expect("groups").clone();
    let rules = groups.iter().flat_map(|group| group["rules"].as_array());
    rules.flatten().cloned().collect()
}

fn text(object: &Value, pointer: &str) -> String {
    let text = object.pointer(pointer).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("{pointer} of {object}"))
        .to_owned()
}

// === Alerts ===

#[test]
fn every_alert_has_a_section_and_every_section_an_alert() {
    let alerts: Vec<_> = alerts().iter().map(|rule| text(rule, "/alert")).collect();
    let page = page("ALERTS.md");
    let sections: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("## "))
        .collect();
    let sorted = |names: Vec<String>| names.into_iter().collect::<BTreeSet<_>>();
    let sections: Vec<String> = sections.into_iter().map(str::to_owned).collect();
    assert_eq!(sections.len(), alerts.len(), "one section for each");
    assert_eq!(sorted(sections), sorted(alerts));
}

#[test]
fn an_alert_names_its_section_and_a_section_the_alerts_severity() {
    let page = page("ALERTS.md");
    for rule in alerts() {
        let name = text(&rule, "/alert");
        let runbook = text(&rule, "/annotations/runbook_url");
        assert_eq!(runbook, format!("{RUNBOOKS}{}", name.to_lowercase()));
        let section = page.split(&format!("\n## {name}\n\n")).nth(1);
        let section = section.unwrap_or_else(|| panic!("{name} has no section"));
        let severity = match text(&rule, "/labels/severity").as_str() {
            "critical" => "*Critical.*",
            "warning" => "*Warning.*",
            other => panic!("{name} is {other}"),
        };
        assert!(section.starts_with(severity), "{name} is {severity}");
    }
}

// === Metrics ===

/// What a program says of a metric.
#[derive(Debug, Default, PartialEq, Eq)]
struct Metric {
    kind: String,
    help: String,
    /// Values by label.
    labels: BTreeMap<String, BTreeSet<String>>,
}

/// The metrics of an OpenMetrics text, by the name that queries use.
fn metrics(text: &str) -> BTreeMap<String, Metric> {
    let mut found = BTreeMap::<String, Metric>::new();
    let mut help = "";
    let mut current = String::new();
    for line in text.lines() {
        if let Some(said) = line.strip_prefix("# HELP ") {
            help = said.split_once(' ').expect("a name and a text").1;
        } else if let Some(said) = line.strip_prefix("# TYPE ") {
            let (name, kind) = said.split_once(' ').expect("a name and a type");
            let suffix = if kind == "counter" { "_total" } else { "" };
            current = format!("{name}{suffix}");
            let metric = found.entry(current.clone()).or_default();
            metric.kind = kind.to_owned();
            metric.help = help.to_owned();
        } else if let Some((_, labels)) = line.split_once('{') {
            let labels = labels.split_once('}').expect("labels end").0;
            let metric = found.get_mut(&current).expect("its type came before");
            for label in labels.split("\",").map(|label| label.trim_end_matches('"')) {
                let (name, value) = label.split_once("=\"").expect("a label and its value");
                let values = metric.labels.entry(name.to_owned()).or_default();
                values.insert(value.to_owned());
            }
        }
    }
    found
}

/// The alerts that name a metric, by metric.
fn watched() -> BTreeMap<String, Vec<String>> {
    let mut watched = BTreeMap::<String, Vec<String>>::new();
    for rule in alerts() {
        let (name, expression) = (text(&rule, "/alert"), text(&rule, "/expr"));
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let words: BTreeSet<_> = expression.split(|c| !is_part(c)).collect();
        for word in words {
            watched
                .entry(word.to_owned())
                .or_default()
                .push(name.clone());
        }
    }
    watched
}

/// The page's table of these metrics.
fn table(metrics: &BTreeMap<String, Metric>) -> String {
    let watched = watched();
    let mut table =
        "| metric | type | what it says | labels | alert |\n|---|---|---|---|---|\n".to_owned();
    for (name, metric) in metrics {
        let labels = metric.labels.iter().filter(|(label, _)| *label != BUCKET);
        let labels = labels.map(|(label, values)| {
            let values: Vec<_> = values.iter().map(|value| format!("`{value}`")).collect();
            format!("`{label}`: {}", values.join(", "))
        });
        let labels = labels.collect::<Vec<_>>().join("; ");
        let alerts = watched.get(name).into_iter().flatten();
        let alerts = alerts.map(|alert| {
            let short = alert.trim_start_matches("Mailtrail");
            format!("[{short}](ALERTS.md#{})", alert.to_lowercase())
        });
        let alerts = alerts.collect::<Vec<_>>().join(", ");
        let (kind, help) = (&metric.kind, &metric.help);
        let _ = writeln!(
            table,
            "| `{name}` | {kind} | {help} | {labels} | {alerts} |"
        );
    }
    table
}

/// The part of a page between two marks, with it replaced.
fn with_part(page: &str, name: &str, part: &str) -> String {
    let begin = format!("<!-- begin {name}: a test compares what follows with the program -->\n\n");
    let end = format!("\n<!-- end {name} -->");
    let (before, rest) = page.split_once(&begin).expect("the part begins");
    let (_, after) = rest.split_once(&end).expect("the part ends");
    format!("{before}{begin}{part}{end}{after}")
}

#[test]
fn the_page_has_every_metric_of_both_programs_and_no_other() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "documented");
    let operator = install.operator();
    let certificates = Certificates::new();
    let replica = install.replica_with(&certificates.flags());
    let program = replica.program();
    let of_operator = metrics(&operator.get("/metrics").text());
    let of_dataplane = metrics(&program.get(program.admin(), "/metrics").text());
    assert!(of_operator.len() > 15 && of_dataplane.len() > 40);
    let page = page("METRICS.md");
    let made = with_part(&page, "data plane", &table(&of_dataplane));
    let made = with_part(&made, "operator", &table(&of_operator));
    if std::env::var_os(BLESS).is_some() {
        fs::write(root().join("docs/METRICS.md"), &made).expect("written");
        return;
    }
    assert!(
        page == made,
        "docs/METRICS.md is not what the programs say; {BLESS}=1 cargo test --test helm pages writes it"
    );
    // Whatever any page names is there.
    let known: BTreeSet<_> = of_operator.keys().chain(of_dataplane.keys()).collect();
    for (place, name) in named() {
        let base = ["_bucket", "_sum", "_count"].map(|suffix| name.strip_suffix(suffix));
        let base = base.into_iter().flatten().map(str::to_owned);
        let is_known = std::iter::once(name.clone())
            .chain(base)
            .any(|name| known.contains(&name));
        assert!(is_known, "{place} names {name}, which no program has");
    }
}

/// Metrics that pages name, each with where.
fn named() -> Vec<(String, String)> {
    let mut places = vec!["README.md".into(), "charts/mailtrail/README.md".into()];
    for entry in fs::read_dir(root().join("docs")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|ext| ext == "md") {
            places.push(path.strip_prefix(root()).expect("below").to_path_buf());
        }
    }
    let mut named = Vec::new();
    for place in places {
        let text = fs::read_to_string(root().join(&place)).expect("a page");
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        // A metric stands in code, whole: not as a beginning, a file or a schema.
        for code in text.split('`').skip(1).step_by(2) {
            let name = code.split(['{', '[', ' ', ')']).next().unwrap_or_default();
            if name.starts_with("mailtrail_") && name.chars().all(is_part) {
                named.push((place.display().to_string(), name.to_owned()));
            }
        }
    }
    assert!(named.len() > 40, "{named:?}");
    named
}
