//! Hosts get out by an HTTPRoute each, and what becomes of what another mode has
//! made, or another install.

use mailtrail_tests::{ControlPlane, Namespace, PATIENCE};
use serde_json::{Value, json};

use crate::exposure::{Exposing, INGRESS, taken_strictly, until_gone, until_there, waived};

const HTTP_ROUTE: &str = "mode: HTTPRoute
externalDNS: {enabled: true, target: not-told.example}
httpRoute: {parentRefs: [{name: public, namespace: gateways, sectionName: https}]}
";

#[test]
fn without_the_gateway_api_that_is_told_and_routes_follow_once_it_is_there() {
    let plane = ControlPlane::own();
    plane.crds();
    let exposing = Exposing::new(&plane, "gateway", "httproute");
    let install = &exposing.install;
    let operator = exposing.flags(HTTP_ROUTE).start();
    let replica = install.replica();
    let shop = Namespace::new(&plane, "shop");
    let host = format!("links.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host, &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "GatewayApiMissing");
    // All else goes on.
    install.wait_programmed(shop.name(), "links");
    install.wait_reason(shop.name(), "links", "Ready", "Ready");
    assert!(operator.log().contains("does not know the kind"));
    plane.gateway_api();
    plane.wait_for("it is looked for again", 3 * PATIENCE, |_| {
        let exposed = install.condition(shop.name(), "links", "Exposed");
        exposed.is_some_and(|(status, _)| status == "True")
    });
    let path = exposing.http_route(&host);
    let made = plane.get_json(&path);
    let spec = &made["spec"];
    assert_eq!(spec["hostnames"], json!([host]));
    let parent = &spec["parentRefs"][0];
    assert_eq!(parent["name"], "public");
    assert_eq!(parent["namespace"], "gateways");
    assert_eq!(parent["sectionName"], "https");
    let backend = &spec["rules"][0]["backendRefs"][0];
    assert_eq!(backend["name"], "mailtrail-public");
    assert_eq!(backend["port"], 80);
    let annotations = &made["metadata"]["annotations"];
    assert_eq!(
        annotations["external-dns.kubernetes.io/hostname"],
        host.as_str()
    );
    taken_strictly(&plane, &path);
    what_is_added_is_undone(&plane, &path);
    // Its definition goes, and comes again.
    let definition = "httproutes.gateway.networking.k8s.io";
    plane.kubectl(&["delete", "crd", definition]);
    install.wait_reason(shop.name(), "links", "Exposed", "GatewayApiMissing");
    plane.gateway_api();
    plane.wait_for("it is made again", 3 * PATIENCE, |plane| {
        plane.find_json(&path).is_some()
    });
    drop(replica);
}

/// What somebody changes of a spec comes back, and what they add to it goes: all of
/// it leads requests elsewhere, or nowhere.
fn what_is_added_is_undone(plane: &ControlPlane, path: &str) {
    let made = plane.get_json(path);
    let changed = |at: &str, value: Value| {
        let mut spec = made["spec"].clone();
        let (place, field) = at.rsplit_once('/').expect("a place and a field");
        spec.pointer_mut(place).expect(at)[field] = value;
        spec
    };
    let rewrite = json!([{"type": "URLRewrite", "urlRewrite": {"hostname": "theirs.example"}}]);
    let mirror = json!([{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "theirs", "port": 80}}}]);
    for spec in [
        changed("/hostnames", json!(["stolen.example"])),
        changed("/rules/0/filters", rewrite),
        changed("/rules/0/filters", mirror),
        changed("/rules/0/timeouts", json!({"request": "1ms"})),
        changed("/rules/0/backendRefs/0/namespace", json!("theirs")),
        changed("/rules/0/backendRefs/0/weight", json!(0)),
        changed("/rules/0/matches/0/method", json!("PATCH")),
        changed(
            "/rules/0/matches/0/headers",
            json!([{"name": "x", "value": "y"}]),
        ),
        changed("/parentRefs/0/port", json!(9)),
    ] {
        plane.merge(path, &json!({ "spec": spec }));
        assert_ne!(
            plane.get_json(path)["metadata"]["generation"],
            made["metadata"]["generation"]
        );
        plane.wait_for(&spec.to_string(), PATIENCE, |plane| {
            plane.get_json(path)["spec"] == made["spec"]
        });
    }
}

