//! Step 2, resolve: who owns which host, and what is therefore to become of the
//! claims. Pure.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use mailtrail_core::config::{Domain, DomainState};
use mailtrail_core::id::Host;
use mailtrail_crds::HostClaim;
use mailtrail_crds::claim::{ClaimRole, ClaimState, HostClaimSpec, Lasting};
use mailtrail_crds::domain::{Apps, DeletionPolicy, TrackingDomainSpec, Verification};

use super::fetch::{Fetched, Presence, There, claim_of};
use crate::condition::Reason;
use crate::policy::HostPolicy;
use crate::world::{Namespace, host_of};

/// Stands for the UID of a namespace that is gone: no namespace has it.
const NO_NAMESPACE: &str = "gone";

/// What is to become of a realm.
#[derive(Debug)]
pub enum Resolved {
    /// It is served as its spec says.
    Serve(Serve),
    /// What is served of it stays, and the status says why nothing else is.
    Keep(Keep),
    /// Its links lead home, nothing is recorded.
    Retire(Vec<ClaimChange>),
    /// The same, while an object of another namespace of that name is there.
    RetireBeside(Rejection, Vec<ClaimChange>),
    /// What is served stays, and its claims are made good.
    Restore(Vec<ClaimChange>),
    /// What is served leads home and is nobody's to ask for.
    Orphan,
    /// Nothing is done, but that hosts that were released are given up.
    Leave,
}

/// What becomes of the claims of a realm whose spec is not accepted.
#[derive(Debug)]
pub struct Keep {
    /// Why it is not.
    pub rejection: Rejection,
    /// The claim of the host that is served, once that was found to lead here.
    pub proved: Option<ClaimChange>,
    /// Those that are held for nothing.
    pub unused: Vec<ClaimChange>,
}

/// How a realm is to be served.
#[derive(Debug)]
pub struct Serve {
    /// The claims that must stand before its entry does.
    pub claims: Vec<ClaimChange>,
    /// Those that are given up afterwards.
    pub released: Vec<ClaimChange>,
    /// Whether the host was found to lead here.
    pub verified: bool,
    /// Hosts that it once had.
    pub former: Vec<Host>,
    /// Since when what is kept of it is its namespace's, in seconds since 1970.
    pub since: i64,
}

/// A claim to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum ClaimChange {
    /// Made.
    Create(Host, HostClaimSpec),
    /// Changed.
    Update(Arc<HostClaim>, HostClaimSpec),
    /// Given up.
    Delete(Arc<HostClaim>),
}

/// Why a spec is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// As one word.
    pub reason: Reason,
    /// What a person should know or do.
    pub message: String,
}

/// Decides.
pub fn resolve(fetched: &Fetched, policy: &HostPolicy) -> Resolved {
    match &fetched.presence {
        Presence::LeftAlone => Resolved::Leave,
        Presence::Orphaned => Resolved::Orphan,
        Presence::Gone => Resolved::Retire(give_up(fetched)),
        Presence::Unclaimed { namespace_uid } => {
            Resolved::Restore(claims_of_entry(fetched, namespace_uid.as_deref()))
        }
        Presence::There(there) => resolve_there(fetched, there, policy),
    }
}

fn resolve_there(fetched: &Fetched, there: &There, policy: &HostPolicy) -> Resolved {
    let uid = &there.namespace.uid;
    if fetched.own.iter().any(|c| c.spec.namespace_uid != *uid) {
        let rejection = Rejection {
            reason: Reason::NamespaceChanged,
            message: "the hosts belong to an earlier namespace of this name: an administrator releases them by deleting their HostClaims; links in mails already sent lead home meanwhile".to_owned(),
        };
        let changes = retire(fetched, |claim| claim.spec.namespace_uid != *uid);
        return Resolved::RetireBeside(rejection, changes);
    }
    if fetched.is_lost_and_retired() {
        // Whose it was is not known any more: it is nobody's, as it was.
        return Resolved::Restore(claims_of_entry(fetched, None));
    }
    match accept(fetched, there, policy) {
        Ok(serve) => Resolved::Serve(serve),
        Err(rejection) => Resolved::Keep(Keep {
            rejection,
            proved: proved(fetched),
            unused: unused(fetched),
        }),
    }
}

