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
    /// Nothing: the name servers do not answer, or are in trouble themselves.
    NoDns,
    /// Nothing: its addresses do not answer in time.
    Slow,
}

impl Outcome {
    const ALL: [Self; 7] = [
        Self::Proved,
        Self::NotFound,
        Self::Unreachable,
        Self::Certificate,
        Self::Others,
        Self::NoDns,
        Self::Slow,
    ];

    /// Whether something was learned of the host.
    fn is_verdict(self) -> bool {
        !matches!(self, Self::NoDns | Self::Slow)
    }

    fn finding(self, host: &str) -> Finding {
        let no = |reason, message| Finding::is_false(Type::Reachable, reason, message);
        let unknown = |reason, message| Finding::new(Type::Reachable, Is::Unknown, reason, message);
        match self {
            Self::Proved => Finding::is_true(
                Type::Reachable,
                Reason::Reachable,
                format!("https://{host} leads here, with a valid certificate"),
            ),
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
            Self::NoDns => unknown(
                Reason::DnsFailed,
                format!(
                    "the name servers fail, or do not answer, when they are asked for {host}: see those of its zone, and those that the operator asks"
                ),
            ),
            Self::Slow => unknown(
                Reason::TimedOut,
                format!(
                    "https://{host} does not answer in time: see where its DNS record leads, and whether that lets port 443 in"
                ),
            ),
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

    /// What the status is to say of a domain that has hosts, or has none. Until
    /// something is learned it goes on saying what it says.
    pub fn reachable(
        &self,
        realm: &Realm,
        domain: &TrackingDomain,
        has_hosts: bool,
        told: Option<&Told>,
    ) -> Finding {
        let unknown = |reason, message| Finding::new(Type::Reachable, Is::Unknown, reason, message);
        if domain.spec.verification == Verification::None {
            let message = "nobody looks: spec.verification is None";
            return unknown(Reason::VerificationWaived, message);
        }
        if !has_hosts {
            let message = "nobody looks: no host is this object's";
            return unknown(Reason::NotAccepted, message);
        }
        let (host, outcome) = match self.lock().get(realm) {
            Some(check) => (check.host.to_string(), check.outcome),
            None => (domain.spec.host.clone(), None),
        };
        let found = outcome.map(|outcome| (outcome, outcome.finding(&host)));
        match (found, known(&host, domain, told)) {
            (Some((outcome, found)), _) if outcome.is_verdict() => found,
            (_, Some((outcome, known))) if outcome.is_verdict() => known,
            (Some((_, finding)), _) | (None, Some((_, finding))) => finding,
            (None, None) => unknown(Reason::NotChecked, "the host has not been checked yet"),
        }
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

    /// Notes what was found of a host, if anybody could look; whether that is
    /// news. What says nothing takes no verdict's place.
    fn found(&self, realm: &Realm, host: &Host, outcome: Option<Outcome>, now: Instant) -> bool {
        let mut checks = self.lock();
        let Some(check) = checks.get_mut(realm).filter(|check| check.host == *host) else {
            return false;
        };
        let told = outcome.filter(|outcome| {
            outcome.is_verdict() || !check.outcome.is_some_and(Outcome::is_verdict)
        });
        let news = told.is_some() && check.outcome != told;
        check.repeats = if news {
            0
        } else {
            check.repeats.saturating_add(1)
        };
        if news {
            check.outcome = told;
        }
        let proved = outcome == Some(Outcome::Proved);
        check.proved |= proved;
        check.due = now + spread(wait(proved, check.repeats));
        news
    }
}

/// What the status says already of the host that is looked at, if it is of this
/// spec.
fn known(host: &str, domain: &TrackingDomain, told: Option<&Told>) -> Option<(Outcome, Finding)> {
    let told = told?.find(Type::Reachable)?;
    if told.generation != domain.metadata.generation {
        return None;
    }
    let outcomes = Outcome::ALL.into_iter();
    let mut findings = outcomes.map(|outcome| (outcome, outcome.finding(host)));
    findings.find(|(_, finding)| told.says(finding))
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
    use jiff::Timestamp;

    use super::*;
    use crate::condition::conditions;

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
        assert!(verifier.found(&realm(), &name, Some(Outcome::Proved), now));
        for nothing in [None, Some(Outcome::NoDns), Some(Outcome::Slow)] {
            assert!(!verifier.found(&realm(), &name, nothing, now));
            let found = verifier.lock()[&realm()].outcome;
            assert_eq!(found, Some(Outcome::Proved));
        }
    }

    #[test]
    fn that_nothing_can_be_learned_is_told_once_and_gives_way_to_a_verdict() {
        let verifier = Verifier::default();
        let (name, now) = (host("a.example"), Instant::now());
        verifier.wants(&realm(), &name, false);
        assert!(!verifier.found(&realm(), &name, None, now));
        assert!(verifier.found(&realm(), &name, Some(Outcome::NoDns), now));
        assert!(!verifier.found(&realm(), &name, Some(Outcome::NoDns), now));
        assert!(verifier.found(&realm(), &name, Some(Outcome::Slow), now));
        assert!(verifier.found(&realm(), &name, Some(Outcome::NotFound), now));
        assert!(!verifier.found(&realm(), &name, Some(Outcome::Slow), now));
    }

    #[test]
    fn what_the_status_says_stays_until_something_is_learned() {
        let domain: TrackingDomain = serde_json::from_value(serde_json::json!({
            "apiVersion": "mailtrail.dev/v1alpha1", "kind": "TrackingDomain",
            "metadata": {"namespace": "shop", "name": "links", "generation": 1},
            "spec": {"host": "a.example"},
        }))
        .expect("a domain");
        let told = |outcome: Outcome| {
            let finding = outcome.finding("a.example");
            Told::of(
                Some(1),
                &conditions(None, 1, &[finding], Timestamp::UNIX_EPOCH),
            )
        };
        let verifier = Verifier::default();
        let reason = |told| verifier.reachable(&realm(), &domain, true, told).reason;
        let (proved, failed) = (told(Outcome::Proved), told(Outcome::NoDns));
        assert_eq!(reason(None), Reason::NotChecked);
        assert_eq!(reason(Some(&failed)), Reason::DnsFailed);
        verifier.wants(&realm(), &host("a.example"), true);
        let now = Instant::now();
        assert!(verifier.found(&realm(), &host("a.example"), Some(Outcome::Slow), now));
        assert_eq!(reason(Some(&proved)), Reason::Reachable);
        assert_eq!(reason(Some(&failed)), Reason::TimedOut);
        assert_eq!(reason(None), Reason::TimedOut);
        let none = verifier.reachable(&realm(), &domain, false, None);
        assert_eq!(none.reason, Reason::NotAccepted);
    }

    #[test]
    fn what_was_proved_stays_so_whatever_is_found_later() {
        let verifier = Verifier::default();
        let (name, now) = (host("a.example"), Instant::now());
        verifier.wants(&realm(), &name, false);
        verifier.found(&realm(), &name, Some(Outcome::Proved), now);
        assert!(verifier.found(&realm(), &name, Some(Outcome::NotFound), now));
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
        assert!(!verifier.found(&realm(), &host("a.example"), Some(Outcome::Proved), now));
    }
}
