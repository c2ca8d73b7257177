//! Who has withdrawn: a journal of its own, of keyed hashes, held in memory.
//!
//! A record's payload is the first 16 bytes of HMAC-SHA256, under the folder's
//! key, of `realm 0x00 recipient`; who reads the file learns nobody's name.
//! The list is read in the background when the store opens: until then nobody
//! can be told to be on it or not. It is a journal of its own because it is
//! small and read whole, while the other is large and never is.
//!
//! A withdrawal counts from the moment it is asked for, even where it cannot
//! be kept: then its answer says so, and it ends with the process.
//!
//! # Where some are lost
//!
//! A [`count`] beside the folder says how many records there are up to which
//! number; it is written before anybody is told that theirs is kept. Where the
//! folder has fewer, by damage, a file or the whole folder that is gone, or a
//! count that cannot be read, nobody knows who else has withdrawn. Then nothing
//! is recorded of anybody who is named ([`Withdrawn::Incomplete`]), until the
//! folder is restored or the count is removed, which says to go on with what is
//! left. Withdrawals are kept meanwhile too, in files and under numbers of which
//! a restored folder has none. A folder without a count gets one.

mod count;
mod load;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{
    Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
};

use aws_lc_rs::hmac;
use mailtrail_core::id::{Realm, Recipient};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Withdrawn;
use super::disk::Disk;
use super::folder::Folder;
use super::journal::{Hub, Journal, JournalMetrics, Kept, Limits, Pending, Reader};
use super::record;
use count::{Count, CountFile};
use load::{Found, load};

pub use count::Counted;
pub(super) use count::look;

/// The list's folder in the data folder.
pub(super) const FOLDER: &str = "withdrawals";
/// The file beside it that says how many there are.
pub(super) const COUNT: &str = "withdrawals.count";

/// Most withdrawals: some 160 MB of memory. Further ones are refused.
pub(crate) const WITHDRAWALS_MAX: usize = 4_000_000;
/// Bytes of a hash; among the most that are kept, two are the same with a
/// chance of 1 in 10^25.
const HASH_BYTES: usize = 16;

pub(crate) type Hash = [u8; HASH_BYTES];

/// The withdrawals of a data folder; cheap to clone.
#[derive(Clone)]
pub(super) struct Withdrawals(Arc<Inner>);

struct Inner {
    journal: Journal,
    hub: Arc<Hub>,
    known: Arc<OnceLock<Known>>,
    counting: Arc<Counting>,
    /// Whether anybody at all is on the list: most often nobody is, and then
    /// a hit needs no hash.
    any: AtomicBool,
    /// With the number of the record that says so; none where it was refused.
    list: RwLock<HashMap<Hash, Option<u64>>>,
    /// 1 where some are lost.
    incomplete: Gauge,
    /// Keeps the folder ours for as long as its files are written.
    folder: Arc<Folder>,
}

/// What is known of the list once it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    /// All who have withdrawn.
    Whole,
    /// Some are lost.
    Incomplete,
}

/// Keeps the count true while withdrawals are kept.
struct Counting {
    file: CountFile,
    /// What is counted; none while the list is read, or where some are lost:
    /// then the file stays as it is.
    count: Mutex<Option<Count>>,
}

/// The list, which stays as it is for as long as this lives.
pub(super) struct Held<'a> {
    inner: &'a Inner,
    list: RwLockReadGuard<'a, HashMap<Hash, Option<u64>>>,
}

