//! Lists events, from a [cursor](super::cursor) on.
//!
//! A page ends when it is full, when there is no more, or when so much was
//! read that its caller should not wait any longer ([`super::budget`]): then
//! its cursor moves over what a filter left out, and the next page goes on
//! there.
//!
//! Tags are not in the events but in their message records, so a filter by tag
//! goes by rounds: some candidates are gathered, get their tags, and are taken
//! or left.

use std::io;
use std::ops::ControlFlow;

use aws_lc_rs::hmac;
use mailtrail_core::event::Event;
use mailtrail_core::id::Realm;

use super::budget::Budget;
use super::cursor::{Cursor, Listed, Position};
use super::filter::EventFilter;
use super::index::Lookup;
use super::journal::{FRAMES_START, FrameHead, Part, Reader};
use super::narrow::Narrow;
use super::{join, record};

/// Most events of one page.
pub const PAGE_MAX_EVENTS: usize = 1000;
/// Candidates that get their tags at once: some 20 ms with 80 segments.
const ROUND_CANDIDATES: usize = 256;

/// Which events to list.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// Of this domain.
    pub domain: Realm,
    /// Those of them.
    pub filter: EventFilter,
    /// Behind this place, which may come from another filter.
    pub after: Option<Cursor>,
    /// At most so many, 1 to [`PAGE_MAX_EVENTS`].
    pub limit: usize,
    /// Whether those that are not settled yet are wanted too.
    pub provisional: bool,
}

/// Events in the order they were kept, oldest first.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events.
    pub events: Vec<Event>,
    /// Where the next page begins; always given.
    pub next: Cursor,
    /// Whether there may be more at this moment, even where this page has none.
    pub more: bool,
    /// What is not settled yet, oldest first, on the last page of those who want
    /// it: with the events no more than a page takes, and in front of `next`,
    /// so that each is listed once it is settled.
    pub unsettled: Vec<Event>,
}

/// Why there is no list.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The cursor is none of ours.
    #[error("the cursor is not valid")]
    Cursor,
    /// What follows the cursor is no longer kept.
    #[error("the cursor is older than what is kept")]
    Expired,
    /// The index is being made, and without it too much would be read.
    #[error("the index is being made")]
    IndexBehind,
    /// The disk does not answer.
    #[error("the store cannot be read")]
    Unavailable,
}

/// What a list is made from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) reader: &'a Reader,
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) key: &'a hmac::Key,
    pub(super) budget: Budget,
}

impl EventQuery {
    /// All events of a domain, as many as a page takes.
    pub fn of(domain: Realm) -> Self {
        Self {
            domain,
            filter: EventFilter::default(),
            after: None,
            limit: PAGE_MAX_EVENTS,
            provisional: false,
        }
    }
}

/// Lists the events behind a cursor.
pub(super) fn events(sources: Sources<'_>, query: &EventQuery) -> Result<EventPage, QueryError> {
    let first = sources.reader.first_seq();
    let after = match &query.after {
        None => Position {
            seq: first - 1,
            ..Position::default()
        },
        Some(cursor) => cursor.position(sources.key, Listed::Events, sources.reader)?,
    };
    if after.seq + 1 < first {
        return Err(QueryError::Expired);
    }
    let mut page = Page {
        query,
        limit: query.limit.clamp(1, PAGE_MAX_EVENTS),
        narrow: narrow(&query.domain, &query.filter, sources.lookup),
        budget: sources.budget,
        events: Vec::new(),
        seen: after,
    };
    let flow = page.fill(sources).map_err(unavailable)?;
    Ok(EventPage {
        events: page.events,
        next: Cursor::new(sources.key, Listed::Events, page.seen),
        more: flow.is_break(),
        unsettled: Vec::new(),
    })
}

/// What need be read for a filter.
pub(super) fn narrow(domain: &Realm, filter: &EventFilter, lookup: &Lookup<'_>) -> Narrow {
    let (hasher, domain) = (lookup.hasher(), domain.as_str());
    let mut narrow = Narrow::default();
    if let Some(message) = &filter.message {
        narrow.keep_any_of(vec![hasher.message_events(domain, message.as_str())]);
    }
    if let Some(recipient) = &filter.recipient {
        narrow.keep_any_of(vec![hasher.recipient_events(domain, recipient.as_str())]);
    }
    narrow
}

