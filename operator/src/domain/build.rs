//! Step 3, build: the entry that replicas are to serve. Pure.

use mailtrail_core::config::{Clicks, Domain, DomainState, Opens};
use mailtrail_core::id::Host;
use mailtrail_crds::HostClaim;
use mailtrail_crds::claim::ClaimRole;
use mailtrail_crds::entry::{EntryError, Facts, entry, lasting, narrowed};

use super::fetch::{Fetched, Presence};
use super::resolve::{ClaimChange, Rejection, Resolved, Serve, kept_since};
use crate::condition::Reason;
use crate::world::host_of;

/// What is to be applied.
#[derive(Debug)]
pub struct Built {
    /// Claims written before the entry.
    pub before: Vec<ClaimChange>,
    /// The entry.
    pub entry: EntryChange,
    /// The one instead of it where that finds no room.
    pub or_else: Option<Domain>,
    /// Claims given up after it.
    pub after: Vec<ClaimChange>,
    /// Whether the spec is accepted.
    pub accepted: Result<(), Rejection>,
    /// Whether there is an object to report on.
    pub reports: bool,
}

/// What becomes of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum EntryChange {
    /// It is this.
    Put(Box<Domain>),
    /// It stays.
    Keep,
    /// There is none.
    Remove,
}

/// Builds.
pub fn build(fetched: &Fetched, resolved: Resolved) -> Built {
    match resolved {
        Resolved::Leave => Built {
            entry: released(fetched, fetched.served.clone()),
            ..Built::nothing()
        },
        Resolved::Orphan => Built {
            entry: orphaned(fetched),
            ..Built::nothing()
        },
        Resolved::Serve(serve) => of_serve(fetched, serve),
        Resolved::Keep(keep) => Built {
            before: keep.proved.into_iter().collect(),
            after: keep.unused,
            ..of_refused(fetched, keep.rejection)
        },
        Resolved::Restore(claims) => Built {
            before: claims,
            ..Built::nothing()
        },
        Resolved::Retire(changes) => of_retired(fetched, changes, Ok(()), false),
        Resolved::RetireBeside(rejection, changes) => {
            of_retired(fetched, changes, Err(rejection), true)
        }
    }
}

impl Built {
    fn nothing() -> Self {
        Self {
            before: Vec::new(),
            entry: EntryChange::Keep,
            or_else: None,
            after: Vec::new(),
            accepted: Ok(()),
            reports: false,
        }
    }
}

fn of_serve(fetched: &Fetched, serve: Serve) -> Built {
    let Presence::There(there) = &fetched.presence else {
        return Built::nothing();
    };
    let facts = Facts {
        verified: serve.verified,
        former_hosts: serve.former,
        since: serve.since,
    };
    match entry(&there.domain, facts) {
        Ok(entry) => Built {
            before: serve.claims,
            entry: EntryChange::Put(Box::new(entry)),
            or_else: narrowed_entry(fetched),
            after: serve.released,
            accepted: Ok(()),
            reports: true,
        },
        Err(error) => of_refused(fetched, rejection(&error)),
    }
}

/// What was accepted before stays, but for what the refused spec turns off, and for
/// hosts that were released.
fn of_refused(fetched: &Fetched, rejection: Rejection) -> Built {
    let entry = narrowed_entry(fetched).map(|entry| Domain {
        verified: entry.verified || fetched.is_verified(&entry.host),
        ..entry
    });
    Built {
        entry: released(fetched, entry.or_else(|| fetched.served.clone())),
        accepted: Err(rejection),
        reports: true,
        ..Built::nothing()
    }
}

/// What is served of a domain, with no more tracked than its spec says.
fn narrowed_entry(fetched: &Fetched) -> Option<Domain> {
    let Presence::There(there) = &fetched.presence else {
        return None;
    };
    let served = fetched.served.as_ref();
    let served = served.filter(|served| served.state == DomainState::Active)?;
    Some(narrowed(served, &there.domain.spec))
}

