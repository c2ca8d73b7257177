//! Starting attempts: what is due again, and the next events of a line.

use std::sync::Arc;

use mailtrail_core::event::Event;
use mailtrail_core::sink::Batch;

use super::job::{self, Job};
use super::line::Line;
use super::{Attempted, NOT_TRIED_WAIT_MS, Of, RETRIES_AT_ONCE, Working};
use crate::deliver::state::Place;

impl Working<'_> {
    /// Starts what can be started.
    pub(super) async fn launch(&mut self) {
        let now = self.worker.parts.now_ms();
        self.look_for_secret(now).await;
        if now < self.wait_until_ms {
            return;
        }
        if self.worker.sink.rests() || self.secret_missing.is_some() {
            return self.look(now).await;
        }
        self.launch_retries(now);
        // One receiver that failed for days is tried with one delivery.
        let is_probing = self.state.suspended.is_some() && !self.retrying.is_empty();
        let rules = &self.worker.parts.rules;
        if self.first.is_none() && !is_probing && self.state.takes_first(now, rules) {
            return self.launch_first(now).await;
        }
        self.look(now).await;
    }

    pub(super) fn launch_retries(&mut self, now_ms: u64) {
        let free = match self.state.suspended {
            Some(_) => usize::from(self.retrying.is_empty()),
            None => RETRIES_AT_ONCE.saturating_sub(self.retrying.len()),
        };
        if free == 0 || self.state.retries.is_empty() {
            return;
        }
        let due = self.state.due(now_ms, &self.worker.parts.rules);
        let idle = due.filter(|delivery| !self.retrying.contains(&delivery.id));
        for delivery in idle.take(free).cloned().collect::<Vec<_>>() {
            self.retrying.insert(delivery.id.clone());
            let job = self.job();
            self.attempts.spawn(async move {
                let ended = job.deliver(&delivery, None).await;
                Attempted::Again(delivery, ended)
            });
        }
    }

    pub(super) async fn launch_first(&mut self, now_ms: u64) {
        let order = match self.replays_turn {
            true => [Of::Replay, Of::Settling],
            false => [Of::Settling, Of::Replay],
        };
        for of in order {
            if let Some(events) = self.next(of, now_ms).await {
                let delivery = job::delivery(&self.worker.sink, &events, now_ms);
                self.replays_turn = of == Of::Settling;
                self.first = Some(of);
                let (job, count) = (self.job(), events.len());
                let events: Vec<Event> = events.into_iter().map(|(_, event)| event).collect();
                self.attempts.spawn(async move {
                    let ended = job.deliver(&delivery, Some(events)).await;
                    Attempted::First(delivery, count, ended)
                });
                return;
            }
        }
    }

    /// The events of the next request of a line, read where that is needed.
    pub(super) async fn next(&mut self, of: Of, now_ms: u64) -> Option<Vec<(Place, Event)>> {
        let batch = self.worker.sink.batch;
        self.fill(of, batch, now_ms).await?;
        let line = self.line(of)?;
        if of == Of::Replay && line.is_done() {
            self.end_replay();
            return None;
        }
        self.line(of)?.next(batch, now_ms)
    }

    /// Reads a line up to what a request needs; none where that fails.
    pub(super) async fn fill(&mut self, of: Of, batch: Option<Batch>, now_ms: u64) -> Option<()> {
        while self.line(of)?.is_hungry(batch) {
            let sink = Arc::clone(&self.worker.sink);
            let wanted = self.line(of)?.wanted(&sink);
            match self.worker.parts.outbox.read(wanted).await {
                Ok(page) => {
                    if page.lost && of == Of::Settling {
                        tracing::warn!(
                            sink = %self.worker.sink.realm,
                            "events that were not delivered yet are no longer kept: retention, or an older copy of the journal"
                        );
                    }
                    self.line(of)?.take(page, now_ms);
                    self.moved(of);
                }
                Err(error) => {
                    tracing::error!(sink = %self.worker.sink.realm, %error, "settled events cannot be read");
                    self.wait_until_ms = now_ms + NOT_TRIED_WAIT_MS;
                    return None;
                }
            }
        }
        Some(())
    }

    pub(super) fn line(&mut self, of: Of) -> Option<&mut Line> {
        match of {
            Of::Settling => Some(&mut self.settling),
            Of::Replay => self.replay.as_mut(),
        }
    }

    pub(super) fn job(&self) -> Job {
        Job {
            parts: Arc::clone(&self.worker.parts),
            common: Arc::clone(&self.worker.common),
            sink: Arc::clone(&self.worker.sink),
            is_slow: self.state.failing_since_ms.is_some(),
        }
    }
}
