//! Lists events, from a cursor on.
//!
//! A cursor is 15 bytes in base64url: version, the number of the last record
//! that was looked at (big-endian), and the first 6 bytes of its HMAC-SHA256
//! under the folder's key. It moves over records that a filter left out, so
//! the next page does not read them again; and since numbers are given in the
//! order in which records are kept, it misses nothing and repeats nothing.

use std::io;
use std::ops::ControlFlow;

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;
use mailtrail_core::event::{Event, EventKind};
use mailtrail_core::id::{MessageId, Realm};

use super::journal::Reader;
use super::record;

/// Most events of one page.
pub const PAGE_MAX_EVENTS: usize = 1000;
/// The version of cursors.
const CURSOR_VERSION: u8 = 1;
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

impl Cursor {
    fn new(key: &hmac::Key, seq: u64) -> Self {
        let mut bytes = vec![CURSOR_VERSION];
        bytes.extend_from_slice(&seq.to_be_bytes());
        let mark = hmac::sign(key, &bytes);
        bytes.extend_from_slice(&mark.as_ref()[..MARK_BYTES]);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    fn seq(&self, key: &hmac::Key) -> Option<u64> {
        let bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).ok()?;
        let (said, mark) = bytes.split_at_checked(9)?;
        let ours = mark == &hmac::sign(key, said).as_ref()[..MARK_BYTES];
        let (version, seq) = said.split_first()?;
        let seq = seq.try_into().ok().map(u64::from_be_bytes)?;
        (ours && *version == CURSOR_VERSION).then_some(seq)
    }
}

/// Lists by reading the journal from the cursor on.
pub(super) fn events(
    reader: &Reader,
    key: &hmac::Key,
    query: &EventQuery,
) -> Result<EventPage, QueryError> {
    let first = reader.first_seq();
    let after = match &query.after {
        None => first - 1,
        Some(cursor) => cursor.seq(key).ok_or(QueryError::Cursor)?,
    };
    // Ahead of everything: the folder is an older copy, and numbers will be
    // given a second time.
    if after + 1 < first || after >= reader.next_seq() {
        return Err(QueryError::Expired);
    }
    let limit = query.limit.clamp(1, PAGE_MAX_EVENTS);
    let mut page = Page {
        query,
        events: Vec::new(),
        last: after,
    };
    reader
        .each_after(after, |head, payload| {
            page.last = head.seq;
            if head.kind == record::EVENT {
                page.take(payload);
            }
            if page.events.len() < limit {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })
        .map_err(unavailable)?;
    Ok(EventPage {
        events: page.events,
        next: Cursor::new(key, page.last),
    })
}

struct Page<'a> {
    query: &'a EventQuery,
    events: Vec<Event>,
    last: u64,
}

impl Page<'_> {
    fn take(&mut self, payload: &[u8]) {
        let query = self.query;
        let Ok(key) = record::peek_event(payload) else {
            return;
        };
        let asked = key.domain == query.domain.as_str()
            && query.kind.is_none_or(|kind| key.kind == kind)
            && query
                .message
                .as_ref()
                .is_none_or(|message| key.message_id == message.as_str());
        if asked && let Ok(event) = record::decode_event(payload) {
            self.events.push(event);
        }
    }
}

fn unavailable(error: io::Error) -> QueryError {
    tracing::error!(%error, "journal: cannot be read");
    QueryError::Unavailable
}
