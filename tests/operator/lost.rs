//! What is lost by mistake is not given up: many domains at once, definitions,
//! objects that cannot be read. And who is turned away, and taken later.
//!
//! Definitions hold for a whole cluster, so tests that change them have one of
//! their own, one after the other.

use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Namespace, PATIENCE, Replica, domain_path};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::{mail, metric, tracked_link};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

fn plane() -> MutexGuard<'static, ControlPlane> {
    static PLANE: LazyLock<Mutex<ControlPlane>> = LazyLock::new(|| {
        let plane = ControlPlane::own();
        plane.crds();
        Mutex::new(plane)
    });
    // What a test that failed has left behind is put right by the next one.
    let plane = PLANE.lock().unwrap_or_else(PoisonError::into_inner);
    plane.crds();
    plane
}

fn object(install: &Install<'_>, namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "host": host(namespace, name), "className": install.class(),
            "verification": "None", "clicks": {"enabled": true},
        },
    })
}

fn host(namespace: &str, name: &str) -> String {
    format!("{name}.{namespace}.example")
}

/// Applies so many domains, d0 and so on, and waits until all are accepted.
fn apply_many(plane: &ControlPlane, install: &Install<'_>, namespace: &str, count: usize) {
    let objects = (0..count).map(|at| object(install, namespace, &format!("d{at}")));
    let list = json!({"apiVersion": "v1", "kind": "List", "items": objects.collect::<Vec<_>>()});
    plane.apply(&list.to_string());
    for at in 0..count {
        install.wait_reason(namespace, &format!("d{at}"), "Accepted", "Accepted");
    }
}

fn claim_path(host: &str) -> String {
    format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}")
}

/// What a claim says of something; nothing where there is no claim.
fn claim(plane: &ControlPlane, host: &str, field: &str) -> Option<Value> {
    let claim = plane.find_json(&claim_path(host))?;
    Some(claim["spec"][field].clone())
}

fn is_active(install: &Install<'_>, namespace: &str, name: &str) -> bool {
    let entry = install.entry(namespace, name);
    entry.is_some_and(|entry| entry["state"] != "Retired")
}

/// Whether mails of a domain are tracked.
fn is_tracked(replica: &Replica<'_>, token: &str, domain: &str) -> bool {
    let asked = mail(domain, "m");
    let answer = replica.program().post_as(token, "/v1/rewrite", &asked);
    tracked_link(&answer.json()).is_some()
}

#[test]
fn many_domains_that_vanish_at_once_are_served_on_until_that_is_confirmed() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "vanished");
    let (shop, bank) = (Namespace::new(plane, "shop"), Namespace::new(plane, "bank"));
    // Most of what there is: of the namespaces that it looks at.
    let watched = format!("{},{}", shop.name(), bank.name());
    let flags = install.operator_flags().with("--watch-namespaces", watched);
    let mut operator = flags.start();
    let replica = install.replica();
    apply_many(plane, &install, shop.name(), 15);
    apply_many(plane, &install, bank.name(), 1);
    let token = owner_token(&shop);
    install.wait_programmed(shop.name(), "d14");

    plane.kubectl(&["delete", "td", "--all", "-n", shop.name()]);
    // A new operator judges alike.
    for _ in 0..2 {
        operator.until("it believes none of it", |operator| {
            metric(operator, "disbelieved") == Some(15)
        });
        for at in 0..15 {
            assert!(is_active(&install, shop.name(), &format!("d{at}")), "{at}");
        }
        assert!(
            operator
                .log()
                .contains("kubectl annotate hostclaim <host> mailtrail.dev/confirm-gone=true")
        );
        assert!(is_tracked(&replica, &token, &format!("{}/d3", shop.name())));
        assert!(operator.stop().success());
        operator = flags.start();
    }
    operator.until("it leads", |operator| {
        metric(operator, "disbelieved") == Some(15)
    });

    let first = host(shop.name(), "d0");
    plane.kubectl(&["annotate", "hc", &first, "mailtrail.dev/confirm-gone=true"]);
    plane.wait_for("it is retired", PATIENCE, |plane| {
        claim(plane, &first, "state") == Some(json!("Retired"))
    });
    assert!(is_active(&install, shop.name(), "d1"));
    // All of them applied again: it was a mistake, and nothing of it is left.
    apply_many(plane, &install, shop.name(), 15);
    assert_eq!(metric(&operator, "disbelieved"), Some(0));
    let annotations = &plane.get_json(&claim_path(&first))["metadata"]["annotations"];
    assert!(
        annotations["mailtrail.dev/confirm-gone"].is_null(),
        "for that time only"
    );
}

