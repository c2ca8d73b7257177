//! HTTP/2 with prior knowledge, on the same port.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{Method, Request, StatusCode};
use serde_json::{Value, json};

use crate::client::PATIENCE;
use crate::world::{Server, World};

/// One connection's requests.
#[derive(Clone)]
struct Client(SendRequest<Bytes>);

impl Client {
    async fn connect(server: &Server) -> Self {
        let stream = tokio::net::TcpStream::connect(server.address);
        let stream = stream.await.expect("connect");
        let (requests, connection) = h2::client::handshake(stream).await.expect("handshake");
        tokio::spawn(connection);
        Self(requests)
    }

    async fn ask(&self, method: Method, path: &str, body: &str) -> (StatusCode, String, Value) {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://localhost{path}"))
            .header("content-type", "application/json")
            .body(())
            .expect("a request");
        let mut requests = self.0.clone().ready().await.expect("a stream");
        let (response, mut send) = requests.send_request(request, false).expect("sent");
        send.send_data(Bytes::copy_from_slice(body.as_bytes()), true)
            .expect("sent");
        let (head, mut stream) = response.await.expect("a response").into_parts();
        let mut received = Vec::new();
        while let Some(data) = stream.data().await {
            let data = data.expect("data");
            let _ = stream.flow_control().release_capacity(data.len());
            received.extend_from_slice(&data);
        }
        let kind = head.headers["content-type"].to_str().expect("text");
        let body = serde_json::from_slice(&received).expect("JSON");
        (head.status, kind.to_owned(), body)
    }
}

/// Runs a test on a runtime of its own, and not for ever.
fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let bounded = async { tokio::time::timeout(PATIENCE, test).await };
    runtime.block_on(bounded).expect("in time");
}

#[test]
fn mails_are_rewritten_as_over_http_1() {
    let server = World::open().start();
    let html = r#"<p><a href="https://shop.example/">shop</a></p>"#;
    let mail = json!({"domain": "shop/links", "message_id": "m-1", "html": html});
    run(async {
        let client = Client::connect(&server).await;
        // Many at once, on one connection.
        let asked = (0..20).map(|_| {
            let (client, mail) = (client.clone(), mail.to_string());
            tokio::spawn(async move { client.ask(Method::POST, "/v1/rewrite", &mail).await })
        });
        for one in asked.collect::<Vec<_>>() {
            let (status, kind, body) = one.await.expect("no panic");
            assert_eq!(
                (status, kind.as_str()),
                (StatusCode::OK, "application/json")
            );
            assert_eq!(body["report"]["links"][0]["tracked"], true, "{body}");
            let rewritten = body["html"].as_str().expect("html");
            assert!(
                rewritten.contains("://links.shop.example/c/"),
                "{rewritten}"
            );
        }
    });
}

#[test]
fn refusals_are_problems_as_over_http_1() {
    let server = World::open().start();
    run(async {
        let client = Client::connect(&server).await;
        for (method, path, body, expected) in [
            (Method::POST, "/v1/rewrite", "{", (400, "malformed")),
            (Method::POST, "/v1/rewrite", "{}", (422, "invalid")),
            (Method::GET, "/v1/nothing", "", (404, "unknown-route")),
            (
                Method::DELETE,
                "/v1/rewrite",
                "",
                (405, "method-not-allowed"),
            ),
        ] {
            let (status, kind, body) = client.ask(method, path, body).await;
            assert_eq!(kind, "application/problem+json");
            assert_eq!(status.as_u16(), expected.0, "{body}");
            let word = body["type"]
                .as_str()
                .and_then(|kind| kind.rsplit('/').next());
            assert_eq!(word, Some(expected.1));
        }
    });
}

#[test]
fn callers_without_a_token_are_refused_as_over_http_1() {
    let server = World::with_tokens().start();
    run(async {
        let client = Client::connect(&server).await;
        let (status, _, body) = client.ask(Method::GET, "/v1/domains", "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{body}");
    });
}

#[test]
fn a_drain_answers_what_has_begun_over_http_2() {
    let mut server = World::open().start();
    run(async {
        let client = Client::connect(&server).await;
        let mail = json!({"domain": "shop/links", "message_id": "m-1", "text": "hello"});
        let request = Request::post("http://localhost/v1/rewrite")
            .header("content-type", "application/json")
            .body(())
            .expect("a request");
        let mut requests = client.0.clone().ready().await.expect("a stream");
        let (response, mut send) = requests.send_request(request, false).expect("sent");
        // The server knows of it once another stream behind it was answered.
        client.ask(Method::GET, "/v1/domains", "").await;
        server.begin_to_stop();
        send.send_data(mail.to_string().into(), true).expect("sent");
        assert_eq!(response.await.expect("answered").status(), StatusCode::OK);
    });
    server.join();
}
