//! Shards from a folder: each file one ConfigShard, as `kubectl get -o yaml`
//! writes it; files are read again when they change.
//!
//! A file that goes away takes nothing with it: only a newer state of a shard
//! removes entries, as in a cluster.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use mailtrail_crds::shard::{SHARD_MAX_BYTES, SHARD_VERSION, SHARDS_MAX};
use mailtrail_crds::{GROUP, VERSION};
use serde_json::Value;
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

use super::document::{self, About};
use super::follow::{Feed, Seen};
use crate::config::changes::{Change, Changes, Look, Looked};
use crate::config::manifests::{Fingerprint, bounded, fingerprint, list};

/// Largest file, in bytes: YAML and an object's metadata come on top of a full
/// shard.
const FILE_MAX_BYTES: u64 = 4 * SHARD_MAX_BYTES as u64;
/// Deepest nesting of a document.
const DEPTH_MAX: usize = 64;
/// Most nodes of a document: a full shard has some 100,000.
const NODES_MAX: usize = 250_000;

/// Watches a folder of shards.
pub struct FolderWatcher {
    changes: Changes,
    read: HashMap<PathBuf, Fingerprint>,
    feed: Feed,
}

impl FolderWatcher {
    /// Reads the folder for the first time, and goes on from there. Does
    /// blocking io.
    pub fn begin(folder: PathBuf, feed: Feed) -> Self {
        // Before it is read: a change meanwhile is seen as one.
        let seen = fingerprint(&folder);
        let mut watcher = Self {
            changes: Changes::since(folder.clone(), seen),
            read: HashMap::new(),
            feed,
        };
        let seen = watcher.read(&folder);
        watcher.say(seen);
        watcher
    }

    /// What the files say that have changed since they were read.
    fn read(&mut self, folder: &Path) -> Vec<Seen> {
        read_changed(&mut self.read, folder)
    }

    /// Waits while the queue is full; an error says that the program stops.
    fn say(&self, seen: Vec<Seen>) {
        for seen in seen.into_iter().chain([Seen::Listed]) {
            if self.feed.blocking_send(seen).is_err() {
                return;
            }
        }
    }
}

impl Look for FolderWatcher {
    const WHAT: &'static str = "parts of the configuration";

    fn look(&mut self) -> Looked {
        let Self { changes, read, .. } = self;
        match changes.look(|folder| read_changed(read, folder)) {
            Change::None => Looked::Unchanged,
            Change::Settling => Looked::Settling,
            Change::Read(seen) => {
                self.say(seen);
                Looked::Reloaded
            }
        }
    }
}

fn read_changed(read: &mut HashMap<PathBuf, Fingerprint>, folder: &Path) -> Vec<Seen> {
    let files = match list(folder) {
        Ok(files) => files,
        Err(error) => return vec![unreadable(folder, format!("cannot be read: {error}"))],
    };
    if files.len() > usize::from(SHARDS_MAX) {
        let why = format!("has more than {SHARDS_MAX} files");
        return vec![unreadable(folder, why)];
    }
    let gone: Vec<_> = read
        .extract_if(|file, _| !files.contains(file))
        .map(|(file, _)| Seen::Gone {
            name: file.display().to_string(),
        })
        .collect();
    let changed = files.into_iter().filter_map(|file| {
        let now = fingerprint(&file);
        if read.insert(file.clone(), now) == Some(now) {
            return None;
        }
        Some(shard(&file).unwrap_or_else(|why| unreadable(&file, why)))
    });
    let changed: Vec<_> = changed.collect();
    gone.into_iter().chain(changed).collect()
}

fn shard(file: &Path) -> Result<Seen, String> {
    let bytes =
        bounded(file, FILE_MAX_BYTES).map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > FILE_MAX_BYTES {
        return Err(format!("is larger than {FILE_MAX_BYTES} bytes"));
    }
    let options = serde_saphyr::options! {
        with_snippet: false,
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            max_nodes: NODES_MAX,
        },
    };
    let mut object: Value =
        serde_saphyr::from_slice_with_options(&bytes, options).map_err(|error| {
            UserMessageFormatter
                .format_message(error.without_snippet())
                .into_owned()
        })?;
    let spec = object.get_mut("spec").map(Value::take).unwrap_or_default();
    let text = |at: &str| {
        object
            .pointer(at)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    let api_version = format!("{GROUP}/{VERSION}");
    if text("/kind") != "ConfigShard" || text("/apiVersion") != api_version {
        return Err(format!(
            "must be a ConfigShard of {api_version}, whose entries are of version {SHARD_VERSION}"
        ));
    }
    let about = About {
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
        generation: object
            .pointer("/metadata/generation")
            .and_then(Value::as_i64)
            .unwrap_or_default(),
    };
    let document = document::read(about, spec).map_err(|error| error.to_string())?;
    Ok(Seen::Shard(document))
}

fn unreadable(file: &Path, why: String) -> Seen {
    Seen::Unreadable {
        name: file.display().to_string(),
        why,
    }
}
