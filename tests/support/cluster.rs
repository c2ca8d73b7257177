//! A real control plane: etcd, kube-apiserver and the controllers that tests
//! look for, started by `tests/cluster/cluster.sh` and gone when the test
//! process is, however it ends.

mod ask;
mod install;
mod mirror;
mod pod;
mod replica;

pub use ask::Reply;
pub use install::Namespace;
pub use mirror::Mirror;
pub use pod::{FakePod, PodSpec};
pub use replica::{Install, Replica, domain_path, sink_path};

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::process::signal;

/// Longest wait for something to become so in a cluster, unless a test says
/// otherwise.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// The Gateway API whose definitions tests use.
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.3";
/// The variable with a kubeconfig whose cluster is used instead.
const GIVEN: &str = "MAILTRAIL_TEST_KUBECONFIG";

/// A control plane, and how it is asked.
pub struct ControlPlane {
    /// The folder with `kubectl`.
    programs: PathBuf,
    /// Kubeconfigs, pid files, logs; removed by whoever holds it.
    state: PathBuf,
    runtime: tokio::runtime::Runtime,
    client: kube::Client,
    holder: Mutex<Holder>,
    /// Links to programs, where not all of them are to run.
    _links: Option<TempDir>,
}

/// `cluster.sh hold`, which takes everything down once its input ends.
struct Holder {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

// === Start and end ===

impl ControlPlane {
    /// The one of this test process, with our CRDs.
    pub fn shared() -> &'static Self {
        static SHARED: LazyLock<ControlPlane> = LazyLock::new(|| {
            let plane = ControlPlane::start(std::env::var_os(GIVEN).is_some(), "");
            plane.crds();
            plane
        });
        &SHARED
    }

    /// One of its own, without our CRDs, for tests that stop it or change what
    /// holds for all namespaces; it ends when dropped.
    pub fn own() -> Self {
        Self::start(false, "")
    }

    /// The same with further flags of the API server.
    pub fn own_with(api_flags: &str) -> Self {
        Self::start(false, api_flags)
    }

    /// One of its own without the controllers of Kubernetes: nobody collects
    /// garbage there.
    pub fn own_without_controllers() -> Self {
        let folder = TempDir::new().expect("a folder");
        for program in fs::read_dir(programs(&[])).expect("programs") {
            let program = program.expect("an entry");
            if program.file_name() != "kube-controller-manager" {
                let link = folder.path().join(program.file_name());
                symlink(program.path(), link).expect("a link");
            }
        }
        Self::start_of(false, "", folder.path().to_path_buf(), Some(folder))
    }

    fn start(given: bool, api_flags: &str) -> Self {
        let programs = if given { on_path() } else { programs(&[]) };
        Self::start_of(given, api_flags, programs, None)
    }

    fn start_of(given: bool, api_flags: &str, programs: PathBuf, links: Option<TempDir>) -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("mailtrail-cluster-{}-{number}", std::process::id());
        let state = std::env::temp_dir().join(name);
        let mut command = Command::new(crate::root().join("tests/cluster/cluster.sh"));
        command.arg("hold").arg(&state).arg(&programs);
        command.env("EXTRA_API_ARGS", api_flags);
        if !given {
            command.env_remove(GIVEN);
        }
        let holder = Holder::start(command);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let client = runtime.block_on(ask::client(&state.join("kubeconfig")));
        Self {
            programs,
            state,
            runtime,
            client,
            holder: Mutex::new(holder),
            _links: links,
        }
    }

    /// Stops the API server (SIGSTOP): it holds its connections and answers
    /// nobody.
    pub fn pause_api(&self) {
        signal(self.api_pid(), "STOP");
    }

    /// Lets it go on.
    pub fn resume_api(&self) {
        signal(self.api_pid(), "CONT");
    }

    /// Kills the API server: nobody listens on its port.
    pub fn kill_api(&self) {
        signal(self.api_pid(), "KILL");
    }

    /// Starts the API server again, on the same port, and waits until it is
    /// ready; one that still runs is killed before.
    pub fn restart_api(&self) {
        let mut holder = self.holder.lock().expect("no test panics in here");
        let stdin = holder.stdin.as_mut().expect("open until dropped");
        writeln!(stdin, "restart api").expect("the holder reads");
        assert_eq!(holder.line(), "ready api");
    }

    /// Process id of the API server.
    ///
    /// # Panics
    /// If the cluster was given from outside.
    pub fn api_pid(&self) -> u32 {
        let pid = fs::read_to_string(self.state.join("api.pid"));
        let pid = pid.expect("an API server that this test process started");
        pid.trim().parse().expect("a number")
    }
}

