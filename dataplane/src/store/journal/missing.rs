//! Numbers whose records were on the disk and are not any more.
//!
//! A segment says which number the records before it reached when it was
//! begun. Where the segments that are there reach less far, the ones between
//! are missing. Numbers that were never on the disk (refused, torn, left out)
//! are not, nor are those whose records were erased or are past their
//! retention: a rewritten segment keeps its last number, and whole ones go
//! from the oldest on, so that none is left before them. Of what is missing at
//! the end nothing tells, and of segments that say nothing neither.
//!
//! Records of a segment in the wrong place, before one that was begun earlier,
//! are passed over, so they are missing too.

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

/// What stands in segments before one that was begun earlier.
fn misplaced(segments: &[Segment]) -> Vec<Missing> {
    let told: Vec<_> = segments
        .iter()
        .map(|segment| &segment.summary)
        .filter(|summary| summary.last_seq > 0)
        .collect();
    told.windows(2)
        .filter(|pair| pair[1].follows < pair[0].follows)
        .map(|pair| Missing {
            first: pair[0].follows + 1,
            last: pair[0].last_seq,
        })
        .collect()
}

/// What is missing between these segments, oldest first, and the last number
/// that is there.
pub(super) fn look(segments: &[Segment]) -> (Vec<Missing>, u64) {
    let mut missing = misplaced(segments);
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
