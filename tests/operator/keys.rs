//! The keyring: made once, never replaced, rotated only with everybody.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Secret;
use mailtrail_core::keyring::{KEY_BYTES, KeyState, Keyring};
use mailtrail_tests::{
    Answer, ControlPlane, FakePod, Install, Namespace, Operator, PodSpec, Program, Replica,
    commands,
};
use serde_json::json;

use crate::callers::owner_token;
use crate::{leads_home, mail, metric, tracked_link};

/// How long a key is active before the next one is staged, in tests of rotation.
const OFTEN: &str = "1s";

fn secret_path(install: &Install<'_>) -> String {
    install.namespace().core_path("secrets/mailtrail-keyring")
}

/// The keyring's document as it stands in the cluster, if it does.
fn document(plane: &ControlPlane, install: &Install<'_>) -> Option<String> {
    let secret = plane.find_json(&secret_path(install))?;
    let secret: Secret = serde_json::from_value(secret).expect("a Secret");
    let document = secret.data?.remove("keyring.json")?;
    Some(String::from_utf8(document.0).expect("text"))
}

fn keyring(plane: &ControlPlane, install: &Install<'_>) -> Keyring {
    let document = document(plane, install).expect("a keyring");
    Keyring::parse(document.as_bytes()).expect("a good one")
}

/// Puts this document there, as an administrator would.
fn edit(plane: &ControlPlane, install: &Install<'_>, document: &str) {
    let patch = json!({"stringData": {"keyring.json": document}});
    plane.merge(&secret_path(install), &patch);
}

fn domain(install: &Install<'_>, shop: &Namespace<'_>) {
    let host = format!("links.{}.example", shop.name());
    let spec = json!({"host": host, "verification": "None", "clicks": {"enabled": true}});
    install.apply(shop.name(), "links", &spec);
}

/// Rewrites a mail and gives its link.
fn link(program: &Program, token: &str, shop: &Namespace<'_>, message: &str) -> String {
    let domain = format!("{}/links", shop.name());
    let answer = program.post_as(token, "/v1/rewrite", &mail(&domain, message));
    assert_eq!(answer.status, 200, "{}", answer.text());
    tracked_link(&answer.json()).expect("clicks are on")
}

fn says(operator: &Operator, words: &str) {
    operator.until(words, |operator| operator.log().contains(words));
}

#[test]
fn a_keyring_is_made_at_the_first_start_and_never_again() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "first");
    let operator = install.operator();
    operator.until("there is a keyring", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
    let made = document(plane, &install).expect("made");
    let secret = plane.get_json(&secret_path(&install));
    assert!(secret["metadata"]["ownerReferences"].is_null());
    assert!(!operator.log().contains(&made));
    assert!(operator.stop().success());
    let operator = install.operator();
    operator.until("there is a keyring", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
    assert_eq!(document(plane, &install), Some(made));
}

#[test]
fn with_hosts_claimed_a_missing_keyring_is_not_made_but_asked_for() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "missing");
    let shop = Namespace::new(plane, "shop");
    let flags = install.operator_flags();
    let operator = flags.start();
    domain(&install, &shop);
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    assert!(operator.stop().success());
    let backup = document(plane, &install).expect("made");
    plane.ask("DELETE", &secret_path(&install), None).taken();

    let operator = flags.start();
    says(
        &operator,
        "the Secret mailtrail-keyring is missing, but hosts are claimed: restore it",
    );
    assert_eq!(metric(&operator, "keyring_ok"), Some(0));
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(document(plane, &install), None);
    // What is no matter of keys goes on.
    domain(&install, &shop);
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    // Restored, it is taken up.
    let secret = json!({
        "metadata": {"name": "mailtrail-keyring"}, "stringData": {"keyring.json": backup},
    });
    plane.create(&install.namespace().core_path("secrets"), &secret);
    operator.until("the keyring is there again", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
}

