//! What became of one message: who opened it, who clicked what.
//!
//! The index says where its events are, so the cost grows with them and not
//! with the journal. Hits of test mails are in none of the figures.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::ops::ControlFlow;

use jiff::Timestamp;
use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::id::{LinkPosition, MessageId, Realm, Recipient};
use mailtrail_core::message::{MessageRecord, RecordedLink};

use super::QueryError;
use super::counts::HitCounts;
use super::filter::EventFilter;
use super::lasts::{LastDate, Latest};
use super::list::{self, Sources, unavailable};
use super::{newest, record};

/// Most events that one summary reads, oldest first: some 0.3 s. A mail to one
/// reader has a handful, a newsletter under one id for all its readers may
/// have more than this.
pub const SUMMARY_MAX_EVENTS: usize = 100_000;
/// Most readers that are told one by one.
pub const SUMMARY_MAX_READERS: usize = 100;

/// Which message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SummaryQuery {
    /// Of this domain.
    pub domain: Realm,
    /// The message.
    pub message: MessageId,
    /// To this reader only.
    pub recipient: Option<Recipient>,
    /// What happened from this moment on only.
    pub since: Option<Timestamp>,
}

impl SummaryQuery {
    /// Whether a record is not older.
    pub(crate) fn takes_record(&self, record: &MessageRecord) -> bool {
        self.since.is_none_or(|since| record.rewritten_at >= since)
    }

    /// Whether a last day is of this message, and not older; `has_record` says
    /// that a record of the message is taken.
    pub(crate) fn takes_last(&self, last: &LastDate, has_record: bool) -> bool {
        last.message == self.message
            && (self.recipient.is_none() || last.recipient == self.recipient)
            && last.is_since(self.since, || has_record)
    }

    /// Whether an event is not older.
    pub(crate) fn takes_event(&self, event: &Event) -> bool {
        self.since.is_none_or(|since| event.time >= since)
    }
}

/// What became of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MessageSummary {
    /// What its last rewrite left behind, while that is kept.
    pub record: Option<MessageRecord>,
    /// Pixels loaded.
    pub opens: HitSummary,
    /// Readers who clicked and of whom no open is known.
    pub derived_opens: u64,
    /// Links followed.
    pub clicks: HitSummary,
    /// Each link, by its place.
    pub links: Vec<LinkSummary>,
    /// Each reader, in the order of their first hits; the first
    /// [`SUMMARY_MAX_READERS`] of them.
    pub readers: Vec<ReaderSummary>,
    /// Whether there are more readers.
    pub more_readers: bool,
    /// Hits of test mails, which are in none of the figures.
    pub test_hits: u64,
    /// Whether all events were read, and not only [`SUMMARY_MAX_EVENTS`].
    pub complete: bool,
}

/// Hits of one kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HitSummary {
    /// How many.
    pub hits: HitCounts,
    /// Readers among whose hits there is one by a person.
    pub unique: u64,
    /// The first by a person.
    pub first_at: Option<Timestamp>,
    /// The last by a person.
    pub last_at: Option<Timestamp>,
}

/// The clicks of one link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkSummary {
    /// Its place.
    pub position: LinkPosition,
    /// Where it leads.
    pub target: String,
    /// The name the sender gave it.
    pub name: Option<String>,
    /// Its clicks.
    pub clicks: HitSummary,
}

/// What one reader did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReaderSummary {
    /// Who; none where the rewrite named nobody.
    pub recipient: Option<Recipient>,
    /// Their opens.
    pub opens: HitCounts,
    /// Their clicks.
    pub clicks: HitCounts,
    /// Their first hit as a person.
    pub first_at: Option<Timestamp>,
    /// Their last hit as a person.
    pub last_at: Option<Timestamp>,
    /// The day, since 1970, on which they last opened it, where no more of that is
    /// kept.
    pub opened_on: Option<u32>,
    /// The day, since 1970, on which they last followed a link, where no more of
    /// that is kept.
    pub clicked_on: Option<u32>,
}

impl ReaderSummary {
    /// Whether they clicked and no open of theirs is known: they have opened
    /// it all the same.
    pub fn is_derived_open(&self) -> bool {
        self.clicks.people > 0 && self.opens.people == 0 && self.opened_on.is_none()
    }
}

// === Summing up ===

/// Sums a message up; none where nothing is known of it.
pub(super) fn summary(
    sources: Sources<'_>,
    query: &SummaryQuery,
) -> Result<Option<MessageSummary>, QueryError> {
    let record = newest::record(sources, query)?;
    let record = record.filter(|record| query.takes_record(record));
    let mut summing = Summing::of(record.as_ref());
    let complete = summing.read(sources, (query, record.is_some()));
    let complete = complete.map_err(unavailable)?;
    if record.is_none() && summing.is_empty() && complete {
        return Ok(None);
    }
    Ok(Some(summing.finish(record, complete)))
}

/// A summary as far as it is made.
#[derive(Default)]
pub(crate) struct Summing {
    /// How many events, those of test mails too.
    events: usize,
    opens: Hits,
    clicks: Hits,
    links: BTreeMap<LinkPosition, Link>,
    readers: Vec<ReaderSummary>,
    /// Where each reader is among them.
    places: HashMap<Option<Recipient>, usize>,
    test_hits: u64,
    lasts: Latest,
}

struct Link {
    target: String,
    name: Option<String>,
    clicks: Hits,
}

#[derive(Default)]
struct Hits {
    summary: HitSummary,
    /// Readers with a hit by a person.
    people: HashSet<usize>,
}

