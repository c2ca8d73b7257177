//! Whether hosts lead here: found out from outside, as a reader would come. DNS
//! is asked, then `https://<host>/.well-known/mailtrail` at each address, where
//! a challenge is answered by whoever holds the keyring, and by nobody else.
//!
//! What was proved once stays proved: that is kept in the HostClaim. Later
//! trouble shows in the condition `Reachable` and stops nothing. Where nobody
//! answers in time, nothing is known, and no verdict changes.

pub mod dns;
pub mod probe;
pub mod watch;

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::TrackingDomain;
use mailtrail_crds::domain::Verification;
use tokio::sync::Notify;

use crate::condition::{Finding, Is, Reason, Told, Type};
use crate::wait::{doubled, spread};

/// Wait before a host that is not proved is looked at again, at first.
const UNPROVED_FIRST: Duration = Duration::from_secs(2);
/// The same, at most.
const UNPROVED_LONGEST: Duration = Duration::from_secs(300);
/// Wait before a host that is proved is looked at again, at first.
const PROVED_FIRST: Duration = Duration::from_secs(600);
/// The same, at most.
const PROVED_LONGEST: Duration = Duration::from_secs(6 * 3_600);

/// What is found out, and what is to be found out when.
#[derive(Debug, Default)]
pub struct Verifier {
    checks: Mutex<HashMap<Realm, Check>>,
    changed: Notify,
}

#[derive(Debug)]
struct Check {
    host: Host,
    due: Instant,
    /// How often the same was found in turn.
    repeats: u32,
    outcome: Option<Outcome>,
    proved: bool,
}

/// What a look at a host shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It leads here.
    Proved,
    /// DNS does not know it.
    NotFound,
    /// Nobody answers at its addresses.
    Unreachable,
    /// The certificate is not valid for it.
    Certificate,
    /// Somebody else answers.
    Others,
    /// Nothing: something took too long, or is itself in trouble.
    Nothing,
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Proved,
        Self::NotFound,
        Self::Unreachable,
        Self::Certificate,
        Self::Others,
        Self::Nothing,
    ];

    fn finding(self, host: &str) -> Option<Finding> {
        let no = |reason, message| Some(Finding::is_false(Type::Reachable, reason, message));
        match self {
            Self::Proved => Some(Finding::is_true(
                Type::Reachable,
                Reason::Reachable,
                format!("https://{host} leads here, with a valid certificate"),
            )),
            Self::NotFound => no(
                Reason::HostNotFound,
                format!("{host} is not in DNS: add a record that leads to Mailtrail"),
            ),
            Self::Unreachable => no(
                Reason::Unreachable,
                format!(
                    "nobody answers https://{host}: see where its DNS record leads, and whether that lets port 443 in"
                ),
            ),
            Self::Certificate => no(
                Reason::CertificateInvalid,
                format!("the certificate that https://{host} shows is not valid for it"),
            ),
            Self::Others => no(
                Reason::AnsweredByOthers,
                format!(
                    "https://{host}/.well-known/mailtrail is answered, but not by this install: see where its DNS record and its route lead"
                ),
            ),
            Self::Nothing => None,
        }
    }
}

impl Verifier {
    fn lock(&self) -> MutexGuard<'_, HashMap<Realm, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has this host of a realm looked at from now on.
    pub fn wants(&self, realm: &Realm, host: &Host, proved: bool) {
        let mut checks = self.lock();
        if checks.get(realm).is_some_and(|check| check.host == *host) {
            return;
        }
        let check = Check {
            host: host.clone(),
            due: Instant::now(),
            repeats: 0,
            outcome: None,
            proved,
        };
        checks.insert(realm.clone(), check);
        drop(checks);
        self.changed.notify_one();
    }

    /// Has nothing of a realm looked at any more.
    pub fn forget(&self, realm: &Realm) {
        self.lock().remove(realm);
    }

    /// Whether this host of a realm was found to lead here.
    pub fn is_proved(&self, realm: &Realm, host: &Host) -> bool {
        let checks = self.lock();
        let check = checks.get(realm);
        check.is_some_and(|check| check.host == *host && check.proved)
    }

    /// What the status is to say of a domain. Until somebody has looked it goes
    /// on saying what it says.
    pub fn reachable(
        &self,
        realm: &Realm,
        domain: &TrackingDomain,
        told: Option<&Told>,
    ) -> Finding {
        if domain.spec.verification == Verification::None {
            return Finding::new(
                Type::Reachable,
                Is::Unknown,
                Reason::VerificationWaived,
                "nobody looks: spec.verification is None",
            );
        }
        let found = self.lock().get(realm).and_then(|check| {
            let outcome = check.outcome?;
            outcome.finding(check.host.as_str())
        });
        found.or_else(|| known(domain, told)).unwrap_or_else(|| {
            Finding::new(
                Type::Reachable,
                Is::Unknown,
                Reason::NotChecked,
                "the host has not been checked yet",
            )
        })
    }

