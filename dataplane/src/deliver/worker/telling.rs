//! What is told of deliveries: lines of the log, metrics, how a sink stands.

use std::sync::atomic::Ordering::Relaxed;

use super::Working;
use crate::deliver::state::{Became, Outcome, Suspended, Why};
use crate::deliver::told::Report;

impl Working<'_> {
    pub(super) fn tell_change(
        &self,
        (failing, suspended): (Option<u64>, Option<Suspended>),
        outcome: Outcome,
        became: Became,
    ) {
        let sink = &self.worker.sink.realm;
        if let (Outcome::Failed(failure, _), None) = (outcome, failing) {
            tracing::warn!(%sink, ?failure, "event sink fails: deliveries are tried again for three days");
        }
        if became == Became::Dead {
            tracing::warn!(%sink, dead_letters = self.state.dead.len(), "a delivery is given up and kept as a dead letter");
        }
        let why = |suspended: Option<Suspended>| suspended.map(|s| s.why);
        match (why(suspended), why(self.state.suspended)) {
            (None, Some(Why::Gone)) => tracing::error!(
                %sink, "event sink is suspended: its receiver says 410, which is that it wants nothing any more; give it another URL, or resume it over the API"
            ),
            (None, Some(Why::Failing)) => tracing::error!(
                %sink, "event sink is suspended: nothing was delivered for days; one delivery is tried every hour, and a success resumes it"
            ),
            (Some(_), None) => tracing::info!(%sink, "event sink is resumed"),
            _ if outcome == Outcome::Delivered && failing.is_some() => {
                tracing::info!(%sink, waiting = self.state.retries.len(), "event sink answers again");
            }
            _ => {}
        }
    }

    pub(super) fn oldest_ms(&self) -> Option<u64> {
        let lines = [self.settling.oldest_ms(), self.state.oldest_ms()];
        lines.into_iter().flatten().min()
    }

    pub(super) fn tell(&self) {
        let count = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let stand = &self.worker.stand;
        let rests = self.worker.sink.rests() || self.state.suspended.is_some();
        stand
            .oldest_ms
            .store(self.oldest_ms().unwrap_or(0), Relaxed);
        stand
            .retries
            .store(count(self.state.retries.len()), Relaxed);
        stand
            .dead_letters
            .store(count(self.state.dead.len()), Relaxed);
        stand.suspended.store(i64::from(rests), Relaxed);
        stand
            .without_secret
            .store(i64::from(self.secret_missing.is_some()), Relaxed);
        let report = Report {
            suspended: self.state.suspended,
            failing_since_ms: self.state.failing_since_ms,
            delivered: self.worker.delivered,
            failure: self.worker.failure,
            secret_missing: self.secret_missing.clone(),
        };
        *self.worker.told() = Some(report);
    }
}
