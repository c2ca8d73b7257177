//! Step 5, report: the status, where it is not what it was, and Kubernetes
//! Events of what has turned.

use std::time::{Duration, Instant};

use kube::Api;
use kube::Resource as _;
use kube::api::Patch;
use mailtrail_core::id::Realm;
use mailtrail_crds::TrackingDomain;
use mailtrail_crds::status::TrackingDomainStatus;
use serde_json::json;

use super::Context;
use super::apply::Applied;
use super::fetch::{Fetched, Presence, There};
use crate::condition::{self, Finding, Is, Reason, Type};
use crate::error::{Error, within};
use crate::object;
use crate::queue::Next;
use crate::replicas::{Programmed, Replicas};
use crate::shards::{Shards, Standing};
use crate::subject::Subject;

/// How often the status of a change that does not arrive is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(10);
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
    let subject = Subject::Domain(realm.clone());
    let Presence::There(there) = &fetched.presence else {
        context.grace.over(&subject);
        return Ok(Next::Wait);
    };
    if !applied.reports {
        return Ok(Next::Wait);
    }
    let domain = &there.domain;
    let programmed = match applied.accepted.is_ok() {
        true => programmed(&subject, &context.shards, &context.replicas),
        false => Finding::is_false(
            Type::Programmed,
            Reason::NotAccepted,
            "replicas serve what was accepted before, if anything was",
        ),
    };
    let generation = domain.metadata.generation.unwrap_or(0);
    let known = says_programmed(there);
    if programmed.reason == Reason::Pending
        && let Some(left) = context
            .grace
            .left(&subject, generation, known, Instant::now())
    {
        return Ok(Next::After(left));
    }
    if programmed.reason != Reason::Pending {
        context.grace.over(&subject);
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
    let written = write(&subject, there, &findings, context).await?;
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
    let ready = condition::ready(
        &[&accepted, &resolved, &programmed],
        "the domain is served as written",
    );
    vec![accepted, resolved, programmed, reachable, ready]
}

/// Whether every ready replica serves the entry of a domain, or a sink.
pub(crate) fn programmed(subject: &Subject, shards: &Shards, replicas: &Replicas) -> Finding {
    let no = |reason, message: String| Finding::is_false(Type::Programmed, reason, message);
    let Standing::Written(state) = shards.standing(subject) else {
        let message = "the configuration is being written";
        return no(Reason::Pending, message.to_owned());
    };
    match replicas.programmed(subject, &state) {
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
    subject: &Subject,
    there: &There,
    findings: &[Finding],
    context: &Context,
) -> Result<bool, Error> {
    let domain = &there.domain;
    let generation = domain.metadata.generation.unwrap_or(0);
    let before = there.told.as_deref();
    let conditions = condition::conditions(before, generation, findings, (context.clock)());
    if before.is_some_and(|before| before.says(generation, &conditions)) {
        return Ok(true);
    }
    let status = TrackingDomainStatus {
        observed_generation: Some(generation),
        conditions,
    };
    let Some(_pass) = context.passes.get(subject) else {
        return Ok(false);
    };
    let written = patch(domain, &status, context).await?;
    context.world.domain(written);
    for transition in condition::transitions(before, findings) {
        context.teller.tell(domain.object_ref(&()), transition);
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
