//! Who may call.

use std::sync::Arc;

use mailtrail_core::id::Realm;
use mailtrail_dataplane::api::auth::Answer as Asked;
use mailtrail_dataplane::api::{Authorizer, Caller, Denied, Verb};
use serde_json::json;

use crate::client::{Request, get, post};
use crate::document::{Operation, operations};
use crate::world::{TOKEN, World};

/// Every operation that wants a token, each as a request without one.
fn guarded() -> Vec<(Operation, Request)> {
    operations()
        .into_iter()
        .filter(Operation::wants_a_token)
        .map(|operation| {
            let request = operation.request();
            (operation, request)
        })
        .collect()
}

#[test]
fn every_operation_is_refused_without_a_token_and_with_a_wrong_one() {
    let server = World::with_tokens().start();
    assert!(guarded().len() >= 5, "the document lists the operations");
    for (operation, request) in guarded() {
        let wrong = [
            request.clone(),
            request.clone().token("another-token-0123456789abcdef"),
            request.clone().token(&TOKEN[..TOKEN.len() - 1]),
            request.clone().token(&TOKEN.to_uppercase()),
            request
                .clone()
                .header("authorization", format!("Basic {TOKEN}")),
            request.clone().header("authorization", TOKEN),
            request.clone().token(TOKEN).token(TOKEN),
        ];
        for request in wrong {
            let answer = request.send(server.address);
            let (status, word, _) = answer.problem();
            assert_eq!(
                (status, word.as_str()),
                (401, "unauthenticated"),
                "{operation:?}"
            );
            let challenge = answer.header("www-authenticate");
            assert!(
                challenge.is_some_and(|c| c.starts_with("Bearer")),
                "{operation:?}"
            );
        }
        let status = request.token(TOKEN).send(server.address).status;
        assert!(![401, 403].contains(&status), "{status} {operation:?}");
    }
}

#[test]
fn paths_that_do_not_exist_are_not_told_apart_without_a_token() {
    let server = World::with_tokens().start();
    for path in ["/", "/v1", "/v1/nothing", "/v1/domains/shop/links/nothing"] {
        assert_eq!(get(path).send(server.address).problem().0, 401, "{path}");
        let (status, word, _) = get(path).token(TOKEN).send(server.address).problem();
        assert_eq!((status, word.as_str()), (404, "unknown-route"), "{path}");
    }
}

#[test]
fn the_document_alone_needs_no_token() {
    let server = World::with_tokens().start();
    for path in ["/openapi.json", "/docs"] {
        assert_eq!(get(path).send(server.address).status, 200, "{path}");
    }
    let open: Vec<_> = operations()
        .into_iter()
        .filter(|operation| !operation.wants_a_token())
        .map(|operation| operation.path)
        .collect();
    assert_eq!(open, ["/openapi.json"]);
}

#[test]
fn without_tokens_a_foreign_host_or_web_page_is_refused_by_every_operation() {
    let server = World::open().start();
    for operation in operations() {
        let request = operation.request();
        for foreign in [
            request.clone().with("host", "rebound.evil.example"),
            request.clone().with("host", "10.1.2.3:8081"),
            request.clone().header("origin", "https://evil.example"),
            request.clone().header("origin", "null"),
            request.clone().header("sec-fetch-site", "cross-site"),
        ] {
            let (status, word, _) = foreign.send(server.address).problem();
            assert_eq!((status, word.as_str()), (403, "not-local"), "{operation:?}");
        }
        let status = request.send(server.address).status;
        assert!(![401, 403].contains(&status), "{status} {operation:?}");
    }
}

/// Callers named by their token, who may what namespaces they are named after.
struct PerNamespace;

impl Authorizer for PerNamespace {
    fn authenticate<'a>(&'a self, bearer: Option<&'a str>) -> Asked<'a, Caller> {
        Box::pin(async move {
            match bearer {
                Some("shop") => Ok(Caller::default()),
                Some("away") => Err(Denied::Unavailable),
                _ => Err(Denied::Unauthenticated),
            }
        })
    }

    fn allows<'a>(&'a self, _: &'a Caller, verb: Verb, realm: &'a Realm) -> Asked<'a, bool> {
        let reads = matches!(verb, Verb::Read | Verb::ReadSink);
        let allowed = reads && realm.namespace() == "shop";
        Box::pin(std::future::ready(Ok(allowed)))
    }
}

