//! How many withdrawals are kept, in a file beside their folder: so it is
//! noticed when some of them, or all, are not there any more.
//!
//! ```text
//! count := "mtrlwdc1"  records u64  up_to u64  segment u64  tag             64 bytes
//! ```
//!
//! Integers are little-endian; `tag` is HMAC-SHA256, under the folder's key,
//! of a zero byte and all before it: no realm begins with one, so it is never
//! somebody's hash. It speaks of records that are on the disk, and is on the
//! disk before anybody is told that theirs is: it may lag behind the folder,
//! and is never ahead of it. It is written beside its place and moved there.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::hmac;

use serde::Serialize;

use crate::store::disk::{Disk, RealDisk};

/// What the file begins with.
const MAGIC: &[u8; 8] = b"mtrlwdc1";
/// Bytes before the tag.
const WORDS_END: usize = 32;
/// Bytes of the file.
const FILE_BYTES: usize = WORDS_END + 32;

/// How many withdrawals are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// So many records.
    pub(super) records: u64,
    /// Up to this number.
    pub(super) up_to: u64,
    /// In segment files up to this one.
    pub(super) segment: u64,
}

/// The file, and what it is written with.
pub(super) struct CountFile {
    pub(super) disk: Arc<dyn Disk>,
    /// The data folder.
    pub(super) dir: PathBuf,
    pub(super) key: hmac::Key,
}

/// The file is there, and nothing can be learned from it.
#[derive(Debug, thiserror::Error)]
pub(super) enum CountError {
    /// It is not as it was written, or not under this folder's key.
    #[error("it is damaged, or belongs to another data folder")]
    Damaged,
    /// The disk does not give it.
    #[error(transparent)]
    Disk(#[from] io::Error),
}

/// What a count says of the withdrawals beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Counted {
    /// There is none: nothing was ever counted.
    #[default]
    Never,
    /// All that it speaks of are there.
    All,
    /// Some are lost.
    Fewer,
    /// Nothing can be learned from it.
    Unreadable,
}

/// Looks at a data folder from outside; `records` counts the withdrawals that
/// are there up to a number, and is asked after the count was read, which may
/// lag behind them.
pub(in crate::store) fn look(
    data_dir: &Path,
    key: Option<hmac::Key>,
    records: impl FnOnce(u64) -> io::Result<u64>,
) -> io::Result<Counted> {
    let disk = Arc::new(RealDisk);
    let dir = data_dir.to_owned();
    let Some(key) = key else {
        // Without its key a count is as good as damaged.
        let found = dir.join(super::COUNT).exists();
        return Ok(if found {
            Counted::Unreadable
        } else {
            Counted::Never
        });
    };
    Ok(match (CountFile { disk, dir, key }).read() {
        Ok(None) => Counted::Never,
        Ok(Some(count)) if records(count.up_to)? < count.records => Counted::Fewer,
        Ok(Some(_)) => Counted::All,
        Err(_) => Counted::Unreadable,
    })
}

impl CountFile {
    /// What it says; none where there is no such file.
    pub(super) fn read(&self) -> Result<Option<Count>, CountError> {
        let file = match self.disk.open(&self.path()) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // One more byte than it should have shows that it is another file.
        let mut bytes = [0; FILE_BYTES + 1];
        match file.read_at(&mut bytes, 0)? {
            FILE_BYTES => {}
            _ => return Err(CountError::Damaged),
        }
        let count = self.decode(&bytes[..FILE_BYTES]);
        count.map(Some).ok_or(CountError::Damaged)
    }

    /// Has it say this; it is on the disk when this returns.
    pub(super) fn write(&self, count: Count) -> io::Result<()> {
        let draft = self.dir.join(format!("{}.new", super::COUNT));
        // One that a crash left; where there is none, that is well too.
        let _ = self.disk.remove(&draft);
        let file = self.disk.create(&draft)?;
        file.write_at(&self.encode(count), 0)?;
        file.sync()?;
        self.disk.rename(&draft, &self.path())?;
        self.disk.sync_dir(&self.dir)
    }

    /// Where it is.
    pub(super) fn path(&self) -> PathBuf {
        Path::join(&self.dir, super::COUNT)
    }

    fn encode(&self, count: Count) -> Vec<u8> {
        // Destructured, so that a new field is not forgotten.
        let Count {
            records,
            up_to,
            segment,
        } = count;
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        bytes.extend_from_slice(MAGIC);
        for word in [records, up_to, segment] {
            bytes.extend_from_slice(&word.to_le_bytes());
        }
        let tag = hmac::sign(&self.key, &tagged(&bytes));
        bytes.extend_from_slice(tag.as_ref());
        bytes
    }

    fn decode(&self, bytes: &[u8]) -> Option<Count> {
        let (said, tag) = bytes.split_at_checked(WORDS_END)?;
        hmac::verify(&self.key, &tagged(said), tag).ok()?;
        let words = said.strip_prefix(MAGIC)?;
        let word = |n: usize| {
            let bytes = words.get(8 * n..8 * n + 8)?;
            bytes.try_into().ok().map(u64::from_le_bytes)
        };
        Some(Count {
            records: word(0)?,
            up_to: word(1)?,
            segment: word(2)?,
        })
    }
}

fn tagged(said: &[u8]) -> Vec<u8> {
    [&[0], said].concat()
}
