//! What each program and each of Kubernetes' own roles may do, as the API
//! server itself answers it.

use mailtrail_tests::{ControlPlane, Namespace};
use serde_json::{Value, json};

/// Asks whether a user may do something, written as on a command line:
/// `verb resource[/subresource][.group] [name]`.
struct Asker<'a> {
    plane: &'a ControlPlane,
    user: String,
}

impl Asker<'_> {
    fn may(&self, namespace: &str, question: &str) -> bool {
        let words: Vec<_> = question.split_whitespace().collect();
        let [verb, resource, ref name @ ..] = words[..] else {
            panic!("verb and resource: {question}")
        };
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let attributes = json!({
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name.first().unwrap_or(&""),
        });
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": self.user, "resourceAttributes": attributes},
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        self.plane.create(path, &review)["status"]["allowed"] == json!(true)
    }

    /// All verbs of a resource that are allowed.
    fn verbs(&self, namespace: &str, resource: &str) -> Vec<&'static str> {
        let verbs = [
            "get",
            "list",
            "watch",
            "create",
            "update",
            "patch",
            "delete",
            "deletecollection",
        ];
        let allowed = |verb: &&str| self.may(namespace, &format!("{verb} {resource}"));
        verbs.into_iter().filter(allowed).collect()
    }
}

fn service_account<'a>(plane: &'a ControlPlane, namespace: &str, name: &str) -> Asker<'a> {
    let user = format!("system:serviceaccount:{namespace}:{name}");
    Asker { plane, user }
}

const READ: [&str; 3] = ["get", "list", "watch"];
const ALL_BUT_DELETECOLLECTION: [&str; 7] = [
    "get", "list", "watch", "create", "update", "patch", "delete",
];
const NOTHING: [&str; 0] = [];

#[test]
fn the_operator_may_do_in_all_namespaces_what_its_manifest_explains_and_no_more() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "rights");
    let operator = service_account(plane, install.name(), "mailtrail-operator");
    // A namespace of somebody's, and none at all.
    for elsewhere in ["default", ""] {
        let check = |resource: &str, expected: &[&str]| {
            assert_eq!(operator.verbs(elsewhere, resource), expected, "{resource}");
        };
        check("trackingdomains.mailtrail.dev", &READ);
        check("trackingdomains/status.mailtrail.dev", &["update", "patch"]);
        check("eventsinks.mailtrail.dev", &READ);
        check("eventsinks/status.mailtrail.dev", &["update", "patch"]);
        check("services", &["list", "watch"]);
        check("endpointslices.discovery.k8s.io", &["list", "watch"]);
        check("hostclaims.mailtrail.dev", &ALL_BUT_DELETECOLLECTION);
        check("namespaces", &READ);
        check("events.events.k8s.io", &["create", "patch"]);
        let definitions = "customresourcedefinitions.apiextensions.k8s.io";
        check(definitions, &NOTHING);
        check(
            &format!("{definitions} configshards.mailtrail.dev"),
            &NOTHING,
        );
        check(&format!("{definitions} hostclaims.mailtrail.dev"), &["get"]);
        check(
            &format!("{definitions} trackingdomains.mailtrail.dev"),
            &["get"],
        );
        check(&format!("{definitions} eventsinks.mailtrail.dev"), &["get"]);
        for nothing in [
            "configshards.mailtrail.dev",
            "secrets",
            "secrets mailtrail-keyring",
            "services/proxy",
            "endpoints",
            "pods",
            "leases.coordination.k8s.io",
            "leases.coordination.k8s.io mailtrail-operator",
            "events",
            "configmaps",
            "serviceaccounts",
            "serviceaccounts/token",
            "tokenreviews.authentication.k8s.io",
            "trackingdomains/rewrites.mailtrail.dev",
            "trackingdomains/events.mailtrail.dev",
            "trackingdomains/recipients.mailtrail.dev",
            "eventsinks/replays.mailtrail.dev",
            "clusterroles.rbac.authorization.k8s.io",
            "validatingadmissionpolicies.admissionregistration.k8s.io",
        ] {
            check(nothing, &NOTHING);
        }
    }
}

