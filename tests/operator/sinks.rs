//! Event sinks in a cluster: from `kubectl apply` to a signed request, with
//! Secrets that nobody else reads and Services of one's own.

use std::time::Duration;

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use mailtrail_tests::{
    ControlPlane, Install, Namespace, Operator, Program, Received, Receiver, ReceiverReply,
    Replica, sink_path,
};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::{leads_home, mail, metric, status_writes, tracked_link};

/// A secret of the tests, and one that it is replaced by.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// How long nothing arrives before it is taken for not coming.
const MOMENT: Duration = Duration::from_millis(500);
/// Receivers of the tests are on this machine.
const ALLOW: [(&str, &str); 1] = [("--sinks-allow", "127.0.0.0/8")];

/// A shop with a tracking domain `links`, and who may use it.
struct Shop<'a> {
    plane: &'a ControlPlane,
    install: &'a Install<'a>,
    namespace: Namespace<'a>,
    token: String,
}

impl<'a> Shop<'a> {
    fn new(plane: &'a ControlPlane, install: &'a Install<'a>) -> Self {
        let namespace = Namespace::new(plane, "shop");
        let host = format!("links.{}.example", namespace.name());
        let spec = json!({"host": host, "verification": "None", "clicks": {"enabled": true}});
        install.apply(namespace.name(), "links", &spec);
        Self {
            token: owner_token(&namespace),
            plane,
            install,
            namespace,
        }
    }

    fn name(&self) -> &str {
        self.namespace.name()
    }

    fn kubectl(&self, flags: &[&str]) -> String {
        let namespace = ["-n", self.name()];
        self.plane.kubectl(&[flags, &namespace[..]].concat())
    }

    /// Makes or replaces a Secret, as its owner does.
    fn secret(&self, name: &str, type_: &str, text: &str) {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": type_,
            "metadata": {"name": name, "namespace": self.name()}, "stringData": {"secret": text},
        });
        self.plane.apply(&secret.to_string());
    }

    /// Declares a sink named `orders` that takes everything.
    fn sink(&self, url: &str) {
        let spec = json!({
            "url": url, "secretRefs": [{"name": "key"}],
            "verdicts": ["Human", "Proxy", "Prefetch", "Scanner", "Unknown"],
        });
        self.install.apply_sink(self.name(), "orders", &spec);
    }

    /// Changes the sink's spec.
    fn patch(&self, spec: &Value) {
        let path = sink_path(self.name(), "orders");
        self.plane.merge(&path, &json!({ "spec": spec }));
    }

    fn waits(&self, type_: &str, reason: &str) {
        self.install.wait_sink(self.name(), "orders", type_, reason);
    }

    /// What a condition of the sink says.
    fn message(&self, type_: &str) -> String {
        let path = format!("jsonpath={{.status.conditions[?(@.type==\"{type_}\")].message}}");
        self.kubectl(&["get", "es", "orders", "-o", &path])
    }

    /// Lets the operator read the sink's Secret, as its status prints it.
    fn permit(&self) {
        self.waits("ResolvedRefs", "SecretNotReadable");
        self.plane.apply(&self.message("ResolvedRefs"));
    }

    /// A sink that is delivered to, with its secret.
    fn delivered_to(&self, receiver: &Receiver) {
        self.secret("key", "mailtrail.dev/webhook-secret", SECRET);
        self.sink(&receiver.url());
        self.permit();
        self.waits("Programmed", "Programmed");
    }

    /// Rewrites a mail and follows its link, which it gives.
    fn click(&self, program: &Program, message: &str) -> String {
        let domain = format!("{}/links", self.name());
        let answer = program.post_as(&self.token, "/v1/rewrite", &mail(&domain, message));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let link = tracked_link(&answer.json()).expect("clicks are on");
        assert!(leads_home(program, &link));
        link
    }

    fn wait_programmed(&self) {
        let condition = "--for=condition=Programmed";
        self.kubectl(&["wait", "es/orders", "--timeout=30s", condition]);
    }

    /// With which status a replica shows the sink.
    fn shown(&self, program: &Program) -> u16 {
        let path = format!("/v1/sinks/{}/orders", self.name());
        program.get_as(&self.token, &path).status
    }

    fn entry(&self) -> Option<Value> {
        self.install.sink_entry(self.name(), "orders")
    }
}

