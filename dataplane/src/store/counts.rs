//! What happened in each hour of a domain. Each run of the index has it of its
//! segment, so that a question adds up some small tables and reads no events.
//!
//! Test mails are not counted. A mail counts as sent in the hour of its first
//! rewrite that was recorded ([`super::repeats`]). Of a domain and hour a run keeps 76 bytes, sorted: the domain's
//! hash (u64), hours since 1970 (u32), and 16 numbers (u32 each): sent, how many
//! of these are told of nobody, and of opens, then of clicks, people, machines, unknown, first, and how many of the
//! first three are told of nobody; all big-endian.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::ops::ControlFlow;

use mailtrail_core::event::{EventKind, Verdict};
use mailtrail_core::id::Realm;

use super::QueryError;
use super::budget::Budget;
use super::filter::may_be_in;
use super::index::{KeyHash, Lookup};
use super::journal::{FRAMES_START, Part};
use super::list::{Sources, unavailable};
use super::record::{self, Counted, EventFacts, MessageKey, Sent};

/// Milliseconds of an hour.
const HOUR_MS: i64 = 60 * 60 * 1000;
/// Bytes of an entry.
const ENTRY_BYTES: usize = 76;
/// Numbers of an entry.
const NUMBERS: usize = 2 + HITS;
/// Those of hits.
const HITS: usize = 14;

/// Hits of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HitCounts {
    /// By people.
    pub people: u64,
    /// By machines.
    pub machines: u64,
    /// By who is not known.
    pub unknown: u64,
    /// Those by people that were the first of their message, reader and link,
    /// as far as these are known: of anonymous ones they are not.
    pub first: u64,
    /// How many of all of them are told of nobody.
    pub anonymous: Split,
}

/// Hits by who caused them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Split {
    /// By people.
    pub people: u64,
    /// By machines.
    pub machines: u64,
    /// By who is not known.
    pub unknown: u64,
}

/// What happened in an hour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourCounts {
    /// Mails whose first rewrite was recorded.
    pub sent: u64,
    /// How many of these are told of nobody.
    pub sent_anonymous: u64,
    /// Pixels loaded.
    pub opened: HitCounts,
    /// Links followed.
    pub clicked: HitCounts,
}

/// What happened in the hours of some domains.
#[derive(Debug, Default)]
pub(super) struct DomainHours(HashMap<(KeyHash, u32), HourCounts>);

// === Counting ===

impl HitCounts {
    /// All hits.
    pub fn total(&self) -> u64 {
        self.people + self.machines + self.unknown
    }

    /// Counts a hit.
    pub fn count(&mut self, verdict: Verdict, first: bool) {
        let mut hit = Split::default();
        hit.count(verdict);
        self.add_split(hit);
        self.first += u64::from(first);
    }

    /// Counts hits that are told of nobody.
    pub fn count_anonymous(&mut self, hits: Split) {
        self.add_split(hits);
        self.anonymous.add(hits);
    }

    fn add_split(&mut self, hits: Split) {
        self.people += hits.people;
        self.machines += hits.machines;
        self.unknown += hits.unknown;
    }

    /// Those alone that are told of nobody.
    fn anonymous_alone(&self) -> Self {
        let mut alone = Self::default();
        alone.count_anonymous(self.anonymous);
        alone
    }

    fn numbers(&self) -> [u64; 7] {
        let Self {
            people,
            machines,
            unknown,
            first,
            anonymous,
        } = *self;
        let [a, b, c] = anonymous.numbers();
        [people, machines, unknown, first, a, b, c]
    }

    fn of([people, machines, unknown, first, a, b, c]: [u64; 7]) -> Self {
        Self {
            people,
            machines,
            unknown,
            first,
            anonymous: Split::of([a, b, c]),
        }
    }
}

impl Split {
    /// Counts a hit.
    pub(crate) fn count(&mut self, verdict: Verdict) {
        if verdict.is_person() {
            self.people += 1;
        } else if verdict.is_machine() {
            self.machines += 1;
        } else {
            self.unknown += 1;
        }
    }

    /// All hits.
    pub fn total(&self) -> u64 {
        self.people + self.machines + self.unknown
    }

    fn add(&mut self, other: Self) {
        let (mine, other) = (self.numbers(), other.numbers());
        *self = Self::of(std::array::from_fn(|n| mine[n] + other[n]));
    }

    /// People, machines, unknown.
    pub(crate) fn numbers(&self) -> [u64; 3] {
        let Self {
            people,
            machines,
            unknown,
        } = *self;
        [people, machines, unknown]
    }

    /// Of people, machines, unknown.
    pub(crate) fn of([people, machines, unknown]: [u64; 3]) -> Self {
        Self {
            people,
            machines,
            unknown,
        }
    }
}

