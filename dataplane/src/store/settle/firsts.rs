//! Whether a person's hit is the first of its message, reader, kind and
//! position.
//!
//! # Flow
//!
//! The keys of the latest first events are held in memory, as hashes: those of
//! the newest segments are read at the start, those that settle are added. For
//! an older segment the index is asked, and the record it names is read; a
//! segment that ended before the mail was sent is passed over, for nothing of a
//! mail happens earlier.
//!
//! # Guarantees
//!
//! - Settling is the only one to write events, so what is held is complete: no
//!   two events of one key are first, whatever was restarted in between.
//! - Without the index the answer is the same; it takes reading the segments
//!   that are asked.
//! - Memory is bounded ([`HELD_MAX`]).
//!
//! # Caveats
//!
//! Two keys with one 64-bit hash, which is keyed, are taken for one: among ten
//! million held over years that is less likely than 1 in 100,000, and then an
//! event is not first that should be. An event that a recipient's erasure took
//! may still be remembered as a hash until the process ends; nothing of theirs
//! is recorded any more.

use std::collections::HashSet;
use std::io;
use std::ops::ControlFlow;

use crate::store::budget::Budget;
use crate::store::index::{KeyHash, KeyHasher, Lookup};
use crate::store::journal::{FRAMES_START, FrameHead, Part, Reader};
use crate::store::narrow::Narrow;
use crate::store::record::{self, EventFacts, EventKey};

/// Most keys in each of the two sets: 18 MiB of memory at most.
const HELD_MAX: usize = 1 << 20;
/// Most segments that are read at the start: a second's work.
const READ_MAX_SEGMENTS: usize = 32;

/// What is known of first events.
pub(super) struct Firsts {
    hasher: KeyHasher,
    /// Those that came last, and those before them.
    lately: HashSet<KeyHash>,
    before: HashSet<KeyHash>,
    /// Of segments up to this number only some are held: they are asked.
    asked_up_to: u64,
    /// The segment that was written when `lately` was begun.
    begun_in: u64,
    held_max: usize,
}

/// One of whom it is asked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    /// What would be the first of this,
    pub(super) key: EventKey<'a>,
    /// and of this position; 0 for an opening.
    pub(super) position: u32,
    /// When its mail was sent, or earlier; in milliseconds since 1970.
    pub(super) sent_ms: u64,
}

impl Firsts {
    /// Reads the newest segments.
    pub(super) fn load(hasher: KeyHasher, journal: &Reader) -> io::Result<Self> {
        Self::load_bounded(hasher, journal, HELD_MAX)
    }

    /// The same with another bound than [`HELD_MAX`].
    pub(super) fn load_bounded(
        hasher: KeyHasher,
        journal: &Reader,
        held_max: usize,
    ) -> io::Result<Self> {
        let newest = journal.parts().next_back();
        let mut firsts = Self {
            hasher,
            lately: HashSet::new(),
            before: HashSet::new(),
            asked_up_to: 0,
            begun_in: newest.map_or(0, |part| part.segment.number),
            held_max,
        };
        for (n, part) in journal.parts().rev().enumerate() {
            if n >= READ_MAX_SEGMENTS || firsts.before.len() >= held_max {
                firsts.asked_up_to = part.segment.number;
                break;
            }
            firsts.read(part)?;
        }
        Ok(firsts)
    }

    /// Whether nothing of this key was first before; from now on it was.
    pub(super) fn take(
        &mut self,
        asked: Asked<'_>,
        journal: &Reader,
        lookup: Option<&Lookup<'_>>,
    ) -> io::Result<bool> {
        let key = self.hasher.first_event(&asked.key, asked.position);
        if self.lately.contains(&key) || self.before.contains(&key) {
            return Ok(false);
        }
        if self.is_in_older(key, asked, journal, lookup)? {
            return Ok(false);
        }
        self.lately.insert(key);
        if self.lately.len() >= self.held_max {
            self.turn(journal);
        }
        Ok(true)
    }

    fn is_in_older(
        &self,
        key: KeyHash,
        asked: Asked<'_>,
        journal: &Reader,
        lookup: Option<&Lookup<'_>>,
    ) -> io::Result<bool> {
        let older = journal.parts().filter(|part| {
            let segment = part.segment;
            segment.number <= self.asked_up_to && segment.summary.last_ms >= asked.sent_ms
        });
        let narrow = Narrow::to(key);
        for part in older {
            let same = |head: FrameHead, payload: &[u8]| {
                head.kind == record::EVENT
                    && record::event_facts(payload)
                        .is_ok_and(|facts| facts.first && self.key(&facts) == key)
            };
            let places = narrow.places(part, lookup);
            if places.is_none(part) {
                continue;
            }
            let budget = &mut Budget::unbounded();
            let flow = places.each(part, budget, |_, _, head, payload| {
                match same(head, payload) {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            })?;
            if flow.is_break() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The older half is let go: its segments are asked from now on.
    fn turn(&mut self, journal: &Reader) {
        self.before = std::mem::take(&mut self.lately);
        self.asked_up_to = self.begun_in;
        let newest = journal.parts().next_back();
        self.begun_in = newest.map_or(0, |part| part.segment.number);
    }

    fn read(&mut self, part: Part<'_>) -> io::Result<()> {
        if part.segment.summary.events == 0 {
            return Ok(());
        }
        let file = part.file()?;
        // Reading never stops early, so the flow says nothing.
        let _ = part.each_from(&*file, FRAMES_START, |_, head, payload| {
            if head.kind == record::EVENT
                && let Ok(facts) = record::event_facts(payload)
                && facts.first
            {
                self.before.insert(self.key(&facts));
            }
            ControlFlow::Continue(())
        })?;
        Ok(())
    }

    fn key(&self, facts: &EventFacts<'_>) -> KeyHash {
        self.hasher.first_event(&facts.key, facts.position)
    }
}
