//! Which of several operators writes: the holder of a Lease.
//!
//! # Flow
//!
//! Every process tries in turns. Who holds the lease renews it; who does not
//! watches whether it is renewed, by its own clock: the times that stand in the
//! object are the holder's, and clocks differ (client-go judges the same way).
//! A lease that nobody renewed for its duration is taken over.
//!
//! # Guarantees
//!
//! [`Fence::check`] is asked before each write, and refuses from two thirds of
//! the lease's duration after the last renewal was *begun* on. So a holder that
//! was stopped, or cannot reach the API server, ceases before anyone else
//! begins. What was already on its way then carries the resource version that
//! it was decided on, and the new holder touches all shards and the keyring
//! before its first decision.
//!
//! Losing the lease ends the term, never the process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::{ObjectMeta, PostParams};
use tokio::sync::watch;

use crate::error::{Error, within};

/// Name of the Lease.
pub const NAME: &str = "mailtrail-operator";
/// Longest time between two looks at a lease that somebody else holds: one that
/// is given up is taken as soon.
const LOOK_LONGEST: Duration = Duration::from_millis(250);
/// Most tries to give a lease up: a renewal that was on its way refuses the first.
const RELEASES_MAX: usize = 3;

/// Whether this process leads, and in which term.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Term(pub u64);

/// Asked before each write of a term.
#[derive(Debug, Clone)]
pub struct Fence {
    term: Term,
    held: Arc<Mutex<Held>>,
}

#[derive(Debug, Default)]
struct Held {
    term: u64,
    until: Option<Instant>,
}

/// Takes part in the election.
pub struct Candidate {
    api: Api<Lease>,
    identity: String,
    duration: Duration,
    clock: fn() -> Timestamp,
    held: Arc<Mutex<Held>>,
    leads: watch::Sender<Option<Term>>,
}

/// A lease of somebody else, as it was last seen to change.
#[derive(Debug, Default)]
struct Observed(Option<Seen>);

#[derive(Debug)]
struct Seen {
    version: Option<String>,
    since: Instant,
    /// How long its holder may be silent.
    duration: Duration,
}

// === Fence ===

impl Fence {
    /// Whether the lease is still ours, with time to spare.
    pub fn check(&self) -> Result<(), Error> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let in_time = held.until.is_some_and(|until| Instant::now() < until);
        if in_time && held.term == self.term.0 {
            Ok(())
        } else {
            Err(Error::NotLeading)
        }
    }

    /// One that always lets through, for tests of what stands behind it.
    #[cfg(test)]
    pub fn open() -> Self {
        let until = Instant::now() + Duration::from_secs(3_600);
        let held = Held {
            term: 1,
            until: Some(until),
        };
        Self {
            term: Term(1),
            held: Arc::new(Mutex::new(held)),
        }
    }
}

// === Candidate ===