fn per_namespace() -> World {
    World {
        authorizer: Arc::new(PerNamespace),
        ..World::open()
    }
}

#[test]
fn unknown_and_forbidden_domains_cannot_be_told_apart() {
    let server = per_namespace().start();
    let ask = |request: Request| {
        let answer = request.token("shop").send(server.address);
        let (status, word, body) = answer.problem();
        assert_eq!((status, word.as_str()), (403, "forbidden"));
        body
    };
    let forbidden = ask(get("/v1/domains/toys/links"));
    for path in [
        "/v1/domains/toys/none",
        "/v1/domains/toys/links/events",
        "/v1/domains/No/-",
    ] {
        assert_eq!(ask(get(path)), forbidden, "{path}");
    }
    let mail = |domain: &str| {
        post(
            "/v1/rewrite",
            &json!({"domain": domain, "message_id": "m", "html": "<p>"}),
        )
    };
    for domain in [
        "toys/links",
        "toys/none",
        "links.toys.example",
        "none.toys.example",
        // Reading is not rewriting.
        "shop/links",
        "links.shop.example",
    ] {
        assert_eq!(ask(mail(domain)), forbidden, "{domain}");
    }
}

#[test]
fn who_may_read_may_not_erase_withdraw_or_export() {
    let server = per_namespace().start();
    for operation in ["erase", "withdraw", "export"] {
        let path = format!("/v1/domains/shop/links/recipients/{operation}");
        let request = post(&path, &json!({"recipient": "ada@example.org"})).token("shop");
        let (status, word, _) = request.send(server.address).problem();
        assert_eq!((status, word.as_str()), (403, "forbidden"), "{operation}");
    }
}

#[test]
fn who_may_read_events_sees_sinks_and_may_not_have_them_delivered_to() {
    let server = per_namespace().start();
    let mut asked = 0;
    for (operation, request) in guarded() {
        if operation.path.starts_with("/v1/sinks/") {
            let expected = match operation.method.as_str() {
                "GET" => 200,
                _ => 403,
            };
            let status = request.token("shop").send(server.address).status;
            assert_eq!(status, expected, "{operation:?}");
            asked += 1;
        }
    }
    assert_eq!(asked, 5);
}

#[test]
fn unknown_and_forbidden_sinks_cannot_be_told_apart() {
    let server = per_namespace().start();
    let forbidden = get("/v1/sinks/toys/links")
        .token("shop")
        .send(server.address)
        .problem();
    assert_eq!((forbidden.0, forbidden.1.as_str()), (403, "forbidden"));
    for path in [
        "/v1/sinks/toys/none",
        "/v1/sinks/shop/none",
        "/v1/sinks/No/-",
    ] {
        let answer = get(path).token("shop").send(server.address).problem();
        assert_eq!(answer, forbidden, "{path}");
    }
    let everywhere = World::open().start();
    let (status, word, _) = get("/v1/sinks/shop/none")
        .send(everywhere.address)
        .problem();
    assert_eq!((status, word.as_str()), (404, "unknown-sink"));
}

#[test]
fn every_operation_on_a_domain_is_refused_to_those_of_another() {
    let server = per_namespace().start();
    for (operation, request) in guarded() {
        if !operation.path.contains("{namespace}") {
            continue;
        }
        let theirs = request
            .to("/v1/domains/shop/", "/v1/domains/toys/")
            .to("/v1/sinks/shop/", "/v1/sinks/toys/")
            .token("shop");
        let (status, word, _) = theirs.send(server.address).problem();
        assert_eq!((status, word.as_str()), (403, "forbidden"), "{operation:?}");
    }
}

#[test]
fn a_list_shows_only_what_may_be_read() {
    let server = per_namespace().start();
    let list = get("/v1/domains").token("shop").send(server.address).json();
    let names: Vec<_> = list["domains"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|domain| domain["domain"].as_str().expect("a name"))
        .collect();
    assert_eq!(
        names,
        ["shop/fresh", "shop/links", "shop/quiet", "shop/texts"]
    );
}

#[test]
fn whoever_cannot_be_checked_now_may_try_again() {
    let server = per_namespace().start();
    let answer = get("/v1/domains").token("away").send(server.address);
    assert_eq!(answer.problem().1, "unavailable");
    assert_eq!(
        (answer.status, answer.header("retry-after")),
        (503, Some("1"))
    );
}
