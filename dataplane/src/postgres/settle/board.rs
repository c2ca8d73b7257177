//! The hits that wait for their verdict, in memory. Pure.

use std::collections::VecDeque;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use mailtrail_core::event::{Event, Unsettled};
use uuid::Uuid;

use crate::judge::window::{Waiting, Window};
use crate::store::record::{self, Unreadable};

/// A row of a hit.
pub(super) struct Found {
    pub(super) id: Uuid,
    pub(super) time_ms: i64,
    pub(super) is_final: bool,
    pub(super) body: Vec<u8>,
}

/// A hit whose verdict can be given.
pub(super) struct DueHit {
    pub(super) hit: Unsettled,
    pub(super) burst: bool,
    /// Its verdict was given before there was a database.
    pub(super) is_final: bool,
}

/// Hits in the order in which they settle.
pub(super) struct Board {
    window: Window,
    held: VecDeque<Held>,
    /// Hashes of mails and targets, good as long as this lives.
    hasher: RandomState,
    next: u64,
    front: (i64, Uuid),
}

struct Held {
    hit: Unsettled,
    is_final: bool,
}

impl Board {
    /// Nothing waits; hits are due after `settle`, and the oldest at once where
    /// more than so many are held.
    pub(super) fn new(settle: Duration, most: usize) -> Self {
        Self {
            window: Window::with_limit(settle, most),
            held: VecDeque::new(),
            hasher: RandomState::new(),
            next: 1,
            front: (0, Uuid::nil()),
        }
    }

    /// The time, in milliseconds since 1970, and the id up to which hits were
    /// read in order.
    pub(super) fn front(&self) -> (i64, Uuid) {
        self.front
    }

    pub(super) fn len(&self) -> usize {
        self.held.len()
    }

    /// The ids of those that wait.
    pub(super) fn ids(&self) -> impl Iterator<Item = Uuid> {
        self.held.iter().map(|held| held.hit.event.id)
    }

    /// The time of the first that waits, in milliseconds since 1970.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        let first = self.held.front()?;
        Some(first.hit.event.time.as_millisecond())
    }

    /// Takes settled events that a burst may have begun with.
    pub(super) fn remember(&mut self, events: Vec<Event>) {
        for event in events {
            let waiting = self.waiting(&event);
            self.window.push_settled(waiting);
        }
    }

    /// Takes a hit; one in order is not before any that was.
    pub(super) fn push(&mut self, found: Found, in_order: bool) -> Result<(), Unreadable> {
        if in_order {
            self.front = (found.time_ms, found.id);
        }
        let hit = record::decode_hit(&found.body)?;
        let waiting = self.waiting(&hit.event);
        self.window.push(waiting);
        self.held.push_back(Held {
            hit,
            is_final: found.is_final,
        });
        Ok(())
    }

    /// Takes off what is due, so many at most. Where more hits are to be read
    /// up to the horizon, only those up to the last one that was are known.
    pub(super) fn due(&mut self, horizon_ms: i64, more: bool, most: usize) -> Vec<DueHit> {
        let known_ms = match more {
            true => self.front.0.min(horizon_ms),
            false => horizon_ms,
        };
        let now_ms = u64::try_from(known_ms).unwrap_or(0);
        let mut due = Vec::new();
        while due.len() < most
            && let Some(next) = self.window.next_due(now_ms)
            && let Some(held) = self.held.pop_front()
        {
            due.push(DueHit {
                hit: held.hit,
                burst: next.burst,
                is_final: held.is_final,
            });
        }
        due
    }

    fn waiting(&mut self, event: &Event) -> Waiting {
        let seq = self.next;
        self.next += 1;
        let recipient = event.recipient.as_ref();
        Waiting {
            seq,
            time_ms: u64::try_from(event.time.as_millisecond()).unwrap_or(0),
            mail: recipient.map(|recipient| {
                let mail = (&event.domain, &event.message_id, recipient);
                self.hasher
                    .hash_one((mail.0.as_str(), mail.1.as_str(), mail.2.as_str()))
            }),
            target: event
                .link
                .as_ref()
                .map(|link| self.hasher.hash_one(link.target.as_str())),
        }
    }
}

#[cfg(test)]
mod tests {
    use mailtrail_core::event::EventLink;
    use mailtrail_core::target::Target;

    use super::*;
    use crate::store::fixtures;

    const BEGIN_MS: i64 = 1_790_000_000_000;

    fn click(at_ms: i64, target: &str) -> Unsettled {
        let mut hit = fixtures::hit("shop/links", "m");
        hit.event.id = Uuid::now_v7();
        hit.event.time = jiff::Timestamp::from_millisecond(BEGIN_MS + at_ms).expect("a time");
        hit.event.recipient = Some("ada".parse().expect("recipient"));
        hit.event.link = hit.event.link.map(|link| EventLink {
            target: Target::parse(&format!("https://e.com/{target}")).expect("target"),
            ..link
        });
        hit
    }

    fn push(board: &mut Board, hit: &Unsettled, in_order: bool) {
        let found = Found {
            id: hit.event.id,
            time_ms: hit.event.time.as_millisecond(),
            is_final: false,
            body: record::encode_hit(hit),
        };
        board.push(found, in_order).expect("readable");
    }

    fn bursts(due: &[DueHit]) -> Vec<bool> {
        due.iter().map(|due| due.burst).collect()
    }

    #[test]
    fn a_hit_is_due_a_settling_time_before_the_horizon_and_knows_its_burst() {
        let mut board = Board::new(Duration::from_secs(10), 100);
        for (at_ms, target) in [(0, "a"), (1_000, "b"), (2_000, "c")] {
            push(&mut board, &click(at_ms, target), true);
        }
        assert!(board.due(BEGIN_MS + 9_999, false, 10).is_empty());
        assert_eq!(bursts(&board.due(BEGIN_MS + 10_000, false, 10)), [true]);
        assert_eq!(bursts(&board.due(BEGIN_MS + 20_000, false, 10)), [true; 2]);
        assert_eq!(board.len(), 0);
    }

    #[test]
    fn while_more_is_to_be_read_nothing_is_due_that_it_may_change() {
        let mut board = Board::new(Duration::from_secs(10), 100);
        push(&mut board, &click(0, "a"), true);
        push(&mut board, &click(5_000, "b"), true);
        assert!(board.due(BEGIN_MS + 60_000, true, 10).is_empty());
        push(&mut board, &click(9_000, "c"), true);
        assert_eq!(bursts(&board.due(BEGIN_MS + 60_000, false, 10)), [true; 3]);
    }

    #[test]
    fn what_was_settled_before_counts_for_a_burst_and_does_not_come_out() {
        let mut board = Board::new(Duration::from_secs(10), 100);
        board.remember(vec![click(0, "a").event, click(100, "b").event]);
        push(&mut board, &click(5_000, "c"), true);
        assert_eq!(bursts(&board.due(BEGIN_MS + 15_000, false, 10)), [true]);
    }

    #[test]
    fn one_that_comes_late_is_due_at_once_and_moves_nothing_back() {
        let mut board = Board::new(Duration::from_secs(10), 100);
        push(&mut board, &click(20_000, "a"), true);
        let front = board.front();
        push(&mut board, &click(0, "b"), false);
        assert_eq!(board.front(), front);
        assert_eq!(board.due(BEGIN_MS + 30_000, false, 10).len(), 2);
    }
}
