//! What becomes of attempts that have ended.

use aws_lc_rs::rand;

use super::job::{Ended, NotTried};
use super::line::Line;
use super::{Attempted, NOT_TRIED_WAIT_MS, Of, Working};
use crate::deliver::state::{Became, Delivery, Now, Outcome};

impl Working<'_> {
    pub(super) fn conclude(&mut self, attempted: Attempted) {
        match attempted {
            Attempted::First(delivery, count, ended) => {
                let of = self.first.take().unwrap_or(Of::Settling);
                self.conclude_first(of, &delivery, count, ended);
            }
            Attempted::Again(delivery, ended) => {
                self.retrying.remove(&delivery.id);
                match ended {
                    Ended::Tried(outcome) => self.tried(&delivery, outcome),
                    Ended::Nothing => self.state.retries.retain(|other| other.id != delivery.id),
                    Ended::NotTried(why) => self.not_tried(why),
                }
            }
            Attempted::Tested(outcome) => {
                if outcome == Outcome::Delivered {
                    let now = self.worker.parts.now_ms();
                    self.tried(&Delivery::first(String::new(), Vec::new(), now), outcome);
                }
            }
            Attempted::Nothing => {}
        }
        self.keep.is_dirty = true;
    }

    pub(super) fn conclude_first(
        &mut self,
        of: Of,
        delivery: &Delivery,
        count: usize,
        ended: Ended,
    ) {
        let now = self.worker.parts.now_ms();
        match ended {
            Ended::Tried(outcome) => self.tried(delivery, outcome),
            Ended::Nothing => {}
            Ended::NotTried(why) => {
                if let Some(line) = self.line(of) {
                    line.rewind();
                }
                return self.not_tried(why);
            }
        }
        let is_stale = std::mem::take(&mut self.is_stale);
        if let Some(line) = self.line(of) {
            line.conclude(count, now);
            if is_stale {
                line.renew();
            }
        }
        self.moved(of);
    }

    /// A line has come further.
    pub(super) fn moved(&mut self, of: Of) {
        match of {
            Of::Settling if self.state.position != self.settling.position => {
                self.state.position = self.settling.position;
                self.keep.is_dirty = true;
            }
            Of::Settling => {}
            Of::Replay => {
                if let (Some(line), Some(kept)) = (&self.replay, self.state.replays.first_mut()) {
                    kept.position = line.position;
                    self.keep.is_dirty = true;
                }
            }
        }
    }

    pub(super) fn end_replay(&mut self) {
        if !self.state.replays.is_empty() {
            self.state.replays.remove(0);
        }
        tracing::info!(sink = %self.worker.sink.realm, "a replay of events is done");
        self.replay = self.state.replays.first().copied().map(Line::of);
        self.keep.is_dirty = true;
    }

    pub(super) fn tried(&mut self, delivery: &Delivery, outcome: Outcome) {
        (self.secret_missing, self.secret_from_ms) = (None, None);
        self.worker.note(outcome);
        let now = self.now();
        let parts = &self.worker.parts;
        let before = (self.state.failing_since_ms, self.state.suspended);
        let became = self.state.conclude(delivery, outcome, &parts.rules, now);
        let metrics = &parts.metrics;
        match (outcome, became) {
            (Outcome::Delivered, _) => metrics.delivered.inc(),
            (Outcome::Gone, _) => metrics.gone.inc(),
            (Outcome::Failed(..), Became::Dead) => metrics.dead.inc(),
            (Outcome::Failed(..), _) => metrics.retried.inc(),
        };
        self.tell_change(before, outcome, became);
    }

    pub(super) fn not_tried(&mut self, why: NotTried) {
        let now = self.worker.parts.now_ms();
        match why {
            NotTried::Secret(missing) => self.lack(missing.to_string(), now),
            NotTried::Store => self.wait_until_ms = now + NOT_TRIED_WAIT_MS,
        }
    }

    /// A job that ended in a panic is one that was not made: begun again.
    pub(super) fn lost(&mut self, error: &tokio::task::JoinError) {
        tracing::error!(sink = %self.worker.sink.realm, %error, "an attempt ended in a panic");
        self.attempts.abort_all();
        self.retrying.clear();
        self.first = None;
        self.settling.rewind();
        self.replay = self.state.replays.first().copied().map(Line::of);
        self.wait_until_ms = self.worker.parts.now_ms() + NOT_TRIED_WAIT_MS;
    }

    pub(super) fn now(&self) -> Now {
        let mut random = [0; 4];
        // Without chance the table stands as it is.
        let _ = rand::fill(&mut random);
        Now {
            ms: self.worker.parts.now_ms(),
            chance: f64::from(u32::from_be_bytes(random)) / f64::from(u32::MAX),
        }
    }
}
