//! HTTP/2 with prior knowledge, on the same port.

use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Method, Request, StatusCode};
use mailtrail_dataplane::serve::PIXEL;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::client::PATIENCE;
use crate::world::{HOST, TARGET, World, wanted, world};

struct Client {
    requests: SendRequest<Bytes>,
    /// Ends when the connection does.
    connection: JoinHandle<Result<(), h2::Error>>,
}

struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Client {
    async fn connect(world: &World) -> Self {
        let stream = TcpStream::connect(world.address).await.expect("connect");
        let (requests, connection) = h2::client::handshake(stream).await.expect("handshake");
        Self {
            requests,
            connection: tokio::spawn(connection),
        }
    }

    async fn ask(&self, method: Method, path: &str) -> Result<Response, h2::Error> {
        let uri = format!("http://{HOST}{path}");
        let request = Request::builder().method(method).uri(uri).body(());
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request.expect("a request"), true)?;
        let (head, mut stream) = response.await?.into_parts();
        let mut body = Vec::new();
        while let Some(data) = stream.data().await {
            body.extend_from_slice(&data?);
        }
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
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
fn pixels_and_links_are_served_as_over_http_1() {
    let world = world();
    run(async {
        let client = Client::connect(&world).await;
        let pixel = client
            .ask(Method::GET, &world.pixel_path())
            .await
            .expect("pixel");
        assert_eq!((pixel.status, &*pixel.body), (StatusCode::OK, &PIXEL[..]));
        assert_eq!(pixel.headers["content-length"], "43");
        assert_eq!(pixel.headers["cache-control"], "no-store");
        let link = client
            .ask(Method::GET, &world.link_path())
            .await
            .expect("link");
        assert_eq!(link.status, StatusCode::FOUND);
        assert_eq!(link.headers["location"], TARGET);
        assert!(link.body.is_empty());
    });
    assert_eq!(world.events().len(), 2);
}

#[test]
fn case_80_head_has_the_same_headers_over_http_2() {
    let world = world();
    run(async {
        let client = Client::connect(&world).await;
        let head = client
            .ask(Method::HEAD, &world.pixel_path())
            .await
            .expect("head");
        assert_eq!(head.headers["content-length"], "43");
        assert!(head.body.is_empty());
    });
    assert_eq!(world.events(), []);
}

#[test]
fn limits_of_a_head_have_their_status_over_http_2() {
    let mut wanted = wanted();
    wanted.settings.limits.uri_bytes = 2000;
    let world = wanted.start();
    run(async {
        let client = Client::connect(&world).await;
        let long = format!("/c/{}", "x".repeat(2000));
        let response = client.ask(Method::GET, &long).await.expect("a response");
        assert_eq!(response.status, StatusCode::URI_TOO_LONG);
        assert!(!response.headers.contains_key("connection"));
        let response = client
            .ask(Method::POST, &world.link_path())
            .await
            .expect("a response");
        assert_eq!(response.status, StatusCode::METHOD_NOT_ALLOWED);
        let pixel = client
            .ask(Method::GET, &world.pixel_path())
            .await
            .expect("pixel");
        assert_eq!(pixel.status, StatusCode::OK, "the connection goes on");
    });
}

#[test]
fn many_streams_are_answered_and_their_number_is_bounded() {
    let mut wanted = wanted();
    wanted.settings.limits.streams = 7;
    let world = wanted.start();
    run(async {
        let client = Client::connect(&world).await;
        client
            .ask(Method::GET, "/robots.txt")
            .await
            .expect("a response");
        assert_eq!(client.requests.current_max_send_streams(), 7);
        let path = world.pixel_path();
        let all = (0..50).map(|_| client.ask(Method::GET, &path));
        for response in futures_util::future::join_all(all).await {
            assert_eq!(response.expect("a response").status, StatusCode::OK);
        }
    });
    assert_eq!(world.events().len(), 50);
}

#[test]
fn an_idle_connection_is_closed_however_often_it_pings() {
    let mut wanted = wanted();
    wanted.settings.limits.idle_time = Duration::from_millis(300);
    let world = wanted.start();
    run(async {
        let begin = Instant::now();
        let stream = TcpStream::connect(world.address).await.expect("connect");
        let (requests, mut connection) = h2::client::handshake(stream).await.expect("handshake");
        let mut pings = connection.ping_pong().expect("pings");
        let pinging = async { while pings.ping(h2::Ping::opaque()).await.is_ok() {} };
        let _ = tokio::join!(connection, pinging);
        drop(requests);
        assert!(
            begin.elapsed() >= Duration::from_millis(300),
            "not before its time"
        );
    });
}

#[test]
fn a_drain_says_goaway_and_answers_what_has_begun() {
    let mut world = world();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let client = runtime.block_on(async {
        let client = Client::connect(&world).await;
        client
            .ask(Method::GET, &world.pixel_path())
            .await
            .expect("pixel");
        client
    });
    assert_eq!(world.drain(PATIENCE).cut_off, 0);
    let path = world.pixel_path();
    let refused = runtime.block_on(async { client.ask(Method::GET, &path).await.is_err() });
    assert!(refused);
    let ended = runtime.block_on(async { tokio::time::timeout(PATIENCE, client.connection).await });
    assert!(
        matches!(ended, Ok(Ok(Ok(())))),
        "a goodbye, not a reset: {ended:?}"
    );
    assert_eq!(world.events().len(), 1);
}
