//! Whether a mail was recorded before: a mail counts as sent once, however
//! often it is rewritten.
//!
//! # Flow
//!
//! Whoever appends a message record asks here first, and the record says what
//! the answer was ([`record::encode_message`]): so counting need not look for
//! others, and the same records give the same figures, with the index and
//! without. The keys of the newest segment are read at the start, those that
//! are appended are added; for older segments the index is asked, and the record
//! it names is read.
//!
//! # Guarantees
//!
//! - Of records of one message and reader, appended one after the other or at
//!   once, one counts: the first that is kept. One that was lost does not speak
//!   for the next.
//! - Test mails neither count nor speak for others.
//! - Memory is bounded ([`HELD_MAX`]).
//!
//! # Caveats
//!
//! Of an older segment that the index does not know, because it is made anew,
//! nothing is asked: a mail that was rewritten there counts again. So does one
//! whose first record is past its retention.

use std::collections::HashMap;
use std::io;
use std::ops::ControlFlow;
use std::sync::{Mutex, PoisonError};

use mailtrail_core::message::MessageRecord;

use super::index::{Found, Index, KeyHash, KeyHasher};
use super::journal::{FRAMES_START, FrameHead, Journal, Part, Pending};
use super::record::{self, MessageKey, Sent};

/// Most keys in each of the two maps: 20 MiB of memory at most.
const HELD_MAX: usize = 1 << 19;

/// What is known of mails that were recorded.
pub(super) struct Repeats {
    hasher: KeyHasher,
    held: Mutex<Held>,
}

/// Keys, each with the number of its record.
struct Held {
    /// Those that came last, and those before them.
    lately: HashMap<KeyHash, u64>,
    before: HashMap<KeyHash, u64>,
    /// Of segments up to this number only some are held: they are asked.
    asked_up_to: u64,
    /// The segment that was written when `lately` was begun.
    begun_in: u64,
    held_max: usize,
}

impl Repeats {
    /// Reads the newest segment. Where it cannot be read, its mails count again.
    pub(super) fn load(hasher: KeyHasher, journal: &Journal) -> Self {
        Self::load_bounded(hasher, journal, HELD_MAX)
    }

    /// The same with another bound than [`HELD_MAX`].
    pub(super) fn load_bounded(hasher: KeyHasher, journal: &Journal, held_max: usize) -> Self {
        let reader = journal.reader();
        let newest = reader.parts().next_back();
        let number = newest.map_or(0, |part| part.segment.number);
        let before = newest.map_or_else(|| Ok(HashMap::new()), |part| keys(part, hasher));
        Self {
            hasher,
            held: Mutex::new(Held {
                lately: HashMap::new(),
                before: before.unwrap_or_else(|error| {
                    tracing::warn!(%error, "messages: rewritten again, some may count as sent again");
                    HashMap::new()
                }),
                asked_up_to: number.saturating_sub(1),
                begun_in: number,
                held_max,
            }),
        }
    }

    /// Appends a message record, which is told whether it repeats one.
    pub(super) fn append(
        &self,
        message: &MessageRecord,
        (journal, index): (&Journal, &Index),
        append: impl FnOnce(bool, KeyHash) -> Pending,
    ) -> Pending {
        let recipient = message.recipient.as_ref();
        let key = self
            .hasher
            .message_records(&message.domain, &message.message_id, recipient);
        if message.test {
            return append(false, key);
        }
        // Held meanwhile: of two at once the second finds the first.
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.has(key, journal) {
            return append(true, key);
        }
        let is_in_older = is_in_older(message, key, held.asked_up_to, (journal, index));
        let again = is_in_older.unwrap_or_else(|error| {
            tracing::warn!(%error, "messages: one may count as sent again");
            false
        });
        let pending = append(again, key);
        // One that is refused at once was not recorded.
        if let Some(seq) = pending.seq() {
            held.put(key, seq, journal);
        }
        pending
    }
}

impl Held {
    fn has(&self, key: KeyHash, journal: &Journal) -> bool {
        let seq = self.lately.get(&key).or_else(|| self.before.get(&key));
        seq.is_some_and(|seq| journal.is_lost(*seq) != Some(true))
    }

    fn put(&mut self, key: KeyHash, seq: u64, journal: &Journal) {
        self.lately.insert(key, seq);
        if self.lately.len() >= self.held_max {
            // The older half is let go: its segments are asked from now on.
            self.before = std::mem::take(&mut self.lately);
            self.asked_up_to = self.begun_in;
            let reader = journal.reader();
            let newest = reader.parts().next_back();
            self.begun_in = newest.map_or(0, |part| part.segment.number);
        }
    }
}

/// The keys of a segment's mails.
fn keys(part: Part<'_>, hasher: KeyHasher) -> io::Result<HashMap<KeyHash, u64>> {
    let mut keys = HashMap::new();
    if part.segment.summary.messages == 0 {
        return Ok(keys);
    }
    // Reading never stops early, so the flow says nothing.
    let _ = part.each_from(&*part.file()?, FRAMES_START, |_, head, payload| {
        if let Some(key) = key_of(head, payload, hasher) {
            keys.insert(key, head.seq);
        }
        ControlFlow::Continue(())
    })?;
    Ok(keys)
}

/// The key of a mail that may have counted.
fn key_of(head: FrameHead, payload: &[u8], hasher: KeyHasher) -> Option<KeyHash> {
    match head.kind {
        record::MESSAGE => match record::peek_message(payload).ok()? {
            MessageKey { test: true, .. } => None,
            MessageKey {
                domain,
                message_id,
                recipient,
                ..
            } => Some(hasher.message_records(&domain, &message_id, recipient.as_ref())),
        },
        record::SENT => match record::decode_sent(payload).ok()? {
            Sent { test: true, .. } => None,
            Sent { mail, .. } => Some(KeyHash(mail)),
        },
        _ => None,
    }
}

/// Whether a segment up to this number has a record of the message, as far as
/// the index knows them.
fn is_in_older(
    message: &MessageRecord,
    key: KeyHash,
    up_to: u64,
    (journal, index): (&Journal, &Index),
) -> io::Result<bool> {
    let (reader, lookup) = (journal.reader(), index.lookup());
    // A repeat most often comes soon.
    for part in reader.parts().rev() {
        let segment = part.segment;
        if segment.number > up_to || segment.summary.messages == 0 {
            continue;
        }
        let Some(Found { places, .. }) = lookup.find(segment, key) else {
            continue;
        };
        if places.is_empty() {
            continue;
        }
        let flow = part.each_at(&*part.file()?, places, |_, head, payload| {
            let same = match head.kind {
                record::MESSAGE => {
                    record::peek_message(payload).is_ok_and(|key| is_of(&key, message))
                }
                record::SENT => record::decode_sent(payload).is_ok_and(|sent| {
                    !sent.test && sent.mail == key.0 && sent.domain == message.domain.as_str()
                }),
                _ => false,
            };
            match same {
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

fn is_of(key: &MessageKey, message: &MessageRecord) -> bool {
    !key.test
        && key.domain == message.domain
        && key.message_id == message.message_id
        && key.recipient == message.recipient
}

#[cfg(test)]
mod tests;
