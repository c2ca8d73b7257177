//! Walks the frames of a segment file and gets over damage.
//!
//! A frame that does not hold is passed over, and the next frame that holds is
//! looked for byte by byte: only what is damaged is lost. A stretch of zeros behind the last frame
//! is room that was not used. Nothing in a payload is taken for a frame: the
//! checksum begins with the segment's salt, which no sender of data knows.

use std::io;

use super::frame::{FRAME_HEAD_BYTES, FrameHead};
use crate::store::disk::DiskFile;

/// How much is read at a time, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// How much is read for one frame, in bytes: most events and a few of their
/// neighbours.
const POINT_READ_BYTES: usize = 1024;
/// Sequence numbers do not jump further than this within a segment: far more
/// than one can hold, far less than random bytes would.
const SEQ_JUMP_MAX: u64 = 1 << 32;

/// Reads the frames of one segment in order.
pub(crate) struct Scan<'a> {
    window: Window<'a>,
    at: u64,
    salt: u32,
    last_seq: u64,
}

/// What stands next in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A record that holds.
    Record {
        /// Where its frame begins.
        at: u64,
        /// What stands before the payload.
        head: FrameHead,
        /// Its payload.
        payload: &'a [u8],
    },
    /// Bytes that are no frame, with a frame that holds behind them.
    Damaged {
        /// How many bytes.
        bytes: u64,
    },
    /// No further frame holds. What follows, up to the end of the file but
    /// for zeros, is so many bytes: a torn tail.
    End {
        /// Where the last frame ends.
        at: u64,
        /// Bytes behind it that are not zero.
        torn: u64,
    },
}

impl<'a> Scan<'a> {
    /// Scans from a frame's beginning up to `stop`.
    pub(crate) fn new(file: &'a dyn DiskFile, salt: u32, from: u64, stop: u64) -> Self {
        Self {
            window: Window {
                file,
                start: from,
                bytes: Vec::new(),
                stop,
                read_bytes: READ_BYTES,
            },
            at: from,
            salt,
            last_seq: 0,
        }
    }

    /// Reads the one frame at a place; none where no frame holds.
    pub(crate) fn frame(&mut self, at: u64) -> io::Result<Option<(FrameHead, &[u8])>> {
        self.window.read_bytes = POINT_READ_BYTES;
        self.last_seq = 0;
        let Some(head) = self.frame_at(at)? else {
            return Ok(None);
        };
        let frame = self.window.get(at, head.frame_bytes())?;
        Ok(Some((head, &frame[FRAME_HEAD_BYTES..])))
    }

    /// What stands next.
    pub(crate) fn next(&mut self) -> io::Result<Item<'_>> {
        if let Some(head) = self.frame_at(self.at)? {
            let at = self.at;
            self.at += head.frame_bytes() as u64;
            self.last_seq = head.seq;
            let frame = self.window.get(at, head.frame_bytes())?;
            let payload = &frame[FRAME_HEAD_BYTES..];
            return Ok(Item::Record { at, head, payload });
        }
        match self.find_next()? {
            Some(next) => {
                let bytes = next - self.at;
                self.at = next;
                Ok(Item::Damaged { bytes })
            }
            None => Ok(Item::End {
                at: self.at,
                torn: self.window.nonzero_from(self.at)?,
            }),
        }
    }

    /// Whether nothing but zeros follows.
    pub(crate) fn is_zeros(&mut self) -> io::Result<bool> {
        Ok(self.window.nonzero_from(self.at)? == 0)
    }

    /// The head of the frame at a place, when a frame that holds is there.
    fn frame_at(&mut self, at: u64) -> io::Result<Option<FrameHead>> {
        let Some(head) = FrameHead::decode(self.window.get(at, FRAME_HEAD_BYTES)?) else {
            return Ok(None);
        };
        let follows = head.seq > self.last_seq
            && (self.last_seq == 0 || head.seq - self.last_seq <= SEQ_JUMP_MAX);
        if !head.is_plausible() || !follows {
            return Ok(None);
        }
        let frame = self.window.get(at, head.frame_bytes())?;
        Ok(head.is_sound(frame, self.salt).then_some(head))
    }

    /// The place of the next frame that holds, behind one that does not: its
    /// length is not believed, it may lead over others.
    fn find_next(&mut self) -> io::Result<Option<u64>> {
        let mut at = self.at + 1;
        while at + FRAME_HEAD_BYTES as u64 <= self.window.stop {
            let zeros = self.window.zeros_at(at)?;
            // A frame may begin with zeros only where its checksum has some:
            // four at most, as its length is not zero.
            if zeros > 8 {
                at += zeros - 8;
                continue;
            }
            if self.frame_at(at)?.is_some() {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }
}

/// A stretch of a file in memory.
struct Window<'a> {
    file: &'a dyn DiskFile,
    start: u64,
    bytes: Vec<u8>,
    stop: u64,
    read_bytes: usize,
}

impl Window<'_> {
    /// So many bytes from a place on; fewer where the end comes first.
    fn get(&mut self, at: u64, bytes: usize) -> io::Result<&[u8]> {
        let wanted = (bytes as u64).min(self.stop.saturating_sub(at)) as usize;
        let held = at >= self.start && at + wanted as u64 <= self.start + self.bytes.len() as u64;
        if !held {
            let room = self
                .stop
                .saturating_sub(at)
                .min(wanted.max(self.read_bytes) as u64);
            self.bytes.resize(room as usize, 0);
            let read = self.file.read_at(&mut self.bytes, at)?;
            self.bytes.truncate(read);
            self.start = at;
        }
        let from = ((at - self.start) as usize).min(self.bytes.len());
        let to = (from + wanted).min(self.bytes.len());
        Ok(&self.bytes[from..to])
    }

    /// How many zeros stand at a place, as far as one read shows.
    fn zeros_at(&mut self, at: u64) -> io::Result<u64> {
        let bytes = self.get(at, 64)?;
        if bytes.iter().any(|b| *b != 0) {
            return Ok(bytes.iter().take_while(|b| **b == 0).count() as u64);
        }
        let bytes = self.get(at, READ_BYTES)?;
        Ok(bytes.iter().take_while(|b| **b == 0).count() as u64)
    }

    /// How many bytes there are up to the last one that is not zero.
    fn nonzero_from(&mut self, from: u64) -> io::Result<u64> {
        let (mut at, mut last) = (from, from);
        while at < self.stop {
            let bytes = self.get(at, READ_BYTES)?;
            if bytes.is_empty() {
                break;
            }
            if let Some(n) = bytes.iter().rposition(|b| *b != 0) {
                last = at + n as u64 + 1;
            }
            at += bytes.len() as u64;
        }
        Ok(last - from)
    }
}
