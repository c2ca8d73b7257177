//! The shards that were served last, kept on the disk: a replica starts and
//! serves with the API server and the operator both away.
//!
//! One file per shard, `shards/<number>.json` in the data folder: its entries
//! as they are served, which is not always as they stood in it. Each is written
//! beside, synced and renamed into place, so no crash leaves half of one.
//! Writing is nobody's to wait for: [`Keeper`] does it apart, each file once a
//! second at most. A crash within that second starts from the state before it.
//!
//! A file that cannot be read is set aside and told; the others are served.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailtrail_core::config::Domain;
use mailtrail_core::sink::Sink;
use mailtrail_crds::shard::{SHARD_MAX_BYTES, SHARD_VERSION, SHARDS_MAX};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use super::document::{self, About};
use super::set::ServedShard;
use crate::config::ConfigMetrics;

const FOLDER: &str = "shards";
/// Largest file that is read, in bytes: entries kept of an earlier state may come
/// on top of a full shard.
const FILE_MAX_BYTES: u64 = 2 * SHARD_MAX_BYTES as u64;
/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_secs(1);
/// How long after a failure it is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where shards that were served are kept.
#[derive(Debug, Clone)]
pub struct KeptShards {
    folder: PathBuf,
}

/// Writes what changes, apart from who changes it.
pub struct Keeper {
    kept: KeptShards,
    metrics: ConfigMetrics,
    /// What is to be written, the last state of each shard.
    waiting: Mutex<BTreeMap<u16, ServedShard>>,
    some: Notify,
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    uid: &'a str,
    generation: i64,
    index: u16,
    count: u16,
    entries: Vec<&'a Domain>,
    /// Their secrets are sealed here, too.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sinks: Vec<&'a Sink>,
}

// === KeptShards ===

impl KeptShards {
    /// In a data folder, which must be ours.
    pub fn in_folder(data_dir: &Path) -> Self {
        Self {
            folder: data_dir.join(FOLDER),
        }
    }

    /// What was served last; what cannot be read is set aside.
    pub fn read(&self) -> Vec<ServedShard> {
        let mut shards = Vec::new();
        for path in self.files() {
            match parse(&path) {
                Ok(shard) => shards.push(shard),
                Err(error) => {
                    let moved = fs::rename(&path, path.with_extension("json.aside"));
                    tracing::error!(
                        file = %path.display(), %error, set_aside = moved.is_ok(),
                        "a part of the configuration served last cannot be read: it is served once it comes from its source"
                    );
                }
            }
        }
        shards
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    tracing::error!(
                        folder = %self.folder.display(), %error,
                        "the configuration served last cannot be read"
                    );
                }
                return Vec::new();
            }
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut files: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .take(usize::from(SHARDS_MAX))
            .collect();
        files.sort_unstable();
        files
    }

    fn path(&self, index: u16) -> PathBuf {
        self.folder.join(format!("{index:04}.json"))
    }

    /// Writes shards, and syncs them and their folder; gives those that could
    /// not be written.
    fn write(&self, shards: Vec<ServedShard>) -> Result<(), (Vec<ServedShard>, io::Error)> {
        if let Err(error) = fs::create_dir_all(&self.folder) {
            return Err((shards, error));
        }
        let mut failed = Vec::new();
        let mut last = None;
        for shard in shards {
            if let Err(error) = self.write_one(&shard) {
                failed.push(shard);
                last = Some(error);
            }
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        match last.or(synced.err()) {
            None => Ok(()),
            Some(error) => Err((failed, error)),
        }
    }

    fn write_one(&self, shard: &ServedShard) -> io::Result<()> {
        let ServedShard {
            at,
            count,
            entries,
            sinks,
        } = shard;
        let path = self.path(at.index);
        let beside = path.with_extension("json.new");
        let mut file = BufWriter::new(File::create(&beside)?);
        let written = Written {
            version: SHARD_VERSION,
            uid: &at.uid,
            generation: at.generation,
            index: at.index,
            count: *count,
            entries: entries.iter().map(AsRef::as_ref).collect(),
            sinks: sinks.iter().map(AsRef::as_ref).collect(),
        };
        serde_json::to_writer(&mut file, &written)?;
        file.flush()?;
        file.get_ref().sync_all()?;
        fs::rename(&beside, &path)
    }
}

