//! What others ask of a sink's deliveries.

use std::sync::Arc;
use std::time::Instant;

use mailtrail_core::event::Event;
use tokio::sync::oneshot;

use super::job::{Ended, NotTried};
use super::line::Line;
use super::{Attempted, Working};
use crate::deliver::handle::{AskError, Command, Tested, View};
use crate::deliver::state::{Dead, Place, REPLAYS_MAX, Replay};

impl Working<'_> {
    pub(super) async fn answer(&mut self, command: Command) {
        // Whoever asked may be gone by now: that changes nothing.
        match command {
            Command::View(to) => {
                let _ = to.send(self.view());
            }
            Command::DeadLetters(limit, to) => {
                let _ = to.send(self.dead_letters(limit).await);
            }
            Command::ReplayDead(to) => {
                let moved = self.state.replay_dead(self.worker.parts.now_ms());
                let _ = to.send(self.keep().await.map(|()| moved));
            }
            Command::Replay(since, until, to) => {
                let _ = to.send(self.add_replay(since, until).await);
            }
            Command::Resume(to) => {
                self.state.resume(self.worker.parts.now_ms());
                let _ = to.send(self.keep().await);
            }
            Command::Test(to) => self.test(to),
        }
    }

    pub(super) fn view(&self) -> View {
        View {
            sink: Arc::clone(&self.worker.sink),
            suspended: self.state.suspended,
            failing_since_ms: self.state.failing_since_ms,
            retries: self.state.retries.len(),
            dead: self.state.dead.len(),
            replays: self.state.replays.len(),
            oldest_ms: self.oldest_ms(),
            secret_missing: self.secret_missing.clone(),
        }
    }

    pub(super) async fn dead_letters(&self, limit: usize) -> Vec<(Dead, Vec<Event>)> {
        let mut letters = Vec::new();
        for dead in self.state.dead.iter().take(limit) {
            // What cannot be read now is listed without its events; what is of a
            // former namespace is not listed.
            let events = self.worker.parts.outbox.at(&dead.places).await;
            let mut events = events.unwrap_or_default();
            let is_known = events.iter().all(|event| self.worker.sink.may_know(event));
            events.retain(|event| self.worker.sink.may_know(event));
            if is_known || !events.is_empty() {
                letters.push((dead.clone(), events));
            }
        }
        letters
    }

    pub(super) async fn add_replay(
        &mut self,
        since_ms: u64,
        until_ms: u64,
    ) -> Result<(), AskError> {
        if self.state.replays.len() >= REPLAYS_MAX {
            return Err(AskError::TooManyReplays);
        }
        let end = self.worker.parts.outbox.end().await;
        let last = end.map_err(|_| AskError::NotKept)?.seq;
        let replay = Replay {
            since_ms,
            until_ms,
            position: Place::default(),
            last,
        };
        self.state.replays.push(replay);
        if self.replay.is_none() {
            self.replay = Some(Line::of(replay));
        }
        self.keep().await
    }

    pub(super) fn test(&mut self, to: oneshot::Sender<Tested>) {
        let job = self.job();
        self.attempts.spawn(async move {
            let begun = Instant::now();
            let ended = job.test().await;
            let (outcome, secret_missing) = match ended {
                Ended::Tried(outcome) => (Some(outcome), None),
                Ended::NotTried(NotTried::Secret(missing)) => (None, Some(missing.to_string())),
                Ended::NotTried(NotTried::Store) | Ended::Nothing => (None, None),
            };
            let _ = to.send(Tested {
                outcome,
                secret_missing,
                took: begun.elapsed(),
            });
            outcome.map_or(Attempted::Nothing, Attempted::Tested)
        });
    }
}
