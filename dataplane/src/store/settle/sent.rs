//! When a mail was sent, as its message record says.

use std::io;
use std::ops::ControlFlow;

use jiff::Timestamp;
use mailtrail_core::event::Event;

use crate::store::budget::Budget;
use crate::store::index::{KeyHasher, Lookup};
use crate::store::journal::Reader;
use crate::store::narrow::Narrow;
use crate::store::record::{self, MessageKey};

/// A token says in which hour its mail was rewritten, and the message record is
/// of that moment; a second hour is for clocks that differ.
const RECORDED_WITHIN_MS: u64 = 2 * 60 * 60 * 1000;

/// What the message record of an event gives as the time of sending, where
/// there is a record and it does: the last one, where the mail was rewritten
/// again. `mail_sent` is the hour of rewriting.
pub(super) fn sent_at(
    event: &Event,
    mail_sent: Timestamp,
    (journal, hasher): (&Reader, KeyHasher),
    lookup: Option<&Lookup<'_>>,
) -> io::Result<Option<Timestamp>> {
    let recipient = event.recipient.as_ref();
    let mail = hasher.message_records(&event.domain, &event.message_id, recipient);
    let narrow = Narrow::to(mail);
    let from_ms = u64::try_from(mail_sent.as_millisecond()).unwrap_or(0);
    let until_ms = from_ms.saturating_add(RECORDED_WITHIN_MS);
    for part in journal.parts().rev() {
        let summary = &part.segment.summary;
        if summary.messages == 0 || summary.last_ms < from_ms || summary.first_ms > until_ms {
            continue;
        }
        let places = narrow.places(part, lookup);
        if places.is_none(part) {
            continue;
        }
        let mut last = None;
        // Reading never stops early, so the flow says nothing.
        let _ = places.each(part, &mut Budget::unbounded(), |_, _, head, payload| {
            match head.kind {
                record::MESSAGE => {
                    if let Ok(key) = record::peek_message(payload)
                        && is_of(&key, event)
                    {
                        last = Some(key.sent_at);
                    }
                }
                record::SENT => {
                    if let Ok(sent) = record::decode_sent(payload)
                        && sent.domain == event.domain.as_str()
                        && sent.mail == mail.0
                    {
                        last = Some(sent.sent_at);
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        if let Some(sent_at) = last {
            return Ok(sent_at);
        }
    }
    Ok(None)
}

fn is_of(key: &MessageKey, event: &Event) -> bool {
    key.domain == event.domain
        && key.message_id == event.message_id
        && key.recipient == event.recipient
}
