//! A hit that is not settled: its event in the form of [`super`], followed by
//! what its verdict needs and the request alone knew.

use jiff::Timestamp;
use mailtrail_core::config::Recorded;
use mailtrail_core::event::Unsettled;

use super::read::{Fields, text, time};
use super::{
    DOMAIN, ID, MESSAGE_ID, RECIPIENT, TARGET, Unreadable, decode_event, encode_event, put,
};

const SIGN: u8 = 21;
const MAIL_SENT: u8 = 22;
/// Not there where it is [`Recorded::Identified`].
const RECORDED: u8 = 23;
const IDENTIFIED: u8 = 0;
const LAST_DATE: u8 = 1;
const ANONYMOUS: u8 = 2;

/// What is asked of a hit that waits, without reading all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HitKey<'a> {
    /// Its id, 16 bytes.
    pub(crate) id: &'a [u8],
    /// `namespace/name`.
    pub(crate) domain: &'a str,
    /// The message.
    pub(crate) message_id: &'a str,
    /// The reader, when named.
    pub(crate) recipient: Option<&'a str>,
    /// Where the link leads; none for a pixel.
    pub(crate) target: Option<&'a str>,
}

/// The payload of a hit.
pub(crate) fn encode_hit(hit: &Unsettled) -> Vec<u8> {
    // Destructured, so that a new field is not forgotten.
    let Unsettled {
        event,
        signs,
        mail_sent,
        recorded,
    } = hit;
    let mut to = encode_event(event);
    for sign in signs {
        put(&mut to, SIGN, sign.as_bytes());
    }
    put(
        &mut to,
        MAIL_SENT,
        &mail_sent.as_millisecond().to_le_bytes(),
    );
    match recorded {
        Recorded::Identified => {}
        Recorded::LastDate => put(&mut to, RECORDED, &[LAST_DATE]),
        Recorded::Anonymous => put(&mut to, RECORDED, &[ANONYMOUS]),
    }
    to
}

/// What a later version records is not known: the least then.
fn recorded_of(bytes: &[u8]) -> Recorded {
    match bytes {
        [IDENTIFIED] => Recorded::Identified,
        [LAST_DATE] => Recorded::LastDate,
        _ => Recorded::Anonymous,
    }
}

/// Reads a hit.
pub(crate) fn decode_hit(payload: &[u8]) -> Result<Unsettled, Unreadable> {
    let event = decode_event(payload)?;
    let (mut signs, mut mail_sent) = (Vec::new(), None);
    let mut recorded = Recorded::Identified;
    for field in Fields(payload) {
        match field? {
            (SIGN, bytes) => signs.push(text(bytes)?.to_owned()),
            (MAIL_SENT, bytes) => mail_sent = Some(time(bytes)?),
            (RECORDED, bytes) => recorded = recorded_of(bytes),
            _ => {}
        }
    }
    Ok(Unsettled {
        event,
        signs,
        // Not before anything, where a hit does not say.
        mail_sent: mail_sent.unwrap_or(Timestamp::UNIX_EPOCH),
        recorded,
    })
}

/// Reads of a hit what is asked while it waits.
pub(crate) fn peek_hit(payload: &[u8]) -> Result<HitKey<'_>, Unreadable> {
    let (mut id, mut domain, mut message_id) = (None, None, None);
    let (mut recipient, mut target) = (None, None);
    for field in Fields(payload) {
        match field? {
            (ID, bytes) => id = Some(bytes),
            (DOMAIN, bytes) => domain = Some(text(bytes)?),
            (MESSAGE_ID, bytes) => message_id = Some(text(bytes)?),
            (RECIPIENT, bytes) => recipient = Some(text(bytes)?),
            (TARGET, bytes) => target = Some(text(bytes)?),
            // Fields are written in the order of their tags, but for those
            // of later versions.
            (tag, _) if tag > TARGET => break,
            _ => {}
        }
    }
    Ok(HitKey {
        id: id.ok_or(Unreadable)?,
        domain: domain.ok_or(Unreadable)?,
        message_id: message_id.ok_or(Unreadable)?,
        recipient,
        target,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fixtures::hit;

    #[test]
    fn a_hit_reads_back_what_was_written() {
        let mut hit = hit("shop/links", "m-1");
        assert_eq!(decode_hit(&encode_hit(&hit)), Ok(hit.clone()));
        hit.signs = vec!["head".into(), String::new()];
        hit.event.recipient = Some("r-1".parse().expect("recipient"));
        hit.recorded = Recorded::Anonymous;
        assert_eq!(decode_hit(&encode_hit(&hit)), Ok(hit));
    }

    #[test]
    fn what_is_asked_while_it_waits_is_what_the_event_says() {
        let mut hit = hit("shop/links", "m-1");
        hit.event.recipient = Some("r-1".parse().expect("recipient"));
        let payload = encode_hit(&hit);
        assert_eq!(
            peek_hit(&payload),
            Ok(HitKey {
                id: hit.event.id.as_bytes(),
                domain: "shop/links",
                message_id: "m-1",
                recipient: Some("r-1"),
                target: Some("https://e.com/a?b=c"),
            })
        );
    }

    #[test]
    fn a_cut_payload_never_panics() {
        let payload = encode_hit(&hit("shop/links", "m-1"));
        for at in 0..payload.len() {
            let _ = (decode_hit(&payload[..at]), peek_hit(&payload[..at]));
        }
    }
}