#[test]
fn a_few_that_are_deleted_are_retired_at_once() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "few");
    let _operator = install.operator();
    let shop = Namespace::new(plane, "shop");
    apply_many(plane, &install, shop.name(), 4);
    plane.kubectl(&["delete", "td", "--all", "-n", shop.name()]);
    let hosts = [0, 1, 2, 3].map(|at| host(shop.name(), &format!("d{at}")));
    plane.wait_for("all are retired", Duration::from_secs(10), |plane| {
        let retired = |host| claim(plane, host, "state") == Some(json!("Retired"));
        hosts.iter().all(|host| retired(host))
    });
}

#[test]
fn without_their_definition_domains_are_served_on_and_with_it_they_are_as_before() {
    let plane = plane();
    let install = Install::new(&plane, "undefined");
    let operator = install.operator();
    let replica = install.replica();
    let shop = Namespace::new(&plane, "shop");
    apply_many(&plane, &install, shop.name(), 3);
    install.wait_programmed(shop.name(), "d0");
    let token = owner_token(&shop);

    plane.kubectl(&["delete", "crd", "trackingdomains.mailtrail.dev"]);
    operator.until("few as they are, it believes none", |operator| {
        metric(operator, "disbelieved") == Some(3)
    });
    for name in ["d0", "d1", "d2"] {
        assert!(is_active(&install, shop.name(), name), "{name}");
        let state = claim(&plane, &host(shop.name(), name), "state");
        assert_eq!(state, Some(json!("Active")), "{name}");
    }
    let domain = format!("{}/d0", shop.name());
    assert!(is_tracked(&replica, &token, &domain));

    plane.crds();
    // Defined again, but not there yet: still a mistake.
    std::thread::sleep(Duration::from_secs(2));
    assert!(is_active(&install, shop.name(), "d1"));
    apply_many(&plane, &install, shop.name(), 3);
    install.wait_programmed(shop.name(), "d0");
    operator.until("all are back", |operator| {
        metric(operator, "disbelieved") == Some(0)
    });
    assert!(is_tracked(&replica, &token, &domain));
}

/// One of these is left alone, and one's edit is refused: neither claims anything again.
fn leave_alone(plane: &ControlPlane, install: &Install<'_>, namespace: &str, taken: &str) {
    let paused = "mailtrail.dev/paused=";
    plane.kubectl(&["annotate", "td", "d2", "-n", namespace, paused]);
    let refused = domain_path(namespace, "d3");
    plane.merge(&refused, &json!({"spec": {"host": taken}}));
    install.wait_reason(namespace, "d3", "Accepted", "HostConflict");
}