fn accept(fetched: &Fetched, there: &There, policy: &HostPolicy) -> Result<Serve, Rejection> {
    let spec = &there.domain.spec;
    let hosts = hosts(spec)?;
    for (host, _) in &hosts {
        owned(fetched, host)?;
        may_use(fetched, host, policy)?;
    }
    has_room(fetched, there, policy)?;
    let mut serve = Serve {
        claims: Vec::new(),
        released: Vec::new(),
        verified: fetched.is_verified(&hosts[0].0),
        former: Vec::new(),
        since: kept_since(fetched, &there.namespace),
    };
    for (host, role) in &hosts {
        let claim = fetched.claim(host);
        let wanted = claim_spec(fetched, there, host, *role);
        serve.claims.extend(change(host, claim, wanted));
    }
    let named: HashSet<&Host> = hosts.iter().map(|(host, _)| host).collect();
    for claim in &fetched.own {
        let Some(host) = host_of(claim) else { continue };
        if named.contains(&host) {
            continue;
        }
        if claim.spec.links_out {
            let wanted = HostClaimSpec {
                state: ClaimState::Active,
                role: ClaimRole::Former,
                lasting: None,
                deletion_policy: spec.deletion_policy,
                ..claim.spec.clone()
            };
            serve.claims.extend(change(&host, Some(claim), wanted));
            serve.former.push(host);
        } else {
            serve.released.push(ClaimChange::Delete(Arc::clone(claim)));
        }
    }
    serve
        .claims
        .extend(lost(fetched, there, &named).inspect(|change| {
            if let ClaimChange::Create(host, _) = change {
                serve.former.push(host.clone());
            }
        }));
    serve.former.sort_unstable();
    Ok(serve)
}

/// Claims of former hosts that are made good by what is served, where a domain
/// that is in use has none at all (nobody releases a host like that), or where
/// claims were without definition. One claim alone that is missing otherwise
/// was released.
fn lost<'a>(
    fetched: &'a Fetched,
    there: &'a There,
    named: &'a HashSet<&'a Host>,
) -> impl Iterator<Item = ClaimChange> + 'a {
    let served = fetched.served.as_ref();
    let served = served.filter(|entry| {
        let lost = fetched.own.is_empty() || fetched.claims_lost;
        lost && entry.state == DomainState::Active && entry.verified
    });
    let hosts = served.into_iter().flat_map(Domain::hosts);
    let former = hosts.filter(|host| !named.contains(host) && fetched.claim(host).is_none());
    former.map(|host| {
        let spec = HostClaimSpec {
            role: ClaimRole::Former,
            links_out: true,
            lasting: None,
            ..claim_spec(fetched, there, host, ClaimRole::Former)
        };
        ClaimChange::Create(host.clone(), spec)
    })
}

/// The claims that stand behind an entry whose domain is gone. Links are out
/// over its hosts: an entry without them would not have been kept.
fn claims_of_entry(fetched: &Fetched, namespace_uid: Option<&str>) -> Vec<ClaimChange> {
    let Some(entry) = &fetched.served else {
        return Vec::new();
    };
    // What was another namespace's is not this one's.
    let namespace_uid = namespace_uid.filter(|_| !entry.is_orphan());
    let claim = |host: &Host| {
        let is_host = *host == entry.host;
        let spec = HostClaimSpec {
            realm: fetched.realm.to_string(),
            namespace_uid: namespace_uid.unwrap_or(NO_NAMESPACE).to_owned(),
            kept_since: time(entry.since),
            class_name: fetched.class.clone(),
            state: match entry.state {
                DomainState::Active => ClaimState::Active,
                DomainState::Retired | DomainState::Orphaned => ClaimState::Retired,
            },
            role: if is_host {
                ClaimRole::Host
            } else {
                ClaimRole::Former
            },
            verified: entry.verified && is_host,
            links_out: true,
            deletion_policy: DeletionPolicy::Retire,
            lasting: is_host.then(|| Lasting {
                retention: format!("{}d", entry.retention_days),
                fallback: entry.fallback.as_ref().map(ToString::to_string),
                apps: Apps::default(),
            }),
        };
        ClaimChange::Create(host.clone(), spec)
    };
    entry.hosts().map(claim).collect()
}

