//! Who caused a hit. The rules and the settling of verdicts come here; until
//! they do, nothing is claimed of anybody.

use mailtrail_core::event::Verdict;

/// What can be said at the moment of a hit.
pub fn provisional() -> Verdict {
    Verdict::Unknown
}
