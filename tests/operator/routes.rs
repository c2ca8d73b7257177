//! Routes of many hosts, and of two operators that follow each other: how much is
//! written, and what becomes of a write that comes too late.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mailtrail_tests::{ControlPlane, Namespace, PATIENCE, domain_path};
use serde_json::{Value, json};

use crate::exposure::{Exposing, INGRESS, until_gone, waived};
use crate::leases::{LEASE, SaysDone, leads, micros, second_account};
use crate::{metric, settled};

/// Hosts of the test of many.
const MANY: usize = 200;
/// Routes that may be written at a time, as `operator/src/expose.rs` has it.
const AT_A_TIME: usize = 4;

/// What an account of the install has written to routes, or tried to, all that can
/// be seen included.
fn route_writes(plane: &ControlPlane, exposing: &Exposing<'_>, account: &str) -> Vec<Value> {
    let namespace = exposing.install.namespace().name();
    let user = format!("system:serviceaccount:{namespace}:{account}");
    settled(plane, |line| {
        line["objectRef"]["resource"] == "ingresses" && line["user"]["username"] == user.as_str()
    })
}

/// How often each verb was answered so.
fn counted(writes: &[Value]) -> BTreeMap<(String, u64), usize> {
    let mut counted = BTreeMap::new();
    for line in writes {
        let verb = line["verb"].as_str().expect("a verb").to_owned();
        let code = line["responseStatus"]["code"].as_u64().expect("a status");
        *counted.entry((verb, code)).or_default() += 1;
    }
    counted
}

/// The most that were under way at one moment.
fn at_a_time(writes: &[Value]) -> usize {
    let mut moments: Vec<_> = writes
        .iter()
        .flat_map(|line| {
            let (from, to) = (&line["requestReceivedTimestamp"], &line["stageTimestamp"]);
            // An end before the beginning of the same moment.
            [(micros(from), 1), (micros(to), -1)]
        })
        .collect();
    moments.sort_unstable();
    let mut now = 0_i64;
    let most = moments.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    usize::try_from(most.max().unwrap_or_default()).expect("some")
}

#[test]
fn each_of_many_hosts_is_written_once_a_few_at_a_time_and_not_again_unless_it_changes() {
    let plane = ControlPlane::shared();
    if !plane.is_own() {
        eprintln!("passed over: writes are counted in the audit log of an API server of our own");
        return;
    }
    let exposing = Exposing::new(plane, "many", "ingress");
    let (install, shop) = (&exposing.install, Namespace::new(plane, "shop"));
    let operator = exposing.flags(INGRESS).start();
    let domains = domain_path(shop.name(), "");
    let host = |number| format!("h{number}.{}.tracked.example", shop.name());
    for number in 0..MANY {
        let mut spec = waived(&host(number), &[]);
        spec["className"] = json!(install.class());
        let name = format!("d{number}");
        let domain = json!({"apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain", "metadata": {"name": name}, "spec": spec});
        plane.create(domains.trim_end_matches('/'), &domain);
    }
    let all_stand =
        |operator: &_| metric(operator, r#"routes{reason="Exposed"}"#) == Some(MANY as u64);
    plane.wait_for("all stand", 4 * PATIENCE, |_| all_stand(&operator));
    let list = plane.get_json(exposing.ingress("").trim_end_matches('/'));
    let made = list["items"].as_array().expect("a list");
    let hosts = made.iter().map(|made| {
        assert_eq!(made["metadata"]["name"], made["spec"]["rules"][0]["host"]);
        made["metadata"]["name"].as_str().expect("a name")
    });
    let expected: BTreeSet<_> = (0..MANY).map(host).collect();
    assert_eq!(hosts.map(str::to_owned).collect::<BTreeSet<_>>(), expected);
    let writes = || route_writes(plane, &exposing, "mailtrail-operator");
    let created = writes();
    let of = |verb: &str, code| (verb.to_owned(), code);
    assert_eq!(
        counted(&created),
        BTreeMap::from([(of("create", 201), MANY)])
    );
    let most = at_a_time(&created);
    assert!((1..=AT_A_TIME).contains(&most), "{most} at a time");

    // Neither another operator nor a change of something else writes any.
    operator.stop();
    let operator = exposing.flags(INGRESS).start();
    plane.wait_for("all were looked at", 4 * PATIENCE, |_| all_stand(&operator));
    plane.merge(
        &domain_path(shop.name(), "d7"),
        &json!({"spec": {"clicks": {"enabled": false}}}),
    );
    install.wait_reason(shop.name(), "d7", "Exposed", "Exposed");
    assert_eq!(writes().len(), MANY);

    // Another setting writes each: whose manager is changed first.
    operator.stop();
    let other = INGRESS.replace("nginx", "haproxy");
    let operator = exposing.flags(&other).start();
    plane.wait_for("all were looked at", 4 * PATIENCE, |_| all_stand(&operator));
    let written = writes().split_off(MANY);
    assert_eq!(
        counted(&written),
        BTreeMap::from([(of("patch", 200), 2 * MANY)])
    );
    let most = at_a_time(&written);
    assert!((1..=AT_A_TIME).contains(&most), "{most} at a time");
}

#[test]
fn who_was_paused_writes_no_route_after_the_other_one_has() {
    let plane = ControlPlane::shared();
    if !plane.is_own() {
        eprintln!("passed over: writes are read from the audit log of an API server of our own");
        return;
    }
    let exposing = Exposing::new(plane, "fenced", "ingress");
    let (install, shop) = (&exposing.install, Namespace::new(plane, "shop"));
    let other = second_account(plane, install, &["mailtrail-operator-ingress"]);
    let flags = exposing.flags(INGRESS).with("--lease", "3s");
    let first = flags.start();
    first.until("it leads", leads);
    let hosts: Vec<_> = (0..8)
        .map(|number| format!("h{number}.{}.tracked.example", shop.name()))
        .collect();
    let aliases: Vec<_> = hosts[1..].iter().map(String::as_str).collect();
    install.apply(shop.name(), "links", &waived(&hosts[0], &aliases));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    let second = flags.with_variable("KUBECONFIG", &other).start();
    let repairs_of = |account| {
        let mut repairs = route_writes(plane, &exposing, account);
        repairs.retain(|line| line["responseStatus"]["code"].as_u64() < Some(300));
        repairs
    };

    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| keep_changing(plane, &exposing, &hosts, &done));
        let _done = SaysDone(&done);
        plane.wait_for("what is changed is changed back", PATIENCE, |plane| {
            seen(plane, &exposing, "mailtrail-operator") > 8 + 8
        });
        first.signal("STOP");
        plane.wait_for("the other one changes back", PATIENCE, |plane| {
            seen(plane, &exposing, "other") > 0
        });
        // It writes before the one that was paused wakes up, which finds much to do.
        std::thread::sleep(LEASE / 3);
        first.signal("CONT");
        first.until("it knows", |first| !leads(first));
        std::thread::sleep(LEASE / 2);
    });
    for host in &hosts {
        plane.wait_for("it is as it should be", PATIENCE, |plane| {
            plane.get_json(&exposing.ingress(host))["spec"]["rules"][0]["host"] == host.as_str()
        });
    }
    let begun = micros(&repairs_of("other")[0]["requestReceivedTimestamp"]);
    let of_first = repairs_of("mailtrail-operator");
    let late: Vec<_> = of_first
        .iter()
        .filter(|line| micros(&line["requestReceivedTimestamp"]) > begun)
        .collect();
    assert!(late.is_empty(), "{late:#?}");
    assert!(leads(&second) && first.get("/live").status == 200);
}

