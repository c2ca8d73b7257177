//! The two clocks that settling goes by, and when what was followed is due.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// What time it is, twice.
pub(in crate::store) trait Clock: Send {
    /// By the wall clock, which may jump: milliseconds since 1970.
    fn wall_ms(&self) -> u64;
    /// By a clock that only goes forward: milliseconds since some moment.
    fn steady_ms(&self) -> u64;
}

/// The system's clocks.
pub(in crate::store) struct RealClock(Instant);

impl Default for RealClock {
    fn default() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealClock {
    fn wall_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |since| since.as_millis() as u64)
    }

    fn steady_ms(&self) -> u64 {
        self.0.elapsed().as_millis() as u64
    }
}

/// When hits are due: all that one look found are due together, when the
/// newest of them is.
#[derive(Default)]
pub(super) struct Schedule(VecDeque<Look>);

#[derive(Clone, Copy)]
struct Look {
    hits: usize,
    due_ms: u64,
}

impl Schedule {
    /// Takes hits that one look found, the newest of this time.
    pub(super) fn add(&mut self, hits: usize, newest_ms: u64, settle_ms: u64, clock: &dyn Clock) {
        if hits == 0 {
            return;
        }
        // A hit from a time to come is as old as none.
        let age_ms = clock.wall_ms().saturating_sub(newest_ms);
        let due_ms = clock.steady_ms() + settle_ms.saturating_sub(age_ms);
        self.0.push_back(Look { hits, due_ms });
    }

    /// Takes one hit off that is due by now; says whether there was one.
    pub(super) fn take(&mut self, steady_ms: u64) -> bool {
        let Some(look) = self.0.front_mut().filter(|look| look.due_ms <= steady_ms) else {
            return false;
        };
        look.hits -= 1;
        if look.hits == 0 {
            self.0.pop_front();
        }
        true
    }
}
