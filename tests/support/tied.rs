//! Programs of others that a test needs beside ours: they end with the test
//! process, however that ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::process::signal;

/// A program of others that runs until this is dropped.
pub(crate) struct Tied {
    child: Child,
    stdin: Option<ChildStdin>,
    pid: u32,
}

impl Tied {
    pub(crate) fn start(command: &[&str]) -> Self {
        let mut child = Command::new(crate::root().join("tests/support/tied.sh"))
            .args(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("tied.sh starts");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is piped");
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line);
        read.expect("it says a process id");
        Self {
            child,
            stdin,
            pid: line.trim().parse().expect("a number"),
        }
    }

    /// Sends a signal by name to the program.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
