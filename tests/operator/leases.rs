//! Which of two operators writes: stopped, killed, paused, cut off from the API
//! server. What was written, and by whom, is read from its audit log.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use mailtrail_tests::{ControlPlane, Install, Namespace, Operator, domain_path};
use serde_json::{Value, json};

use crate::{metric, status_writes};

/// The lease of these tests.
pub(crate) const LEASE: Duration = Duration::from_secs(3);
/// How late something may be seen from outside.
const LOOKED_AT_WITHIN: Duration = Duration::from_secs(1);
/// How long after a lease has expired another's first write may come: one look
/// at the lease, the beginning of a term, and a busy machine.
const BEGINNING: Duration = Duration::from_millis(1_500);

/// An install of two operators, each with an account of its own.
struct Pair<'a> {
    plane: &'a ControlPlane,
    install: Install<'a>,
    shop: Namespace<'a>,
    other: PathBuf,
}

/// An account `other` that may do what an install's operator may, by this and
/// further Roles; its kubeconfig.
pub(crate) fn second_account(
    plane: &ControlPlane,
    install: &Install<'_>,
    more: &[&str],
) -> PathBuf {
    let namespace = install.namespace().name();
    let account = format!("--serviceaccount={namespace}:other");
    plane.kubectl(&["create", "sa", "other", "-n", namespace]);
    for role in [&["mailtrail-operator"], more].concat() {
        let (binding, role) = (format!("other-{role}"), format!("--role={role}"));
        let create = ["create", "rolebinding", &binding, "-n", namespace];
        plane.kubectl(&[&create[..], &[&role, &account]].concat());
    }
    let role = format!("--clusterrole={namespace}-operator");
    let binding = format!("{namespace}-other");
    plane.kubectl(&["create", "clusterrolebinding", &binding, &role, &account]);
    plane.kubeconfig_of(namespace, "other")
}

/// Says on its end that something is done, also when a test fails before: whoever
/// waits for the word would keep the test from ending.
pub(crate) struct SaysDone<'a>(pub(crate) &'a AtomicBool);

impl Drop for SaysDone<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl<'a> Pair<'a> {
    /// With a domain that is accepted, so that there is something to write.
    fn new(plane: &'a ControlPlane, words: &str) -> Self {
        let install = Install::new(plane, words);
        Self {
            plane,
            other: second_account(plane, &install, &[]),
            install,
            shop: Namespace::new(plane, "shop"),
        }
    }

    /// The operator that leads, and the one that waits.
    fn start(&self) -> (Operator, Operator) {
        let flags = self.install.operator_flags().with("--lease", "3s");
        let first = flags.start();
        first.until("it leads", leads);
        self.apply(true);
        self.install
            .wait_reason(self.shop.name(), "links", "Accepted", "Accepted");
        let second = flags.with_variable("KUBECONFIG", &self.other).start();
        assert!(!leads(&second));
        (first, second)
    }

    fn apply(&self, clicks: bool) {
        let host = format!("links.{}.example", self.shop.name());
        let spec = json!({"host": host, "verification": "None", "clicks": {"enabled": clicks}});
        self.install.apply(self.shop.name(), "links", &spec);
    }

