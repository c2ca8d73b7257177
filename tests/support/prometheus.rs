//! A real Prometheus on loopback, which asks programs what they count.

use std::fmt::Write as _;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::process::PATIENCE;
use crate::tied::Tied;

/// Tries to find a port before giving up: between looking and starting another
/// process may take it.
const STARTS_MAX: usize = 5;

/// The server, ended when dropped.
pub struct Prometheus {
    _server: Tied,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

/// A program of Prometheus, `prometheus` or `promtool`.
///
/// # Panics
/// If it cannot be had.
pub fn prometheus_program(name: &str) -> PathBuf {
    let output = Command::new(crate::root().join("tests/tools/prometheus.sh"))
        .output()
        .expect("prometheus.sh starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()).join(name)
}

impl Prometheus {
    /// One that asks these targets twice a second, each with a pod's name, in
    /// a namespace of this name.
    ///
    /// # Panics
    /// If it is not ready within 30 seconds.
    pub fn start(namespace: &str, targets: &[(&str, SocketAddr)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = "global: {scrape_interval: 500ms}\nscrape_configs:\n- job_name: mailtrail\n  static_configs:\n".to_owned();
        for (pod, address) in targets {
            let labels = format!("{{namespace: {namespace}, pod: {pod}}}");
            writeln!(config, "  - {{targets: [\"{address}\"], labels: {labels}}}").expect("text");
        }
        let file = folder.path().join("prometheus.yaml");
        fs::write(&file, config).expect("it is written");
        let program = prometheus_program("prometheus");
        for _ in 0..STARTS_MAX {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            let address = port.local_addr().expect("an address");
            drop(port);
            let server = Tied::start(&[
                program.to_str().expect("text"),
                &format!("--config.file={}", file.display()),
                &format!(
                    "--storage.tsdb.path={}",
                    folder.path().join("data").display()
                ),
                &format!("--web.listen-address={address}"),
            ]);
            if is_ready(address) {
                return Self {
                    _server: server,
                    address,
                    _folder: folder,
                };
            }
        }
        panic!("prometheus does not start")
    }

    /// What a query gives now: one object for each series.
    ///
    /// # Panics
    /// If it is no query; Prometheus' words are in the message.
    pub fn query(&self, query: &str) -> Vec<Value> {
        let answer = crate::answer::get_with(self.address, "/api/v1/query", "query", query);
        let body = answer.json();
        assert_eq!(body["status"], "success", "{query}: {body}");
        body["data"]["result"]
            .as_array()
            .cloned()
            .unwrap_or_default()
    }
}

fn is_ready(address: SocketAddr) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if crate::answer::is_ok(address, "/-/ready") {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}
