//! The data folder: locked to one process, with its key.
//!
//! ```text
//! lock                held while a process uses the folder
//! key                 32 random bytes, mode 0600
//! hits/               hits until they are settled
//! journal/            settled events, message records
//! index/              places in the journal, made from it
//! deliveries/         how far each event sink is
//! withdrawals/        who has withdrawn, as keyed hashes
//! withdrawals.count   how many have, sealed with the key
//! replica             where the journals are shipped to PostgreSQL: by whom
//! ```
//!
//! The key belongs to the folder and not to the keyring, because it must never
//! rotate: hashes made under an old key could not be matched any more, and
//! what stands in the folder is as old as the folder. It hides recipients from
//! who gets hold of the withdrawals alone, and it marks cursors as ours.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use uuid::Uuid;

use super::withdrawals;

/// Bytes of the folder's key.
const KEY_BYTES: usize = 32;
/// The key's file.
const KEY: &str = "key";
/// The file that names who ships.
const REPLICA: &str = "replica";
/// Mode of a data folder that we make.
const DIR_MODE: u32 = 0o700;

/// How long another process may still hold the lock: one in the pod before,
/// which was deleted without waiting for its end, is killed some seconds later.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);
/// From when on it is told that this is waited for.
const LOCK_TOLD_AFTER: Duration = Duration::from_millis(500);
/// How often it is tried.
const LOCK_EVERY: Duration = Duration::from_millis(10);

/// The data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// It cannot be made or written.
    #[error("data folder {} is not writable", .dir.display())]
    NotWritable {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("data folder {} cannot be read", .dir.display())]
    NotReadable {
        /// The folder.
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Its key is damaged, or missing although withdrawals were made under it.
    #[error("{} is missing or damaged: restore it, or the withdrawals beside it cannot be honoured", .0.display())]
    Key(PathBuf),
    /// It is the spool of a database, with which it is to be used.
    #[error("data folder {} is a spool of PostgreSQL, where its events and withdrawals are: give --postgres, or --data-dir of another folder", .0.display())]
    Spool(PathBuf),
    /// What ships to the database does not start.
    #[error(transparent)]
    Postgres(#[from] crate::postgres::StartError),
}

/// A data folder that is ours until this is dropped.
pub(crate) struct Folder {
    pub(crate) dir: PathBuf,
    pub(crate) key: hmac::Key,
    _lock: File,
}

impl Folder {
    /// Makes the folder where it is missing, and locks it.
    pub(super) fn open(dir: &Path) -> Result<Self, OpenError> {
        let not_writable = |source| OpenError::NotWritable {
            dir: dir.to_owned(),
            source,
        };
        DirBuilder::new()
            .recursive(true)
            .mode(DIR_MODE)
            .create(dir)
            .map_err(not_writable)?;
        let lock = private()
            .create(true)
            .truncate(false)
            .open(dir.join("lock"))
            .map_err(not_writable)?;
        try_lock(&lock, dir).map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(dir.to_owned()),
            TryLockError::Error(source) => not_writable(source),
        })?;
        let key = read_key(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            key,
            _lock: lock,
        })
    }

    /// Whether its journals are shipped to a database, or were.
    pub(crate) fn is_spool(&self) -> bool {
        self.dir.join(REPLICA).exists()
    }

    /// Under which name its journals are shipped; made the first time.
    pub(crate) fn replica(&self) -> io::Result<Uuid> {
        let said = fs::read_to_string(self.dir.join(REPLICA));
        let known = match said {
            Ok(said) => said.trim().parse().ok(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A damaged one is as good as none: what was shipped is known by its ids.
        known.map_or_else(|| self.new_replica(), Ok)
    }

    /// Gives it another name: what is in it is shipped from its beginning.
    pub(crate) fn new_replica(&self) -> io::Result<Uuid> {
        let replica = Uuid::new_v4();
        put(&self.dir, REPLICA, format!("{replica}\n").as_bytes())?;
        Ok(replica)
    }

    /// The bytes of its key.
    pub(crate) fn key_bytes(&self) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(KEY))
    }
}

/// Locks, with some patience: what holds it may be about to end, or have ended a
/// moment ago and the system be late in noticing.
fn try_lock(lock: &File, dir: &Path) -> Result<(), TryLockError> {
    let begun = Instant::now();
    let mut told = false;
    loop {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) if begun.elapsed() < LOCK_PATIENCE => {
                if !told && begun.elapsed() > LOCK_TOLD_AFTER {
                    told = true;
                    tracing::warn!(
                        data_dir = %dir.display(),
                        patience_ms = LOCK_PATIENCE.as_millis(),
                        "the data folder is in use by another process: waiting for its end"
                    );
                }
                std::thread::sleep(LOCK_EVERY);
            }
            locked => return locked,
        }
    }
}

/// The key of a folder that may be in use; none where its bytes are no key.
pub(super) fn peek_key(dir: &Path) -> io::Result<Option<hmac::Key>> {
    let mut bytes = Vec::with_capacity(KEY_BYTES);
    let file = File::open(dir.join(KEY))?;
    // One more byte than it should have shows that it is another file.
    let read = file.take(KEY_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok((read == KEY_BYTES).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
}

/// Reads the key; makes it in a folder without withdrawals.
fn read_key(dir: &Path) -> Result<hmac::Key, OpenError> {
    let path = dir.join(KEY);
    match peek_key(dir) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(OpenError::Key(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let counted = dir.join(withdrawals::COUNT).exists();
            if counted || has_files(&dir.join(withdrawals::FOLDER)) {
                return Err(OpenError::Key(path));
            }
            make_key(dir).map_err(|source| OpenError::NotWritable {
                dir: dir.to_owned(),
                source,
            })
        }
        Err(source) => Err(OpenError::NotReadable {
            dir: dir.to_owned(),
            source,
        }),
    }
}

/// Makes a new key.
fn make_key(dir: &Path) -> io::Result<hmac::Key> {
    let mut bytes = [0; KEY_BYTES];
    rand::fill(&mut bytes).map_err(|_| io::Error::other("no random bytes"))?;
    put(dir, KEY, &bytes)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// Writes a small file beside its place and moves it there when it is on the
/// disk, so that half of one is never found.
fn put(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let draft = dir.join(format!("{name}.new"));
    let mut file = private().create(true).truncate(true).open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&draft, dir.join(name))?;
    File::open(dir)?.sync_all()
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600);
    options
}

pub(super) fn has_files(dir: &Path) -> bool {
    fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}
