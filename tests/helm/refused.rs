//! Values that mean nothing, or nothing good, are refused in words.

mod address;
mod labels;

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

fn refused(set: &str, named: &str) {
    let said = tried(&["--set", set]).expect_err(set);
    assert!(said.contains(named), "{set}: {said}");
}

/// What the programs take is not refused.
fn taken(set: &str) {
    tried(&["--set", set]).unwrap_or_else(|said| panic!("{set}: {said}"));
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
            "postgres.url=postgres://m@h/n,dataplane.journalMax=1GiB",
            "dataplane.journalMax: is for a store of one's own",
        ),
        (
            "postgres.url=postgres://m@h/n,dataplane.autoscaling.enabled=true,dataplane.autoscaling.minReplicas=9",
            "dataplane.autoscaling: minReplicas is more than maxReplicas",
        ),
        (
            "dataplane.tls.secrets={a},service.public.tlsPort=80",
            "service.public.tlsPort: is the same as service.public.port",
        ),
        (
            "service.public.nodePort=30080,service.public.tlsNodePort=30080",
            "service.public.tlsNodePort: is the same as service.public.nodePort",
        ),
        ("dataplane.tls.secrets={Shop_TLS}", "/dataplane/tls/secrets"),
        ("dataplane.replicas=0", "/dataplane/replicas"),
        ("operator.replicas=0", "/operator/replicas"),
        ("operator.shards=5000", "/operator/shards"),
        (
            "dataplane.image.digest=sha256:12",
            "/dataplane/image/digest",
        ),
        ("service.public.type=External", "/service/public/type"),
        ("class=Two", "/class"),
        ("listenAddress=here", "/listenAddress"),
        ("commonLabels.a.b=c", "/commonLabels/a"),
    ] {
        refused(set, named);
    }
    let rule = json!([{"namespaces": ["shop"]}]).to_string();
    let said = tried(&["--set-json", &format!("hostPolicy={rule}")]).expect_err("no hosts");
    assert!(
        said.contains("/hostPolicy/0") && said.contains("hosts"),
        "{said}"
    );
}

/// The programs end at those that are refused.
#[test]
fn a_time_or_size_is_refused_by_the_field_and_the_rule() {
    for (set, named) in [
        ("operator.rotateKeys=soon", "/operator/rotateKeys"),
        ("operator.rotateKeys=0d", "/operator/rotateKeys"),
        ("dataplane.settle=10", "/dataplane/settle"),
        (
            "dataplane.settle=120001ms",
            "dataplane.settle: must be 120s at most",
        ),
        (
            "dataplane.settle=3m",
            "dataplane.settle: must be 120s at most",
        ),
        ("dataplane.journalMax=10G", "/dataplane/journalMax"),
        ("dataplane.journalMax=1048576KiB", "/dataplane/journalMax"),
        (
            "dataplane.journalMax=63MiB",
            "dataplane.journalMax: must be 64MiB at least",
        ),
        (
            "postgres.url=postgres://m@h/n,postgres.spoolMax=0MiB",
            "/postgres/spoolMax",
        ),
        (
            "postgres.url=postgres://m@h/n,postgres.spoolMax=2048KiB",
            "/postgres/spoolMax",
        ),
        (
            "dataplane.persistence.size=0Gi",
            "/dataplane/persistence/size",
        ),
        (
            "dataplane.persistence.size=big",
            "/dataplane/persistence/size",
        ),
    ] {
        refused(set, named);
    }
    for set in [
        "operator.rotateKeys=1s",
        "dataplane.settle=0s",
        "dataplane.settle=2m",
        "dataplane.settle=120s",
        "dataplane.drain=0s",
        "dataplane.journalMax=64MiB",
        "dataplane.persistence.size=999999Ti",
        "postgres.url=postgres://m@h/n,postgres.spoolMax=1MiB",
    ] {
        taken(set);
    }
}

#[test]
fn a_bound_that_is_more_than_the_volume_has_is_refused_in_words() {
    for (set, named) in [
        (
            "dataplane.journalMax=11GiB",
            "dataplane.journalMax: 11GiB is more than the volume has, which is dataplane.persistence.size: 10Gi",
        ),
        (
            "dataplane.journalMax=1TiB,dataplane.persistence.size=1023Gi",
            "dataplane.journalMax: 1TiB is more",
        ),
        // A GiB is more than a GB.
        (
            "dataplane.journalMax=10GiB,dataplane.persistence.size=10G",
            "dataplane.journalMax: 10GiB is more",
        ),
        (
            "postgres.url=postgres://m@h/n,postgres.spoolMax=10241MiB",
            "postgres.spoolMax: 10241MiB is more",
        ),
    ] {
        refused(set, named);
    }
    for set in [
        "dataplane.journalMax=10240MiB",
        "dataplane.journalMax=1TiB,dataplane.persistence.size=2T",
        "postgres.url=postgres://m@h/n,postgres.spoolMax=10GiB",
    ] {
        taken(set);
    }
}

#[test]
fn a_label_of_the_clusters_domain_is_63_characters_at_most() {
    let domain = |length| format!("clusterDomain={}.local", "a".repeat(length));
    refused(&domain(64), "/clusterDomain");
    taken(&domain(63));
}

/// The programs end at these, but for the last three, by which they find no line.
#[test]
fn a_log_filter_is_refused_by_the_field() {
    for program in ["operator", "dataplane"] {
        let checked = |filter: &str| {
            tried(&[
                "--set-json",
                &format!("{program}.log.filter={}", json!(filter)),
            ])
        };
        for filter in [
            "[[",
            "[",
            "info,[",
            "info,[span",
            "[span{field}",
            "[span{}]=info",
            "[a{b=1,c=2}]=info",
            "[span]info",
            "a=b=c",
            "a=info=debug",
            "a=inof",
            "a=6",
            "=info",
            "*=info",
            "info, a=debug",
            "",
            " ",
            "info, debug",
            "info;debug",
            "a]b",
        ] {
            let said = checked(filter).expect_err(filter);
            let field = format!("/{program}/log/filter");
            assert!(said.contains(&field), "{filter}: {said}");
        }
        for filter in [
            "info",
            "OFF",
            "Warn,mailtrail_operator::shards=DEBUG",
            "error,mailtrail_dataplane=trace,hyper",
            "3",
            "info,a=5,b=",
            "info,",
            "[span]",
            "[span]=debug",
            "info,mailtrail_dataplane[open{status=200}]=trace",
            "[{domain}]=off",
            "tower-http=info,a.b/c=warn",
        ] {
            checked(filter).unwrap_or_else(|said| panic!("{filter}: {said}"));
        }
    }
}
