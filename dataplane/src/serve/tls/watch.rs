//! Certificates are read again when their files change.
//!
//! Each folder by itself: one whose files are broken, or do not fit each other,
//! keeps its last good certificate and holds up no other; the log says once
//! what is wrong, and the metric `tls_last_reload_ok` is 0 until all are good
//! again. A folder that goes takes its certificate along; where none would be
//! left, or the whole cannot be read, everything stays as it was. At the start
//! that is nothing: hosts whose certificate is broken then have none until it is
//! good, and all others are served.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Clock;
use super::certificates::{Certificates, LiveCertificates, Pair, PairError};
use super::folder::{self, Read};
use crate::config::{Change, Changes, Look, Looked};

/// Watches a folder of certificates.
pub struct CertificateWatcher {
    changes: Changes,
    live: Arc<LiveCertificates>,
    metrics: TlsMetrics,
}

/// What is counted of certificates.
#[derive(Debug, Clone, Default)]
pub struct TlsMetrics {
    /// Changes that were taken.
    reloads: Counter,
    /// Changes of which something was refused.
    reload_failures: Counter,
    /// 1 when the newest certificates are those in use; also without TLS.
    last_reload_ok: Gauge,
    /// When each expires. The label is a folder's name, which an administrator
    /// gave; there are as many as certificates in use.
    expires: Family<CertificateLabel, Gauge>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CertificateLabel {
    certificate: String,
}

/// What a new state of the files comes to.
struct Merged {
    pairs: BTreeMap<String, Arc<Pair>>,
    faults: Vec<Fault>,
}

/// A folder whose files cannot be used.
struct Fault {
    folder: PathBuf,
    why: PairError,
    /// Whether an earlier certificate of it is shown meanwhile.
    has_last_good: bool,
}

// === CertificateWatcher ===

impl CertificateWatcher {
    /// Reads all certificates for the first time: those that are good are shown.
    pub(super) fn begin(
        path: PathBuf,
        clock: Clock,
        metrics: TlsMetrics,
    ) -> (Arc<LiveCertificates>, Self) {
        // Before they are read: a change meanwhile is seen as one.
        let seen = folder::fingerprint(&path);
        let read = folder::read(&path);
        let live = Arc::new(LiveCertificates::new(Certificates::default(), clock));
        let watcher = Self {
            changes: Changes::by_sign(path.clone(), folder::fingerprint, seen),
            live: Arc::clone(&live),
            metrics,
        };
        let is_good = match read {
            Ok(read) => watcher.show(&path, read),
            Err(error) => {
                tracing::error!("TLS begins without any certificate: {error}");
                false
            }
        };
        watcher.metrics.last_reload_ok.set(i64::from(is_good));
        (live, watcher)
    }

    /// Shows what is good from now on, and says what is not; whether all is.
    fn show(&self, path: &Path, read: Read) -> bool {
        let before = self.live.load();
        let Merged { pairs, faults } = merge(path, &before.pairs, read);
        self.metrics.tell(&before.pairs, &pairs);
        self.live.replace(Certificates::new(pairs));
        for fault in &faults {
            tracing::error!("{fault}");
        }
        faults.is_empty()
    }

    fn taken(&self) -> Looked {
        self.metrics.reloads.inc();
        self.metrics.last_reload_ok.set(1);
        tracing::info!("certificates reloaded");
        Looked::Reloaded
    }

    fn refused(&self) -> Looked {
        self.metrics.reload_failures.inc();
        self.metrics.last_reload_ok.set(0);
        Looked::Refused
    }
}

impl Look for CertificateWatcher {
    const WHAT: &'static str = "certificates";

    fn look(&mut self) -> Looked {
        let read = |path: &Path| (path.to_owned(), folder::read(path));
        match self.changes.look(read) {
            Change::None => Looked::Unchanged,
            Change::Settling => Looked::Settling,
            Change::Read((path, Ok(read))) => match self.show(&path, read) {
                true => self.taken(),
                false => self.refused(),
            },
            Change::Read((_, Err(error))) => {
                tracing::error!("certificates stay as they were: {error}");
                self.refused()
            }
        }
    }
}

/// The new pair of each folder that has a good one, else its last; pure.
fn merge(path: &Path, before: &BTreeMap<String, Arc<Pair>>, read: Read) -> Merged {
    let (mut pairs, mut faults) = (BTreeMap::new(), Vec::new());
    for (name, pair) in read {
        let kept = match pair {
            Ok(pair) => Some(Arc::new(pair)),
            Err(why) => {
                let last = before.get(&name).cloned();
                faults.push(Fault {
                    folder: path.join(&name),
                    why,
                    has_last_good: last.is_some(),
                });
                last
            }
        };
        pairs.extend(kept.map(|pair| (name, pair)));
    }
    if pairs.is_empty() {
        pairs.clone_from(before);
    }
    Merged { pairs, faults }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meanwhile = match self.has_last_good {
            true => "its last good certificate is kept",
            false => "there is no certificate of it",
        };
        let (folder, why) = (self.folder.display(), &self.why);
        write!(f, "{folder}: {why}; {meanwhile} until it is repaired")
    }
}

// === TlsMetrics ===

impl TlsMetrics {
    /// All at zero, known under `tls_…`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.last_reload_ok.set(1);
        let Self {
            reloads,
            reload_failures,
            last_reload_ok,
            expires,
        } = metrics.clone();
        registry.register(
            "tls_reloads",
            "Changes of certificates that were taken",
            reloads,
        );
        registry.register(
            "tls_reload_failures",
            "Changes of certificates of which some were refused, the last good ones kept",
            reload_failures,
        );
        registry.register(
            "tls_last_reload_ok",
            "1 when the newest certificates are in use",
            last_reload_ok,
        );
        registry.register(
            "tls_certificate_expiry_timestamp_seconds",
            "When a certificate in use expires, in seconds since 1970",
            expires,
        );
        metrics
    }

    fn tell(&self, before: &BTreeMap<String, Arc<Pair>>, now: &BTreeMap<String, Arc<Pair>>) {
        let label = |name: &String| CertificateLabel {
            certificate: name.clone(),
        };
        for name in before.keys().filter(|name| !now.contains_key(*name)) {
            self.expires.remove(&label(name));
        }
        for (name, pair) in now {
            self.expires
                .get_or_create(&label(name))
                .set(pair.validity.expires);
        }
    }
}
