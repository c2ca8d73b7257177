//! On which day a reader last opened a message, or followed one of its links,
//! where no more is kept of them; in the form of [`super`], whose first fields it
//! has, so that [`super::peek_event`] reads whose it is.

use mailtrail_core::event::Event;

use super::read::Fields;
use super::{
    DOMAIN, EventKey, KIND, MESSAGE_ID, RECIPIENT, Unreadable, kind_code, peek_event, put,
};

const DAY: u8 = 30;

/// The last day that is known when this was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Last<'a> {
    /// Whose, and of what.
    pub(crate) key: EventKey<'a>,
    /// Days since 1970, of UTC.
    pub(crate) day: u32,
}

/// The payload of such a record.
pub(crate) fn encode_last(event: &Event, day: u32) -> Vec<u8> {
    let mut to = Vec::with_capacity(128);
    put(&mut to, DOMAIN, event.domain.as_str().as_bytes());
    put(&mut to, KIND, &[kind_code(event.kind)]);
    put(&mut to, MESSAGE_ID, event.message_id.as_str().as_bytes());
    if let Some(recipient) = &event.recipient {
        put(&mut to, RECIPIENT, recipient.as_str().as_bytes());
    }
    put(&mut to, DAY, &day.to_le_bytes());
    to
}

/// Reads such a record.
pub(crate) fn decode_last(payload: &[u8]) -> Result<Last<'_>, Unreadable> {
    let mut day = None;
    for field in Fields(payload) {
        if let (DAY, bytes) = field? {
            let bytes = bytes.try_into().map_err(|_| Unreadable)?;
            day = Some(u32::from_le_bytes(bytes));
        }
    }
    Ok(Last {
        key: peek_event(payload)?,
        day: day.ok_or(Unreadable)?,
    })
}

#[cfg(test)]
mod tests {
    use mailtrail_core::event::EventKind;

    use super::*;
    use crate::store::fixtures::event;

    #[test]
    fn a_day_reads_back_and_nothing_else_of_its_event_is_there() {
        let mut event = event("shop/links", "m-1");
        for recipient in [None, Some("r-1".parse().expect("recipient"))] {
            event.recipient = recipient;
            let payload = encode_last(&event, 20_717);
            let key = EventKey {
                domain: "shop/links",
                kind: EventKind::Clicked,
                message_id: "m-1",
                recipient: event.recipient.as_ref().map(|of| of.as_str()),
            };
            assert_eq!(decode_last(&payload), Ok(Last { key, day: 20_717 }));
            let holds = |part: &[u8]| memchr::memmem::find(&payload, part).is_some();
            assert!(!holds(b"e.com") && !holds(event.id.as_bytes()));
            for at in 0..payload.len() {
                assert!(decode_last(&payload[..at]).is_err());
            }
        }
    }
}
