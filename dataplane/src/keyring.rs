//! The keyring's file: read, made, and read again when a token names a key
//! that is not known yet.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::rand;
use mailtrail_core::keyring::{DOCUMENT_MAX_BYTES, KEY_BYTES, Keyring, KeyringError};
use mailtrail_core::token::Keys;
use tokio::sync::{Notify, watch};

use crate::args::{KeyringFile, WhenMissing};
use crate::config::Live;

/// How often the file is looked at: a rotation waits for every replica.
const POLL: Duration = Duration::from_millis(250);
/// Shortest time between two readings that unknown key ids ask for, so that
/// forged tokens cannot keep the disk busy.
const ASKED_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Why there is no keyring.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read, made or written.
    #[error("keyring {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is damaged.
    #[error(
        "keyring {path}: {source}. Restore the file from a backup: a new keyring would kill every link that was sent"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: KeyringError,
    },
    /// Others may read it.
    #[error("keyring {path}: its mode is {mode:o}; only its owner may read it: chmod 600")]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is missing, but the data folder was used before.
    #[error(
        "keyring {path} is missing, but its folder holds events already. Restore the file from a backup: a new keyring would kill every link that was sent"
    )]
    Lost {
        /// The file.
        path: PathBuf,
    },
    /// The system's random source failed.
    #[error("keyring {path}: the system's random source failed")]
    Random {
        /// The file.
        path: PathBuf,
    },
}

