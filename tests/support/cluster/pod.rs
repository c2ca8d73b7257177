//! Pods without a node: objects that say where a process on this machine
//! listens, as the kubelet would say it of a container.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{ControlPlane, Namespace};

/// What a pod is to look like.
#[derive(Debug, Clone)]
pub struct PodSpec {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Where its port named `admin` is: address of the pod, port of the container.
    pub admin: SocketAddr,
    /// Whether it is ready.
    pub ready: bool,
}

/// A pod object, deleted at once when dropped.
pub struct FakePod<'a> {
    plane: &'a ControlPlane,
    path: String,
    uid: String,
}

impl PodSpec {
    /// A ready pod of the data plane, with the labels that Helm's conventions
    /// give it.
    pub fn of_dataplane(name: &str, admin: SocketAddr) -> Self {
        let labels = [
            ("app.kubernetes.io/name", "mailtrail"),
            ("app.kubernetes.io/component", "dataplane"),
        ];
        Self {
            name: name.to_owned(),
            labels: labels.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
            admin,
            ready: true,
        }
    }

    /// On a node that does not exist: nothing schedules it, and one that is
    /// deleted with grace stays, terminating.
    fn object(&self) -> Value {
        json!({
            "metadata": {"name": self.name, "labels": self.labels},
            "spec": {
                "nodeName": "no-node",
                "serviceAccountName": "mailtrail-dataplane",
                "automountServiceAccountToken": false,
                "containers": [{
                    "name": "dataplane",
                    "image": "mailtrail-dataplane",
                    "ports": [{"name": "admin", "containerPort": self.admin.port()}],
                }],
            },
        })
    }
}

impl<'a> FakePod<'a> {
    /// Makes the pod, in a namespace of an install.
    pub fn new(plane: &'a ControlPlane, namespace: &Namespace<'_>, spec: &PodSpec) -> Self {
        let made = plane.create(&namespace.core_path("pods"), &spec.object());
        let pod = Self {
            plane,
            path: namespace.core_path(&format!("pods/{}", spec.name)),
            uid: made["metadata"]["uid"].as_str().expect("a UID").to_owned(),
        };
        let ip = spec.admin.ip();
        pod.patch_status(&json!({
            "phase": "Running",
            "hostIP": ip,
            "hostIPs": [{"ip": ip}],
            "podIP": ip,
            "podIPs": [{"ip": ip}],
            "conditions": [condition(spec.ready)],
        }));
        pod
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// Says that it is ready, or no longer.
    pub fn set_ready(&self, ready: bool) {
        self.patch_status(&json!({"conditions": [condition(ready)]}));
    }

    /// Deletes it with grace: as there is no kubelet, it stays and is
    /// terminating.
    pub fn terminate(&self) {
        let options = json!({"gracePeriodSeconds": 300});
        self.plane.ask("DELETE", &self.path, Some(&options)).taken();
    }

    fn patch_status(&self, status: &Value) {
        let path = format!("{}/status", self.path);
        self.plane.merge(&path, &json!({ "status": status }));
    }
}

impl Drop for FakePod<'_> {
    fn drop(&mut self) {
        let options = json!({"gracePeriodSeconds": 0});
        self.plane.ask("DELETE", &self.path, Some(&options));
    }
}

fn condition(ready: bool) -> Value {
    json!({
        "type": "Ready",
        "status": if ready { "True" } else { "False" },
        "lastTransitionTime": "2020-01-01T00:00:00Z",
    })
}
