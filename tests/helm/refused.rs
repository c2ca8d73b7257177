//! Values that mean nothing, or nothing good, are refused in words.

use std::collections::BTreeSet;

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

#[test]
fn a_databases_url_is_refused_by_the_rule_and_never_repeated() {
    for (set, named) in [
        // A password would stand in every pod's arguments.
        (
            "postgres.url=postgres://m:secret@h/n",
            "name that in postgres.passwordSecret.name",
        ),
        (
            "postgres.url=postgres://m@h/n?password=secret",
            "name that in postgres.passwordSecret.name",
        ),
        (
            "postgres.url=postgres://m@h:5432",
            "postgres.url: must name a database",
        ),
        (
            "postgres.url=postgres://h/n",
            "postgres.url: must name a user",
        ),
        (
            "postgres.url=postgres://m@/n",
            "postgres.url: must name a host",
        ),
        (
            "postgres.url=postgres://m@h/n?sslmode=require",
            "postgres.url: sslmode must be",
        ),
        (
            "postgres.url=postgres://m@h/n?sslrootcert=a",
            "postgres.url: must have no sslrootcert",
        ),
        (
            "postgres.url=mysql://m:secret@h/n",
            "postgres.url: must begin with postgres://",
        ),
        (
            "postgres.url=postgres://m: secret@h/n",
            "postgres.url: must begin with postgres:// and have no blanks",
        ),
    ] {
        let said = tried(&["--set", set]).expect_err(set);
        assert!(said.contains(named), "{set}: {said}");
        assert!(
            !said.contains("secret@") && !said.contains("=secret"),
            "{said}"
        );
    }
}

#[test]
fn a_databases_port_is_refused_by_the_rule_and_its_url_never_repeated() {
    let checked = |url: &str| tried(&["--set-json", &format!("postgres.url={}", json!(url))]);
    for url in [
        "postgres://whoever@h:abc/n",
        "postgres://whoever@h:99999/n",
        "postgres://whoever@h:0/n",
        "postgres://whoever@h:5432:5432/n",
        "postgres://whoever@[::1]:abc/n",
        "postgres://whoever@one:5432,two:65536/n",
        "postgres://whoever@h/n?port=0",
    ] {
        let said = checked(url).expect_err(url);
        let rule = "postgres.url: the port must be a number from 1 to 65535";
        assert!(said.contains(rule), "{url}: {said}");
        assert!(!said.contains("whoever"), "{said}");
    }
    for url in [
        "postgres://m@h/n",
        "postgres://m@h:/n",
        "postgres://m@h:65535/n?sslmode=disable",
        "postgres://m@[::1]/n",
        "postgres://m@[::1]:5432/n",
        "postgres://m@one:5432,two,three:1/n",
        "postgres://m@h/n?port=5433&connect_timeout=5",
    ] {
        checked(url).unwrap_or_else(|said| panic!("{url}: {said}"));
    }
}

/// With these values the program starts: it would end at once with others.
#[test]
fn a_network_is_refused_by_the_field_and_the_rule() {
    for key in ["dataplane.trustedProxies", "dataplane.sinks.allow"] {
        let checked = |network: &str| {
            let networks = json!(["10.0.0.0/8", network]);
            tried(&["--set-json", &format!("{key}={networks}")])
        };
        for (network, rule) in [
            ("10.244.0.0/33", "must be 0 to 32"),
            ("10.244.0.0/016", "must be 0 to 32"),
            ("10.244.0.0/", "must be 0 to 32"),
            ("::/129", "must be 0 to 128"),
            ("10.244.0.1", "such as 10.244.0.1/32"),
            ("fd00::1", "such as fd00::1/128"),
            ("10.256.0.0/16", "must begin with an IP address"),
            ("1:2:3:4:5:6:7::8/64", "must begin with an IP address"),
            ("1::2::3/64", "must begin with an IP address"),
            ("proxy", "must begin with an IP address"),
        ] {
            let said = checked(network).expect_err(network);
            let field = format!("{key}[1]: {network} is no network: ");
            assert!(said.contains(&field) && said.contains(rule), "{said}");
        }
        for network in [
            "0.0.0.0/0",
            "::/0",
            "fd00::/8",
            "::ffff:10.0.0.0/104",
            "1:2:3:4:5:6:7:8/128",
        ] {
            checked(network).unwrap_or_else(|said| panic!("{network}: {said}"));
            network
                .parse::<ipnet::IpNet>()
                .expect("the program takes it");
        }
    }
}

