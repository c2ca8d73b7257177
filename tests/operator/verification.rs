//! Whether hosts lead here: DNS and certificates are real, and a test's own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mailtrail_tests::{
    Authority, ControlPlane, Dns, Front, Install, Namespace, Operator, PATIENCE, Program, Replica,
    domain_path,
};
use serde_json::{Value, json};

use crate::callers::owner_token;
use crate::{leads_home, mail, metric, status_writes, tracked_link};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// A loopback address that no front listens on.
const NOBODY: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

/// What stands between readers and an install.
struct Outside {
    dns: Dns,
    front: Front,
    authority: Authority,
}

impl Outside {
    fn new() -> Self {
        Self {
            dns: Dns::start(),
            front: Front::start(),
            authority: Authority::new(),
        }
    }

    fn operator(&self, install: &Install<'_>) -> Operator {
        let ca = self.authority.pem();
        install
            .operator_flags()
            .with("--resolver", self.dns.address().to_string())
            .with("--probe-port", self.front.address().port().to_string())
            .with("--probe-ca", ca.to_str().expect("text"))
            .start()
    }

    /// A host that leads to a program, with a good certificate.
    fn lead(&self, host: &str, to: SocketAddr) {
        self.front
            .serve(host, &self.authority.certificate(host), to);
        self.dns.lead(host, &[HERE]);
    }
}

fn apply(install: &Install<'_>, namespace: &str, name: &str, host: &str) {
    let spec = json!({"host": host, "clicks": {"enabled": true}});
    install.apply(namespace, name, &spec);
}

fn host(namespace: &Namespace<'_>, name: &str) -> String {
    format!("{name}.{}.example", namespace.name())
}

/// Longest wait for looks at hosts: each round comes twice as late as the one
/// before, so that on a busy machine the next may be far.
const LOOKS_WITHIN: Duration = Duration::from_secs(120);

