//! The rules file: read at start, and again when it changes.
//!
//! A bad file refuses the start. Later a bad state changes nothing: the last
//! good rules go on judging, the log says once what is wrong and in which line,
//! and the metric `rules_last_reload_ok` is 0 until a good state comes.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::changes::{Change, Changes, Look, Looked};
use super::manifests::{Fingerprint, fingerprint};
use super::metrics::ConfigMetrics;
use crate::judge::{FILE_MAX_BYTES, LiveRules, Rules, RulesError};

/// A rules file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RulesFileError {
    /// It cannot be read.
    #[error("rules file {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// What it says is wrong.
    #[error("rules file {path}: {source}")]
    Wrong {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: RulesError,
    },
}

/// What a later state of the file is compared with.
#[derive(Debug)]
pub struct RulesBaseline {
    path: PathBuf,
    seen: Fingerprint,
}

/// Watches a rules file.
pub struct RulesWatcher {
    changes: Changes,
    live: Arc<LiveRules>,
    metrics: ConfigMetrics,
}

/// Reads a rules file.
///
/// # Errors
///
/// It cannot be read, is larger than [`FILE_MAX_BYTES`], or says something
/// wrong: then with line and field.
pub fn load(path: PathBuf) -> Result<(Rules, RulesBaseline), RulesFileError> {
    // Before it is read: a change meanwhile is seen as one.
    let seen = fingerprint(&path);
    Ok((read(&path)?, RulesBaseline { path, seen }))
}

fn read(path: &Path) -> Result<Rules, RulesFileError> {
    let text = text(path).map_err(|source| RulesFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Rules::parse(&text).map_err(|source| RulesFileError::Wrong {
        path: path.to_owned(),
        source,
    })
}

/// At most one byte more than is allowed: parsing tells that it is too much.
fn text(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("must be a file"));
    }
    let mut text = String::new();
    let limit = FILE_MAX_BYTES as u64 + 1;
    File::open(path)?.take(limit).read_to_string(&mut text)?;
    Ok(text)
}

// === Watching ===

impl RulesWatcher {
    /// Goes on from the load that `live` was started with.
    pub fn new(baseline: RulesBaseline, live: Arc<LiveRules>, metrics: ConfigMetrics) -> Self {
        Self {
            changes: Changes::since(baseline.path, baseline.seen),
            live,
            metrics,
        }
    }

    fn take(&self, rules: Rules) -> Looked {
        self.live.replace(rules);
        self.metrics.rules_reloads.inc();
        self.metrics.rules_last_reload_ok.set(1);
        tracing::info!("rules for verdicts reloaded");
        Looked::Reloaded
    }

    fn refuse(&self, error: &RulesFileError) -> Looked {
        tracing::error!("the last good rules for verdicts are kept: {error}");
        self.metrics.rules_reload_failures.inc();
        self.metrics.rules_last_reload_ok.set(0);
        Looked::Refused
    }
}

impl Look for RulesWatcher {
    const WHAT: &'static str = "rules for verdicts";

    fn look(&mut self) -> Looked {
        match self.changes.look(read) {
            Change::None => Looked::Unchanged,
            Change::Settling => Looked::Settling,
            Change::Read(Ok(rules)) => self.take(rules),
            Change::Read(Err(error)) => self.refuse(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use mailtrail_core::event::{EventKind, Verdict};
    use tempfile::TempDir;

    use super::*;

    /// Rules that say of `tool/` what is given.
    fn text(verdict: &str) -> String {
        format!(
            "version: 1\nsigns:\n  - {{name: tool, userAgent: {{contains: [tool/]}}}}\nrules:\n  - {{name: tool, when: {{any: [tool]}}, verdict: {verdict}}}\n"
        )
    }

    struct Fixture {
        folder: TempDir,
        live: Arc<LiveRules>,
        metrics: ConfigMetrics,
        watcher: RulesWatcher,
    }

    fn watching() -> Fixture {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("rules.yaml");
        fs::write(&path, text("human")).expect("written");
        let (rules, baseline) = load(path).expect("good rules");
        let live = Arc::new(LiveRules::new(rules));
        let metrics = ConfigMetrics::new(&mut prometheus_client::registry::Registry::default());
        let watcher = RulesWatcher::new(baseline, Arc::clone(&live), metrics.clone());
        Fixture {
            folder,
            live,
            metrics,
            watcher,
        }
    }

    impl Fixture {
        fn write(&self, text: &str) {
            fs::write(self.folder.path().join("rules.yaml"), text).expect("written");
        }

        fn verdict(&self) -> Verdict {
            let signs = ["tool".to_owned()];
            self.live.load().provisional(EventKind::Clicked, &signs).0
        }
    }

    #[test]
    fn changed_rules_judge_once_they_have_settled() {
        let mut f = watching();
        assert_eq!(f.watcher.look(), Looked::Unchanged);
        f.write(&text("scanner"));
        assert_eq!(f.watcher.look(), Looked::Settling);
        assert_eq!(f.verdict(), Verdict::Human);
        assert_eq!(f.watcher.look(), Looked::Reloaded);
        assert_eq!(f.verdict(), Verdict::Scanner);
        assert_eq!(f.metrics.rules_reloads.get(), 1);
    }

    #[test]
    fn bad_rules_keep_the_last_good_ones() {
        let mut f = watching();
        f.write(&text("robot"));
        assert_eq!(f.watcher.look(), Looked::Settling);
        assert_eq!(f.watcher.look(), Looked::Refused);
        assert_eq!(f.verdict(), Verdict::Human);
        let (failures, ok) = (
            &f.metrics.rules_reload_failures,
            &f.metrics.rules_last_reload_ok,
        );
        assert_eq!((failures.get(), ok.get()), (1, 0));
        // Told once, not at every look.
        assert_eq!(f.watcher.look(), Looked::Unchanged);
        f.write(&text("scanner"));
        assert_eq!(f.watcher.look(), Looked::Settling);
        assert_eq!(f.watcher.look(), Looked::Reloaded);
        assert_eq!((f.verdict(), ok.get()), (Verdict::Scanner, 1));
    }

    #[test]
    fn a_bad_or_missing_file_is_told_by_its_name_and_line() {
        let f = watching();
        f.write(&text("robot"));
        let path = f.folder.path().join("rules.yaml");
        let told = load(path.clone()).expect_err("bad rules").to_string();
        assert!(told.contains("rules.yaml: line 5: "), "{told}");
        fs::remove_file(&path).expect("removed");
        let told = load(path).expect_err("no file").to_string();
        assert!(told.contains("rules.yaml: "), "{told}");
        assert!(load(f.folder.path().to_owned()).is_err());
    }
}
