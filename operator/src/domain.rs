//! One turn of a realm, in five steps: fetch what is known, resolve who owns
//! which host, build the entry, apply both, report in the status.
//!
//! A realm has its turn whether its TrackingDomain exists or not: what becomes
//! of its hosts when it is gone is decided here, too.

pub mod apply;
pub mod build;
pub mod fetch;
pub mod gone;
pub mod report;
pub mod resolve;

use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use mailtrail_core::id::Realm;

use self::fetch::Presence;
use crate::error::{Category, Error};
use crate::expose::Exposed;
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::passes::Passes;
use crate::policy::HostPolicy;
use crate::queue::{Inbox, Next};
use crate::replicas::Replicas;
use crate::shards::Shards;
use crate::tell::{Grace, Teller};
use crate::verify::Verifier;
use crate::world::World;

/// What turns work with, for one term of leading.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Class of the domains that are ours.
    pub class: String,
    /// Namespaces that are watched; none: all.
    pub watched: Vec<String>,
    /// What is known.
    pub world: Arc<World>,
    /// Who may use which hosts.
    pub policy: HostPolicy,
    /// Where entries go.
    pub shards: Arc<Shards>,
    /// Who applies them.
    pub replicas: Arc<Replicas>,
    /// Whether hosts lead here.
    pub verifier: Arc<Verifier>,
    /// What hosts get out by, where the operator makes that.
    pub exposed: Option<Exposed>,
    /// Whether a sudden absence of many is one.
    pub absences: gone::Absences,
    /// Changes that are given a moment to arrive.
    pub grace: Grace,
    /// Who is to have a turn.
    pub inbox: Arc<Inbox>,
    /// Whose status may be written now.
    pub passes: Arc<Passes>,
    /// Publishes Kubernetes Events.
    pub teller: Teller,
    /// Whether we still lead.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// A realm's turn.
pub async fn turn(realm: Realm, context: Arc<Context>) -> Next {
    context.metrics.reconciles.inc();
    let next = match reconcile(&realm, &context).await {
        Ok(next) => next,
        Err(error) => error_policy(&realm, &error, &context),
    };
    context.passes.offer();
    next
}

async fn reconcile(realm: &Realm, context: &Context) -> Result<Next, Error> {
    let fetched = fetch::fetch(realm, context).await?;
    let resolved = resolve::resolve(&fetched, &context.policy);
    let built = build::build(&fetched, resolved);
    let applied = apply::apply(realm, built, context).await?;
    if matches!(fetched.presence, Presence::Orphaned) {
        // Whether it is really gone is looked into next.
        context.inbox.push(realm.clone());
    }
    if matches!(fetched.presence, Presence::Gone) {
        // One that had no room beside this one may have it now.
        context.world.name_turned_away(realm.namespace());
    }
    report::report(realm, &fetched, applied, context).await
}

/// Invalid objects wait for a change, everything else is tried again, later
/// and later.
fn error_policy(realm: &Realm, error: &Error, context: &Context) -> Next {
    context.metrics.failed(error.category());
    match error.category() {
        Category::Conflict | Category::Waiting => {
            tracing::debug!(domain.realm = %realm, %error, "a turn is repeated");
            Next::Retry
        }
        Category::Forbidden | Category::Server => {
            tracing::warn!(domain.realm = %realm, error = %crate::watch::chain(error), "a turn failed and is repeated");
            Next::Retry
        }
        Category::Invalid => {
            tracing::error!(domain.realm = %realm, error = %crate::watch::chain(error), "the API server refuses what was decided");
            Next::Retry
        }
    }
}