#[test]
fn claims_that_are_lost_with_their_definition_are_made_good_and_nobody_else_gets_a_host() {
    let plane = plane();
    let install = Install::new(&plane, "unclaimed");
    let operator = install.operator();
    let (shop, bank) = (
        Namespace::new(&plane, "shop"),
        Namespace::new(&plane, "bank"),
    );
    apply_many(&plane, &install, shop.name(), 4);
    let (old, new) = (host(shop.name(), "d0"), host(shop.name(), "new"));
    let retired = host(shop.name(), "d1");
    // One was renamed, one is gone.
    let path = domain_path(shop.name(), "d0");
    plane.merge(&path, &json!({"spec": {"host": new}}));
    plane.kubectl(&["delete", "td", "d1", "-n", shop.name()]);
    for (host, field, value) in [(&old, "role", "Former"), (&retired, "state", "Retired")] {
        plane.wait_for(value, PATIENCE, |plane| {
            claim(plane, host, field) == Some(json!(value))
        });
    }
    plane.wait_for("all of it is served", PATIENCE, |_| {
        let entry = install.entry(shop.name(), "d0");
        let gone = install.entry(shop.name(), "d1");
        entry.is_some_and(|entry| entry["otherHosts"] == json!([old]))
            && gone.is_some_and(|entry| entry["state"] == "Retired")
    });
    // Newcomers who are after these hosts.
    let hosts = [&old, &new, &retired];
    let names = ["n0", "n1", "n2"];
    for (name, host) in names.iter().zip(hosts) {
        let mut object = object(&install, bank.name(), name);
        object["spec"]["host"] = json!(host);
        plane.apply(&object.to_string());
        install.wait_reason(bank.name(), name, "Accepted", "HostConflict");
    }
    leave_alone(&plane, &install, shop.name(), &new);
    let entries = || ["d0", "d1", "d2", "d3"].map(|name| install.entry(shop.name(), name));
    let served = entries();

    plane.kubectl(&["delete", "crd", "hostclaims.mailtrail.dev"]);
    says(&operator, "the definition of HostClaim is gone or going");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(entries(), served);
    plane.crds();
    let expected = [
        (&new, "Host", "Active"),
        (&old, "Former", "Active"),
        (&retired, "Host", "Retired"),
    ];
    for (host, role, state) in expected {
        plane.wait_for("the claim is made good", PATIENCE * 2, |plane| {
            plane.find_json(&claim_path(host)).is_some()
        });
        let spec = plane.get_json(&claim_path(host))["spec"].clone();
        assert_eq!([&spec["role"], &spec["state"]], [role, state], "{host}");
        assert_eq!(spec["linksOut"], json!(true), "{host}");
        let realm = spec["realm"].as_str().unwrap_or_default();
        assert!(realm.starts_with(shop.name()), "{host} {realm}");
    }
    assert_eq!(entries(), served);
    for name in names {
        install.wait_reason(bank.name(), name, "Accepted", "HostConflict");
    }
}

fn says(operator: &mailtrail_tests::Operator, words: &str) {
    operator.until(words, |operator| operator.log().contains(words));
}

#[test]
fn an_object_that_cannot_be_read_holds_up_no_other_and_is_served_as_it_was() {
    let plane = plane();
    let install = Install::new(&plane, "odd");
    let operator = install.operator();
    let shop = Namespace::new(&plane, "shop");
    apply_many(&plane, &install, shop.name(), 1);

    // Under a looser definition somebody writes what ours does not allow.
    let path = format!("{DEFINITIONS}/trackingdomains.mailtrail.dev");
    let definition = plane.get_json(&path);
    let mut looser = definition.clone();
    looser["spec"]["versions"][0]["schema"]["openAPIV3Schema"] =
        json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    plane.merge(
        &path,
        &json!({"spec": {"versions": looser["spec"]["versions"]}}),
    );
    let mut odd = object(&install, shop.name(), "odd");
    odd["spec"]["opens"] = json!("yes");
    let objects = shop.path("trackingdomains");
    plane.wait_for("it is taken", PATIENCE, |plane| {
        plane.ask("POST", &objects, Some(&odd)).status == 201
    });
    let first = domain_path(shop.name(), "d0");
    plane.merge(&first, &json!({"spec": {"opens": "yes"}}));
    plane.merge(
        &path,
        &json!({"spec": {"versions": definition["spec"]["versions"]}}),
    );
    operator.until("it tells", |operator| {
        metric(operator, "undecodable_total") >= Some(2)
    });
    let log = operator.log();
    assert!(
        log.contains("an object cannot be read") && log.contains("\"odd\""),
        "{log}"
    );

    // Others go on, with this operator and with one that lists them anew.
    assert!(operator.stop().success());
    let operator = install.operator();
    plane.apply(&object(&install, shop.name(), "after").to_string());
    install.wait_reason(shop.name(), "after", "Accepted", "Accepted");
    assert!(is_active(&install, shop.name(), "d0"));
    assert!(metric(&operator, "undecodable_total") >= Some(2));
    // Put right, it is taken up.
    let odd = domain_path(shop.name(), "odd");
    plane.merge(&odd, &json!({"spec": {"opens": {"enabled": true}}}));
    install.wait_reason(shop.name(), "odd", "Accepted", "Accepted");
}

