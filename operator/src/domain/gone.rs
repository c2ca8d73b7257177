//! Whether the sudden absence of many objects is believed.
//!
//! A domain that is deleted is retired once no other vanishes for [`SETTLE`].
//! When more than [`MANY`] do, and they are most of what there is, that is
//! rather a mistake (a definition deleted, a restore gone wrong), and all that
//! they held goes on being served as it was until they return or an
//! administrator confirms.
//!
//! Claims that vanish with their definition were released by nobody. While it
//! is missing, and for [`CLAIMS_SETTLE`] after, a host that is served goes to
//! nobody else, and an entry whose domain is gone gets its claims back.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mailtrail_core::id::Realm;

use crate::metrics::Metrics;
use crate::world::World;

/// So many at a time may always go.
const MANY: usize = 10;
/// What counts as a time.
const WINDOW: Duration = Duration::from_secs(600);
/// How long it is waited, since the last that vanished, whether others do, too;
/// but see [`SETTLE_LONGEST`].
const SETTLE: Duration = Duration::from_secs(2);
/// The same where many have.
const SETTLE_MANY: Duration = Duration::from_secs(5);
/// How long an absence waits for others at most: `kubectl` deletes some 50
/// objects in a second.
const SETTLE_LONGEST: Duration = Duration::from_secs(300);
/// How long after claims were without definition newcomers wait: longer than
/// the longest pause between two turns of an owner.
const CLAIMS_SETTLE: Duration = Duration::from_secs(90);
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
    /// When the last was.
    last: Option<Instant>,
    /// Those of them that are not believed.
    disbelieved: HashSet<Realm>,
    /// When claims were last found to be without definition.
    no_claims: Option<Instant>,
    /// Entries without domain that lost their claims by that.
    unclaimed: HashSet<Realm>,
}

/// What an absence comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Belief {
    /// The domain is gone.
    Gone,
    /// That is not known yet.
    NotYet,
    /// It is not, whatever it looks like.
    Not,
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

    /// Notes that a domain is absent; whether to look into that now: a moment
    /// is given to others that vanish with it.
    pub fn noted(&self, realm: &Realm, now: Instant) -> bool {
        self.lock().note(realm, now)
    }

    /// Whether to act on it that this domain is gone.
    pub fn judge(&self, realm: &Realm, world: &World, now: Instant) -> Belief {
        if world.is_confirmed_gone(realm, CONFIRM) {
            self.is_back(realm);
            return Belief::Gone;
        }
        let (domains, _) = world.counts();
        let mut known = self.lock();
        let settled = known.note(realm, now);
        let absent = known.absent.len();
        let held = known.disbelieved.contains(realm);
        drop(known);
        if held || (absent > MANY && absent > domains) {
            self.disbelieve(realm, "most domains vanished at once");
            Belief::Not
        } else if absent > MANY && !settled {
            Belief::NotYet
        } else {
            Belief::Gone
        }
    }

    /// Does not act on it.
    pub fn disbelieve(&self, realm: &Realm, why: &str) {
        let mut known = self.lock();
        let first = known.disbelieved.insert(realm.clone());
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

    // --- Claims ---

    /// Claims have no definition: nobody released a host.
    pub fn no_claims(&self, now: Instant) {
        let first = self.lock().no_claims.replace(now).is_none();
        if first {
            tracing::error!(
                "the definition of HostClaim is gone or going: what is served stays as it is; apply the definitions again, and the claims are made good"
            );
        }
    }

    /// Whether claims were without definition a while ago: who owns a host is
    /// then known by what is served.
    pub fn claims_return(&self, now: Instant) -> bool {
        let since = self.lock().no_claims;
        since.is_some_and(|since| now.duration_since(since) < CLAIMS_SETTLE)
    }

    /// Whether a claim that went then may have gone with the definition.
    pub fn went_with_definition(&self, at: Instant) -> bool {
        let since = self.lock().no_claims;
        since.is_some_and(|since| {
            at.duration_since(since) < CLAIMS_SETTLE && since.duration_since(at) < CLAIMS_SETTLE
        })
    }

    /// The claims of an entry without domain are lost, not released.
    pub fn is_unclaimed(&self, realm: &Realm) {
        self.lock().unclaimed.insert(realm.clone());
    }

    /// Whether they are.
    pub fn lost_its_claims(&self, realm: &Realm) -> bool {
        self.lock().unclaimed.contains(realm)
    }

    /// It has claims, or again.
    pub fn is_claimed(&self, realm: &Realm) {
        self.lock().unclaimed.remove(realm);
    }
}

