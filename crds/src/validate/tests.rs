use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::walk::KEYWORDS;
use super::*;
use crate::cases::{Case, event_sinks, tracking_domains};
use crate::sink::EventSink;

#[test]
fn every_object_of_the_tables_is_taken_or_refused_as_it_says() {
    taken_or_refused(&Checker::tracking_domain(), tracking_domains());
    taken_or_refused(&Checker::event_sink(), event_sinks());
}

fn taken_or_refused<K: Checked>(checker: &Checker<K>, cases: Vec<Case>) {
    let mut wrong = Vec::new();
    for case in cases {
        let told = checker.check(&case.object).err().unwrap_or_default();
        let mut left = told.clone();
        let all_told = case.refused.iter().all(|refusal| {
            let same = |fault: &Fault| {
                fault.field == refusal.field
                    && fault.kind.reason() == refusal.reason
                    && fault.rule.contains(&refusal.rule)
            };
            left.iter()
                .position(same)
                .map(|at| left.remove(at))
                .is_some()
        });
        if !all_told || !left.is_empty() {
            wrong.push(format!("{}: {told:#?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_is_taken_has_an_entry() {
    let checker = Checker::tracking_domain();
    for case in good(tracking_domains()) {
        let domain = checker.check(&case.object).expect("taken");
        crate::entry::entry(&domain, crate::entry::Facts::default())
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
    let checker = Checker::event_sink();
    for case in good(event_sinks()) {
        let sink = checker.check(&case.object).expect("taken");
        crate::sink::sink_entry(&sink, None)
            .unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

fn good(cases: Vec<Case>) -> impl Iterator<Item = Case> {
    cases.into_iter().filter(|case| case.refused.is_empty())
}

#[test]
fn every_rule_of_the_schemas_refuses_something_in_the_tables() {
    rules_refuse(&Checker::tracking_domain(), tracking_domains(), 15);
    rules_refuse(&Checker::event_sink(), event_sinks(), 8);
}

fn rules_refuse<K: Checked>(checker: &Checker<K>, cases: Vec<Case>, least: usize) {
    let mut messages = Vec::new();
    collect(&crate::schema_of::<K>(), &mut |node| {
        for rule in node["x-kubernetes-validations"]
            .as_array()
            .into_iter()
            .flatten()
        {
            messages.push(rule["message"].as_str().expect("a message").to_owned());
        }
    });
    assert!(messages.len() > least, "{}", messages.len());
    let told: Vec<Fault> = cases
        .iter()
        .filter_map(|case| checker.check(&case.object).err())
        .flatten()
        .collect();
    for message in messages {
        assert!(
            told.iter().any(|fault| fault.rule == message),
            "untried: {message}"
        );
    }
}

#[test]
fn kubes_own_validator_says_the_same_of_every_rule() {
    same_as_kubes(&Checker::tracking_domain(), tracking_domains(), 80);
    same_as_kubes(&Checker::event_sink(), event_sinks(), 25);
}

fn same_as_kubes<K: Checked>(checker: &Checker<K>, cases: Vec<Case>, least: usize) {
    let schema = crate::schema_of::<K>();
    let validator = kube::core::cel::Validator::new();
    let rules = Rules::new(&schema);
    let mut asked = 0;
    for case in cases {
        let mut shaped = Faults::default();
        let mut fields = case.object.as_object().expect("an object").clone();
        checker.check_shape(&mut fields, &mut shaped);
        let named = case.object["metadata"]["name"].is_string();
        if shaped.block_rules() || !named {
            continue;
        }
        let object = Value::Object(fields);
        let mut ours = Faults::default();
        rules.check(&object, &mut ours);
        let ours: BTreeSet<_> = ours.told.into_iter().map(|f| (f.field, f.rule)).collect();
        let theirs = validator.validate(&schema, &object, None).err();
        let theirs: BTreeSet<_> = theirs
            .into_iter()
            .flatten()
            .map(|error| (error.field_path, error.message))
            .collect();
        assert_eq!(ours, theirs, "{}", case.name);
        asked += 1;
    }
    assert!(asked > least, "{asked}");
}

#[test]
fn no_field_is_named_like_a_word_of_cel() {
    // Those that Kubernetes wants escaped in rules, and characters that it does.
    let words = "true false null in as break const continue else for function if import let loop \
                 package namespace return var void while";
    both(|schema| &schema["properties"]["spec"], &mut |node| {
        for name in node["properties"]
            .as_object()
            .into_iter()
            .flat_map(|p| p.keys())
        {
            assert!(!words.split_whitespace().any(|word| word == name), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_alphanumeric()), "{name}");
        }
    });
}

#[test]
fn the_schema_uses_only_keywords_that_are_checked() {
    both(|schema| &schema["properties"]["spec"], &mut |node| {
        for key in node.as_object().expect("a schema").keys() {
            assert!(
                KEYWORDS.contains(&key.as_str()),
                "{key} is not checked in-process"
            );
        }
    });
}

#[test]
fn every_string_and_list_has_a_maximum_and_every_list_a_type() {
    both(|schema| schema, &mut |node| match node["type"].as_str() {
        Some("string") => {
            let bounded = node["maxLength"].is_u64()
                || node["enum"].is_array()
                || node["format"] == "date-time";
            assert!(bounded, "no maximum: {node}");
        }
        Some("array") => {
            assert!(node["maxItems"].is_u64(), "no maximum: {node}");
            assert!(
                node["x-kubernetes-list-type"].is_string(),
                "no list type: {node}"
            );
        }
        _ => {}
    });
}

#[test]
fn every_field_has_a_description() {
    both(|schema| schema, &mut |node| {
        for (name, field) in node["properties"].as_object().into_iter().flatten() {
            let text = field["description"].as_str().unwrap_or_default();
            assert!(text.len() > 10 && text.ends_with('.'), "{name}: {text:?}");
        }
    });
}

#[test]
fn defaults_are_filled_in_as_the_api_server_does() {
    let object = object::<TrackingDomain>(
        "shop",
        "links",
        &json!({"host": "links.shop.example", "opens": {"enabled": true}}),
    );
    let domain = Checker::tracking_domain().check(&object).expect("taken");
    assert_eq!(
        serde_json::to_value(&domain.spec).expect("json"),
        json!({
            "className": "mailtrail", "host": "links.shop.example",
            "opens": {"enabled": true, "pixel": "Auto"},
            "clicks": {
                "enabled": false, "plainText": "Leave", "textIsUrl": "Leave", "sensitive": "Leave",
                "maxLinks": 10000,
            },
            "privacy": {"address": "Omit", "userAgent": "Omit", "record": "Identified"},
            "retention": "45d", "verification": "Required", "deletionPolicy": "Retire",
        })
    );
}

#[test]
fn the_number_of_faults_told_is_bounded() {
    let fields: Map<String, Value> = (0..1000).map(|n| (format!("f{n}"), json!(1))).collect();
    let object = object::<TrackingDomain>("shop", "links", &Value::Object(fields));
    let faults = Checker::tracking_domain()
        .check(&object)
        .expect_err("refused");
    assert_eq!(faults.len(), FAULTS_MAX);
}

/// The whole of a schema, each node once.
fn collect(schema: &Value, see: &mut dyn FnMut(&Value)) {
    see(schema);
    for field in schema["properties"].as_object().into_iter().flatten() {
        collect(field.1, see);
    }
    if schema["items"].is_object() {
        collect(&schema["items"], see);
    }
}

/// A part of the schema of either kind, each of its nodes once.
fn both(part: impl Fn(&Value) -> &Value, see: &mut dyn FnMut(&Value)) {
    collect(part(&crate::schema_of::<TrackingDomain>()), see);
    collect(part(&crate::schema_of::<EventSink>()), see);
}
