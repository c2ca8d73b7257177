//! How long it is waited after a fault, and what is said of it: once when it
//! begins, once when it is another one, once when it is over.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use super::fault::{Fault, FaultKind};

/// First wait.
const FIRST: Duration = Duration::from_millis(100);
/// Longest wait.
const LONGEST: Duration = Duration::from_secs(5);
/// The same after what will not go away by itself.
const LONGEST_FOR_GOOD: Duration = Duration::from_secs(30);
/// How often it is said again while it lasts.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// The waits of one task.
pub(super) struct Waits {
    what: &'static str,
    next: Duration,
    longest: Duration,
    since: Option<Instant>,
    said: Option<(FaultKind, Instant)>,
}

impl Waits {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            next: FIRST,
            longest: LONGEST,
            since: None,
            said: None,
        }
    }

    /// It went wrong; `waiting` records wait for it.
    pub(super) fn failed(&mut self, fault: &Fault, waiting: u64) {
        let now = Instant::now();
        self.since.get_or_insert(now);
        self.longest = match fault.is_for_good() {
            true => LONGEST_FOR_GOOD,
            false => LONGEST,
        };
        let kind = fault.kind();
        let is_said = self
            .said
            .is_some_and(|(said, at)| said == kind && now - at < SAY_EVERY);
        if is_said {
            return;
        }
        self.said = Some((kind, now));
        let what = self.what;
        match kind {
            FaultKind::Refused | FaultKind::Disk | FaultKind::Row => tracing::error!(
                %fault, waiting,
                "PostgreSQL: {what} waits; somebody has to see to it. Records stay in the data folder meanwhile"
            ),
            FaultKind::Away | FaultKind::Busy => tracing::warn!(
                %fault, waiting,
                "PostgreSQL: {what} waits, and is tried again; records stay in the data folder meanwhile"
            ),
        }
    }

    /// It goes on.
    pub(super) fn succeeded(&mut self) {
        if let Some(since) = self.since.take() {
            let away_ms = since.elapsed().as_millis() as u64;
            let what = self.what;
            tracing::info!(away_ms, "PostgreSQL: {what} goes on");
        }
        self.said = None;
        self.next = FIRST;
    }

    /// The next wait: each twice the one before, and by chance up to a half
    /// less, so that replicas do not all come at once.
    pub(super) fn pause(&mut self) -> Duration {
        let pause = self.next.min(self.longest);
        self.next = (pause * 2).min(self.longest);
        // A hasher's seed is the system's chance.
        let chance = RandomState::new().hash_one(0_u8) % 512;
        pause - pause.mul_f64(chance as f64 / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_bound_begin_again_and_never_end_at_once() {
        let mut waits = Waits::new("test");
        waits.failed(&Fault::Slow, 0);
        let mut total = Duration::ZERO;
        for _ in 0..20 {
            let pause = waits.pause();
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{pause:?}");
            total += pause;
        }
        assert!(total > LONGEST * 5, "{total:?}");
        waits.succeeded();
        assert!(waits.pause() <= FIRST);
    }
}
