//! The resources as an API server takes them: what it lets in and refuses, and
//! how they read to who asks with kubectl.

use mailtrail_crds::cases::{Case, Refusal, event_sinks, tracking_domains};
use mailtrail_tests::{ControlPlane, Namespace, Reply};
use serde_json::{Value, json};

const STRICT_DRY_RUN: &str = "?dryRun=All&fieldValidation=Strict";

// === The table of good and bad objects ===

#[test]
fn an_api_server_says_of_every_object_of_the_tables_what_they_say() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "cases");
    let of = |plural, cases: Vec<Case>| cases.into_iter().map(move |case| (plural, case));
    let cases = of("trackingdomains", tracking_domains()).chain(of("eventsinks", event_sinks()));
    let mut wrong = Vec::new();
    let mut asked = 0;
    for (plural, mut case) in cases {
        asked += 1;
        let path = namespace.path(plural) + STRICT_DRY_RUN;
        case.object["metadata"]["namespace"] = json!(namespace.name());
        let reply = plane.ask("POST", &path, Some(&case.object));
        if !agrees(&case, &reply) {
            wrong.push(format!("{}: {} {:#}", case.name, reply.status, reply.body));
        }
    }
    assert!(asked > 140, "{asked}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Whether the answer has exactly the refusals expected.
fn agrees(case: &Case, reply: &Reply) -> bool {
    let message = reply.body["message"].as_str().unwrap_or_default();
    match case.refused.as_slice() {
        [] => reply.status == 201,
        // Strict decoding names no causes, and names the field in its words.
        [Refusal { field, reason, .. }] if reason == "UnknownField" => {
            reply.status == 400 && message.contains(&format!("unknown field \"{field}\""))
        }
        // Metadata is decoded before anything is validated.
        [Refusal { field, reason, .. }]
            if reason == "FieldValueTypeInvalid" && field.starts_with("metadata.") =>
        {
            let parent = field.split('.').nth(1).unwrap_or_default();
            reply.status == 400 && message.contains(&format!("ObjectMeta.{parent}"))
        }
        refused => {
            let causes = reply.body["details"]["causes"].as_array();
            let mut left: Vec<_> = causes.into_iter().flatten().filter(is_cause).collect();
            reply.status == 422
                && refused.iter().all(|refusal| take(&mut left, refusal))
                && left.is_empty()
        }
    }
}

/// Not a remark on the object as a whole: that rules were passed over because
/// of what else is wrong, or once more that a number has a fraction.
fn is_cause(cause: &&Value) -> bool {
    let message = cause["message"].as_str().unwrap_or_default();
    let remarks = [
        "some validation rules were not checked",
        "Checked value must be of type",
    ];
    cause["field"] != "<nil>" || !remarks.iter().any(|remark| message.contains(remark))
}

fn take(causes: &mut Vec<&Value>, refusal: &Refusal) -> bool {
    // The field of a rule of the whole object is the root, which JSON has as null.
    let field = if refusal.field.is_empty() {
        "<nil>"
    } else {
        &refusal.field
    };
    let same = |cause: &&Value| {
        cause["field"] == field
            && cause["reason"] == refusal.reason.as_str()
            && cause["message"]
                .as_str()
                .is_some_and(|m| m.contains(&refusal.rule))
    };
    let at = causes.iter().position(same);
    at.map(|at| causes.remove(at)).is_some()
}

// === The operator's own kinds ===

/// Asks for a verdict on one object after the other, each a change of a good one.
fn refused_fields(plane: &ControlPlane, path: &str, good: &Value, change: &Value) -> Vec<String> {
    let mut object = good.clone();
    merge(&mut object, change);
    let reply = plane.ask("POST", &(path.to_owned() + STRICT_DRY_RUN), Some(&object));
    let causes = reply.body["details"]["causes"].as_array();
    let mut fields: Vec<_> = causes
        .into_iter()
        .flatten()
        .filter(is_cause)
        .filter_map(|cause| cause["field"].as_str().map(str::to_owned))
        .collect();
    fields.dedup();
    assert_eq!(reply.status == 201, fields.is_empty(), "{:#}", reply.body);
    fields
}

fn merge(object: &mut Value, change: &Value) {
    match change {
        Value::Object(fields) => fields.iter().for_each(|(k, v)| merge(&mut object[k], v)),
        other => *object = other.clone(),
    }
}

#[test]
fn a_host_claim_is_taken_within_its_bounds_alone() {
    let plane = ControlPlane::shared();
    let good = json!({
        "apiVersion": "mailtrail.dev/v1alpha1",
        "kind": "HostClaim",
        "metadata": {"name": "links.shop.example"},
        "spec": {
            "realm": "shop/links",
            "namespaceUid": "0e0c9d2b-2a5f-4c25-8d0f-7d6f8c1d2e3a",
            "className": "mailtrail",
            "state": "Active",
            "role": "Host",
            "lasting": {"retention": "45d", "fallback": "https://shop.example"},
        },
    });
    let check = |spec: Value, expected: &[&str]| {
        let change = json!({ "spec": spec });
        let path = "/apis/mailtrail.dev/v1alpha1/hostclaims";
        assert_eq!(
            refused_fields(plane, path, &good, &change),
            expected,
            "{change}"
        );
    };
    check(json!({}), &[]);
    check(
        json!({"state": "Retired", "role": "Former", "lasting": null}),
        &[],
    );
    check(
        json!({"verified": true, "linksOut": true, "deletionPolicy": "Forget"}),
        &[],
    );
    check(json!({"realm": "a/"}), &["spec.realm"]);
    check(json!({"realm": "a".repeat(318)}), &["spec.realm"]);
    check(json!({"namespaceUid": ""}), &["spec.namespaceUid"]);
    check(json!({"keptSince": "2026-09-21T14:13:20Z"}), &[]);
    check(json!({"keptSince": "yesterday"}), &["spec.keptSince"]);
    check(json!({"className": "Mail trail"}), &["spec.className"]);
    check(json!({"state": "Lost"}), &["spec.state"]);
    check(json!({"role": "Owner"}), &["spec.role"]);
    check(json!({"deletionPolicy": "Keep"}), &["spec.deletionPolicy"]);
    check(json!({"verified": "yes"}), &["spec.verified"]);
    check(
        json!({"lasting": {"retention": "0d"}}),
        &["spec.lasting.retention"],
    );
    check(
        json!({"lasting": {"fallback": "ftp://a.b"}}),
        &["spec.lasting.fallback"],
    );
}

#[test]
fn a_config_shard_is_taken_within_its_bounds_alone() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "shards");
    let good = json!({
        "apiVersion": "mailtrail.dev/v1alpha1",
        "kind": "ConfigShard",
        "metadata": {"name": "config-0000"},
        "spec": {"version": 1, "index": 0, "count": 256, "entries": []},
    });
    let check = |spec: Value, expected: &[&str]| {
        let change = json!({ "spec": spec });
        let path = namespace.path("configshards");
        assert_eq!(
            refused_fields(plane, &path, &good, &change),
            expected,
            "{change}"
        );
    };
    check(json!({}), &[]);
    check(json!({"index": 4095, "count": 4096}), &[]);
    check(
        json!({"version": 2, "entries": [{"of": {"a": ["later", "version"]}}]}),
        &[],
    );
    check(json!({"version": 0}), &["spec.version"]);
    check(json!({"index": -1}), &["spec.index"]);
    check(json!({"index": 4096}), &["spec.index"]);
    check(json!({"count": 0}), &["spec.count"]);
    check(json!({"count": 4097}), &["spec.count"]);
    check(json!({"entries": ["text"]}), &["spec.entries[0]"]);
    check(json!({"entries": vec![json!({}); 4096]}), &[]);
    check(json!({"entries": vec![json!({}); 4097]}), &["spec.entries"]);
}