/// The hosts that a spec names, the one of new links first.
fn hosts(spec: &TrackingDomainSpec) -> Result<Vec<(Host, ClaimRole)>, Rejection> {
    let parse = |field: String, text: &str| {
        text.parse::<Host>().map_err(|error| Rejection {
            reason: Reason::Invalid,
            message: format!("{field}: {}", error.rule()),
        })
    };
    let mut hosts = vec![(parse("spec.host".to_owned(), &spec.host)?, ClaimRole::Host)];
    for (at, alias) in spec.aliases.iter().enumerate() {
        let host = parse(format!("spec.aliases[{at}]"), alias)?;
        hosts.push((host, ClaimRole::Alias));
    }
    Ok(hosts)
}

/// Whether a host is free, or this realm's. Who else has it is said only to
/// their own namespace.
fn owned(fetched: &Fetched, host: &Host) -> Result<(), Rejection> {
    let Some(claim) = fetched.wanted.get(host) else {
        return Ok(());
    };
    if fetched.claim(host).is_some() {
        return Ok(());
    }
    let namespace = fetched.realm.namespace();
    let same = claim.spec.realm.strip_prefix(namespace);
    let neighbour = same.and_then(|rest| rest.strip_prefix('/'));
    let whose = match neighbour {
        Some(name) if name == fetched.realm.name() => format!(
            "is this TrackingDomain's in the install of the class {}",
            claim.spec.class_name
        ),
        Some(name) => format!("belongs to the TrackingDomain {name} of this namespace"),
        None => "belongs to another tracking domain".to_owned(),
    };
    Err(Rejection {
        reason: Reason::HostConflict,
        message: format!(
            "{host} {whose}: choose another host, or, once that domain is gone, have an administrator release it by deleting its HostClaim"
        ),
    })
}

/// Whether the namespace may use a host. One that the domain has stays its own where
/// the policy was made narrower since: that must not stand in the way of turning a
/// toggle off, and what is served goes on being served in any case.
fn may_use(fetched: &Fetched, host: &Host, policy: &HostPolicy) -> Result<(), Rejection> {
    let has_it = fetched.claim(host).is_some_and(|claim| {
        claim.spec.state == ClaimState::Active && claim.spec.role != ClaimRole::Former
    });
    if has_it {
        return Ok(());
    }
    let allowed = policy.allows(fetched.realm.namespace(), host);
    allowed.map_err(|message| Rejection {
        reason: Reason::HostNotAllowed,
        message,
    })
}

/// Whether the domain finds a place in its namespace, or has one.
fn has_room(fetched: &Fetched, there: &There, policy: &HostPolicy) -> Result<(), Rejection> {
    let Some(rank) = there.rank else {
        return Ok(());
    };
    let room = policy.has_room(fetched.realm.namespace(), rank);
    room.map_err(|message| Rejection {
        reason: Reason::TooManyDomains,
        message,
    })
}

fn claim_spec(fetched: &Fetched, there: &There, host: &Host, role: ClaimRole) -> HostClaimSpec {
    let spec = &there.domain.spec;
    let before = fetched.claim(host).map(|claim| &claim.spec);
    let verified = fetched.is_verified(host);
    let sent = role == ClaimRole::Host && (verified || spec.verification == Verification::None);
    HostClaimSpec {
        realm: fetched.realm.to_string(),
        namespace_uid: there.namespace.uid.clone(),
        kept_since: time(kept_since(fetched, &there.namespace)),
        class_name: spec.class_name.clone(),
        state: ClaimState::Active,
        role,
        verified,
        links_out: sent || before.is_some_and(|before| before.links_out),
        deletion_policy: spec.deletion_policy,
        lasting: (role == ClaimRole::Host).then(|| Lasting {
            retention: spec.retention.clone(),
            fallback: spec.fallback.clone(),
            apps: spec.apps.clone(),
        }),
    }
}

/// Since when what is kept of a realm is its namespace's, in seconds since 1970:
/// since that was made, or longer where a claim of its says so, as one that was
/// brought from another cluster does.
pub fn kept_since(fetched: &Fetched, namespace: &Namespace) -> i64 {
    let claims = fetched.own.iter();
    let told = claims.filter_map(|claim| Some(claim.spec.kept_since.as_ref()?.0.as_second()));
    told.fold(namespace.created, i64::min).max(0)
}