/// The page as far as it is made.
struct Page<'a> {
    query: &'a EventQuery,
    limit: usize,
    narrow: Narrow,
    budget: Budget,
    events: Vec<Event>,
    seen: Position,
}

/// Events that are asked for by all but their tags.
struct Round<'a> {
    query: &'a EventQuery,
    most: usize,
    events: Vec<Event>,
    /// Where each of them stands.
    positions: Vec<Position>,
    seen: Position,
}

impl Page<'_> {
    /// Goes on round by round; breaks where there may be more.
    fn fill(&mut self, sources: Sources<'_>) -> io::Result<ControlFlow<()>> {
        let most = match self.query.filter.tags.is_empty() {
            true => self.limit,
            false => ROUND_CANDIDATES,
        };
        loop {
            let mut round = Round {
                query: self.query,
                most,
                events: Vec::new(),
                positions: Vec::new(),
                seen: self.seen,
            };
            let flow = round.gather(sources, &self.narrow, &mut self.budget)?;
            let joined = join::tags_and_names(sources.reader, sources.lookup, &mut round.events)?;
            self.budget.searched(joined);
            if self.take(round).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            if flow.is_continue() || self.budget.is_spent() {
                return Ok(flow);
            }
        }
    }

    /// Takes what has the tags; breaks where the page is full.
    fn take(&mut self, round: Round<'_>) -> ControlFlow<()> {
        let filter = &self.query.filter;
        for (event, position) in round.events.into_iter().zip(round.positions) {
            if filter.takes_tags(&event.tags) {
                self.events.push(event);
                if self.events.len() == self.limit {
                    self.seen = position;
                    return ControlFlow::Break(());
                }
            }
        }
        self.seen = round.seen;
        ControlFlow::Continue(())
    }
}

impl Round<'_> {
    /// Breaks where it has enough or the budget is spent.
    fn gather(
        &mut self,
        sources: Sources<'_>,
        narrow: &Narrow,
        budget: &mut Budget,
    ) -> io::Result<ControlFlow<()>> {
        let domain = sources.lookup.hasher().domain(self.query.domain.as_str());
        for part in sources.reader.parts() {
            if part.last_seq() <= self.seen.seq {
                continue;
            }
            if self.query.filter.may_be_in(part.segment)
                && sources.lookup.may_hold(part.segment, domain)
                && self.read(part, sources.lookup, narrow, budget)?.is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            // The last record of the part may be one that was not looked at.
            if self.seen.seq < part.last_seq() {
                self.seen = Position {
                    seq: part.last_seq(),
                    ..Position::default()
                };
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    fn read(
        &mut self,
        part: Part<'_>,
        lookup: &Lookup<'_>,
        narrow: &Narrow,
        budget: &mut Budget,
    ) -> io::Result<ControlFlow<()>> {
        let mut places = narrow.places(part, lookup);
        if places.is_none(part) {
            return Ok(ControlFlow::Continue(()));
        }
        let number = part.segment.number;
        if self.seen.segment == number {
            let (at, seq) = (u64::from(self.seen.at), self.seen.seq);
            let behind = part.behind(&*part.file()?, at, seq)?;
            places.skip_to(behind.unwrap_or(FRAMES_START));
        }
        places.each(part, budget, |budget, at, head, payload| {
            if head.seq <= self.seen.seq {
                return ControlFlow::Continue(());
            }
            let position = Position {
                seq: head.seq,
                segment: number,
                at: u32::try_from(at).unwrap_or(0),
            };
            self.take(position, head, payload);
            // After a record that is new: every page gets on.
            if self.events.len() >= self.most || budget.is_spent() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    fn take(&mut self, position: Position, head: FrameHead, payload: &[u8]) {
        self.seen = position;
        let EventQuery { domain, filter, .. } = self.query;
        if head.kind == record::EVENT
            && record::peek_event(payload).is_ok_and(|key| filter.may_take(domain, &key))
            && let Ok(event) = record::decode_event(payload)
            && filter.takes_but_for_tags(&event)
        {
            self.events.push(event);
            self.positions.push(position);
        }
    }
}

pub(super) fn unavailable(error: io::Error) -> QueryError {
    tracing::error!(%error, "journal: cannot be read");
    QueryError::Unavailable
}

#[cfg(test)]
mod tests;