impl Withdrawals {
    /// Opens the list and begins to read it. The gauge is 1 where some are lost.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: Arc<Folder>,
        metrics: JournalMetrics,
        incomplete: Gauge,
    ) -> io::Result<Self> {
        let dir = folder.dir.join(FOLDER);
        let file = CountFile {
            disk: Arc::clone(&disk),
            dir: folder.dir.clone(),
            key: folder.key.clone(),
        };
        let count = file.read();
        let (journal, opened) = Journal::open(disk, &dir, Limits::default(), metrics)?;
        let counting = Arc::new(Counting {
            file,
            count: Mutex::default(),
        });
        if let Ok(Some(count)) = &count {
            // Where records are lost, none gets the number of one, nor a file
            // that may be restored.
            journal.skip_to(count.up_to);
            journal.skip_files_to(count.segment);
        }
        let counted = Arc::clone(&counting);
        journal.on_kept(move |kept| counted.kept(kept));
        let inner = Arc::new(Inner {
            hub: journal.hub(),
            journal,
            folder,
            known: Arc::default(),
            counting,
            any: AtomicBool::new(false),
            list: RwLock::default(),
            incomplete,
        });
        let (loading, known) = (Arc::downgrade(&inner), Arc::clone(&inner.known));
        let found = Found { opened, count };
        std::thread::Builder::new()
            .name("withdrawals".into())
            .spawn(move || load(&loading, &known, &found))?;
        Ok(Self(inner))
    }

    /// Puts a recipient on the list of a domain, at a time in milliseconds
    /// since 1970.
    pub(super) fn add(&self, realm: &Realm, recipient: &Recipient, time_ms: u64) -> Pending {
        let hash = self.0.hash(realm, recipient);
        let mut list = self.0.list_mut();
        if let Some(&Some(seq)) = list.get(&hash)
            && self.0.journal.is_lost(seq) != Some(true)
        {
            return self.0.hub.pending(seq);
        }
        if list.len() >= WITHDRAWALS_MAX && !list.contains_key(&hash) {
            return self.0.journal.refuse(record::WITHDRAWAL);
        }
        let pending = self
            .0
            .journal
            .append(&self.0.hub, record::WITHDRAWAL, time_ms, &hash);
        list.insert(hash, pending.seq());
        self.0.any.store(true, Ordering::SeqCst);
        pending
    }

    /// Whether the list is loaded, as far as it is there.
    pub(super) fn loaded(&self) -> bool {
        self.0.known.get().is_some()
    }

    /// Whether a recipient is on the list of a domain.
    pub(super) fn check(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        let not_listed = match self.0.known.get() {
            None => return Withdrawn::NotLoaded,
            Some(Known::Incomplete) => Withdrawn::Incomplete,
            Some(Known::Whole) => Withdrawn::No,
        };
        if !self.0.any.load(Ordering::SeqCst) {
            return not_listed;
        }
        let hash = self.0.hash(realm, recipient);
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.contains_key(&hash) {
            Withdrawn::Yes
        } else {
            not_listed
        }
    }

    /// Holds the list still. What is appended before this is dropped is
    /// appended before anybody else is on the list: who withdraws a recipient
    /// and then looks at what is kept finds all there is of theirs.
    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            inner: &self.0,
            list: self.0.list.read().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// Keeps what is queued; nothing is accepted afterwards.
    pub(super) fn close(&self) -> Pending {
        self.0.journal.close(&self.0.hub)
    }
}

impl Held<'_> {
    /// Whether nothing of a recipient may be kept: they are on the list of the
    /// domain, or may be among those that are lost.
    pub(super) fn bars(&self, realm: &Realm, recipient: &Recipient) -> bool {
        self.is_incomplete()
            || (!self.list.is_empty() && self.list.contains_key(&self.inner.hash(realm, recipient)))
    }

    /// Whether some that were on the list are lost.
    pub(super) fn is_incomplete(&self) -> bool {
        self.inner.known.get() == Some(&Known::Incomplete)
    }
}

/// What stands on the list for a recipient of a domain.
pub(crate) fn hash(key: &hmac::Key, realm: &str, recipient: &str) -> Hash {
    let mut context = hmac::Context::with_key(key);
    context.update(realm.as_bytes());
    // Neither holds a control character.
    context.update(&[0]);
    context.update(recipient.as_bytes());
    let mut hash = Hash::default();
    hash.copy_from_slice(&context.sign().as_ref()[..HASH_BYTES]);
    hash
}

/// The withdrawals that a folder holds, to be taken elsewhere; damaged ones are
/// left out, and counted.
pub(crate) fn read_all(disk: Arc<dyn Disk>, folder: &Path) -> io::Result<(Vec<Hash>, usize)> {
    let dir = folder.join(FOLDER);
    if !super::folder::has_files(&dir) {
        return Ok((Vec::new(), 0));
    }
    let (reader, opened) = Reader::open(disk, &dir, Counter::default())?;
    let mut hashes = Vec::new();
    reader.each_after(0, |head, payload| {
        if head.kind == record::WITHDRAWAL {
            hashes.extend(Hash::try_from(payload));
        }
        std::ops::ControlFlow::Continue(())
    })?;
    Ok((
        hashes,
        opened.unreadable + usize::try_from(opened.damaged).unwrap_or(usize::MAX),
    ))
}

impl Inner {
    fn hash(&self, realm: &Realm, recipient: &Recipient) -> Hash {
        hash(&self.folder.key, realm.as_str(), recipient.as_str())
    }

    fn list_mut(&self) -> RwLockWriteGuard<'_, HashMap<Hash, Option<u64>>> {
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }
}

// === Counting ===

impl Counting {
    /// Counts a batch, before anybody is told that it is kept.
    fn kept(&self, kept: Kept) {
        if let Some(count) = &mut *self.lock()
            && kept.last_seq > count.up_to
        {
            *count = Count {
                records: count.records + kept.records,
                up_to: kept.last_seq,
                segment: kept.segment,
            };
            self.write(*count);
        }
    }

    /// Writes the count. Where the disk refuses that, the withdrawals are kept
    /// all the same; the next one, or the next start, writes it.
    fn write(&self, count: Count) {
        if let Err(error) = self.file.write(count) {
            tracing::warn!(%error, "withdrawals: their count could not be written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Count>> {
        // It is replaced whole.
        self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
