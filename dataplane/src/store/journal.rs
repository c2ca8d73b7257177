//! The journal: what happened, in order, on the disk before anybody says so.
//! It is the truth; everything else that is stored can be made from it.
//!
//! # Format
//!
//! A folder of segment files `<number>.journal`, ten digits, written one after
//! the other. All integers are little-endian.
//!
//! ```text
//! segment := header header frame* (zeros | footer)
//! header  := "mtrljrn1"  base u64  follows u64  salt u32  crc u32              32 bytes
//! frame   := crc u32  len u32  seq u64  time u48  kind u16  payload            24 + len bytes
//! footer  := "mtrlend1"  base end first_seq last_seq first_ms last_ms
//!            events messages others damaged (u64 each)
//!            salt u32  follows u64  crc u32                                    104 bytes
//! ```
//!
//! `crc` is CRC-32C: over the bytes before it in header and footer, over the
//! bytes behind it in a frame. A frame's begins with the segment's random
//! salt, so that neither old blocks of the disk nor a payload made to look
//! like a frame is taken for one. `seq` counts records from 1 on over all
//! segments; it rises and may jump. `time` is the record's, in milliseconds
//! since 1970. What `kind` and payload say is [`super::record`]'s.
//!
//! `follows` is the last number that was on the disk when the segment was
//! begun; 0 where there was none, or nobody wrote it down. Where the segments
//! before end earlier, what lies between was there and is [`missing`].
//!
//! The segment that is written is filled with zeros ahead of the records and
//! has no footer. When it is full, or the journal is closed, it is cut behind
//! its last frame and sealed with one.
//!
//! # Guarantees
//!
//! - A record is acknowledged when the sync of the batch that holds it has
//!   returned, and the syncs of its file's name and length before.
//! - Order is kept: a record is on the disk only with all that were
//!   acknowledged before it.
//! - An acknowledged record is read again after every end of the process or
//!   the machine, once; what damage took is said and counted.
//! - What was refused ([`NotKept`]) is not read again, but for one case: the
//!   process ended in an outage, before it could write that those are void.
//! - What a rewriting takes away ([`rewrite`]) is not in the folder any more
//!   when it has returned; what it leaves is read as before, with its numbers.
//! - Nothing waits for the disk but who awaits a [`Pending`] or reads. The
//!   queue is bounded and refuses at its bound, at once.
//!
//! # What survives what
//!
//! | | acknowledged | queued |
//! |---|---|---|
//! | SIGKILL, panic, `abort` | yes | as far as written |
//! | power cut, kernel panic | yes | as far as the disk had it |
//! | disk full, read-only, failing | yes | refused and counted, from the second failure on; recording resumes by itself |
//! | a failed sync | yes | written again, to a new segment |
//! | damage to one frame | all but this one | – |
//! | damage to both headers of an unsealed segment | all but this segment | – |
//! | damage to a footer | yes, after a full read | – |
//! | a kill, a power cut or a refusing disk while a segment is rewritten | all; the segment is the old one or the new one | as above |
//!
//! # Assumptions
//!
//! Those of [`super::disk`]: a sync that returned tells the truth, and what
//! it wrote stays. One process writes ([`super::Store::open`] locks the
//! folder). The system's pages may differ from the disk after a failed sync,
//! so such a file is never synced again: its acknowledged part stays as it
//! is, and the next segment's `base` says that what may follow it is void.
//!
//! # Flow
//!
//! Producers frame records into one buffer under one short lock ([`queue`]).
//! The writer ([`writer`]) takes the buffer whole: when every runtime that has
//! a bell has rung it, or holds it for 2 ms; of those without one at once when
//! it was quiet, otherwise when as many wait as last time, or about one sync's
//! time (2 ms at most) is over. It puts in the checksums, writes, syncs, and says how far
//! the journal is ([`progress`]), with one wake-up per runtime and batch.

