//! What a real API server says of each rendering, in a namespace under Pod
//! Security `restricted`: everything is taken, strictly, without a warning.

use std::path::Path;
use std::process::Command;

use mailtrail_tests::{ControlPlane, Namespace, root};
use serde_json::{Value, json};

use crate::chart::{helm, object, objects, pod_templates, tried, values_files};

/// A namespace under `restricted`, with the accounts that pods name.
fn restricted<'a>(plane: &'a ControlPlane, words: &str) -> Namespace<'a> {
    let namespace = Namespace::new(plane, words);
    let level = |mode: &str| {
        (
            format!("pod-security.kubernetes.io/{mode}"),
            json!("restricted"),
        )
    };
    let labels: serde_json::Map<_, _> = ["enforce", "warn"].map(level).into_iter().collect();
    plane.merge(
        &format!("/api/v1/namespaces/{}", namespace.name()),
        &json!({"metadata": {"labels": labels}}),
    );
    for account in [
        "mailtrail-operator",
        "mailtrail-dataplane",
        "mailtrail-test",
    ] {
        let account = json!({"metadata": {"name": account}});
        plane.create(&namespace.core_path("serviceaccounts"), &account);
    }
    namespace
}

/// The definitions of Prometheus' own resources, of its operator's module.
fn monitoring_definitions(plane: &ControlPlane) {
    let output = Command::new(root().join("tests/tools/go-module.sh"))
        .arg("github.com/prometheus-operator/prometheus-operator@v0.85.0")
        .output()
        .expect("go-module.sh starts");
    assert!(output.status.success(), "the module is not there");
    let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    for kind in ["podmonitors", "prometheusrules"] {
        let file = format!("example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml");
        let file = Path::new(&folder).join(file);
        let file = file.to_str().expect("text");
        plane.kubectl(&["apply", "--server-side", "-f", file]);
        plane.kubectl(&[
            "wait",
            "--for=condition=Established",
            "--timeout=30s",
            "-f",
            file,
        ]);
    }
}

/// Renders for a namespace; those that are watched must be there.
fn rendered_for(namespace: &Namespace<'_>, flags: &[&str], watches: bool) -> String {
    let watched = format!("watchNamespaces=[{:?}]", namespace.name());
    let mut all = vec!["--namespace", namespace.name()];
    all.extend(flags);
    if watches {
        all.extend(["--set-json", &watched]);
    }
    tried(&all).expect("it renders")
}

/// What the API server warns of or refuses of a rendering.
fn said(plane: &ControlPlane, yaml: &str) -> String {
    let flags = [
        "apply",
        "--server-side",
        "--force-conflicts",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
    ];
    let output = plane.kubectl_tried(&flags, yaml);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), !said.contains("Error"), "{said}");
    said
}

#[test]
fn an_api_server_takes_every_rendering_under_restricted_without_a_warning() {
    let plane = ControlPlane::shared();
    monitoring_definitions(plane);
    for (name, path) in values_files() {
        let namespace = restricted(plane, "chart");
        let yaml = rendered_for(&namespace, &["--values", &path], name == "full-values");
        assert_eq!(said(plane, &yaml), "", "{name}");
        for (of, pod) in pod_templates(&objects(&yaml)) {
            let reply = plane.ask(
                "POST",
                &(namespace.core_path("pods") + "?dryRun=All&fieldValidation=Strict"),
                Some(&named(pod)),
            );
            assert_eq!(reply.status, 201, "{name}, {of}: {:#}", reply.body);
        }
    }
}

fn named(mut pod: Value) -> Value {
    pod["metadata"]["name"] = json!("a-pod");
    // A StatefulSet brings this one.
    let volumes = pod["spec"]["volumes"].as_array_mut();
    if let Some(volumes) = volumes {
        volumes.push(json!({"name": "data", "emptyDir": {}}));
    }
    pod
}

/// The check can fail: a volume of the node's own is warned of.
#[test]
fn an_api_server_warns_of_what_restricted_forbids() {
    let plane = ControlPlane::shared();
    let namespace = restricted(plane, "chart");
    let volumes = r#"operator.extraVolumes=[{"name":"host","hostPath":{"path":"/"}}]"#;
    let yaml = rendered_for(&namespace, &["--set-json", volumes], false);
    let said = said(plane, &yaml);
    assert!(
        said.contains("would violate PodSecurity \"restricted:latest\""),
        "{said}"
    );
}

/// Each install has a ClusterRole with its class.
#[test]
fn a_second_install_of_one_class_is_refused_by_its_namespace() {
    const CLASS: &str = "taken-by-another";
    let plane = ControlPlane::shared();
    plane.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterroles",
        &json!({
            "metadata": {
                "name": "first-of-two",
                "labels": {"mailtrail.dev/class": CLASS},
                "annotations": {"meta.helm.sh/release-namespace": "another"},
            },
            "rules": [],
        }),
    );
    let objects = objects(&tried(&["--set", "class=mine"]).expect("it renders"));
    let role = object(
        &objects,
        "ClusterRole",
        "mailtrail-system-mailtrail-operator",
    );
    assert_eq!(role["metadata"]["labels"]["mailtrail.dev/class"], "mine");
    let kubeconfig = plane.kubeconfig();
    let installed = |namespace: &str, class: &str| {
        let set = format!("class={class},crds.enabled=false");
        let output = helm(&[
            "install",
            "mailtrail",
            ".",
            "--dry-run=server",
            "--kubeconfig",
            kubeconfig.to_str().expect("text"),
            "--namespace",
            namespace,
            "--set",
            &set,
        ]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        output.status.success().then_some(()).ok_or(said)
    };
    let said = installed("mine", CLASS).expect_err("refused");
    let says = format!("class: the install in the namespace another has the class {CLASS}");
    assert!(said.contains(&says), "{said}");
    assert_eq!(installed("mine", "free"), Ok(()));
    // The same install, made again.
    assert_eq!(installed("another", CLASS), Ok(()));
}

/// What a pod needs no right for it should not be able to reach.
#[test]
fn pods_and_accounts_have_no_more_than_they_need() {
    let objects = objects(&tried(&[]).expect("it renders"));
    for name in ["mailtrail-operator", "mailtrail-dataplane"] {
        assert_eq!(
            object(&objects, "ServiceAccount", name)["automountServiceAccountToken"],
            false
        );
    }
    for (of, pod) in pod_templates(&objects) {
        let container = &pod["spec"]["containers"][0];
        assert_eq!(
            container["securityContext"]["readOnlyRootFilesystem"], true,
            "{of}"
        );
        assert_eq!(pod["spec"]["enableServiceLinks"], false, "{of}");
    }
}
