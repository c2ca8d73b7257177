//! Looks for messages by what their records say, newest first.
//!
//! Each recorded rewrite is a record: a message that was rewritten again stands
//! there again. The index knows the records of a domain, a reader and a tag; a
//! page ends early where too much would be read ([`super::budget`]).

use std::collections::BTreeMap;
use std::io;
use std::ops::ControlFlow;

use jiff::Timestamp;
use mailtrail_core::id::{Realm, Recipient};
use mailtrail_core::message::MessageRecord;

use super::QueryError;
use super::budget::Budget;
use super::cursor::{Cursor, Listed, Position};
use super::filter::{has_tags, may_be_in};
use super::index::Lookup;
use super::journal::{FRAMES_START, Part};
use super::list::{Sources, unavailable};
use super::narrow::{Narrow, Places};
use super::record::{self, MessageKey};

/// Most messages of one page.
pub const PAGE_MAX_MESSAGES: usize = 1000;

/// Which messages.
#[derive(Debug, Clone)]
pub struct MessageQuery {
    /// Of this domain.
    pub domain: Realm,
    /// To this reader only.
    pub recipient: Option<Recipient>,
    /// With all of these tags.
    pub tags: BTreeMap<String, String>,
    /// Whose id begins so.
    pub id_prefix: Option<String>,
    /// Rewritten not before.
    pub since: Option<Timestamp>,
    /// Rewritten before.
    pub until: Option<Timestamp>,
    /// Older than this place.
    pub after: Option<Cursor>,
    /// At most so many, 1 to [`PAGE_MAX_MESSAGES`].
    pub limit: usize,
}

/// Messages, the last that was rewritten first.
#[derive(Debug, Clone)]
pub struct MessagePage {
    /// Their records.
    pub messages: Vec<MessageRecord>,
    /// Where the next page begins; none where there is no more.
    pub next: Option<Cursor>,
}

/// Looks for messages older than a cursor.
pub(super) fn messages(
    sources: Sources<'_>,
    query: &MessageQuery,
) -> Result<MessagePage, QueryError> {
    let seen = match &query.after {
        None => Position {
            seq: u64::MAX,
            ..Position::default()
        },
        Some(cursor) => cursor.position(sources.key, Listed::Messages, sources.reader)?,
    };
    let mut page = Page {
        query,
        limit: query.limit.clamp(1, PAGE_MAX_MESSAGES),
        narrow: narrow(query, sources.lookup),
        budget: sources.budget,
        messages: Vec::new(),
        seen,
    };
    let flow = page.fill(sources).map_err(unavailable)?;
    let next = Cursor::new(sources.key, Listed::Messages, page.seen);
    Ok(MessagePage {
        messages: page.messages,
        next: flow.is_break().then_some(next),
    })
}

fn narrow(query: &MessageQuery, lookup: &Lookup<'_>) -> Narrow {
    let (hasher, domain) = (lookup.hasher(), query.domain.as_str());
    let mut narrow = Narrow::default();
    if let Some(recipient) = &query.recipient {
        narrow.keep_any_of(vec![hasher.recipient_messages(domain, recipient.as_str())]);
    }
    for (name, value) in &query.tags {
        narrow.keep_any_of(vec![hasher.records_of_tag(domain, (name, value))]);
    }
    if query.recipient.is_none() && query.tags.is_empty() {
        narrow.keep_any_of(vec![hasher.records_of_domain(domain)]);
    }
    narrow
}

struct Page<'a> {
    query: &'a MessageQuery,
    limit: usize,
    narrow: Narrow,
    budget: Budget,
    messages: Vec<MessageRecord>,
    /// Everything from here on was seen.
    seen: Position,
}

impl Page<'_> {
    /// Breaks where there may be more.
    fn fill(&mut self, sources: Sources<'_>) -> io::Result<ControlFlow<()>> {
        for part in sources.reader.parts().rev() {
            let summary = part.segment.summary;
            if summary.messages == 0
                || summary.first_seq >= self.seen.seq
                || !may_be_in(part.segment, self.query.since, self.query.until)
            {
                continue;
            }
            let places = self.narrow.places(part, sources.lookup);
            if places.is_none(part) {
                continue;
            }
            if self.read(part, places)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
            self.seen = Position {
                seq: summary.first_seq,
                ..Position::default()
            };
            // Where the index does not reach, looking costs, found or not.
            if self.budget.is_spent() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Reads a segment from its end on.
    fn read(&mut self, part: Part<'_>, places: Places) -> io::Result<ControlFlow<()>> {
        let (file, number) = (part.file()?, part.segment.number);
        let mut known = self.every_place(part, places)?;
        if self.seen.segment == number {
            let (at, seq) = (u64::from(self.seen.at), self.seen.seq);
            if part.behind(&*file, at, seq)?.is_some() {
                known.retain(|place| *place < at);
            }
        }
        part.each_at(&*file, known.into_iter().rev(), |at, head, payload| {
            if head.seq >= self.seen.seq {
                return ControlFlow::Continue(());
            }
            self.budget.looked_up(head.frame_bytes());
            self.seen = Position {
                seq: head.seq,
                segment: number,
                at: u32::try_from(at).unwrap_or(0),
            };
            if head.kind == record::MESSAGE
                && record::peek_message(payload).is_ok_and(|key| self.is_asked(&key))
                && let Ok(message) = record::decode_message(payload)
            {
                self.messages.push(message);
            }
            if self.messages.len() >= self.limit || self.budget.is_spent() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
    }

    /// The places of records, those that the index does not know among them.
    fn every_place(&mut self, part: Part<'_>, places: Places) -> io::Result<Vec<u64>> {
        let Places { mut known, from } = places;
        let unknown = Places {
            known: Vec::new(),
            from: from.max(FRAMES_START),
        };
        let _ = unknown.each(part, &mut self.budget, |_, at, head, _| {
            if head.kind == record::MESSAGE {
                known.push(at);
            }
            ControlFlow::Continue(())
        })?;
        Ok(known)
    }

    fn is_asked(&self, key: &MessageKey) -> bool {
        let MessageQuery {
            domain,
            recipient,
            tags,
            id_prefix,
            since,
            until,
            after: _,
            limit: _,
        } = self.query;
        key.domain == *domain
            && (recipient.is_none() || key.recipient == *recipient)
            && id_prefix
                .as_ref()
                .is_none_or(|prefix| key.message_id.as_str().starts_with(prefix.as_str()))
            && since.is_none_or(|since| key.rewritten_at >= since)
            && until.is_none_or(|until| key.rewritten_at < until)
            && has_tags(&key.tags, tags)
    }
}

#[cfg(test)]
mod tests;
