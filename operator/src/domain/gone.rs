//! Whether the sudden absence of many domains is believed. One that is deleted
//! is retired at once; many at a time, when they are most of what there is, are
//! rather a mistake (a definition deleted, a restore gone wrong), and what they
//! held goes on being served until they return or an administrator confirms.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mailtrail_core::id::Realm;

use crate::metrics::Metrics;
use crate::world::World;

/// So many at a time may always go.
const MANY: usize = 10;
/// What counts as a time.
const WINDOW: Duration = Duration::from_secs(600);
/// Confirms, on a HostClaim, that its domain is gone.
pub const CONFIRM: &str = "mailtrail.dev/confirm-gone";

/// Domains that are found absent.
#[derive(Debug)]
pub struct Absences {
    known: Mutex<Known>,
    metrics: std::sync::Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Known {
    /// When each was found absent first.
    absent: HashMap<Realm, Instant>,
    /// Those of them that are not believed.
    disbelieved: HashMap<Realm, ()>,
}

impl Absences {
    /// None yet.
    pub fn new(metrics: std::sync::Arc<Metrics>) -> Self {
        Self {
            known: Mutex::default(),
            metrics,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to act on it that this domain is gone.
    pub fn is_believed(&self, realm: &Realm, world: &World, now: Instant) -> bool {
        if world.is_confirmed_gone(realm, CONFIRM) {
            self.is_back(realm);
            return true;
        }
        let (domains, _) = world.counts();
        let mut known = self.lock();
        known
            .absent
            .retain(|_, since| now.duration_since(*since) < WINDOW);
        known.absent.entry(realm.clone()).or_insert(now);
        let absent = known.absent.len();
        let held = known.disbelieved.contains_key(realm);
        drop(known);
        if held || (absent > MANY && absent > domains) {
            self.disbelieve(realm, "most domains vanished at once");
            return false;
        }
        true
    }

    /// Does not act on it.
    pub fn disbelieve(&self, realm: &Realm, why: &str) {
        let mut known = self.lock();
        let first = known.disbelieved.insert(realm.clone(), ()).is_none();
        let many = known.disbelieved.len();
        drop(known);
        self.metrics.disbelieved.set(count(many));
        if first {
            tracing::error!(
                domain.realm = %realm,
                why,
                "a domain vanished and goes on being served as it was: apply it again, or confirm with `kubectl annotate hostclaim <host> {CONFIRM}=true`"
            );
        }
    }

    /// It is there after all.
    pub fn is_back(&self, realm: &Realm) {
        let mut known = self.lock();
        known.absent.remove(realm);
        known.disbelieved.remove(realm);
        self.metrics.disbelieved.set(count(known.disbelieved.len()));
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn realm(at: usize) -> Realm {
        format!("shop/d{at}").parse().expect("a realm")
    }

    fn absences() -> Absences {
        Absences::new(Arc::new(Metrics::new()))
    }

    #[test]
    fn few_may_always_go_and_most_at_once_may_not() {
        let (absences, world) = (
            absences(),
            World::new("mailtrail".to_owned(), Arc::default()),
        );
        let now = Instant::now();
        for at in 0..MANY {
            assert!(absences.is_believed(&realm(at), &world, now), "{at}");
        }
        assert!(!absences.is_believed(&realm(MANY), &world, now));
        // Not even later, until it is back.
        assert!(!absences.is_believed(&realm(MANY), &world, now + WINDOW * 2));
        absences.is_back(&realm(MANY));
        assert!(absences.is_believed(&realm(MANY), &world, now + WINDOW * 2));
    }
}
