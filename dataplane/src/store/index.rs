//! The index: where in the journal the records of a message, a recipient or a
//! domain are. It makes reading fast and nothing else: what it does not say,
//! or does not say yet, is found by reading the journal.
//!
//! # Format
//!
//! A sled database in `index/`, of one [`run::Run`] for each segment that is
//! no longer written: the sorted hashes of its records' keys with their places,
//! cut into buckets by the first bits of the hash, a sled entry per bucket.
//!
//! ```text
//! 0x00                         → format version
//! 0x01 segment u32             → salt u32, end u64, buckets u32: the run is whole
//! 0x02 segment u32 bucket u32  → (hash u64, place u32)*, sorted
//! 0x03 segment u32             → hashes of its domains, u64 each, sorted
//! 0x04 segment u32             → what happened in each hour of each domain (super::counts)
//! ```
//!
//! Hashes are SipHash-1-3 under a key made from the folder's: nothing personal
//! is in the index, so erasing a record from the journal erases it. Two keys
//! with one hash cost a reading more: who looks compares the record itself.
//!
//! The segment that is written has its run in memory. Of the newest runs so does
//! a [`sieve`], which says of most keys that the run does not have them: a
//! look-up reads a bucket only where there is something to find.
//!
//! # Why runs, and which sled
//!
//! Measured on a shared machine with 2 cores, on ext4, release builds:
//!
//! | | sled 0.34.7 | sled 1.0.0-alpha.124 |
//! |---|---|---|
//! | an entry per key (3 an event), 300,000 events | 58 µs CPU an event, 2 GiB of memory | not done in 100 s |
//! | runs, 10.4 million events in 80 segments: writing | 0.19 µs CPU an event | 0.43 µs CPU an event |
//! | looking a key up in all 80 runs | 4.25 ms | 0.09 ms |
//! | opening again | 250 ms | 70 ms |
//! | on the disk | 359 MiB | 249 MiB |
//!
//! An entry per key would cost several times the click that is indexed; runs
//! cost next to nothing. With runs, 1.0.0-alpha.124 reads faster, opens faster
//! and is smaller, and in simulated power cuts it lost nothing where 0.34.7
//! did. That it is an alpha is bearable because nothing depends on it.
//!
//! # Guarantees
//!
//! - The same question has the same answer with the index, without it, and
//!   while it is made.
//! - A run is used only for the very segment it was made from: number, salt
//!   and end agree. It is written as a whole or not at all.
//! - An index that does not open, is of another format, or whose library
//!   panics is set aside as `index.aside` and made anew in the background.
//! - One thread writes to it.

mod base;
mod keep;
mod key;
mod run;
mod sieve;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use super::counts::HourCounts;
use super::journal::{FRAMES_START, Part, Reader, Segment};
use base::Base;
use keep::Tail;

pub(super) use key::{KeyHash, KeyHasher};

/// Most spare handles: as many as questions are asked at once, mostly.
const SPARE_MAX: usize = 8;

/// The index of a journal.
pub(super) struct Index {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    hasher: KeyHasher,
    base: Mutex<Option<Base>>,
    /// Handles that nobody uses at the moment.
    spare: Mutex<Vec<Base>>,
    tail: Mutex<Option<Tail>>,
    /// Whether opening was tried.
    opened: AtomicBool,
    closing: AtomicBool,
}

/// What the index says of one segment.
pub(super) struct Found {
    /// Where records with the key are, rising.
    pub(super) places: Vec<u64>,
    /// From here on it says nothing.
    pub(super) covered: u64,
}

/// What the index counted in one segment.
pub(super) struct Counted {
    /// What happened in each hour since 1970.
    pub(super) hours: Vec<(u32, HourCounts)>,
    /// From here on it has not counted.
    pub(super) covered: u64,
}

/// Asks the index some questions in a row.
pub(super) struct Lookup<'a> {
    shared: &'a Shared,
    lent: Lent<'a>,
}

/// A handle that goes back to the spare ones: sled flushes whenever one is let
/// go, and a handle serves one thread at a time.
struct Lent<'a> {
    shared: &'a Shared,
    base: Option<Base>,
}

// === Index ===