#[test]
fn what_an_entry_holds_is_stored_as_it_is() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "kept");
    let entry = json!({"version": 9, "unheard": {"of": [1, null, "a"], "by": {}}});
    let shard = json!({
        "apiVersion": "mailtrail.dev/v1alpha1",
        "kind": "ConfigShard",
        "metadata": {"name": "config-0007"},
        "spec": {"version": 1, "index": 7, "count": 256, "entries": [entry]},
    });
    plane.create(&namespace.path("configshards"), &shard);
    let read = plane.get_json(&namespace.path("configshards/config-0007"));
    assert_eq!(read["spec"]["entries"][0], entry);
    assert_eq!(read["metadata"]["generation"], 1);
}

// === As people read them ===

const LINKS: &str = "apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: links}
spec: {host: links.shop.example, opens: {enabled: true}}
";

#[test]
fn the_definitions_are_established_and_their_schemas_structural() {
    let plane = ControlPlane::shared();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for kind in ["configshards", "hostclaims", "trackingdomains"] {
        let definition = plane.get_json(&format!("{path}/{kind}.mailtrail.dev"));
        let conditions = definition["status"]["conditions"].as_array().expect("some");
        for condition in conditions {
            let good = ["Established", "NamesAccepted"].map(|name| condition["type"] == name);
            let expected = if good.contains(&true) {
                "True"
            } else {
                "False"
            };
            assert_eq!(condition["status"], expected, "{condition:#}");
        }
        assert!(conditions.len() >= 2, "{conditions:#?}");
    }
}

