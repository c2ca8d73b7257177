//! Nobody reaches what is another namespace's, by any operation.

use mailtrail_tests::{ControlPlane, Install, Namespace, Program};
use serde_json::{Value, json};

use crate::mail;

/// All that an account can be granted.
const EVERYTHING: [&str; 6] = [
    "create rewrites",
    "get events",
    "get recipients",
    "create recipients",
    "delete recipients",
    "create eventsinks/replays",
];

/// The token of an account that may do everything in its own namespace.
pub(crate) fn owner_token(namespace: &Namespace<'_>) -> String {
    namespace.caller("owner", &EVERYTHING)
}

/// Every operation of the program's own document that takes a token, as it is
/// asked about a domain: method, path, body.
fn operations(program: &Program, namespace: &str) -> Vec<(String, String, Value)> {
    let document = program.get(program.api(), "/openapi.json").json();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, methods) in paths {
        for (method, described) in methods.as_object().expect("methods") {
            if described["security"] == json!([{}]) || !["get", "post"].contains(&method.as_str()) {
                continue;
            }
            let path = path
                .replace("{namespace}", namespace)
                .replace("{name}", "links")
                .replace("{message_id}", "m-1");
            let content = &described["requestBody"]["content"]["application/json"];
            let several = content["examples"]
                .as_object()
                .and_then(|all| all.values().next());
            let several = several.map(|example| example["value"].clone());
            let mut body = several.unwrap_or_else(|| content["example"].clone());
            if path == "/v1/rewrite" {
                body = mail(&format!("{namespace}/links"), "m-1");
            }
            operations.push((method.clone(), path, body));
        }
    }
    operations
}

#[test]
fn no_operation_lets_another_namespace_in() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "callers");
    let (shop, bank) = (Namespace::new(plane, "shop"), Namespace::new(plane, "bank"));
    let _operator = install.operator();
    let replica = install.replica();
    for namespace in [&shop, &bank] {
        let host = format!("a.{}.example", namespace.name());
        let spec = json!({"host": host, "verification": "None", "clicks": {"enabled": true}});
        install.apply(namespace.name(), "links", &spec);
        install.wait_programmed(namespace.name(), "links");
        // Of the same name; its Secret cannot be read, so it rests.
        let spec = json!({"url": "https://a.example/", "secretRefs": [{"name": "key"}]});
        install.apply_sink(namespace.name(), "links", &spec);
    }
    let program = replica.program();
    let (own, foreign) = (owner_token(&shop), owner_token(&bank));
    let ask = |token: &str, (method, path, body): &(String, String, Value)| match method.as_str() {
        "get" => program.get_as(token, path),
        _ => program.post_as(token, path, body),
    };
    let sink = format!("/v1/sinks/{}/links", shop.name());
    program.until("the sink is known", |program| {
        program.get_as(&own, &sink).status == 200
    });
    let operations = operations(program, shop.name());
    assert!(operations.len() >= 10, "{operations:?}");
    for operation in &operations {
        let (answer, (_, path, _)) = (ask(&foreign, operation), operation);
        if path == "/v1/domains" {
            assert!(!answer.text().contains(shop.name()), "{}", answer.text());
            continue;
        }
        assert_eq!(answer.status, 403, "{operation:?}: {}", answer.text());
        assert!(!answer.text().contains("example"), "{}", answer.text());
        // The owner is let in: what is asked is no nonsense.
        let answer = ask(&own, operation);
        let known = matches!(answer.status, 200 | 404 | 422);
        assert!(known, "{operation:?}: {} {}", answer.status, answer.text());
    }
}