impl Index {
    /// Starts to open, or make, the index of a data folder; `reader` gives the
    /// journal as it is at the moment.
    pub(super) fn start(
        data_dir: &Path,
        hasher: KeyHasher,
        reader: impl Fn() -> Option<Reader> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            hasher,
            base: Mutex::default(),
            spare: Mutex::default(),
            tail: Mutex::default(),
            opened: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let (keeper, dir) = (Arc::clone(&shared), data_dir.join("index"));
        let thread = std::thread::Builder::new()
            .name("index".into())
            .spawn(move || keeper.run(&dir, &reader))?;
        Ok(Self {
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Makes hashes for the questions.
    pub(super) fn hasher(&self) -> KeyHasher {
        self.shared.hasher
    }

    /// Whether it is open, or cannot be opened.
    pub(super) fn is_opened(&self) -> bool {
        self.shared.opened.load(Ordering::SeqCst)
    }

    /// A handle for some questions in a row.
    pub(super) fn lookup(&self) -> Lookup<'_> {
        Lookup {
            shared: &self.shared,
            lent: self.shared.lend(),
        }
    }

    /// Loses what it knows of all segments but the one that is written.
    #[cfg(test)]
    pub(super) fn lose(&self) {
        self.shared.forget();
    }

    /// How many bytes of the journal it says nothing about yet.
    pub(super) fn behind_bytes(&self, reader: &Reader) -> u64 {
        let lent = self.shared.lend();
        let tail = self.shared.tail();
        let covered = |segment: &Segment| match tail.as_ref().filter(|tail| tail.is_of(segment)) {
            Some(tail) => tail.end,
            None if lent.ask(|base| base.knows(segment)) == Some(true) => segment.summary.end,
            None => FRAMES_START,
        };
        let behind = |part: Part<'_>| {
            part.segment
                .summary
                .end
                .saturating_sub(covered(part.segment))
        };
        reader.parts().map(behind).sum()
    }

    /// Whether every segment but the one that is written has its run.
    #[cfg(test)]
    pub(super) fn is_caught_up(&self, reader: &Reader) -> bool {
        let mut parts: Vec<_> = reader.parts().collect();
        parts.pop();
        let known = |base: &Base| parts.iter().all(|part| base.knows(part.segment));
        self.shared.lend().ask(known) == Some(true)
    }
}

// === Lookup ===

impl Lookup<'_> {
    /// Makes hashes for the questions.
    pub(super) fn hasher(&self) -> KeyHasher {
        self.shared.hasher
    }

    /// Where in a segment the records with this key are; none where the index
    /// does not know the segment.
    pub(super) fn find(&self, segment: &Segment, key: KeyHash) -> Option<Found> {
        let tail = self.shared.tail();
        if let Some(tail) = tail.as_ref().filter(|tail| tail.is_of(segment)) {
            return Some(Found {
                places: tail.builder.places(key),
                covered: tail.end,
            });
        }
        drop(tail);
        let places = |base: &Base| base.places(segment, key);
        Some(Found {
            places: self.lent.ask(places)??,
            covered: segment.summary.end,
        })
    }

    /// What happened in a segment in the hours of a domain; none where the
    /// index does not know the segment.
    pub(super) fn counts(&self, segment: &Segment, domain: KeyHash) -> Option<Counted> {
        let tail = self.shared.tail();
        if let Some(tail) = tail.as_ref().filter(|tail| tail.is_of(segment)) {
            return Some(Counted {
                hours: tail.builder.counts(domain),
                covered: tail.end,
            });
        }
        drop(tail);
        let counts = |base: &Base| base.counts(segment, domain);
        Some(Counted {
            hours: self.lent.ask(counts)??,
            covered: segment.summary.end,
        })
    }

    /// Whether a segment may hold events of this domain.
    pub(super) fn may_hold(&self, segment: &Segment, domain: KeyHash) -> bool {
        let holds = |base: &Base| base.holds_domain(segment, domain);
        self.lent.ask(holds).flatten().unwrap_or(true)
    }
}

// === Lent ===

impl Lent<'_> {
    fn ask<T>(&self, ask: impl FnOnce(&Base) -> T) -> Option<T> {
        self.shared.ask(self.base.as_ref(), ask)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(base) = self.base.take() {
            self.shared.take_back(base);
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(thread) = thread.take() {
            thread.thread().unpark();
            // What it could not do, the next one does.
            let _ = thread.join();
        }
    }
}

// === Shared ===

impl Shared {
    /// A handle of one's own, so that writing a run holds nobody up.
    fn lend(&self) -> Lent<'_> {
        let base = self.base().as_ref().map(|base| {
            let spare = self.spare().pop();
            spare
                .filter(|spare| spare.is_of(base))
                .unwrap_or_else(|| base.clone())
        });
        Lent { shared: self, base }
    }

    /// Takes a handle back, as long as it is of the database in use.
    fn take_back(&self, handle: Base) {
        let in_use = self.base().as_ref().is_some_and(|base| handle.is_of(base));
        let mut spare = self.spare();
        if in_use && spare.len() < SPARE_MAX {
            spare.push(handle);
        }
        // Else it is let go, after the lock.
        drop(spare);
    }

    /// Lets the database go.
    fn forget(&self) {
        *self.base() = None;
        self.spare().clear();
    }

    fn spare(&self) -> MutexGuard<'_, Vec<Base>> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks a handle; a database whose library panics is not asked again.
    fn ask<T>(&self, base: Option<&Base>, ask: impl FnOnce(&Base) -> T) -> Option<T> {
        let ask = std::panic::AssertUnwindSafe(|| base.map(ask));
        let answer = std::panic::catch_unwind(ask);
        answer.unwrap_or_else(|_| {
            tracing::error!("index: failed, reading goes on without it");
            self.forget();
            None
        })
    }

    fn base(&self) -> MutexGuard<'_, Option<Base>> {
        self.base.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tail(&self) -> MutexGuard<'_, Option<Tail>> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