/// Changes routes, one after the other, until it is done.
fn keep_changing(
    plane: &ControlPlane,
    exposing: &Exposing<'_>,
    hosts: &[String],
    done: &AtomicBool,
) {
    let stolen = json!({"spec": {"rules": [{"host": "stolen.example"}]}});
    for host in hosts.iter().cycle() {
        if done.load(Ordering::Relaxed) {
            return;
        }
        plane.merge(&exposing.ingress(host), &stolen);
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// How many writes of routes there are in the log by now.
fn seen(plane: &ControlPlane, exposing: &Exposing<'_>, account: &str) -> usize {
    let namespace = exposing.install.namespace().name();
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let is_one = |line: &&Value| {
        line["objectRef"]["resource"] == "ingresses" && line["user"]["username"] == user.as_str()
    };
    plane.audit().iter().filter(is_one).count()
}

#[test]
fn a_route_that_is_written_too_late_does_not_stand() {
    // Nobody collects garbage here: it is the operator that removes what should not
    // be.
    let plane = ControlPlane::own_without_controllers();
    plane.crds();
    let exposing = Exposing::new(&plane, "late", "ingress");
    let (install, shop) = (&exposing.install, Namespace::new(&plane, "shop"));
    let _operator = exposing.flags(INGRESS).start();
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    let path = exposing.ingress(&host);
    let made = plane.get_json(&path);

    // What an operator sends that leads no more, and has looked before: an apply
    // on top of the version that stood then, and a route where none stood.
    let late = |flags: &[&str], of: &[&str]| {
        let mut object = made.clone();
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        metadata.retain(|field, _| {
            let kept = [
                "name",
                "namespace",
                "labels",
                "annotations",
                "ownerReferences",
            ];
            kept.contains(&field.as_str()) || of.contains(&field.as_str())
        });
        object["spec"]["ingressClassName"] = json!("of-old");
        object.as_object_mut().expect("an object").remove("status");
        let flags = [flags, &["--field-manager=mailtrail-operator", "-f", "-"]].concat();
        let kubeconfig = install.namespace().operator_kubeconfig();
        let output = plane.kubectl_as(&kubeconfig, &flags, &object.to_string());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    let apply = ["apply", "--server-side", "--force-conflicts"];
    let decided_on = ["uid", "resourceVersion"];
    plane.merge(
        &path,
        &json!({"metadata": {"annotations": {"theirs.example/note": "new"}}}),
    );
    let refused = late(&apply, &decided_on).expect_err("the route has changed since");
    assert!(
        refused.contains("the object has been modified"),
        "{refused}"
    );
    let refused = late(&["create"], &[]).expect_err("a route stands");
    assert!(refused.contains("already exists"), "{refused}");
    assert_eq!(plane.get_json(&path)["spec"], made["spec"]);

    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    plane.wait_for("retired", PATIENCE, |plane| {
        let claim = plane.get_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"));
        claim["spec"]["state"] == "Retired"
    });
    plane.kubectl(&["delete", "hc", &host]);
    until_gone(&plane, &path);
    let refused = late(&apply, &decided_on).expect_err("the route is gone");
    assert!(plane.find_json(&path).is_none(), "{refused}");
    late(&["create"], &[]).expect("nothing is in its way");
    until_gone(&plane, &path);
}