fn parse(path: &Path) -> io::Result<ServedShard> {
    let invalid = |error: String| io::Error::new(io::ErrorKind::InvalidData, error);
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_MAX_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(invalid(format!("has more than {FILE_MAX_BYTES} bytes")));
    }
    let value: Value = serde_json::from_slice(&bytes)?;
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let uid = value.get("uid").and_then(Value::as_str).unwrap_or_default();
    let uid = uid.to_owned();
    let about = About {
        name: &format!("config-{stem}"),
        uid: &uid,
        generation: value
            .get("generation")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
    };
    let document = document::read(about, value).map_err(|error| invalid(error.to_string()))?;
    let all = document.entries.len() + document.sinks.len();
    let entries: Vec<_> = document.entries.into_iter().flatten().collect();
    let sinks: Vec<_> = document.sinks.into_iter().flatten().collect();
    let unreadable = all - entries.len() - sinks.len();
    if unreadable > 0 {
        tracing::error!(
            file = %path.display(), unreadable,
            "entries that were served last cannot be read by this program"
        );
    }
    Ok(ServedShard {
        at: document.at,
        count: document.count,
        entries,
        sinks,
    })
}

// === Keeper ===

impl Keeper {
    /// Keeps what it is handed from now on.
    pub fn new(kept: KeptShards, metrics: ConfigMetrics) -> Arc<Self> {
        metrics.domains_kept.set(1);
        Arc::new(Self {
            kept,
            metrics,
            waiting: Mutex::default(),
            some: Notify::new(),
        })
    }

    /// Has these written; the last state of each shard counts. Bounded by the
    /// number of shards, and their entries are shared with what is served.
    pub(super) fn keep(&self, shards: impl IntoIterator<Item = ServedShard>) {
        let by_index = shards.into_iter().map(|shard| (shard.at.index, shard));
        self.waiting().extend(by_index);
        self.some.notify_one();
    }

    /// Writes until `stop` turns true, and then what is left.
    pub async fn run(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut wait = GATHER;
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = self.some.notified() => {}
            }
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => break,
                () = tokio::time::sleep(wait) => {}
            }
            wait = match self.write().await {
                true => GATHER,
                false => {
                    self.some.notify_one();
                    AGAIN_AFTER
                }
            };
        }
        self.write().await;
    }

    async fn write(self: &Arc<Self>) -> bool {
        let keeper = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || keeper.write_now());
        written.await.unwrap_or(false)
    }

    /// Writes what waits; says whether that worked.
    pub(super) fn write_now(&self) -> bool {
        let shards: Vec<_> = std::mem::take(&mut *self.waiting()).into_values().collect();
        if shards.is_empty() {
            return true;
        }
        let was_kept = self.metrics.domains_kept.get() == 1;
        let Err((failed, error)) = self.kept.write(shards) else {
            if !was_kept {
                tracing::info!("the configuration served now is kept again");
            }
            self.metrics.domains_kept.set(1);
            return true;
        };
        // Told once, not at each try.
        if was_kept {
            tracing::error!(
                folder = %self.kept.folder.display(), %error,
                "the configuration served now cannot be kept, which is tried again: until then a restart without the API server serves an older one"
            );
        }
        self.metrics.domains_kept.set(0);
        let mut waiting = self.waiting();
        for shard in failed {
            waiting.entry(shard.at.index).or_insert(shard);
        }
        false
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, BTreeMap<u16, ServedShard>> {
        // A map is whole whatever happened to who held it.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