#[test]
fn the_operator_may_do_in_its_own_namespace_what_its_manifest_explains_and_no_more() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "rights");
    let operator = service_account(plane, install.name(), "mailtrail-operator");
    let check = |resource: &str, expected: &[&str]| {
        assert_eq!(
            operator.verbs(install.name(), resource),
            expected,
            "{resource}"
        );
    };
    check("configshards.mailtrail.dev", &ALL_BUT_DELETECOLLECTION);
    check("pods", &READ);
    let lease = ["get", "create", "update", "patch"];
    check("leases.coordination.k8s.io mailtrail-operator", &lease);
    check("leases.coordination.k8s.io", &["create"]);
    check("leases.coordination.k8s.io other", &["create"]);
    let keyring = ["get", "list", "watch", "create", "update", "patch"];
    check("secrets mailtrail-keyring", &keyring);
    check("secrets", &["create"]);
    check("secrets other", &["create"]);
    for nothing in [
        "pods/exec",
        "pods/log",
        "configmaps",
        "serviceaccounts",
        "serviceaccounts/token mailtrail-dataplane",
        "deployments.apps",
        "roles.rbac.authorization.k8s.io",
    ] {
        check(nothing, &NOTHING);
    }
}

#[test]
fn an_operator_that_exposes_hosts_may_besides_what_its_mode_needs_in_its_own_namespace() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "rights");
    let operator = service_account(plane, install.name(), "mailtrail-operator");
    let makes = ["get", "list", "watch", "create", "patch", "delete"];
    let removes = ["list", "delete"];
    let check = |ingresses: &[&str], routes: &[&str]| {
        for (resource, expected) in [
            ("ingresses.networking.k8s.io", ingresses),
            ("httproutes.gateway.networking.k8s.io", routes),
        ] {
            // Rights are in force a moment after they are given.
            plane.wait_for(resource, mailtrail_tests::PATIENCE, |_| {
                operator.verbs(install.name(), resource) == expected
            });
            assert_eq!(operator.verbs("default", resource), NOTHING);
            assert_eq!(operator.verbs("", resource), NOTHING);
        }
    };
    check(&NOTHING, &NOTHING);
    install.exposes_by("ingress");
    check(&makes, &removes);
    install.exposes_by("httproute");
    check(&removes, &makes);
    install.exposes_by("cleanup");
    check(&removes, &removes);
    for nothing in [
        "ingresses/status.networking.k8s.io",
        "gateways.gateway.networking.k8s.io",
    ] {
        assert_eq!(
            operator.verbs(install.name(), nothing),
            NOTHING,
            "{nothing}"
        );
    }
}

#[test]
fn the_data_plane_may_read_its_configuration_and_ask_who_calls_and_no_more() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "rights");
    let dataplane = service_account(plane, install.name(), "mailtrail-dataplane");
    let check = |namespace: &str, resource: &str, expected: &[&str]| {
        assert_eq!(
            dataplane.verbs(namespace, resource),
            expected,
            "{namespace}: {resource}"
        );
    };
    let own = install.name();
    check(own, "configshards.mailtrail.dev", &READ);
    check("default", "configshards.mailtrail.dev", &NOTHING);
    check("", "configshards.mailtrail.dev", &NOTHING);
    check("", "tokenreviews.authentication.k8s.io", &["create"]);
    check("", "subjectaccessreviews.authorization.k8s.io", &["create"]);
    for namespace in [own, "default", ""] {
        for nothing in [
            "secrets",
            "secrets mailtrail-keyring",
            "pods",
            "trackingdomains.mailtrail.dev",
            "eventsinks.mailtrail.dev",
            "services",
            "hostclaims.mailtrail.dev",
            "leases.coordination.k8s.io",
            "events.events.k8s.io",
            "namespaces",
        ] {
            check(namespace, nothing, &NOTHING);
        }
    }
}

#[test]
fn an_installs_rights_end_with_its_namespace() {
    let plane = ControlPlane::shared();
    let (one, other) = (
        Namespace::install(plane, "rights"),
        Namespace::install(plane, "rights"),
    );
    let operator = service_account(plane, one.name(), "mailtrail-operator");
    assert_eq!(
        operator.verbs(other.name(), "configshards.mailtrail.dev"),
        NOTHING
    );
    assert_eq!(
        operator.verbs(other.name(), "secrets mailtrail-keyring"),
        NOTHING
    );
    assert!(operator.may("", "create hostclaims.mailtrail.dev"));
    drop(one);
    plane.wait_for("the rights are gone", mailtrail_tests::PATIENCE, |_| {
        !operator.may("", "create hostclaims.mailtrail.dev")
    });
}

