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
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};

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

/// The waiters of one runtime.
pub struct Hub {
    progress: Arc<Progress>,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct Waiters {
    waiting: Vec<(u64, Waker)>,
    /// Room to carry wakers out of the lock, kept from drain to drain.
    spare: Vec<Waker>,
    /// Nobody waits for this number or an earlier one.
    drained: u64,
}

/// Ready when the record is on disk. The record is queued when this is made:
/// dropping it early loses nothing but the answer.
#[must_use = "only when awaited does it say whether the record is on disk"]
pub struct Pending(State);

enum State {
    Known(Result<(), NotKept>),
    Waiting {
        hub: Arc<Hub>,
        seq: u64,
        registered: bool,
    },
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

    /// Makes a hub for one runtime.
    pub(super) fn hub(self: &Arc<Self>) -> Arc<Hub> {
        let hub = Arc::new(Hub {
            progress: Arc::clone(self),
            waiters: Mutex::default(),
        });
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
        self.each_hub(|hub| any |= locked(&hub.waiters).has(settled));
        any
    }

    /// Whether a record is lost; none when that is not settled.
    pub(super) fn is_lost(&self, seq: u64) -> Option<bool> {
        (seq <= self.settled()).then(|| self.outcome(seq).is_err())
    }

    fn settled(&self) -> u64 {
        self.settled.load(Ordering::SeqCst)
    }

    fn outcome(&self, seq: u64) -> Result<(), NotKept> {
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

// === Hub ===

impl Hub {
    /// Waits for a record.
    pub(crate) fn pending(self: &Arc<Self>, seq: u64) -> Pending {
        Pending(State::Waiting {
            hub: Arc::clone(self),
            seq,
            registered: false,
        })
    }

    /// Wakes one of those who are settled.
    fn nudge(&self, settled: u64) {
        let waker = locked(&self.waiters).one(settled);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all who are settled.
    fn drain(&self, settled: u64) {
        let mut waiters = locked(&self.waiters);
        if waiters.drained >= settled {
            return;
        }
        waiters.drained = settled;
        let mut ready = std::mem::take(&mut waiters.spare);
        waiters.waiting.retain(|(seq, waker)| {
            let waits = *seq > settled;
            if !waits {
                ready.push(waker.clone());
            }
            waits
        });
        drop(waiters);
        // Outside the lock: a waker may drop a future that is in this hub.
        ready.drain(..).for_each(Waker::wake);
        locked(&self.waiters).spare = ready;
    }

    fn register(&self, seq: u64, waker: &Waker, again: bool) {
        let mut waiters = locked(&self.waiters);
        if again && let Some((_, old)) = waiters.waiting.iter_mut().find(|(s, _)| *s == seq) {
            old.clone_from(waker);
            return;
        }
        waiters.waiting.push((seq, waker.clone()));
        // A settled batch's waiters were drained up to some number; this one
        // may be at or below it and is then seen by its own second look.
        waiters.drained = waiters.drained.min(seq - 1);
    }

    fn forget(&self, seq: u64) {
        locked(&self.waiters).waiting.retain(|(s, _)| *s != seq);
    }
}

impl Waiters {
    fn has(&self, settled: u64) -> bool {
        self.drained < settled && self.waiting.iter().any(|(seq, _)| *seq <= settled)
    }

    fn one(&self, settled: u64) -> Option<Waker> {
        let (_, waker) = self.waiting.iter().find(|(seq, _)| *seq <= settled)?;
        Some(waker.clone())
    }
}

// === Pending ===

impl Pending {
    /// One whose outcome is known.
    pub(crate) fn known(outcome: Result<(), NotKept>) -> Self {
        Self(State::Known(outcome))
    }

    /// The number of the record, while its outcome is not known.
    pub(crate) fn seq(&self) -> Option<u64> {
        match &self.0 {
            State::Known(_) => None,
            State::Waiting { seq, .. } => Some(*seq),
        }
    }

    /// Blocks the thread until the outcome is known; not for use in a runtime.
    pub fn wait(mut self) -> Result<(), NotKept> {
        struct Unpark(std::thread::Thread);
        impl Wake for Unpark {
            fn wake(self: Arc<Self>) {
                self.0.unpark();
            }
        }
        let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
        let mut context = Context::from_waker(&waker);
        loop {
            match Pin::new(&mut self).poll(&mut context) {
                Poll::Ready(outcome) => return outcome,
                Poll::Pending => std::thread::park(),
            }
        }
    }
}

impl Future for Pending {
    type Output = Result<(), NotKept>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let (hub, seq, registered) = match &mut self.0 {
            State::Known(outcome) => return Poll::Ready(*outcome),
            State::Waiting {
                hub,
                seq,
                registered,
            } => (hub, seq, registered),
        };
        let mut settled = hub.progress.settled();
        if settled < *seq {
            hub.register(*seq, context.waker(), *registered);
            *registered = true;
            settled = hub.progress.settled();
            if settled < *seq {
                return Poll::Pending;
            }
        }
        hub.drain(settled);
        let outcome = hub.progress.outcome(*seq);
        self.0 = State::Known(outcome);
        Poll::Ready(outcome)
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let State::Waiting {
            hub,
            seq,
            registered: true,
        } = &self.0
        {
            let settled = hub.progress.settled();
            if settled >= *seq {
                // It may be the one the writer woke for all.
                hub.drain(settled);
            } else {
                hub.forget(*seq);
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole when it can panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
