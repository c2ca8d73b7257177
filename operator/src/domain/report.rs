//! Step 5, report: the status, where it is not what it was, and Kubernetes
//! Events of what has turned.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use kube::Api;
use kube::Resource as _;
use kube::api::Patch;
use kube::runtime::events::{Event, EventType, Recorder};
use mailtrail_core::id::Realm;
use mailtrail_crds::TrackingDomain;
use mailtrail_crds::status::TrackingDomainStatus;
use serde_json::json;

use super::Context;
use super::apply::Applied;
use super::fetch::{Fetched, Presence, There};
use crate::condition::{self, Finding, Is, Reason, Transition, Type};
use crate::error::{Error, within};
use crate::object;
use crate::queue::Next;
use crate::replicas::Programmed;
use crate::shards::Standing;

/// How long a change may be on its way before the status says so: most arrive
/// sooner, and cost one write instead of two.
const GRACE: Duration = Duration::from_secs(3);
/// The same, where the status says already that it has arrived: a replica that
/// joins, or an operator that begins, takes a moment to be asked.
const GRACE_OF_KNOWN: Duration = Duration::from_secs(10);
/// How often the status of a change that does not arrive is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
/// Longest note of a Kubernetes Event, in bytes.
const NOTE_MAX_BYTES: usize = 1024;

/// Changes that are on their way, and since when.
#[derive(Debug, Default)]
pub struct Grace(Mutex<HashMap<Realm, (i64, Instant)>>);

impl Grace {
    /// How long this change is still given; absent: it had its time.
    fn left(&self, realm: &Realm, there: &There, now: Instant) -> Option<Duration> {
        let generation = there.domain.metadata.generation.unwrap_or(0);
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, since) = changes.entry(realm.clone()).or_insert((generation, now));
        if *of != generation {
            (*of, *since) = (generation, now);
        }
        let grace = if says_programmed(there) {
            GRACE_OF_KNOWN
        } else {
            GRACE
        };
        let left = grace.saturating_sub(now.duration_since(*since));
        (!left.is_zero()).then_some(left)
    }

    fn over(&self, realm: &Realm) {
        let mut changes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        changes.remove(realm);
    }
}

/// Whether the status says that this generation is served everywhere.
fn says_programmed(there: &There) -> bool {
    let told = there.told.as_ref();
    let programmed = told.and_then(|told| told.find(Type::Programmed));
    programmed.is_some_and(|programmed| {
        programmed.is == Is::True && programmed.generation == there.domain.metadata.generation
    })
}

/// Reports.
pub async fn report(
    realm: &Realm,
    fetched: &Fetched,
    applied: Applied,
    context: &Context,
) -> Result<Next, Error> {
    let Presence::There(there) = &fetched.presence else {
        context.grace.over(realm);
        return Ok(Next::Wait);
    };
    if !applied.reports {
        return Ok(Next::Wait);
    }
    let domain = &there.domain;
    let programmed = programmed(realm, &applied, context);
    if programmed.reason == Reason::Pending
        && let Some(left) = context.grace.left(realm, there, Instant::now())
    {
        return Ok(Next::After(left));
    }
    if programmed.reason != Reason::Pending {
        context.grace.over(realm);
    }
    let findings = findings(
        &applied,
        programmed,
        context
            .verifier
            .reachable(realm, domain, there.told.as_deref()),
    );
    let next = match findings.iter().find(|f| f.type_ == Type::Programmed) {
        Some(found) if found.is == Is::False && found.reason == Reason::Pending => {
            Next::After(LOOK_AGAIN)
        }
        _ => Next::Wait,
    };
    let written = write(realm, there, &findings, context).await?;
    Ok(if written { next } else { Next::Wait })
}

