//! How far the journal is on the disk, and who waits for it.
//!
//! Waiters stand in hubs, one per runtime. When a batch is settled the writer
//! wakes one waiter of each hub, from its own thread: that is the expensive
//! kind of wake-up, a system call on most runtimes. The one it woke wakes the
//! others of its hub, from within the runtime, which costs next to nothing.
//! Whoever is polled, registers or goes away does the same, so that no waiter
//! depends on one certain other; and a hub nobody stirred in is woken whole by
//! the writer when it next comes by.
//!
//! No wake-up is lost: a waiter registers and then looks at what is settled;
//! the writer says what is settled and then looks at who is registered.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::hub::Hub;
use super::queue::Bell;

/// Most stretches of lost records that are told apart; neighbouring ones are
/// one. A waiter that was not polled through more outages is told "not kept".
const LOST_MAX: usize = 1024;

/// The record is not on disk and will not be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("could not be kept")]
pub struct NotKept;

/// What has become of the records up to a number.
pub(super) struct Progress {
    /// Everything up to here is on the disk or lost.
    settled: AtomicU64,
    lost_any: AtomicBool,
    lost: Mutex<Lost>,
    hubs: Mutex<Vec<Weak<Hub>>>,
}

#[derive(Default)]
struct Lost {
    ranges: VecDeque<RangeInclusive<u64>>,
    /// What became of records up to here is forgotten.
    forgotten: u64,
}

// === Progress ===

impl Progress {
    pub(super) fn new(settled: u64) -> Self {
        Self {
            settled: AtomicU64::new(settled),
            lost_any: AtomicBool::new(false),
            lost: Mutex::default(),
            hubs: Mutex::default(),
        }
    }

    /// Makes a hub for one runtime; with a bell it says when it has handed in
    /// all it has.
    pub(super) fn hub(self: &Arc<Self>, bell: Option<Bell>) -> Arc<Hub> {
        let hub = Arc::new(Hub::new(Arc::clone(self), bell));
        let mut hubs = locked(&self.hubs);
        hubs.retain(|hub| hub.strong_count() > 0);
        hubs.push(Arc::downgrade(&hub));
        hub
    }

    /// Everything up to this number is on the disk, but for what
    /// [`Progress::lose`] was told before.
    pub(super) fn settle(&self, seq: u64) {
        self.settled.fetch_max(seq, Ordering::SeqCst);
        self.each_hub(|hub| hub.nudge(seq));
    }

    /// These records will not be kept. Say so before they are settled.
    pub(super) fn lose(&self, range: RangeInclusive<u64>) {
        if range.is_empty() {
            return;
        }
        let mut lost = locked(&self.lost);
        match lost.ranges.back_mut() {
            Some(last) if last.end() + 1 >= *range.start() => {
                *last = *last.start()..=*range.end();
            }
            _ => lost.ranges.push_back(range),
        }
        if lost.ranges.len() > LOST_MAX
            && let Some(oldest) = lost.ranges.pop_front()
        {
            lost.forgotten = *oldest.end();
        }
        drop(lost);
        self.lost_any.store(true, Ordering::SeqCst);
    }

    /// Nothing that is not settled will be kept.
    pub(super) fn lose_unsettled(&self, up_to: u64) {
        self.lose(self.settled() + 1..=up_to);
    }

    /// Wakes everyone up to a number in hubs where the one that was woken did
    /// not.
    pub(super) fn sweep(&self, up_to: u64) {
        let settled = self.settled().min(up_to);
        self.each_hub(|hub| hub.drain(settled));
    }

    /// Whether somebody waits for what is settled.
    pub(super) fn has_stragglers(&self) -> bool {
        let settled = self.settled();
        let mut any = false;
        self.each_hub(|hub| any |= hub.has(settled));
        any
    }

    /// Whether a record is lost; none when that is not settled.
    pub(super) fn is_lost(&self, seq: u64) -> Option<bool> {
        (seq <= self.settled()).then(|| self.outcome(seq).is_err())
    }

    /// Whether the outcome of all up to a number is known.
    pub(super) fn reaches(&self, seq: u64) -> bool {
        seq <= self.settled()
    }

    pub(super) fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }

    pub(super) fn outcome(&self, seq: u64) -> Result<(), NotKept> {
        if !self.lost_any.load(Ordering::SeqCst) {
            return Ok(());
        }
        let lost = locked(&self.lost);
        if seq <= lost.forgotten || lost.ranges.iter().any(|range| range.contains(&seq)) {
            return Err(NotKept);
        }
        Ok(())
    }

    fn each_hub(&self, mut each: impl FnMut(&Hub)) {
        for hub in locked(&self.hubs).iter() {
            if let Some(hub) = hub.upgrade() {
                each(&hub);
            }
        }
    }
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole when it can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
