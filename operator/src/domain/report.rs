//! Step 5, report: the status, where it is not what it was, and Kubernetes
//! Events of what has turned.

use mailtrail_core::config::{Domain, DomainState};
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::status::TrackingDomainStatus;

use super::Context;
use super::apply::Applied;
use super::fetch::{Fetched, Presence, There};
use crate::condition::{self, Finding, Is, Reason, Type};
use crate::error::Error;
use crate::queue::Next;
use crate::status::{LOOK_AGAIN, Writer, Written, programmed, still_given};
use crate::subject::Subject;

/// Most hosts that a message names.
const HOSTS_NAMED_MAX: usize = 3;

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
            still_served(context.shards.entry(realm).as_ref()),
        ),
    };
    let hosts = context.world.hosts_of(realm);
    let exposed = exposed(&hosts, &applied, context);
    let generation = domain.metadata.generation;
    let told = there.told.as_deref();
    let pending: Vec<_> = std::iter::once(&programmed).chain(&exposed).collect();
    if let Some(left) = still_given(&context.grace, &subject, generation, &pending, told) {
        return Ok(Next::After(left));
    }
    let is_pending = programmed.reason == Reason::Pending;
    let has_hosts = applied.accepted.is_ok() || !hosts.is_empty();
    let reachable = context.verifier.reachable(realm, domain, has_hosts, told);
    let mut findings = findings(&applied, programmed, reachable);
    findings.extend(exposed);
    let written = write(&subject, there, &findings, context).await?;
    Ok(match is_pending && written {
        true => Next::After(LOOK_AGAIN),
        false => Next::Wait,
    })
}

/// What is served of a domain whose spec is refused.
fn still_served(served: Option<&Domain>) -> String {
    match served.filter(|served| served.state == DomainState::Active) {
        Some(served) => format!(
            "replicas go on with {} as it was accepted before; what the spec turns off, or keeps less of, is off all the same",
            served.host
        ),
        None => "nothing of it was accepted before: no mail is tracked".to_owned(),
    }
}

/// Whether each of a realm's hosts has its route; nothing where none is made.
fn exposed(hosts: &[Host], applied: &Applied, context: &Context) -> Option<Finding> {
    let exposed = context.exposed.as_ref()?;
    if applied.accepted.is_ok() {
        return exposed.finding(hosts);
    }
    if hosts.is_empty() {
        let message = "no host is this object's";
        return Some(Finding::is_false(
            Type::Exposed,
            Reason::NotAccepted,
            message,
        ));
    }
    let mut finding = exposed.finding(hosts)?;
    if finding.is == Is::True {
        // The hosts of the spec that is refused are not among these.
        finding.message = format!("{}, as accepted before: {}", finding.message, named(hosts));
    }
    Some(finding)
}

/// Hosts by name, a few of them, in an order that does not change.
fn named(hosts: &[Host]) -> String {
    let mut names: Vec<_> = hosts.iter().map(Host::as_str).collect();
    names.sort_unstable();
    let rest = names.len().saturating_sub(HOSTS_NAMED_MAX);
    names.truncate(HOSTS_NAMED_MAX);
    let names = names.join(", ");
    match rest {
        0 => names,
        rest => format!("{names} and {rest} more"),
    }
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

/// Writes the status; says whether it says all that now. Where others are before
/// it the realm is named when they are done.
async fn write(
    subject: &Subject,
    there: &There,
    findings: &[Finding],
    context: &Context,
) -> Result<bool, Error> {
    let writer = Writer {
        client: &context.client,
        passes: &context.passes,
        teller: &context.teller,
        fence: &context.fence,
        metrics: &context.metrics,
        clock: context.clock,
    };
    let status = |generation, conditions| TrackingDomainStatus {
        observed_generation: Some(generation),
        conditions,
    };
    let (domain, before) = (&*there.domain, there.told.as_deref());
    match writer
        .write(subject, domain, before, findings, status)
        .await?
    {
        Written::Now(domain) => context.world.domain(*domain),
        Written::Already => {}
        Written::NotYet => return Ok(false),
    }
    Ok(true)
}