/// Waits until so many more looks at hosts have begun.
fn looks(operator: &Operator, more: u64) {
    let probes = || metric(operator, "probes_total").unwrap_or(0);
    let (before, begun) = (probes(), Instant::now());
    while probes() < before + more {
        assert!(begun.elapsed() < LOOKS_WITHIN, "hosts are not looked at");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn rewrite(replica: &Replica<'_>, token: &str, domain: &str) -> Value {
    let asked = mail(domain, "m");
    let answer = replica.program().post_as(token, "/v1/rewrite", &asked);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

#[test]
fn mails_come_back_unchanged_until_their_host_is_verified_and_are_tracked_ever_after() {
    let plane = ControlPlane::shared();
    let (install, outside) = (Install::new(plane, "verified"), Outside::new());
    let operator = outside.operator(&install);
    let replica = install.replica();
    let shop = Namespace::new(plane, "shop");
    let (host, realm) = (host(&shop, "links"), format!("{}/links", shop.name()));
    let token = owner_token(&shop);
    apply(&install, shop.name(), "links", &host);
    install.wait_programmed(shop.name(), "links");
    install.wait_reason(shop.name(), "links", "Reachable", "HostNotFound");
    let answer = rewrite(&replica, &token, &realm);
    assert!(answer.to_string().contains("host_unverified"), "{answer}");
    assert_eq!(answer["html"], mail(&realm, "m")["html"]);

    outside.lead(&host, replica.program().public());
    install.wait_reason(shop.name(), "links", "Reachable", "Reachable");
    install.wait_programmed(shop.name(), "links");
    let mut link = None;
    replica.program().until("mails are tracked", |_| {
        link = tracked_link(&rewrite(&replica, &token, &realm));
        link.is_some()
    });
    let link = link.expect("it was waited for");
    assert!(leads_home(replica.program(), &link));
    let claim = plane.get_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"));
    assert_eq!(claim["spec"]["verified"], json!(true));

    // Nothing is written while nothing new is found: not by a new operator...
    let written = status_writes(plane, shop.name(), "links");
    assert!(operator.stop().success());
    let operator = outside.operator(&install);
    looks(&operator, 1);
    install.wait_reason(shop.name(), "links", "Reachable", "Reachable");
    // ... nor when DNS is silent: that changes no verdict.
    outside.dns.pause();
    assert!(operator.stop().success());
    let operator = outside.operator(&install);
    looks(&operator, 2);
    assert_eq!(status_writes(plane, shop.name(), "links"), written);
    outside.dns.resume();

    // Later trouble shows, and stops nothing.
    assert!(operator.stop().success());
    outside.dns.lead(&host, &[]);
    let _operator = outside.operator(&install);
    install.wait_reason(shop.name(), "links", "Reachable", "HostNotFound");
    let ready = install.condition(shop.name(), "links", "Ready");
    assert_eq!(ready, Some(("True".to_owned(), "Ready".to_owned())));
    assert!(tracked_link(&rewrite(&replica, &token, &realm)).is_some());
    assert!(leads_home(replica.program(), &link));
}

#[test]
fn each_trouble_has_its_reason_and_repeats_cost_no_write() {
    let plane = ControlPlane::shared();
    let (install, outside) = (Install::new(plane, "troubles"), Outside::new());
    let operator = outside.operator(&install);
    let replica = install.replica();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| host(&shop, name);
    let here = replica.program().public();
    outside.dns.lead(&host("refused"), &[NOBODY]);
    for (name, certificate) in [
        ("expired", outside.authority.expired(&host("expired"))),
        ("mismatched", outside.authority.certificate(&host("other"))),
        ("foreign", Authority::new().certificate(&host("foreign"))),
    ] {
        outside.front.serve(&host(name), &certificate, here);
        outside.dns.lead(&host(name), &[HERE]);
    }
    // Somebody who speaks HTTP and is not us, and one who knows no such host.
    outside.lead(&host("others"), operator.admin());
    outside.dns.lead(&host("unknown"), &[HERE]);
    let troubles = [
        ("missing", "HostNotFound"),
        ("refused", "Unreachable"),
        ("expired", "CertificateInvalid"),
        ("mismatched", "CertificateInvalid"),
        ("foreign", "CertificateInvalid"),
        ("others", "AnsweredByOthers"),
        ("unknown", "AnsweredByOthers"),
    ];
    for (name, _) in troubles {
        apply(&install, shop.name(), name, &host(name));
    }
    for (name, reason) in troubles {
        install.wait_reason(shop.name(), name, "Reachable", reason);
        install.wait_programmed(shop.name(), name);
    }
    let writes = || troubles.map(|(name, _)| status_writes(plane, shop.name(), name));
    let written = writes();
    looks(&operator, 2 * troubles.len() as u64);
    assert_eq!(writes(), written);
    let token = owner_token(&shop);
    for (name, _) in troubles {
        let realm = format!("{}/{name}", shop.name());
        let answer = rewrite(&replica, &token, &realm);
        assert!(answer.to_string().contains("host_unverified"), "{answer}");
    }
}

#[test]
fn a_name_server_in_trouble_says_nothing_and_who_waives_the_check_is_not_looked_at() {
    let plane = ControlPlane::shared();
    let (install, outside) = (Install::new(plane, "servfail"), Outside::new());
    let operator = outside.operator(&install);
    let replica = install.replica();
    let shop = Namespace::new(plane, "shop");
    let waived = json!({
        "host": host(&shop, "waived"), "verification": "None", "clicks": {"enabled": true},
    });
    install.apply(shop.name(), "waived", &waived);
    install.wait_programmed(shop.name(), "waived");
    install.wait_reason(shop.name(), "waived", "Reachable", "VerificationWaived");
    assert_eq!(metric(&operator, "probes_total"), Some(0));
    let token = owner_token(&shop);
    let waived = format!("{}/waived", shop.name());
    assert!(tracked_link(&rewrite(&replica, &token, &waived)).is_some());

    let broken = format!("{}.broken.example", shop.name());
    apply(&install, shop.name(), "broken", &broken);
    install.wait_programmed(shop.name(), "broken");
    install.wait_reason(shop.name(), "broken", "Reachable", "DnsFailed");
    let status = plane.get_json(&domain_path(shop.name(), "broken"))["status"].clone();
    let conditions = status["conditions"].as_array().expect("a list");
    let reachable = conditions.iter().find(|c| c["type"] == "Reachable");
    assert_eq!(reachable.expect("one")["status"], "Unknown");
    // With another host of the same domain the check begins anew.
    let found = host(&shop, "found");
    outside.lead(&found, replica.program().public());
    apply(&install, shop.name(), "broken", &found);
    plane.wait_for("it is found", PATIENCE, |_| {
        let reachable = install.condition(shop.name(), "broken", "Reachable");
        reachable.is_some_and(|(status, _)| status == "True")
    });
    replica.program().until("ready", Program::is_ready);
}