/// How many domains of a namespace are told that they are accepted, how many that
/// they are not, and how many there are.
fn told_accepted(plane: &ControlPlane, namespace: &str) -> (usize, usize, usize) {
    let list = plane.get_json(domain_path(namespace, "").trim_end_matches('/'));
    let all = list["items"].as_array().expect("domains");
    let is = |domain: &&Value, status: &str| {
        let conditions = domain["status"]["conditions"].as_array();
        let mut conditions = conditions.into_iter().flatten();
        conditions.any(|of| of["type"] == "Accepted" && of["status"] == status)
    };
    let count = |status| all.iter().filter(|of| is(of, status)).count();
    (count("True"), count("False"), all.len())
}

#[test]
fn a_policy_says_which_hosts_a_namespace_may_use_and_how_many() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "policy");
    let (shop, bank) = (Namespace::new(plane, "shop"), Namespace::new(plane, "bank"));
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("hosts.yaml");
    let rules = format!(
        "- {{namespaces: [{0}], hosts: ['*.{0}.example'], maxDomains: 2}}\n",
        shop.name()
    );
    std::fs::write(&policy, rules).expect("a file");
    let flags = install.operator_flags();
    let _operator = flags
        .with("--host-policy", policy.to_str().expect("text"))
        .start();
    for (namespace, name, host_of, reason) in [
        (&shop, "a", &shop, "Accepted"),
        // Who is refused for another reason takes no place.
        (&shop, "foreign", &bank, "HostNotAllowed"),
        (&bank, "own", &bank, "HostNotAllowed"),
        (&shop, "b", &shop, "Accepted"),
        (&shop, "third", &shop, "TooManyDomains"),
    ] {
        let mut object = object(&install, namespace.name(), name);
        object["spec"]["host"] = json!(host(host_of.name(), name));
        plane.apply(&object.to_string());
        install.wait_reason(namespace.name(), name, "Accepted", reason);
        assert_eq!(
            install.entry(namespace.name(), name).is_some(),
            reason == "Accepted"
        );
        // Times of making have whole seconds, and the order counts.
        std::thread::sleep(Duration::from_millis(1_000));
    }
    // There is room once another has gone.
    plane.kubectl(&["delete", "td", "a", "-n", shop.name()]);
    install.wait_reason(shop.name(), "third", "Accepted", "Accepted");
    // Nobody gets past it by deleting some and making them anew in a moment.
    for name in ["more", "yet-more"] {
        let of = |name: &str| {
            let mut object = object(&install, shop.name(), name);
            object["spec"]["host"] = json!(host(shop.name(), name));
            object
        };
        plane.kubectl(&["delete", "td", "b", "third", "-n", shop.name()]);
        plane.apply(&of(name).to_string());
        std::thread::sleep(Duration::from_millis(300));
        let anew = ["b", "third"].map(of);
        plane.apply(&json!({"apiVersion": "v1", "kind": "List", "items": anew}).to_string());
        let told = || told_accepted(plane, shop.name());
        plane.wait_for("all are told", PATIENCE, |_| {
            let (accepted, refused, all) = told();
            accepted + refused == all
        });
        assert_eq!(told().0, 2);
    }
}

