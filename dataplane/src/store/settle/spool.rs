//! Reads hits on, from where reading ended.

use std::io;
use std::ops::ControlFlow;

use crate::store::journal::{FRAMES_START, FrameHead, Reader};

/// A place among the hits: everything up to it was read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last number that was read.
    pub(crate) seq: u64,
    /// Where that was; the salt is another one after the segment was
    /// rewritten.
    segment: u64,
    salt: u32,
    at: u64,
}

impl Place {
    /// Behind this number, wherever that is.
    pub(crate) fn behind(seq: u64) -> Self {
        Self {
            seq,
            ..Self::default()
        }
    }

    /// Gives each record behind this place, in order, and moves over those for
    /// which it is told to go on.
    pub(crate) fn each(
        &mut self,
        reader: &Reader,
        mut each: impl FnMut(FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<()> {
        for part in reader.parts() {
            let summary = &part.segment.summary;
            let number = part.segment.number;
            let same = (number, summary.salt) == (self.segment, self.salt);
            if number < self.segment || (same && self.at >= summary.end) {
                continue;
            }
            let from = if same { self.at } else { FRAMES_START };
            let flow = part.each_from(&*part.file()?, from, |at, head, payload| {
                if head.seq > self.seq && each(head, payload).is_break() {
                    return ControlFlow::Break(());
                }
                *self = Self {
                    seq: self.seq.max(head.seq),
                    segment: number,
                    salt: summary.salt,
                    at: at + head.frame_bytes() as u64,
                };
                ControlFlow::Continue(())
            })?;
            if flow.is_break() {
                break;
            }
            // Damage at the end is not read again and again.
            *self = Self {
                seq: self.seq.max(part.last_seq()),
                segment: number,
                salt: summary.salt,
                at: summary.end,
            };
        }
        Ok(())
    }
}
