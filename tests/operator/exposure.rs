//! Hosts get out of the cluster by an Ingress each, made beside the data plane's
//! Service: for whom, how long, and whose objects are left alone.

use std::path::Path;

use mailtrail_tests::{ControlPlane, Install, Namespace, OperatorFlags, PATIENCE, domain_path};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{metric, writes};

/// Settings of most tests here.
pub(crate) const INGRESS: &str = "mode: Ingress
annotations: {cert-manager.io/cluster-issuer: letsencrypt}
externalDNS: {enabled: true, ttl: 5m}
ingress: {className: nginx, tlsSecretName: '{host}-tls'}
";

/// An install whose operator exposes the hosts of namespaces that begin with
/// `shop`, below `.tracked.example`.
pub(crate) struct Exposing<'a> {
    pub(crate) install: Install<'a>,
    folder: TempDir,
}

impl<'a> Exposing<'a> {
    /// The rights of a mode are given already.
    pub(crate) fn new(plane: &'a ControlPlane, words: &str, mode: &str) -> Self {
        let install = Install::new(plane, words);
        install.namespace().exposes_by(mode);
        let folder = TempDir::new().expect("a folder");
        Self { install, folder }
    }

    /// How its operators are started, with these settings.
    pub(crate) fn flags(&self, settings: &str) -> OperatorFlags {
        let policy = "- {namespaces: ['shop*'], hosts: ['*.tracked.example']}\n";
        let settings = format!("service: {{name: mailtrail-public, port: 80}}\n{settings}");
        self.install
            .operator_flags()
            .with("--host-policy", self.file("hosts.yaml", policy))
            .with("--exposure", self.file("exposure.yaml", &settings))
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).expect("a file");
        text_of(&path)
    }

    /// Path of a host's Ingress.
    pub(crate) fn ingress(&self, host: &str) -> String {
        self.path("networking.k8s.io/v1", "ingresses", host)
    }

    /// Path of a host's HTTPRoute.
    pub(crate) fn http_route(&self, host: &str) -> String {
        self.path("gateway.networking.k8s.io/v1", "httproutes", host)
    }

    fn path(&self, api: &str, plural: &str, host: &str) -> String {
        let namespace = self.install.namespace().name();
        format!("/apis/{api}/namespaces/{namespace}/{plural}/{host}")
    }
}

fn text_of(path: &Path) -> String {
    path.to_str().expect("a path of text").to_owned()
}

pub(crate) fn waived(host: &str, aliases: &[&str]) -> Value {
    json!({"host": host, "aliases": aliases, "verification": "None", "clicks": {"enabled": true}})
}

pub(crate) fn until_there(plane: &ControlPlane, path: &str) -> Value {
    let mut found = None;
    plane.wait_for(path, PATIENCE, |plane| {
        found = plane.find_json(path);
        found.is_some()
    });
    found.expect("it is there")
}

pub(crate) fn until_gone(plane: &ControlPlane, path: &str) {
    // Who collects garbage learns of kinds every half minute.
    plane.wait_for(path, 3 * PATIENCE, |plane| plane.find_json(path).is_none());
}

/// How often the operator of a namespace wrote routes there, or tried to.
fn route_writes(plane: &ControlPlane, namespace: &str) -> usize {
    let operator = format!("system:serviceaccount:{namespace}:mailtrail-operator");
    writes(plane, |line| {
        let resource = &line["objectRef"]["resource"];
        line["user"]["username"] == operator.as_str()
            && (resource == "ingresses" || resource == "httproutes")
    })
}

/// What an API server says of an object once more, strictly.
pub(crate) fn taken_strictly(plane: &ControlPlane, path: &str) {
    let made = plane.get_json(path);
    let (list, name) = path.rsplit_once('/').expect("a list and a name");
    let metadata = &made["metadata"];
    let again = json!({
        "apiVersion": made["apiVersion"],
        "kind": made["kind"],
        "metadata": {
            "name": format!("again.{name}"),
            "labels": metadata["labels"],
            "annotations": metadata["annotations"],
            "ownerReferences": metadata["ownerReferences"],
        },
        "spec": made["spec"],
    });
    let strictly = format!("{list}?dryRun=All&fieldValidation=Strict");
    let reply = plane.ask("POST", &strictly, Some(&again));
    assert_eq!(reply.status, 201, "{:#}", reply.body);
}

