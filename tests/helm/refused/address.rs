//! What is no database, network, address, peer or host is refused by the field and the rule.

use serde_json::{Value, json};

use crate::chart::tried;

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