/// Whether a request is signed with this secret, as Standard Webhooks has it.
fn is_signed(received: &Received, secret: &str) -> bool {
    let text = secret.trim_start_matches("whsec_");
    let key = BASE64.decode(text.as_bytes()).expect("base64");
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, &key));
    let header = |name| received.header(name).expect("a header");
    context.update(format!("{}.{}.", received.id(), header("webhook-timestamp")).as_bytes());
    context.update(&received.body);
    let expected = format!("v1,{}", BASE64.encode(context.sign().as_ref()));
    header("webhook-signature")
        .split(' ')
        .any(|s| s == expected)
}

/// A secret is nowhere that others read: no object but its own, no log, no metric.
fn is_hidden(shop: &Shop<'_>, operator: &Operator, replica: &Replica<'_>, secret: &str) {
    let program = replica.program();
    let objects = [
        "eventsinks",
        "configshards",
        "hostclaims",
        "events",
        "configmaps",
    ];
    let all = shop
        .plane
        .kubectl(&["get", &objects.join(","), "-A", "-o", "json"]);
    let said = [
        all,
        operator.log(),
        program.log(),
        operator.get("/metrics").text(),
        program.get(program.admin(), "/metrics").text(),
        program.get(program.admin(), "/config").text(),
        program
            .get_as(&shop.token, &format!("/v1/sinks/{}/orders", shop.name()))
            .text(),
    ];
    let bytes = secret.trim_start_matches("whsec_");
    for said in said {
        assert!(!said.contains(bytes), "the secret is told: {said}");
    }
}

#[test]
fn a_sink_is_applied_let_read_its_secret_and_told_of_what_happened_meanwhile_too() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "sinks");
    let operator = install.operator();
    let replica = install.replica_with(&ALLOW);
    let program = replica.program();
    let shop = Shop::new(plane, &install);
    install.wait_programmed(shop.name(), "links");
    let receiver = Receiver::start();
    shop.secret("key", "mailtrail.dev/webhook-secret", SECRET);
    shop.sink(&receiver.url());
    // Nothing is read that its owner has not let us read, and what happens
    // meanwhile is not lost.
    shop.waits("ResolvedRefs", "SecretNotReadable");
    shop.waits("Ready", "SecretNotReadable");
    assert!(!shop.message("Ready").contains("kind: Role"));
    shop.waits("Delivering", "RefsNotResolved");
    // It is asked for some times, and told once.
    std::thread::sleep(Duration::from_secs(3));
    let log = operator.log();
    assert!(!log.contains("is forbidden"), "{log}");
    assert_eq!(log.matches("may not be read yet").count(), 1, "{log}");
    program.until("the sink rests", |program| shop.shown(program) == 200);
    shop.click(program, "m-before");
    shop.permit();
    shop.wait_programmed();
    shop.click(program, "m-after");
    let received = receiver.until(2);
    let messages: Vec<_> = received
        .iter()
        .map(|r| r.json()["data"]["message_id"].clone())
        .collect();
    assert_eq!(messages, ["m-before", "m-after"]);
    assert!(received.iter().all(|r| is_signed(r, SECRET)));
    shop.waits("Delivering", "Delivering");
    shop.waits("Ready", "Ready");
    let listed = shop.kubectl(&["get", "es"]);
    for word in ["orders", "StandardWebhooks", "True", "Ready"] {
        assert!(listed.contains(word), "{word}: {listed}");
    }
    let since = shop.entry().expect("an entry")["cluster"]["since"].as_i64();
    assert!(since > Some(1_700_000_000), "{since:?}");
    let sinks = metric(&operator, "sinks");
    assert!(sinks >= Some(1), "{sinks:?}");
    is_hidden(&shop, &operator, &replica, SECRET);
}

