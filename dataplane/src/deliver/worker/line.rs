//! Events on their way to their first attempt, in order: those that settle, or
//! those of a replay.

use std::collections::VecDeque;
use std::sync::Arc;

use mailtrail_core::event::Event;
use mailtrail_core::sink::{Batch, Sink};

use crate::deliver::outbox::{Page, Wanted};
use crate::deliver::state::{Place, Replay};

/// A stretch of settled events that is walked through.
pub(super) struct Line {
    /// All up to here are concluded.
    pub(super) position: Place,
    /// All up to here were read.
    read: Place,
    /// What was read and is not concluded.
    ahead: VecDeque<(Place, Event)>,
    /// Time of the first event that waits, as it was read last: known for longer
    /// than the event is held.
    first_ms: Option<u64>,
    /// Since when the first of them waits for others.
    since_ms: u64,
    /// Whether there may be more to read.
    pub(super) more: bool,
    /// The replay that this is; none for what settles.
    pub(super) replay: Option<Replay>,
}

impl Line {
    /// What settles behind a place.
    pub(super) fn settling(position: Place) -> Self {
        Self {
            position,
            read: position,
            ahead: VecDeque::new(),
            first_ms: None,
            since_ms: 0,
            more: true,
            replay: None,
        }
    }

    /// What a replay is about.
    pub(super) fn of(replay: Replay) -> Self {
        Self {
            replay: Some(replay),
            ..Self::settling(replay.position)
        }
    }

    /// Begins anew behind what is concluded. That something waits there is still
    /// known.
    pub(super) fn rewind(&mut self) {
        self.read = self.position;
        self.ahead.clear();
        self.more = true;
    }

    /// Begins anew, for a sink that asks for something else.
    pub(super) fn renew(&mut self) {
        self.rewind();
        self.first_ms = None;
    }

    /// What is to be read next.
    pub(super) fn wanted(&self, sink: &Arc<Sink>) -> Wanted {
        Wanted {
            sink: Arc::clone(sink),
            after: self.read,
            last: self.replay.map_or(u64::MAX, |replay| replay.last),
            between_ms: self.replay.map(|replay| (replay.since_ms, replay.until_ms)),
        }
    }

    /// Takes what was read.
    pub(super) fn take(&mut self, page: Page, now_ms: u64) {
        if self.ahead.is_empty() {
            self.since_ms = now_ms;
        }
        self.read = page.seen;
        self.more = page.more;
        self.ahead.extend(page.events);
        self.move_on();
    }

    /// Whether it is to be read to know what waits first: it is not known, or
    /// was not read for a while.
    pub(super) fn is_unknown(&self, is_due: bool) -> bool {
        self.ahead.is_empty() && self.more && (is_due || self.first_ms.is_none())
    }

    /// Whether something is to be read before a request can be made.
    pub(super) fn is_hungry(&self, batch: Option<Batch>) -> bool {
        self.more && self.ahead.len() < most(batch)
    }

    /// Whether a replay has come to its end.
    pub(super) fn is_done(&self) -> bool {
        let last = self.replay.map_or(u64::MAX, |replay| replay.last);
        self.ahead.is_empty() && (self.position.seq >= last || !self.more)
    }

    /// The events of the next request, where it is time for one.
    pub(super) fn next(&self, batch: Option<Batch>, now_ms: u64) -> Option<Vec<(Place, Event)>> {
        let most = most(batch);
        let ready = self.ahead.len() >= most || now_ms >= self.ready_ms(batch)?;
        ready.then(|| self.ahead.iter().take(most).cloned().collect())
    }

    /// When a request is made of what there is, if nothing comes before.
    pub(super) fn ready_ms(&self, batch: Option<Batch>) -> Option<u64> {
        let wait = match (batch, self.replay) {
            (Some(batch), None) => u64::from(batch.max_delay_seconds) * 1000,
            _ => 0,
        };
        (!self.ahead.is_empty()).then_some(self.since_ms + wait)
    }

    /// So many events are concluded: the first ones.
    pub(super) fn conclude(&mut self, count: usize, now_ms: u64) {
        for _ in 0..count {
            if let Some((place, _)) = self.ahead.pop_front() {
                self.position = place;
            }
        }
        self.since_ms = now_ms;
        self.move_on();
    }

    /// What was read and holds nothing for the sink is concluded as well.
    fn move_on(&mut self) {
        if self.ahead.is_empty() {
            self.position = self.read;
        }
        self.first_ms = self
            .ahead
            .front()
            .and_then(|(_, event)| u64::try_from(event.time.as_millisecond()).ok());
    }

    /// Time of the first event that waits, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<u64> {
        self.first_ms
    }
}

/// Most events of a request.
fn most(batch: Option<Batch>) -> usize {
    batch.map_or(1, |batch| usize::from(batch.max_events))
}

#[cfg(test)]
mod tests;
