//! A program that runs, read line by line, ended when dropped.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longest wait for a program to say its addresses, be ready, or end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The same for what a program is to come to; `MAILTRAIL_PATIENCE_SECONDS` says
/// otherwise, where there is more to come to than in a test.
fn patience() -> Duration {
    let said = std::env::var("MAILTRAIL_PATIENCE_SECONDS").ok();
    let seconds = said.and_then(|text| text.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// A program of ours that runs.
pub(crate) struct Process {
    /// Waited for from several places.
    child: Mutex<Child>,
    pid: u32,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// Starts a program whose log stands on standard error.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stderr(Stdio::piped())
            .spawn()
            .expect("the built program starts");
        let lines = collect(&mut child);
        let pid = child.id();
        Self {
            child: Mutex::new(child),
            pid,
            lines,
        }
    }

    /// The addresses that the program says it is bound to, in the first lines
    /// whose messages contain these words.
    pub(crate) fn addresses<const N: usize>(&mut self, words: [&str; N]) -> [SocketAddr; N] {
        let begun = Instant::now();
        words.map(|what| {
            loop {
                if let Some(address) = address_of(&self.lines, what) {
                    break address;
                }
                assert!(
                    !self.has_ended() && begun.elapsed() < PATIENCE,
                    "the program did not start:\n{}",
                    self.log()
                );
                std::thread::sleep(Duration::from_millis(5));
            }
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    fn has_ended(&self) -> bool {
        let mut child = self.child.lock().expect("nobody panics in here");
        child.try_wait().expect("a child can be asked").is_some()
    }

    /// All log lines so far.
    pub(crate) fn log(&self) -> String {
        self.lines.lock().expect("no reader panics").join("\n")
    }

    /// Sends a signal by name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Asks for a stop (SIGTERM) and gives the exit status.
    pub(crate) fn stop(self) -> ExitStatus {
        self.signal("TERM");
        let mut child = self.child.lock().expect("nobody panics in here");
        wait(&mut child).expect("the program ends when asked")
    }

    /// Waits until `done` holds; what was said is in the message if it does not.
    pub(crate) fn until(&self, what: &str, mut done: impl FnMut() -> bool) {
        let (begun, patience) = (Instant::now(), patience());
        while !done() {
            let waited = begun.elapsed();
            assert!(
                !self.has_ended() && waited < patience,
                "{what}: not so after {waited:?}\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A lock that a failed test has poisoned leaves a program to end all the same.
        let child = self.child.get_mut().unwrap_or_else(PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Sends a signal by name to a process that a test started.
///
/// # Panics
/// If there is no such process.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill")
        .args([format!("-{name}"), pid.to_string()])
        .status();
    assert!(status.is_ok_and(|s| s.success()), "kill -{name} {pid}");
    if name == "STOP" {
        wait_stopped(pid);
    }
}

/// A process that is told to stop goes on for a moment; one that ends meanwhile
/// is waited for no more.
fn wait_stopped(pid: u32) {
    let begun = Instant::now();
    let stands = || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name.trim_start().starts_with(['T', 'Z']) || stat.is_empty()
    };
    while !stands() {
        assert!(begun.elapsed() < PATIENCE, "{pid} does not stop");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a program that is expected to end by itself; gives its exit status and
/// what it said on standard error.
pub(crate) fn run_to_its_end(mut command: Command) -> (ExitStatus, String) {
    let mut child = command
        .stderr(Stdio::piped())
        .spawn()
        .expect("the built program starts");
    let mut stderr = child.stderr.take().expect("stderr is piped");
    let reader = std::thread::spawn(move || {
        let mut said = String::new();
        stderr.read_to_string(&mut said).map(|_| said)
    });
    let status = wait(&mut child).expect("the program ends by itself");
    let said = reader.join().expect("no reader panics");
    (status, said.expect("what it said is text"))
}

fn collect(child: &mut Child) -> Arc<Mutex<Vec<String>>> {
    let stderr = child.stderr.take().expect("stderr is piped");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&lines);
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            into.lock().expect("no reader panics").push(line);
        }
    });
    lines
}

fn address_of(lines: &Mutex<Vec<String>>, what: &str) -> Option<SocketAddr> {
    let lines = lines.lock().expect("no reader panics");
    let line = lines.iter().find(|line| line.contains(what))?;
    serde_json::from_str::<Value>(line).ok()?["address"]
        .as_str()?
        .parse()
        .ok()
}

fn wait(child: &mut Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(status) = child.try_wait().expect("a child can be asked") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    None
}