/// Not only as an answer to a question: with the ServiceAccount's own token.
#[test]
fn the_keyring_is_listed_by_its_name_and_no_other_secret_is_read() {
    let plane = ControlPlane::shared();
    let install = Namespace::install(plane, "secrets");
    for name in ["mailtrail-keyring", "other"] {
        let secret = json!({"metadata": {"name": name}, "data": {"key": "c2VjcmV0"}});
        plane.create(&install.core_path("secrets"), &secret);
    }
    let kubeconfig = install.operator_kubeconfig();
    let secrets = |more: &[&str]| {
        let flags = ["get", "secrets", "-n", install.name(), "-o", "json"];
        plane.kubectl_as(&kubeconfig, &[&flags[..], more].concat(), "")
    };
    let listed = secrets(&["--field-selector=metadata.name=mailtrail-keyring"]);
    assert!(listed.status.success(), "{listed:?}");
    let listed: Value = serde_json::from_slice(&listed.stdout).expect("JSON");
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1));
    assert!(secrets(&["mailtrail-keyring"]).status.success());
    for refused in [
        &[][..],
        &["other"],
        &["--field-selector=metadata.name=other"],
    ] {
        let output = secrets(refused);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("Forbidden"),
            "{said}"
        );
    }
}

/// A namespace with a user for each of Kubernetes' own roles.
fn with_people(plane: &ControlPlane) -> Namespace<'_> {
    let namespace = Namespace::new(plane, "people");
    let rights = std::fs::read_to_string(mailtrail_tests::root().join("crds/rbac.yaml"));
    plane.apply(&rights.expect("a manifest"));
    for role in ["view", "edit", "admin"] {
        let name = format!("--clusterrole={role}");
        let user = format!("--user={}-{role}", namespace.name());
        let flags = [
            "create",
            "rolebinding",
            role,
            "-n",
            namespace.name(),
            &name,
            &user,
        ];
        plane.kubectl(&flags);
    }
    namespace
}

#[test]
fn people_have_the_rights_that_their_namespace_role_says() {
    let plane = ControlPlane::shared();
    if !plane.has_controllers() {
        eprintln!("passed over: nobody aggregates roles without kube-controller-manager");
        return;
    }
    let namespace = with_people(plane);
    let asker = |role: &str| Asker {
        plane,
        user: format!("{}-{role}", namespace.name()),
    };
    // Kubernetes' own roles take ours up a moment later.
    plane.wait_for(
        "the roles are aggregated",
        mailtrail_tests::PATIENCE,
        |_| {
            asker("admin").may(namespace.name(), "get trackingdomains/events.mailtrail.dev")
                && asker("edit").may(namespace.name(), "create trackingdomains.mailtrail.dev")
                && asker("view").may(namespace.name(), "get trackingdomains.mailtrail.dev")
        },
    );
    let all = [&ALL_BUT_DELETECOLLECTION[..], &["deletecollection"]].concat();
    let check = |role: &str, resource: &str, expected: &[&str]| {
        let verbs = asker(role).verbs(namespace.name(), resource);
        assert_eq!(verbs, expected, "{role}: {resource}");
    };
    for (role, domains, rewrites, events, recipients) in [
        ("view", &READ[..], &NOTHING[..], &NOTHING[..], &NOTHING[..]),
        ("edit", &all, &NOTHING, &NOTHING, &NOTHING),
        (
            "admin",
            &all,
            &["create"],
            &["get"],
            &["get", "create", "delete"],
        ),
    ] {
        check(role, "trackingdomains.mailtrail.dev", domains);
        check(role, "trackingdomains/status.mailtrail.dev", &READ);
        check(role, "trackingdomains/rewrites.mailtrail.dev", rewrites);
        check(role, "trackingdomains/events.mailtrail.dev", events);
        check(role, "trackingdomains/recipients.mailtrail.dev", recipients);
        let (sinks, status, replays) = match role {
            "admin" => (&all[..], &READ[..], &["create"][..]),
            _ => (&NOTHING[..], &NOTHING[..], &NOTHING[..]),
        };
        check(role, "eventsinks.mailtrail.dev", sinks);
        check(role, "eventsinks/status.mailtrail.dev", status);
        check(role, "eventsinks/replays.mailtrail.dev", replays);
        check(role, "configshards.mailtrail.dev", &NOTHING);
        check(role, "hostclaims.mailtrail.dev", &NOTHING);
        let elsewhere = asker(role).verbs("default", "trackingdomains.mailtrail.dev");
        assert_eq!(elsewhere, NOTHING, "{role}");
    }
}
