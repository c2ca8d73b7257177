//! Tracking domains and event sinks from manifests, as one would `kubectl apply`
//! them: a file, or the files of a folder, for a machine without a cluster.
//!
//! - Read are `.yaml`, `.yml` and `.json`, of one or many documents, in the
//!   order of their names; a `List` counts as what is in it. Hidden files and
//!   folders inside the folder are passed over: what Kubernetes mounts of a
//!   ConfigMap reads as it should.
//! - Objects of other kinds, and those of another class, are passed over with a
//!   notice; one without a namespace is in `default`.
//! - What the API server would refuse is refused, in the same words, and all of
//!   it at once, each fault with file, line and field. One fault refuses the
//!   whole set: half of it would be a state that nobody wrote.
//! - There is nobody here to find out whether a host leads here. Its domain is
//!   served as verified, with a warning where that is not said or plain.
//!
//! Reading is [`read`]; the rest is pure.

mod document;
mod node;
mod read;
mod set;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailtrail_core::config::{Domain, DomainState, Snapshot};
use mailtrail_core::id::{Host, Realm};
use mailtrail_core::sink::Sinks;
use mailtrail_crds::EventSink;
use mailtrail_crds::validate::Checker;
use serde::Serialize;

use super::Kept;
use set::Set;

pub(crate) use read::{Fingerprint, bounded};
pub(super) use read::{fingerprint, list};
pub(super) use set::Carried;

/// Largest manifest file, in bytes: some 50,000 domains.
pub const FILE_MAX_BYTES: u64 = 16 << 20;
/// Most bytes of all manifest files together.
pub const TOTAL_MAX_BYTES: u64 = 64 << 20;
/// Most files of a folder that are read.
pub const FILES_MAX: usize = 10_000;
/// Most documents in all files together, those passed over included.
pub const DOCUMENTS_MAX: usize = 100_000;
/// Most faults and most notices that are told of one load; the rest is counted.
pub const TOLD_MAX: usize = 100;
/// Namespace of a domain that names none, as `kubectl apply` has it.
pub const DEFAULT_NAMESPACE: &str = "default";

/// A place in a manifest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// Line, from 1 on; 0 where the whole file is meant.
    pub line: u64,
    /// Column, in characters, from 1 on; 0 where the whole file is meant.
    pub column: u64,
}

/// One thing that is wrong with the manifests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// Path of the field, such as `spec.host`; empty where no field is meant.
    pub field: String,
    /// What would be right.
    pub rule: String,
}

/// Everything that is wrong with the manifests.
#[derive(Debug, Clone, Default, PartialEq, Eq, thiserror::Error)]
pub struct ManifestErrors {
    /// What is wrong, [`TOLD_MAX`] at most.
    pub faults: Vec<Fault>,
    /// How much more there is.
    pub more: usize,
}

/// Something to know that is no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Where.
    pub place: Place,
    /// What.
    pub what: NoticeKind,
}

/// What there is to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoticeKind {
    /// An object of a kind that is not read.
    OtherKind(String),
    /// A domain of another class.
    OtherClass(String),
    /// A sink that names a domain which is not declared.
    NoSuchDomain(Realm),
    /// A sink in whose namespace no domain is declared.
    NoDomainBeside(Realm),
    /// A host that is served as verified without anybody having looked.
    Unverified(String),
    /// A host that was another domain's, whose links on it no longer open.
    LinksLost {
        /// The host.
        host: Host,
        /// Whose it was.
        former: Realm,
        /// Whose it is.
        now: Realm,
    },
}

/// What a path's manifests say.
#[derive(Debug)]
pub struct Loaded {
    /// The domains, to be served.
    pub snapshot: Snapshot,
    /// The sinks, to be delivered to.
    pub sinks: Sinks,
    /// What to know about them, [`TOLD_MAX`] at most.
    pub notices: Vec<Notice>,
    /// How many notices there are beyond those.
    pub more_notices: usize,
    /// Domains that were declared before and are no longer.
    pub retired: Vec<Realm>,
    /// Former hosts that answer no longer, because their domain has too many.
    pub dropped: Vec<(Realm, Host)>,
    /// From where [`super::watch`] goes on.
    pub baseline: Baseline,
}

/// What a later load is compared with.
#[derive(Debug, Clone)]
pub struct Baseline {
    pub(super) fingerprint: Fingerprint,
    pub(super) carried: Carried,
    /// Whether what was loaded is kept for the next start.
    pub(super) kept: bool,
}

/// Asks objects of each kind that is read.
#[derive(Debug)]
pub(super) struct Checkers {
    domain: Checker,
    sink: Checker<EventSink>,
}

impl Default for Checkers {
    fn default() -> Self {
        Self {
            domain: Checker::tracking_domain(),
            sink: Checker::event_sink(),
        }
    }
}