#[test]
fn each_host_has_an_ingress_of_its_own_and_nothing_is_written_twice() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "expose", "ingress");
    let install = &exposing.install;
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    let alias = format!("other.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[&alias]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    // Nobody serves it: that is another matter.
    install.wait_reason(shop.name(), "links", "Programmed", "NoReplicas");
    for host in [&host, &alias] {
        let made = plane.get_json(&exposing.ingress(host));
        let spec = &made["spec"];
        assert_eq!(spec["ingressClassName"], "nginx");
        assert_eq!(spec["rules"][0]["host"], host.as_str());
        let backend = &spec["rules"][0]["http"]["paths"][0]["backend"]["service"];
        assert_eq!(
            *backend,
            json!({"name": "mailtrail-public", "port": {"number": 80}})
        );
        let tls = json!([{"hosts": [host], "secretName": format!("{host}-tls")}]);
        assert_eq!(spec["tls"], tls);
        let claim = plane.get_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"));
        let owner = &made["metadata"]["ownerReferences"][0];
        assert_eq!(owner["uid"], claim["metadata"]["uid"]);
        let annotations = &made["metadata"]["annotations"];
        assert_eq!(annotations["cert-manager.io/cluster-issuer"], "letsencrypt");
        assert_eq!(
            annotations["external-dns.kubernetes.io/hostname"],
            host.as_str()
        );
        assert_eq!(annotations["external-dns.alpha.kubernetes.io/ttl"], "5m");
        taken_strictly(plane, &exposing.ingress(host));
    }
    if !plane.is_own() {
        return;
    }
    let namespace = install.namespace().name();
    assert_eq!(route_writes(plane, namespace), 2);
    // Another operator finds all of it as it should be.
    operator.stop();
    let again = exposing.flags(INGRESS).start();
    install.apply(shop.name(), "more", &waived(&format!("more.{host}"), &[]));
    install.wait_reason(shop.name(), "more", "Exposed", "Exposed");
    assert_eq!(route_writes(plane, namespace), 3);
    assert!(again.get("/live").status == 200);
}

#[test]
fn while_an_edit_is_refused_the_hosts_that_are_exposed_are_named() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "expose-refused", "ingress");
    let install = &exposing.install;
    let _operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| format!("{name}.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host("links"), &[]));
    install.apply(shop.name(), "news", &waived(&host("news"), &[]));
    for name in ["links", "news"] {
        install.wait_reason(shop.name(), name, "Exposed", "Exposed");
    }
    let taken = json!({"host": host("links"), "clicks": {"enabled": true}});
    for name in ["news", "never"] {
        install.apply(shop.name(), name, &taken);
        install.wait_reason(shop.name(), name, "Accepted", "HostConflict");
    }
    let told = |name: &str, type_: &str| {
        let status = &plane.get_json(&domain_path(shop.name(), name))["status"];
        let conditions = status["conditions"].as_array().expect("conditions");
        let of = conditions.iter().find(|of| of["type"] == type_);
        of.map(|of| ["status", "reason", "message"].map(|key| of[key].clone()))
    };
    let said = |status: &str, reason: &str, message: &str| {
        Some([json!(status), json!(reason), json!(message)])
    };
    let before = format!(
        "each host has its Ingress, as accepted before: {}",
        host("news")
    );
    assert_eq!(told("news", "Exposed"), said("True", "Exposed", &before));
    let none = "no host is this object's";
    assert_eq!(told("never", "Exposed"), said("False", "NotAccepted", none));
    let nobody = "nobody looks: no host is this object's";
    assert_eq!(
        told("never", "Reachable"),
        said("Unknown", "NotAccepted", nobody)
    );
}

