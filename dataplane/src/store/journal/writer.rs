//! The one thread that writes: takes what is queued, writes it, syncs it,
//! says so.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::frame::{FOOTER_BYTES, FrameHead, Header};
use super::queue::{Batch, Patience, Taken};
use super::segment::Tail;
use super::{Kept, Limits, Shared};
use crate::store::disk::Disk;

/// Longest time that records are let gather before a sync.
const LINGER_MAX: Duration = Duration::from_millis(2);
/// After so long without a batch, the next record is written at once.
const IDLE_AFTER: Duration = Duration::from_millis(10);
/// A settled waiter that was not woken by its neighbours in this time is
/// woken by the writer.
const STRAGGLER_PATIENCE: Duration = Duration::from_millis(5);
/// First wait after the disk refused a batch twice.
const RETRY_FIRST: Duration = Duration::from_millis(10);
/// Longest wait between attempts to write again.
const RETRY_MAX: Duration = Duration::from_secs(1);

/// What the writing thread has.
pub(super) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    limits: Limits,
    next_number: u64,
    /// The last number that is on the disk.
    last_seq: u64,
    tail: Option<Tail>,
    pace: Pace,
    sweep: Sweep,
    spare: Batch,
}

/// How long records may gather.
struct Pace {
    last_records: usize,
    last_end: Instant,
    sync: Duration,
}

