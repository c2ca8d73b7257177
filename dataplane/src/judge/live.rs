//! The rules in use, swapped as a whole.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Rules;

/// The rules of this moment: whoever judges takes them once for each hit.
#[derive(Debug)]
pub struct LiveRules(ArcSwap<Rules>);

impl LiveRules {
    /// Starts with these.
    pub fn new(rules: Rules) -> Self {
        Self(ArcSwap::from_pointee(rules))
    }

    /// The rules of this moment.
    pub fn load(&self) -> Arc<Rules> {
        self.0.load_full()
    }

    /// Hits from now on are judged by these.
    pub fn replace(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }
}