impl Summing {
    /// Begins with the links that a record has.
    pub(crate) fn of(record: Option<&MessageRecord>) -> Self {
        let links = record.map(|record| &record.links[..]).unwrap_or_default();
        let link = |of: &RecordedLink| {
            let mut link = Link::new(of.target.to_string());
            link.name.clone_from(&of.name);
            (of.position, link)
        };
        Self {
            links: links.iter().map(link).collect(),
            ..Self::default()
        }
    }

    /// Reads the message's events, oldest first; says whether those were all.
    fn read(
        &mut self,
        sources: Sources<'_>,
        (query, has_record): (&SummaryQuery, bool),
    ) -> io::Result<bool> {
        let filter = EventFilter {
            message: Some(query.message.clone()),
            recipient: query.recipient.clone(),
            ..EventFilter::default()
        };
        let narrow = list::narrow(&query.domain, &filter, sources.lookup);
        let mut budget = sources.budget;
        for part in sources.reader.parts() {
            let places = narrow.places(part, sources.lookup);
            if places.is_none(part) {
                continue;
            }
            let flow = places.each(part, &mut budget, |budget, _, head, payload| {
                if head.kind == record::LAST
                    && let Ok(last) = record::decode_last(payload)
                    && let Some(last) = last.of(&query.domain)
                    && query.takes_last(&last, has_record)
                {
                    self.add_last(last);
                }
                if head.kind == record::EVENT
                    && record::peek_event(payload).is_ok_and(|k| filter.may_take(&query.domain, &k))
                    && let Ok(event) = record::decode_event(payload)
                    && query.takes_event(&event)
                {
                    self.add(&event);
                }
                if self.events >= SUMMARY_MAX_EVENTS || budget.is_spent() {
                    ControlFlow::Break(())
                } else {
                    ControlFlow::Continue(())
                }
            })?;
            if flow.is_break() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Adds an event of the message.
    pub(crate) fn add(&mut self, event: &Event) {
        self.events += 1;
        if event.test {
            self.test_hits += 1;
            return;
        }
        let place = self.place(event.recipient.as_ref());
        self.readers[place].add(event);
        match (event.kind, &event.link) {
            (EventKind::Opened, _) => self.opens.add(event, place),
            (EventKind::Clicked, link) => {
                self.clicks.add(event, place);
                if let Some(link) = link {
                    let of = self.links.entry(link.position);
                    let of = of.or_insert_with(|| Link::new(link.target.to_string()));
                    of.clicks.add(event, place);
                }
            }
        }
    }

    /// Adds on which day a reader did something.
    pub(crate) fn add_last(&mut self, last: LastDate) {
        self.lasts.take(last);
    }

    /// Whether nothing was added.
    pub(crate) fn is_empty(&self) -> bool {
        self.events == 0 && self.lasts.is_empty()
    }

    fn place(&mut self, recipient: Option<&Recipient>) -> usize {
        let recipient = recipient.cloned();
        if let Some(place) = self.places.get(&recipient) {
            return *place;
        }
        self.readers.push(ReaderSummary {
            recipient: recipient.clone(),
            ..ReaderSummary::default()
        });
        self.places.insert(recipient, self.readers.len() - 1);
        self.readers.len() - 1
    }

    /// Ends; says whether all events were added.
    pub(crate) fn finish(
        mut self,
        record: Option<MessageRecord>,
        complete: bool,
    ) -> MessageSummary {
        for last in std::mem::take(&mut self.lasts).sorted() {
            let place = self.place(last.recipient.as_ref());
            let reader = &mut self.readers[place];
            match last.kind {
                EventKind::Opened => reader.opened_on = Some(last.day),
                EventKind::Clicked => reader.clicked_on = Some(last.day),
            }
        }
        let derived = self.readers.iter().filter(|r| r.is_derived_open()).count();
        let more_readers = self.readers.len() > SUMMARY_MAX_READERS;
        self.readers.truncate(SUMMARY_MAX_READERS);
        let links = self.links.into_iter().map(|(position, link)| LinkSummary {
            position,
            target: link.target,
            name: link.name,
            clicks: link.clicks.finish(),
        });
        MessageSummary {
            record,
            opens: self.opens.finish(),
            derived_opens: derived as u64,
            clicks: self.clicks.finish(),
            links: links.collect(),
            readers: self.readers,
            more_readers,
            test_hits: self.test_hits,
            complete,
        }
    }
}

impl Link {
    fn new(target: String) -> Self {
        Self {
            target,
            name: None,
            clicks: Hits::default(),
        }
    }
}

impl Hits {
    fn add(&mut self, event: &Event, reader: usize) {
        let verdict = event.client.verdict;
        self.summary.hits.count(verdict, event.first);
        if verdict.is_person() {
            self.people.insert(reader);
            let HitSummary {
                first_at, last_at, ..
            } = &mut self.summary;
            widen(first_at, last_at, event.time);
        }
    }

    fn finish(self) -> HitSummary {
        HitSummary {
            unique: self.people.len() as u64,
            ..self.summary
        }
    }
}

impl ReaderSummary {
    fn add(&mut self, event: &Event) {
        let verdict = event.client.verdict;
        let hits = match event.kind {
            EventKind::Opened => &mut self.opens,
            EventKind::Clicked => &mut self.clicks,
        };
        hits.count(verdict, event.first);
        if verdict.is_person() {
            widen(&mut self.first_at, &mut self.last_at, event.time);
        }
    }
}

/// Widens a stretch of time so that it holds this one: events are kept in the
/// order of their verdicts, not of their times.
fn widen(first: &mut Option<Timestamp>, last: &mut Option<Timestamp>, time: Timestamp) {
    *first = Some(first.map_or(time, |first| first.min(time)));
    *last = Some(last.map_or(time, |last| last.max(time)));
}

#[cfg(test)]
mod tests;