/// What is to be served, without the hosts that were released. Without the host of
/// new links nothing is tracked, and what was sent over the others leads home.
fn released(fetched: &Fetched, entry: Option<Domain>) -> EntryChange {
    let Some(mut entry) = entry else {
        return EntryChange::Keep;
    };
    let stays = |host: &Host| !fetched.released.contains(host);
    entry.other_hosts.retain(stays);
    if !stays(&entry.host) {
        let Some(next) = entry.other_hosts.first().cloned() else {
            return EntryChange::Remove;
        };
        entry.other_hosts.retain(|host| *host != next);
        entry.host = next;
        if entry.state == DomainState::Active {
            entry.state = DomainState::Retired;
        }
        (entry.opens, entry.clicks) = (Opens::default(), Clicks::default());
    }
    match fetched.served.as_ref() == Some(&entry) {
        true => EntryChange::Keep,
        false => EntryChange::Put(Box::new(entry)),
    }
}

fn rejection(error: &EntryError) -> Rejection {
    let reason = match error {
        EntryError::Field { .. } => Reason::Invalid,
        EntryError::TooLong { .. } => Reason::ConfigTooLarge,
    };
    let message = match error {
        EntryError::Field { .. } => error.to_string(),
        EntryError::TooLong { .. } => format!(
            "{error}, former hosts included: shorten the lists, or have an administrator release former hosts by deleting their HostClaims"
        ),
    };
    Rejection { reason, message }
}

fn of_retired(
    fetched: &Fetched,
    changes: Vec<ClaimChange>,
    accepted: Result<(), Rejection>,
    reports: bool,
) -> Built {
    let given_up = |claim: &HostClaim| {
        changes.iter().any(|change| {
            matches!(change, ClaimChange::Delete(gone) if gone.metadata.name == claim.metadata.name)
        })
    };
    let kept = fetched.own.iter().filter(|claim| !given_up(claim));
    let entry = match retired(fetched, kept.map(AsRef::as_ref)) {
        Some(entry) => EntryChange::Put(Box::new(entry)),
        None => EntryChange::Remove,
    };
    let (after, before) = changes
        .into_iter()
        .partition(|change| matches!(change, ClaimChange::Delete(_)));
    Built {
        before,
        entry,
        or_else: None,
        after,
        accepted,
        reports,
    }
}

/// What is served, for nobody to ask for.
fn orphaned(fetched: &Fetched) -> EntryChange {
    match fetched.served.clone() {
        Some(served) => EntryChange::Put(Box::new(Domain {
            state: DomainState::Orphaned,
            ..served
        })),
        None => EntryChange::Keep,
    }
}

/// The entry that leads home whatever was sent over these claims' hosts.
fn retired<'a>(fetched: &Fetched, kept: impl Iterator<Item = &'a HostClaim>) -> Option<Domain> {
    let mut claims: Vec<(ClaimRole, Host, &HostClaim)> = kept
        .filter_map(|claim| Some((claim.spec.role, host_of(claim)?, claim)))
        .collect();
    claims.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let lasts = claims
        .iter()
        .find_map(|claim| claim.2.spec.lasting.as_ref());
    let mut hosts = claims.iter().map(|claim| claim.1.clone());
    let mut entry = Domain::new(fetched.realm.clone(), hosts.next()?);
    entry.other_hosts = hosts.collect();
    entry.state = match fetched.is_orphan() {
        true => DomainState::Orphaned,
        false => DomainState::Retired,
    };
    entry.since = match &fetched.namespace {
        Some(namespace) if !entry.is_orphan() => kept_since(fetched, namespace),
        _ => fetched.served.as_ref().map_or(0, |served| served.since),
    };
    entry.generation = fetched
        .served
        .as_ref()
        .map_or(0, |served| served.generation);
    entry.opens = Opens::default();
    entry.clicks = Clicks::default();
    if let Some(lasts) = lasts {
        // It was accepted once, so it reads; where it does not, links lead
        // home all the same.
        if let Ok(lasting) = lasting(lasts) {
            entry.retention_days = lasting.retention_days;
            entry.fallback = lasting.fallback;
            entry.apps = lasting.apps;
        }
    }
    Some(entry)
}