/// What the status is to say.
fn findings(applied: &Applied, programmed: Finding, reachable: Finding) -> Vec<Finding> {
    let accepted = match &applied.accepted {
        Ok(()) => Finding::is_true(
            Type::Accepted,
            Reason::Accepted,
            "the spec is valid and the hosts belong to this object",
        ),
        Err(rejection) => {
            Finding::is_false(Type::Accepted, rejection.reason, rejection.message.clone())
        }
    };
    let resolved = Finding::is_true(
        Type::ResolvedRefs,
        Reason::ResolvedRefs,
        "all that the spec refers to is there",
    );
    let ready = condition::ready(&[&accepted, &resolved, &programmed]);
    vec![accepted, resolved, programmed, reachable, ready]
}

fn programmed(realm: &Realm, applied: &Applied, context: &Context) -> Finding {
    let no = |reason, message: String| Finding::is_false(Type::Programmed, reason, message);
    if applied.accepted.is_err() {
        let message = "replicas serve what was accepted before, if anything was";
        return no(Reason::NotAccepted, message.to_owned());
    }
    let Standing::Written(state) = context.shards.standing(realm) else {
        let message = "the configuration is being written";
        return no(Reason::Pending, message.to_owned());
    };
    match context.replicas.programmed(realm, &state) {
        Programmed::Everywhere => Finding::is_true(
            Type::Programmed,
            Reason::Programmed,
            "every ready replica serves this",
        ),
        Programmed::NoReplicas => no(
            Reason::NoReplicas,
            "no replica of the data plane is ready: see its pods".to_owned(),
        ),
        Programmed::Refused { replica, rule } => no(
            Reason::Refused,
            format!("replica {replica} goes on with what it had: {rule}"),
        ),
        Programmed::Partly { applied, ready } => no(
            Reason::Pending,
            format!("{applied} of {ready} replicas serve this"),
        ),
    }
}

/// Writes the status unless it says all that already; not done where others are
/// before it, and the realm is named when they are.
async fn write(
    realm: &Realm,
    there: &There,
    findings: &[Finding],
    context: &Context,
) -> Result<bool, Error> {
    let domain = &there.domain;
    let generation = domain.metadata.generation.unwrap_or(0);
    let before = there.told.as_deref();
    let status = condition::status(before, generation, findings, (context.clock)());
    if before.is_some_and(|before| before.says(&status)) {
        return Ok(true);
    }
    let Some(_pass) = context.passes.get(realm) else {
        return Ok(false);
    };
    let written = patch(domain, &status, context).await?;
    context.world.domain(written);
    for transition in condition::transitions(before, findings) {
        tell(domain, transition, context);
    }
    Ok(true)
}

async fn patch(
    domain: &TrackingDomain,
    status: &TrackingDomainStatus,
    context: &Context,
) -> Result<TrackingDomain, Error> {
    context.fence.check()?;
    let metadata = &domain.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let api: Api<TrackingDomain> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({
        "metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid},
        "status": status,
    });
    let params = object::patch();
    let name = metadata.name.as_deref().unwrap_or_default();
    let patch = Patch::Merge(&patch);
    let written = api.patch_status(name, &params, &patch);
    let written = within("the status of a TrackingDomain", written).await?;
    context.metrics.status_writes.inc();
    Ok(written)
}

/// Publishes an Event beside the turn: that one is lost changes nothing.
fn tell(domain: &TrackingDomain, transition: Transition, context: &Context) {
    let mut note = transition.message;
    note.truncate(note.floor_char_boundary(NOTE_MAX_BYTES));
    let event = Event {
        type_: if transition.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: transition.reason.as_str().to_owned(),
        note: Some(note),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    let reference = domain.object_ref(&());
    // A recorder of its own: one that lives remembers all that it published for
    // minutes, to count repetitions, and transitions do not repeat.
    let recorder = Recorder::new(context.client.clone(), context.reporter.clone());
    let metrics = context.metrics.clone();
    tokio::spawn(async move {
        let published = recorder.publish(&event, &reference);
        if let Err(error) = within("a Kubernetes Event", published).await {
            metrics.failed(error.category());
            tracing::debug!(%error, "a Kubernetes Event could not be published");
        }
    });
}
