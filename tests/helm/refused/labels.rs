//! What is no label or annotation, or is set already, is refused by the field.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::chart::{objects, tried};

/// Sets a map, whose keys may have dots: `--set` would take them apart.
fn with(field: &str, map: &Value) -> Result<String, String> {
    tried(&["--set-json", &format!("{field}={map}")])
}

const LABELS: [&str; 8] = [
    "commonLabels",
    "operator.podLabels",
    "operator.nodeSelector",
    "dataplane.podLabels",
    "dataplane.nodeSelector",
    "metrics.podMonitor.labels",
    "metrics.prometheusRule.labels",
    "metrics.dashboard.labels",
];

const ANNOTATIONS: [&str; 8] = [
    "exposure.annotations",
    "operator.podAnnotations",
    "operator.serviceAccountAnnotations",
    "dataplane.podAnnotations",
    "dataplane.serviceAccountAnnotations",
    "dataplane.persistence.annotations",
    "service.public.annotations",
    "service.api.annotations",
];

#[test]
fn what_is_no_label_or_annotation_is_refused_by_the_field() {
    let long = "a".repeat(64);
    let keys = [
        "", "a b", "-a", "a_", "/a", "a/", "a/b/c", "a_b/c", "a..b/c", &long,
    ];
    let values = [json!(1), json!(true), json!(["b"])];
    let texts = ["a b", "-a", "a.", "ä", &long].map(|text| json!(text));
    let check = |field: &str, keys: &[&str], values: &[&Value]| {
        let wrong = keys.iter().map(|key| ((*key).to_owned(), json!("b")));
        let of = |(at, value): (usize, &&Value)| (format!("value-{at}"), (*value).clone());
        let map = wrong.chain(values.iter().enumerate().map(of)).collect();
        let said = with(field, &Value::Object(map)).expect_err(field);
        let pointer = format!("/{}", field.replace('.', "/"));
        // Helm tells all faults at once: a line of all keys, and one of each value.
        let line = format!("at '{pointer}': additional properties ");
        let line = said.lines().find(|told| told.contains(&line));
        let line = line.unwrap_or_else(|| panic!("{field}: {said}"));
        for key in keys {
            assert!(line.contains(&format!("'{key}'")), "{field} {key}: {said}");
        }
        for (at, value) in values.iter().enumerate() {
            let told = format!("at '{pointer}/value-{at}': ");
            assert!(said.contains(&told), "{field} {value}: {said}");
        }
    };
    let no_text: Vec<_> = values.iter().collect();
    for field in ANNOTATIONS {
        check(field, &keys, &no_text);
    }
    let no_value: Vec<_> = values.iter().chain(&texts).collect();
    for field in LABELS {
        check(field, &[&keys[..], &["Example.com/a"]].concat(), &no_value);
    }
}

#[test]
fn what_is_a_label_or_annotation_is_taken() {
    let long = "a".repeat(63);
    let below = format!("example-1.com/{long}");
    let taken = |field: &str, map: &Value| {
        with(field, map).unwrap_or_else(|said| panic!("{field}: {said}"));
    };
    let good = json!({"a": "", "A.b_c-9": "Some_value.1", below: long});
    for field in LABELS {
        taken(field, &good);
    }
    for field in ANNOTATIONS {
        taken(field, &good);
        // Kubernetes looks at annotations' keys in lower case.
        taken(field, &json!({"Example.com/a": "any text: {\"of\": ä}\n"}));
    }
}

#[test]
fn a_label_or_annotation_that_is_set_already_is_refused_in_words() {
    for (field, keys) in [
        (
            "commonLabels",
            &[
                "app.kubernetes.io/name",
                "app.kubernetes.io/component",
                "app.kubernetes.io/instance",
                "app.kubernetes.io/version",
                "app.kubernetes.io/managed-by",
                "app.kubernetes.io/part-of",
                "helm.sh/chart",
                "mailtrail.dev/class",
                "rbac.authorization.k8s.io/aggregate-to-admin",
            ][..],
        ),
        ("operator.podLabels", &["app.kubernetes.io/name"]),
        ("dataplane.podLabels", &["app.kubernetes.io/component"]),
        ("metrics.podMonitor.labels", &["helm.sh/chart"]),
        ("metrics.prometheusRule.labels", &["helm.sh/chart"]),
        ("metrics.dashboard.labels", &["helm.sh/chart"]),
    ] {
        for key in keys {
            let said = with(field, &json!({*key: "b"})).expect_err(key);
            let rule = format!("{field}: the chart sets {key} itself");
            assert!(said.contains(&rule), "{said}");
        }
    }
    let said = with("exposure.annotations", &json!({"mailtrail.dev/realm": "b"}));
    let said = said.expect_err("the operator's own");
    assert!(
        said.contains("exposure.annotations: mailtrail.dev/realm: what begins with mailtrail.dev/"),
        "{said}"
    );
}

/// Every label that the chart gives one of its objects is one that it refuses
/// to be told.
#[test]
fn no_label_of_the_chart_can_be_set_as_a_common_one() {
    let objects = objects(&tried(&[]).expect("it renders"));
    let labels: BTreeSet<String> = objects
        .iter()
        .filter(|object| object["kind"] != "CustomResourceDefinition")
        .filter_map(|object| object["metadata"]["labels"].as_object())
        .flat_map(|labels| labels.keys().cloned())
        .collect();
    assert!(labels.len() > 8, "{labels:?}");
    for label in labels {
        let said = with("commonLabels", &json!({&*label: "b"})).expect_err(&label);
        assert!(said.contains("commonLabels: the chart sets"), "{said}");
    }
}