mod frame;
mod hub;
mod metrics;
mod missing;
mod pending;
mod progress;
mod queue;
mod read;
mod rewrite;
mod scan;
mod segment;
mod shared;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::thread::JoinHandle;

use crate::store::disk::Disk;

pub(crate) use frame::FRAMES_START;
pub(crate) use frame::FrameHead;
pub use hub::Hub;
pub use metrics::JournalMetrics;
pub use missing::Missing;
pub use pending::Pending;
pub use progress::NotKept;
pub(crate) use read::{Part, Reader};
pub(crate) use rewrite::{Closed, Removed};
pub(crate) use segment::Segment;

use shared::Shared;

/// Segments this long are sealed, in bytes: reading one whole takes some
/// 20 ms, and 10 million events are some 80 files.
const SEGMENT_BYTES: u64 = 32 * 1024 * 1024;

/// Filled ahead, in bytes. Syncing what overwrites written blocks spares the
/// file system its own journal: on ext4 it took half the time of syncing what
/// lengthens the file.
const FILL_BYTES: u64 = 1024 * 1024;
/// Numbers that are left out when a segment cannot be read: more than one can
/// hold, so that none of its numbers is given a second time.
const SEQ_SKIP: u64 = 1 << 32;

/// How much is written.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// A segment is sealed when it is this long, in bytes.
    pub segment_bytes: u64,
    /// All segments together, in bytes; above it the disk counts as full.
    pub total_bytes: u64,
    /// So far ahead of the records a segment is filled with zeros, in bytes.
    pub fill_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES,
            total_bytes: u64::MAX,
            fill_bytes: FILL_BYTES,
        }
    }
}

/// An open journal.
pub struct Journal {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    /// Files of segments that could not be read when it was opened.
    unreadable: Vec<PathBuf>,
    /// Held while segments are rewritten or removed.
    rewriting: Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Opened {
    /// Segment files.
    pub segments: usize,
    /// Records in them.
    pub records: u64,
    /// Segments without a footer, which were read whole.
    pub scanned: usize,
    /// Damaged stretches, in all segments, that were passed over.
    pub damaged: u64,
    /// Bytes behind the last records that were no record: what was being
    /// written when the process ended.
    pub torn_bytes: u64,
    /// Segment files that could not be read at all, or have lost both headers.
    pub unreadable: usize,
    /// Records that were on the disk before some that still are, and are in no
    /// segment: a file is missing, empty, cut or unreadable.
    pub missing: Vec<Missing>,
    /// The last number that is on the disk.
    pub last_seq: u64,
    /// The number that the next record gets. No number that was given before
    /// is given again, whatever was damaged: cursors stay true.
    pub next_seq: u64,
}

/// A batch that is on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kept {
    /// How many records.
    pub(crate) records: u64,
    /// The number of the last.
    pub(crate) last_seq: u64,
    /// The number of the segment file it stands in.
    pub(crate) segment: u64,
}

/// What is done with a batch before anybody is told that it is kept.
type OnKept = Box<dyn Fn(Kept) + Send + Sync>;