#[test]
fn what_somebody_does_to_a_route_is_undone_and_what_others_add_stays() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "drift", "ingress");
    let install = &exposing.install;
    let _operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    let path = exposing.ingress(&host);
    let made = plane.get_json(&path);
    let theirs = json!({"metadata": {"annotations": {"theirs.example/note": "stays"}}});
    plane.merge(&path, &theirs);
    for change in [
        json!({"spec": {"rules": [{"host": "stolen.example"}]}}),
        json!({"spec": {"tls": null}}),
        json!({"spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}}}),
        json!({"spec": {"ingressClassName": "theirs"}}),
        json!({"metadata": {"labels": null}}),
        json!({"metadata": {"labels": {"mailtrail.dev/class": "theirs"}}}),
        json!({"metadata": {"ownerReferences": null}}),
        json!({"metadata": {"annotations": {"external-dns.kubernetes.io/hostname": "stolen.example"}}}),
    ] {
        plane.merge(&path, &change);
        plane.wait_for(&change.to_string(), PATIENCE, |plane| {
            let now = plane.get_json(&path);
            let same = |field: &str| now["metadata"][field] == made["metadata"][field];
            now["spec"] == made["spec"]
                && same("labels")
                && same("ownerReferences")
                && now["metadata"]["annotations"]["external-dns.kubernetes.io/hostname"] == host
        });
    }
    let annotations = plane.get_json(&path)["metadata"]["annotations"].clone();
    assert_eq!(annotations["theirs.example/note"], "stays");
    plane.ask("DELETE", &path, None).taken();
    plane.wait_for("it is made again", PATIENCE, |plane| {
        let found = plane.find_json(&path);
        found.is_some_and(|found| found["metadata"]["uid"] != made["metadata"]["uid"])
    });
}

#[test]
fn an_ingress_without_a_class_of_ours_keeps_the_default_that_the_cluster_gave_it() {
    let plane = ControlPlane::own_without_controllers();
    plane.crds();
    let class = json!({
        "metadata": {"name": "usual", "annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}},
        "spec": {"controller": "usual.example/controller"},
    });
    plane.create("/apis/networking.k8s.io/v1/ingressclasses", &class);
    let exposing = Exposing::new(&plane, "usual", "ingress");
    let install = &exposing.install;
    let operator = exposing.flags("mode: Ingress").start();
    let shop = Namespace::new(&plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    let path = exposing.ingress(&host);
    let made = plane.get_json(&path);
    assert_eq!(made["spec"]["ingressClassName"], "usual");
    for change in [
        json!({"spec": {"rules": [{"host": "stolen.example"}]}}),
        json!({"spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}}}),
        json!({"spec": {"tls": [{"hosts": [host], "secretName": "theirs"}]}}),
    ] {
        plane.merge(&path, &change);
        plane.wait_for(&change.to_string(), PATIENCE, |plane| {
            plane.get_json(&path)["spec"] == made["spec"]
        });
    }
    operator.stop();
    // Nor does another operator with other settings take it away.
    let _operator = exposing
        .flags("mode: Ingress\nannotations: {a.example/b: c}")
        .start();
    plane.wait_for("it is as set", PATIENCE, |plane| {
        plane.get_json(&path)["metadata"]["annotations"]["a.example/b"] == "c"
    });
    assert_eq!(plane.get_json(&path)["spec"], made["spec"]);
}

#[test]
fn other_settings_reach_every_route_and_what_they_leave_out_goes() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "settings", "ingress");
    let install = &exposing.install;
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    let path = exposing.ingress(&host);
    let made = plane.get_json(&path);
    operator.stop();
    for (settings, class) in [
        ("mode: Ingress\ningress: {className: haproxy}\n", "haproxy"),
        ("mode: Ingress\ningress: {className: traefik}\n", "traefik"),
    ] {
        let operator = exposing.flags(settings).start();
        plane.wait_for("it is as set", PATIENCE, |plane| {
            plane.get_json(&path)["spec"]["ingressClassName"] == class
        });
        let now = plane.get_json(&path);
        assert_eq!(now["metadata"]["uid"], made["metadata"]["uid"]);
        assert!(now["spec"]["tls"].is_null(), "{now:#}");
        let annotations = now["metadata"]["annotations"].to_string();
        let ours = ["cert-manager", "external-dns"];
        assert!(
            !ours.iter().any(|word| annotations.contains(word)),
            "{annotations}"
        );
        operator.stop();
    }
}

#[test]
fn an_object_that_is_not_ours_is_neither_written_nor_deleted_and_that_is_told() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "foreign", "ingress");
    let install = &exposing.install;
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    let path = exposing.ingress(&host);
    let list = path.rsplit_once('/').expect("a list").0;
    let theirs = json!({
        "metadata": {"name": host},
        "spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}},
    });
    let theirs = plane.create(list, &theirs);
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "RouteConflict");
    let counted = |reason| metric(&operator, &format!("routes{{reason=\"{reason}\"}}"));
    assert_eq!(counted("RouteConflict"), Some(1));
    // The rest goes on: the claim stands, the entry is written.
    install.wait_reason(shop.name(), "links", "Accepted", "Accepted");
    assert!(install.entry(shop.name(), "links").is_some());
    let is_untouched = |plane: &ControlPlane| plane.get_json(&path) == theirs;
    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    plane.wait_for("retired", PATIENCE, |_| {
        let claim = plane.get_json(&format!("/apis/mailtrail.dev/v1alpha1/hostclaims/{host}"));
        claim["spec"]["state"] == "Retired"
    });
    plane.kubectl(&["delete", "hc", &host]);
    plane.wait_for("the entry goes", PATIENCE, |_| {
        install.entry(shop.name(), "links").is_none()
    });
    assert!(is_untouched(plane));
    plane.wait_for("no host is counted", PATIENCE, |_| {
        counted("RouteConflict") == Some(0)
    });
    // Once it is out of the way the host has its own.
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "RouteConflict");
    assert!(is_untouched(plane));
    plane.ask("DELETE", &path, None).taken();
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    assert_eq!(
        ["Exposed", "RouteConflict"].map(counted),
        [Some(1), Some(0)]
    );
}