#[test]
fn a_sink_rests_while_its_owner_suspends_it_and_gets_nothing_once_it_is_deleted() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "suspend");
    let _operator = install.operator();
    let replica = install.replica_with(&ALLOW);
    let program = replica.program();
    let shop = Shop::new(plane, &install);
    install.wait_programmed(shop.name(), "links");
    let receiver = Receiver::start();
    shop.delivered_to(&receiver);
    shop.click(program, "m-1");
    receiver.until(1);
    shop.waits("Ready", "Ready");

    shop.patch(&json!({"suspend": true}));
    shop.waits("Delivering", "Suspended");
    shop.wait_programmed();
    shop.click(program, "m-suspended");
    std::thread::sleep(MOMENT);
    assert_eq!(receiver.count(), 1);
    shop.patch(&json!({"suspend": false}));
    receiver.until(2);
    shop.waits("Ready", "Ready");
    let events = shop.kubectl(&["get", "events", "-o", "json"]);
    for reason in ["SecretNotReadable", "Suspended"] {
        assert!(events.contains(reason), "{reason}: {events}");
    }
    // Each turn is told once, or as what comes before and after it.
    if plane.is_own() {
        let writes = status_writes(plane, shop.name(), "orders");
        assert!(writes <= 8, "{writes} writes of the status");
    }

    shop.kubectl(&["delete", "es", "orders"]);
    program.until("the sink is gone", |program| shop.shown(program) == 403);
    assert!(shop.entry().is_none());
    shop.click(program, "m-last");
    std::thread::sleep(MOMENT);
    assert_eq!(receiver.count(), 2);
}

#[test]
fn a_secret_that_is_replaced_is_used_by_every_replica() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "rotate");
    let operator = install.operator();
    let replicas = [install.replica_with(&ALLOW), install.replica_with(&ALLOW)];
    let shop = Shop::new(plane, &install);
    install.wait_programmed(shop.name(), "links");
    let receiver = Receiver::start();
    shop.delivered_to(&receiver);
    for (n, replica) in replicas.iter().enumerate() {
        shop.click(replica.program(), &format!("m-{n}"));
    }
    assert!(receiver.until(2).iter().all(|r| is_signed(r, SECRET)));
    // Nothing of the sink itself is changed.
    let before = shop.entry().expect("an entry");
    shop.secret("key", "mailtrail.dev/webhook-secret", OTHER);
    plane.wait_for("it is sealed anew", mailtrail_tests::PATIENCE, |_| {
        shop.entry().is_some_and(|entry| entry != before)
    });
    shop.waits("Programmed", "Programmed");
    let mut count = 2;
    for replica in &replicas {
        // Each has it soon after; none goes on with the former.
        replica.program().until("the new secret signs", |program| {
            shop.click(program, &format!("n-{count}"));
            count += 1;
            is_signed(&receiver.until(count)[count - 1], OTHER)
        });
        is_hidden(&shop, &operator, replica, OTHER);
    }
    // One that is not there, or none, signs nothing.
    shop.kubectl(&["delete", "secret", "key"]);
    shop.waits("ResolvedRefs", "SecretNotFound");
    shop.secret("key", "Opaque", OTHER);
    shop.waits("ResolvedRefs", "SecretInvalid");
    assert!(
        shop.message("ResolvedRefs")
            .contains("mailtrail.dev/webhook-secret")
    );
    assert!(shop.entry().expect("it rests")["cluster"]["sealed"].is_null());
}

#[test]
fn when_the_keyring_is_rotated_secrets_are_sealed_anew_and_delivered_with() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "reseal");
    let operator = install.operator_flags().with("--rotate-keys", "3s").start();
    let replica = install.replica_with(&ALLOW);
    let shop = Shop::new(plane, &install);
    let receiver = Receiver::start();
    shop.delivered_to(&receiver);
    let sealed = || shop.entry().expect("an entry")["cluster"]["sealed"].clone();
    let before = sealed();
    operator.until("a new key seals", |operator| {
        operator.log().contains("a new key seals links now")
    });
    operator.until("secrets are sealed anew", |_| sealed() != before);
    shop.click(replica.program(), "m-1");
    assert!(is_signed(&receiver.until(1)[0], SECRET));
}

