//! Manifests reloaded when they change.
//!
//! # Flow
//!
//! Every [`POLL`] the files' fingerprint (names, sizes, times, inodes, links
//! followed) is compared with the last one seen. After a change it must stay
//! the same for [`SETTLE`], then the files are read; if they changed meanwhile,
//! that waits again. Polling rather than file events, because a ConfigMap is
//! swapped by a link outside the files, and network folders tell of nothing.
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
//! An editor that writes a file in place for longer than [`SETTLE`] without
//! progress may be read half way. What is not YAML then is refused; a file cut
//! exactly between two documents is taken, and domains missing from it lead
//! home until it is whole again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use mailtrail_crds::validate::Checker;

use super::Live;
use super::manifests::{
    Baseline, Carried, Fingerprint, Loaded, ManifestErrors, fingerprint, load_after,
};
use super::metrics::ConfigMetrics;

/// How often the files are looked at.
pub const POLL: Duration = Duration::from_millis(500);
/// How long they must stay the same before they are read.
pub const SETTLE: Duration = Duration::from_millis(100);
/// Most faults of one load that the log is told; all are in [`Live::status`].
const LOGGED_MAX: usize = 10;

/// Watches the manifests of one path.
pub struct Watcher {
    path: PathBuf,
    checker: Checker,
    live: Arc<Live>,
    metrics: ConfigMetrics,
    /// The state that was last taken or refused.
    seen: Fingerprint,
    /// A newer one that may still be changing.
    settling: Option<Fingerprint>,
    carried: Carried,
}

/// What a look at the files came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// Nothing has changed.
    Unchanged,
    /// Something has, and may still be changing.
    Settling,
    /// The new state is served.
    Reloaded,
    /// The new state is refused, the last good one kept.
    Refused,
}

/// Watches until `shutdown` ends; a load under way is waited for.
pub async fn watch(mut watcher: Watcher, shutdown: impl Future<Output = ()>) {
    tokio::pin!(shutdown);
    let mut wait = POLL;
    loop {
        tokio::select! {
            () = &mut shutdown => return,
            () = tokio::time::sleep(wait) => {}
        }
        let look = move || {
            let looked = watcher.look();
            (watcher, looked)
        };
        let looked;
        (watcher, looked) = match tokio::task::spawn_blocking(look).await {
            Ok(done) => done,
            Err(error) => {
                tracing::error!(%error, "manifests are no longer watched");
                return;
            }
        };
        wait = match looked {
            Looked::Settling => SETTLE,
            Looked::Unchanged | Looked::Reloaded | Looked::Refused => POLL,
        };
    }
}

impl Watcher {
    /// Goes on from the load that `live` was started with.
    pub fn new(path: PathBuf, baseline: Baseline, live: Arc<Live>, metrics: ConfigMetrics) -> Self {
        let Baseline {
            fingerprint,
            carried,
        } = baseline;
        metrics.domains.set(count(live.snapshot().len()));
        Self {
            path,
            checker: Checker::tracking_domain(),
            live,
            metrics,
            seen: fingerprint,
            settling: None,
            carried,
        }
    }

    /// Looks at the files once, and reads them when they have changed and
    /// settled. Does blocking io.
    pub fn look(&mut self) -> Looked {
        let now = fingerprint(&self.path);
        if now == self.seen {
            self.settling = None;
            return Looked::Unchanged;
        }
        if self.settling != Some(now) {
            self.settling = Some(now);
            return Looked::Settling;
        }
        let before = self.live.snapshot();
        let loaded = load_after(&self.path, &self.checker, Some((&before, &self.carried)));
        let after = fingerprint(&self.path);
        if after != now {
            self.settling = Some(after);
            return Looked::Settling;
        }
        self.seen = now;
        self.settling = None;
        match loaded {
            Ok(loaded) => self.take(loaded),
            Err(errors) => self.refuse(errors),
        }
    }

    fn take(&mut self, loaded: Loaded) -> Looked {
        loaded.log_notices();
        let domains = loaded.snapshot.len();
        self.carried = loaded.baseline.carried;
        self.live.replace_snapshot(loaded.snapshot);
        self.live.replace_refused(ManifestErrors::default());
        self.metrics.reloads.inc();
        self.metrics.last_reload_ok.set(1);
        self.metrics.domains.set(count(domains));
        tracing::info!(domains, "manifests reloaded");
        Looked::Reloaded
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

fn count(domains: usize) -> i64 {
    i64::try_from(domains).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
