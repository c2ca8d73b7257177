//! Namespaces of tests: each its own, with a name that nobody else has.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use super::{ControlPlane, PATIENCE};

/// The namespace that the manifests of our rights are written for.
const AS_WRITTEN: &str = "mailtrail-system";
/// The audience of tokens for the data plane's API.
const AUDIENCE: &str = "mailtrail";
/// What the two programs may do, as shipped.
const RIGHTS: [&str; 2] = ["operator/rbac.yaml", "dataplane/rbac.yaml"];

/// What the operator may do besides, by the mode of exposure.
const EXPOSURE_RIGHTS: &str = "operator/rbac-exposure.yaml";

/// A namespace, deleted when dropped, with what was installed for it.
pub struct Namespace<'a> {
    plane: &'a ControlPlane,
    name: String,
    uid: String,
    rights: String,
}

impl<'a> Namespace<'a> {
    /// A namespace whose name begins with these words.
    pub fn new(plane: &'a ControlPlane, words: &str) -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self::exactly(plane, format!("{words}-{}-{number}", std::process::id()))
    }

    /// A namespace of this very name.
    pub fn exactly(plane: &'a ControlPlane, name: String) -> Self {
        let made = plane.create("/api/v1/namespaces", &json!({"metadata": {"name": name}}));
        Self {
            plane,
            name,
            uid: made["metadata"]["uid"].as_str().expect("a UID").to_owned(),
            rights: String::new(),
        }
    }

    /// One of this name that is there already.
    pub fn found(plane: &'a ControlPlane, name: String) -> Self {
        let found = plane.get_json(&format!("/api/v1/namespaces/{name}"));
        Self {
            plane,
            name,
            uid: found["metadata"]["uid"].as_str().expect("a UID").to_owned(),
            rights: String::new(),
        }
    }

    /// A namespace for an install, with the ServiceAccounts and rights of both
    /// programs.
    pub fn install(plane: &'a ControlPlane, words: &str) -> Self {
        Self::new(plane, words).with_rights()
    }

    /// The same with the ServiceAccounts and rights of both programs.
    pub fn with_rights(self) -> Self {
        let (plane, mut namespace) = (self.plane, self);
        let manifest = |path: &&str| {
            let text = fs::read_to_string(crate::root().join(path)).expect("a manifest");
            text.replace(AS_WRITTEN, &namespace.name)
        };
        namespace.rights = RIGHTS
            .iter()
            .map(manifest)
            .collect::<Vec<_>>()
            .join("\n---\n");
        plane.apply(&namespace.rights);
        namespace
    }

    /// Lets the operator of this namespace do what a mode of exposure needs and
    /// no other does: `ingress`, `httproute` or `cleanup`.
    pub fn exposes_by(&self, mode: &str) {
        let text = fs::read_to_string(crate::root().join(EXPOSURE_RIGHTS)).expect("a manifest");
        let text = text.replace(AS_WRITTEN, &self.name);
        let of = |mode: &str| format!("name: mailtrail-operator-{mode}\n");
        let documents = text.split("---\n");
        let (ours, others): (Vec<_>, Vec<_>) = documents.partition(|d| d.contains(&of(mode)));
        assert_eq!(ours.len(), 2, "a Role and its binding");
        let delete = ["delete", "--ignore-not-found", "-f", "-"];
        self.plane.kubectl_with(&delete, &others.join("---\n"));
        self.plane.apply(&ours.join("---\n"));
    }

    /// Its name; also one that fits `--class`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Path of a namespaced kind in our API group, such as `trackingdomains`,
    /// or of one of its objects.
    pub fn path(&self, kind: &str) -> String {
        format!(
            "/apis/mailtrail.dev/v1alpha1/namespaces/{}/{kind}",
            self.name
        )
    }

    /// Path of a namespaced kind of the core group, such as `secrets`.
    pub fn core_path(&self, kind: &str) -> String {
        format!("/api/v1/namespaces/{}/{kind}", self.name)
    }

    /// A token for the data plane's API, of a ServiceAccount of this namespace
    /// that may do these things there, each a verb and a subresource of
    /// TrackingDomains, such as `create rewrites`, or of another kind, such as
    /// `create eventsinks/replays`. It is in force when this returns.
    pub fn caller(&self, name: &str, rights: &[&str]) -> String {
        let rules = rights.iter().map(|right| {
            let (verb, resource, subresource) = parts(right);
            let resource = format!("{resource}/{subresource}");
            json!({"apiGroups": ["mailtrail.dev"], "resources": [resource], "verbs": [verb]})
        });
        let metadata = json!({"name": name});
        let role = json!({"metadata": metadata, "rules": rules.collect::<Vec<_>>()});
        let binding = json!({
            "metadata": metadata,
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": self.name}],
        });
        let account = json!({ "metadata": metadata });
        let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces";
        let plane = self.plane;
        plane.create(&self.core_path("serviceaccounts"), &account);
        plane.create(&format!("{rbac}/{}/roles", self.name), &role);
        plane.create(&format!("{rbac}/{}/rolebindings", self.name), &binding);
        for right in rights {
            plane.wait_for(right, PATIENCE, |_| self.may(name, right));
        }
        plane.service_account_token(&self.name, name, AUDIENCE, 3600)
    }

    fn may(&self, service_account: &str, right: &str) -> bool {
        let (verb, resource, subresource) = parts(right);
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{}:{service_account}", self.name),
                "resourceAttributes": {
                    "verb": verb,
                    "group": "mailtrail.dev",
                    "resource": resource,
                    "subresource": subresource,
                    "namespace": self.name,
                },
            },
        });
        let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
        self.plane.create(path, &review)["status"]["allowed"] == true
    }

    /// The kubeconfig of the operator's ServiceAccount.
    pub fn operator_kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig_of(&self.name, "mailtrail-operator")
    }

    /// The kubeconfig of the data plane's ServiceAccount.
    pub fn dataplane_kubeconfig(&self) -> PathBuf {
        self.plane.kubeconfig_of(&self.name, "mailtrail-dataplane")
    }
}

impl Drop for Namespace<'_> {
    /// Asks for the deletion and waits for nothing: a control plane of our own
    /// ends soon. Rights that hold for all namespaces go first.
    fn drop(&mut self) {
        if !self.rights.is_empty() {
            let flags = ["delete", "--ignore-not-found", "--wait=false", "-f", "-"];
            self.plane.kubectl_tried(&flags, &self.rights);
        }
        let path = format!("/api/v1/namespaces/{}", self.name);
        self.plane.ask("DELETE", &path, None);
    }
}

/// Verb, resource and subresource of a right.
fn parts(right: &str) -> (&str, &str, &str) {
    let (verb, of) = right.split_once(' ').expect("verb and subresource");
    let (resource, subresource) = of.split_once('/').unwrap_or(("trackingdomains", of));
    (verb, resource, subresource)
}
