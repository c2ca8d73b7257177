//! Numbers whose records were on the disk and are not any more.
//!
//! A segment says which number the records before it reached when it was
//! begun. Where the segments that are there reach less far, the ones between
//! are missing. Numbers that were never on the disk (refused, torn, left out)
//! are not, nor are those whose records were erased or are past their
//! retention: a rewritten segment keeps its last number, and whole ones go
//! from the oldest on, so that none is left before them. Of what is missing at
//! the end nothing tells, and of segments that say nothing neither.

use serde::Serialize;

use super::read::void_from;
use super::segment::Segment;

/// A stretch of numbers whose records are gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Missing {
    /// The first number; some from here on may never have been on the disk.
    pub first: u64,
    /// The last number, which was.
    pub last: u64,
}

/// What is missing between these segments, oldest first, and the last number
/// that is there.
pub(super) fn look(segments: &[Segment]) -> (Vec<Missing>, u64) {
    let mut missing = Vec::new();
    let mut reached = 0;
    for (segment, void_from) in segments.iter().zip(void_from(segments)) {
        let summary = &segment.summary;
        // Before the first that holds anything, segments were removed.
        if reached > 0 && summary.follows > reached {
            missing.push(Missing {
                first: reached + 1,
                last: summary.follows,
            });
            // Said once, also where the next ones follow the same number.
            reached = summary.follows;
        }
        reached = reached.max(summary.last_seq.min(void_from - 1));
    }
    (missing, reached)
}
