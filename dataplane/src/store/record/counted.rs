//! How many hits of a domain happened in an hour that are told of nobody: no
//! message, reader, link, tag or moment; in the form of [`super`].
//!
//! A record holds those of one batch of settling. It says up to which number
//! the hits of its domain and hour are settled, so that a start after a crash
//! counts none twice, and has an id by chance, so that shipping does neither.

use mailtrail_core::event::{EventKind, Verdict};
use uuid::Uuid;

use super::read::{Fields, text};
use super::{DOMAIN, ID, Unreadable, put};
use crate::store::counts::Split;

const HOUR: u8 = 24;
const UP_TO: u8 = 25;
const HITS: u8 = 26;
/// Bytes of the six numbers.
const HITS_BYTES: usize = 24;

/// Hits of one domain and hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counted<'a> {
    /// Of this record: nothing else is known by it.
    pub(crate) id: Uuid,
    /// `namespace/name`.
    pub(crate) domain: &'a str,
    /// Hours since 1970.
    pub(crate) hour: u32,
    /// All hits of the domain and hour up to this number are settled.
    pub(crate) up_to: u64,
    /// Pixels loaded.
    pub(crate) opened: Split,
    /// Links followed.
    pub(crate) clicked: Split,
}

impl<'a> Counted<'a> {
    /// None yet.
    pub(crate) fn none(domain: &'a str, hour: u32, up_to: u64) -> Self {
        Self {
            id: Uuid::new_v4(),
            domain,
            hour,
            up_to,
            opened: Split::default(),
            clicked: Split::default(),
        }
    }

    /// Counts a hit.
    pub(crate) fn count(&mut self, kind: EventKind, verdict: Verdict) {
        match kind {
            EventKind::Opened => self.opened.count(verdict),
            EventKind::Clicked => self.clicked.count(verdict),
        }
    }
}

/// The payload of such a record.
pub(crate) fn encode_counted(counted: &Counted<'_>) -> Vec<u8> {
    // Destructured, so that a new field is not forgotten.
    let Counted {
        id,
        domain,
        hour,
        up_to,
        opened,
        clicked,
    } = counted;
    let mut to = Vec::with_capacity(128);
    put(&mut to, DOMAIN, domain.as_bytes());
    put(&mut to, ID, id.as_bytes());
    put(&mut to, HOUR, &hour.to_le_bytes());
    put(&mut to, UP_TO, &up_to.to_le_bytes());
    let mut hits = Vec::with_capacity(HITS_BYTES);
    for number in opened.numbers().into_iter().chain(clicked.numbers()) {
        // A batch holds far fewer hits than 2^32.
        hits.extend_from_slice(&(number as u32).to_le_bytes());
    }
    put(&mut to, HITS, &hits);
    to
}

/// Reads such a record.
pub(crate) fn decode_counted(payload: &[u8]) -> Result<Counted<'_>, Unreadable> {
    let (mut id, mut domain, mut hour, mut up_to, mut hits) = (None, None, None, None, None);
    for field in Fields(payload) {
        match field? {
            (ID, bytes) => id = Some(Uuid::from_slice(bytes).map_err(|_| Unreadable)?),
            (DOMAIN, bytes) => domain = Some(text(bytes)?),
            (HOUR, bytes) => {
                let bytes = bytes.try_into().map_err(|_| Unreadable)?;
                hour = Some(u32::from_le_bytes(bytes));
            }
            (UP_TO, bytes) => {
                let bytes = bytes.try_into().map_err(|_| Unreadable)?;
                up_to = Some(u64::from_le_bytes(bytes));
            }
            (HITS, bytes) => hits = Some(numbers(bytes)?),
            _ => {}
        }
    }
    let [a, b, c, d, e, f] = hits.ok_or(Unreadable)?;
    Ok(Counted {
        id: id.ok_or(Unreadable)?,
        domain: domain.ok_or(Unreadable)?,
        hour: hour.ok_or(Unreadable)?,
        up_to: up_to.ok_or(Unreadable)?,
        opened: Split::of([a, b, c]),
        clicked: Split::of([d, e, f]),
    })
}

fn numbers(bytes: &[u8]) -> Result<[u64; 6], Unreadable> {
    let (words, rest) = bytes.as_chunks::<4>();
    let words: &[[u8; 4]; 6] = words.try_into().map_err(|_| Unreadable)?;
    match rest {
        [] => Ok(words.map(|word| u64::from(u32::from_le_bytes(word)))),
        _ => Err(Unreadable),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted() -> Counted<'static> {
        let mut counted = Counted::none("shop/links", 497_222, 77);
        counted.count(EventKind::Opened, Verdict::Human);
        counted.count(EventKind::Opened, Verdict::Proxy);
        counted.count(EventKind::Clicked, Verdict::Scanner);
        counted.count(EventKind::Clicked, Verdict::Unknown);
        counted
    }

    #[test]
    fn what_was_counted_reads_back() {
        let counted = counted();
        assert_eq!(counted.opened.people, 2);
        assert_eq!((counted.clicked.machines, counted.clicked.unknown), (1, 1));
        assert_eq!(decode_counted(&encode_counted(&counted)), Ok(counted));
    }

    #[test]
    fn a_cut_payload_never_panics() {
        let payload = encode_counted(&counted());
        for at in 0..payload.len() {
            assert!(decode_counted(&payload[..at]).is_err(), "{at}");
        }
    }
}
