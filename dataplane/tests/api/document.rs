//! The OpenAPI document: that it is the committed one, that its examples are
//! true, and that the API keeps to it.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{Request, get, post};
use crate::schema::check;
use crate::world::{World, click, open};

/// An operation of the document.
#[derive(Debug, Clone)]
pub(crate) struct Operation {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) described: Value,
}

pub(crate) fn document() -> Value {
    serde_json::from_str(&mailtrail_dataplane::api::openapi::document()).expect("JSON")
}

/// All operations of the document.
pub(crate) fn operations() -> Vec<Operation> {
    let document = document();
    let paths = document["paths"].as_object().expect("paths");
    let mut operations = Vec::new();
    for (path, item) in paths {
        for (method, described) in item.as_object().expect("operations") {
            operations.push(Operation {
                method: method.to_uppercase(),
                path: path.clone(),
                described: described.clone(),
            });
        }
    }
    operations
}

impl Operation {
    /// Whether the document's rule, that a token is needed, holds here.
    pub(crate) fn wants_a_token(&self) -> bool {
        self.described["security"] != json!([{}])
    }

    /// A request as the document shows it, for `shop/links`.
    pub(crate) fn request(&self) -> Request {
        match self.examples().into_iter().next() {
            Some(body) => post(&self.filled_path(), &body),
            None => Request::new(&self.method, &self.filled_path()),
        }
    }

    /// The path for `shop/links`.
    fn filled_path(&self) -> String {
        self.path
            .replace("{namespace}", "shop")
            .replace("{name}", "links")
            .replace("{message_id}", "m-1")
    }

    /// The examples of its JSON body.
    pub(crate) fn examples(&self) -> Vec<Value> {
        examples(&self.described["requestBody"]["content"]["application/json"])
    }
}

/// All examples of a media type.
fn examples(content: &Value) -> Vec<Value> {
    let one = content.get("example").cloned();
    let several = content["examples"].as_object().into_iter().flatten();
    one.into_iter()
        .chain(several.map(|(_, example)| example["value"].clone()))
        .collect()
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let generated = mailtrail_dataplane::api::openapi::document();
    if std::env::var_os("MAILTRAIL_BLESS").is_some() {
        std::fs::write(path, &generated).expect("written");
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == generated,
        "docs/openapi.json is not what the handlers say; MAILTRAIL_BLESS=1 cargo test --test api committed_document writes it"
    );
    let server = World::open().start();
    assert_eq!(get("/openapi.json").send(server.address).text(), generated);
}

#[test]
fn every_operation_says_who_it_is_and_how_it_refuses() {
    let mut ids = BTreeSet::new();
    for operation in operations() {
        let described = &operation.described;
        for field in ["operationId", "summary", "description"] {
            assert!(described[field].is_string(), "{field} of {operation:?}");
        }
        assert!(
            ids.insert(described["operationId"].to_string()),
            "{operation:?}"
        );
        let mut wanted = vec!["200"];
        if operation.wants_a_token() {
            wanted.extend(["401", "403", "431", "500", "503"]);
        }
        if operation.path.contains("{name}") {
            wanted.push("404");
        }
        if operation.method == "POST" {
            wanted.extend(["400", "408", "413", "415", "422"]);
        }
        for status in wanted {
            assert!(
                described["responses"][status].is_object(),
                "{status} of {operation:?}"
            );
        }
        let mut names = BTreeSet::new();
        for parameter in described["parameters"].as_array().into_iter().flatten() {
            assert!(
                names.insert(parameter["name"].to_string()),
                "twice: {parameter}"
            );
            assert!(parameter["description"].is_string(), "{parameter}");
        }
    }
}

#[test]
fn every_field_of_every_schema_is_described() {
    let document = document();
    let schemas = document["components"]["schemas"]
        .as_object()
        .expect("schemas");
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name}");
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let told = property["description"].is_string()
                || property["oneOf"][0]["description"].is_string();
            assert!(told, "{name}.{field}");
        }
    }
}

#[test]
fn every_example_is_what_its_schema_says() {
    let document = document();
    let mut checked = 0;
    for operation in operations() {
        let body = &operation.described["requestBody"]["content"];
        let answers = operation.described["responses"]
            .as_object()
            .expect("responses");
        let contents = answers
            .values()
            .map(|answer| &answer["content"])
            .chain([body]);
        for (_, content) in contents.filter_map(Value::as_object).flatten() {
            for example in examples(content) {
                check(&document, &content["schema"], &example)
                    .unwrap_or_else(|wrong| panic!("{wrong} in {operation:?}"));
                checked += 1;
            }
        }
    }
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .expect("schemas")
    {
        for example in schema["examples"].as_array().into_iter().flatten() {
            check(&document, schema, example).unwrap_or_else(|wrong| panic!("{wrong} in {name}"));
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked}");
}

#[test]
fn every_example_of_a_request_is_answered_as_described() {
    let document = document();
    let server = World::open().start();
    server.keep(&open("shop/links", "m-1"));
    server.keep(&click("shop/links", "m-1"));
    let mut sent = 0;
    for operation in operations() {
        let content = &operation.described["responses"]["200"]["content"];
        let mut requests = vec![operation.request()];
        if operation.described["operationId"] == "resolve" {
            // The example's token is made up; a real one comes out of a rewrite.
            let mail = json!({"domain": "shop/links", "message_id": "m", "html": "<a href='https://e.com/'>x</a>"});
            let report = post("/v1/rewrite", &mail).send(server.address).json();
            let url = &report["report"]["links"][0]["url"];
            requests = vec![post("/v1/domains/shop/links/resolve", &json!({"url": url}))];
        } else if operation.method == "POST" {
            let bodies = operation.examples();
            requests = bodies
                .iter()
                .map(|body| post(&operation.filled_path(), body))
                .collect();
        }
        for request in requests {
            let answer = request.send(server.address);
            assert_eq!(answer.status, 200, "{} {operation:?}", answer.text());
            let (kind, bodies) = match answer.header("content-type") {
                // A value a line.
                Some(kind @ "application/x-ndjson") => {
                    let line = |line| serde_json::from_str(line).expect("JSON");
                    (kind, answer.text().lines().map(line).collect())
                }
                _ => ("application/json", vec![answer.json()]),
            };
            for body in bodies {
                check(&document, &content[kind]["schema"], &body)
                    .or_else(|wrong| match operation.path.as_str() {
                        // An object of which nothing is said.
                        "/openapi.json" => Ok(()),
                        _ => Err(wrong),
                    })
                    .unwrap_or_else(|wrong| panic!("{wrong} in {operation:?}"));
            }
            sent += 1;
        }
    }
    assert!(sent >= 8, "{sent}");
}

#[test]
fn every_kind_of_problem_is_listed_for_readers() {
    let server = World::open().start();
    let page = get("/docs").send(server.address);
    for operation in operations() {
        for (status, answer) in operation.described["responses"]
            .as_object()
            .expect("responses")
        {
            for example in examples(&answer["content"]["application/problem+json"]) {
                assert_eq!(example["status"].to_string(), *status);
                let kind = example["type"].as_str().expect("a type");
                assert!(page.text().contains(kind), "{kind}");
            }
        }
    }
}

#[test]
fn the_page_runs_no_script_and_loads_nothing() {
    let server = World::open().start();
    let page = get("/docs").send(server.address);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    for loads in ["<script", "<img", "<link", "@import", "url("] {
        // In examples these are escaped.
        assert!(!page.text().contains(loads), "{loads}");
    }
    for operation in operations() {
        assert!(page.text().contains(&operation.path), "{operation:?}");
    }
}
