//! That a mail was sent, where nothing is told of who does what with it: a keyed
//! hash of message and reader, so that it counts once however often it is
//! rewritten, and when its sender sends it, which verdicts ask for; in the form of
//! [`super`].

use jiff::Timestamp;

use super::read::{Fields, text, time};
use super::{DOMAIN, TEST, TIME, Unreadable, put};

const MAIL: u8 = 27;
const SENT_AT: u8 = 28;
const AGAIN: u8 = 29;

/// That a mail was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sent<'a> {
    /// `namespace/name`.
    pub(crate) domain: &'a str,
    /// The index's hash of message and reader, which is keyed.
    pub(crate) mail: u64,
    /// When it was rewritten.
    pub(crate) rewritten_at: Timestamp,
    /// When the caller sends it.
    pub(crate) sent_at: Option<Timestamp>,
    /// A test mail.
    pub(crate) test: bool,
    /// Whether an earlier one of this message and reader was recorded.
    pub(crate) again: bool,
}

/// The payload of such a record.
pub(crate) fn encode_sent(sent: &Sent<'_>) -> Vec<u8> {
    // Destructured, so that a new field is not forgotten.
    let Sent {
        domain,
        mail,
        rewritten_at,
        sent_at,
        test,
        again,
    } = sent;
    let mut to = Vec::with_capacity(64);
    put(&mut to, DOMAIN, domain.as_bytes());
    put(&mut to, TIME, &rewritten_at.as_millisecond().to_le_bytes());
    put(&mut to, MAIL, &mail.to_le_bytes());
    if let Some(sent_at) = sent_at {
        put(&mut to, SENT_AT, &sent_at.as_millisecond().to_le_bytes());
    }
    if *test {
        put(&mut to, TEST, &[1]);
    }
    if *again {
        put(&mut to, AGAIN, &[1]);
    }
    to
}

/// Reads such a record.
pub(crate) fn decode_sent(payload: &[u8]) -> Result<Sent<'_>, Unreadable> {
    let (mut domain, mut mail, mut rewritten_at, mut sent_at) = (None, None, None, None);
    let (mut test, mut again) = (false, false);
    for field in Fields(payload) {
        match field? {
            (DOMAIN, bytes) => domain = Some(text(bytes)?),
            (MAIL, bytes) => {
                let bytes = bytes.try_into().map_err(|_| Unreadable)?;
                mail = Some(u64::from_le_bytes(bytes));
            }
            (TIME, bytes) => rewritten_at = Some(time(bytes)?),
            (SENT_AT, bytes) => sent_at = Some(time(bytes)?),
            (TEST, bytes) => test = bytes == [1],
            (AGAIN, bytes) => again = bytes == [1],
            _ => {}
        }
    }
    Ok(Sent {
        domain: domain.ok_or(Unreadable)?,
        mail: mail.ok_or(Unreadable)?,
        rewritten_at: rewritten_at.ok_or(Unreadable)?,
        sent_at,
        test,
        again,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_mail_was_sent_reads_back() {
        let at = |ms| Timestamp::from_millisecond(ms).expect("a time");
        let plain = Sent {
            domain: "shop/links",
            mail: u64::MAX - 1,
            rewritten_at: at(1_790_000_000_120),
            sent_at: None,
            test: false,
            again: false,
        };
        let full = Sent {
            sent_at: Some(at(1_790_000_000_121)),
            test: true,
            again: true,
            ..plain
        };
        for sent in [plain, full] {
            let payload = encode_sent(&sent);
            assert_eq!(decode_sent(&payload), Ok(sent));
            for at in 0..payload.len() {
                let _ = decode_sent(&payload[..at]);
            }
        }
    }
}
