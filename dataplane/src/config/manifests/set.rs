//! The domains of all files together: unique names and hosts, and what was
//! there before and goes on leading home. Pure.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mailtrail_core::config::{Domain, DomainState, Snapshot};
use mailtrail_core::id::{Host, Realm};
use mailtrail_core::sink::{Sink, Sinks};
use mailtrail_crds::domain::{DeletionPolicy, Verification};

use super::{
    Baseline, DOCUMENTS_MAX, Fault, Fingerprint, Loaded, ManifestErrors, Notice, NoticeKind, Place,
    TOLD_MAX, TOTAL_MAX_BYTES,
};

/// Most former hosts of one domain that go on answering.
const FORMER_HOSTS_MAX: usize = 16;

/// A domain as a manifest declares it.
pub(super) struct Declared {
    /// Where its name stands.
    pub(super) at: Place,
    /// Where its hosts stand, in their order.
    pub(super) hosts_at: Vec<Place>,
    pub(super) verification: Verification,
    pub(super) deletion_policy: DeletionPolicy,
    pub(super) entry: Domain,
}

/// A sink as a manifest declares it.
pub(super) struct DeclaredSink {
    /// Where its name stands.
    pub(super) at: Place,
    /// Where its domains stand, in their order.
    pub(super) domains_at: Vec<Place>,
    pub(super) entry: Sink,
}

/// What a later load must know of this one beyond its snapshot.
#[derive(Debug, Clone, Default)]
pub(in crate::config) struct Carried {
    /// Domains that are given up when they are no longer declared.
    forget: HashSet<Realm>,
}

impl Carried {
    /// Gives these up when they are no longer declared.
    pub(in crate::config) fn forgetting(realms: impl IntoIterator<Item = Realm>) -> Self {
        Self {
            forget: realms.into_iter().collect(),
        }
    }

    /// Which are given up when they are no longer declared, in no order.
    pub(in crate::config) fn forgotten(&self) -> impl Iterator<Item = &Realm> {
        self.forget.iter()
    }
}

/// What has been read so far.
#[derive(Default)]
pub(super) struct Set {
    domains: Vec<Domain>,
    carried: Carried,
    realms: HashMap<Realm, Place>,
    hosts: HashMap<Host, Place>,
    sinks: Sinks,
    sinks_at: HashMap<Realm, Place>,
    /// Domains that sinks name.
    named: Vec<(Realm, Place)>,
    /// Sinks that take all domains of their namespace.
    of_all: Vec<(Realm, Place)>,
    faults: Vec<Fault>,
    more_faults: usize,
    notices: Vec<Notice>,
    more_notices: usize,
    documents: usize,
    bytes: u64,
}

impl Set {
    /// Notes what is wrong.
    pub(super) fn fault(&mut self, place: Place, field: &str, rule: String) {
        if self.faults.len() < TOLD_MAX {
            let field = field.to_owned();
            self.faults.push(Fault { place, field, rule });
        } else {
            self.more_faults += 1;
        }
    }

    /// Notes what to know.
    pub(super) fn notice(&mut self, place: Place, what: NoticeKind) {
        if self.notices.len() < TOLD_MAX {
            self.notices.push(Notice { place, what });
        } else {
            self.more_notices += 1;
        }
    }

    /// Counts a document; false when there are too many.
    pub(super) fn counts_document(&mut self) -> bool {
        self.documents += 1;
        self.documents <= DOCUMENTS_MAX
    }

    /// Counts bytes; false when there are too many.
    pub(super) fn has_room(&mut self, bytes: u64) -> bool {
        self.bytes = self.bytes.saturating_add(bytes);
        self.bytes <= TOTAL_MAX_BYTES
    }

    /// Takes a domain in; its name and hosts must be nobody else's.
    pub(super) fn domain(&mut self, declared: Declared) {
        let Declared {
            at,
            hosts_at,
            verification,
            deletion_policy,
            entry,
        } = declared;
        match self.realms.entry(entry.realm.clone()) {
            Entry::Occupied(first) => {
                let rule = format!(
                    "{} is declared twice, first at {}",
                    entry.realm,
                    first.get()
                );
                return self.fault(at, "metadata.name", rule);
            }
            Entry::Vacant(free) => free.insert(at),
        };
        self.take_hosts(&entry, &hosts_at);
        let host = &entry.host;
        if verification == Verification::Required && !host.is_local() {
            let what = NoticeKind::Unverified(host.to_string());
            self.notice(hosts_at[0].clone(), what);
        }
        if deletion_policy == DeletionPolicy::Forget {
            self.carried.forget.insert(entry.realm.clone());
        }
        self.domains.push(entry);
    }

    /// Takes a sink in; its name must be no other sink's.
    pub(super) fn sink(&mut self, declared: DeclaredSink) {
        let DeclaredSink {
            at,
            domains_at,
            entry,
        } = declared;
        let realm = entry.realm.clone();
        match self.sinks_at.entry(realm.clone()) {
            Entry::Occupied(first) => {
                let rule = format!("{realm} is declared twice, first at {}", first.get());
                return self.fault(at, "metadata.name", rule);
            }
            Entry::Vacant(free) => free.insert(at.clone()),
        };
        if entry.domains.is_empty() {
            self.of_all.push((realm.clone(), at));
        }
        for (name, place) in entry.domains.iter().zip(domains_at) {
            if let Ok(domain) = Realm::new(realm.namespace(), name) {
                self.named.push((domain, place));
            }
        }
        self.sinks.insert(realm, Arc::new(entry));
    }

