//! Values that mean nothing, or nothing good, are refused in words.

use serde_json::{Value, json};

use crate::chart::{file, objects, tried};

/// Every object of the schema that has names for its fields, by its path.
fn closed(schema: &Value, path: &str, found: &mut Vec<String>) {
    let Some(fields) = schema["properties"].as_object() else {
        return;
    };
    assert_eq!(schema["additionalProperties"], false, "{path}");
    found.push(path.to_owned());
    for (name, field) in fields {
        closed(field, &format!("{path}.{name}"), found);
    }
}

fn schema() -> Value {
    serde_json::from_str(&file("values.schema.json")).expect("JSON")
}

#[test]
fn a_key_that_the_chart_does_not_know_is_refused_wherever_it_stands() {
    let mut places = Vec::new();
    closed(&schema(), "", &mut places);
    assert!(places.len() > 20, "{places:?}");
    for place in places {
        let key = format!("{place}.noSuchKey");
        let set = format!("{}=1", key.trim_start_matches('.'));
        let said = tried(&["--set", &set]).expect_err(&set);
        assert!(said.contains("'noSuchKey' not allowed"), "{set}: {said}");
    }
}

#[test]
fn schema_and_values_have_the_same_keys() {
    let mut schema = schema();
    // Helm gives it to every chart.
    schema["properties"]
        .as_object_mut()
        .expect("an object")
        .remove("global");
    let values = objects(&file("values.yaml")).remove(0);
    same_keys(&schema, &values, "");
}

fn same_keys(schema: &Value, values: &Value, path: &str) {
    let (Some(fields), Some(values)) = (schema["properties"].as_object(), values.as_object())
    else {
        return;
    };
    let [mut known, mut given] = [fields, values].map(|map| map.keys().collect::<Vec<_>>());
    known.sort();
    given.sort();
    assert_eq!(known, given, "{path}");
    for (key, value) in values {
        same_keys(&fields[key], value, &format!("{path}.{key}"));
    }
}

#[test]
fn what_cannot_be_is_refused_by_the_field_and_the_rule() {
    for (set, named) in [
        ("dataplane.replicas=2", "dataplane.replicas: more than 1"),
        (
            "dataplane.autoscaling.enabled=true",
            "dataplane.autoscaling.enabled: needs postgres.url",
        ),
        (
            "postgres.spoolMax=1GiB",
            "postgres.spoolMax: is for postgres.url alone",
        ),
        (
            "postgres.passwordSecret.name=a",
            "postgres.passwordSecret.name: is for postgres.url alone",
        ),
        (
            "postgres.url=postgres://h/n,dataplane.journalMax=1GiB",
            "dataplane.journalMax: is for a store of one's own",
        ),
        (
            "postgres.url=postgres://h/n,dataplane.autoscaling.enabled=true,dataplane.autoscaling.minReplicas=9",
            "dataplane.autoscaling: minReplicas is more than maxReplicas",
        ),
        (
            "dataplane.tls.secrets={a},service.public.tlsPort=80",
            "service.public.tlsPort: is the same as service.public.port",
        ),
        ("dataplane.tls.secrets={Shop_TLS}", "/dataplane/tls/secrets"),
        // A password would stand in every pod's arguments.
        ("postgres.url=postgres://m:secret@h/n", "/postgres/url"),
        ("dataplane.replicas=0", "/dataplane/replicas"),
        ("operator.replicas=0", "/operator/replicas"),
        ("operator.shards=5000", "/operator/shards"),
        ("operator.rotateKeys=soon", "/operator/rotateKeys"),
        ("dataplane.settle=10", "/dataplane/settle"),
        ("dataplane.journalMax=10G", "/dataplane/journalMax"),
        (
            "dataplane.persistence.size=big",
            "/dataplane/persistence/size",
        ),
        (
            "dataplane.trustedProxies[0]=proxy",
            "/dataplane/trustedProxies",
        ),
        (
            "dataplane.image.digest=sha256:12",
            "/dataplane/image/digest",
        ),
        ("service.public.type=External", "/service/public/type"),
        ("class=Two", "/class"),
        ("listenAddress=here", "/listenAddress"),
        ("commonLabels.a.b=c", "/commonLabels/a"),
    ] {
        let said = tried(&["--set", set]).expect_err(set);
        assert!(said.contains(named), "{set}: {said}");
    }
    let rule = json!([{"namespaces": ["shop"]}]).to_string();
    let said = tried(&["--set-json", &format!("hostPolicy={rule}")]).expect_err("no hosts");
    assert!(
        said.contains("/hostPolicy/0") && said.contains("hosts"),
        "{said}"
    );
}
