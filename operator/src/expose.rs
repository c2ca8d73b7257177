//! How hosts get out of the cluster: for each claimed host one Ingress, or one
//! HTTPRoute of the Gateway API, beside the data plane's public Service.
//!
//! # Flow
//!
//! A claim that changes names its host, and so does an Ingress or HTTPRoute that
//! somebody changes. A turn of a host looks at its claim and at what stands, decides
//! ([`decide`], pure), writes one object or none, and names the realm whose
//! status that concerns.
//!
//! # Guarantees
//!
//! A host has its route while it has a claim of our class, in use or retired: links in
//! mails already sent lead home. It goes with the claim, by its ownerReference
//! where Kubernetes collects garbage, and by our own hand in any case; not while
//! an entry of the host is still served, as when claims vanish with their definition.
//! No route is made for a host that the policy does not let its namespace use.
//!
//! An object of a route's name that is not ours is never written and never
//! deleted: new ones are created, not applied, and every other write carries the
//! version that it was decided on. What is ours is said by the label of our
//! class, or, where somebody has taken the labels away, by our name among its managers;
//! where it is another class' label, by that and the claim that owns it. The spec of
//! ours is ours alone: what is added to it is undone as what is changed.
//! Each write asks the fence before.
//!
//! # Caveats
//!
//! That a route stands does not say that a controller takes it up: `Reachable`
//! finds that out, as a reader would.

pub mod build;
pub mod decide;
pub mod outcome;
pub mod routes;
pub mod settings;
pub mod sweep;
pub mod watch;
mod write;

use std::sync::Arc;

use kube::Client;
use mailtrail_core::id::Host;
use serde_json::Value;
use tokio::task::JoinSet;

use self::build::{APPLIED, Kind};
use self::decide::{Facts, decide};
use self::outcome::Outcome;
use self::routes::Routes;
use self::settings::Exposure;
use crate::condition::Finding;
use crate::error::{Category, Error};
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::policy::HostPolicy;
use crate::queue::{self, Inbox, Next};
use crate::shards::Shards;
use crate::world::World;

/// Hosts that have their turn at a time: each is one write at most, and what
/// replicas wait for is never behind it.
const CONCURRENCY_MAX: usize = 4;

/// What turns of hosts work with, for one term of leading.
#[derive(Clone)]
pub struct Exposer {
    /// The API server.
    pub client: Client,
    /// The install's own namespace.
    pub namespace: String,
    /// Class of the claims that are ours.
    pub class: String,
    /// How hosts get out.
    pub exposure: Arc<Exposure>,
    /// What is known of claims.
    pub world: Arc<World>,
    /// What is served.
    pub shards: Arc<Shards>,
    /// What stands.
    pub routes: Arc<Routes>,
    /// Who may use which hosts.
    pub policy: HostPolicy,
    /// Whose turn it is.
    pub hosts: Arc<Inbox<Host>>,
    /// Whether we still lead.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
}

/// What statuses are told of hosts' routes.
#[derive(Debug, Clone)]
pub struct Exposed {
    routes: Arc<Routes>,
    kind: Kind,
}

impl Exposed {
    /// What the status of a domain with these hosts is to say; nothing where none of
    /// them is to get out.
    pub fn finding(&self, hosts: &[Host]) -> Option<Finding> {
        self.routes.exposed(hosts, self.kind)
    }
}

impl Exposer {
    /// What statuses are told, where anything is made.
    pub fn exposed(&self) -> Option<Exposed> {
        let kind = self.exposure.kind()?;
        let routes = Arc::clone(&self.routes);
        Some(Exposed { routes, kind })
    }

    /// Turns, the watch behind them, and what is left of another mode; never
    /// returns. With nothing to make, that last alone.
    pub async fn run(self) {
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().sweep());
        if let Some(kind) = self.exposure.kind() {
            tasks.spawn(self.clone().watch(kind));
            self.hosts.extend(self.world.hosts());
            queue::run(&self.hosts, CONCURRENCY_MAX, |host| {
                let this = self.clone();
                async move { this.turn(&host, kind).await }
            })
            .await;
        }
        std::future::pending().await
    }

    /// A host's turn.
    async fn turn(&self, host: &Host, kind: Kind) -> Next {
        let claim = self.world.claim_of(host);
        let realm = claim
            .as_ref()
            .and_then(|claim| claim.spec.realm.parse().ok());
        let wanted = claim
            .as_ref()
            .zip(realm.as_ref())
            .and_then(|(claim, realm)| {
                build::route(host, claim, realm, kind, &self.class, &self.exposure)
            })
            .map(|route| self.as_settled(host, route));
        let facts = Facts {
            wanted: wanted.as_ref(),
            standing: self.routes.standing(host),
            is_allowed: realm
                .as_ref()
                .is_some_and(|realm| self.policy.allows(realm.namespace(), host).is_ok()),
            is_served: self.shards.holder(host).is_some(),
        };
        let (outcome, next) = match self.carry_out(host, kind, decide(facts)).await {
            Ok(done) => done,
            Err(error) => self.failed(host, &error),
        };
        // A host that is not claimed, or that no reader can reach, is in no domain's
        // status.
        let is_told = realm.is_some() && build::is_found(host);
        let outcome = is_told.then_some(outcome);
        self.routes.came_to(host, outcome, realm.as_ref());
        next
    }

    /// A route with all that the API server adds to it.
    fn as_settled(&self, host: &Host, mut route: Value) -> Value {
        let applied = &route["metadata"]["annotations"][APPLIED];
        if let Some(spec) = self.routes.settled(host, applied) {
            route["spec"] = spec;
        }
        route
    }

    /// What an error means for the host, which has another turn later.
    fn failed(&self, host: &Host, error: &Error) -> (Outcome, Next) {
        self.metrics.failed(error.category());
        let outcome = match error.category() {
            Category::Conflict | Category::Waiting => {
                tracing::debug!(%host, %error, "a route's turn is repeated");
                Outcome::Waiting
            }
            Category::Server => {
                tracing::warn!(%host, error = %crate::watch::chain(error), "a route could not be written: tried again");
                Outcome::Waiting
            }
            Category::Forbidden | Category::Invalid => {
                tracing::error!(%host, error = %crate::watch::chain(error), "the API server refuses a route: tried again");
                Outcome::Refused
            }
        };
        (outcome, Next::Retry)
    }
}