fn time(seconds: i64) -> Option<Time> {
    let seconds = (seconds > 0).then_some(seconds)?;
    Timestamp::from_second(seconds).ok().map(Time)
}

fn change(
    host: &Host,
    claim: Option<&Arc<HostClaim>>,
    wanted: HostClaimSpec,
) -> Option<ClaimChange> {
    match claim {
        None => Some(ClaimChange::Create(host.clone(), wanted)),
        Some(claim) if claim.spec == wanted => None,
        Some(claim) => Some(ClaimChange::Update(Arc::clone(claim), wanted)),
    }
}

/// The claim of the host that is served of a rejected spec, which was found to lead
/// here since: mails are tracked over it from now on.
fn proved(fetched: &Fetched) -> Option<ClaimChange> {
    let served = fetched.served.as_ref();
    let served = served.filter(|served| served.state == DomainState::Active)?;
    let claim = fetched.claim(&served.host)?;
    let is_news = fetched.proved.contains(&served.host) && !claim.spec.verified;
    is_news.then(|| {
        let wanted = HostClaimSpec {
            verified: true,
            links_out: true,
            ..claim.spec.clone()
        };
        ClaimChange::Update(Arc::clone(claim), wanted)
    })
}

/// The claims that a rejected spec holds for nothing: over which nothing was
/// sent, and which nothing is served on.
fn unused(fetched: &Fetched) -> Vec<ClaimChange> {
    let served: HashSet<&Host> = fetched.served.iter().flat_map(Domain::hosts).collect();
    let unused = fetched.own.iter().filter(|claim| {
        !claim.spec.links_out && host_of(claim).is_some_and(|host| !served.contains(&host))
    });
    unused
        .map(|claim| ClaimChange::Delete(Arc::clone(claim)))
        .collect()
}

/// What becomes of the claims of an object that is gone.
fn give_up(fetched: &Fetched) -> Vec<ClaimChange> {
    let forgets = |claim: &&Arc<HostClaim>| claim.spec.deletion_policy == DeletionPolicy::Forget;
    if !fetched.own.is_empty() && fetched.own.iter().all(|claim| forgets(&claim)) {
        let all = fetched.own.iter().cloned();
        return all.map(ClaimChange::Delete).collect();
    }
    retire(fetched, |_| true)
}

/// Claims over which links are out are retired, others given up.
fn retire(fetched: &Fetched, which: impl Fn(&HostClaim) -> bool) -> Vec<ClaimChange> {
    let mut changes = Vec::new();
    for claim in fetched.own.iter().filter(|claim| which(claim)) {
        if !claim.spec.links_out {
            changes.push(ClaimChange::Delete(Arc::clone(claim)));
        } else if claim.spec.state == ClaimState::Active {
            let retired = HostClaimSpec {
                state: ClaimState::Retired,
                ..claim.spec.clone()
            };
            changes.push(ClaimChange::Update(Arc::clone(claim), retired));
        }
    }
    changes
}

impl Fetched {
    /// This realm's claim of a host.
    fn claim(&self, host: &Host) -> Option<&Arc<HostClaim>> {
        claim_of(&self.own, host)
    }

    /// Whether all its claims were lost while it led links home alone: its domain
    /// was gone, or its namespace another.
    fn is_lost_and_retired(&self) -> bool {
        let served = self.served.as_ref();
        let retired = served.is_some_and(|entry| entry.state != DomainState::Active);
        self.claims_lost && self.own.is_empty() && retired
    }

    /// Whether a host was ever found to lead here. A claim that was lost is
    /// made good by what is served.
    pub(super) fn is_verified(&self, host: &Host) -> bool {
        let by_claim = self.claim(host).is_some_and(|claim| claim.spec.verified);
        let by_entry = self.served.as_ref().is_some_and(|entry| {
            entry.verified && entry.host == *host && self.claim(host).is_none()
        });
        by_claim || by_entry || self.proved.contains(host)
    }
}

#[cfg(test)]
mod tests;
