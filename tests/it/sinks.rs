//! Events reach those who asked, from manifests to a receiver.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use mailtrail_tests::{Authority, Flags, Front, Program, Receiver, ReceiverReply, root};
use serde_json::{Value, json};

/// The secret of all sinks.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

const DOMAIN: &str = "\
apiVersion: mailtrail.dev/v1alpha1
kind: TrackingDomain
metadata: {name: links, namespace: shop}
spec:
  host: links.shop.example
  opens: {enabled: true}
  clicks: {enabled: true}
  verification: None
";

/// Manifests, secrets and a data folder.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().expect("a folder"));
        for name in ["manifests", "secrets/shop"] {
            fs::create_dir_all(folder.path(name)).expect("a folder");
        }
        fs::write(folder.path("manifests/domain.yaml"), DOMAIN).expect("written");
        folder.secret("key", SECRET);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn secret(&self, name: &str, secret: &str) {
        fs::write(self.path("secrets/shop").join(name), secret).expect("written");
    }

    /// Declares a sink with further lines of its spec.
    pub(crate) fn sink(&self, name: &str, url: &str, more: &str) {
        let mut text = format!(
            "apiVersion: mailtrail.dev/v1alpha1\nkind: EventSink\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  url: {url}\n  verdicts: [Human, Proxy, Prefetch, Scanner, Unknown]\n{more}"
        );
        if !more.contains("secretRefs") {
            text.push_str("  secretRefs: [{name: key}]\n");
        }
        fs::write(self.path("manifests").join(format!("{name}.yaml")), text).expect("written");
    }

    pub(crate) fn flags(&self) -> Flags {
        let secrets = self.path("secrets").display().to_string();
        Flags::new(self.path("manifests"), self.path("data"))
            .with("--sink-secrets", secrets)
            .with("--sinks-allow", "127.0.0.0/8,::1/128")
    }

    pub(crate) fn start(&self) -> Program {
        self.flags().start()
    }
}

/// Rewrites a mail with one link and follows it; gives the link.
fn click(program: &Program, message: &str) -> String {
    let mail = json!({
        "domain": "shop/links", "message_id": message, "recipient": "ada@example.org",
        "html": "<p><a href=\"https://shop.example/offer\">Look</a></p>",
    });
    let report = program.rewrite(&mail)["report"].clone();
    let url = report["links"][0]["url"]
        .as_str()
        .expect("a link")
        .to_owned();
    assert_eq!(program.follow(&url).status, 302);
    url
}

fn metric(program: &Program, name: &str) -> Option<f64> {
    let metrics = program.get(program.admin(), "/metrics").text();
    let line = metrics
        .lines()
        .find(|line| line.starts_with(name))?
        .to_owned();
    line.rsplit(' ').next()?.parse().ok()
}

#[test]
fn a_sink_that_is_declared_gets_the_events_that_follow() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    let program = folder.start();
    click(&program, "m-before");
    program.events_once_settled("shop/links", 1);
    folder.sink("orders", &format!("{}?key=in-the-url", receiver.url()), "");
    program.until("the sink is there", |program| {
        program.get(program.api(), "/v1/sinks/shop/orders").status == 200
    });
    click(&program, "m-after");
    let received = receiver.until(1);
    let event = received[0].json();
    assert_eq!(
        (&event["type"], &event["data"]["message_id"]),
        (&json!("message.clicked"), &json!("m-after"))
    );
    let listed = program.events("shop/links");
    assert_eq!(event["data"], listed[1], "as the API lists it");
    program.until("it is counted", |program| {
        metric(
            program,
            "mailtrail_sinks_deliveries_total{outcome=\"delivered\"}",
        ) == Some(1.0)
            && metric(program, "mailtrail_sinks_count") == Some(1.0)
    });
    // It is declared no longer.
    fs::remove_file(folder.path("manifests/orders.yaml")).expect("removed");
    program.until("the sink is gone", |program| {
        program.get(program.api(), "/v1/sinks/shop/orders").status == 404
    });
    click(&program, "m-last");
    program.events_once_settled("shop/links", 3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(receiver.count(), 1);
    let log = program.log();
    for secret in ["in-the-url", "ada@example.org", SECRET, "m-after"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}

#[test]
fn a_bad_sink_is_told_by_file_line_and_field() {
    let folder = Folder::new();
    folder.sink("orders", "http://0x7f.1/", "");
    let (status, said) = folder.flags().refused();
    assert!(!status.success());
    assert!(
        said.contains("orders.yaml:5:") && said.contains("spec.url"),
        "{said}"
    );
    assert!(
        said.contains("IPv4 address written as four decimal numbers"),
        "{said}"
    );
}

#[test]
fn the_examples_sink_is_taken() {
    let folder = Folder::new();
    let flags = Flags::new(root().join("examples/sink"), folder.path("data"));
    let program = flags.start();
    let sink = program.get(program.api(), "/v1/sinks/demo/receiver");
    assert_eq!(sink.status, 200, "{}", sink.text());
}

#[test]
fn private_addresses_are_refused_unless_they_are_named() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.sink("orders", &receiver.url(), "");
    let secrets = folder.path("secrets").display().to_string();
    let flags = Flags::new(folder.path("manifests"), folder.path("data"));
    let program = flags.with("--sink-secrets", secrets).start();
    let tested = program.post("/v1/sinks/shop/orders/test", &json!({}));
    assert_eq!(
        (tested.status, &tested.json()["reason"]),
        (200, &json!("refused")),
        "{}",
        tested.text()
    );
    assert_eq!(receiver.connections(), 0);
}