impl Known {
    /// Notes an absence; whether it is time to judge it.
    fn note(&mut self, realm: &Realm, now: Instant) -> bool {
        self.absent
            .retain(|other, since| other == realm || now.duration_since(*since) < WINDOW);
        if !self.absent.contains_key(realm) {
            self.absent.insert(realm.clone(), now);
            self.last = Some(now);
        }
        let since = self.absent[realm];
        let quiet = self.last.map_or(SETTLE, |last| now.duration_since(last));
        let enough = if self.absent.len() > MANY {
            SETTLE_MANY
        } else {
            SETTLE
        };
        quiet >= enough || now.duration_since(since) >= SETTLE_LONGEST
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

    fn world() -> World {
        World::new("mailtrail".to_owned(), Arc::default())
    }

    #[test]
    fn what_went_about_when_the_definition_was_missing_was_not_released() {
        let (absences, now) = (absences(), Instant::now() + CLAIMS_SETTLE * 2);
        assert!(!absences.went_with_definition(now));
        absences.no_claims(now);
        let moment = Duration::from_millis(1);
        for at in [
            now,
            now - CLAIMS_SETTLE + moment,
            now + CLAIMS_SETTLE - moment,
        ] {
            assert!(absences.went_with_definition(at));
        }
        for at in [now - CLAIMS_SETTLE, now + CLAIMS_SETTLE] {
            assert!(!absences.went_with_definition(at));
        }
    }

    #[test]
    fn few_may_always_go_and_most_at_once_may_not() {
        let (absences, world, now) = (absences(), world(), Instant::now());
        for at in 0..MANY {
            let belief = absences.judge(&realm(at), &world, now);
            assert_eq!(belief, Belief::Gone, "{at}");
        }
        let one_more = realm(MANY);
        let judge = |now| absences.judge(&one_more, &world, now);
        assert_eq!(judge(now), Belief::Not);
        // Not even later, until it is back.
        assert_eq!(judge(now + WINDOW * 2), Belief::Not);
        absences.is_back(&one_more);
        assert_eq!(judge(now + WINDOW * 2), Belief::Gone);
    }

    #[test]
    fn of_many_that_vanish_together_the_first_are_not_believed_either() {
        let (absences, world, now) = (absences(), world(), Instant::now());
        for at in 0..=MANY {
            assert!(!absences.noted(&realm(at), now), "{at}");
        }
        for at in 0..=MANY {
            assert!(absences.noted(&realm(at), now + SETTLE_MANY), "{at}");
            let belief = absences.judge(&realm(at), &world, now + SETTLE_MANY);
            assert_eq!(belief, Belief::Not, "{at}");
        }
    }

    #[test]
    fn it_is_waited_while_others_vanish_but_not_for_ever() {
        let (absences, now) = (absences(), Instant::now());
        for at in 0..MANY {
            let after = SETTLE / 2 * u32::try_from(at).expect("few");
            assert!(!absences.noted(&realm(at), now + after), "{at}");
        }
        assert!(absences.noted(&realm(0), now + SETTLE_LONGEST));
        assert!(!absences.noted(&realm(MANY), now + SETTLE_LONGEST));
    }

    #[test]
    fn many_that_are_not_most_go_once_no_more_of_them_vanish() {
        let (absences, world, now) = (absences(), world(), Instant::now());
        for at in 0..100 {
            let domain = serde_json::json!({
                "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
                "metadata": {"namespace": "shop", "name": format!("left{at}")},
                "spec": {"host": format!("a{at}.example")},
            });
            world.domain(serde_json::from_value(domain).expect("a domain"));
        }
        for at in 0..MANY * 2 {
            absences.noted(&realm(at), now);
        }
        let judge = |after| absences.judge(&realm(0), &world, now + after);
        assert_eq!(judge(SETTLE), Belief::NotYet);
        absences.noted(&realm(MANY * 2), now + SETTLE_MANY);
        assert_eq!(judge(SETTLE_MANY), Belief::NotYet);
        assert_eq!(judge(SETTLE_MANY * 2), Belief::Gone);
    }

    #[test]
    fn claims_are_no_news_a_while_after_their_definition_is_back() {
        let (absences, now) = (absences(), Instant::now());
        assert!(!absences.claims_return(now));
        absences.no_claims(now);
        assert!(absences.claims_return(now + CLAIMS_SETTLE / 2));
        assert!(!absences.claims_return(now + CLAIMS_SETTLE));
    }
}