impl HourCounts {
    /// Adds what happened in another stretch.
    pub fn add(&mut self, other: &Self) {
        let (mine, other) = (self.numbers(), other.numbers());
        *self = Self::of(std::array::from_fn(|n| mine[n] + other[n]));
    }

    /// What is told of nobody alone.
    pub fn anonymous_alone(&self) -> Self {
        Self {
            sent: self.sent_anonymous,
            sent_anonymous: self.sent_anonymous,
            opened: self.opened.anonymous_alone(),
            clicked: self.clicked.anonymous_alone(),
        }
    }

    /// All numbers of hits: of opens, then of clicks, people, machines, unknown,
    /// first, and how many of the first three are told of nobody.
    pub(crate) fn hits(&self) -> [u64; HITS] {
        let [_, _, hits @ ..] = self.numbers();
        hits
    }

    /// Of mails that were sent, how many of these are told of nobody, and what
    /// [`HourCounts::hits`] gives.
    pub(crate) fn of_hits([sent, sent_anonymous]: [u64; 2], hits: [u64; HITS]) -> Self {
        let mut numbers = [0; NUMBERS];
        (numbers[0], numbers[1]) = (sent, sent_anonymous);
        numbers[2..].copy_from_slice(&hits);
        Self::of(numbers)
    }

    fn numbers(&self) -> [u64; NUMBERS] {
        let (opened, clicked) = (self.opened.numbers(), self.clicked.numbers());
        let mut numbers = [0; NUMBERS];
        (numbers[0], numbers[1]) = (self.sent, self.sent_anonymous);
        numbers[2..9].copy_from_slice(&opened);
        numbers[9..].copy_from_slice(&clicked);
        numbers
    }

    fn of(
        [
            sent,
            sent_anonymous,
            a,
            b,
            c,
            d,
            e,
            f,
            g,
            h,
            i,
            j,
            k,
            l,
            m,
            n,
        ]: [u64; NUMBERS],
    ) -> Self {
        Self {
            sent,
            sent_anonymous,
            opened: HitCounts::of([a, b, c, d, e, f, g]),
            clicked: HitCounts::of([h, i, j, k, l, m, n]),
        }
    }
}

impl DomainHours {
    /// Counts an event.
    pub(super) fn count_event(&mut self, domain: KeyHash, facts: &EventFacts<'_>) {
        if facts.test {
            return;
        }
        let hour = self.0.entry((domain, hour_of(facts.time_ms))).or_default();
        let hits = match facts.key.kind {
            EventKind::Opened => &mut hour.opened,
            EventKind::Clicked => &mut hour.clicked,
        };
        hits.count(facts.verdict, facts.first);
    }

    /// Counts hits that are told of nobody.
    pub(super) fn count_counted(&mut self, domain: KeyHash, counted: &Counted<'_>) {
        let hour = self.0.entry((domain, counted.hour)).or_default();
        hour.opened.count_anonymous(counted.opened);
        hour.clicked.count_anonymous(counted.clicked);
    }

    /// Counts a message record.
    pub(super) fn count_message(&mut self, domain: KeyHash, key: &MessageKey) {
        if !key.test && !key.again {
            self.hour_of(domain, key.rewritten_at).sent += 1;
        }
    }

    /// Counts a mail of which nothing else is told.
    pub(super) fn count_sent(&mut self, domain: KeyHash, sent: &Sent<'_>) {
        if !sent.test && !sent.again {
            let hour = self.hour_of(domain, sent.rewritten_at);
            hour.sent += 1;
            hour.sent_anonymous += 1;
        }
    }

    fn hour_of(&mut self, domain: KeyHash, time: jiff::Timestamp) -> &mut HourCounts {
        let hour = hour_of(time.as_millisecond());
        self.0.entry((domain, hour)).or_default()
    }

    /// The hours of a domain.
    pub(super) fn of(&self, domain: KeyHash) -> Vec<(u32, HourCounts)> {
        let own = self.0.iter().filter(|((of, _), _)| *of == domain);
        own.map(|((_, hour), counts)| (*hour, *counts)).collect()
    }

    /// As a run keeps it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut entries: Vec<_> = self.0.iter().collect();
        entries.sort_unstable_by_key(|(of, _)| **of);
        let mut bytes = Vec::with_capacity(entries.len() * ENTRY_BYTES);
        for ((domain, hour), counts) in entries {
            bytes.extend_from_slice(&domain.0.to_be_bytes());
            bytes.extend_from_slice(&hour.to_be_bytes());
            for number in counts.numbers() {
                // A segment holds far fewer records than 2^32.
                bytes.extend_from_slice(&(number as u32).to_be_bytes());
            }
        }
        bytes
    }
}

