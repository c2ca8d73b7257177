//! Hits that wait for their verdict, in the order of their numbers.

use std::collections::VecDeque;
use std::time::Duration;

/// Most hits that are held: 200,000 a second for ten seconds.
pub(super) const WAITING_MAX: usize = 1 << 21;

/// A hit that waits for its verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) seq: u64,
    pub(super) time_ms: u64,
}

/// A hit whose time to be judged has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    pub(super) seq: u64,
}

pub(super) struct Window {
    settle_ms: u64,
    hits: VecDeque<Waiting>,
}

impl Window {
    pub(super) fn new(settle: Duration) -> Self {
        Self {
            settle_ms: settle.as_millis() as u64,
            hits: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, hit: Waiting) {
        self.hits.push_back(hit);
    }

    pub(super) fn due_at_ms(&self) -> Option<u64> {
        let oldest = self.hits.front();
        oldest.map(|hit| hit.time_ms.saturating_add(self.settle_ms))
    }

    pub(super) fn next_due(&mut self, now_ms: u64) -> Option<Due> {
        let due = self.due_at_ms().is_some_and(|at| at <= now_ms);
        let hit = if due { self.hits.pop_front() } else { None };
        hit.map(|hit| Due { seq: hit.seq })
    }

    pub(super) fn len(&self) -> usize {
        self.hits.len()
    }
}