/// Posts without a body and without saying what it would be; gives the status
/// and the body of the answer.
fn post_nothing(program: &Program, path: &str) -> (u16, String) {
    let api = program.api();
    let mut stream = TcpStream::connect(api).expect("connected");
    let head = format!("POST {path} HTTP/1.1\r\nHost: {api}\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("read");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.expect("a status"), body.to_owned())
}

#[test]
fn a_sink_is_resumed_and_tested_without_a_body_and_a_replay_says_what_it_began() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.sink("orders", &receiver.url(), "");
    let program = folder.start();
    let path = |what: &str| format!("/v1/sinks/shop/orders/{what}");
    let (status, body) = post_nothing(&program, &path("resume"));
    assert!(status == 200 && body.contains("shop/orders"), "{body}");
    let (status, body) = post_nothing(&program, &path("test"));
    assert!(status == 200 && body.contains("delivered"), "{body}");
    // To JSON, null is as good as absent.
    assert_eq!(program.post(&path("test"), &Value::Null).status, 200);
    // What to replay must be said.
    assert_eq!(post_nothing(&program, &path("replays")).0, 415);
    let time = json!({"since": "2026-11-23T01:00:00+01:00", "until": "2026-11-24T00:00:00Z"});
    let replayed = program.post(&path("replays"), &time).json();
    assert_eq!(
        replayed["begun"],
        json!({"since": "2026-11-23T00:00:00.000Z", "until": "2026-11-24T00:00:00.000Z"})
    );
    let replayed = program.post(&path("replays"), &json!({"dead_letters": true}));
    assert_eq!(replayed.json()["begun"], Value::Null);
}

#[test]
fn a_secret_that_is_missing_is_told_in_the_log_before_anything_happens() {
    let receiver = Receiver::start();
    let folder = Folder::new();
    folder.sink("orders", &receiver.url(), "  secretRefs: [{name: nope}]\n");
    let program = folder.start();
    let shown = program.get(program.api(), "/v1/sinks/shop/orders").json();
    let told = shown["secret_missing"].as_str().expect("it is told");
    assert!(told.starts_with("secret nope: "), "{told}");
    std::thread::sleep(Duration::from_secs(5));
    let log = program.log();
    let times = log.matches("nothing can be delivered: secret nope").count();
    assert_eq!(times, 1, "once: {log}");
}

#[test]
fn no_event_is_lost_by_kills_in_the_middle() {
    let receiver = Receiver::answering(|_, _| {
        std::thread::sleep(Duration::from_millis(3));
        ReceiverReply::Status(204)
    });
    let folder = Folder::new();
    folder.sink("orders", &receiver.url(), "");
    let mut settled = BTreeSet::new();
    let mut program = folder.start();
    program.until("the sink is there", |program| {
        program.get(program.api(), "/v1/sinks/shop/orders").status == 200
    });
    for round in 0..5 {
        for n in 0..60 {
            click(&program, &format!("m-{round}-{n}"));
        }
        let ids = program.events_once_settled("shop/links", (round + 1) * 60);
        settled.extend(ids.iter().map(|event| event["id"].to_string()));
        // Some are delivered, the others are not.
        program.kill();
        program = folder.start();
    }
    let delivered = || -> BTreeSet<String> {
        receiver
            .received()
            .iter()
            .map(|r| r.json()["data"]["id"].to_string())
            .collect()
    };
    program.until("all are delivered", |_| delivered().is_superset(&settled));
    assert_eq!(delivered(), settled);
    let twice = receiver.count() - settled.len();
    assert!(twice < settled.len(), "{twice} were delivered again");
}

#[test]
fn receivers_prove_who_they_are() {
    let receiver = Receiver::start();
    let (front, authority) = (Front::start(), Authority::new());
    front.serve(
        "localhost",
        &authority.certificate("localhost"),
        receiver.address(),
    );
    let folder = Folder::new();
    folder.sink(
        "orders",
        &format!("https://localhost:{}/", front.address().port()),
        "",
    );
    let reason = |program: &Program| -> Value {
        let tested = program.post("/v1/sinks/shop/orders/test", &json!({}));
        tested.json()["reason"].clone()
    };
    // An authority that nobody knows.
    let program = folder.start();
    assert_eq!(reason(&program), "tls");
    assert_eq!(receiver.count(), 0);
    assert!(program.stop().success());
    let program = folder
        .flags()
        .with("--sinks-ca", authority.pem().display().to_string())
        .start();
    assert_eq!(reason(&program), Value::Null);
    assert_eq!(receiver.count(), 1);
    // Another host's certificate, and one that is over.
    front.serve(
        "localhost",
        &authority.certificate("elsewhere.example"),
        receiver.address(),
    );
    std::thread::sleep(Duration::from_millis(10));
    assert!(program.stop().success());
    let program = folder
        .flags()
        .with("--sinks-ca", authority.pem().display().to_string())
        .start();
    assert_eq!(reason(&program), "tls");
    front.serve(
        "localhost",
        &authority.expired("localhost"),
        receiver.address(),
    );
    assert_eq!(reason(&program), "tls");
    assert_eq!(receiver.count(), 1);
}
