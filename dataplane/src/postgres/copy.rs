//! Rows in the binary form of `COPY` (PostgreSQL's manual, COPY, Binary
//! Format): a third of the work of text for both sides. Pure.

use bytes::{BufMut as _, Bytes, BytesMut};
use jiff::Timestamp;
use uuid::Uuid;

/// What the form begins with: signature, flags, no further head.
const HEAD: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";
/// Microseconds from 1970 to 2000, from which the server counts.
const EPOCH_US: i64 = 946_684_800_000_000;
/// What the type `text` is called on the wire.
const TEXT_OID: i32 = 25;
/// What stands in place of the one character that a text may not hold there.
const IN_PLACE_OF_NUL: &str = "\u{fffd}";

/// Rows on their way.
pub(super) struct Rows(BytesMut);

impl Rows {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(BytesMut::from(HEAD))
    }

    /// Begins a row of so many fields, which follow.
    pub(super) fn row(&mut self, fields: i16) -> &mut Self {
        self.0.put_i16(fields);
        self
    }

    /// Ends them.
    pub(super) fn finish(mut self) -> Bytes {
        self.0.put_i16(-1);
        self.0.freeze()
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        // No field of ours is longer than a record, far below 2 GiB.
        self.0.put_i32(bytes.len() as i32);
        self.0.put_slice(bytes);
        self
    }

    pub(super) fn null(&mut self) -> &mut Self {
        self.0.put_i32(-1);
        self
    }

    pub(super) fn text(&mut self, text: &str) -> &mut Self {
        match text.contains('\0') {
            false => self.bytes(text.as_bytes()),
            true => self.bytes(clean(text).as_bytes()),
        }
    }

    pub(super) fn maybe_text(&mut self, text: Option<&str>) -> &mut Self {
        match text {
            Some(text) => self.text(text),
            None => self.null(),
        }
    }

    pub(super) fn uuid(&mut self, uuid: Uuid) -> &mut Self {
        self.bytes(uuid.as_bytes())
    }

    pub(super) fn maybe_uuid(&mut self, uuid: Option<Uuid>) -> &mut Self {
        match uuid {
            Some(uuid) => self.uuid(uuid),
            None => self.null(),
        }
    }

    pub(super) fn bool(&mut self, is: bool) -> &mut Self {
        self.bytes(&[u8::from(is)])
    }

    pub(super) fn long(&mut self, number: i64) -> &mut Self {
        self.bytes(&number.to_be_bytes())
    }

    pub(super) fn maybe_long(&mut self, number: Option<i64>) -> &mut Self {
        match number {
            Some(number) => self.long(number),
            None => self.null(),
        }
    }

    pub(super) fn time(&mut self, time: Timestamp) -> &mut Self {
        self.long(time.as_microsecond() - EPOCH_US)
    }

    pub(super) fn maybe_time(&mut self, time: Option<Timestamp>) -> &mut Self {
        match time {
            Some(time) => self.time(time),
            None => self.null(),
        }
    }

    /// An array of texts.
    pub(super) fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> &mut Self {
        let begin = self.0.len();
        self.0.put_i32(0);
        let count = texts.len() as i32;
        // Dimensions, whether any is null, type; of the one: length, first index.
        self.0.put_i32(i32::from(count > 0));
        self.0.put_i32(0);
        self.0.put_i32(TEXT_OID);
        if count > 0 {
            self.0.put_i32(count);
            self.0.put_i32(1);
        }
        for text in texts {
            self.text(text);
        }
        let length = (self.0.len() - begin - 4) as i32;
        self.0[begin..begin + 4].copy_from_slice(&length.to_be_bytes());
        self
    }
}

/// The text as a database can hold it.
pub(super) fn clean(text: &str) -> String {
    text.replace('\0', IN_PLACE_OF_NUL)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_form_of_the_manual() {
        let mut rows = Rows::new();
        rows.row(3).text("a\0b").null().texts(["x", ""].into_iter());
        let bytes = rows.finish();
        let expected: &[&[u8]] = &[
            HEAD,
            &[0, 3],
            &[0, 0, 0, 5],
            "a\u{fffd}b".as_bytes(),
            &[255; 4],
            &[0, 0, 0, 29],
            &[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1],
            &[0, 0, 0, 1, b'x', 0, 0, 0, 0],
            &[255, 255],
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn a_time_counts_from_2000() {
        let mut rows = Rows::new();
        rows.time("2000-01-01T00:00:01Z".parse().expect("a time"));
        assert_eq!(
            rows.0[HEAD.len()..],
            [0, 0, 0, 8, 0, 0, 0, 0, 0, 15, 66, 64]
        );
    }
}
