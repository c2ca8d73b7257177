//! ConfigShards and who applies them: drift, replicas that join, lag, lie,
//! restart or vanish.

use std::time::{Duration, Instant};

use mailtrail_tests::{ControlPlane, FakePod, Install, Namespace, PodSpec, Program};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::{leads_home, mail, tracked_link};

fn spec(host: &str, clicks: bool) -> Value {
    json!({"host": host, "verification": "None", "clicks": {"enabled": clicks}})
}

/// The shard that has a domain's entry.
fn shard_of(plane: &ControlPlane, install: &Install<'_>, realm: &str) -> Value {
    let shards = plane.get_json(&install.namespace().path("configshards"));
    let has = |shard: &&Value| {
        let entries = shard["spec"]["entries"].as_array();
        entries.is_some_and(|entries| entries.iter().any(|entry| entry["realm"] == realm))
    };
    let shards = shards["items"].as_array().expect("a list");
    shards.iter().find(has).expect("an entry").clone()
}

#[test]
fn no_replica_is_said_so_and_one_that_joins_makes_it_true() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "joins");
    let _operator = install.operator();
    let shop = Namespace::new(plane, "shop");
    let host = format!("a.{}.example", shop.name());
    install.apply(shop.name(), "links", &spec(&host, true));
    install.wait_reason(shop.name(), "links", "Programmed", "NoReplicas");
    let mut replica = install.replica();
    install.wait_programmed(shop.name(), "links");
    // A pod that says it is ready and answers nobody is not counted as having it.
    let nobody = PodSpec::of_dataplane("nobody", ([127, 0, 0, 1], 9).into());
    let liar = FakePod::new(plane, install.namespace(), &nobody);
    install.apply(shop.name(), "links", &spec(&host, false));
    install.wait_reason(shop.name(), "links", "Programmed", "Pending");
    let message = plane.get_json(&mailtrail_tests::domain_path(shop.name(), "links"));
    let message = message["status"]["conditions"].to_string();
    assert!(message.contains("1 of 2 replicas"), "{message}");
    drop(liar);
    install.wait_programmed(shop.name(), "links");
    // One that restarts has it from its disk, and says so.
    replica.restart();
    install.apply(shop.name(), "links", &spec(&host, true));
    install.wait_programmed(shop.name(), "links");
}

#[test]
fn a_shard_that_is_changed_or_deleted_by_hand_comes_back() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "drift");
    let _operator = install.operator();
    let replica = install.replica();
    let shop = Namespace::new(plane, "shop");
    let realm = format!("{}/links", shop.name());
    let host = format!("a.{}.example", shop.name());
    install.apply(shop.name(), "links", &spec(&host, true));
    install.wait_programmed(shop.name(), "links");
    let before = shard_of(plane, &install, &realm);
    let name = before["metadata"]["name"].as_str().expect("a name");
    let path = install.namespace().path(&format!("configshards/{name}"));

    plane.merge(&path, &json!({"spec": {"entries": []}}));
    plane.wait_for("the entries are back", Duration::from_secs(10), |plane| {
        plane.get_json(&path)["spec"] == before["spec"]
    });
    plane.ask("DELETE", &path, None).taken();
    plane.wait_for("the shard is back", Duration::from_secs(10), |plane| {
        plane
            .find_json(&path)
            .is_some_and(|shard| shard["spec"] == before["spec"])
    });
    install.wait_programmed(shop.name(), "links");
    let _ = replica;
}

#[test]
fn an_entry_that_a_replica_cannot_read_is_refused_alone_and_told() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "lies");
    let operator = install.operator();
    let replica = install.replica();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| format!("{name}.{}.example", shop.name());
    install.apply(shop.name(), "a", &spec(&host("a"), true));
    install.wait_programmed(shop.name(), "a");
    // Without an operator nobody puts it right.
    drop(operator);
    let realm = format!("{}/a", shop.name());
    let shard = shard_of(plane, &install, &realm);
    let name = shard["metadata"]["name"].as_str().expect("a name");
    let mut entries = shard["spec"]["entries"].clone();
    for entry in entries.as_array_mut().expect("a list") {
        entry["version"] = json!(9);
    }
    let path = install.namespace().path(&format!("configshards/{name}"));
    plane.merge(&path, &json!({"spec": {"entries": entries}}));
    let program = replica.program();
    program.until("it is refused", |program| {
        let config = program.get(program.admin(), "/config").text();
        config.contains("version")
    });
    // What was served is served on.
    let token = owner_token(&shop);
    let answer = program
        .post_as(&token, "/v1/rewrite", &mail(&realm, "m"))
        .json();
    assert!(tracked_link(&answer).is_some(), "{answer}");
}

#[test]
fn replicas_serve_and_restart_without_operator_and_api_server() {
    let plane = ControlPlane::own();
    plane.crds();
    let install = Install::new(&plane, "away");
    let operator = install.operator();
    let mut replica = install.replica();
    let shop = Namespace::new(&plane, "shop");
    let host = format!("a.{}.example", shop.name());
    install.apply(shop.name(), "links", &spec(&host, true));
    install.wait_programmed(shop.name(), "links");
    let token = owner_token(&shop);
    let realm = format!("{}/links", shop.name());
    let answer = replica
        .program()
        .post_as(&token, "/v1/rewrite", &mail(&realm, "m"))
        .json();
    let link = tracked_link(&answer).expect("tracked");
    // What is served is kept within a second or so.
    std::thread::sleep(Duration::from_secs(2));

    plane.kill_api();
    let begun = Instant::now();
    assert!(leads_home(replica.program(), &link));
    replica.restart();
    assert!(replica.program().is_ready(), "from its own disk");
    assert!(leads_home(replica.program(), &link));
    assert!(begun.elapsed() < Duration::from_secs(20));
    plane.restart_api();

    // The operator has lived through it, and goes on.
    install.apply(shop.name(), "links", &spec(&host, false));
    install.wait_programmed(shop.name(), "links");
    assert!(operator.get("/live").status == 200);
    replica.program().until("it is ready", Program::is_ready);
}