#[test]
fn a_table_of_domains_has_host_toggles_and_what_became_of_it() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "columns");
    plane.kubectl_with(&["apply", "-n", namespace.name(), "-f", "-"], LINKS);
    let status = json!({"status": {"conditions": [{
        "type": "Ready",
        "status": "False",
        "reason": "HostConflict",
        "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    plane.merge(&namespace.path("trackingdomains/links/status"), &status);
    let of = |words: &str| {
        let output = plane.kubectl(&["get", words, "-n", namespace.name()]);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
        let lines: Vec<Vec<String>> = output.lines().map(words).collect();
        assert_eq!(lines.len(), 2, "{output}");
        lines
    };
    let table = of("td");
    let titles = ["NAME", "HOST", "OPENS", "CLICKS", "READY", "REASON", "AGE"];
    assert_eq!(table[0], titles);
    let values = [
        "links",
        "links.shop.example",
        "true",
        "false",
        "False",
        "HostConflict",
    ];
    assert_eq!(table[1][..6], values);
    assert_eq!(of("mailtrail")[0], titles);
}

#[test]
fn short_names_and_the_category_lead_to_the_kinds() {
    let plane = ControlPlane::shared();
    let words = ["api-resources", "--api-group=mailtrail.dev", "--no-headers"];
    let all = plane.kubectl(&words);
    let has = |short: &str, kind: &str| {
        all.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.any(|word| word == short) && words.any(|word| word == kind)
        })
    };
    assert!(
        has("td", "TrackingDomain") && has("hc", "HostClaim") && has("es", "EventSink"),
        "{all}"
    );
    let flags = [&words[..], &["--categories=mailtrail", "-o", "name"]].concat();
    let mut category: Vec<_> = plane.kubectl(&flags).lines().map(str::to_owned).collect();
    category.sort();
    assert_eq!(
        category,
        [
            "eventsinks.mailtrail.dev",
            "hostclaims.mailtrail.dev",
            "trackingdomains.mailtrail.dev"
        ]
    );
}

#[test]
fn explain_tells_each_field_of_the_toggles_in_words() {
    let plane = ControlPlane::shared();
    let told = plane.kubectl(&["explain", "td.spec.clicks"]);
    for words in [
        "Click tracking: links that lead over the host",
        "enabled\t<boolean>",
        "Default: false.",
        "maxLinks\t<integer>",
        "neverTrackHosts\t<[]string>",
        "enum: Leave, Track",
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    let all = plane.kubectl(&["explain", "td", "--recursive"]);
    assert!(!all.contains("<no description>"), "{all}");
}

#[test]
fn waiting_for_a_domain_that_nobody_has_looked_at_ends_in_time_and_not_in_success() {
    let plane = ControlPlane::shared();
    let namespace = Namespace::new(plane, "wait");
    plane.kubectl_with(&["apply", "-n", namespace.name(), "-f", "-"], LINKS);
    for condition in ["Programmed", "Ready"] {
        let condition = format!("--for=condition={condition}");
        let flags = [
            "wait",
            "td/links",
            "-n",
            namespace.name(),
            &condition,
            "--timeout=300ms",
        ];
        let output = plane.kubectl_tried(&flags, "");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("timed out"),
            "{said}"
        );
    }
}
