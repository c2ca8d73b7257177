//! Links written twice, once for Outlook and once for everyone else: both
//! halves have one position where they have the same target (TRACKING.md, 18).

use mailtrail_core::id::LinkPosition;

/// Most links of one half that are remembered: a half is a button or a column,
/// and searching them stays cheap.
const TWINS_MAX: usize = 64;

/// Which half of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    /// Inside a conditional comment.
    Hidden,
    /// Shown to everyone but Outlook.
    Revealed,
}

#[derive(Debug)]
struct Twin {
    value: Box<str>,
    position: LinkPosition,
}

/// The half that went before, if nothing stood between, and the one we are in.
#[derive(Debug, Default)]
pub(super) struct Twins {
    inside: Option<Half>,
    before: Option<Half>,
    earlier: Vec<Twin>,
    current: Vec<Twin>,
}

impl Twins {
    /// Whether a half went before, so that the next link may be its twin.
    pub(super) fn awaits(&self) -> bool {
        self.inside.is_none() && self.before.is_some()
    }

    /// Enters a half; within one, this changes nothing.
    pub(super) fn enter(&mut self, half: Half) {
        if self.inside.is_some() {
            return;
        }
        if self.before == Some(half) {
            self.earlier.clear();
        }
        self.inside = Some(half);
    }

    /// Leaves the half.
    pub(super) fn leave(&mut self) {
        if let Some(half) = self.inside.take() {
            self.before = Some(half);
            self.earlier = std::mem::take(&mut self.current);
        }
    }

    /// Something that shows stands outside of any half: what comes after is no
    /// twin of what went before.
    pub(super) fn part(&mut self) {
        if self.inside.is_none() && self.before.take().is_some() {
            self.earlier.clear();
        }
    }

    /// The position of the other half of a link, if it has one; each half is
    /// taken once.
    pub(super) fn take(&mut self, value: &str) -> Option<LinkPosition> {
        self.inside?;
        let at = self.earlier.iter().position(|twin| *twin.value == *value)?;
        Some(self.earlier.remove(at).position)
    }

    /// Remembers a link of this half.
    pub(super) fn remember(&mut self, value: &str, position: LinkPosition) {
        if self.inside.is_some() && self.current.len() < TWINS_MAX {
            let value = value.into();
            self.current.push(Twin { value, position });
        }
    }
}