    /// Notes the domains that sinks name and nobody declares, and the sinks that
    /// name none where there is none.
    fn tell_of_missing_domains(&mut self) {
        for (realm, place) in std::mem::take(&mut self.named) {
            if !self.realms.contains_key(&realm) {
                self.notice(place, NoticeKind::NoSuchDomain(realm));
            }
        }
        let namespaces: HashSet<String> = self
            .realms
            .keys()
            .map(|realm| realm.namespace().to_owned())
            .collect();
        for (sink, place) in std::mem::take(&mut self.of_all) {
            if !namespaces.contains(sink.namespace()) {
                self.notice(place, NoticeKind::NoDomainBeside(sink));
            }
        }
    }

    fn take_hosts(&mut self, entry: &Domain, hosts_at: &[Place]) {
        for (at, (host, place)) in entry.hosts().zip(hosts_at).enumerate() {
            match self.hosts.entry(host.clone()) {
                Entry::Occupied(first) => {
                    let field = match at {
                        0 => "spec.host".to_owned(),
                        alias => format!("spec.aliases[{}]", alias - 1),
                    };
                    let rule = format!("{host} is another domain's, see {}", first.get());
                    self.fault(place.clone(), &field, rule);
                }
                Entry::Vacant(free) => {
                    free.insert(place.clone());
                }
            }
        }
    }

    /// Notes the hosts that were another domain's: links are bound to the
    /// domain that they were made for.
    fn tell_of_lost_links(&mut self, before: &Snapshot, carried: &Carried) {
        let mut lost = Vec::new();
        for (domain, host) in self
            .domains
            .iter()
            .flat_map(|d| d.hosts().map(move |h| (d, h)))
        {
            if let Some(former) = before.by_host(host.as_str())
                && former.realm != domain.realm
                && !carried.forget.contains(&former.realm)
                && let Some(place) = self.hosts.get(host)
            {
                let what = NoticeKind::LinksLost {
                    host: host.clone(),
                    former: former.realm.clone(),
                    now: domain.realm.clone(),
                };
                lost.push((place.clone(), what));
            }
        }
        for (place, what) in lost {
            self.notice(place, what);
        }
    }

    /// The whole, or everything that is wrong with it.
    pub(super) fn finish(
        mut self,
        fingerprint: Fingerprint,
        before: Option<(&Snapshot, &Carried)>,
    ) -> Result<Loaded, ManifestErrors> {
        if !self.faults.is_empty() {
            return Err(ManifestErrors {
                faults: self.faults,
                more: self.more_faults,
            });
        }
        self.tell_of_missing_domains();
        let mut gone = Gone::default();
        if let Some((before, carried)) = before {
            self.tell_of_lost_links(before, carried);
            gone = carry_over(&mut self.domains, before, carried);
        }
        // Names and hosts have been looked at one by one, so this is not
        // reached; it is an answer all the same, not a panic.
        let snapshot = Snapshot::new(self.domains).map_err(|error| ManifestErrors {
            faults: vec![Fault {
                place: Place::file("".as_ref()),
                field: String::new(),
                rule: error.to_string(),
            }],
            more: 0,
        })?;
        Ok(Loaded {
            snapshot,
            sinks: self.sinks,
            notices: self.notices,
            more_notices: self.more_notices,
            retired: gone.realms,
            dropped: gone.hosts,
            baseline: Baseline {
                fingerprint,
                carried: self.carried,
                kept: true,
            },
        })
    }
}

/// What is declared no longer.
#[derive(Default)]
struct Gone {
    /// Domains, since.
    realms: Vec<Realm>,
    /// Former hosts for which there is no room.
    hosts: Vec<(Realm, Host)>,
}

/// Mails already sent must not lose their links by an edit: a host that a
/// domain no longer names goes on answering for it, and a domain that is no
/// longer declared leads its links home without recording, unless it said
/// `Forget`. A host that is declared anew belongs to who declares it.
fn carry_over(domains: &mut Vec<Domain>, before: &Snapshot, carried: &Carried) -> Gone {
    let mut taken: HashSet<Host> = domains.iter().flat_map(Domain::hosts).cloned().collect();
    let declared: HashMap<Realm, usize> = domains
        .iter()
        .enumerate()
        .map(|(at, domain)| (domain.realm.clone(), at))
        .collect();
    // By name, so that the same edits have the same end.
    let mut former: Vec<_> = before.domains().collect();
    former.sort_unstable_by(|a, b| a.realm.cmp(&b.realm));
    let mut gone = Gone::default();
    for former in former {
        if former.state == DomainState::Active && !declared.contains_key(&former.realm) {
            gone.realms.push(former.realm.clone());
        }
        let mut free = former
            .hosts()
            .filter(|host| !taken.contains(*host))
            .cloned();
        if let Some(&at) = declared.get(&former.realm) {
            let kept: Vec<Host> = free.by_ref().take(FORMER_HOSTS_MAX).collect();
            let dropped = free.map(|host| (former.realm.clone(), host));
            gone.hosts.extend(dropped);
            taken.extend(kept.iter().cloned());
            domains[at].other_hosts.extend(kept);
        } else if !carried.forget.contains(&former.realm)
            && domains.len() < DOCUMENTS_MAX
            && let Some(host) = free.next()
        {
            let retired = Domain {
                host,
                other_hosts: free.collect(),
                state: DomainState::Retired,
                ..Domain::clone(former)
            };
            taken.extend(retired.hosts().cloned());
            domains.push(retired);
        }
    }
    gone
}