/// When stragglers were last looked for.
struct Sweep {
    at: Instant,
    settled: u64,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        disk: Arc<dyn Disk>,
        dir: PathBuf,
        (limits, last_seq): (Limits, u64),
    ) -> Self {
        let now = Instant::now();
        let segments = shared.segments().clone();
        Self {
            next_number: segments.iter().map(|s| s.number + 1).max().unwrap_or(1),
            last_seq,
            shared,
            disk,
            dir,
            limits,
            tail: None,
            pace: Pace {
                last_records: 1,
                last_end: now,
                sync: Duration::ZERO,
            },
            sweep: Sweep {
                at: now,
                settled: 0,
            },
            spare: Batch::default(),
        }
    }

    /// Writes until the queue is closed and empty.
    pub(super) fn run(mut self) {
        let last = LastWords(Arc::clone(&self.shared));
        loop {
            let stragglers = self.shared.progress.has_stragglers();
            match self
                .shared
                .queue
                .wait(stragglers.then_some(STRAGGLER_PATIENCE))
            {
                Taken::Some => self.turn(),
                Taken::None => self.shared.progress.sweep(u64::MAX),
                Taken::Seal => {}
                Taken::Closed => break,
            }
            self.seal_when_asked();
        }
        if let Some(tail) = self.tail.take() {
            self.retire(tail, true);
        }
        drop(last);
    }

    /// Takes a batch and keeps it, or says that it is not kept.
    fn turn(&mut self) {
        let now = Instant::now();
        let spare = std::mem::take(&mut self.spare);
        let patience = self.pace.patience(now);
        let mut batch = self.shared.queue.gather(patience, spare);
        self.shared.metrics.queued.set(batch.records as i64);
        let kept = self.write(&mut batch).or_else(|error| {
            let bytes = batch.frames.len();
            tracing::warn!(%error, bytes, records = batch.records, "journal: a batch was refused, trying a new segment");
            self.write(&mut batch)
        });
        match kept {
            Ok(()) => self.kept(batch),
            Err(error) => self.refused(batch, &error),
        }
        let waiting = self.shared.queue.len();
        self.shared.metrics.queued.set(waiting as i64);
    }

    /// Writes and syncs a batch; after an error its segment is given up.
    fn write(&mut self, batch: &mut Batch) -> io::Result<()> {
        let first = FrameHead::decode(&batch.frames).map_or(0, |head| head.seq);
        self.roll_when_full();
        let mut tail = match self.tail.take() {
            Some(tail) => tail,
            None => self.create(first)?,
        };
        let begun = Instant::now();
        let ahead = batch.frames.len() as u64 + self.limits.fill_bytes + FOOTER_BYTES as u64;
        let others = self.shared.bytes_without(Some(tail.segment.number));
        let bytes = others + tail.segment.summary.end + ahead;
        let written = if bytes > self.limits.total_bytes {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            tail.append(&mut batch.frames)
        };
        if let Err(error) = written {
            self.retire(tail, false);
            return Err(error);
        }
        let took = begun.elapsed();
        self.pace.synced(batch.records, took);
        self.shared.metrics.sync_seconds.observe(took.as_secs_f64());
        self.shared.update_tail(&tail.segment);
        self.last_seq = batch.last_seq;
        self.tail = Some(tail);
        Ok(())
    }

    fn kept(&mut self, mut batch: Batch) {
        if let (Some(on_kept), Some(tail)) = (self.shared.on_kept.get(), &self.tail) {
            on_kept(Kept {
                records: batch.records as u64,
                last_seq: batch.last_seq,
                segment: tail.segment.number,
            });
        }
        self.shared.progress.settle(batch.last_seq);
        self.shared.metrics.records.inc_by(batch.records as u64);
        self.look_for_stragglers(batch.last_seq);
        batch.frames.clear();
        batch.records = 0;
        self.spare = batch;
    }

    /// Gives a batch and all that waits behind it up, and waits until the disk
    /// takes something again. Meanwhile the queue refuses at once.
    fn refused(&mut self, batch: Batch, error: &io::Error) {
        tracing::error!(%error, "journal: nothing can be kept until the disk takes it again");
        let behind = self.shared.queue.fail();
        let settled = batch.last_seq.max(behind.last_seq);
        for lost in [batch, behind] {
            self.shared.lose(&lost);
        }
        self.shared.progress.settle(settled);
        let mut delay = RETRY_FIRST;
        loop {
            if self.shared.queue.sleep(delay) {
                return;
            }
            self.seal_when_asked();
            let base = self.shared.queue.next_seq();
            match self.create(base) {
                Ok(tail) => {
                    self.tail = Some(tail);
                    tracing::info!("journal: recording again");
                    self.shared.queue.resume();
                    return;
                }
                Err(_) => delay = (delay * 2).min(RETRY_MAX),
            }
        }
    }

    /// Ends the segment that is written where somebody wants to rewrite it.
    fn seal_when_asked(&mut self) {
        if let Some(up_to) = self.shared.queue.seal_asked() {
            if let Some(tail) = self.tail.take() {
                self.retire(tail, true);
            }
            self.shared.queue.sealed(up_to);
        }
    }

    fn roll_when_full(&mut self) {
        let full = |tail: &Tail| tail.segment.summary.end >= self.limits.segment_bytes;
        if self.tail.as_ref().is_some_and(full)
            && let Some(tail) = self.tail.take()
        {
            self.retire(tail, true);
        }
    }

    fn create(&mut self, base: u64) -> io::Result<Tail> {
        let others = self.shared.bytes_without(None);
        if others.saturating_add(self.limits.fill_bytes) > self.limits.total_bytes {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let skipped = self.shared.files_up_to.load(Ordering::SeqCst);
        let number = self.next_number.max(skipped.saturating_add(1));
        // A number is used once: a file that could not be removed may have it.
        self.next_number = number + 1;
        let header = Header {
            base,
            follows: self.last_seq,
            salt: uuid::Uuid::new_v4().as_u128() as u32,
        };
        let tail = Tail::create(
            &*self.disk,
            &self.dir,
            number,
            header,
            self.limits.fill_bytes,
        )?;
        self.shared.push_tail(&tail.segment);
        Ok(tail)
    }

    /// Ends a segment: sealed when it is sound, cut when the disk refused
    /// something; removed when nothing is in it.
    fn retire(&mut self, tail: Tail, sound: bool) {
        if tail.segment.summary.records() == 0 {
            let removed = self.disk.remove(&tail.segment.path);
            let is_gone = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
            if removed.as_ref().map_or_else(is_gone, |()| true) {
                self.shared.remove(tail.segment.number);
                return;
            }
        }
        let segment = if sound {
            let (segment, sealed) = tail.seal();
            if let Err(error) = sealed {
                tracing::warn!(%error, "journal: a segment could not be sealed");
            }
            segment
        } else {
            tail.give_up()
        };
        self.shared.update_tail(&segment);
    }

    fn look_for_stragglers(&mut self, settled: u64) {
        let now = Instant::now();
        if now.duration_since(self.sweep.at) >= STRAGGLER_PATIENCE {
            self.shared.progress.sweep(self.sweep.settled);
            self.sweep = Sweep { at: now, settled };
        }
    }
}

impl Pace {
    /// Without bells one record is worth writing when it is quiet, else as
    /// many as came last time, and they are waited for as long as a sync takes.
    fn patience(&self, now: Instant) -> Patience {
        Patience {
            enough: match now.duration_since(self.last_end) > IDLE_AFTER {
                true => 1,
                false => self.last_records.max(1),
            },
            linger: self.sync.min(LINGER_MAX),
            bells: LINGER_MAX,
        }
    }

    fn synced(&mut self, records: usize, took: Duration) {
        self.last_records = records;
        self.last_end = Instant::now();
        self.sync = (self.sync * 3 + took) / 4;
    }
}

/// However the thread ends, nobody waits for it afterwards.
struct LastWords(Arc<Shared>);

impl Drop for LastWords {
    fn drop(&mut self) {
        let shared = &self.0;
        let closed = shared.queue.close();
        // Empty unless the thread panicked.
        shared.lose(&shared.queue.fail());
        if std::thread::panicking() {
            shared.progress.lose_unsettled(closed);
        }
        shared.progress.settle(closed);
        // Nobody writes any more.
        shared.queue.sealed(u64::MAX);
    }
}