#[test]
fn a_keyring_deleted_under_a_running_operator_is_not_replaced_and_links_work_on() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "deleted");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator_flags().with("--rotate-keys", "2s").start();
    let replica = install.replica();
    domain(&install, &shop);
    install.wait_programmed(shop.name(), "links");
    let token = owner_token(&shop);
    let before = link(replica.program(), &token, &shop, "m-1");
    says(&operator, "a new key seals links now");

    plane.ask("DELETE", &secret_path(&install), None).taken();
    says(&operator, "the Secret mailtrail-keyring is missing");
    assert_eq!(metric(&operator, "keyring_ok"), Some(0));
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(document(plane, &install), None, "older than a rotation");
    let after = link(replica.program(), &token, &shop, "m-2");
    for link in [before, after] {
        assert!(leads_home(replica.program(), &link));
    }
}

#[test]
fn a_staged_key_waits_for_every_pod_that_is_not_terminating() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "staged");
    let _replica = {
        let operator = install.operator();
        let replica = install.replica();
        assert!(operator.stop().success());
        replica
    };
    // Nobody answers there, and it is not ready either.
    let silent = PodSpec {
        ready: false,
        ..PodSpec::of_dataplane("silent", ([127, 0, 0, 1], 9).into())
    };
    let silent = FakePod::new(plane, install.namespace(), &silent);
    let flags = install.operator_flags().with("--rotate-keys", OFTEN);
    let operator = flags.start();
    plane.wait_for("a key is staged", Duration::from_secs(20), |plane| {
        keyring(plane, &install).staged().is_some()
    });
    let staged = keyring(plane, &install);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(keyring(plane, &install), staged);
    // Another operator does not take an unknown crowd for none.
    assert!(operator.stop().success());
    let operator = flags.start();
    operator.until("it leads", |operator| {
        metric(operator, "leading") == Some(1)
    });
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(keyring(plane, &install), staged);

    silent.terminate();
    let next = staged.staged().expect("staged").id;
    plane.wait_for("the key is active", Duration::from_secs(10), |plane| {
        let keyring = keyring(plane, &install);
        keyring.find(next).map(|key| key.state) != Some(KeyState::Staged)
    });
}

#[test]
fn a_key_is_activated_only_after_the_slowest_replica_has_it() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "slow");
    let slow = Duration::from_secs(2);
    let operator = install.operator();
    let _replicas = [install.replica(), install.replica_behind(slow)];
    assert!(operator.stop().success());
    let flags = install.operator_flags();
    let _operator = flags.with("--rotate-keys", "3s").start();
    let before = keyring(plane, &install).active().id;
    let mut staged = None;
    plane.wait_for("a rotation", Duration::from_secs(30), |plane| {
        let keyring = keyring(plane, &install);
        if keyring.staged().is_some() {
            staged.get_or_insert_with(Instant::now);
        }
        keyring.active().id != before
    });
    let took = staged.expect("seen").elapsed();
    assert!(took >= slow - Duration::from_millis(200), "{took:?}");
}

#[test]
fn what_is_revoked_by_hand_opens_nothing_and_a_bad_document_changes_nothing() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "revoked");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator();
    let replica = install.replica();
    let program = replica.program();
    domain(&install, &shop);
    install.wait_programmed(shop.name(), "links");
    let token = owner_token(&shop);
    let old = link(program, &token, &shop, "m-1");

    // Another key seals from now on, and the old one opens nothing.
    let mut random = [7; 3 + KEY_BYTES];
    random[3] = 8;
    let rotated = keyring(plane, &install).stage(random).expect("a key more");
    let next = rotated.staged().expect("staged").id;
    let rotated = rotated.activate(next).expect("staged before").to_document();
    edit(plane, &install, &rotated.replace("VerifyOnly", "Revoked"));
    program.until("the old key opens nothing", |program| {
        !leads_home(program, &old)
    });
    let answer = program.follow(&old);
    assert!(
        answer.header("location").is_none() && answer.status == 404,
        "{}",
        answer.status
    );
    let new = link(program, &token, &shop, "m-2");
    assert!(leads_home(program, &new));

    // Without an active key it is no keyring: what is in use stays.
    let none = rotated
        .replace("VerifyOnly", "Revoked")
        .replace("Active", "Revoked");
    edit(plane, &install, &none);
    says(
        &operator,
        "must have exactly one Active key, this one has 0",
    );
    assert_eq!(metric(&operator, "keyring_ok"), Some(0));
    program.until("it is told", |program| {
        program.log().contains("the keys in use stay")
    });
    assert!(leads_home(program, &new));
    assert!(leads_home(program, &link(program, &token, &shop, "m-3")));
    edit(plane, &install, &rotated.replace("VerifyOnly", "Revoked"));
    operator.until("the keyring is good again", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
}

