//! A running operator, ended when dropped.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus};

use crate::answer::{self, Answer};
use crate::process::{Process, run_to_its_end};

/// How to start an operator.
#[derive(Debug, Clone)]
pub struct OperatorFlags {
    flags: Vec<String>,
    variables: Vec<(String, OsString)>,
}

/// An operator that runs.
pub struct Operator {
    process: Process,
    admin: SocketAddr,
}

// === OperatorFlags ===

impl OperatorFlags {
    /// Of the install in this namespace, asking its API server with this
    /// kubeconfig; the admin port is of the system's choice.
    pub fn new(namespace: &str, kubeconfig: &Path) -> Self {
        let flags = Self {
            flags: Vec::new(),
            variables: Vec::new(),
        };
        flags
            .with("--namespace", namespace)
            .with("--admin", "127.0.0.1:0")
            .with("--log-format", "json")
            .with_variable("KUBECONFIG", kubeconfig)
    }

    /// One more flag, in place of one of that name.
    pub fn with(mut self, flag: &str, value: impl Into<String>) -> Self {
        match self.flags.iter().position(|given| given == flag) {
            Some(at) => self.flags[at + 1] = value.into(),
            None => self.flags.extend([flag.to_owned(), value.into()]),
        }
        self
    }

    /// One more variable of the environment.
    pub fn with_variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((name.to_owned(), value.into()));
        self
    }

    fn command(&self) -> Command {
        let mut command = Command::new(crate::built("mailtrail-operator"));
        command
            .args(&self.flags)
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs an operator that is expected to end by itself; gives its exit
    /// status and what it said.
    ///
    /// # Panics
    /// If it is still running after 30 seconds.
    pub fn refused(&self) -> (ExitStatus, String) {
        run_to_its_end(self.command())
    }

    /// Starts the operator and waits until it is ready.
    ///
    /// # Panics
    /// If it is not ready within 30 seconds; what it said is in the message.
    pub fn start(&self) -> Operator {
        let operator = self.start_unready();
        operator.until("ready", Operator::is_ready);
        operator
    }

    /// Starts the operator and waits only until it has said its address.
    ///
    /// # Panics
    /// If it has not within 30 seconds; what it said is in the message.
    pub fn start_unready(&self) -> Operator {
        let mut process = Process::start(self.command());
        let [admin] = process.addresses(["admin address"]);
        Operator { process, admin }
    }
}

// === Operator ===

impl Operator {
    /// Address of live, ready, metrics.
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

    /// GET of a path on the admin address.
    pub fn get(&self, path: &str) -> Answer {
        answer::get(self.admin, path)
    }

    /// Asks for a stop (SIGTERM) and gives the exit status.
    ///
    /// # Panics
    /// If the operator does not end within 30 seconds.
    pub fn stop(self) -> ExitStatus {
        self.process.stop()
    }

    /// Kills it (SIGKILL).
    pub fn kill(self) {
        drop(self);
    }

    /// Sends a signal by name, such as `STOP` or `CONT`.
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
