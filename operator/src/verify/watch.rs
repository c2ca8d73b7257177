//! Looks at hosts when they are due, a few at a time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mailtrail_core::id::{Host, Realm};
use tokio::task::JoinSet;

use super::dns::{Led, Resolver};
use super::probe::Prober;
use super::{Outcome, Verifier};
use crate::keyring::Keys;
use crate::metrics::Metrics;
use crate::queue::Inbox;

/// Most hosts that are looked at at a time.
const CONCURRENCY_MAX: usize = 32;
/// Longest rest while nothing is due.
const REST: Duration = Duration::from_secs(60);

/// Looks at hosts, for one term.
#[derive(Clone)]
pub struct Watcher {
    /// Which, and what was found.
    pub verifier: Arc<Verifier>,
    /// Where names lead.
    pub resolver: Resolver,
    /// Who answers there.
    pub prober: Prober,
    /// What proofs are checked with.
    pub keys: Arc<Keys>,
    /// Who is named when something was found.
    pub inbox: Arc<Inbox>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

impl Watcher {
    /// Never returns.
    pub async fn run(self) {
        let mut looks = JoinSet::new();
        loop {
            let changed = self.verifier.changed.notified();
            let room = CONCURRENCY_MAX.saturating_sub(looks.len());
            for (realm, host) in self.verifier.due(Instant::now(), room) {
                let this = self.clone();
                looks.spawn(async move { this.look(&realm, &host).await });
            }
            let rest = self.verifier.next_due().map_or(REST, |due| {
                due.saturating_duration_since(Instant::now()).min(REST)
            });
            tokio::select! {
                () = changed => {}
                _ = looks.join_next(), if !looks.is_empty() => {}
                () = tokio::time::sleep(rest), if looks.len() < CONCURRENCY_MAX => {}
            }
        }
    }

    async fn look(&self, realm: &Realm, host: &Host) {
        self.metrics.probes.inc();
        let outcome = self.outcome(realm, host).await;
        tracing::debug!(domain.realm = %realm, ?outcome, "a host was looked at");
        if self.verifier.found(realm, host, outcome, Instant::now()) {
            self.inbox.push(realm.clone());
        }
    }

    /// Nothing while there is no key to look with.
    async fn outcome(&self, realm: &Realm, host: &Host) -> Option<Outcome> {
        let keyring = self.keys.get()?;
        Some(match self.resolver.look_up(host).await {
            Led::Nowhere => Outcome::NotFound,
            Led::Unknown => Outcome::NoDns,
            Led::To(addresses) => self.prober.probe(&keyring, realm, host, &addresses).await,
        })
    }
}