#[test]
fn a_receiver_that_fails_is_told_in_the_status_and_when_it_answers_again() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "failing");
    let _operator = install.operator();
    let replica = install.replica_with(&ALLOW);
    let shop = Shop::new(plane, &install);
    let receiver = Receiver::answering(|_, _| ReceiverReply::Status(500));
    shop.delivered_to(&receiver);
    shop.waits("Delivering", "NothingYet");
    shop.waits("Ready", "Ready");
    shop.click(replica.program(), "m-1");
    shop.waits("Delivering", "Failing");
    shop.waits("Ready", "Failing");
    let message = shop.message("Delivering");
    assert!(message.contains("it answers with status 500"), "{message}");
    // What comes next is delivered, and says so; what failed is tried again later.
    receiver.answer(|_, _| ReceiverReply::Status(204));
    shop.click(replica.program(), "m-2");
    shop.waits("Delivering", "Delivering");
    shop.waits("Ready", "Ready");
    receiver.answer(|_, _| ReceiverReply::Status(410));
    shop.click(replica.program(), "m-3");
    shop.waits("Delivering", "ReceiverGone");
}

#[test]
fn a_replica_that_starts_without_the_api_server_delivers_on() {
    let plane = ControlPlane::own();
    plane.crds();
    let install = Install::new(&plane, "away");
    let _operator = install.operator();
    let mut replica = install.replica_with(&ALLOW);
    let shop = Shop::new(&plane, &install);
    let receiver = Receiver::start();
    shop.delivered_to(&receiver);
    let link = shop.click(replica.program(), "m-1");
    receiver.until(1);
    // What is served is kept within a second.
    std::thread::sleep(Duration::from_secs(2));
    plane.pause_api();
    replica.restart();
    assert!(leads_home(replica.program(), &link));
    assert!(is_signed(&receiver.until(2)[1], SECRET));
    plane.resume_api();
}

/// Makes or changes a Service named `receiver`.
fn service(shop: &Shop<'_>, spec: &Value) {
    let object = json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": "receiver", "namespace": shop.name()}, "spec": spec,
    });
    shop.plane.apply(&object.to_string());
}

/// The URL of that Service in a namespace.
fn service_url(of: &str) -> String {
    format!("http://receiver.{of}.svc.cluster.local:8080/events")
}

/// Gives that Service an endpoint that somebody has made up.
fn slice_by_hand(shop: &Shop<'_>) {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
        "metadata": {
            "name": "by-hand", "namespace": shop.name(),
            "labels": {"kubernetes.io/service-name": "receiver"},
        },
        "endpoints": [{"addresses": ["10.9.8.7"]}], "ports": [{"port": 8080}],
    });
    shop.plane.apply(&slice.to_string());
}

/// Waits until the sink's entry leads nowhere, or to its Service with its secret.
fn rests(shop: &Shop<'_>, wanted: bool) {
    let what = if wanted { "it rests" } else { "it goes on" };
    shop.plane.wait_for(what, mailtrail_tests::PATIENCE, |_| {
        let cluster = shop.entry().expect("an entry")["cluster"].clone();
        cluster["service"].is_null() == wanted && cluster["sealed"].is_null() == wanted
    });
}

fn plain_service() -> Value {
    json!({"selector": {"app": "receiver"}, "ports": [{"port": 8080}]})
}