/// Reads the keyring, or makes one where that is allowed: when `used_before`
/// (links may be out there), never.
pub fn open(file: &KeyringFile, used_before: bool) -> Result<Keyring, FileError> {
    match read(&file.path) {
        Err(FileError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound
                && file.when_missing == WhenMissing::Make =>
        {
            if used_before {
                return Err(FileError::Lost {
                    path: file.path.clone(),
                });
            }
            make(&file.path)
        }
        other => other,
    }
}

/// The same; where the file is to be waited for, `None` says that it is not
/// there yet.
pub fn look(file: &KeyringFile, used_before: bool) -> Result<Option<Keyring>, FileError> {
    match open(file, used_before) {
        Err(FileError::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound
                && file.when_missing == WhenMissing::Wait =>
        {
            Ok(None)
        }
        other => other.map(Some),
    }
}

/// Looks until the file is there; `not_yet` is told once where it is not.
pub async fn wait_for(
    file: KeyringFile,
    used_before: bool,
    not_yet: impl FnOnce(),
) -> Result<Keyring, FileError> {
    let mut not_yet = Some(not_yet);
    loop {
        if let Some(keyring) = look(&file, used_before)? {
            return Ok(keyring);
        }
        if let Some(not_yet) = not_yet.take() {
            not_yet();
        }
        tokio::time::sleep(POLL).await;
    }
}

fn read(path: &Path) -> Result<Keyring, FileError> {
    let io = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(io)?;
    let mode = file.metadata().map_err(io)?.permissions().mode() & 0o777;
    // Kubernetes mounts Secrets 0440 to a group of their own; the rest of the
    // world has no business with the file.
    if mode & 0o007 != 0 {
        return Err(FileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut document = Vec::new();
    file.take(DOCUMENT_MAX_BYTES as u64 + 1)
        .read_to_end(&mut document)
        .map_err(io)?;
    Keyring::parse(&document).map_err(|source| FileError::Damaged {
        path: path.to_owned(),
        source,
    })
}

/// Makes a keyring of one key: written beside, synced, then linked into place,
/// so that no crash leaves half a file and no existing one is replaced.
fn make(path: &Path) -> Result<Keyring, FileError> {
    let io = |source| FileError::Io {
        path: path.to_owned(),
        source,
    };
    let mut random = [0; 3 + KEY_BYTES];
    rand::fill(&mut random).map_err(|_| FileError::Random {
        path: path.to_owned(),
    })?;
    let keyring = Keyring::generate(random).map_err(|source| FileError::Damaged {
        path: path.to_owned(),
        source,
    })?;
    let beside = path.with_extension("new");
    let _ = std::fs::remove_file(&beside);
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&beside)
        .map_err(io)?;
    file.write_all(keyring.to_document().as_bytes())
        .map_err(io)?;
    file.sync_all().map_err(io)?;
    std::fs::hard_link(&beside, path).map_err(io)?;
    std::fs::remove_file(&beside).map_err(io)?;
    let folder = path
        .parent()
        .filter(|p| !p.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(io)?;
    tracing::info!(keyring.path = %path.display(), key.id = %keyring.active().id, "made a keyring: back it up, every link depends on it");
    Ok(keyring)
}

/// Follows the file: reads it when it is another or has changed and, at once, when
/// `asked` says that a token named an unknown key. A bad file keeps the keys
/// in use. Ends when `stop` turns true.
pub async fn follow(
    path: PathBuf,
    live: Arc<Live>,
    asked: Arc<Notify>,
    mut stop: watch::Receiver<bool>,
) {
    // Since the start it may have changed already.
    let mut seen = None;
    loop {
        let by_request = tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = asked.notified() => true,
            () = tokio::time::sleep(POLL) => false,
        };
        let now = state(&path);
        if !by_request && now == seen {
            continue;
        }
        seen = now;
        let (path, live) = (path.clone(), Arc::clone(&live));
        let reading = tokio::task::spawn_blocking(move || refresh(&path, &live));
        if let Ok(Err(error)) = reading.await {
            tracing::error!(%error, "the keyring cannot be read again: the keys in use stay");
        }
        if by_request {
            tokio::time::sleep(ASKED_AGAIN_AFTER).await;
        }
    }
}

fn refresh(path: &Path, live: &Live) -> Result<(), FileError> {
    let newer = read(path)?;
    let keys = live.keys();
    let merged = keys
        .keyring()
        .merge(&newer)
        .map_err(|source| FileError::Damaged {
            path: path.to_owned(),
            source,
        })?;
    if merged != *keys.keyring() {
        tracing::info!(key.active = %merged.active().id, "the keyring has changed");
        live.replace_keys(Keys::new(merged));
    }
    Ok(())
}

/// What tells one state of the file from another, links followed: a mounted
/// Secret is swapped by a link to the folder that its files are in.
fn state(path: &Path) -> Option<(u64, u64, u64, i64, i64)> {
    let about = std::fs::metadata(path).ok()?;
    let (device, inode, bytes) = (about.dev(), about.ino(), about.len());
    Some((device, inode, bytes, about.mtime(), about.mtime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir) -> KeyringFile {
        KeyringFile {
            path: folder.path().join("keyring.json"),
            when_missing: WhenMissing::Make,
        }
    }

    #[test]
    fn a_keyring_is_made_once_for_its_owner_alone_and_found_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let made = open(&file(&folder), false).expect("made");
        let mode = std::fs::metadata(file(&folder).path)
            .expect("file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(open(&file(&folder), true).expect("found"), made);
    }

    #[test]
    fn a_lost_keyring_is_not_replaced_where_events_are() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(matches!(
            open(&file(&folder), true),
            Err(FileError::Lost { .. })
        ));
        assert!(!file(&folder).path.exists());
    }

    #[test]
    fn a_named_keyring_that_is_missing_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        let named = KeyringFile {
            when_missing: WhenMissing::Fail,
            ..file(&folder)
        };
        assert!(matches!(open(&named, false), Err(FileError::Io { .. })));
    }

    #[tokio::test]
    async fn a_keyring_that_is_waited_for_is_never_made() {
        let (folder, other) = (tempfile::tempdir(), tempfile::tempdir());
        let (folder, other) = (folder.expect("a folder"), other.expect("a folder"));
        let made = open(&file(&other), false).expect("made");
        let waited = KeyringFile {
            when_missing: WhenMissing::Wait,
            ..file(&folder)
        };
        assert!(look(&waited, false).expect("no fault").is_none());
        assert!(!waited.path.exists());
        let (from, to) = (file(&other).path, waited.path.clone());
        let came = wait_for(waited, false, || {
            std::fs::copy(from, to).expect("copied");
        });
        assert_eq!(came.await.expect("a keyring"), made);
    }

    #[test]
    fn a_secret_swapped_by_a_link_is_another_state() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("keyring.json");
        let data = folder.path().join("..data");
        std::os::unix::fs::symlink("..data/keyring.json", &path).expect("a link");
        let mut seen = vec![state(&path)];
        for version in ["..1", "..2"] {
            let inside = folder.path().join(version);
            std::fs::create_dir(&inside).expect("a folder");
            std::fs::write(inside.join("keyring.json"), "same").expect("written");
            let link = folder.path().join("..data_tmp");
            std::os::unix::fs::symlink(version, &link).expect("a link");
            std::fs::rename(&link, &data).expect("swapped");
            seen.push(state(&path));
        }
        assert_eq!(seen[0], None);
        assert!(seen[1].is_some() && seen[2].is_some() && seen[1] != seen[2]);
    }

    #[test]
    fn a_damaged_or_exposed_keyring_is_refused_and_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = file(&folder);
        std::fs::write(&file.path, "{").expect("write");
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o600))
            .expect("chmod");
        let error = open(&file, false).expect_err("damaged").to_string();
        assert!(
            error.contains("line 1") && error.contains("backup"),
            "{error}"
        );
        std::fs::set_permissions(&file.path, std::fs::Permissions::from_mode(0o644))
            .expect("chmod");
        assert!(matches!(open(&file, false), Err(FileError::Exposed { .. })));
        assert_eq!(std::fs::read_to_string(&file.path).expect("read"), "{");
    }

    #[test]
    fn a_newer_file_is_merged_into_the_keys_in_use() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(&file(&folder), false).expect("made");
        let live = Live::new(Default::default(), Keys::new(first.clone()));
        let other = tempfile::tempdir().expect("a folder");
        let second = open(&self::file(&other), false).expect("made");
        std::fs::copy(self::file(&other).path, file(&folder).path).expect("copied");
        refresh(&file(&folder).path, &live).expect("refreshed");
        assert_eq!(live.keys().keyring().active().id, second.active().id);
        assert!(live.keys().keyring().find(first.active().id).is_some());
    }
}