#[test]
fn an_address_that_no_pod_can_be_reached_at_is_refused_in_words() {
    let checked = |address: &str| tried(&["--set", &format!("listenAddress={address}")]);
    for address in [
        "127.0.0.1",
        "127.1.2.3",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:7f00:1]",
        // No pod knows beforehand that it has this one; the last two are none.
        "10.244.0.7",
        "0.0.0",
        "[:::]",
    ] {
        let said = checked(address).expect_err(address);
        let rule = format!("listenAddress: probes and Services would not reach a pod at {address}");
        assert!(said.contains(&rule), "{said}");
    }
    for address in ["0.0.0.0", "[::]", "[0:0:0:0:0:0:0:0]"] {
        checked(address).unwrap_or_else(|said| panic!("{address}: {said}"));
    }
}

#[test]
fn a_dns_server_is_refused_by_the_field_and_the_rule() {
    let checked = |server: &str| tried(&["--set", &format!("operator.probe.resolver={server}")]);
    for (server, rule) in [
        ("10.96.0.10:0", "the port must be 1 to 65535"),
        ("10.96.0.10:65536", "the port must be 1 to 65535"),
        ("[fd00::a]:0", "the port must be 1 to 65535"),
        ("10.96.0.256:53", "it must begin with an IP address"),
        ("10.96.10:53", "it must begin with an IP address"),
        ("[fd00:a]:53", "it must begin with an IP address"),
    ] {
        let said = checked(server).expect_err(server);
        let field = format!("operator.probe.resolver: {server} is no DNS server: ");
        assert!(said.contains(&field) && said.contains(rule), "{said}");
    }
    for server in ["10.96.0.10:53", "[fd00::a]:65535"] {
        checked(server).unwrap_or_else(|said| panic!("{server}: {said}"));
        server
            .parse::<std::net::SocketAddr>()
            .expect("the program takes it");
    }
}

#[test]
fn a_peer_that_a_network_policy_does_not_know_is_refused_by_the_field() {
    for key in ["publicFrom", "apiFrom", "metricsFrom"] {
        let checked = |peer: &Value| {
            let peers = json!([{"podSelector": {}}, peer]);
            tried(&["--set-json", &format!("networkPolicy.{key}={peers}")])
        };
        for peer in [
            json!({"podSelectors": {}}),
            json!({"podSelector": {}, "namespace": "shop"}),
            json!({"cidr": "10.0.0.0/8"}),
            json!({"ipBlock": "10.0.0.0/8"}),
            json!({}),
        ] {
            let said = checked(&peer).expect_err("refused");
            let field = format!("/networkPolicy/{key}/1");
            assert!(said.contains(&field), "{peer}: {said}");
        }
        for peer in [
            json!({"podSelector": {}, "namespaceSelector": {"matchLabels": {"a": "b"}}}),
            json!({"ipBlock": {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}}),
        ] {
            checked(&peer).unwrap_or_else(|said| panic!("{peer}: {said}"));
        }
    }
}

#[test]
fn a_rule_on_hosts_is_refused_by_the_field_and_the_rule() {
    let checked = |namespace: &str, host: &str| {
        let rules = json!([{"namespaces": ["shop", namespace], "hosts": ["a.example", host]}]);
        tried(&["--set-json", &format!("hostPolicy={rules}")])
    };
    for (host, rule) in [
        ("https://links.shop.example", "a name alone"),
        ("links.shop.example:8443", "a name alone"),
        ("shop.*.example", "a * may stand for"),
        ("*", "a * may stand for"),
        ("example", "at least two labels"),
        ("a_b.example", "DNS labels"),
        ("10.0.0.1", "like an IP address"),
    ] {
        let said = checked("shop", host).expect_err(host);
        let field = format!("hostPolicy[0].hosts[1]: {host} is no host: ");
        assert!(said.contains(&field) && said.contains(rule), "{said}");
    }
    for namespace in ["Shop", "sh*p", "shop.example", ""] {
        let said = checked(namespace, "b.example").expect_err(namespace);
        assert!(said.contains("hostPolicy"), "{said}");
    }
    for (namespace, host) in [("team-*", "*.shop.example"), ("*", "Links.Shop.Example")] {
        checked(namespace, host).unwrap_or_else(|said| panic!("{namespace}, {host}: {said}"));
        host.parse::<mailtrail_core::config::HostPattern>()
            .expect("the program takes it");
    }
}