#[test]
fn a_service_of_the_sinks_own_namespace_is_permitted_at_its_address_and_no_other() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "services");
    let _operator = install.operator();
    let _replica = install.replica_with(&ALLOW);
    let shop = Shop::new(plane, &install);
    let bank = Namespace::new(plane, "bank");
    shop.secret("key", "mailtrail.dev/webhook-secret", SECRET);
    shop.sink(&service_url(shop.name()));
    // The Secret is looked at first.
    shop.permit();
    shop.waits("ResolvedRefs", "ServiceNotFound");
    service(&shop, &plain_service());
    shop.waits("ResolvedRefs", "ResolvedRefs");
    shop.waits("Programmed", "Programmed");
    let path = shop.namespace.core_path("services/receiver");
    let address = plane.get_json(&path)["spec"]["clusterIP"].clone();
    let expected = format!("{}:8080", address.as_str().expect("an address"));
    let entry = shop.entry().expect("an entry");
    assert_eq!(entry["cluster"]["service"], json!(expected));

    // Endpoints that somebody made by hand lead anywhere.
    slice_by_hand(&shop);
    shop.waits("ResolvedRefs", "ServiceNotAllowed");
    shop.waits("Delivering", "RefsNotResolved");
    rests(&shop, true);
    shop.kubectl(&["delete", "endpointslice", "by-hand"]);
    shop.waits("ResolvedRefs", "ResolvedRefs");

    // So does a name of somebody's choice, and no address at all.
    for spec in [
        json!({"type": "ExternalName", "externalName": "elsewhere.example"}),
        json!({"clusterIP": "None", "selector": {"app": "receiver"}, "ports": [{"port": 8080}]}),
        json!({"ports": [{"port": 8080}]}),
    ] {
        shop.kubectl(&["delete", "service", "receiver"]);
        shop.waits("ResolvedRefs", "ServiceNotFound");
        service(&shop, &spec);
        shop.waits("ResolvedRefs", "ServiceNotAllowed");
    }

    // Another namespace's is refused before anybody looks whether it is there.
    for of in [
        service_url(bank.name()),
        "http://kubernetes:443/".to_owned(),
    ] {
        shop.patch(&json!({ "url": of }));
        shop.waits("Accepted", "UrlNotAllowed");
        shop.waits("Ready", "UrlNotAllowed");
    }
}

#[test]
fn a_sink_that_is_paused_or_whose_edit_is_refused_reaches_no_more_than_others_do() {
    let plane = ControlPlane::shared();
    let install = Install::new(plane, "guarded");
    let _operator = install.operator();
    let _replica = install.replica_with(&ALLOW);
    let shop = Shop::new(plane, &install);
    shop.secret("key", "mailtrail.dev/webhook-secret", SECRET);
    shop.sink(&service_url(shop.name()));
    shop.permit();
    service(&shop, &plain_service());
    shop.waits("Programmed", "Programmed");
    let led_astray = || {
        rests(&shop, false);
        slice_by_hand(&shop);
        rests(&shop, true);
        shop.kubectl(&["delete", "endpointslice", "by-hand"]);
        rests(&shop, false);
    };

    shop.kubectl(&["annotate", "es", "orders", "mailtrail.dev/paused="]);
    led_astray();
    shop.kubectl(&["annotate", "es", "orders", "mailtrail.dev/paused-"]);

    shop.patch(&json!({ "url": service_url("bank") }));
    shop.waits("Accepted", "UrlNotAllowed");
    led_astray();
    assert_eq!(
        shop.entry().expect("an entry")["url"],
        json!(service_url(shop.name()))
    );
    // What its owner turns off, and takes away, counts.
    shop.patch(&json!({"suspend": true}));
    shop.waits("Delivering", "Suspended");
    assert_eq!(shop.entry().expect("an entry")["suspend"], json!(true));
    shop.kubectl(&["delete", "secret", "key"]);
    shop.waits("ResolvedRefs", "SecretNotFound");
    rests(&shop, true);
    shop.waits("Accepted", "UrlNotAllowed");
    // Put right, it is as it was.
    shop.secret("key", "mailtrail.dev/webhook-secret", SECRET);
    shop.patch(&json!({"url": service_url(shop.name()), "suspend": false}));
    shop.waits("Programmed", "Programmed");
    rests(&shop, false);
    assert_eq!(shop.entry().expect("an entry")["suspend"], Value::Null);
}
