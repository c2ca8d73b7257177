//! Which places of a segment need be read, as far as the index knows.

use std::io;
use std::ops::ControlFlow;

use super::budget::Budget;
use super::index::{KeyHash, Lookup};
use super::journal::{FRAMES_START, FrameHead, Part};

/// Records with a key of each of some groups; no group: all records.
#[derive(Debug, Clone, Default)]
pub(super) struct Narrow {
    groups: Vec<Vec<KeyHash>>,
}

/// The places of a segment that need be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// These, rising.
    pub(super) known: Vec<u64>,
    /// And everything from here on.
    pub(super) from: u64,
}

impl Narrow {
    /// Records with this key.
    pub(super) fn to(key: KeyHash) -> Self {
        Self {
            groups: vec![vec![key]],
        }
    }

    /// Narrows further: to records with one of these keys.
    pub(super) fn keep_any_of(&mut self, keys: Vec<KeyHash>) {
        self.groups.push(keys);
    }

    /// What need be read of a segment; all, where there is no index.
    pub(super) fn places<'a>(
        &self,
        part: Part<'_>,
        lookup: impl Into<Option<&'a Lookup<'a>>>,
    ) -> Places {
        let all = Places {
            known: Vec::new(),
            from: FRAMES_START,
        };
        let Some(lookup) = lookup.into() else {
            return all;
        };
        let mut both: Option<Places> = None;
        for group in &self.groups {
            let Some(found) = any_of(group, part, lookup) else {
                return all;
            };
            both = Some(match both {
                None => found,
                Some(known) => meet(known, found),
            });
        }
        both.unwrap_or(all)
    }
}

impl Places {
    /// Whether nothing need be read.
    pub(super) fn is_none(&self, part: Part<'_>) -> bool {
        self.known.is_empty() && self.from >= part.segment.summary.end
    }

    /// Leaves out what is before a place.
    pub(super) fn skip_to(&mut self, place: u64) {
        self.known.retain(|at| *at >= place);
        self.from = self.from.max(place);
    }

    /// Gives the records at these places, in order, until told to stop.
    pub(super) fn each(
        &self,
        part: Part<'_>,
        budget: &mut Budget,
        mut each: impl FnMut(Budget, u64, FrameHead, &[u8]) -> ControlFlow<()>,
    ) -> io::Result<ControlFlow<()>> {
        let file = part.file()?;
        let known = self.known.iter().copied();
        let flow = part.each_at(&*file, known, |at, head, payload| {
            budget.looked_up(head.frame_bytes());
            each(*budget, at, head, payload)
        })?;
        if flow.is_break() {
            return Ok(flow);
        }
        part.each_from(&*file, self.from, |at, head, payload| {
            budget.read(head.frame_bytes());
            each(*budget, at, head, payload)
        })
    }
}

/// Where records with one of these keys are; none where the index does not
/// know the segment.
fn any_of(keys: &[KeyHash], part: Part<'_>, lookup: &Lookup<'_>) -> Option<Places> {
    let mut places = Places {
        known: Vec::new(),
        from: part.segment.summary.end,
    };
    for key in keys {
        let found = lookup.find(part.segment, *key)?;
        places.from = places.from.min(found.covered);
        places.known.extend(found.places);
    }
    if keys.len() > 1 {
        places.known.sort_unstable();
        places.known.dedup();
    }
    // While the index goes on, one key may know more than another.
    places.known.retain(|at| *at < places.from);
    Some(places)
}

fn meet(mut one: Places, other: Places) -> Places {
    one.from = one.from.min(other.from);
    one.known
        .retain(|at| *at < one.from && other.known.binary_search(at).is_ok());
    one
}