    /// Hosts that are due, so many at most; each is due again in a while.
    fn due(&self, now: Instant, most: usize) -> Vec<(Realm, Host)> {
        let mut checks = self.lock();
        let due = checks.iter_mut().filter(|(_, check)| check.due <= now);
        due.take(most)
            .map(|(realm, check)| {
                check.due = now + UNPROVED_LONGEST;
                (realm.clone(), check.host.clone())
            })
            .collect()
    }

    /// When the next is due.
    fn next_due(&self) -> Option<Instant> {
        self.lock().values().map(|check| check.due).min()
    }

    /// Notes what was found of a host; whether that is news.
    fn found(&self, realm: &Realm, host: &Host, outcome: Outcome, now: Instant) -> bool {
        let mut checks = self.lock();
        let Some(check) = checks.get_mut(realm).filter(|check| check.host == *host) else {
            return false;
        };
        let known = outcome != Outcome::Nothing;
        let news = known && check.outcome != Some(outcome);
        check.repeats = if news {
            0
        } else {
            check.repeats.saturating_add(1)
        };
        if known {
            check.outcome = Some(outcome);
        }
        check.proved |= outcome == Outcome::Proved;
        check.due = now + spread(wait(outcome == Outcome::Proved, check.repeats));
        news
    }
}

/// What the status says of the host already, if it is of this spec's host.
fn known(domain: &TrackingDomain, told: Option<&Told>) -> Option<Finding> {
    let told = told?.find(Type::Reachable)?;
    if told.generation != domain.metadata.generation {
        return None;
    }
    let outcome = Outcome::ALL
        .into_iter()
        .map(|outcome| outcome.finding(&domain.spec.host));
    outcome
        .flatten()
        .find(|finding| finding.reason == told.reason)
}

/// Doubles with each repetition, within the bounds of its kind.
fn wait(proved: bool, repeats: u32) -> Duration {
    let (first, longest) = if proved {
        (PROVED_FIRST, PROVED_LONGEST)
    } else {
        (UNPROVED_FIRST, UNPROVED_LONGEST)
    };
    doubled(first, longest, repeats)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn realm() -> Realm {
        "shop/links".parse().expect("a realm")
    }

    fn host(name: &str) -> Host {
        name.parse().expect("a host")
    }

    #[test]
    fn what_took_too_long_changes_no_verdict() {
        let verifier = Verifier::default();
        let (name, now) = (host("a.example"), Instant::now());
        verifier.wants(&realm(), &name, false);
        assert!(verifier.found(&realm(), &name, Outcome::Proved, now));
        assert!(!verifier.found(&realm(), &name, Outcome::Nothing, now));
        let found = verifier.lock()[&realm()].outcome;
        assert_eq!(found, Some(Outcome::Proved));
    }

    #[test]
    fn what_was_proved_stays_so_whatever_is_found_later() {
        let verifier = Verifier::default();
        let (name, now) = (host("a.example"), Instant::now());
        verifier.wants(&realm(), &name, false);
        verifier.found(&realm(), &name, Outcome::Proved, now);
        assert!(verifier.found(&realm(), &name, Outcome::NotFound, now));
        assert!(verifier.is_proved(&realm(), &name));
        assert!(!verifier.is_proved(&realm(), &host("b.example")));
    }

    #[test]
    fn a_host_is_looked_at_less_and_less() {
        assert_eq!(wait(false, 0), UNPROVED_FIRST);
        assert_eq!(wait(false, 30), UNPROVED_LONGEST);
        assert_eq!(wait(true, 0), PROVED_FIRST);
        assert_eq!(wait(true, 30), PROVED_LONGEST);
    }

    #[test]
    fn a_new_host_of_a_realm_begins_anew() {
        let verifier = Verifier::default();
        let now = Instant::now();
        verifier.wants(&realm(), &host("a.example"), true);
        assert_eq!(verifier.due(now + Duration::from_secs(1), 9).len(), 1);
        assert!(verifier.due(now + Duration::from_secs(1), 9).is_empty());
        verifier.wants(&realm(), &host("b.example"), false);
        let due = verifier.due(Instant::now(), 9);
        assert_eq!(due, [(realm(), host("b.example"))]);
        // What was found of the former says nothing of this one.
        assert!(!verifier.found(&realm(), &host("a.example"), Outcome::Proved, now));
    }
}
