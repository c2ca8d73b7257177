//! Where records wait for the writer: framed already, in one buffer under one
//! short lock.
//!
//! Waking the writer costs two changes of threads, and what it does then a
//! sync. So a runtime that has many requests at hand does not wake it for the
//! first: it hands in all it has and rings its [`Bell`] once. The writer waits
//! for every bell that is to ring, a bounded time.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::frame::{self, FRAME_HEAD_BYTES, PAYLOAD_MAX_BYTES};

/// Most records that wait: at 200,000 events a second, a third of a second.
pub(super) const QUEUE_MAX_RECORDS: usize = 64 * 1024;
/// Most bytes that wait: the above at 512 bytes each, and any one record.
pub(super) const QUEUE_MAX_BYTES: usize = 32 * 1024 * 1024;
/// So many records are worth a batch, whoever still hands in: what a sync costs
/// is by then spread over enough of them.
pub(super) const BATCH_RECORDS: usize = 256;

/// Records wait here between producers and the writer.
pub(super) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
    sealed: Condvar,
}

struct State {
    batch: Batch,
    next_seq: u64,
    mode: Mode,
    writer: Writer,
    /// Bells that are to ring for what was handed in.
    bells: usize,
    /// Whether one has rung for this batch.
    rung: bool,
    /// The last number that the writer has taken.
    taken: u64,
    /// Everything up to here is to stand in segments that are not written any
    /// more.
    seal_up_to: u64,
    /// Everything up to here does.
    sealed_up_to: u64,
}

/// Framed records, their checksums still open.
#[derive(Default)]
pub(super) struct Batch {
    /// The frames, one behind the other.
    pub(super) frames: Vec<u8>,
    /// How many.
    pub(super) records: usize,
    /// The number of the last, or the number a closing took.
    pub(super) last_seq: u64,
}

/// Says when a producer has handed in all it has for now.
#[derive(Default)]
pub(super) struct Bell {
    /// Whether it is to ring. Changed under the queue's lock only.
    due: AtomicBool,
}

/// How long records are let gather.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// Of those without a bell so many are worth a batch.
    pub(super) enough: usize,
    /// Longest wait for so many.
    pub(super) linger: Duration,
    /// Longest wait for bells.
    pub(super) bells: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Open,
    /// The disk takes nothing: neither does the queue.
    Failing,
    /// What is queued is written, nothing more is taken.
    Closed,
}

/// What the writer does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Writer {
    /// It is at the disk and looks here afterwards.
    Busy,
    /// It sleeps until a first record is there.
    Asleep,
    /// It sleeps until so many are there.
    Gathering(usize),
}

/// How a wait for records ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// Some are there.
    Some,
    /// None within the given time.
    None,
    /// None, and the segment that is written is to be ended.
    Seal,
    /// None, and none will come.
    Closed,
}

impl Queue {
    pub(super) fn new(next_seq: u64) -> Self {
        Self {
            state: Mutex::new(State {
                batch: Batch::default(),
                next_seq,
                mode: Mode::Open,
                writer: Writer::Busy,
                bells: 0,
                rung: false,
                taken: next_seq - 1,
                seal_up_to: 0,
                sealed_up_to: next_seq - 1,
            }),
            arrived: Condvar::new(),
            sealed: Condvar::new(),
        }
    }

    /// Takes a record in and gives its sequence number; none when the queue
    /// is full or closed, the disk takes nothing, or the payload is too large
    /// or empty. With a bell the writer need not know before it rings.
    pub(super) fn push(
        &self,
        kind: u16,
        time_ms: u64,
        payload: &[u8],
        bell: Option<&Bell>,
    ) -> Option<u64> {
        if payload.is_empty() || payload.len() > PAYLOAD_MAX_BYTES {
            return None;
        }
        let mut state = self.lock();
        let bytes = state.batch.frames.len() + FRAME_HEAD_BYTES + payload.len();
        if state.mode != Mode::Open
            || state.batch.records >= QUEUE_MAX_RECORDS
            || bytes > QUEUE_MAX_BYTES
        {
            return None;
        }
        let seq = state.next_seq;
        frame::push_frame(&mut state.batch.frames, seq, time_ms, kind, payload);
        state.next_seq += 1;
        state.batch.records += 1;
        state.batch.last_seq = seq;
        let wake = state.is_to_wake(bell);
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
        Some(seq)
    }

    /// What was handed in with this bell is to be written now.
    pub(super) fn ring(&self, bell: &Bell) {
        if !bell.due.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        if bell.due.swap(false, Ordering::Relaxed) {
            state.bells -= 1;
        }
        if state.batch.records == 0 {
            return;
        }
        state.rung = true;
        let wake = match state.writer {
            Writer::Busy => false,
            Writer::Asleep => true,
            Writer::Gathering(_) => state.bells == 0,
        };
        drop(state);
        if wake {
            self.arrived.notify_one();
        }
    }