/// What the page on operating tells to type under a heading, for this install.
fn typed(plane: &ControlPlane, install: &Install<'_>, heading: &str, number: usize) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let lines = commands("docs/OPERATE.md", heading, number);
    let lines = lines.replace("mailtrail-system", install.namespace().name());
    // The key in the page's example is the oldest one.
    let keyring = document(plane, install).and_then(|text| Keyring::parse(text.as_bytes()).ok());
    let oldest = keyring.and_then(|keyring| keyring.states().next().map(|(id, _)| id));
    let lines = match oldest {
        Some(id) => lines.replace("7f3a01", &id.to_string()),
        None => lines,
    };
    plane.sh(folder.path(), &lines)
}

#[test]
fn a_rotation_is_had_at_once_and_a_key_revoked_by_what_the_page_says() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "by-hand");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator();
    let replica = install.replica();
    let program = replica.program();
    domain(&install, &shop);
    install.wait_programmed(shop.name(), "links");
    let token = owner_token(&shop);
    let old = link(program, &token, &shop, "m-1");
    let first = keyring(plane, &install).active().id;

    typed(plane, &install, "Keys", 0);
    says(&operator, "a new key seals links now");
    let rotated = keyring(plane, &install);
    assert_ne!(rotated.active().id, first);
    program.until("the new key seals", |program| {
        link(program, &token, &shop, "m-1") != old
    });
    let new = link(program, &token, &shop, "m-2");
    assert!(leads_home(program, &old) && leads_home(program, &new));

    typed(plane, &install, "Keys", 1);
    program.until("the old key opens nothing", |program| {
        !leads_home(program, &old)
    });
    let states: Vec<_> = keyring(plane, &install).states().collect();
    assert_eq!(states[0], (first, KeyState::Revoked));
    assert!(leads_home(program, &new));
    assert_eq!(metric(&operator, "keyring_ok"), Some(1));
}

#[test]
fn a_lost_keyring_is_begun_anew_by_hand_and_the_old_one_is_put_beside_it_when_it_turns_up() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "begun");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator();
    domain(&install, &shop);
    let token = owner_token(&shop);
    let old = {
        let replica = install.replica();
        install.wait_programmed(shop.name(), "links");
        link(replica.program(), &token, &shop, "m-1")
    };
    let lost = document(plane, &install).expect("made");
    plane.ask("DELETE", &secret_path(&install), None).taken();
    says(&operator, "the Secret mailtrail-keyring is missing");

    typed(plane, &install, "Losing the keyring", 1);
    operator.until("there is a keyring", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
    // None that runs has the keys any more.
    let replica = install.replica();
    let program = replica.program();
    install.wait_programmed(shop.name(), "links");
    assert!(leads_home(program, &link(program, &token, &shop, "m-2")));
    let answer = program.follow(&old);
    assert!(answer.header("location").is_none(), "{}", answer.status);

    let begun = document(plane, &install).expect("made by hand");
    let keys = |text: &str| -> Vec<serde_json::Value> {
        let text: serde_json::Value = serde_json::from_str(text).expect("JSON");
        text["keys"].as_array().expect("keys").clone()
    };
    let mut beside = keys(&begun);
    beside.extend(keys(&lost).into_iter().map(|mut key| {
        key["state"] = json!("VerifyOnly");
        key
    }));
    edit(
        plane,
        &install,
        &json!({"version": 1, "keys": beside}).to_string(),
    );
    program.until("old links live again", |program| leads_home(program, &old));
}