impl Holder {
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cluster.sh starts");
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut holder = Self {
            child,
            stdin,
            stdout,
        };
        let said = holder.line();
        assert!(said.starts_with("KUBECONFIG="), "no control plane: {said}");
        holder
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("it says something");
        line.trim_end().to_owned()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}

/// The folder with the programs of others. What is not built yet is built now;
/// the progress goes past the test's capture, to whoever waits for it.
pub(crate) fn programs(what: &[&str]) -> PathBuf {
    let output = Command::new(crate::root().join("tests/cluster/build.sh"))
        .args(what)
        .stderr(Stdio::inherit())
        .output()
        .expect("build.sh starts");
    assert!(output.status.success(), "tests/cluster/build.sh failed");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim())
}

/// Helm, of the same build.
pub fn helm_program() -> PathBuf {
    programs(&["helm"]).join("helm")
}

/// The folder with `kubectl` where a cluster is given.
fn on_path() -> PathBuf {
    if let Some(assets) = std::env::var_os("KUBEBUILDER_ASSETS") {
        return assets.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .find(|folder| folder.join("kubectl").is_file())
        .unwrap_or_else(|| panic!("{GIVEN} is set, and no kubectl is on the PATH"))
}

// === What tests do with it ===

impl ControlPlane {
    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.state.join("kubeconfig")
    }

    /// Whether this test process started it: then it has an audit log, and an
    /// API server that may be stopped.
    pub fn is_own(&self) -> bool {
        self.state.join("api.pid").exists()
    }

    /// Whether the controllers of Kubernetes run, which clear namespaces away,
    /// aggregate roles and type-check policies: not where `KUBEBUILDER_ASSETS`
    /// has none.
    pub fn has_controllers(&self) -> bool {
        !self.is_own() || self.programs.join("kube-controller-manager").exists()
    }

    /// The folder with `kubectl`.
    pub fn programs(&self) -> &Path {
        &self.programs
    }

    /// Applies our CRDs and waits until they are established.
    pub fn crds(&self) {
        let folder = crate::root().join("crds/yaml");
        let folder = folder.to_str().expect("a path of text");
        self.kubectl(&["apply", "--server-side", "-f", folder]);
        let wait = ["wait", "--for=condition=Established", "--timeout=30s"];
        self.kubectl(&[&wait[..], &["-f", folder]].concat());
        // What the API server says it has follows a moment later, and kubectl
        // remembers what it was told first; this command asks anew.
        let all = fs::read_dir(folder).expect("a folder").count();
        let kinds = ["api-resources", "--api-group=mailtrail.dev", "-o", "name"];
        self.wait_for("kubectl finds our kinds", PATIENCE, |plane| {
            plane.kubectl(&kinds).lines().count() == all
        });
        // The document of their fields is another, and comes later still.
        self.wait_for("kubectl explains our kinds", PATIENCE, |plane| {
            let explained = |kind: &str| plane.kubectl_tried(&["explain", kind], "");
            let kinds = plane.kubectl(&kinds);
            let mut each = kinds.lines().map(explained);
            each.all(|explained| explained.status.success())
        });
    }

    /// Applies the Gateway API's own definition of HTTPRoutes, of its published
    /// module, and waits until it is established.
    pub fn gateway_api(&self) {
        let output = Command::new(crate::root().join("tests/tools/go-module.sh"))
            .arg(GATEWAY_API)
            .output()
            .expect("go-module.sh starts");
        assert!(output.status.success(), "the module is not there");
        let folder = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        let file = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml";
        let file = format!("{folder}/{file}");
        self.kubectl(&["apply", "--server-side", "-f", &file]);
        let wait = ["wait", "--for=condition=Established", "--timeout=30s", "-f"];
        self.kubectl(&[&wait[..], &[&file]].concat());
    }

    /// Applies manifests, server-side.
    ///
    /// # Panics
    /// If the API server refuses; its words are in the message.
    pub fn apply(&self, yaml: &str) -> String {
        let flags = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        self.kubectl_with(&flags, yaml)
    }

    /// A token of a ServiceAccount for an audience; the API server's own where
    /// that is empty. The API server gives none for less than 600 seconds.
    pub fn service_account_token(
        &self,
        namespace: &str,
        name: &str,
        audience: &str,
        seconds: u32,
    ) -> String {
        let duration = format!("--duration={seconds}s");
        let mut flags = vec!["create", "token", name, "-n", namespace, &duration];
        if !audience.is_empty() {
            flags.extend(["--audience", audience]);
        }
        self.kubectl(&flags).trim().to_owned()
    }

    /// A kubeconfig with which a program is that ServiceAccount, for a day.
    pub fn kubeconfig_of(&self, namespace: &str, service_account: &str) -> PathBuf {
        let token = self.service_account_token(namespace, service_account, "", 24 * 3600);
        let view = ["config", "view", "--raw", "--minify", "--flatten"];
        let view = self.kubectl(&[&view[..], &["-o", "json"]].concat());
        let mut config: Value = serde_json::from_str(&view).expect("JSON");
        config["users"][0]["user"] = serde_json::json!({ "token": token });
        let name = format!("kubeconfig-{namespace}-{service_account}");
        let path = self.state.join(name);
        fs::write(&path, config.to_string()).expect("a kubeconfig is written");
        path
    }

    /// What was written so far of TrackingDomains, HostClaims, ConfigShards,
    /// Leases, Secrets and Events, in the order of its answers, as the API
    /// server's audit log has it (level Metadata).
    ///
    /// # Panics
    /// If the cluster was given from outside.
    pub fn audit(&self) -> Vec<Value> {
        let log = fs::read_to_string(self.state.join("audit.log"));
        let log = log.expect("an audit log, of an API server that this test process started");
        // The last line may be half written.
        let whole = log.rfind('\n').map_or("", |end| &log[..end]);
        let line = |line| serde_json::from_str(line).expect("a line of JSON");
        whole.lines().map(line).collect()
    }

    /// Waits until `done` holds.
    ///
    /// # Panics
    /// If it does not within the time.
    pub fn wait_for(&self, what: &str, patience: Duration, mut done: impl FnMut(&Self) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(
                begun.elapsed() < patience,
                "not so after {patience:?}: {what}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// What etcd counts, as text for Prometheus.
    ///
    /// # Panics
    /// If the cluster was given from outside.
    pub fn etcd_metrics(&self) -> String {
        let port = fs::read_to_string(self.state.join("etcd.port"));
        let port = port.expect("an etcd that this process started");
        let port = port.trim().parse().expect("a port");
        crate::answer::get(([127, 0, 0, 1], port).into(), "/metrics").text()
    }

    /// Where tasks that use the client may run.
    pub fn handle(&self) -> tokio::runtime::Handle {
        self.runtime.handle().clone()
    }

    /// kube's client with the administrator's rights; it is driven by
    /// [`ControlPlane::block_on`].
    pub fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// Runs what uses the client to its end.
    pub fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.runtime.block_on(future)
    }
}