    /// Waits until a record is there, for `patience` at most.
    pub(super) fn wait(&self, patience: Option<Duration>) -> Taken {
        let mut state = self.lock();
        let deadline = patience.map(|patience| Instant::now() + patience);
        loop {
            if state.batch.records > 0 {
                return Taken::Some;
            }
            if state.mode == Mode::Closed {
                return Taken::Closed;
            }
            if state.seal_up_to > state.sealed_up_to {
                return Taken::Seal;
            }
            state.writer = Writer::Asleep;
            state = match deadline {
                None => self
                    .arrived
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner),
                Some(deadline) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    if left.is_zero() {
                        return Taken::None;
                    }
                    self.wait_for(state, left)
                }
            };
        }
    }

    /// Lets records gather, no longer than patience says; then takes all of
    /// them in exchange for an empty batch.
    pub(super) fn gather(&self, patience: Patience, spare: Batch) -> Batch {
        let mut state = self.lock();
        let begun = Instant::now();
        while !state.is_worth_a_batch(patience.enough) {
            let longest = match state.bells {
                0 => patience.linger,
                _ => patience.bells,
            };
            let left = longest.saturating_sub(begun.elapsed());
            if left.is_zero() {
                break;
            }
            state.writer = Writer::Gathering(patience.enough);
            state = self.wait_for(state, left);
        }
        // While the writer is at the disk it needs no waking.
        state.writer = Writer::Busy;
        state.rung = false;
        state.taken = state.taken.max(state.batch.last_seq);
        std::mem::replace(&mut state.batch, spare)
    }

    /// Waits until everything that was queued before stands in segments that
    /// are not written any more, and gives the last number of it; numbers that
    /// are given later are higher.
    pub(super) fn seal(&self) -> u64 {
        let mut state = self.lock();
        let up_to = state.next_seq - 1;
        state.seal_up_to = state.seal_up_to.max(up_to);
        self.arrived.notify_all();
        while state.sealed_up_to < up_to {
            state = self
                .sealed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        up_to
    }

    /// Up to where the writer, which is between two batches, can end segments
    /// by now, when that is asked for.
    pub(super) fn seal_asked(&self) -> Option<u64> {
        let state = self.lock();
        let all_taken = state.batch.records == 0 || state.taken >= state.seal_up_to;
        (state.seal_up_to > state.sealed_up_to && all_taken).then_some(state.seal_up_to)
    }

    /// Everything up to a number stands in segments that are not written any
    /// more.
    pub(super) fn sealed(&self, up_to: u64) {
        let mut state = self.lock();
        state.sealed_up_to = state.sealed_up_to.max(up_to);
        drop(state);
        self.sealed.notify_all();
    }

    /// Refuses from now on; gives what was waiting.
    pub(super) fn fail(&self) -> Batch {
        let mut state = self.lock();
        if state.mode == Mode::Open {
            state.mode = Mode::Failing;
        }
        std::mem::take(&mut state.batch)
    }

    /// Takes records again after [`Queue::fail`].
    pub(super) fn resume(&self) {
        let mut state = self.lock();
        if state.mode == Mode::Failing {
            state.mode = Mode::Open;
        }
    }

    /// Sleeps until closed, for so long at most; says whether it is closed.
    pub(super) fn sleep(&self, time: Duration) -> bool {
        let state = self.lock();
        if state.mode == Mode::Closed {
            return true;
        }
        self.wait_for(state, time).mode == Mode::Closed
    }

    /// Takes nothing more. Gives the number that is settled when all before
    /// it is written and the segment is sealed.
    pub(super) fn close(&self) -> u64 {
        let mut state = self.lock();
        if state.mode != Mode::Closed {
            state.mode = Mode::Closed;
            state.next_seq += 1;
        }
        let seq = state.next_seq - 1;
        drop(state);
        self.arrived.notify_all();
        seq
    }

    /// The next record gets a number behind this one.
    pub(super) fn skip_to(&self, seq: u64) {
        let mut state = self.lock();
        state.next_seq = state.next_seq.max(seq.saturating_add(1));
    }

    /// How many records wait.
    pub(super) fn len(&self) -> usize {
        self.lock().batch.records
    }

    /// The number that the next record gets.
    pub(super) fn next_seq(&self) -> u64 {
        self.lock().next_seq
    }

    fn wait_for<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.arrived
            .wait_timeout(state, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is whole when it can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether the record that was just taken in is one to wake the writer for.
    fn is_to_wake(&mut self, bell: Option<&Bell>) -> bool {
        let records = self.batch.records;
        if let Some(bell) = bell
            && !bell.due.swap(true, Ordering::Relaxed)
        {
            self.bells += 1;
        }
        match self.writer {
            Writer::Busy => false,
            Writer::Asleep if bell.is_none() => true,
            Writer::Gathering(enough) if self.bells == 0 => records == enough,
            Writer::Asleep | Writer::Gathering(_) => records == BATCH_RECORDS,
        }
    }

    fn is_worth_a_batch(&self, enough: usize) -> bool {
        match (self.bells, self.rung) {
            _ if self.mode == Mode::Closed => true,
            (0, true) => true,
            (0, false) => self.batch.records >= enough,
            _ => self.batch.records >= BATCH_RECORDS,
        }
    }
}
