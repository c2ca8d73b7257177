//! A journal as a spool: read in order from where shipping is, its segments
//! removed once they are shipped.

use std::io;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::judge::window::DISORDER_MS;
use crate::store::journal::Journal;
use crate::store::{Place, now_ms, record};

/// Most records of a batch.
pub(super) const BATCH_RECORDS: usize = 8192;
/// Most bytes of a batch, but for its last record.
const BATCH_BYTES: usize = 4 << 20;
/// How often the segment that is written is ended although it is not full, so
/// that what is shipped does not stay on this disk.
const ROLL_EVERY: Duration = Duration::from_secs(30);

/// A journal on its way to the database.
pub(super) struct Spool {
    pub(super) journal: Arc<Journal>,
    /// Behind what is shipped, and what need not be.
    place: Place,
    /// The number up to which the database says that all is shipped.
    said: u64,
    /// When the last that was shipped happened, in milliseconds since 1970.
    shipped_ms: u64,
    rolled: Instant,
}

/// A record of the spool.
pub(super) struct Record {
    pub(super) kind: u16,
    pub(super) seq: u64,
    pub(super) time_ms: u64,
    pub(super) payload: Vec<u8>,
}

/// Records that follow what is shipped.
pub(super) struct Batch {
    pub(super) records: Vec<Record>,
    /// Behind them.
    end: Place,
    /// When that is shipped, all from before this moment is, in milliseconds
    /// since 1970.
    pub(super) until_ms: u64,
    /// Whether nothing stands behind them.
    pub(super) is_last: bool,
    /// The time of the last of them; 0 where there is none.
    last_ms: u64,
}

impl Batch {
    /// Up to this number all is shipped with it.
    pub(super) fn up_to(&self) -> u64 {
        self.end.seq
    }
}

impl Spool {
    /// Behind this number.
    pub(super) fn new(journal: Arc<Journal>, shipped: u64) -> Self {
        Self {
            journal,
            place: Place::behind(shipped),
            said: shipped,
            shipped_ms: 0,
            rolled: Instant::now(),
        }
    }

    /// Up to where the database says that all is shipped.
    pub(super) fn said(&self) -> u64 {
        self.said
    }

    /// Whether it holds no record that was not shipped.
    pub(super) fn is_empty(&self) -> bool {
        self.journal.is_idle() && self.last_seq() <= self.place.seq
    }

    /// The number behind which something may wait.
    pub(super) fn shipped(&self) -> u64 {
        self.place.seq
    }

    /// Whether nothing stands in it that is to be shipped; looks into it.
    pub(super) fn holds_nothing(&self) -> io::Result<bool> {
        let batch = self.read(1)?;
        Ok(batch.records.is_empty() && batch.is_last)
    }

    fn last_seq(&self) -> u64 {
        let reader = self.journal.reader();
        let last = reader.parts().next_back();
        last.map_or(0, |part| part.last_seq())
    }

    /// Reads on, so many records at most.
    pub(super) fn read(&self, most: usize) -> io::Result<Batch> {
        let begun_ms = now_ms();
        // Asked before the reader is made: then it has all of them.
        let idle = self.journal.is_idle();
        let reader = self.journal.reader();
        let mut end = self.place;
        let (mut records, mut bytes, mut full) = (Vec::new(), 0, false);
        end.each(&reader, |head, payload| {
            if records.len() >= most || bytes >= BATCH_BYTES {
                full = true;
                return ControlFlow::Break(());
            }
            let is_shipped = matches!(
                head.kind,
                record::HIT
                    | record::EVENT
                    | record::MESSAGE
                    | record::SENT
                    | record::COUNTED
                    | record::LAST
            );
            if is_shipped {
                bytes += payload.len();
                records.push(Record {
                    kind: head.kind,
                    seq: head.seq,
                    time_ms: head.time_ms,
                    payload: payload.to_vec(),
                });
            }
            ControlFlow::Continue(())
        })?;
        // A hit is appended a moment after the time that it has.
        let last_ms = records.last().map_or(0, |record| record.time_ms);
        let known_ms = if idle && !full { begun_ms } else { last_ms };
        Ok(Batch {
            until_ms: known_ms.saturating_sub(DISORDER_MS),
            records,
            end,
            is_last: !full,
            last_ms,
        })
    }

    /// The batch is shipped, or there was nothing in it to ship; segments that
    /// hold nothing else go.
    pub(super) fn pass(&mut self, batch: &Batch) -> io::Result<()> {
        if batch.end == self.place {
            return Ok(());
        }
        self.place = batch.end;
        if batch.last_ms > 0 {
            (self.said, self.shipped_ms) = (batch.end.seq, batch.last_ms);
        }
        let closed = self.journal.closed_but_last()?;
        for part in closed.parts() {
            // One that never held any stays; it is empty, or damaged as a whole.
            if part.segment.summary.last_seq > 0 {
                if part.last_seq() > self.place.seq {
                    break;
                }
                closed.remove(part)?;
            }
        }
        closed.finish()
    }

    /// Ends the segment that is written, now and then, and begins a new one
    /// with a record that says nothing of anybody.
    pub(super) fn roll(&mut self) -> io::Result<()> {
        if self.rolled.elapsed() < ROLL_EVERY {
            return Ok(());
        }
        self.rolled = Instant::now();
        let reader = self.journal.reader();
        let last = reader.parts().next_back();
        let holds = last.is_some_and(|part| {
            let summary = part.segment.summary;
            summary.events > 0 || summary.messages > 0
        });
        if holds {
            self.journal.closed()?.finish()?;
            // It says of no hit that it is settled: that is known there.
            let mark = record::encode_settled(0);
            // Where it is refused, the next record begins the segment.
            drop(
                self.journal
                    .append(&self.journal.hub(), record::SETTLED, now_ms(), &mark),
            );
        }
        Ok(())
    }

    /// What is not shipped yet: how many records, about, and when the oldest
    /// happened, in milliseconds since 1970.
    pub(super) fn lag(&self) -> (u64, Option<u64>) {
        let behind = self.last_seq().saturating_sub(self.place.seq);
        let reader = self.journal.reader();
        let mut parts = reader.parts();
        let oldest = parts.find(|part| part.last_seq() > self.place.seq);
        let oldest = oldest.map(|part| part.segment.summary.first_ms);
        (behind, oldest.map(|first_ms| first_ms.max(self.shipped_ms)))
    }
}
