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

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};
use std::time::Duration;

use aws_lc_rs::hmac;
use mailtrail_core::id::{Realm, Recipient};

use super::Withdrawn;
use super::disk::Disk;
use super::folder::Folder;
use super::journal::{Hub, Journal, JournalMetrics, Limits, Pending};
use super::record;

/// Most withdrawals: some 160 MB of memory. Further ones are refused.
const WITHDRAWALS_MAX: usize = 4_000_000;
/// Bytes of a hash; among the most that are kept, two are the same with a
/// chance of 1 in 10^25.
const HASH_BYTES: usize = 16;
/// Wait before a list that could not be read is read again.
const RELOAD_AFTER: Duration = Duration::from_secs(1);

type Hash = [u8; HASH_BYTES];

/// The withdrawals of a data folder; cheap to clone.
#[derive(Clone)]
pub(super) struct Withdrawals(Arc<Inner>);

struct Inner {
    journal: Journal,
    hub: Arc<Hub>,
    loaded: Arc<AtomicBool>,
    /// Whether anybody at all is on the list: most often nobody is, and then
    /// a hit needs no hash.
    any: AtomicBool,
    /// With the number of the record that says so; none where it was refused.
    list: RwLock<HashMap<Hash, Option<u64>>>,
    /// Keeps the folder ours for as long as its files are written.
    folder: Arc<Folder>,
}

/// The list, which stays as it is for as long as this lives.
pub(super) struct Held<'a> {
    inner: &'a Inner,
    list: RwLockReadGuard<'a, HashMap<Hash, Option<u64>>>,
}

impl Withdrawals {
    /// Opens the list and begins to read it.
    pub(super) fn open(
        disk: Arc<dyn Disk>,
        folder: Arc<Folder>,
        metrics: JournalMetrics,
    ) -> io::Result<Self> {
        let dir = folder.dir.join("withdrawals");
        let (journal, opened) = Journal::open(disk, &dir, Limits::default(), metrics)?;
        super::tell("withdrawals", &opened);
        if opened.damaged > 0 || opened.unreadable > 0 || opened.torn_bytes > 0 {
            // A torn tail is what a crash leaves of a withdrawal that nobody
            // was told is kept; the rest is loss.
            tracing::error!(
                damaged = opened.damaged,
                unreadable = opened.unreadable,
                torn_bytes = opened.torn_bytes,
                "withdrawals are damaged: whose are lost is recorded again; restore the folder withdrawals/ from a backup"
            );
        }
        let inner = Arc::new(Inner {
            hub: journal.hub(),
            journal,
            folder,
            loaded: Arc::default(),
            any: AtomicBool::new(false),
            list: RwLock::default(),
        });
        let (loading, loaded) = (Arc::downgrade(&inner), Arc::clone(&inner.loaded));
        std::thread::Builder::new()
            .name("withdrawals".into())
            .spawn(move || load(&loading, &loaded))?;
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

    /// Whether the list is loaded.
    pub(super) fn loaded(&self) -> bool {
        self.0.loaded.load(Ordering::SeqCst)
    }

    /// Whether a recipient is on the list of a domain.
    pub(super) fn check(&self, realm: &Realm, recipient: &Recipient) -> Withdrawn {
        if !self.loaded() {
            return Withdrawn::NotLoaded;
        }
        if !self.0.any.load(Ordering::SeqCst) {
            return Withdrawn::No;
        }
        let hash = self.0.hash(realm, recipient);
        let list = self.0.list.read().unwrap_or_else(PoisonError::into_inner);
        if list.contains_key(&hash) {
            Withdrawn::Yes
        } else {
            Withdrawn::No
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
    /// Whether a recipient is on the list of a domain.
    pub(super) fn has(&self, realm: &Realm, recipient: &Recipient) -> bool {
        !self.list.is_empty() && self.list.contains_key(&self.inner.hash(realm, recipient))
    }
}

impl Inner {
    fn hash(&self, realm: &Realm, recipient: &Recipient) -> Hash {
        let mut context = hmac::Context::with_key(&self.folder.key);
        context.update(realm.as_str().as_bytes());
        // Neither holds a control character.
        context.update(&[0]);
        context.update(recipient.as_str().as_bytes());
        let mut hash = Hash::default();
        hash.copy_from_slice(&context.sign().as_ref()[..HASH_BYTES]);
        hash
    }

    fn list_mut(&self) -> RwLockWriteGuard<'_, HashMap<Hash, Option<u64>>> {
        self.list.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> io::Result<()> {
        let reader = self.journal.reader();
        reader.each_after(0, |head, payload| {
            if head.kind == record::WITHDRAWAL
                && let Ok(hash) = Hash::try_from(payload)
            {
                // One that came meanwhile has a later number, and keeps it.
                self.list_mut().entry(hash).or_insert(Some(head.seq));
                self.any.store(true, Ordering::SeqCst);
            }
            ControlFlow::Continue(())
        })
    }
}

/// Reads the list until that succeeds or nobody wants it any more.
fn load(withdrawals: &Weak<Inner>, loaded: &AtomicBool) {
    while let Some(inner) = withdrawals.upgrade() {
        let read = inner.read();
        // Before it is said that they are loaded: from then on the folder is in
        // use no longer than the store.
        drop(inner);
        match read {
            Ok(()) => {
                loaded.store(true, Ordering::SeqCst);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "withdrawals cannot be read; nothing is recorded until they are");
            }
        }
        std::thread::sleep(RELOAD_AFTER);
    }
}
