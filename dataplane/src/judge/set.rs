//! A set of signs, by their numbers: one machine word.

use std::ops::{BitOr, BitOrAssign, Sub};

/// Some of the signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Signs(u64);

impl Signs {
    /// Most signs there can be, those of time included.
    pub(super) const MAX: usize = u64::BITS as usize;
    /// No sign.
    pub(super) const NONE: Self = Self(0);
    /// In a burst; number 0.
    pub(super) const BURST: Self = Self(1);
    /// Soon after its mail was sent; number 1.
    pub(super) const DELIVERY_WINDOW: Self = Self(1 << 1);
    /// Both that only time gives.
    pub(super) const OF_TIME: Self = Self(Self::BURST.0 | Self::DELIVERY_WINDOW.0);

    /// The sign of a number below [`Self::MAX`].
    pub(super) fn of(number: usize) -> Self {
        Self(1 << (number % Self::MAX))
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    pub(super) fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    pub(super) fn has_any(self, others: Self) -> bool {
        self.0 & others.0 != 0
    }

    /// The numbers in it, ascending.
    pub(super) fn numbers(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let number = (left != 0).then(|| left.trailing_zeros() as usize);
            left &= left.wrapping_sub(1);
            number
        })
    }
}

impl BitOr for Signs {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Signs {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl Sub for Signs {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_tells_what_is_in_it() {
        let some = Signs::of(0) | Signs::of(5) | Signs::of(63);
        assert_eq!(some.numbers().collect::<Vec<_>>(), [0, 5, 63]);
        assert_eq!((some - Signs::of(5)).numbers().count(), 2);
        assert!(some.has_all(Signs::BURST) && !some.has_all(Signs::OF_TIME));
        assert!(some.has_any(Signs::OF_TIME) && !some.has_any(Signs::of(6)));
        assert!(Signs::NONE.is_none() && Signs::NONE.numbers().next().is_none());
    }
}