/// Reads the manifests of a path: a file, or a folder.
///
/// # Errors
///
/// All faults there are: files that cannot be read or are too large, documents
/// that are no YAML, objects that the API server would refuse, domains or hosts
/// that are there twice.
pub fn load(path: &Path) -> Result<Loaded, ManifestErrors> {
    load_after(path, &Checkers::default(), None)
}

/// Like [`load`]; what was served before goes on leading home where it is no
/// longer declared, and what is served now is kept for the next start.
///
/// # Errors
///
/// As [`load`]'s.
pub fn load_and_keep(
    path: &Path,
    kept: &Kept,
    used_before: bool,
) -> Result<Loaded, ManifestErrors> {
    let before = kept.read(used_before);
    let before = before.as_ref().map(|b| (&b.snapshot, &b.carried));
    let mut loaded = load_after(path, &Checkers::default(), before)?;
    loaded.baseline.kept = kept.write(&loaded.snapshot, &loaded.baseline.carried);
    Ok(loaded)
}

/// Like [`load`]; domains and hosts that were there before and are no longer go
/// on leading home.
pub(super) fn load_after(
    path: &Path,
    checkers: &Checkers,
    before: Option<(&Snapshot, &Carried)>,
) -> Result<Loaded, ManifestErrors> {
    let fingerprint = fingerprint(path);
    let mut set = Set::default();
    for file in read::files(path, &mut set) {
        let Some(bytes) = read::file(&file, &mut set) else {
            continue;
        };
        document::read(&file, &bytes, checkers, &mut set);
    }
    set.finish(fingerprint, before)
}

// === Place, Fault, Notice ===

impl Place {
    /// The whole of a file.
    pub(crate) fn file(file: &Path) -> Self {
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.display().fmt(f)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.place)?;
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(without_subject(&self.rule, &self.field))
    }
}

/// A rule of the definition is a whole sentence, of which the field that stands
/// before it is the subject: not said twice.
fn without_subject<'a>(rule: &'a str, field: &str) -> &'a str {
    let name = field.rsplit('.').next().unwrap_or(field);
    let name = name.split('[').next().unwrap_or(name);
    let rest = rule.strip_prefix(name).unwrap_or(rule).trim_start();
    match rest.starts_with("must ") {
        true => rest,
        false => rule,
    }
}

impl fmt::Display for ManifestErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, fault) in self.faults.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            fault.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, what } = self;
        match what {
            NoticeKind::OtherKind(kind) => write!(f, "{place}: passed over: {kind}"),
            NoticeKind::OtherClass(class) => {
                write!(f, "{place}: passed over: an object of class {class}")
            }
            NoticeKind::NoSuchDomain(realm) => write!(
                f,
                "{place}: no tracking domain {realm} is declared: the sink gets nothing of it"
            ),
            NoticeKind::NoDomainBeside(sink) => write!(
                f,
                "{place}: no tracking domain is declared in namespace {}: the sink {sink} gets nothing",
                sink.namespace()
            ),
            NoticeKind::Unverified(host) => write!(
                f,
                "{place}: {host} is served as verified, nobody has looked whether it leads here; \
                 spec.verification: None says that this is meant"
            ),
            NoticeKind::LinksLost { host, former, now } => write!(
                f,
                "{place}: {host} was {former}'s and is {now}'s now: links of mails sent for {former} no longer open on it"
            ),
        }
    }
}

impl Loaded {
    /// Tells the log what there is to know, and how many domains there are;
    /// `what` became of the manifests.
    pub fn log(&self, what: &str) {
        self.log_notices();
        for realm in self.retired.iter().take(TOLD_MAX) {
            tracing::warn!(
                domain = %realm,
                "tracking domain no longer declared: its links lead home, nothing is tracked or recorded"
            );
        }
        for (realm, host) in self.dropped.iter().take(TOLD_MAX) {
            tracing::warn!(
                domain = %realm, %host,
                "too many former hosts: this one answers no longer, and links on it do not open; make it an alias to keep it"
            );
        }
        let is_retired = |domain: &&Arc<Domain>| domain.state == DomainState::Retired;
        let retired = self.snapshot.domains().filter(is_retired).count();
        let domains = self.snapshot.len() - retired;
        let sinks = self.sinks.len();
        tracing::info!(domains, retired, sinks, "manifests {what}");
        if domains == 0 {
            tracing::warn!("no tracking domain is declared");
        }
    }

    fn log_notices(&self) {
        for notice in &self.notices {
            match notice.what {
                NoticeKind::Unverified(_)
                | NoticeKind::LinksLost { .. }
                | NoticeKind::NoSuchDomain(_)
                | NoticeKind::NoDomainBeside(_) => {
                    tracing::warn!("{notice}");
                }
                NoticeKind::OtherKind(_) | NoticeKind::OtherClass(_) => tracing::info!("{notice}"),
            }
        }
        if self.more_notices > 0 {
            tracing::info!(more = self.more_notices, "more notices about the manifests");
        }
    }
}

#[cfg(test)]
mod tests;
