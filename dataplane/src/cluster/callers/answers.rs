//! Answers that are remembered, within a bound: for how long each is believed,
//! and for how long it holds when nobody can be asked. Pure but for its lock.

use std::hash::Hash;
use std::time::Duration;

use quick_cache::sync::Cache;

use super::{DENIED_FOR, GRANTED_FOR, HOLDS_FOR, Known};

/// Remembered answers.
pub(super) struct Answers<K, V> {
    kept: Cache<K, Kept<V>>,
}

#[derive(Clone)]
struct Kept<V> {
    answer: V,
    at: Duration,
}

/// What is remembered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<V> {
    /// An answer that needs no asking.
    Believed(V),
    /// A grant to be asked anew; where there is no answer, it holds.
    Holds(V),
    /// Nothing of use.
    Nothing,
}

/// An answer that grants something, or does not.
pub(super) trait Grant {
    fn is_grant(&self) -> bool;
}

impl Grant for bool {
    fn is_grant(&self) -> bool {
        *self
    }
}

impl Grant for Option<Known> {
    fn is_grant(&self) -> bool {
        self.is_some()
    }
}

impl<K: Eq + Hash, V: Clone + Grant> Answers<K, V> {
    /// Remembers so many; the least used go first.
    pub(super) fn new(most: usize) -> Self {
        Self {
            kept: Cache::new(most),
        }
    }

    pub(super) fn keep(&self, key: K, answer: V, now: Duration) {
        self.kept.insert(key, Kept { answer, at: now });
    }

    pub(super) fn find(&self, key: &K, now: Duration) -> Found<V> {
        let Some(Kept { answer, at }) = self.kept.get(key) else {
            return Found::Nothing;
        };
        let age = now.saturating_sub(at);
        match answer.is_grant() {
            true if age < GRANTED_FOR => Found::Believed(answer),
            true if age < HOLDS_FOR => Found::Holds(answer),
            false if age < DENIED_FOR => Found::Believed(answer),
            _ => Found::Nothing,
        }
    }
}

impl<V> Found<V> {
    /// Nothing, where `of_use` does not hold.
    pub(super) fn filter(self, of_use: impl Fn(&V) -> bool) -> Self {
        match &self {
            Self::Believed(answer) | Self::Holds(answer) if !of_use(answer) => Self::Nothing,
            _ => self,
        }
    }
}
