//! The demo's data plane: on loopback, with its data below the checkout.

use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

/// Pixels and links.
pub(crate) const PUBLIC: &str = "127.0.0.1:8080";
/// Rewriting and events.
pub(crate) const API: &str = "127.0.0.1:8081";
/// Live, ready, metrics, configuration.
const ADMIN: &str = "127.0.0.1:9090";
/// Longest wait for start and stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data plane that runs; ended when dropped.
pub(crate) struct Dataplane(Child);

impl Dataplane {
    /// Starts it; its log goes to `dataplane.log` in the folder.
    pub(crate) fn start(folder: &Path, shown: bool) -> Result<Self> {
        // Another program that answers there would be taken for ours.
        for address in [PUBLIC, API, ADMIN] {
            TcpListener::bind(address)
                .with_context(|| format!("{address} is needed: stop the program that uses it"))?;
        }
        let log = folder.join("dataplane.log");
        let flags = [
            "--manifests",
            "examples/manifests",
            "--public",
            PUBLIC,
            "--api",
            API,
            "--admin",
            ADMIN,
            // Nobody wants to wait ten seconds for a demo.
            "--settle",
            "1s",
        ];
        if shown {
            crate::tell::started(&flags, folder);
        }
        let child = Command::new(mailtrail_tests::built("mailtrail-dataplane"))
            .args(flags)
            .arg("--data-dir")
            .arg(folder.join("data"))
            .stderr(Stdio::from(File::create(&log)?))
            .spawn()
            .context("the data plane starts")?;
        let mut running = Self(child);
        let begun = Instant::now();
        while !ready() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the data plane is not ready: see {}",
                log.display()
            );
            if !running.runs()? {
                bail!(
                    "the data plane did not start:\n{}",
                    std::fs::read_to_string(&log)?
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        // Another one may have taken an address since.
        ensure!(
            running.runs()?,
            "the data plane did not start:\n{}",
            std::fs::read_to_string(&log)?
        );
        Ok(running)
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.0.try_wait()?.is_none())
    }

    /// Asks it to stop and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill").arg(self.0.id().to_string()).status()?;
        let begun = Instant::now();
        while self.runs()? {
            ensure!(begun.elapsed() < PATIENCE, "the data plane did not stop");
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }
}

impl Drop for Dataplane {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn ready() -> bool {
    ureq::get(format!("http://{ADMIN}/ready")).call().is_ok()
}
