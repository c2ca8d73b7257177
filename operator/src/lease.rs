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
/// Longest time between two looks at a lease that somebody else holds.
const LOOK_LONGEST: Duration = Duration::from_millis(500);

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
#[derive(Debug, PartialEq, Eq)]
struct Observed {
    version: Option<String>,
    since: Instant,
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
        let (part, longest) = if self.is_leading() {
            (self.duration / 6, self.duration)
        } else {
            (self.duration / 6, LOOK_LONGEST)
        };
        part.min(longest)
    }

    fn is_leading(&self) -> bool {
        self.leads.borrow().is_some()
    }

    /// Tries for ever.
    pub async fn run(&self) {
        let mut observed = None;
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
    async fn try_once(&self, observed: &mut Option<Observed>) -> Result<bool, Error> {
        const WHAT: &str = "Lease";
        let Some(lease) = within(WHAT, self.api.get_opt(NAME)).await? else {
            let lease = self.ours(None, 0);
            let made = within(WHAT, self.api.create(&PostParams::default(), &lease)).await;
            return refused_is_lost(made);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        let mine = holder == self.identity;
        if !mine && !holder.is_empty() && !self.is_expired(&lease, &spec, observed) {
            return Ok(false);
        }
        let transitions = spec.lease_transitions.unwrap_or(0) + i32::from(!mine);
        let mut wanted = self.ours(Some(&lease.metadata), transitions);
        if mine && let Some(wanted) = &mut wanted.spec {
            wanted.acquire_time = spec.acquire_time;
        }
        *observed = None;
        let params = PostParams::default();
        let written = self.api.replace(NAME, &params, &wanted);
        refused_is_lost(within(WHAT, written).await)
    }

    /// Whether it has not been renewed for its duration, as seen from here.
    fn is_expired(&self, lease: &Lease, spec: &LeaseSpec, observed: &mut Option<Observed>) -> bool {
        let version = lease.metadata.resource_version.clone();
        let seconds = spec
            .lease_duration_seconds
            .and_then(|s| u64::try_from(s).ok());
        let duration = seconds.map_or(self.duration, Duration::from_secs);
        match observed {
            Some(seen) if seen.version == version => seen.since.elapsed() > duration,
            _ => {
                *observed = Some(Observed {
                    version,
                    since: Instant::now(),
                });
                false
            }
        }
    }

    fn ours(&self, known: Option<&ObjectMeta>, transitions: i32) -> Lease {
        let now = MicroTime((self.clock)());
        let seconds = self.duration.as_secs().max(1);
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
                lease_duration_seconds: i32::try_from(seconds).ok(),
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
        let released = async {
            let lease = within("Lease", self.api.get(NAME)).await?;
            let spec = lease.spec.clone().unwrap_or_default();
            if spec.holder_identity.as_deref() != Some(&self.identity) {
                return Ok(());
            }
            let mut free = lease;
            free.spec = Some(LeaseSpec {
                holder_identity: None,
                ..spec
            });
            let params = PostParams::default();
            let written = self.api.replace(NAME, &params, &free);
            within("Lease", written).await.map(|_| ())
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the lease could not be given up: another takes it when it expires");
        }
    }
}

/// Who was refused because somebody else wrote has lost; that is no error.
fn refused_is_lost(written: Result<Lease, Error>) -> Result<bool, Error> {
    match written {
        Ok(_) => Ok(true),
        Err(Error::Conflict { .. } | Error::Exists { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}
