//! Manifests reloaded when they change.
//!
//! [`super::changes`] says when.
//!
//! # Guarantees
//!
//! A good state is served whole, from one request to the next; requests that
//! are under way keep the snapshot they began with. A bad one changes nothing:
//! what was served goes on being served, the log says once what is wrong and
//! where, and [`Live::status`] and the metrics say so until a good one comes.
//!
//! # Caveats
//!
//! An editor that writes a file in place for longer than [`super::SETTLE`] without
//! progress may be read half way. What is not YAML then is refused; a file cut
//! exactly between two documents is taken, and domains missing from it lead
//! home until it is whole again.

use std::path::PathBuf;
use std::sync::Arc;

use super::changes::{Change, Changes, Look, Looked};
use super::manifests::{Baseline, Carried, Checkers, Loaded, ManifestErrors, load_after};
use super::metrics::ConfigMetrics;
use super::{Kept, Live};

/// Most faults of one load that the log is told; all are in [`Live::status`].
const LOGGED_MAX: usize = 10;

/// Watches the manifests of one path.
pub struct Watcher {
    changes: Changes,
    checkers: Checkers,
    live: Arc<Live>,
    metrics: ConfigMetrics,
    carried: Carried,
    kept: Kept,
    /// Whether what is served is kept.
    is_kept: bool,
}

impl Watcher {
    /// Goes on from the load that `live` was started with; each later one is
    /// kept.
    pub fn new(
        path: PathBuf,
        baseline: Baseline,
        live: Arc<Live>,
        metrics: ConfigMetrics,
        kept: Kept,
    ) -> Self {
        let Baseline {
            fingerprint,
            carried,
            kept: is_kept,
        } = baseline;
        metrics.domains.set(count(live.snapshot().len()));
        metrics.domains_kept.set(i64::from(is_kept));
        Self {
            changes: Changes::since(path, fingerprint),
            checkers: Checkers::default(),
            live,
            metrics,
            carried,
            kept,
            is_kept,
        }
    }

    fn take(&mut self, loaded: Loaded) -> Looked {
        loaded.log("reloaded");
        let domains = loaded.snapshot.len();
        self.carried = loaded.baseline.carried;
        self.set_kept(self.kept.write(&loaded.snapshot, &self.carried));
        self.live.replace_snapshot(loaded.snapshot);
        self.live.replace_sinks(loaded.sinks);
        self.live.replace_refused(ManifestErrors::default());
        self.metrics.reloads.inc();
        self.metrics.last_reload_ok.set(1);
        self.metrics.domains.set(count(domains));
        Looked::Reloaded
    }

    fn set_kept(&mut self, is_kept: bool) {
        self.is_kept = is_kept;
        self.metrics.domains_kept.set(i64::from(is_kept));
    }

    fn refuse(&mut self, errors: ManifestErrors) -> Looked {
        for fault in errors.faults.iter().take(LOGGED_MAX) {
            tracing::error!("manifest refused, the last good state is kept: {fault}");
        }
        let more = errors.faults.len().saturating_sub(LOGGED_MAX) + errors.more;
        if more > 0 {
            tracing::error!(more, "more faults in the manifests");
        }
        self.metrics.reload_failures.inc();
        self.metrics.last_reload_ok.set(0);
        self.live.replace_refused(errors);
        Looked::Refused
    }
}

impl Look for Watcher {
    const WHAT: &'static str = "manifests";

    fn look(&mut self) -> Looked {
        let before = self.live.snapshot();
        if !self.is_kept {
            self.set_kept(self.kept.write_again(&before, &self.carried));
        }
        let (checkers, carried) = (&self.checkers, &self.carried);
        let read = self
            .changes
            .look(|path| load_after(path, checkers, Some((&before, carried))));
        match read {
            Change::None => Looked::Unchanged,
            Change::Settling => Looked::Settling,
            Change::Read(Ok(loaded)) => self.take(loaded),
            Change::Read(Err(errors)) => self.refuse(errors),
        }
    }
}

fn count(domains: usize) -> i64 {
    i64::try_from(domains).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
