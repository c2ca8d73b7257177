//! Who owns a host: conflicts, renames, releases, namespaces made anew.

use std::time::Duration;

use mailtrail_tests::{ControlPlane, Install, Namespace, Program, domain_path};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::mail;

fn claim_path(host: &str) -> String {
    format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}")
}

fn waived(host: &str) -> Value {
    json!({"host": host, "verification": "None", "clicks": {"enabled": true}})
}

/// Waits until a claim is as it should be.
fn wait_claim(plane: &ControlPlane, host: &str, what: &str, is: impl Fn(Option<&Value>) -> bool) {
    plane.wait_for(what, Duration::from_secs(20), |plane| {
        is(plane.find_json(&claim_path(host)).as_ref())
    });
}

#[test]
fn the_first_owner_keeps_a_host_and_a_newcomer_gets_it_once_it_is_released() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "conflict");
    let _operator = install.operator();
    let (shop, bank) = (Namespace::new(plane, "shop"), Namespace::new(plane, "bank"));
    let host = format!("links.{}.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host));
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    install.apply(bank.name(), "mine", &waived(&host));
    install.wait_reason(bank.name(), "mine", "Accepted", "HostConflict");
    let status = plane.get_json(&domain_path(bank.name(), "mine"))["status"].to_string();
    assert!(!status.contains(shop.name()) || host.contains(shop.name()));
    assert!(
        !status.contains("links\""),
        "who has it is not told: {status}"
    );

    // A claim that is deleted under its owner is its owner's again, and no
    // replica ever has two entries for one host.
    for _ in 0..4 {
        let path = claim_path(&host);
        let uid = plane.get_json(&path)["metadata"]["uid"].clone();
        plane.kubectl(&["delete", "hc", &host]);
        wait_claim(plane, &host, "claimed again", |claim| {
            claim.is_some_and(|claim| claim["metadata"]["uid"] != uid)
        });
        let owner = plane.get_json(&path)["spec"]["realm"].clone();
        assert_eq!(owner, format!("{}/links", shop.name()));
        install.wait_reason(bank.name(), "mine", "Accepted", "HostConflict");
        assert!(install.entry(bank.name(), "mine").is_none());
    }

    // Deleted, the first goes on leading home: the host stays taken.
    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    wait_claim(plane, &host, "retired", |claim| {
        claim.is_some_and(|claim| claim["spec"]["state"] == "Retired")
    });
    install.wait_reason(bank.name(), "mine", "Accepted", "HostConflict");
    // Released by an administrator, it is the newcomer's.
    plane.kubectl(&["delete", "hc", &host]);
    install.wait_reason(bank.name(), "mine", "Accepted", "Accepted");
    plane.wait_for("the former entry goes", Duration::from_secs(10), |_| {
        install.entry(shop.name(), "links").is_none()
    });
}

#[test]
fn a_renamed_host_answers_on_and_forget_gives_all_of_it_up() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "rename");
    let _operator = install.operator();
    let shop = Namespace::new(plane, "shop");
    let (old, new) = (
        format!("old.{}.example", shop.name()),
        format!("new.{}.example", shop.name()),
    );
    install.apply(shop.name(), "links", &waived(&old));
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    install.apply(shop.name(), "links", &waived(&new));
    wait_claim(plane, &old, "the old host is a former one", |claim| {
        claim.is_some_and(|claim| claim["spec"]["role"] == "Former")
    });
    let mut renamed = waived(&new);
    renamed["deletionPolicy"] = json!("Forget");
    install.apply(shop.name(), "links", &renamed);
    wait_claim(plane, &old, "the claim knows the policy", |claim| {
        claim.is_some_and(|claim| claim["spec"]["deletionPolicy"] == "Forget")
    });
    let entry = install.entry(shop.name(), "links").expect("served");
    assert_eq!(entry["host"], new.as_str());
    assert_eq!(entry["otherHosts"], json!([old]));
    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    wait_claim(plane, &old, "the former host is free", |claim| {
        claim.is_none()
    });
    wait_claim(plane, &new, "the host is free", |claim| claim.is_none());
    plane.wait_for("no entry", Duration::from_secs(10), |_| {
        install.entry(shop.name(), "links").is_none()
    });
}

