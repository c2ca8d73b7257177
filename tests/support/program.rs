//! A running data plane, ended when dropped.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use serde_json::Value;

use crate::answer::{self, Answer};
use crate::process::{Process, run_to_its_end};

/// How to start a data plane.
#[derive(Debug, Clone)]
pub struct Flags {
    /// Where domains come from, as flags.
    source: Vec<OsString>,
    data_dir: PathBuf,
    more: Vec<String>,
    variables: Vec<(String, OsString)>,
}

/// A data plane that runs.
pub struct Program {
    process: Process,
    public: SocketAddr,
    api: SocketAddr,
    admin: SocketAddr,
}

// === Flags ===

impl Flags {
    /// Manifests (a file or folder) and data folder; ports of the system's
    /// choice, and hits settle at once.
    pub fn new(manifests: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self::from_source(["--manifests".into(), manifests.into().into()], data_dir)
    }

    /// The same with domains from a folder of ConfigShards.
    pub fn of_config_dir(folder: impl Into<PathBuf>, data_dir: impl Into<PathBuf>) -> Self {
        Self::from_source(["--config-dir".into(), folder.into().into()], data_dir)
    }

    /// The same with domains from a cluster, asked with this kubeconfig.
    pub fn of_cluster(namespace: &str, kubeconfig: &Path, data_dir: impl Into<PathBuf>) -> Self {
        let source = ["--cluster", "--namespace", namespace].map(OsString::from);
        Self::from_source(source, data_dir).with_variable("KUBECONFIG", kubeconfig)
    }

    fn from_source<const N: usize>(source: [OsString; N], data_dir: impl Into<PathBuf>) -> Self {
        Self {
            source: source.into(),
            data_dir: data_dir.into(),
            more: Vec::new(),
            variables: Vec::new(),
        }
    }

    /// One more flag.
    pub fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        self.more.extend([flag.to_owned(), value.into()]);
        self
    }

    /// One more variable of the environment.
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::built("mailtrail-dataplane"));
        for flag in ["--public", "--api", "--admin"] {
            if !self.more.iter().any(|given| given == flag) {
                command.args([flag, "127.0.0.1:0"]);
            }
        }
        if !self.more.iter().any(|given| given == "--settle") {
            command.args(["--settle", "0s"]);
        }
        command
            .args(["--log-format", "json"])
            .args(&self.source)
            .arg("--data-dir")
            .arg(&self.data_dir)
            .args(&self.more)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a program that is expected to end by itself; gives its exit status
    /// and what it said.
    ///
    /// # Panics
    /// If it is still running after 30 seconds.
    pub fn refused(&self) -> (ExitStatus, String) {
        run_to_its_end(self.command())
    }

    /// Starts the program and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready within 30 seconds; what it said is in the message.
    pub fn start(&self) -> Program {
        let program = self.start_unready();
        program.until("ready", Program::is_ready);
        program
    }

    /// Starts the program and waits only until it has said its addresses.
    ///
    /// # Panics
    /// If it has not within 30 seconds; what it said is in the message.
    pub fn start_unready(&self) -> Program {
        let mut process = Process::start(self.command());
        let [public, api, admin] =
            process.addresses(["public address", "API address", "admin address"]);
        Program {
            process,
            public,
            api,
            admin,
        }
    }
}

// === Program ===

impl Program {
    /// Address of pixels and links.
    pub fn public(&self) -> SocketAddr {
        self.public
    }

    /// Address of the API.
    pub fn api(&self) -> SocketAddr {
        self.api
    }

    /// Address of live, ready, metrics, config.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// All log lines so far.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Whether it says that it is ready.
    pub fn is_ready(&self) -> bool {
        answer::is_ready(self.admin)
    }

    /// GET of a path on one of the addresses.
    pub fn get(&self, address: SocketAddr, path: &str) -> Answer {
        answer::get(address, path)
    }

    /// GET of a path of the API with a bearer token.
    pub fn get_as(&self, token: &str, path: &str) -> Answer {
        answer::get_as(self.api, path, token)
    }

    /// POST of JSON to the API.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        answer::post(self.api, path, body, None)
    }

    /// POST of JSON to the API with a bearer token.
    pub fn post_as(&self, token: &str, path: &str, body: &Value) -> Answer {
        answer::post(self.api, path, body, Some(token))
    }

    /// Rewrites a mail over the API.
    ///
    /// # Panics
    /// If the answer is not 200.
    pub fn rewrite(&self, request: &Value) -> Value {
        let answer = self.post("/v1/rewrite", request);
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    }

    /// Loads a tracking URL as a mail client would: from the public address,
    /// with the URL's own host.
    pub fn follow(&self, url: &str) -> Answer {
        answer::follow(self.public, url).expect("an answer")
    }

    /// All events of a domain, page by page.
    ///
    /// # Panics
    /// If a page is not 200.
    pub fn events(&self, domain: &str) -> Vec<Value> {
        let mut events = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.get(
                self.api,
                &format!("/v1/domains/{domain}/events?limit=1000{after}"),
            );
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            let list = page["events"].as_array().expect("a list");
            if list.is_empty() {
                return events;
            }
            events.extend(list.iter().cloned());
            after = format!(
                "&after={}",
                page["next"].as_str().expect("a cursor is always given")
            );
        }
    }

    /// All events of a domain, as soon as there are so many: they are listed
    /// once they are settled.
    ///
    /// # Panics
    /// If there are fewer after 30 seconds.
    pub fn events_once_settled(&self, domain: &str, count: usize) -> Vec<Value> {
        let mut events = Vec::new();
        self.until(&format!("{count} events are settled"), |program| {
            events = program.events(domain);
            events.len() >= count
        });
        events
    }

    /// Asks for a stop (SIGTERM) and gives the exit status.
    ///
    /// # Panics
    /// If the program does not end within 30 seconds.
    pub fn stop(self) -> ExitStatus {
        self.process.stop()
    }

    /// Kills it (SIGKILL).
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal by name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        self.process.signal(name);
    }

    /// Waits until `done` holds.
    ///
    /// # Panics
    /// If it does not within 30 seconds.
    pub fn until(&self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        self.process.until(what, || done(self));
    }
}
