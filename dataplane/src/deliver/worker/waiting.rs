//! How long there is nothing to do.

use std::time::{Duration, Instant};

use super::{RETRIES_AT_ONCE, SLEEP_MAX_MS, Working};

impl Working<'_> {
    /// How long there is nothing to do, unless something comes.
    pub(super) fn sleep(&self) -> Duration {
        let now = self.worker.parts.now_ms();
        let mut next = now + SLEEP_MAX_MS;
        if self.keep.is_dirty {
            let until = self
                .keep
                .not_before
                .saturating_duration_since(Instant::now());
            next = next.min(now + u64::try_from(until.as_millis()).unwrap_or(0) + 1);
        }
        if let Some(from) = self.secret_from_ms {
            next = next.min(from);
        } else if !self.worker.sink.rests() {
            next = next.min(self.next_attempt_ms(now).max(self.wait_until_ms));
        }
        // At least a moment: what is due and cannot start yet is not asked for
        // all the time.
        Duration::from_millis(next.saturating_sub(now).max(1))
    }

    /// When the next attempt is due.
    pub(super) fn next_attempt_ms(&self, now: u64) -> u64 {
        let rules = &self.worker.parts.rules;
        let Some(from) = self.state.may_try_from(rules) else {
            return u64::MAX;
        };
        let is_idle = self.retrying.is_empty() && self.first.is_none();
        if self.state.suspended.is_some() {
            // One at a time, whatever it is.
            let has_any = !self.state.retries.is_empty() || self.ready_ms(now).is_some();
            return match is_idle && (from > now || has_any) {
                true => from,
                false => u64::MAX,
            };
        }
        let retries = self.state.retries.iter();
        let idle = retries.filter(|delivery| !self.retrying.contains(&delivery.id));
        let retry = match self.retrying.len() < RETRIES_AT_ONCE {
            true => idle.map(|delivery| delivery.due_ms).min(),
            false => None,
        };
        let may_begin = self.first.is_none() && self.state.has_room();
        let first = self.ready_ms(now).filter(|_| may_begin);
        let replay = self.replay.as_ref().map(|_| now).filter(|_| may_begin);
        let next = [retry, first, replay].into_iter().flatten().min();
        next.map_or(u64::MAX, |next| next.max(from))
    }

    /// When a request can be made of what settles; at once where that is to be
    /// read first.
    pub(super) fn ready_ms(&self, now: u64) -> Option<u64> {
        let batch = self.worker.sink.batch;
        match self.settling.is_hungry(batch) {
            true => Some(now),
            false => self.settling.ready_ms(batch),
        }
    }
}
