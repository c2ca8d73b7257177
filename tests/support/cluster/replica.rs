//! An install for tests: operators and replicas of the data plane under their
//! own rights, where processes stand for pods.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{ControlPlane, FakePod, Mirror, Namespace, PATIENCE, PodSpec};
use crate::{Flags, Operator, OperatorFlags, Program};

/// Shards of an install in tests: enough for neighbours, few to write.
const SHARDS: &str = "16";
/// The folder of events on a replica's volume.
const DATA: &str = "data";
/// Port of every pod's admin address; the addresses differ.
const ADMIN_PORT: u16 = 9090;

/// An install with a namespace and a class of its own.
pub struct Install<'a> {
    plane: &'a ControlPlane,
    namespace: Namespace<'a>,
    class: String,
    operator_kubeconfig: PathBuf,
    dataplane_kubeconfig: PathBuf,
    made: AtomicU32,
}

/// A data plane that runs, and the pod that stands for it.
pub struct Replica<'a> {
    program: Option<Program>,
    flags: Flags,
    pod: FakePod<'a>,
    _keyring: Mirror,
    folder: TempDir,
}

impl<'a> Install<'a> {
    /// A namespace with both programs' rights; nothing runs yet.
    pub fn new(plane: &'a ControlPlane, words: &str) -> Self {
        let namespace = Namespace::install(plane, words);
        let class = namespace.name().to_owned();
        Self::of(plane, namespace, class)
    }

    /// The one of a control plane, in a namespace of this very name, for domains
    /// of the default class.
    pub fn exactly(plane: &'a ControlPlane, name: &str) -> Self {
        let namespace = Namespace::exactly(plane, name.to_owned()).with_rights();
        Self::of(plane, namespace, "mailtrail".to_owned())
    }

    /// The same where somebody has made the namespace, and what is in it.
    pub fn found(plane: &'a ControlPlane, name: &str) -> Self {
        let namespace = Namespace::found(plane, name.to_owned()).with_rights();
        Self::of(plane, namespace, "mailtrail".to_owned())
    }

    fn of(plane: &'a ControlPlane, namespace: Namespace<'a>, class: String) -> Self {
        Self {
            plane,
            class,
            operator_kubeconfig: namespace.operator_kubeconfig(),
            dataplane_kubeconfig: namespace.dataplane_kubeconfig(),
            namespace,
            made: AtomicU32::new(0),
        }
    }

