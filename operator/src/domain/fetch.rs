//! Step 1, fetch: gathers what is known of a realm. Io only where something is
//! to be given up: that an object is gone is asked of the API server itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt as _};
use mailtrail_core::config::{Domain, DomainState};
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::claim::ClaimState;
use mailtrail_crds::domain::Verification;
use mailtrail_crds::{HostClaim, TrackingDomain};

use super::Context;
use super::gone::{self, Belief};
use crate::condition::Told;
use crate::error::{Error, within};
use crate::world::{Concern, Namespace};

/// Left alone while it has this annotation, whatever its value.
pub const PAUSED: &str = "mailtrail.dev/paused";
const DEFINITION: &str = "trackingdomains.mailtrail.dev";
const CLAIMS_DEFINITION: &str = "hostclaims.mailtrail.dev";

/// What is known of a realm.
#[derive(Debug)]
pub struct Fetched {
    /// The realm.
    pub realm: Realm,
    /// The install's class.
    pub class: String,
    /// Its object.
    pub presence: Presence,
    /// Its namespace.
    pub namespace: Option<Namespace>,
    /// Its claims.
    pub own: Vec<Arc<HostClaim>>,
    /// Who has the hosts that the spec names.
    pub wanted: HashMap<Host, Arc<HostClaim>>,
    /// What is served of it.
    pub served: Option<Domain>,
    /// Hosts that were found to lead here since its claims were written.
    pub proved: HashSet<Host>,
    /// Whether a claim that is missing was lost, not released.
    pub claims_lost: bool,
    /// Hosts that are served, and whose claims an administrator has deleted.
    pub released: HashSet<Host>,
}

/// Whether the object is there.
#[derive(Debug)]
pub enum Presence {
    /// It is, and it is ours.
    There(There),
    /// It is not, or belongs to another install; what it held is to be retired.
    Gone,
    /// It is not, and its claims vanished with their definition.
    Unclaimed {
        /// UID of its namespace, where there still is one.
        namespace_uid: Option<String>,
    },
    /// It is not, and its namespace is gone, or another: what is served of it is
    /// nobody's to ask for, while its absence is looked into.
    Orphaned,
    /// Nothing is to be done: it is paused, its namespace is not watched, its
    /// absence is not believed, or there is nothing left of it.
    LeftAlone,
}

/// An object that is there.
#[derive(Debug)]
pub struct There {
    /// The object, without its status.
    pub domain: Arc<TrackingDomain>,
    /// What its status says.
    pub told: Option<Arc<Told>>,
    /// Its namespace.
    pub namespace: Namespace,
    /// The place that it would have among the domains of its namespace, from 1 on;
    /// none where it has one already, or nobody counts.
    pub rank: Option<usize>,
}

/// What is known of this realm.
pub async fn fetch(realm: &Realm, context: &Context) -> Result<Fetched, Error> {
    let concern = context.world.concern(realm);
    if !concern.own.is_empty() {
        context.absences.is_claimed(realm);
    }
    let served = context.shards.entry(realm);
    let ours = concern
        .domain
        .clone()
        .filter(|domain| domain.spec.class_name == context.class);
    let released = released(realm, &concern, served.as_ref(), context).await?;
    let presence = match ours {
        _ if !watched(realm, context) => Presence::LeftAlone,
        Some(domain) if domain.annotations().contains_key(PAUSED) => Presence::LeftAlone,
        Some(domain) => Presence::There(There {
            rank: rank(realm, &domain, served.as_ref(), context),
            told: concern.told.clone(),
            namespace: concern
                .namespace
                .clone()
                .ok_or(Error::NotYet("the namespace"))?,
            domain,
        }),
        None if is_orphan_anew(realm, &concern, served.as_ref(), context).await? => {
            Presence::Orphaned
        }
        None if !is_left(&concern.own, served.as_ref()) => Presence::LeftAlone,
        None => missing(realm, &concern, &released, context).await?,
    };
    let proved = match &presence {
        Presence::There(there) => {
            context.absences.is_back(realm);
            free(realm, &there.domain, &concern.wanted, context)?;
            if is_missing(&concern.own, served.as_ref()) {
                claims_stand(context).await?;
            }
            let host = served.as_ref().map(|served| &served.host);
            proved(realm, &there.domain, host, &concern.own, context)
        }
        _ => HashSet::new(),
    };
    if concern.domain.is_none() {
        context.verifier.forget(realm);
    }
    Ok(Fetched {
        realm: realm.clone(),
        class: context.class.clone(),
        presence,
        namespace: concern.namespace,
        own: concern.own,
        wanted: concern.wanted,
        served,
        proved,
        claims_lost: context.absences.claims_return(Instant::now()),
        released,
    })
}