#[test]
fn another_mode_takes_over_host_by_host_and_none_removes_all() {
    let plane = ControlPlane::shared();
    plane.gateway_api();
    let exposing = Exposing::new(plane, "modes", "ingress");
    let install = &exposing.install;
    let operator = exposing.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| format!("{name}.{}.tracked.example", shop.name());
    install.apply(shop.name(), "links", &waived(&host("links"), &[]));
    install.apply(shop.name(), "taken", &waived(&host("taken"), &[]));
    install.wait_reason(shop.name(), "links", "Exposed", "Exposed");
    install.wait_reason(shop.name(), "taken", "Exposed", "Exposed");
    // Somebody else's, of the same kind and of the other one.
    let list = |path: String| path.rsplit_once('/').expect("a list").0.to_owned();
    let ingress = json!({
        "metadata": {"name": host("theirs"), "labels": {"mailtrail.dev/class": "another"}},
        "spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}},
    });
    plane.create(&list(exposing.ingress("x")), &ingress);
    plane.create(
        &list(exposing.http_route("x")),
        &json!({"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": host("taken")}, "spec": {}}),
    );
    operator.stop();

    install.namespace().exposes_by("httproute");
    let operator = exposing.flags(HTTP_ROUTE).start();
    install.wait_reason(shop.name(), "taken", "Exposed", "RouteConflict");
    until_there(plane, &exposing.http_route(&host("links")));
    until_gone(plane, &exposing.ingress(&host("links")));
    // Its HTTPRoute cannot be made: it keeps what it has.
    until_there(plane, &exposing.ingress(&host("taken")));
    plane
        .ask("DELETE", &exposing.http_route(&host("taken")), None)
        .taken();
    install.wait_reason(shop.name(), "taken", "Exposed", "Exposed");
    until_gone(plane, &exposing.ingress(&host("taken")));
    operator.stop();

    install.namespace().exposes_by("cleanup");
    let _operator = exposing.flags("mode: None").start();
    for name in ["links", "taken"] {
        until_gone(plane, &exposing.http_route(&host(name)));
        plane.wait_for("nothing is told", PATIENCE, |_| {
            let exposed = install.condition(shop.name(), name, "Exposed");
            exposed.is_none()
        });
    }
    assert!(
        plane
            .find_json(&exposing.ingress(&host("theirs")))
            .is_some()
    );
}

#[test]
fn two_installs_leave_each_others_routes_alone() {
    let plane = ControlPlane::shared();
    let one = Exposing::new(plane, "one", "ingress");
    let two = Exposing::new(plane, "two", "ingress");
    let operator = one.flags(INGRESS).start();
    let _other = two.flags(INGRESS).start();
    let shop = Namespace::new(plane, "shop");
    let host = |name: &str| format!("{name}.{}.tracked.example", shop.name());
    for (exposing, name) in [(&one, "a"), (&two, "b")] {
        exposing
            .install
            .apply(shop.name(), name, &waived(&host(name), &[]));
        exposing
            .install
            .wait_reason(shop.name(), name, "Exposed", "Exposed");
    }
    let (of_one, of_two) = (one.ingress(&host("a")), two.ingress(&host("b")));
    assert!(plane.find_json(&one.ingress(&host("b"))).is_none());
    assert!(plane.find_json(&two.ingress(&host("a"))).is_none());
    // One that is of the other's class is not this one's, even in its namespace.
    let list = of_one.rsplit_once('/').expect("a list").0;
    let moved = json!({
        "metadata": {"name": host("c"), "labels": {"mailtrail.dev/class": two.install.class()}},
        "spec": {"defaultBackend": {"service": {"name": "theirs", "port": {"number": 1}}}},
    });
    let moved = plane.create(list, &moved);
    let before = plane.get_json(&of_two);
    operator.stop();
    one.install.namespace().exposes_by("cleanup");
    let _operator = one.flags("mode: None").start();
    until_gone(plane, &of_one);
    assert_eq!(plane.get_json(&of_two), before);
    assert_eq!(plane.get_json(&one.ingress(&host("c"))), moved);
}
