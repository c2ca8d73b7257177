//! When a mail was sent, as its message record says.

use std::io;

use jiff::Timestamp;
use mailtrail_core::event::Event;

use super::asked::any_in;
use crate::store::index::{KeyHasher, Lookup};
use crate::store::journal::Reader;
use crate::store::record;

/// A token says in which hour its mail was rewritten, and the message record is
/// of that moment; a second hour is for clocks that differ.
const RECORDED_WITHIN_MS: u64 = 2 * 60 * 60 * 1000;

/// What the message record of an event gives as the time of sending, where
/// there is a record and it does. `mail_sent` is the hour of rewriting.
pub(super) fn sent_at(
    event: &Event,
    mail_sent: Timestamp,
    (journal, hasher): (&Reader, KeyHasher),
    lookup: Option<&Lookup<'_>>,
) -> io::Result<Option<Timestamp>> {
    let recipient = event.recipient.as_ref();
    let key = hasher.message_records(&event.domain, &event.message_id, recipient);
    let from_ms = u64::try_from(mail_sent.as_millisecond()).unwrap_or(0);
    let until_ms = from_ms.saturating_add(RECORDED_WITHIN_MS);
    let mut sent_at = None;
    for part in journal.parts().rev() {
        let summary = &part.segment.summary;
        if summary.messages == 0 || summary.last_ms < from_ms || summary.first_ms > until_ms {
            continue;
        }
        let found = any_in(part, lookup, key, |head, payload| {
            head.kind == record::MESSAGE
                && record::peek_message(payload).is_ok_and(|key| {
                    key.domain == event.domain
                        && key.message_id == event.message_id
                        && key.recipient.as_ref() == recipient
                })
                && record::decode_message(payload).is_ok_and(|message| {
                    sent_at = message.sent_at;
                    true
                })
        })?;
        if found {
            break;
        }
    }
    Ok(sent_at)
}