/// A host that nobody claims and another realm's entry still names is not free:
/// whose it is claims it again, or gives it up, first. Two entries for one host
/// would be served by one replica this way and by another that way.
fn free(
    realm: &Realm,
    domain: &TrackingDomain,
    claimed: &HashMap<Host, Arc<HostClaim>>,
    context: &Context,
) -> Result<(), Error> {
    let spec = &domain.spec;
    let named = std::iter::once(&spec.host).chain(&spec.aliases);
    let hosts = named.filter_map(|host| host.parse::<Host>().ok());
    for host in hosts.filter(|host| !claimed.contains_key(host)) {
        if let Some(holder) = context
            .shards
            .holder(&host)
            .filter(|holder| holder != realm)
        {
            context.inbox.push(holder);
            return Err(Error::NotYet("what is served of the host still"));
        }
    }
    Ok(())
}

/// Has the host of new links looked at, where that is asked for, and says which
/// of the hosts were found to lead here. While the one that the spec names is not
/// ours, that is the one that is served.
fn proved(
    realm: &Realm,
    domain: &TrackingDomain,
    served: Option<&Host>,
    own: &[Arc<HostClaim>],
    context: &Context,
) -> HashSet<Host> {
    if domain.spec.verification == Verification::None {
        context.verifier.forget(realm);
        return HashSet::new();
    }
    // Only what is ours, and served, can prove it.
    let named: Option<Host> = domain.spec.host.parse().ok();
    let mut ours = named.iter().chain(served);
    let Some((host, claim)) = ours.find_map(|host| Some((host, claim_of(own, host)?))) else {
        return HashSet::new();
    };
    context.verifier.wants(realm, host, claim.spec.verified);
    let proved = context.verifier.is_proved(realm, host);
    proved.then(|| host.clone()).into_iter().collect()
}

/// The hosts that are served and that an administrator has released: their claims were
/// seen to go, not with their definition, and the API server has none of ours.
async fn released(
    realm: &Realm,
    concern: &Concern,
    served: Option<&Domain>,
    context: &Context,
) -> Result<HashSet<Host>, Error> {
    let hosts = served.into_iter().flat_map(Domain::hosts);
    let unclaimed = hosts.filter(|host| claim_of(&concern.own, host).is_none());
    let went = unclaimed.filter_map(|host| Some((host, context.world.claim_went(host)?)));
    let went: Vec<_> = went.collect();
    if !went.is_empty() {
        claims_stand_for(realm, concern, context).await?;
    }
    let mut released = HashSet::new();
    for (host, at) in went {
        if context.absences.went_with_definition(at) {
            continue;
        }
        let api: Api<HostClaim> = Api::all(context.client.clone());
        match within("HostClaim", api.get_opt(host.as_str())).await? {
            Some(claim)
                if claim.spec.realm == realm.to_string()
                    && claim.spec.class_name == context.class =>
            {
                context.world.claim(claim);
                return Err(Error::NotYet("a claim that the watch does not know"));
            }
            _ => _ = released.insert(host.clone()),
        }
    }
    Ok(released)
}

/// Counted only where it matters: it looks at all domains there are.
fn rank(
    realm: &Realm,
    domain: &TrackingDomain,
    served: Option<&Domain>,
    context: &Context,
) -> Option<usize> {
    let is_served = served.is_some_and(|entry| entry.state == DomainState::Active);
    if is_served || !context.policy.is_bounded(realm.namespace()) {
        return None;
    }
    context.world.rank_in_namespace(realm, domain)
}

fn watched(realm: &Realm, context: &Context) -> bool {
    let namespaces = &context.watched;
    namespaces.is_empty() || namespaces.iter().any(|name| name == realm.namespace())
}

/// Whether there is anything to give up: a claim that is in use, or an entry
/// that no retired claim stands for.
fn is_left(own: &[Arc<HostClaim>], served: Option<&Domain>) -> bool {
    let in_use = own.iter().any(|c| c.spec.state == ClaimState::Active);
    let orphan = served.is_some_and(|entry| own.is_empty() || entry.state == DomainState::Active);
    let unserved = served.is_none() && !own.is_empty();
    in_use || orphan || unserved
}

impl Fetched {
    /// Whether its namespace is gone, or another of that name by now.
    pub fn is_orphan(&self) -> bool {
        is_orphan(&self.own, self.namespace.as_ref())
    }
}

fn is_orphan(own: &[Arc<HostClaim>], namespace: Option<&Namespace>) -> bool {
    let is_its = |claim: &Arc<HostClaim>| {
        namespace.is_some_and(|namespace| namespace.uid == claim.spec.namespace_uid)
    };
    !own.is_empty() && !own.iter().all(is_its)
}

