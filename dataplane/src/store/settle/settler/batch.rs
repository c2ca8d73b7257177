//! What is settled together: events one by one, and what is told of nobody.

use std::collections::BTreeMap;

use mailtrail_core::config::Recorded;
use mailtrail_core::event::{Event, Verdict};
use mailtrail_core::id::{Realm, Recipient};

use super::super::counting::Tally;
use super::super::judging::Settled;
use super::super::spool::Place;
use super::Read;
use crate::store::lasts::{day_ms, day_of};
use crate::store::record;
use crate::store::{hour_ms, hour_of};

/// Settled events on their way to the disk.
pub(super) struct Batch {
    pub(super) events: Vec<Judged>,
    /// What is told of nobody: counted when the events are on the disk.
    pub(super) anonymous: Vec<Event>,
    /// None until then.
    pub(super) tallies: Option<Vec<Tally>>,
    /// Its hits, and all before them, are settled with it.
    pub(super) end: Place,
}

/// An event, or the day of one, on its way.
pub(super) struct Judged {
    /// An event, or the day of one.
    pub(super) kind: u16,
    pub(super) payload: Vec<u8>,
    pub(super) time_ms: u64,
    pub(super) verdict: Verdict,
    /// Whose it is, where somebody is named.
    pub(super) reader: Option<(Realm, Recipient)>,
    /// Whether it is on the disk, or must not get there.
    pub(super) done: bool,
    /// Whether it must not.
    pub(super) withheld: bool,
}

impl Batch {
    pub(super) fn of(read: Read) -> Self {
        let days = last_days(&read.judged);
        let is_told = |settled: &Settled| settled.recorded == Recorded::Identified;
        let (told, untold): (Vec<_>, Vec<_>) = read.judged.into_iter().partition(is_told);
        let events = told.into_iter().map(|told| told.event.into());
        Self {
            events: events.chain(days).collect(),
            anonymous: untold.into_iter().map(|untold| untold.event).collect(),
            tallies: None,
            end: read.end,
        }
    }

    /// When it happened, for its mark: the moment of an event, or the hour of
    /// what has no moment.
    pub(super) fn time_ms(&self) -> u64 {
        let event = self.events.first().map(|event| event.time_ms);
        let hour = self.anonymous.first().map(|event| {
            let hour = hour_of(event.time.as_millisecond());
            hour_ms(hour)
        });
        event.or(hour).unwrap_or(0)
    }
}

/// The days of those hits of people of which a day is kept: one of each message,
/// reader, kind and day.
fn last_days(judged: &[Settled]) -> Vec<Judged> {
    let dated = judged.iter().filter(|settled| {
        let Event { client, test, .. } = &settled.event;
        settled.recorded == Recorded::LastDate && client.verdict.is_person() && !test
    });
    let days = dated.map(|settled| {
        let event = &settled.event;
        let day = day_of(event.time.as_millisecond());
        (record::encode_last(event, day), (event, day))
    });
    let different: BTreeMap<_, _> = days.collect();
    let judged = |(payload, (event, day)): (Vec<u8>, (&Event, u32))| Judged {
        kind: record::LAST,
        payload,
        time_ms: day_ms(day),
        verdict: event.client.verdict,
        reader: event
            .recipient
            .clone()
            .map(|recipient| (event.domain.clone(), recipient)),
        done: false,
        withheld: false,
    };
    different.into_iter().map(judged).collect()
}

impl From<Event> for Judged {
    fn from(event: Event) -> Self {
        Self {
            kind: record::EVENT,
            payload: record::encode_event(&event),
            time_ms: u64::try_from(event.time.as_millisecond()).unwrap_or(0),
            verdict: event.client.verdict,
            reader: event.recipient.map(|recipient| (event.domain, recipient)),
            done: false,
            withheld: false,
        }
    }
}
