//! On which day a reader last opened a message, or followed one of its links:
//! what is kept where a domain records no more of them.
//!
//! # Flow
//!
//! Each hit of a person that settles leaves a record of its day, one for each
//! batch, and is counted as what is told of nobody. Of several records of a
//! message, reader and kind the latest day counts, whatever else is there. What
//! is replaced goes from the disk with the next look of the retention
//! ([`forget_replaced`]).
//!
//! # Guarantees
//!
//! - A later day is told as soon as its record is there, and no earlier one then.
//! - Memory is bounded ([`HELD_MAX`]): where there are more, they are looked at
//!   in several rounds.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;

use jiff::Timestamp;
use mailtrail_core::event::EventKind;
use mailtrail_core::id::{MessageId, Realm, Recipient};

use super::QueryError;
use super::budget::Budget;
use super::index::{KeyHash, Lookup};
use super::journal::{Closed, FrameHead, Journal, Part, Removed};
use super::list::{Sources, unavailable};
use super::narrow::Narrow;
use super::record::{self, Last};

/// Seconds of a day.
const DAY_SECONDS: i64 = 24 * 60 * 60;
/// Most keys that are held in a round: some 40 MiB.
const HELD_MAX: usize = 1 << 20;

/// The last day of a reader, of one message and kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LastDate {
    /// The message.
    pub message: MessageId,
    /// The reader, when named.
    pub recipient: Option<Recipient>,
    /// Whether they opened it, or followed a link.
    pub kind: EventKind,
    /// Days since 1970, of UTC.
    pub day: u32,
}

/// Those that are known so far, the latest day of each.
#[derive(Default)]
pub(crate) struct Latest(HashMap<(MessageId, Option<Recipient>, EventKind), u32>);

impl LastDate {
    /// The begin of its day, in seconds since 1970.
    pub(crate) fn seconds(&self) -> i64 {
        i64::from(self.day) * DAY_SECONDS
    }

    /// Whether it is told to who may know nothing of before a moment. Within that
    /// moment's day it is where the mail is known to be of later: hours are not
    /// known.
    pub(crate) fn is_since(
        &self,
        since: Option<Timestamp>,
        is_mail: impl FnOnce() -> bool,
    ) -> bool {
        let Some(since) = since.map(Timestamp::as_second) else {
            return true;
        };
        let begin = self.seconds();
        begin >= since || (begin + DAY_SECONDS > since && is_mail())
    }
}

/// Days since 1970 of a moment in milliseconds; what is before counts as then.
pub(crate) fn day_of(ms: i64) -> u32 {
    u32::try_from(ms / (DAY_SECONDS * 1000)).unwrap_or(0)
}

/// The begin of a day since 1970, in milliseconds.
pub(super) fn day_ms(day: u32) -> u64 {
    u64::from(day) * DAY_SECONDS.unsigned_abs() * 1000
}

impl Latest {
    /// Takes one; a later day replaces an earlier one.
    pub(crate) fn take(&mut self, last: LastDate) {
        let LastDate {
            message,
            recipient,
            kind,
            day,
        } = last;
        let known = self.0.entry((message, recipient, kind)).or_insert(day);
        *known = day.max(*known);
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All of them, sorted.
    pub(crate) fn sorted(self) -> Vec<LastDate> {
        let all = self.0.into_iter();
        let mut sorted: Vec<_> = all
            .map(|((message, recipient, kind), day)| LastDate {
                message,
                recipient,
                kind,
                day,
            })
            .collect();
        sorted.sort_unstable();
        sorted
    }
}

impl Last<'_> {
    /// As it is told; none where it is of another domain.
    pub(super) fn of(&self, domain: &Realm) -> Option<LastDate> {
        let key = self.key;
        (key.domain == domain.as_str()).then_some(LastDate {
            message: key.message_id.parse().ok()?,
            recipient: key.recipient.map(str::parse).transpose().ok()?,
            kind: key.kind,
            day: self.day,
        })
    }
}