#[test]
fn a_namespace_made_anew_does_not_inherit_hosts() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "anew");
    let _operator = install.operator();
    let replica = install.replica();
    let program = replica.program();
    let (name, url) = {
        let shop = Namespace::new(plane, "shop");
        let name = shop.name().to_owned();
        install.apply(&name, "links", &waived(&format!("a.{name}.example")));
        install.wait_programmed(&name, "links");
        let url = rewritten(program, &owner_token(&shop), &name);
        assert_eq!(program.follow(&url).status, 302);
        (name, url)
    };
    let host = format!("a.{name}.example");
    wait_claim(plane, &host, "retired with its namespace", |claim| {
        claim.is_some_and(|claim| claim["spec"]["state"] == "Retired")
    });
    let path = format!("/api/v1/namespaces/{name}");
    plane.wait_for("the namespace is gone", Duration::from_secs(30), |plane| {
        plane.find_json(&path).is_none()
    });
    let shop = Namespace::exactly(plane, name.clone());
    let token = owner_token(&shop);
    // Nobody has asked for a domain yet, and none of these is this namespace's.
    refused(program, &token, &name);
    install.apply(&name, "links", &waived(&host));
    install.wait_reason(&name, "links", "Accepted", "NamespaceChanged");
    let entry = install
        .entry(&name, "links")
        .expect("links lead home meanwhile");
    assert_eq!(entry["state"], "Orphaned");
    refused(program, &token, &name);
    assert_eq!(program.follow(&url).status, 302);
    plane.kubectl(&["delete", "hc", &host]);
    install.wait_programmed(&name, "links");
    // The host is its own by now, and what was kept before is not.
    let events = || {
        let answer = program.get_as(&token, &format!("/v1/domains/{name}/links/events"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()["events"].clone()
    };
    assert_eq!(events(), json!([]));
    let own = rewritten(program, &token, &name);
    assert_eq!(program.follow(&own).status, 302);
    program.until("its own click is listed", |_| {
        events().as_array().map(Vec::len) == Some(1)
    });
    assert_eq!(program.follow(&url).status, 302, "the old link leads home");
}

/// The link of a mail that was rewritten for a domain.
fn rewritten(program: &Program, token: &str, namespace: &str) -> String {
    let mail = mail(&format!("{namespace}/links"), "m-1");
    let answer = program.post_as(token, "/v1/rewrite", &mail);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let url = answer.json()["report"]["links"][0]["url"].clone();
    url.as_str().expect("a tracked link").to_owned()
}

/// Nothing may be asked for, and nothing is rewritten.
fn refused(program: &Program, token: &str, namespace: &str) {
    for path in ["events", "messages", "messages/m-1", "stats"] {
        let path = format!("/v1/domains/{namespace}/links/{path}");
        let answer = program.get_as(token, &path);
        assert_eq!(answer.status, 403, "{path}: {}", answer.text());
    }
    let mail = mail(&format!("{namespace}/links"), "m-2");
    let answer = program.post_as(token, "/v1/rewrite", &mail);
    assert_eq!(answer.status, 403, "{}", answer.text());
}

#[test]
fn a_host_that_is_released_is_a_newcomers_though_its_owner_is_refused_or_paused() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "released");
    let _operator = install.operator();
    let (shop, bank) = (Namespace::new(plane, "shop"), Namespace::new(plane, "bank"));
    let host = |name: &str| format!("{name}.{}.example", shop.name());
    install.apply(bank.name(), "taken", &waived(&host("taken")));
    install.wait_reason(bank.name(), "taken", "Accepted", "Accepted");
    for name in ["refused", "paused"] {
        install.apply(shop.name(), name, &waived(&host(name)));
        install.wait_reason(shop.name(), name, "Accepted", "Accepted");
    }
    install.apply(shop.name(), "refused", &waived(&host("taken")));
    install.wait_reason(shop.name(), "refused", "Accepted", "HostConflict");
    let paused = "mailtrail.dev/paused=";
    plane.kubectl(&["annotate", "td", "paused", "-n", shop.name(), paused]);
    for name in ["refused", "paused"] {
        install.apply(bank.name(), name, &waived(&host(name)));
        install.wait_reason(bank.name(), name, "Accepted", "HostConflict");
        // Its owner goes on with it until an administrator says otherwise.
        assert!(install.entry(shop.name(), name).is_some(), "{name}");
        plane.kubectl(&["delete", "hc", &host(name)]);
        install.wait_reason(bank.name(), name, "Accepted", "Accepted");
        assert!(install.entry(shop.name(), name).is_none(), "{name}");
    }
    plane.wait_for("it is told", Duration::from_secs(20), |_| {
        let status = plane.get_json(&domain_path(shop.name(), "refused"))["status"].to_string();
        status.contains("nothing of it was accepted before")
    });
    // Goes on again, it has lost its host.
    let paused = "mailtrail.dev/paused-";
    plane.kubectl(&["annotate", "td", "paused", "-n", shop.name(), paused]);
    install.wait_reason(shop.name(), "paused", "Accepted", "HostConflict");
}

