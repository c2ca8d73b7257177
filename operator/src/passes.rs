//! How many statuses are written at a time: few, so that what replicas wait for
//! is never behind what people read about it.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::queue::Inbox;
use crate::subject::Subject;

/// Statuses that are written at a time.
pub const STATUSES_AT_A_TIME: usize = 4;

/// Passes to write a status with. Who gets none is named again when one is
/// free, in the order of asking.
#[derive(Debug)]
pub struct Passes {
    inbox: Arc<Inbox>,
    line: Mutex<Line>,
}

/// Bounded by the number of domains and sinks.
#[derive(Debug)]
struct Line {
    free: usize,
    waiting: VecDeque<Subject>,
    waits: HashSet<Subject>,
}

/// Allows to write one status; given back when it is dropped.
#[derive(Debug)]
pub struct Pass<'a>(&'a Passes);

impl Passes {
    /// So many.
    pub fn new(count: usize, inbox: Arc<Inbox>) -> Self {
        let line = Line {
            free: count,
            waiting: VecDeque::new(),
            waits: HashSet::new(),
        };
        Self {
            inbox,
            line: Mutex::new(line),
        }
    }

    /// A pass, or a place in the line.
    pub fn get(&self, subject: &Subject) -> Option<Pass<'_>> {
        let mut line = self.lock();
        if line.free == 0 {
            if line.waits.insert(subject.clone()) {
                line.waiting.push_back(subject.clone());
            }
            return None;
        }
        line.free -= 1;
        Some(Pass(self))
    }

    /// Names the next in the line where a pass is free. Each turn ends with this:
    /// who was named may have had no use for the pass.
    pub fn offer(&self) {
        let mut line = self.lock();
        if line.free == 0 {
            return;
        }
        if let Some(subject) = line.waiting.pop_front() {
            line.waits.remove(&subject);
            drop(line);
            self.inbox.push(subject);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.offer();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm(name: &str) -> Subject {
        Subject::Domain(format!("shop/{name}").parse().expect("a realm"))
    }

    #[test]
    fn who_gets_no_pass_is_named_once_when_one_is_free_in_order() {
        let inbox = Arc::new(Inbox::default());
        let passes = Passes::new(1, Arc::clone(&inbox));
        let first = passes.get(&realm("a")).expect("free");
        for name in ["b", "c", "b"] {
            assert!(passes.get(&realm(name)).is_none());
        }
        assert!(inbox.is_empty());
        drop(first);
        assert_eq!(*inbox.lock_for_tests(), HashSet::from([realm("b")]));
        inbox.lock_for_tests().clear();
        drop(passes.get(&realm("b")).expect("free again"));
        assert_eq!(*inbox.lock_for_tests(), HashSet::from([realm("c")]));
        inbox.lock_for_tests().clear();
        drop(passes.get(&realm("c")).expect("free again"));
        assert!(inbox.is_empty());
    }

    #[test]
    fn who_has_no_use_for_a_pass_holds_up_nobody() {
        let inbox = Arc::new(Inbox::default());
        let passes = Passes::new(1, Arc::clone(&inbox));
        let held = passes.get(&realm("a")).expect("free");
        for name in ["b", "c"] {
            assert!(passes.get(&realm(name)).is_none());
        }
        passes.offer();
        assert!(inbox.is_empty(), "none is free");
        drop(held);
        // The turn of b ends without a write.
        inbox.lock_for_tests().clear();
        passes.offer();
        assert_eq!(*inbox.lock_for_tests(), HashSet::from([realm("c")]));
    }
}