/// All that is known of a reader, sorted.
pub(super) fn of_reader(
    sources: Sources<'_>,
    domain: &Realm,
    recipient: &Recipient,
) -> Result<Vec<LastDate>, QueryError> {
    let hasher = sources.lookup.hasher();
    let narrow = Narrow::to(hasher.recipient_events(domain.as_str(), recipient.as_str()));
    let mut latest = Latest::default();
    for part in sources.reader.parts() {
        let places = narrow.places(part, sources.lookup);
        if places.is_none(part) {
            continue;
        }
        let mut budget = sources.budget;
        let read = places.each(part, &mut budget, |_, _, head, payload| {
            if head.kind == record::LAST
                && let Ok(last) = record::decode_last(payload)
                && let Some(last) = last.of(domain)
                && last.recipient.as_ref() == Some(recipient)
            {
                latest.take(last);
            }
            ControlFlow::Continue(())
        });
        // Reading never stops early, so the flow says nothing.
        let _ = read.map_err(unavailable)?;
    }
    Ok(latest.sorted())
}

// === Forgetting ===

/// Takes from the disk what a later day has replaced.
pub(super) fn forget_replaced(journal: &Journal, lookup: &Lookup<'_>) -> io::Result<Removed> {
    forget_replaced_bounded(journal, lookup, HELD_MAX)
}

/// The same with another bound than [`HELD_MAX`].
pub(super) fn forget_replaced_bounded(
    journal: &Journal,
    lookup: &Lookup<'_>,
    held_max: usize,
) -> io::Result<Removed> {
    let narrow = Narrow::to(lookup.hasher().lasts());
    let mut count = 0;
    for part in journal.reader().parts() {
        each_of(part, &narrow, lookup, &mut |_, _, _| count += 1)?;
    }
    if count == 0 {
        return Ok(Removed::default());
    }
    // Each of them is of one round, by its hash.
    let rounds = (count / held_max + 1) as u64;
    let mut removed = Removed::default();
    for round in 0..rounds {
        removed += forget_those(journal, lookup, |key| key.0 % rounds == round)?;
    }
    Ok(removed)
}

/// One round. What is rewritten is another file, of which only the next round
/// knows.
fn forget_those(
    journal: &Journal,
    lookup: &Lookup<'_>,
    is_of: impl Fn(KeyHash) -> bool,
) -> io::Result<Removed> {
    let closed = journal.closed()?;
    let mut latest: HashMap<KeyHash, (u32, u64)> = HashMap::new();
    let mut held_in: HashMap<u64, Vec<(KeyHash, u64)>> = HashMap::new();
    each(&closed, lookup, |segment, head, last| {
        let key = lookup.hasher().last(&last.key);
        if is_of(key) {
            let this = (last.day, head.seq);
            let known = latest.entry(key).or_insert(this);
            *known = this.max(*known);
            held_in.entry(segment).or_default().push((key, head.seq));
        }
    })?;
    let is_latest = |key: KeyHash, seq: u64| latest.get(&key).is_some_and(|of| of.1 == seq);
    let mut removed = Removed::default();
    for part in closed.parts() {
        let mut held = held_in.get(&part.segment.number).into_iter().flatten();
        if held.all(|(key, seq)| is_latest(*key, *seq)) {
            continue;
        }
        removed += closed.rewrite(part, |head, payload| {
            let last = (head.kind == record::LAST).then(|| record::decode_last(payload));
            let Some(Ok(last)) = last else { return true };
            let key = lookup.hasher().last(&last.key);
            !is_of(key) || is_latest(key, head.seq)
        })?;
    }
    closed.finish()?;
    Ok(removed)
}

/// Gives each such record, with the number of its segment.
fn each(
    closed: &Closed<'_>,
    lookup: &Lookup<'_>,
    mut each: impl FnMut(u64, FrameHead, Last<'_>),
) -> io::Result<()> {
    let narrow = Narrow::to(lookup.hasher().lasts());
    for part in closed.parts() {
        each_of(part, &narrow, lookup, &mut each)?;
    }
    Ok(())
}

fn each_of(
    part: Part<'_>,
    narrow: &Narrow,
    lookup: &Lookup<'_>,
    each: &mut impl FnMut(u64, FrameHead, Last<'_>),
) -> io::Result<()> {
    let places = narrow.places(part, lookup);
    if part.is_headless() || places.is_none(part) {
        return Ok(());
    }
    let flow = places.each(part, &mut Budget::unbounded(), |_, _, head, payload| {
        if head.kind == record::LAST
            && let Ok(last) = record::decode_last(payload)
        {
            each(part.segment.number, head, last);
        }
        ControlFlow::Continue(())
    });
    flow.map(drop)
}

#[cfg(test)]
mod tests;