/// The hours of a domain in what a run keeps.
pub(super) fn decode(bytes: &[u8], domain: KeyHash) -> Vec<(u32, HourCounts)> {
    let wanted = domain.0.to_be_bytes();
    let (entries, _) = bytes.as_chunks::<ENTRY_BYTES>();
    let first = entries.partition_point(|entry| entry[..8] < wanted[..]);
    entries[first..]
        .iter()
        .take_while(|entry| entry[..8] == wanted[..])
        .map(|entry| {
            let (words, _) = entry[8..].as_chunks::<4>();
            let word = |n: usize| words.get(n).map_or(0, |word| u32::from_be_bytes(*word));
            let numbers = std::array::from_fn(|n| u64::from(word(n + 1)));
            (word(0), HourCounts::of(numbers))
        })
        .collect()
}

/// The begin of an hour since 1970, in milliseconds.
pub(crate) fn hour_ms(hour: u32) -> u64 {
    u64::from(hour) * HOUR_MS.unsigned_abs()
}

/// Hours since 1970; what is before counts as then.
pub(crate) fn hour_of(ms: i64) -> u32 {
    u32::try_from(ms / HOUR_MS).unwrap_or(0)
}

// === Asking ===

/// Which hours of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatsQuery {
    /// The domain.
    pub domain: Realm,
    /// The first hour since 1970.
    pub from: u32,
    /// The hour behind the last.
    pub to: u32,
}

/// What happened in the hours in which anything did.
pub(super) fn stats(
    sources: Sources<'_>,
    query: &StatsQuery,
) -> Result<BTreeMap<u32, HourCounts>, QueryError> {
    let mut adding = Adding {
        query,
        domain: sources.lookup.hasher().domain(query.domain.as_str()),
        budget: sources.budget,
        hours: BTreeMap::new(),
    };
    for part in sources.reader.parts() {
        adding.part(part, sources.lookup).map_err(unavailable)?;
        if adding.budget.is_spent() {
            // Half of the truth would be none.
            return Err(QueryError::IndexBehind);
        }
    }
    Ok(adding.hours)
}

struct Adding<'a> {
    query: &'a StatsQuery,
    domain: KeyHash,
    budget: Budget,
    hours: BTreeMap<u32, HourCounts>,
}

impl Adding<'_> {
    fn part(&mut self, part: Part<'_>, lookup: &Lookup<'_>) -> io::Result<()> {
        let time = |hour: u32| jiff::Timestamp::from_millisecond(i64::from(hour) * HOUR_MS).ok();
        if !may_be_in(part.segment, time(self.query.from), time(self.query.to)) {
            return Ok(());
        }
        let counted = lookup.counts(part.segment, self.domain);
        let from = counted
            .as_ref()
            .map_or(FRAMES_START, |counted| counted.covered);
        for (hour, counts) in counted.into_iter().flat_map(|counted| counted.hours) {
            self.add(hour, &counts);
        }
        if from < part.segment.summary.end {
            self.read(part, from)?;
        }
        Ok(())
    }

    /// Counts what the index has not.
    fn read(&mut self, part: Part<'_>, from: u64) -> io::Result<()> {
        let own = self.query.domain.as_str();
        let mut hours = DomainHours::default();
        let (domain, budget) = (self.domain, &mut self.budget);
        let _ = part.each_from(&*part.file()?, from, |_, head, payload| {
            budget.read(head.frame_bytes());
            match head.kind {
                record::EVENT => {
                    if let Ok(facts) = record::event_facts(payload)
                        && facts.key.domain == own
                    {
                        hours.count_event(domain, &facts);
                    }
                }
                record::MESSAGE => {
                    if let Ok(key) = record::peek_message(payload)
                        && key.domain.as_str() == own
                    {
                        hours.count_message(domain, &key);
                    }
                }
                record::COUNTED => {
                    if let Ok(counted) = record::decode_counted(payload)
                        && counted.domain == own
                    {
                        hours.count_counted(domain, &counted);
                    }
                }
                record::SENT => {
                    if let Ok(sent) = record::decode_sent(payload)
                        && sent.domain == own
                    {
                        hours.count_sent(domain, &sent);
                    }
                }
                _ => {}
            }
            match budget.is_spent() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        })?;
        for (hour, counts) in hours.of(domain) {
            self.add(hour, &counts);
        }
        Ok(())
    }

    fn add(&mut self, hour: u32, counts: &HourCounts) {
        if (self.query.from..self.query.to).contains(&hour) {
            self.hours.entry(hour).or_default().add(counts);
        }
    }
}

#[cfg(test)]
mod tests;
