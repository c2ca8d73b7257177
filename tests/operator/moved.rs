//! An install is backed up and brought to another cluster by what the page on
//! operating says, word for word.

use std::path::Path;

use mailtrail_tests::{ControlPlane, Install, Namespace, PATIENCE, commands};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::{leads_home, mail, tracked_link};

const PAGE: &str = "docs/OPERATE.md";
/// Domains of the shop: in use, deleted, and renamed since links were sent.
const DOMAINS: [&str; 3] = ["links", "gone", "renamed"];

fn spec(host: &str) -> Value {
    json!({
        "host": host, "verification": "None", "opens": {"enabled": true}, "clicks": {"enabled": true},
    })
}

fn claim(plane: &ControlPlane, host: &str, field: &str) -> Option<Value> {
    let claim = plane.find_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"))?;
    Some(claim["spec"][field].clone())
}

fn keyring(plane: &ControlPlane) -> Value {
    let path = "/api/v1/namespaces/mailtrail-system/secrets/mailtrail-keyring";
    plane.get_json(path)["data"].clone()
}

/// A cluster that is left, and what is taken from it into the folder: the backup
/// and the volume. Gives the links of mails that were sent, the events, and the
/// keyring.
fn left(folder: &Path) -> (Vec<String>, Vec<Value>, Value) {
    let plane = ControlPlane::own();
    plane.crds();
    let install = Install::exactly(&plane, "mailtrail-system");
    let operator = install.operator();
    let mut replica = install.replica();
    let shop = Namespace::exactly(&plane, "shop".to_owned());
    let token = owner_token(&shop);
    let mut links = Vec::new();
    for name in DOMAINS {
        install.apply("shop", name, &spec(&format!("{name}.shop.example")));
        install.wait_programmed("shop", name);
        let program = replica.program();
        let answer = program.post_as(&token, "/v1/rewrite", &mail(&format!("shop/{name}"), "m-1"));
        let link = tracked_link(&answer.json()).expect("clicks are on");
        assert!(leads_home(program, &link));
        links.push(link);
    }
    plane.kubectl(&["delete", "td", "gone", "-n", "shop"]);
    install.apply("shop", "renamed", &spec("new.shop.example"));
    for (host, field, value) in [
        ("gone.shop.example", "state", "Retired"),
        ("renamed.shop.example", "role", "Former"),
    ] {
        plane.wait_for(value, PATIENCE, |plane| {
            claim(plane, host, field) == Some(json!(value))
        });
    }
    let events = events(replica.program(), &token, 1);
    assert!(operator.stop().success());
    plane.sh(folder, &commands(PAGE, "Backup", 0));
    replica.kill();
    let copy = format!("cp -a {} {}", replica.data().display(), folder.display());
    plane.sh(folder, &copy);
    (links, events, keyring(&plane))
}

/// The events of the shop's domain, once there are so many.
fn events(program: &mailtrail_tests::Program, token: &str, count: usize) -> Vec<Value> {
    let mut events = Vec::new();
    program.until("all events are listed", |program| {
        let page = program
            .get_as(token, "/v1/domains/shop/links/events")
            .json();
        events = page["events"].as_array().expect("a list").clone();
        events.len() >= count
    });
    events
}

#[test]
fn an_install_goes_to_another_cluster_and_links_that_were_sent_lead_home_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let (links, kept, keys) = left(folder.path());

    let plane = ControlPlane::own();
    let charts = mailtrail_tests::root().join("charts");
    std::os::unix::fs::symlink(charts, folder.path().join("charts")).expect("a link");
    let shop = Namespace::exactly(&plane, "shop".to_owned());
    plane.sh(folder.path(), &commands(PAGE, "Another cluster", 1));
    let install = Install::found(&plane, "mailtrail-system");
    let operator = install.operator();
    let replica = install.replica_on(folder);
    let program = replica.program();
    for name in ["links", "renamed"] {
        install.wait_programmed("shop", name);
        install.wait_reason("shop", name, "Accepted", "Accepted");
    }
    assert_eq!(keyring(&plane), keys, "no key was made, and none is lost");
    for link in &links {
        // That of the deleted domain waits for no status.
        program.until("it leads home", |program| leads_home(program, link));
    }
    // Who had what has it still.
    let state = claim(&plane, "gone.shop.example", "state");
    let role = claim(&plane, "renamed.shop.example", "role");
    assert_eq!(
        [state, role],
        [Some(json!("Retired")), Some(json!("Former"))]
    );
    let bank = Namespace::new(&plane, "bank");
    install.apply(bank.name(), "mine", &spec("gone.shop.example"));
    install.wait_reason(bank.name(), "mine", "Accepted", "HostConflict");
    // What was kept is the shop's to read, though its namespace is younger, and mails are tracked.
    let token = owner_token(&shop);
    let all = events(program, &token, kept.len() + 1);
    assert_eq!(all[..kept.len()], kept);
    let answer = program.post_as(&token, "/v1/rewrite", &mail("shop/links", "m-2"));
    assert!(tracked_link(&answer.json()).is_some());
    assert!(
        operator
            .log()
            .lines()
            .all(|line| !line.contains("\"ERROR\""))
    );
}