/// Deletes a domain whose host is retired, and its alias forgotten, by that.
fn retire(plane: &ControlPlane, exposing: &Exposing<'_>, shop: &Namespace<'_>) -> (String, String) {
    let host = format!("links.{}.tracked.example", shop.name());
    let alias = format!("other.{}.tracked.example", shop.name());
    let install = &exposing.install;
    install.apply(shop.name(), "links", &waived(&host, &[&alias]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    plane.kubectl(&["delete", "td", "links", "-n", shop.name()]);
    (exposing.ingress(&host), exposing.ingress(&alias))
}

#[test]
fn a_retired_host_keeps_its_route_until_its_claim_goes() {
    // Nobody collects garbage here: it is the operator that removes what goes.
    let plane = ControlPlane::own_without_controllers();
    plane.crds();
    let exposing = Exposing::new(&plane, "retire", "ingress");
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(&plane, "shop");
    let (host, alias) = retire(&plane, &exposing, &shop);
    let before = plane.get_json(&host);
    until_gone(&plane, &alias);
    assert_eq!(plane.get_json(&host), before);
    // Nor is it given up by an operator that begins.
    operator.stop();
    let _operator = exposing.flags(INGRESS).start();
    let name = before["metadata"]["name"].as_str().expect("a name");
    // A route that is lost comes again, retired or not.
    plane.ask("DELETE", &host, None).taken();
    until_there(&plane, &host);
    plane.kubectl(&["delete", "hc", name]);
    until_gone(&plane, &host);
}

#[test]
fn without_an_operator_kubernetes_removes_what_a_claim_that_goes_leaves() {
    let plane = ControlPlane::shared();
    if !plane.has_controllers() {
        eprintln!("passed over: nobody collects garbage without kube-controller-manager");
        return;
    }
    let exposing = Exposing::new(plane, "garbage", "ingress");
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let (host, alias) = retire(plane, &exposing, &shop);
    until_gone(plane, &alias);
    let name = plane.get_json(&host)["metadata"]["name"].clone();
    operator.kill();
    plane.kubectl(&["delete", "hc", name.as_str().expect("a name")]);
    until_gone(plane, &host);
}

#[test]
fn no_route_is_made_for_a_host_that_its_namespace_may_not_use_any_more() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "policy", "ingress");
    let install = &exposing.install;
    // While nothing was exposed, nothing said who may use what.
    let operator = install.operator();
    let bank = Namespace::new(plane, "bank");
    let host = format!("links.{}.tracked.example", bank.name());
    install.apply(bank.name(), "links", &waived(&host, &[]));
    install.wait_reason(bank.name(), "links", "Accepted", "Accepted");
    operator.stop();
    let _operator = exposing.flags(INGRESS).start();
    install.wait_reason(bank.name(), "links", "Exposed", "HostNotAllowed");
    assert!(plane.find_json(&exposing.ingress(&host)).is_none());
}

#[test]
fn an_operator_that_is_to_expose_hosts_does_not_start_without_a_list_of_who_may_use_which() {
    let plane = ControlPlane::shared();
    let exposing = Exposing::new(plane, "nolist", "ingress");
    let _ = exposing.flags(INGRESS);
    let settings = text_of(&exposing.folder.path().join("exposure.yaml"));
    let flags = exposing
        .install
        .operator_flags()
        .with("--exposure", settings);
    let (status, said) = flags.refused();
    assert!(!status.success());
    assert!(said.contains("mode Ingress needs --host-policy"), "{said}");
    let (status, said) = exposing.flags("mode: Ingres").refused();
    assert!(!status.success() && said.contains("--exposure"), "{said}");
}

#[test]
fn who_exposes_nothing_asks_and_writes_nothing() {
    let plane = ControlPlane::shared();
    // Without the rights, so that asking would be told.
    let install = Install::new(plane, "off");
    let operator = install.operator();
    let shop = Namespace::new(plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Programmed", "NoReplicas");
    assert_eq!(install.condition(shop.name(), "links", "Exposed"), None);
    let log = operator.log();
    assert!(!log.contains("Ingress") && !log.contains("route"), "{log}");
    if plane.is_own() {
        assert_eq!(route_writes(plane, install.namespace().name()), 0);
    }
    let status = plane.get_json(&domain_path(shop.name(), "links"))["status"].to_string();
    assert!(!status.contains("Exposed"), "{status}");
}
