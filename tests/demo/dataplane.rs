//! The demo's data plane: on loopback, with its data below the checkout.

use std::fs::File;
use std::io::ErrorKind;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::log::Log;

/// Pixels and links.
pub(crate) const PUBLIC: &str = "127.0.0.1:8080";
/// Rewriting and events.
pub(crate) const API: &str = "127.0.0.1:8081";
/// Live, ready, metrics, configuration.
const ADMIN: &str = "127.0.0.1:9090";
/// Longest wait for start and stop.
const PATIENCE: Duration = Duration::from_secs(30);

/// A data plane that runs; ended when dropped.
pub(crate) struct Dataplane {
    child: Child,
    log: Log,
}

impl Dataplane {
    /// Starts it; its log is appended to `dataplane.log` in the folder.
    pub(crate) fn start(folder: &Path) -> Result<Self> {
        let program = mailtrail_tests::built("mailtrail-dataplane");
        let data = folder.join("data");
        let data = data.to_string_lossy();
        let flags = [
            "--manifests",
            "examples/manifests",
            "--data-dir",
            &data,
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
        crate::tell::started(&program, &flags);
        addresses_are_free()?;
        let log = folder.join("dataplane.log");
        let child = Command::new(program)
            .args(flags)
            // Colours are for terminals.
            .env("NO_COLOR", "1")
            .stderr(File::options().append(true).create(true).open(&log)?)
            .spawn()
            .context("the data plane starts")?;
        let log = Log::from_its_end(&log);
        let mut running = Self { child, log };
        running.until_ready()?;
        Ok(running)
    }

    fn until_ready(&mut self) -> Result<()> {
        let begun = Instant::now();
        while !ready() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the data plane is not ready: see {}",
                self.log.path().display()
            );
            self.must_run()?;
            std::thread::sleep(Duration::from_millis(10));
        }
        // Another one may have taken an address since.
        self.must_run()
    }

    fn must_run(&mut self) -> Result<()> {
        if self.runs()? {
            return Ok(());
        }
        bail!("the data plane did not start:\n{}", self.log.rest()?)
    }

    /// What its log says.
    pub(crate) fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_none())
    }

    /// Asks it to stop and waits for it.
    pub(crate) fn stop(mut self) -> Result<()> {
        Command::new("kill")
            .arg(self.child.id().to_string())
            .status()?;
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
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Another program that answers there would be taken for ours.
fn addresses_are_free() -> Result<()> {
    let mut taken = Vec::new();
    for address in [PUBLIC, API, ADMIN] {
        match TcpListener::bind(address) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::AddrInUse => taken.push(address),
            Err(error) => return Err(error).with_context(|| format!("{address} is needed")),
        }
    }
    ensure!(taken.is_empty(), "{}", crate::tell::taken(&taken));
    Ok(())
}

fn ready() -> bool {
    ureq::get(format!("http://{ADMIN}/ready")).call().is_ok()
}