#[test]
fn the_keyring_comes_back_from_the_backup_that_the_page_makes() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "backup");
    let shop = Namespace::new(plane, "shop");
    let operator = install.operator();
    domain(&install, &shop);
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    let made = document(plane, &install).expect("made");
    let folder = tempfile::tempdir().expect("a folder");
    let here = |heading| {
        let lines = commands("docs/OPERATE.md", heading, 0);
        let lines = lines.replace("mailtrail-system", install.namespace().name());
        plane.sh(folder.path(), &lines)
    };
    here("Backup");
    plane.ask("DELETE", &secret_path(&install), None).taken();
    says(&operator, "the Secret mailtrail-keyring is missing");
    here("Restore");
    operator.until("there is a keyring", |operator| {
        metric(operator, "keyring_ok") == Some(1)
    });
    assert_eq!(document(plane, &install), Some(made));
}

/// `make rotate` asks for a minute.
fn seconds() -> u64 {
    let given = std::env::var("MAILTRAIL_ROTATE_SECONDS").ok();
    given.map_or(15, |given| given.parse().expect("a number"))
}

#[test]
fn no_link_is_refused_while_keys_rotate_every_second_and_a_replica_is_slow() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "rotate");
    let shop = Namespace::new(plane, "shop");
    let operator = install
        .operator_flags()
        .with("--rotate-keys", OFTEN)
        .start();
    let replicas = [0, 100, 700].map(|delay| install.replica_behind(Duration::from_millis(delay)));
    domain(&install, &shop);
    install.wait_programmed(shop.name(), "links");
    let token = owner_token(&shop);
    let first = link(replicas[0].program(), &token, &shop, "first");
    let first_key = keyring(plane, &install).active().id;

    let (until, sent) = (
        Instant::now() + Duration::from_secs(seconds()),
        AtomicU32::new(0),
    );
    let refused: Vec<String> = std::thread::scope(|scope| {
        let load = |at: usize| {
            let (token, replicas, shop, sent) = (&token, &replicas, &shop, &sent);
            scope.spawn(move || load(replicas, token, shop, (at, until, sent)))
        };
        let loads = [0, 1, 2].map(load);
        let refused = loads.map(|load| load.join().expect("no load panics"));
        refused.concat()
    });
    let sent = sent.load(Ordering::Relaxed);
    assert!(
        refused.is_empty(),
        "{} of {sent}: {refused:#?}",
        refused.len()
    );
    let keyring = keyring(plane, &install);
    let keys = keyring.states().count();
    // A rotation waits for a second of age, and for the slow one.
    assert!(
        keys as u64 > seconds() / 5,
        "{keys} keys\n{}",
        operator.log()
    );
    assert!(u64::from(sent) > seconds() * 10, "{sent} links");
    assert_ne!(keyring.active().id, first_key);
    for replica in &replicas {
        assert!(leads_home(replica.program(), &first));
    }
    eprintln!("{sent} links over {keys} keys");
}

/// Sends mails over one replica, and follows their links at all others at
/// once; what was refused, as it was told.
fn load(
    replicas: &[Replica<'_>],
    token: &str,
    shop: &Namespace<'_>,
    (at, until, sent): (usize, Instant, &AtomicU32),
) -> Vec<String> {
    let mut refused = Vec::new();
    for round in 0_usize.. {
        if Instant::now() >= until {
            break;
        }
        let by = (at + round) % replicas.len();
        let url = link(
            replicas[by].program(),
            token,
            shop,
            &format!("m-{at}-{round}"),
        );
        for replica in replicas
            .iter()
            .cycle()
            .skip(by + 1)
            .take(replicas.len() - 1)
        {
            let answer = replica.program().follow(&url);
            sent.fetch_add(1, Ordering::Relaxed);
            if !is_home(&answer) {
                refused.push(format!("{} {}", answer.status, answer.text()));
            }
        }
    }
    refused
}

fn is_home(answer: &Answer) -> bool {
    answer.header("location") == Some("https://shop.example/offer")
}
