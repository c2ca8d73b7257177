//! Lists events, from a cursor on.
//!
//! A cursor is 27 bytes in base64url: version, the number of the last record
//! that was looked at, where it was found (segment and place; all big-endian),
//! and the first 6 bytes of its HMAC-SHA256 under the folder's key. It moves
//! over records that a filter left out, so the next page does not read them
//! again; and since numbers are given in the order in which records are kept,
//! it misses nothing and repeats nothing. The place saves reading the segment
//! from its beginning; where another record is there by now, it is ignored.

use std::io;
use std::ops::ControlFlow;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::id::{MessageId, Realm};

use super::index::Lookup;
use super::journal::{FRAMES_START, FrameHead, Part, Reader};
use super::{join, record};

/// Most events of one page.
pub const PAGE_MAX_EVENTS: usize = 1000;
/// The version of cursors.
const CURSOR_VERSION: u8 = 1;
/// Bytes of what a cursor says.
const SAID_BYTES: usize = 21;
/// Bytes of a cursor's mark.
const MARK_BYTES: usize = 6;

/// A place in a list of events: everything up to it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// Which events to list.
#[derive(Debug, Clone)]
pub struct EventQuery {
    /// Of this domain.
    pub domain: Realm,
    /// Of this kind only.
    pub kind: Option<EventKind>,
    /// Of this message only.
    pub message: Option<MessageId>,
    /// Behind this place.
    pub after: Option<Cursor>,
    /// At most so many, 1 to [`PAGE_MAX_EVENTS`].
    pub limit: usize,
}

/// Events in the order they were kept, oldest first.
#[derive(Debug, Clone)]
pub struct EventPage {
    /// The events. None: there are no more at this moment.
    pub events: Vec<Event>,
    /// Where the next page begins; always given.
    pub next: Cursor,
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
    /// The disk does not answer.
    #[error("the store cannot be read")]
    Unavailable,
}

/// What a cursor says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Position {
    /// Everything up to this number was seen.
    seq: u64,
    /// The segment of that record; 0 where it is not known.
    segment: u64,
    /// Its place there.
    at: u32,
}

/// What a list is made from.
#[derive(Clone, Copy)]
pub(super) struct Sources<'a> {
    pub(super) reader: &'a Reader,
    pub(super) lookup: &'a Lookup<'a>,
    pub(super) key: &'a hmac::Key,
}

impl Cursor {
    fn new(key: &hmac::Key, position: Position) -> Self {
        let Position { seq, segment, at } = position;
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&segment.to_be_bytes());
        bytes.extend_from_slice(&at.to_be_bytes());
        let mark = hmac::sign(key, &bytes);
        bytes.extend_from_slice(&mark.as_ref()[..MARK_BYTES]);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    fn position(&self, key: &hmac::Key) -> Option<Position> {
        let bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).ok()?;
        let (said, mark) = bytes.split_at_checked(SAID_BYTES)?;
        let ours = mark == &hmac::sign(key, said).as_ref()[..MARK_BYTES];
        let ([version], said) = said.split_first_chunk()?;
        let (seq, said) = said.split_first_chunk()?;
        let (segment, said) = said.split_first_chunk()?;
        let (at, _) = said.split_first_chunk()?;
        (ours && *version == CURSOR_VERSION).then_some(Position {
            seq: u64::from_be_bytes(*seq),
            segment: u64::from_be_bytes(*segment),
            at: u32::from_be_bytes(*at),
        })
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
        Some(cursor) => cursor.position(sources.key).ok_or(QueryError::Cursor)?,
    };
    // Ahead of everything: the folder is an older copy, and numbers will be
    // given a second time.
    if after.seq + 1 < first || after.seq >= sources.reader.next_seq() {
        return Err(QueryError::Expired);
    }
    let mut page = Page {
        query,
        limit: query.limit.clamp(1, PAGE_MAX_EVENTS),
        events: Vec::new(),
        seen: after,
    };
    page.fill(sources).map_err(unavailable)?;
    let mut events = page.events;
    join::tags_and_names(sources.reader, sources.lookup, &mut events).map_err(unavailable)?;
    Ok(EventPage {
        events,
        next: Cursor::new(sources.key, page.seen),
    })
}

struct Page<'a> {
    query: &'a EventQuery,
    limit: usize,
    events: Vec<Event>,
    seen: Position,
}

impl Page<'_> {
    fn fill(&mut self, sources: Sources<'_>) -> io::Result<()> {
        let hasher = sources.lookup.hasher();
        let domain = hasher.domain(self.query.domain.as_str());
        for part in sources.reader.parts() {
            if part.last_seq() <= self.seen.seq {
                continue;
            }
            if sources.lookup.may_hold(part.segment, domain)
                && self.fill_from(part, sources.lookup)?.is_break()
            {
                break;
            }
            // The last record of the part may be one that was not looked at.
            if self.seen.seq < part.last_seq() {
                self.seen = Position {
                    seq: part.last_seq(),
                    ..Position::default()
                };
            }
        }
        Ok(())
    }

    fn fill_from(&mut self, part: Part<'_>, lookup: &Lookup<'_>) -> io::Result<ControlFlow<()>> {
        let number = part.segment.number;
        let mut places = Vec::new();
        let mut from = FRAMES_START;
        if let Some(message) = &self.query.message {
            let domain = self.query.domain.as_str();
            let key = lookup.hasher().message_events(domain, message.as_str());
            if let Some(found) = lookup.find(part.segment, key) {
                (places, from) = (found.places, found.covered);
            }
        }
        if places.is_empty() && from >= part.segment.summary.end {
            return Ok(ControlFlow::Continue(()));
        }
        let file = part.file()?;
        let take = |at, head, payload: &[u8]| self.take(number, at, head, payload);
        if part.each_at(&*file, places, take)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if from == FRAMES_START && self.seen.segment == number {
            let behind = part.behind(&*file, u64::from(self.seen.at), self.seen.seq)?;
            from = behind.unwrap_or(FRAMES_START);
        }
        part.each_from(&*file, from, |at, head, payload| {
            self.take(number, at, head, payload)
        })
    }

    fn take(&mut self, segment: u64, at: u64, head: FrameHead, payload: &[u8]) -> ControlFlow<()> {
        if head.seq <= self.seen.seq {
            return ControlFlow::Continue(());
        }
        self.seen = Position {
            seq: head.seq,
            segment,
            at: u32::try_from(at).unwrap_or(0),
        };
        if head.kind == record::EVENT
            && self.is_asked(payload)
            && let Ok(event) = record::decode_event(payload)
        {
            self.events.push(event);
        }
        if self.events.len() < self.limit {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    }

    fn is_asked(&self, payload: &[u8]) -> bool {
        let query = self.query;
        let message = query.message.as_ref().map(MessageId::as_str);
        record::peek_event(payload).is_ok_and(|key| {
            key.domain == query.domain.as_str()
                && query.kind.is_none_or(|kind| key.kind == kind)
                && message.is_none_or(|message| key.message_id == message)
        })
    }
}

fn unavailable(error: io::Error) -> QueryError {
    tracing::error!(%error, "journal: cannot be read");
    QueryError::Unavailable
}
