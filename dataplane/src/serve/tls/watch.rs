//! Certificates are read again when their files change.
//!
//! Each folder by itself: one whose files are broken, or do not fit each other,
//! keeps its last good certificate and holds up no other; the log says once
//! what is wrong, and the metric `tls_last_reload_ok` is 0 until all are good
//! again. A folder that goes takes its certificate along; where none would be
//! left, or the whole cannot be read, everything stays as it was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::certificates::{Certificates, LiveCertificates, Pair};
use super::folder::{self, Fault, FolderError, Read};
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

// === CertificateWatcher ===

impl CertificateWatcher {
    /// Reads all certificates for the first time.
    pub(super) fn begin(
        path: PathBuf,
        metrics: TlsMetrics,
    ) -> Result<(Arc<LiveCertificates>, Self), FolderError> {
        // Before they are read: a change meanwhile is seen as one.
        let seen = folder::fingerprint(&path);
        let merged = merge(&path, &BTreeMap::new(), folder::read(&path)?);
        if !merged.faults.is_empty() {
            return Err(FolderError::Faults(merged.faults));
        }
        metrics.tell(&BTreeMap::new(), &merged.pairs);
        let live = Arc::new(LiveCertificates::new(Certificates::new(merged.pairs)));
        let watcher = Self {
            changes: Changes::by_sign(path, folder::fingerprint, seen),
            live: Arc::clone(&live),
            metrics,
        };
        Ok((live, watcher))
    }

    fn take(&self, path: &Path, read: Read) -> Looked {
        let before = self.live.load();
        let Merged { pairs, faults } = merge(path, &before.pairs, read);
        self.metrics.tell(&before.pairs, &pairs);
        self.live.replace(Certificates::new(pairs));
        for fault in &faults {
            tracing::error!("the last good certificate is kept: {fault}");
        }
        match faults.is_empty() {
            true => self.taken(),
            false => self.refused(),
        }
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
            Change::Read((path, Ok(read))) => self.take(&path, read),
            Change::Read((_, Err(error))) => {
                tracing::error!("the last good certificates are kept: {error}");
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
                let folder = path.join(&name);
                faults.push(Fault { folder, why });
                before.get(&name).cloned()
            }
        };
        pairs.extend(kept.map(|pair| (name, pair)));
    }
    if pairs.is_empty() {
        pairs.clone_from(before);
    }
    Merged { pairs, faults }
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
            self.expires.get_or_create(&label(name)).set(pair.expires);
        }
    }
}