impl Candidate {
    /// Somebody of this name. `duration` is what a silent holder keeps.
    pub fn new(
        api: Api<Lease>,
        identity: String,
        duration: Duration,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            api,
            identity,
            duration,
            clock,
            held: Arc::default(),
            leads: watch::Sender::new(None),
        }
    }

    /// Tells when a term begins and ends.
    pub fn leads(&self) -> watch::Receiver<Option<Term>> {
        self.leads.subscribe()
    }

    /// The fence of a term.
    pub fn fence(&self, term: Term) -> Fence {
        Fence {
            term,
            held: Arc::clone(&self.held),
        }
    }

    /// How long a renewal holds, from its beginning on: less than the lease
    /// itself, so that one ceases before another begins.
    fn holds(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// Time between two tries.
    fn pause(&self) -> Duration {
        let part = self.duration / 6;
        if self.is_leading() {
            part
        } else {
            part.min(LOOK_LONGEST)
        }
    }

    fn is_leading(&self) -> bool {
        self.leads.borrow().is_some()
    }

    /// Tries for ever.
    pub async fn run(&self) {
        let mut observed = Observed::default();
        loop {
            let begun = Instant::now();
            let tried = tokio::time::timeout(self.holds() / 2, self.try_once(&mut observed));
            match tried.await {
                Ok(Ok(true)) => self.hold(begun),
                Ok(Ok(false)) => self.lose("another operator holds the lease"),
                Ok(Err(error)) => {
                    tracing::debug!(%error, "the lease could not be looked at");
                    self.lose_when_late();
                }
                Err(_) => self.lose_when_late(),
            }
            tokio::time::sleep(self.pause()).await;
        }
    }

    fn hold(&self, begun: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.until = Some(begun + self.holds());
        if !self.is_leading() {
            held.term += 1;
            let term = Term(held.term);
            drop(held);
            tracing::info!(identity = self.identity, "leading: the lease is ours");
            self.leads.send_replace(Some(term));
        }
    }

    fn lose(&self, why: &str) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.until = None;
        drop(held);
        if self.is_leading() {
            tracing::warn!(why, "not leading any more: waiting for the lease");
            self.leads.send_replace(None);
        }
    }

    fn lose_when_late(&self) {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let late = held.until.is_none_or(|until| Instant::now() >= until);
        drop(held);
        if late {
            self.lose("the lease could not be renewed in time");
        }
    }

    /// Whether the lease is ours after this try.
    async fn try_once(&self, observed: &mut Observed) -> Result<bool, Error> {
        const WHAT: &str = "Lease";
        let Some(lease) = within(WHAT, self.api.get_opt(NAME)).await? else {
            let lease = self.ours(None, 0);
            let made = within(WHAT, self.api.create(&PostParams::default(), &lease)).await;
            return refused_is_lost(made);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let mine = holder == self.identity;
        let held = !mine && !holder.is_empty();
        if held && !observed.is_expired(&lease, self.duration, Instant::now()) {
            return Ok(false);
        }
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!mine);
        let mut wanted = self.ours(Some(&lease.metadata), transitions);
        if mine && let Some(wanted) = &mut wanted.spec {
            wanted.acquire_time = spec.acquire_time;
        }
        *observed = Observed::default();
        let params = PostParams::default();
        let written = self.api.replace(NAME, &params, &wanted);
        refused_is_lost(within(WHAT, written).await)
    }

    fn ours(&self, known: Option<&ObjectMeta>, transitions: i32) -> Lease {
        let now = MicroTime((self.clock)());
        Lease {
            metadata: ObjectMeta {
                name: Some(NAME.to_owned()),
                // Written only if nobody wrote since.
                resource_version: known.and_then(|known| known.resource_version.clone()),
                uid: known.and_then(|known| known.uid.clone()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: i32::try_from(whole_seconds(self.duration)).ok(),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }

    /// Gives the lease up, so that another takes it at once. The term has ended
    /// before: nothing is written any more.
    pub async fn release(&self) {
        if !self.is_leading() {
            return;
        }
        self.lose("stopping");
        let mut released = self.try_release().await;
        for _ in 1..RELEASES_MAX {
            if !matches!(released, Err(Error::Conflict { .. })) {
                break;
            }
            released = self.try_release().await;
        }
        if let Err(error) = released {
            tracing::warn!(%error, "the lease could not be given up: another takes it when it expires");
        }
    }

    async fn try_release(&self) -> Result<(), Error> {
        const WHAT: &str = "Lease";
        let mut lease = within(WHAT, self.api.get(NAME)).await?;
        let holder = lease.spec.as_mut().map(|spec| &mut spec.holder_identity);
        match holder {
            Some(holder) if holder.as_ref() == Some(&self.identity) => *holder = None,
            _ => return Ok(()),
        }
        let params = PostParams::default();
        let written = self.api.replace(NAME, &params, &lease);
        within(WHAT, written).await.map(|_| ())
    }
}

// === Observed ===

impl Observed {
    /// Whether a lease has not been renewed for its duration, by the time that
    /// has passed here since it was first seen as it is: what the object says
    /// of the time of day is its holder's opinion. `usual` is the duration of
    /// one that does not say it.
    fn is_expired(&mut self, lease: &Lease, usual: Duration, now: Instant) -> bool {
        let version = &lease.metadata.resource_version;
        match &self.0 {
            Some(seen) if seen.version == *version => {
                now.saturating_duration_since(seen.since) > seen.duration
            }
            _ => {
                self.0 = Some(Seen {
                    version: version.clone(),
                    since: now,
                    duration: duration_of(lease).unwrap_or(usual),
                });
                false
            }
        }
    }
}

fn duration_of(lease: &Lease) -> Option<Duration> {
    let seconds = lease.spec.as_ref()?.lease_duration_seconds?;
    u64::try_from(seconds).ok().map(Duration::from_secs)
}

/// What a Lease can say of a duration: never less, as others would take over
/// before its holder has ceased.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

/// Who was refused because somebody else wrote has lost; that is no error.
fn refused_is_lost(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Conflict { .. } | Error::Exists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DURATION: Duration = Duration::from_secs(15);

    /// A lease that was renewed at this time of day, by its holder's clock.
    fn renewed(version: &str, at: i64) -> Lease {
        let at = Timestamp::from_second(at).expect("a time");
        Lease {
            metadata: ObjectMeta {
                resource_version: Some(version.to_owned()),
                ..ObjectMeta::default()
            },
            spec: Some(LeaseSpec {
                holder_identity: Some("another".to_owned()),
                lease_duration_seconds: Some(15),
                renew_time: Some(MicroTime(at)),
                ..LeaseSpec::default()
            }),
        }
    }

    #[test]
    fn a_holder_whose_clock_jumps_keeps_its_lease_while_it_renews() {
        let (mut observed, begun) = (Observed::default(), Instant::now());
        let clock = [1_000, 90_000, 10, 11, 4_000_000_000, -5];
        for (renewal, time_of_day) in clock.into_iter().enumerate() {
            let now = begun + Duration::from_secs(10) * u32::try_from(renewal).expect("few");
            let lease = renewed(&renewal.to_string(), time_of_day);
            assert!(!observed.is_expired(&lease, DURATION, now));
            let later = now + Duration::from_secs(9);
            assert!(!observed.is_expired(&lease, DURATION, later));
        }
    }

    #[test]
    fn a_silent_holder_loses_its_lease_in_time_whatever_its_clock_said() {
        for time_of_day in [1_000, -90_000, 4_000_000_000] {
            let (mut observed, begun) = (Observed::default(), Instant::now());
            let lease = renewed("7", time_of_day);
            let mut expired = |after| observed.is_expired(&lease, DURATION, begun + after);
            assert!(!expired(Duration::ZERO));
            assert!(!expired(DURATION));
            assert!(expired(DURATION + Duration::from_millis(1)));
        }
    }

    #[test]
    fn a_lease_never_says_less_than_its_holder_counts_on() {
        for (millis, seconds) in [(1_000, 1), (1_001, 2), (1_900, 2), (15_000, 15)] {
            let duration = Duration::from_millis(millis);
            assert_eq!(whole_seconds(duration), seconds, "{millis} ms");
        }
    }

    #[test]
    fn a_fence_refuses_before_another_may_take_the_lease() {
        let now = Instant::now();
        let held = |until| Fence {
            term: Term(1),
            held: Arc::new(Mutex::new(Held {
                term: 1,
                until: Some(until),
            })),
        };
        assert!(held(now + DURATION).check().is_ok());
        assert!(held(now).check().is_err());
        let mut later = held(now + DURATION);
        later.term = Term(2);
        assert!(later.check().is_err(), "of another term");
    }
}
