//! Who waits for records, in one runtime; [`super::progress`] tells how they
//! are woken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Instant;

use super::pending::Pending;
use super::progress::{Progress, locked};
use super::queue::Bell;

/// The waiters of one runtime.
pub struct Hub {
    pub(super) progress: Arc<Progress>,
    waiters: Mutex<Waiters>,
    /// Whether the runtime says when it has handed in all it has.
    pub(super) bell: Option<Bell>,
}

#[derive(Default)]
struct Waiters {
    /// In the order of their records.
    waiting: VecDeque<Waiter>,
    /// Room to carry wakers out of the lock, kept from drain to drain.
    spare: Vec<Waker>,
    /// How many have ever registered.
    registered: u64,
}

struct Waiter {
    seq: u64,
    /// Tells apart who waits for the same record.
    id: u64,
    /// When it waits no longer, if it was not told so yet.
    until: Option<Instant>,
    waker: Waker,
}

impl Hub {
    pub(super) fn new(progress: Arc<Progress>, bell: Option<Bell>) -> Self {
        Self {
            progress,
            waiters: Mutex::default(),
            bell,
        }
    }

    /// Waits for a record.
    pub(crate) fn pending(self: &Arc<Self>, seq: u64) -> Pending {
        Pending::waiting(Arc::clone(self), seq)
    }

    /// Wakes those who wait no longer, and says when the next of them does.
    /// In one hub, who hands in later waits longer.
    pub(crate) fn wake_overdue(&self, now: Instant) -> Option<Instant> {
        let mut waiters = locked(&self.waiters);
        let mut overdue = std::mem::take(&mut waiters.spare);
        let mut next = None;
        for waiter in &mut waiters.waiting {
            match waiter.until {
                Some(until) if until > now => {
                    next = Some(until);
                    break;
                }
                Some(_) => {
                    waiter.until = None;
                    overdue.push(waiter.waker.clone());
                }
                None => {}
            }
        }
        drop(waiters);
        self.wake(overdue);
        next
    }

    /// Whether somebody waits for what is settled.
    pub(super) fn has(&self, settled: u64) -> bool {
        locked(&self.waiters).has(settled)
    }

    /// Wakes one of those who are settled.
    pub(super) fn nudge(&self, settled: u64) {
        let waker = locked(&self.waiters).one(settled);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Wakes all who are settled.
    pub(super) fn drain(&self, settled: u64) {
        let mut waiters = locked(&self.waiters);
        if !waiters.has(settled) {
            return;
        }
        let mut ready = std::mem::take(&mut waiters.spare);
        while waiters.has(settled) {
            ready.extend(waiters.waiting.pop_front().map(|waiter| waiter.waker));
        }
        drop(waiters);
        self.wake(ready);
    }

    /// Outside the lock: a waker may drop a future that is in this hub.
    fn wake(&self, mut wakers: Vec<Waker>) {
        wakers.drain(..).for_each(Waker::wake);
        locked(&self.waiters).spare = wakers;
    }

    /// Registers, or finds again who registered under this id.
    pub(super) fn register(
        &self,
        seq: u64,
        id: Option<u64>,
        until: Option<Instant>,
        waker: &Waker,
    ) -> u64 {
        let mut waiters = locked(&self.waiters);
        if let Some(id) = id
            && let Ok(at) = waiters.find(seq, id)
        {
            waiters.waiting[at].waker.clone_from(waker);
            return id;
        }
        let id = waiters.registered;
        waiters.registered += 1;
        // Most often behind all others.
        let at = waiters.find(seq, id).unwrap_or_else(|at| at);
        let waker = waker.clone();
        let waiter = Waiter {
            seq,
            id,
            until,
            waker,
        };
        waiters.waiting.insert(at, waiter);
        id
    }

    pub(super) fn forget(&self, seq: u64, id: u64) {
        let mut waiters = locked(&self.waiters);
        let forgotten = match waiters.find(seq, id) {
            Ok(at) => waiters.waiting.remove(at),
            Err(_) => None,
        };
        drop(waiters);
        // Outside the lock, as all wakers.
        drop(forgotten);
    }
}

impl Waiters {
    fn has(&self, settled: u64) -> bool {
        self.first(settled).is_some()
    }

    fn one(&self, settled: u64) -> Option<Waker> {
        self.first(settled).map(|waiter| waiter.waker.clone())
    }

    fn first(&self, settled: u64) -> Option<&Waiter> {
        self.waiting.front().filter(|waiter| waiter.seq <= settled)
    }

    /// Where one stands, or is to stand.
    fn find(&self, seq: u64, id: u64) -> Result<usize, usize> {
        match self.waiting.back() {
            Some(last) if (last.seq, last.id) >= (seq, id) => self
                .waiting
                .binary_search_by_key(&(seq, id), |waiter| (waiter.seq, waiter.id)),
            _ => Err(self.waiting.len()),
        }
    }
}