/// Whether an object that is gone was of another namespace than there is now,
/// and no replica knows yet. The API server itself is asked.
async fn is_orphan_anew(
    realm: &Realm,
    concern: &Concern,
    served: Option<&Domain>,
    context: &Context,
) -> Result<bool, Error> {
    let is_known = served.is_none_or(Domain::is_orphan);
    if is_known || !is_orphan(&concern.own, concern.namespace.as_ref()) {
        return Ok(false);
    }
    let api: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(context.client.clone());
    let there = within("Namespace", api.get_metadata_opt(realm.namespace())).await?;
    let uid = there.and_then(|there| there.metadata.uid);
    let own = &concern.own;
    Ok(own
        .iter()
        .any(|claim| uid.as_ref() != Some(&claim.spec.namespace_uid)))
}

/// The object is not known here. A moment is given to others that vanish with it.
/// Where there is no claim either the host was released, unless claims have no
/// definition, or had none a while ago.
async fn missing(
    realm: &Realm,
    concern: &Concern,
    released: &HashSet<Host>,
    context: &Context,
) -> Result<Presence, Error> {
    let unclaimed = || Presence::Unclaimed {
        namespace_uid: concern.namespace.as_ref().map(|found| found.uid.clone()),
    };
    if concern.own.is_empty() {
        claims_stand_for(realm, concern, context).await?;
        if context.absences.lost_its_claims(realm) {
            return Ok(unclaimed());
        }
    } else {
        let confirmed = context.world.is_confirmed_gone(realm, gone::CONFIRM);
        if !confirmed && !context.absences.noted(realm, Instant::now()) {
            return Err(Error::NotYet("whether others vanish, too,"));
        }
    }
    match really_absent(realm, context).await? {
        Belief::Gone => Ok(Presence::Gone),
        Belief::NotYet => Err(Error::NotYet("whether others vanish, too,")),
        // There must be a claim for an administrator to confirm it with.
        Belief::Not if concern.own.is_empty() && released.is_empty() => Ok(unclaimed()),
        Belief::Not => Ok(Presence::LeftAlone),
    }
}

/// Asks the API server whether the object is really gone.
async fn really_absent(realm: &Realm, context: &Context) -> Result<Belief, Error> {
    let api: Api<TrackingDomain> = Api::namespaced(context.client.clone(), realm.namespace());
    match within("TrackingDomain", api.get(realm.name())).await {
        Ok(domain) if domain.spec.class_name == context.class => {
            // The watch lags behind.
            context.world.domain(domain);
            return Err(Error::NotYet("a domain that the watch does not know"));
        }
        // Another install's now: what this one holds is retired.
        Ok(_) | Err(Error::NotFound { .. }) => {}
        Err(error) => return Err(error),
    }
    if !stands(DEFINITION, context).await? {
        context
            .absences
            .disbelieve(realm, "the definition of TrackingDomain is gone or going");
        return Ok(Belief::Not);
    }
    Ok(context
        .absences
        .judge(realm, &context.world, Instant::now()))
}

/// Whether a host is served without a claim: it was released, or claims vanish
/// one by one with their definition.
fn is_missing(own: &[Arc<HostClaim>], served: Option<&Domain>) -> bool {
    let mut hosts = served.into_iter().flat_map(Domain::hosts);
    hosts.any(|host| claim_of(own, host).is_none())
}

/// The claim of a host, among some.
pub fn claim_of<'a>(own: &'a [Arc<HostClaim>], host: &Host) -> Option<&'a Arc<HostClaim>> {
    let is = |claim: &&Arc<HostClaim>| claim.metadata.name.as_deref() == Some(host.as_str());
    own.iter().find(is)
}

/// Nothing is decided while claims have no definition.
async fn claims_stand(context: &Context) -> Result<(), Error> {
    if stands(CLAIMS_DEFINITION, context).await? {
        return Ok(());
    }
    context.absences.no_claims(Instant::now());
    Err(Error::NotYet("the definition of HostClaim"))
}

/// The same of one realm; whose claims are lost with it is remembered, where nothing
/// else is left to tell.
async fn claims_stand_for(
    realm: &Realm,
    concern: &Concern,
    context: &Context,
) -> Result<(), Error> {
    let stand = claims_stand(context).await;
    if stand.is_err() && concern.domain.is_none() && concern.own.is_empty() {
        context.absences.is_unclaimed(realm);
    }
    stand
}

/// Whether a kind's definition is there and stays. Without it every object is
/// "not found".
async fn stands(definition: &str, context: &Context) -> Result<bool, Error> {
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let definition = within("CustomResourceDefinition", api.get_opt(definition)).await?;
    Ok(definition.is_some_and(|definition| definition.metadata.deletion_timestamp.is_none()))
}