    /// The install's namespace.
    pub fn namespace(&self) -> &Namespace<'a> {
        &self.namespace
    }

    /// The class of its domains.
    pub fn class(&self) -> &str {
        &self.class
    }

    /// How its operators are started.
    pub fn operator_flags(&self) -> OperatorFlags {
        OperatorFlags::new(self.namespace.name(), &self.operator_kubeconfig)
            .with("--class", self.class())
            .with("--shards", SHARDS)
    }

    /// An operator that runs.
    pub fn operator(&self) -> Operator {
        self.operator_flags().start()
    }

    /// A replica that is ready.
    pub fn replica(&self) -> Replica<'a> {
        self.replica_behind(Duration::ZERO)
    }

    /// One whose keyring comes this much later than the Secret changes.
    pub fn replica_behind(&self, delay: Duration) -> Replica<'a> {
        self.replica_unready(delay, &[]).until_ready()
    }

    /// One with further flags.
    pub fn replica_with(&self, more: &[(&str, &str)]) -> Replica<'a> {
        self.replica_unready(Duration::ZERO, more).until_ready()
    }

    /// One whose volume is this folder, with a `data` in it or without.
    pub fn replica_on(&self, folder: TempDir) -> Replica<'a> {
        self.replica_made(folder, Duration::ZERO, &[]).until_ready()
    }

    /// One that runs and is not ready, with further flags.
    pub fn replica_unready(&self, delay: Duration, more: &[(&str, &str)]) -> Replica<'a> {
        self.replica_made(TempDir::new().expect("a folder"), delay, more)
    }

    fn replica_made(&self, folder: TempDir, delay: Duration, more: &[(&str, &str)]) -> Replica<'a> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let admin = own_address();
        let spec = PodSpec {
            ready: false,
            ..PodSpec::of_dataplane(&format!("dataplane-{number}"), admin)
        };
        let pod = FakePod::new(self.plane, &self.namespace, &spec);
        let keyring = folder.path().join("keyring.json");
        let mirror = self.plane.mirror_secret(
            &self.namespace,
            "mailtrail-keyring",
            "keyring.json",
            &keyring,
            delay,
        );
        let data = folder.path().join(DATA);
        let mut flags = Flags::of_cluster(self.namespace.name(), &self.dataplane_kubeconfig, data)
            .with("--keyring", keyring.to_str().expect("text"))
            .with("--admin", admin.to_string())
            .with("--pod-uid", pod.uid());
        for (flag, value) in more {
            flags = flags.with(flag, *value);
        }
        Replica {
            program: Some(flags.start_unready()),
            flags,
            pod,
            _keyring: mirror,
            folder,
        }
    }

    /// Applies a TrackingDomain of this install.
    pub fn apply(&self, namespace: &str, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["className"] = json!(self.class());
        let object = json!({
            "apiVersion": "mailtrail.dev/v1alpha1",
            "kind": "TrackingDomain",
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        });
        self.plane.apply(&object.to_string());
    }

    /// A condition of a domain: status and reason, where it speaks of the
    /// newest generation.
    pub fn condition(&self, namespace: &str, name: &str, type_: &str) -> Option<(String, String)> {
        self.condition_at(&domain_path(namespace, name), type_)
    }

    fn condition_at(&self, path: &str, type_: &str) -> Option<(String, String)> {
        let object = self.plane.find_json(path)?;
        let conditions = object["status"]["conditions"].as_array()?;
        let condition = conditions.iter().find(|c| c["type"] == type_)?;
        if condition["observedGeneration"] != object["metadata"]["generation"] {
            return None;
        }
        let text = |field: &str| condition[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason")))
    }

    /// Waits until a condition of a domain has this reason.
    ///
    /// # Panics
    /// If it has not in time; the object is in the message.
    pub fn wait_reason(&self, namespace: &str, name: &str, type_: &str, reason: &str) {
        self.wait_reason_at(&domain_path(namespace, name), type_, reason);
    }

    /// The same of an event sink.
    ///
    /// # Panics
    /// If it has not in time; the object is in the message.
    pub fn wait_sink(&self, namespace: &str, name: &str, type_: &str, reason: &str) {
        self.wait_reason_at(&sink_path(namespace, name), type_, reason);
    }

    fn wait_reason_at(&self, path: &str, type_: &str, reason: &str) {
        let begun = std::time::Instant::now();
        loop {
            let found = self.condition_at(path, type_);
            if found.as_ref().is_some_and(|(_, found)| found == reason) {
                return;
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "{type_} of {path} is {found:?}, not {reason}: {:#}",
                self.plane.get_json(path)["status"]
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every ready replica serves a domain.
    pub fn wait_programmed(&self, namespace: &str, name: &str) {
        self.wait_reason(namespace, name, "Programmed", "Programmed");
    }

    /// The entry that replicas are told of a domain, where there is one.
    pub fn entry(&self, namespace: &str, name: &str) -> Option<Value> {
        self.entry_of("entries", namespace, name)
    }

    /// The entry that replicas are told of an event sink, where there is one.
    pub fn sink_entry(&self, namespace: &str, name: &str) -> Option<Value> {
        self.entry_of("sinks", namespace, name)
    }

    fn entry_of(&self, list: &str, namespace: &str, name: &str) -> Option<Value> {
        let realm = format!("{namespace}/{name}");
        let shards = self.plane.get_json(&self.namespace.path("configshards"));
        let shards = shards["items"].as_array()?.iter();
        let mut entries = shards.flat_map(|shard| shard["spec"][list].as_array().cloned());
        entries.find_map(|entries| entries.into_iter().find(|e| e["realm"] == realm.as_str()))
    }

    /// Applies an EventSink of this install.
    pub fn apply_sink(&self, namespace: &str, name: &str, spec: &Value) {
        let mut spec = spec.clone();
        spec["className"] = json!(self.class());
        let object = json!({
            "apiVersion": "mailtrail.dev/v1alpha1",
            "kind": "EventSink",
            "metadata": {"namespace": namespace, "name": name},
            "spec": spec,
        });
        self.plane.apply(&object.to_string());
    }
}

impl<'a> Replica<'a> {
    fn until_ready(self) -> Replica<'a> {
        self.program().until("ready", Program::is_ready);
        self.pod.set_ready(true);
        self
    }

    /// The program.
    ///
    /// # Panics
    /// If it was killed.
    pub fn program(&self) -> &Program {
        self.program.as_ref().expect("a replica that runs")
    }

    /// Where its data is.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// The pod that stands for it.
    pub fn pod(&self) -> &FakePod<'_> {
        &self.pod
    }

    /// Kills the program; the pod stays.
    pub fn kill(&mut self) {
        self.program = None;
    }

    /// Starts the program again, with its data, and waits until it is ready.
    pub fn restart(&mut self) {
        self.program = None;
        self.program = Some(self.flags.start());
    }
}

/// Path of a TrackingDomain.
pub fn domain_path(namespace: &str, name: &str) -> String {
    format!("/apis/mailtrail.dev/v1alpha1/namespaces/{namespace}/trackingdomains/{name}")
}

/// Path of an EventSink.
pub fn sink_path(namespace: &str, name: &str) -> String {
    format!("/apis/mailtrail.dev/v1alpha1/namespaces/{namespace}/eventsinks/{name}")
}

/// A loopback address that no other pod of any test process has: a pod's address
/// must be known before its program runs.
fn own_address() -> SocketAddr {
    static GIVEN: AtomicU8 = AtomicU8::new(1);
    let [_, _, high, low] = std::process::id().to_be_bytes();
    let number = GIVEN.fetch_add(1, Ordering::Relaxed);
    // Not 127.0, where others look for addresses.
    (
        Ipv4Addr::new(127, (high & 0x7f) + 1, low, number),
        ADMIN_PORT,
    )
        .into()
}
