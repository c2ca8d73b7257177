//! Erasing a recipient: every record of theirs in a domain leaves the disk.
//!
//! # Flow
//!
//! First they are put on the list of those who have withdrawn, under a keyed
//! hash: from then on nothing of theirs is appended ([`super::Store::append_hit`]
//! looks at the list while it stands still), so that an old pixel does not bring
//! the data back. Then each journal ends the segment that it writes, and every
//! segment that holds a record of theirs is rewritten without those
//! ([`super::journal::Closed`]). The index says which do; where it does not know
//! a segment yet, that is read. A segment that may hold bytes which are no
//! record is rewritten in any case.
//!
//! # Guarantees
//!
//! - When it has returned, no byte of a record of theirs is in a file of the
//!   data folder, whatever ends the process or the machine afterwards. The
//!   index holds keyed hashes only.
//! - What is left reads as before: order, numbers, cursors.
//! - Ended in the middle, by whatever, it has lost nothing of others; asked for
//!   again, it does what is left.
//!
//! # Caveats
//!
//! A list that is being made at that moment may still show them. What the
//! sender wrote about somebody into records of others (a tag, a subject) is not
//! found. A record that damage made unreadable after the index had its segment
//! is found where the index says that it was theirs.

use std::io;

use mailtrail_core::id::{Realm, Recipient};

use super::NotKept;
use super::index::Lookup;
use super::journal::{Closed, FRAMES_START, FrameHead, Journal, Part, Removed, Segment};
use super::record;

/// What was erased.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Erased {
    /// Events.
    pub events: u64,
    /// Message records.
    pub messages: u64,
}

/// A recipient is not, or not wholly, erased: ask again.
#[derive(Debug, thiserror::Error)]
pub enum EraseError {
    /// That they withdrew could not be kept, so nothing was begun.
    #[error("that nothing more is to be recorded of them: {0}")]
    NotSuppressed(#[from] NotKept),
    /// The disk refused something.
    #[error("the store cannot be rewritten: {0}")]
    Disk(#[from] io::Error),
    /// The database refused something, or did not answer.
    #[error("the database cannot be rewritten: {0}")]
    Database(#[from] crate::postgres::Fault),
}

/// Whose records go.
#[derive(Clone, Copy)]
pub(super) struct Whom<'a> {
    pub(super) realm: &'a Realm,
    pub(super) recipient: &'a Recipient,
}

/// Takes their records out of a journal. The index, where there is one for it,
/// says where they are.
pub(super) fn erase(
    journal: &Journal,
    lookup: Option<&Lookup<'_>>,
    whom: Whom<'_>,
) -> io::Result<Removed> {
    let closed = journal.closed()?;
    let mut removed = Removed::default();
    for part in closed.parts() {
        if part.is_headless() {
            continue;
        }
        if part.is_unclean() || holds(&closed, part, lookup, whom)? {
            removed += closed.rewrite(part, |head, payload| !whom.is_named_in(head, payload))?;
        }
    }
    closed.empty_unreadable(whom.recipient.as_str().as_bytes())?;
    closed.finish()?;
    Ok(removed)
}

/// Takes records out of a journal without an index; of files that cannot be read
/// nobody knows.
pub(crate) fn erase_where(
    journal: &Journal,
    goes: impl Fn(FrameHead, &[u8]) -> bool,
) -> io::Result<Removed> {
    let closed = journal.closed()?;
    let mut removed = Removed::default();
    for part in closed.parts() {
        if !part.is_headless() && closed.any(part, FRAMES_START, &goes)? {
            removed += closed.rewrite(part, |head, payload| !goes(head, payload))?;
        }
    }
    closed.finish()?;
    Ok(removed)
}

/// Whether a segment holds records of theirs.
fn holds(
    closed: &Closed<'_>,
    part: Part<'_>,
    lookup: Option<&Lookup<'_>>,
    whom: Whom<'_>,
) -> io::Result<bool> {
    let known = lookup.and_then(|lookup| whom.places(lookup, part.segment));
    let (places, covered) = known.unwrap_or((Vec::new(), FRAMES_START));
    let (mut read, mut theirs) = (0, false);
    // Reading never stops early, so the flow says nothing.
    let _ = part.each_at(
        &*part.file()?,
        places.iter().copied(),
        |_, head, payload| {
            read += 1;
            theirs |= whom.is_named_in(head, payload);
            std::ops::ControlFlow::Continue(())
        },
    )?;
    // One that is there no more was damaged.
    Ok(theirs
        || read < places.len()
        || (covered < part.segment.summary.end
            && closed.any(part, covered, |head, payload| {
                whom.is_named_in(head, payload)
            })?))
}

impl Whom<'_> {
    /// Where the index says that records of theirs are, and up to where it
    /// says anything.
    fn places(self, lookup: &Lookup<'_>, segment: &Segment) -> Option<(Vec<u64>, u64)> {
        let (domain, recipient) = (self.realm.as_str(), self.recipient.as_str());
        let hasher = lookup.hasher();
        let events = lookup.find(segment, hasher.recipient_events(domain, recipient))?;
        let messages = lookup.find(segment, hasher.recipient_messages(domain, recipient))?;
        let mut places = events.places;
        places.extend(messages.places);
        Some((places, events.covered.min(messages.covered)))
    }

    /// Whether a record is theirs. One that cannot be read is, when it has
    /// their name in it.
    fn is_named_in(self, head: FrameHead, payload: &[u8]) -> bool {
        let (realm, recipient) = (self.realm.as_str(), self.recipient.as_str());
        let is = |domain: &str, named: Option<&str>| domain == realm && named == Some(recipient);
        let known = match head.kind {
            record::EVENT | record::LAST => {
                record::peek_event(payload).map(|event| is(event.domain, event.recipient))
            }
            record::MESSAGE => record::peek_message(payload).map(|message| {
                let named = message.recipient.as_ref().map(Recipient::as_str);
                is(message.domain.as_str(), named)
            }),
            record::HIT => record::peek_hit(payload).map(|hit| is(hit.domain, hit.recipient)),
            _ => Ok(false),
        };
        known.unwrap_or_else(|_| memchr::memmem::find(payload, recipient.as_bytes()).is_some())
    }
}

impl From<Removed> for Erased {
    fn from(removed: Removed) -> Self {
        Self {
            events: removed.events,
            messages: removed.messages,
        }
    }
}

#[cfg(test)]
mod tests;