#[test]
fn a_narrower_policy_and_a_refused_edit_stand_in_the_way_of_turning_nothing_off() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "narrower");
    let shop = Namespace::new(plane, "shop");
    let folder = tempfile::tempdir().expect("a folder");
    let policy = folder.path().join("hosts.yaml");
    let flags = |rule: &str| {
        let rules = format!("- {{namespaces: [{}], {rule}}}\n", shop.name());
        std::fs::write(&policy, rules).expect("a file");
        let policy = policy.to_str().expect("text");
        install.operator_flags().with("--host-policy", policy)
    };
    let operator = flags(&format!(
        "hosts: ['*.{}.example'], maxDomains: 2",
        shop.name()
    ))
    .start();
    for name in ["a", "b"] {
        plane.apply(&object(&install, shop.name(), name).to_string());
        install.wait_reason(shop.name(), name, "Accepted", "Accepted");
    }
    operator.stop();
    let _operator = flags("hosts: [none.example], maxDomains: 1").start();
    let clicks = |name: &str| {
        let entry = install.entry(shop.name(), name).expect("an entry");
        (entry["host"].clone(), entry["clicks"]["enabled"].clone())
    };
    // Both keep what they have, and are edited.
    for name in ["a", "b"] {
        let mut off = object(&install, shop.name(), name);
        off["spec"]["opens"] = json!({"enabled": true});
        plane.apply(&off.to_string());
        install.wait_reason(shop.name(), name, "Accepted", "Accepted");
        assert_eq!(clicks(name).1, true);
    }
    // A host that may not be had is refused; what is turned off with it is off.
    let mut edited = object(&install, shop.name(), "b");
    edited["spec"]["host"] = json!(host(shop.name(), "other"));
    edited["spec"]["clicks"]["enabled"] = json!(false);
    plane.apply(&edited.to_string());
    install.wait_reason(shop.name(), "b", "Accepted", "HostNotAllowed");
    plane.wait_for("clicks are off", PATIENCE, |_| {
        clicks("b") == (json!(host(shop.name(), "b")), json!(false))
    });
    let status = plane.get_json(&domain_path(shop.name(), "b"))["status"].to_string();
    assert!(
        status.contains(&format!("replicas go on with {}", host(shop.name(), "b"))),
        "{status}"
    );
    assert_eq!(clicks("a").1, true);
    // Back as it was it is accepted, and one more is not.
    plane.apply(&object(&install, shop.name(), "b").to_string());
    install.wait_reason(shop.name(), "b", "Accepted", "Accepted");
    plane.wait_for("clicks are on", PATIENCE, |_| clicks("b").1 == true);
    let mut more = object(&install, shop.name(), "c");
    more["spec"]["host"] = json!("none.example");
    plane.apply(&more.to_string());
    install.wait_reason(shop.name(), "c", "Accepted", "TooManyDomains");
}

#[test]
fn namespaces_that_are_not_watched_are_left_alone() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "watched");
    let spaces = ["one", "two", "other"].map(|words| Namespace::new(plane, words));
    let watched = format!("{},{}", spaces[0].name(), spaces[1].name());
    let flags = install.operator_flags();
    let _operator = flags.with("--watch-namespaces", watched).start();
    let other = object(&install, spaces[2].name(), "a");
    plane.apply(&other.to_string());
    for namespace in &spaces[..2] {
        plane.apply(&object(&install, namespace.name(), "a").to_string());
        install.wait_reason(namespace.name(), "a", "Accepted", "Accepted");
    }
    let status = &plane.get_json(&domain_path(spaces[2].name(), "a"))["status"];
    assert!(status.is_null(), "{status}");
    assert!(
        plane
            .find_json(&claim_path(&host(spaces[2].name(), "a")))
            .is_none()
    );
}
