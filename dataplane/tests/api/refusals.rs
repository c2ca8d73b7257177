//! What is refused, with the field and the rule, and nothing personal.

use serde_json::{Value, json};

use crate::client::{Request, get, post, post_raw};
use crate::document::document;
use crate::world::World;

fn mail() -> Value {
    json!({"domain": "shop/links", "message_id": "m-1", "html": "<p>x</p>"})
}

/// The mail with some fields in place of its own.
fn with(fields: Value) -> Value {
    let mut mail = mail();
    for (name, value) in fields.as_object().expect("fields") {
        mail[name] = value.clone();
    }
    mail
}

#[test]
fn every_bound_is_refused_with_its_field() {
    let server = World::open().start();
    let tags = |count: usize| -> Value {
        let tag = |at: usize| (format!("t{at}"), json!("v"));
        Value::Object((0..count).map(tag).collect())
    };
    let within = [
        with(json!({"message_id": "m".repeat(128), "recipient": "r".repeat(254)})),
        with(json!({"from": "f".repeat(998), "to": "t".repeat(998), "subject": "s".repeat(998)})),
        with(json!({"tags": tags(16)})),
        with(json!({"tags": {"k": "v".repeat(255)}})),
        with(json!({"unsubscribe_urls": vec!["https://e.com/"; 8]})),
        with(json!({"unsubscribe_urls": [format!("https://e.com/{}", "u".repeat(2048 - 14))]})),
        with(json!({"sent_at": "2026-11-23T19:00:00+01:00"})),
    ];
    for mail in within {
        let answer = post("/v1/rewrite", &mail).send(server.address);
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let beyond = [
        ("message_id", json!({"message_id": "m".repeat(129)})),
        ("message_id", json!({"message_id": ""})),
        ("message_id", json!({"message_id": "a\nb"})),
        ("recipient", json!({"recipient": "r".repeat(255)})),
        ("recipient", json!({"recipient": "a\u{0}"})),
        ("from", json!({"from": "f".repeat(999)})),
        ("to", json!({"to": "t".repeat(999)})),
        ("subject", json!({"subject": "s".repeat(999)})),
        ("subject", json!({"subject": "a\r\nBcc: b"})),
        ("tags", json!({"tags": tags(17)})),
        ("tags", json!({"tags": {"k": "v".repeat(256)}})),
        ("tags", json!({"tags": {"k": 1}})),
        ("tags", json!({"tags": {"": "v"}})),
        ("sent_at", json!({"sent_at": "yesterday"})),
        ("sent_at", json!({"sent_at": "2026-11-23T18:00:00+24:00"})),
        ("sent_at", json!({"sent_at": "9999-12-31T00:00:00Z"})),
        (
            "unsubscribe_urls",
            json!({"unsubscribe_urls": vec!["https://e.com/"; 9]}),
        ),
        (
            "unsubscribe_urls[0]",
            json!({"unsubscribe_urls": [format!("https://e.com/{}", "u".repeat(2048))]}),
        ),
        (
            "unsubscribe_urls[1]",
            json!({"unsubscribe_urls": ["mailto:u@e.com", "javascript:x"]}),
        ),
        ("domain", json!({"domain": "nothing"})),
        ("domain", json!({"domain": "Shop/links"})),
        ("tracking.pixel", json!({"tracking": {"pixel": "left"}})),
    ];
    for (field, fields) in beyond {
        let answer = post("/v1/rewrite", &with(fields.clone())).send(server.address);
        assert_eq!(answer.faults(), [field], "{fields}");
    }
}

#[test]
fn every_bound_that_the_document_states_is_the_one_that_holds() {
    let server = World::open().start();
    let schema = &document()["components"]["schemas"]["RewriteRequest"];
    let mut bounds = 0;
    for (name, property) in schema["properties"].as_object().expect("properties") {
        let Some(most) = property["maxLength"].as_u64() else {
            continue;
        };
        let text = |count: u64| "a".repeat(usize::try_from(count).expect("small"));
        let over = with(json!({ name: text(most + 1) }));
        assert_eq!(
            post("/v1/rewrite", &over).send(server.address).faults(),
            [name.as_str()]
        );
        if name != "domain" {
            let at = with(json!({ name: text(most) }));
            assert_eq!(
                post("/v1/rewrite", &at).send(server.address).status,
                200,
                "{name}"
            );
        }
        bounds += 1;
    }
    assert_eq!(bounds, 6);
}

#[test]
fn every_field_of_the_document_is_known_and_has_the_type_it_says() {
    let server = World::open().start();
    let document = document();
    let schemas = &document["components"]["schemas"];
    for (name, _) in schemas["RewriteRequest"]["properties"]
        .as_object()
        .expect("properties")
    {
        // No field is a number: each known one is refused for its type.
        let answer = post("/v1/rewrite", &with(json!({ name: 7 }))).send(server.address);
        let rule = answer.problem().2["errors"][0]["rule"].to_string();
        assert_eq!(answer.faults(), [name.as_str()]);
        assert!(
            rule.contains("must be") && !rule.contains("known"),
            "{name} {rule}"
        );
    }
    for (name, _) in schemas["RequestedTracking"]["properties"]
        .as_object()
        .expect("properties")
    {
        let mail = with(json!({"tracking": { name: 7 }}));
        let faults = post("/v1/rewrite", &mail).send(server.address).faults();
        assert_eq!(faults, [format!("tracking.{name}")]);
    }
}

fn html_request() -> Request {
    Request::new("POST", "/v1/rewrite")
        .header("content-type", "text/html")
        .header("mailtrail-domain", "shop/links")
        .header("mailtrail-message-id", "m-1")
        .body(b"<p>x</p>")
}

#[test]
fn every_header_of_the_document_is_known() {
    let server = World::open().start();
    let document = document();
    let operation = &document["paths"]["/v1/rewrite"]["post"];
    let mut request = html_request();
    for parameter in operation["parameters"].as_array().expect("parameters") {
        let name = parameter["name"]
            .as_str()
            .expect("a name")
            .to_ascii_lowercase();
        let value = match name.as_str() {
            "mailtrail-domain" => "shop/links",
            "mailtrail-tag" => "k=v",
            "mailtrail-pixel" => "top",
            "mailtrail-sent-at" => "2026-11-23T18:00:00Z",
            "mailtrail-unsubscribe-url" => "https://e.com/u",
            "mailtrail-dry-run" => "false",
            _ if parameter["schema"]["type"] == "boolean" => "true",
            _ => "a",
        };
        request = request.with(&name, value);
    }
    let answer = request.send(server.address);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let astray = html_request().header("mailtrail-recipent", "ada@example.org");
    let answer = astray.send(server.address);
    assert_eq!(answer.faults(), ["mailtrail-recipent"]);
    assert!(!answer.text().contains("ada"));
}

#[test]
fn unknown_fields_are_refused_by_name_at_every_level() {
    let server = World::open().start();
    let mail = with(json!({"recipents": "x", "tracking": {"open": true}}));
    let faults = post("/v1/rewrite", &mail).send(server.address).faults();
    assert_eq!(faults, ["recipents", "tracking.open"]);
    let body = json!({"url": "https://links.shop.example/c/x", "uri": "x"});
    let answer = post("/v1/domains/shop/links/resolve", &body).send(server.address);
    assert_eq!(answer.faults(), ["uri"]);
    for path in ["/v1/domains?page=2", "/v1/domains/shop/links/events?page=2"] {
        assert_eq!(get(path).send(server.address).faults(), ["page"]);
    }
    // What is asked in a body has no parameters: an address would be in a URL.
    let body = json!({"recipient": "ada"});
    let erase = "/v1/domains/shop/links/recipients/erase?recipient=ada%40example.org";
    let answer = post(erase, &body).send(server.address);
    assert_eq!(answer.faults(), ["recipient"]);
    assert!(!answer.text().contains("ada"));
    let rewrite = "/v1/rewrite?dry_run=true";
    assert_eq!(
        post(rewrite, &self::mail()).send(server.address).faults(),
        ["dry_run"]
    );
}

#[test]
fn what_is_missing_is_named() {
    let server = World::open().start();
    let faults = post("/v1/rewrite", &json!({}))
        .send(server.address)
        .faults();
    assert_eq!(faults, ["domain", "html", "message_id", "text"]);
    let bare = Request::new("POST", "/v1/rewrite")
        .header("content-type", "text/html")
        .body(b"<p>");
    let faults = bare.send(server.address).faults();
    assert_eq!(faults, ["mailtrail-domain", "mailtrail-message-id"]);
}

#[test]
fn malformed_json_is_told_by_line_and_column() {
    let server = World::open().start();
    let body = b"{\n  \"domain\": \"shop/links\",\n  \"message_id\": ada\n}";
    let (status, word, problem) = post_raw("/v1/rewrite", body).send(server.address).problem();
    assert_eq!((status, word.as_str()), (400, "malformed"));
    let detail = problem["detail"].as_str().expect("words");
    assert!(detail.contains("line 3, column 17"), "{detail}");
    for body in [
        &b""[..],
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{\"a\":\"\xff\"}",
        b"{\"a\":1}x",
    ] {
        assert_eq!(
            post_raw("/v1/rewrite", body)
                .send(server.address)
                .problem()
                .0,
            400
        );
    }
    let deep = "[".repeat(100_000);
    assert_eq!(
        post_raw("/v1/rewrite", deep.as_bytes())
            .send(server.address)
            .problem()
            .0,
        400
    );
}

#[test]
fn case_67_media_types_and_charsets_that_are_not_read_are_refused() {
    let server = World::open().start();
    for content_type in [
        "text/plain",
        "application/xml",
        "application/json; charset=utf-16",
        "text/html; charset=utf-16",
        "text/html; charset=iso-2022-jp",
        "text/html; charset=nonsense",
        "multipart/form-data; boundary=x",
    ] {
        let request = html_request().with("content-type", content_type);
        let (status, word, _) = request.send(server.address).problem();
        assert_eq!(
            (status, word.as_str()),
            (415, "media-type"),
            "{content_type}"
        );
    }
    let utf_16 = html_request().body(b"\xff\xfe<\0p\0>\0");
    assert_eq!(utf_16.send(server.address).problem().0, 415);
    let packed = html_request().header("content-encoding", "gzip");
    assert_eq!(packed.send(server.address).problem().0, 415);
    let html = Request::new("POST", "/v1/domains/shop/links/resolve")
        .header("content-type", "text/html")
        .body(b"x");
    assert_eq!(html.send(server.address).problem().0, 415);
}

#[test]
fn a_refused_media_type_is_told_what_is_read_instead() {
    let server = World::open().start();
    for (path, read) in [
        ("/v1/rewrite", "application/json or text/html"),
        ("/v1/domains/shop/links/resolve", "application/json"),
    ] {
        let form = Request::new("POST", path)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(b"x");
        let (status, _, problem) = form.send(server.address).problem();
        let told = format!("send the header Content-Type: {read}");
        assert_eq!((status, &problem["detail"]), (415, &told.into()), "{path}");
    }
}

#[test]
fn a_method_that_a_path_does_not_take_is_refused_with_those_it_takes() {
    let server = World::open().start();
    for (method, path, allowed) in [
        ("GET", "/v1/rewrite", "POST"),
        ("DELETE", "/v1/domains", "GET,HEAD"),
        ("PUT", "/v1/domains/shop/links/resolve", "POST"),
        ("OPTIONS", "/v1/rewrite", "POST"),
        ("POST", "/docs", "GET,HEAD"),
    ] {
        let answer = Request::new(method, path).send(server.address);
        assert_eq!(answer.problem().1, "method-not-allowed", "{method} {path}");
        assert_eq!(
            (answer.status, answer.header("allow")),
            (405, Some(allowed)),
            "{path}"
        );
    }
}

#[test]
fn paths_and_domains_that_do_not_exist_are_told_apart() {
    let server = World::open().start();
    for (path, word) in [
        ("/v1/domains/shop/none", "unknown-domain"),
        ("/v1/domains/shop/none/events", "unknown-domain"),
        ("/v1/domains/Sh%20op/x", "unknown-domain"),
        ("/v1/domains/%ff/x", "unknown-route"),
        ("/v1/domain", "unknown-route"),
        ("/v1/domains/shop/links/", "unknown-route"),
        ("//", "unknown-route"),
    ] {
        let (status, found, _) = get(path).send(server.address).problem();
        assert_eq!((status, found.as_str()), (404, word), "{path}");
    }
    let mail = with(json!({"domain": "none.shop.example"}));
    let (status, word, problem) = post("/v1/rewrite", &mail).send(server.address).problem();
    assert_eq!((status, word.as_str()), (404, "unknown-domain"));
    let detail = problem["detail"].as_str().expect("what a name is");
    assert!(detail.contains("or by its host"), "{detail}");
}

#[test]
fn nothing_that_was_sent_is_repeated_in_a_refusal() {
    const SECRET: &str = "ada.lovelace@private.example";
    let server = World::open().start();
    let long = format!("{SECRET}{}", "x".repeat(1000));
    let secret = |value: Value| post("/v1/rewrite", &with(value));
    let path = |path: &str| get(&path.replace("SECRET", SECRET));
    for request in [
        secret(json!({"domain": SECRET})),
        secret(json!({"message_id": long})),
        secret(json!({"recipient": long})),
        secret(json!({"recipient": [SECRET]})),
        secret(json!({"subject": long})),
        secret(json!({"sent_at": SECRET})),
        secret(json!({"tags": {SECRET: 1}})),
        secret(json!({"tags": {SECRET: long}})),
        secret(json!({"tracking": {SECRET: true}})),
        secret(json!({"tracking": {"pixel": SECRET}})),
        secret(json!({"unsubscribe_urls": [SECRET]})),
        secret(json!({ SECRET: 1 })),
        post_raw(
            "/v1/rewrite",
            format!("{{\"recipient\": {SECRET}}}").as_bytes(),
        ),
        post(
            "/v1/domains/shop/links/resolve",
            &json!({"url": format!("https://{SECRET}/")}),
        ),
        path("/v1/domains/shop/links/events?after=SECRET"),
        path("/v1/domains/shop/links/events?type=SECRET"),
        path("/v1/domains/shop/links/events?SECRET=1"),
        path("/v1/domains/shop/SECRET"),
        path("/v1/SECRET"),
        html_request().with("mailtrail-domain", SECRET),
        html_request().header("mailtrail-tag", SECRET),
        html_request().header("mailtrail-test", SECRET),
        html_request().with("content-type", &format!("text/html; charset={SECRET}")),
        get("/v1/domains").with("host", SECRET),
    ] {
        let answer = request.send(server.address);
        assert!(answer.status >= 400, "{answer:?}");
        answer.problem();
        assert!(
            !format!("{answer:?}").contains("lovelace"),
            "{}",
            answer.text()
        );
    }
}