#[test]
fn of_two_claims_in_one_instant_one_wins() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "instant");
    let _operator = install.operator();
    let (one, two) = (Namespace::new(plane, "one"), Namespace::new(plane, "two"));
    for round in 0..5 {
        let host = format!("r{round}.{}.example", one.name());
        let name = format!("d{round}");
        std::thread::scope(|scope| {
            for namespace in [&one, &two] {
                let (install, host, name) = (&install, &host, &name);
                let spec = waived(host);
                let object = json!({
                    "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
                    "metadata": {"namespace": namespace.name(), "name": name},
                    "spec": {"host": spec["host"], "verification": "None", "className": install.class()},
                });
                let (path, namespace) = (namespace.path("trackingdomains"), namespace.name());
                scope.spawn(move || {
                    let made = plane.ask("POST", &path, Some(&object));
                    assert_eq!(made.status, 201, "{namespace}: {}", made.body);
                });
            }
        });
        let reason = |namespace: &str| {
            let mut found = None;
            plane.wait_for("it is decided", Duration::from_secs(10), |_| {
                found = install.condition(namespace, &name, "Accepted");
                found.is_some()
            });
            found.map(|(_, reason)| reason).unwrap_or_default()
        };
        let mut reasons = [reason(one.name()), reason(two.name())];
        reasons.sort_unstable();
        assert_eq!(reasons, ["Accepted", "HostConflict"], "round {round}");
    }
}

#[test]
fn a_paused_domain_and_one_of_another_class_are_left_alone() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "paused");
    let _operator = install.operator();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| format!("{name}.{}.example", shop.name());
    let object = |name: &str, class: &str, annotations: Value| {
        json!({
            "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
            "metadata": {"namespace": shop.name(), "name": name, "annotations": annotations},
            "spec": {"host": host(name), "className": class, "verification": "None"},
        })
    };
    let paused = json!({"mailtrail.dev/paused": "true"});
    plane.apply(&object("paused", install.class(), paused).to_string());
    plane.apply(&object("foreign", "another", json!({})).to_string());
    // What comes after them is dealt with, so they have been passed by.
    install.apply(shop.name(), "ours", &waived(&host("ours")));
    install.wait_reason(shop.name(), "ours", "Accepted", "Accepted");
    for name in ["paused", "foreign"] {
        assert!(
            plane.find_json(&claim_path(&host(name))).is_none(),
            "{name}"
        );
        let object = plane.get_json(&domain_path(shop.name(), name));
        assert!(object["status"].is_null(), "{name}: {}", object["status"]);
    }
    // No longer paused, it is dealt with.
    plane.kubectl(&[
        "annotate",
        "td",
        "paused",
        "-n",
        shop.name(),
        "mailtrail.dev/paused-",
    ]);
    install.wait_reason(shop.name(), "paused", "Accepted", "Accepted");
}