impl Journal {
    /// Opens a folder, which is made when missing, and starts the writer.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        limits: Limits,
        metrics: JournalMetrics,
    ) -> io::Result<(Self, Opened)> {
        disk.make_dir(dir)?;
        rewrite::remove_drafts(&*disk, dir);
        let (segments, opened, unreadable) = read::open_segments(&*disk, dir, true)?;
        metrics.damaged.inc_by(opened.damaged);
        let next_seq = opened.next_seq;
        let shared = Arc::new(Shared {
            queue: queue::Queue::new(next_seq),
            progress: Arc::new(progress::Progress::new(next_seq - 1)),
            segments: RwLock::new(segments),
            files_up_to: AtomicU64::new(0),
            on_kept: OnceLock::new(),
            metrics,
        });
        shared.measure();
        let writer = writer::Writer::new(
            Arc::clone(&shared),
            Arc::clone(&disk),
            dir.to_owned(),
            (limits, opened.last_seq),
        );
        let thread = std::thread::Builder::new()
            .name("journal".into())
            .spawn(move || writer.run())?;
        let journal = Self {
            shared,
            disk,
            dir: dir.to_owned(),
            unreadable,
            rewriting: Mutex::default(),
            thread: Mutex::new(Some(thread)),
        };
        Ok((journal, opened))
    }

    /// Gives no number up to this one to any record from now on. Call it
    /// before anything is appended: they were given to records that the disk
    /// has lost, and others know them.
    pub(crate) fn skip_to(&self, seq: u64) {
        self.shared.queue.skip_to(seq);
        self.shared.progress.settle(seq);
    }

    /// Makes no segment file with a number up to this one. Call it before
    /// anything is appended: there were such files, and they may come back.
    pub(crate) fn skip_files_to(&self, number: u64) {
        self.shared.files_up_to.store(number, Ordering::SeqCst);
    }

    /// Does this with every batch that is on the disk, before anybody is told;
    /// the writer waits for it. Call it once, before anything is appended.
    pub(crate) fn on_kept(&self, what: impl Fn(Kept) + Send + Sync + 'static) {
        // A second one would not be called.
        let _ = self.shared.on_kept.set(Box::new(what));
    }

    /// Whether every record that was appended is on the disk, or lost.
    pub(crate) fn is_idle(&self) -> bool {
        self.shared
            .progress
            .reaches(self.shared.queue.next_seq() - 1)
    }

    /// Makes a hub for the waiters of one runtime.
    pub fn hub(&self) -> Arc<Hub> {
        self.shared.progress.hub(None)
    }

    /// The same, where [`Journal::ring`] says when all that is at hand was
    /// handed in: until then it may wait.
    pub fn hub_with_bell(&self) -> Arc<Hub> {
        self.shared.progress.hub(Some(queue::Bell::default()))
    }

    /// What was handed in through this hub is to be written now.
    pub fn ring(&self, hub: &Hub) {
        if let Some(bell) = &hub.bell {
            self.shared.queue.ring(bell);
        }
    }

    /// Queues a record. Refused, and counted, where the queue is full or the
    /// disk takes nothing.
    pub(crate) fn append(
        &self,
        hub: &Arc<Hub>,
        kind: u16,
        time_ms: u64,
        payload: &[u8],
    ) -> Pending {
        let bell = hub.bell.as_ref();
        match self.shared.queue.push(kind, time_ms, payload, bell) {
            Some(seq) => hub.pending(seq),
            None => {
                self.shared.count_not_kept(kind);
                Pending::known(Err(NotKept))
            }
        }
    }

    /// Counts a record as not kept that could not even be written down.
    pub(crate) fn refuse(&self, kind: u16) -> Pending {
        self.shared.count_not_kept(kind);
        Pending::known(Err(NotKept))
    }

    /// Takes nothing more. Ready when what is queued is kept, or is not, and
    /// the last segment is sealed.
    pub fn close(&self, hub: &Arc<Hub>) -> Pending {
        hub.pending(self.shared.queue.close())
    }

    /// Whether a record was lost; none when that is not known yet.
    pub(crate) fn is_lost(&self, seq: u64) -> Option<bool> {
        self.shared.progress.is_lost(seq)
    }

    /// How many records wait to be written.
    pub fn queued(&self) -> usize {
        self.shared.queue.len()
    }

    /// Reads what is on the disk at this moment.
    pub(crate) fn reader(&self) -> Reader {
        // In this order: no number that is read is at or behind it.
        let segments = self.shared.segments().clone();
        let next_seq = self.shared.queue.next_seq();
        Reader::new(
            Arc::clone(&self.disk),
            segments,
            next_seq,
            self.shared.metrics.damaged.clone(),
        )
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.queue.close();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // A writer that panicked has said so, and its waiters are told.
            let _ = thread.join();
        }
    }
}
