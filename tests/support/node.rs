//! A cluster with a node on this machine, on which pods really run; gone when
//! the test process is, however it ends.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use crate::Postgres;

/// The node's address in its network, which pods reach; its DNS is there, too.
const ADDRESS: &str = "10.89.6.1";
/// What `packages.sh` exits with where it can install nothing.
const CANNOT_BE_INSTALLED: i32 = 3;

/// The cluster, in a network of its own.
pub struct Node {
    holder: Child,
    stdin: Option<ChildStdin>,
    state: PathBuf,
}

impl Node {
    /// The cluster's DNS server, as pods reach it.
    pub fn resolver() -> String {
        format!("{ADDRESS}:53")
    }

    /// Why there can be none here, in words; nothing where there can.
    ///
    /// # Panics
    /// If what a node needs could be installed, and is not there afterwards.
    pub fn hindrance() -> Option<String> {
        let output = Command::new("id").arg("-u").output().expect("id starts");
        if output.stdout.trim_ascii() != b"0" {
            return Some("passed over: a node needs root".to_owned());
        }
        if std::env::var_os("KUBEBUILDER_ASSETS").is_some() {
            return Some("passed over: KUBEBUILDER_ASSETS has no node's programs".to_owned());
        }
        let packages = Command::new(script("packages.sh")).output();
        let packages = packages.expect("packages.sh starts");
        let said = String::from_utf8_lossy(&packages.stderr);
        match packages.status.code() {
            Some(0) => None,
            Some(CANNOT_BE_INSTALLED) => Some(format!("passed over: {said}")),
            _ => panic!("{said}"),
        }
    }

    /// One with the images of both programs and of a client.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start() -> Self {
        let programs = crate::cluster::programs(&["node"]);
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("mt-node-{}-{number}", std::process::id());
        let state = std::env::temp_dir().join(&name);
        let mut holder = Command::new(script("cluster.sh"))
            .arg("node")
            .arg(&state)
            .arg(&programs)
            .env("NETNS", &name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("cluster.sh starts");
        let mut line = String::new();
        let stdout = holder.stdout.take().expect("stdout is piped");
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("it says where it is");
        assert!(line.starts_with("KUBECONFIG="), "the node did not start");
        let node = Self {
            stdin: holder.stdin.take(),
            holder,
            state,
        };
        let images = run(crate::root().join("tests/images/build.sh").as_os_str(), &[]);
        let images = crate::root().join(images.trim());
        let archives = ["operator", "dataplane", "client"];
        let archives = archives.map(|name| images.join(format!("{name}.tar")));
        let archives = archives.each_ref().map(|path| path.to_str().expect("text"));
        node.cluster("image", &archives);
        node
    }

    /// A volume on the node for a claim.
    pub fn volume(&self, namespace: &str, claim: &str) {
        self.cluster("volume", &[namespace, claim]);
    }

    /// Has the cluster's DNS answer for a name.
    ///
    /// # Panics
    /// If the file cannot be written.
    pub fn name(&self, name: &str, address: &str) {
        let hosts = self.state.join("hosts");
        let mut file = OpenOptions::new().append(true).open(hosts);
        let file = file.as_mut().expect("the node's file of names");
        writeln!(file, "{address} {name}").expect("written");
    }

    /// A PostgreSQL in the node's network, which pods reach.
    pub fn postgres(&self) -> Postgres {
        let mut command = Command::new(script("cluster.sh"));
        command.arg("in").arg(&self.state).arg(Postgres::script());
        command.env("LISTEN", ADDRESS);
        Postgres::start_by(command)
    }

    /// The URL of a database there.
    pub fn url(&self, server: &Postgres, database: &str) -> String {
        let port = server.port();
        format!("postgres://mailtrail@{ADDRESS}:{port}/{database}")
    }

    /// Kills the first process of a pod's first container at once (SIGKILL).
    pub fn kill(&self, namespace: &str, pod: &str) {
        let id = "{.status.containerStatuses[0].containerID}";
        let id = self.sh(&format!(
            "kubectl get pod -n {namespace} {pod} -o jsonpath='{id}'"
        ));
        let id = id.trim_start_matches("containerd://");
        let socket = self.state.join("containerd.sock");
        let address = format!("ctr -a {} -n k8s.io", socket.display());
        self.sh(&format!("{address} tasks kill --signal KILL {id}"));
    }

    /// Runs lines of a shell in the node's network and the checkout's folder,
    /// with `kubectl` and `helm` at hand, whatever becomes of them.
    pub fn tried(&self, lines: &str) -> Output {
        Command::new(script("cluster.sh"))
            .arg("in")
            .arg(&self.state)
            .args(["bash", "-euo", "pipefail", "-c", lines])
            .current_dir(crate::root())
            .env("HELM_CACHE_HOME", self.state.join("helm"))
            .env("HELM_CONFIG_HOME", self.state.join("helm"))
            .env("HELM_DATA_HOME", self.state.join("helm"))
            .env("KUBECACHEDIR", self.state.join("kubectl"))
            .stdin(Stdio::null())
            .output()
            .expect("cluster.sh starts")
    }

    /// The same where they must succeed; gives what they print.
    ///
    /// # Panics
    /// If they fail; what they said is in the message, and how the pods stand.
    pub fn sh(&self, lines: &str) -> String {
        let output = self.tried(lines);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if !output.status.success() {
            let pods = self.tried("kubectl get pods,pvc,pv -A; kubectl get events -A --sort-by=.lastTimestamp | tail -n 20; kubectl logs -n mailtrail-system -l app.kubernetes.io/name=mailtrail --tail=20");
            let (out, said) = (text(&output.stdout), text(&output.stderr));
            panic!("{lines}\n{out}{said}\n{}", text(&pods.stdout));
        }
        text(&output.stdout)
    }

    /// Waits until lines of a shell succeed.
    ///
    /// # Panics
    /// If they do not within the time.
    pub fn until(&self, lines: &str, patience: Duration) {
        let begun = Instant::now();
        while !self.tried(lines).status.success() {
            if begun.elapsed() > patience {
                self.sh(lines);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn cluster(&self, what: &str, more: &[&str]) {
        let state = self.state.to_str().expect("text");
        run(
            script("cluster.sh").as_os_str(),
            &[&[what, state], more].concat(),
        );
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.holder.wait();
    }
}

fn script(name: &str) -> PathBuf {
    crate::root().join("tests/cluster").join(name)
}

/// Runs a script that must succeed; gives what it prints.
fn run(program: &std::ffi::OsStr, flags: &[&str]) -> String {
    let output = Command::new(program)
        .args(flags)
        .output()
        .expect("a script starts");
    let said = String::from_utf8_lossy(&output.stderr);
    let name = Path::new(program).display();
    assert!(output.status.success(), "{name} {flags:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
