//! Looks a record up in the journal by its key: through the index where it
//! knows a segment, else by reading that segment.

use std::io;
use std::ops::ControlFlow;

use crate::store::index::{KeyHash, Lookup};
use crate::store::journal::{FRAMES_START, FrameHead, Part};

/// Gives records of a segment that may have a key until one was it; says
/// whether one was. What the index names comes first, then what it does not
/// know yet.
pub(super) fn any_in(
    part: Part<'_>,
    lookup: Option<&Lookup<'_>>,
    key: KeyHash,
    mut is_it: impl FnMut(FrameHead, &[u8]) -> bool,
) -> io::Result<bool> {
    let mut each = |_, head, payload: &[u8]| match is_it(head, payload) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    };
    let found = lookup.and_then(|lookup| lookup.find(part.segment, key));
    let covered = found.as_ref().map_or(FRAMES_START, |found| found.covered);
    let places = found.map(|found| found.places).unwrap_or_default();
    if places.is_empty() && covered >= part.segment.summary.end {
        return Ok(false);
    }
    let file = part.file()?;
    if part.each_at(&*file, places, &mut each)?.is_break() {
        return Ok(true);
    }
    if covered >= part.segment.summary.end {
        return Ok(false);
    }
    Ok(part.each_from(&*file, covered, each)?.is_break())
}
