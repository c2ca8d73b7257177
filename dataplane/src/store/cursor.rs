//! A place in a list, as text that is handed out.
//!
//! 27 bytes in base64url: what is listed, the number of the last record that
//! was looked at, where it was found (segment and place; all big-endian), and
//! the first 6 bytes of its HMAC-SHA256 under the folder's key. It says nothing
//! of a filter: numbers are given in the order in which records are kept, so
//! with whatever filter it misses nothing and repeats nothing. The place saves
//! reading the segment from its beginning; where another record is there by
//! now, it is ignored.

use aws_lc_rs::hmac;
use data_encoding::BASE64URL_NOPAD;

use super::QueryError;
use super::journal::Reader;

/// Bytes of what a cursor says.
const SAID_BYTES: usize = 21;
/// Bytes of a cursor's mark.
const MARK_BYTES: usize = 6;

/// A place in a list: everything up to it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor(pub String);

/// What a cursor goes through, and its format's version: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Listed {
    /// Events, oldest first.
    Events = 1,
    /// Message records, newest first.
    Messages = 2,
}

/// What a cursor says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Position {
    /// Everything up to this number was seen.
    pub(crate) seq: u64,
    /// The segment of that record; 0 where it is not known.
    pub(crate) segment: u64,
    /// Its place there.
    pub(crate) at: u32,
}

impl Cursor {
    /// The cursor of a place.
    pub(crate) fn new(key: &hmac::Key, listed: Listed, position: Position) -> Self {
        let Position { seq, segment, at } = position;
        let mut bytes = vec![listed as u8];
        bytes.extend_from_slice(&seq.to_be_bytes());
        bytes.extend_from_slice(&segment.to_be_bytes());
        bytes.extend_from_slice(&at.to_be_bytes());
        let mark = hmac::sign(key, &bytes);
        bytes.extend_from_slice(&mark.as_ref()[..MARK_BYTES]);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// The place it says, where it is one of ours and numbers are not given a
    /// second time: ahead of everything, the folder is an older copy.
    pub(super) fn position(
        &self,
        key: &hmac::Key,
        listed: Listed,
        reader: &Reader,
    ) -> Result<Position, QueryError> {
        let position = self.decode(key, listed).ok_or(QueryError::Cursor)?;
        if position.seq >= reader.next_seq() {
            return Err(QueryError::Expired);
        }
        Ok(position)
    }

    /// The place it says, where it is one of ours.
    pub(crate) fn decode(&self, key: &hmac::Key, listed: Listed) -> Option<Position> {
        let bytes = BASE64URL_NOPAD.decode(self.0.as_bytes()).ok()?;
        let (said, mark) = bytes.split_at_checked(SAID_BYTES)?;
        let ours = mark == &hmac::sign(key, said).as_ref()[..MARK_BYTES];
        let ([of], said) = said.split_first_chunk()?;
        let (seq, said) = said.split_first_chunk()?;
        let (segment, said) = said.split_first_chunk()?;
        let (at, _) = said.split_first_chunk()?;
        (ours && *of == listed as u8).then_some(Position {
            seq: u64::from_be_bytes(*seq),
            segment: u64::from_be_bytes(*segment),
            at: u32::from_be_bytes(*at),
        })
    }
}