    /// Changes the domain until `done`, some twenty times a second.
    fn change_until(&self, done: &AtomicBool) {
        let path = domain_path(self.shop.name(), "links");
        for round in 0_u32.. {
            if done.load(Ordering::Relaxed) {
                return;
            }
            let clicks = json!({"enabled": round.is_multiple_of(2)});
            self.plane
                .merge(&path, &json!({"spec": {"clicks": clicks}}));
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// What the two have written and was taken, in order: by whom, when, what.
    /// Leases and Kubernetes Events are not meant: no decision rests on them.
    fn writes(&self) -> Vec<Write> {
        let own = format!("system:serviceaccount:{}:", self.install.namespace().name());
        let write = |line: &Value| {
            let by = line["user"]["username"]
                .as_str()?
                .strip_prefix(&own)?
                .to_owned();
            let object = &line["objectRef"];
            let kind = object["resource"].as_str().unwrap_or_default();
            let taken = line["responseStatus"]["code"].as_u64() < Some(300);
            let counts = taken && !matches!(kind, "leases" | "events");
            counts.then(|| Write {
                by,
                at: micros(&line["requestReceivedTimestamp"]),
                what: format!("{} {kind} {}", line["verb"], object["name"]),
            })
        };
        self.plane.audit().iter().filter_map(write).collect()
    }

    /// The second's first write.
    fn takeover(&self) -> Write {
        let mut first = None;
        self.plane.wait_for("the other one writes", LEASE * 5, |_| {
            first = self.writes().into_iter().find(Write::is_by_other);
            first.is_some()
        });
        first.expect("it was waited for")
    }
}

#[derive(Debug, Clone)]
struct Write {
    by: String,
    /// In microseconds.
    at: i64,
    what: String,
}

impl Write {
    fn is_by_other(&self) -> bool {
        self.by == "other"
    }
}

pub(crate) fn micros(time: &Value) -> i64 {
    let time: MicroTime = serde_json::from_value(time.clone()).expect("a time");
    time.0.as_microsecond()
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(now.expect("after 1970").as_micros()).expect("before 292277")
}

pub(crate) fn leads(operator: &Operator) -> bool {
    metric(operator, "leading") == Some(1)
}

#[test]
fn who_is_asked_to_stop_hands_over_within_a_second() {
    let pair = Pair::new(ControlPlane::shared(), "handover");
    let (first, _second) = pair.start();
    let begun = now();
    assert!(first.stop().success());
    let taken = pair.takeover().at - begun;
    assert!(taken < 1_000_000, "{taken} µs");
    // And decides from then on.
    pair.apply(false);
    pair.install
        .wait_reason(pair.shop.name(), "links", "Accepted", "Accepted");
}

#[test]
fn a_new_leader_rewrites_no_status_that_is_true() {
    let pair = Pair::new(ControlPlane::shared(), "quiet");
    let (first, second) = pair.start();
    let _replica = pair.install.replica();
    pair.install.wait_programmed(pair.shop.name(), "links");
    let writes = || status_writes(pair.plane, pair.shop.name(), "links");
    let written = writes();
    assert!(first.stop().success());
    pair.takeover();
    second.until("it has looked at all there is", |second| {
        metric(second, "reconciles_total") >= Some(2)
    });
    std::thread::sleep(LEASE);
    assert_eq!(writes(), written);
    pair.install.wait_programmed(pair.shop.name(), "links");
}

#[test]
fn who_is_killed_is_followed_when_the_lease_expires_and_not_before() {
    let pair = Pair::new(ControlPlane::shared(), "killed");
    let (first, _second) = pair.start();
    let begun = now();
    first.kill();
    let taken = u64::try_from(pair.takeover().at - begun).expect("after the kill");
    let taken = Duration::from_micros(taken);
    assert!(taken < LEASE + BEGINNING, "{taken:?}");
    // What is left of the lease: a renewal is at most a sixth of it old.
    assert!(taken > LEASE * 2 / 3, "{taken:?}");
}

#[test]
fn who_was_paused_writes_nothing_after_the_other_ones_first_write() {
    let pair = Pair::new(ControlPlane::shared(), "paused");
    let (first, second) = pair.start();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| pair.change_until(&done));
        let _done = SaysDone(&done);
        pair.plane.wait_for("changes are written", LEASE * 5, |_| {
            pair.writes().len() > 20
        });
        first.signal("STOP");
        pair.takeover();
        // It writes before the one that was paused wakes up.
        std::thread::sleep(LEASE / 3);
        first.signal("CONT");
        first.until("it knows", |first| !leads(first));
        std::thread::sleep(LEASE / 2);
    });
    // A status is refused while its object changes quicker than it is written.
    pair.install
        .wait_reason(pair.shop.name(), "links", "Accepted", "Accepted");
    let writes = pair.writes();
    let taken = writes
        .iter()
        .position(Write::is_by_other)
        .expect("taken over");
    let (before, after) = writes.split_at(taken);
    assert!(before.iter().any(|write| !write.is_by_other()));
    let late: Vec<_> = after.iter().filter(|write| !write.is_by_other()).collect();
    assert!(late.is_empty(), "{late:?}");
    // All kinds that the rule is for were written by the new one: the shard and
    // the keyring are touched first.
    let kinds: HashSet<_> = after.iter().map(|w| w.what.split(' ').nth(1)).collect();
    for kind in ["configshards", "secrets", "trackingdomains"] {
        assert!(kinds.contains(&Some(kind)), "{kinds:?}");
    }
    assert!(leads(&second) && first.get("/live").status == 200);
    // The new one pauses, too, and the first has its turn again.
    second.kill();
    first.until("it leads again", leads);
}

#[test]
fn without_the_api_server_leading_ends_and_the_process_lives_and_goes_on() {
    let plane = ControlPlane::own();
    plane.crds();
    let pair = Pair::new(&plane, "cut-off");
    let (first, second) = pair.start();
    plane.pause_api();
    let begun = Instant::now();
    first.until("it does not lead any more", |first| !leads(first));
    // It is looked from outside, on a machine that does other things as well.
    let took = begun.elapsed();
    assert!(took < LEASE + LOOKED_AT_WITHIN, "{took:?}");
    std::thread::sleep(LEASE);
    for operator in [&first, &second] {
        assert!(!leads(operator) && operator.get("/live").status == 200);
    }
    plane.resume_api();
    pair.apply(false);
    pair.install
        .wait_reason(pair.shop.name(), "links", "Accepted", "Accepted");
    assert!(leads(&first) != leads(&second), "one of them");
}
