//! What is known of the cluster: TrackingDomains, HostClaims and namespaces as
//! the watches tell of them, with the look-ups that turns need. Whoever changes
//! names the realms that this concerns.

mod place;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::ResourceExt as _;
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::{HostClaim, TrackingDomain};

use crate::condition::Told;
use crate::queue::Inbox;

/// What the annotations that turns look at begin with.
const OUR_ANNOTATIONS: &str = "mailtrail.dev/";

/// How long it is remembered that a claim went: longer than turns wait for anything.
const GONE_KEPT: Duration = Duration::from_secs(3_600);

/// The cluster as it is known.
#[derive(Debug)]
pub struct World {
    known: Mutex<Known>,
    class: String,
    inbox: Arc<Inbox>,
    /// Where hosts are named whose claims change; absent where nobody looks.
    hosts: Option<Arc<Inbox<Host>>>,
}

#[derive(Debug, Default)]
struct Known {
    domains: HashMap<Realm, Arc<TrackingDomain>>,
    /// What their statuses say; these are not kept in the objects.
    told: HashMap<Realm, Arc<Told>>,
    claims: HashMap<Host, Arc<HostClaim>>,
    /// Hosts that claims of our class give to a realm: a few, in their order.
    hosts_of: HashMap<Realm, Vec<Host>>,
    /// Realms whose specs name a host: mostly one.
    wanting: HashMap<Host, Vec<Realm>>,
    namespaces: HashMap<String, Namespace>,
    /// When claims went, of late: one that was never seen is not gone.
    gone: HashMap<Host, Instant>,
}

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// Tells it from another of its name.
    pub uid: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// What is known that concerns one realm.
#[derive(Debug, Clone)]
pub struct Concern {
    /// The object, where there is one.
    pub domain: Option<Arc<TrackingDomain>>,
    /// What its status says, where it has one.
    pub told: Option<Arc<Told>>,
    /// Its namespace.
    pub namespace: Option<Namespace>,
    /// The claims of our class that are this realm's.
    pub own: Vec<Arc<HostClaim>>,
    /// Who has the hosts that the spec names.
    pub wanted: HashMap<Host, Arc<HostClaim>>,
}

/// The `namespace/name` of an object.
pub fn realm_of(metadata: &ObjectMeta) -> Option<Realm> {
    Realm::new(metadata.namespace.as_deref()?, metadata.name.as_deref()?).ok()
}

/// The host that a claim is of: its name.
pub fn host_of(claim: &HostClaim) -> Option<Host> {
    claim.metadata.name.as_deref()?.parse().ok()
}

/// The hosts that a spec names, those that are none left out: the schema has
/// refused them already.
pub fn hosts_named(domain: &TrackingDomain) -> impl Iterator<Item = Host> + '_ {
    let named = std::iter::once(&domain.spec.host).chain(&domain.spec.aliases);
    named.filter_map(|host| host.parse().ok())
}

impl World {
    /// Nothing is known yet. Claims of `class` are ours.
    pub fn new(class: String, inbox: Arc<Inbox>) -> Self {
        Self {
            known: Mutex::default(),
            class,
            inbox,
            hosts: None,
        }
    }

    /// Names hosts whose claims change, too.
    pub fn naming_hosts(self, inbox: Arc<Inbox<Host>>) -> Self {
        Self {
            hosts: Some(inbox),
            ..self
        }
    }

    fn name_host(&self, host: Host) {
        if let Some(hosts) = &self.hosts {
            hosts.push(host);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What concerns a realm.
    pub fn concern(&self, realm: &Realm) -> Concern {
        let known = self.lock();
        let domain = known.domains.get(realm).cloned();
        let hosts = known.hosts_of.get(realm).into_iter().flatten();
        let own = hosts.filter_map(|host| known.claims.get(host).cloned());
        let named = domain.iter().flat_map(|domain| hosts_named(domain));
        let wanted = named.filter_map(|host| {
            let claim = known.claims.get(&host)?;
            Some((host, Arc::clone(claim)))
        });
        Concern {
            told: known.told.get(realm).cloned(),
            namespace: known.namespaces.get(realm.namespace()).cloned(),
            own: own.collect(),
            wanted: wanted.collect(),
            domain,
        }
    }

    /// All realms that there is anything to know of.
    pub fn realms(&self) -> HashSet<Realm> {
        let known = self.lock();
        let named = known.domains.keys().chain(known.hosts_of.keys());
        named.cloned().collect()
    }

    /// Whether an administrator has confirmed, by an annotation on one of its
    /// claims, that a domain is gone.
    pub fn is_confirmed_gone(&self, realm: &Realm, annotation: &str) -> bool {
        let known = self.lock();
        let mut hosts = known.hosts_of.get(realm).into_iter().flatten();
        hosts.any(|host| {
            let claim = known.claims.get(host);
            claim.is_some_and(|claim| claim.annotations().contains_key(annotation))
        })
    }

    /// The hosts that claims of our class give to a realm.
    pub fn hosts_of(&self, realm: &Realm) -> Vec<Host> {
        let known = self.lock();
        known.hosts_of.get(realm).cloned().unwrap_or_default()
    }

    /// All hosts that there are claims of our class of.
    pub fn hosts(&self) -> Vec<Host> {
        let known = self.lock();
        known.hosts_of.values().flatten().cloned().collect()
    }

    /// The claim of a host, where it is of our class.
    pub fn claim_of(&self, host: &Host) -> Option<Arc<HostClaim>> {
        let claim = self.lock().claims.get(host).cloned();
        claim.filter(|claim| claim.spec.class_name == self.class)
    }

    /// How many domains and how many claims of ours there are.
    pub fn counts(&self) -> (usize, usize) {
        let known = self.lock();
        let claims = known.hosts_of.values().map(Vec::len).sum();
        (known.domains.len(), claims)
    }

    // --- Domains ---

    /// A domain was made or changed. What is older than what is known is passed
    /// over: watches may lag behind our own writes.
    pub fn domain(&self, mut domain: TrackingDomain) {
        strip(&mut domain.metadata);
        let Some(realm) = realm_of(&domain.metadata) else {
            return;
        };
        let mut known = self.lock();
        let before = known.domains.get(&realm);
        if before.is_some_and(|before| is_older(&domain.metadata, &before.metadata)) {
            return;
        }
        let before = before.cloned();
        let was_refused = before
            .as_ref()
            .is_some_and(|before| known.is_refused(&realm, before));
        if let Some(before) = before {
            known.unwant(&realm, &before);
        }
        for host in hosts_named(&domain) {
            insert(known.wanting.entry(host).or_default(), &realm);
        }
        let status = domain.status.take();
        match status.map(|status| Told::of(status.observed_generation, &status.conditions)) {
            Some(told) => known.told.insert(realm.clone(), Arc::new(told)),
            None => known.told.remove(&realm),
        };
        let domain = Arc::new(domain);
        known.domains.insert(realm.clone(), Arc::clone(&domain));
        // The place that it wanted may be another's now.
        let freed = match !was_refused && known.is_refused(&realm, &domain) {
            true => known.turned_away(realm.namespace()),
            false => Vec::new(),
        };
        drop(known);
        self.inbox.extend(freed);
        self.inbox.push(realm);
    }

    /// A domain is gone.
    pub fn domain_gone(&self, realm: &Realm) {
        let mut known = self.lock();
        known.told.remove(realm);
        if let Some(before) = known.domains.remove(realm) {
            known.unwant(realm, &before);
        }
        drop(known);
        self.inbox.push(realm.clone());
    }

    /// The domains that are known, of one namespace or of all.
    pub fn domains_in(&self, namespace: Option<&str>) -> HashSet<Realm> {
        let known = self.lock();
        let realms = known.domains.keys();
        let of = realms.filter(|realm| namespace.is_none_or(|name| realm.namespace() == name));
        of.cloned().collect()
    }

    // --- Claims ---

    /// A claim was made or changed.
    pub fn claim(&self, mut claim: HostClaim) {
        strip(&mut claim.metadata);
        let Some(host) = host_of(&claim) else { return };
        let mut known = self.lock();
        let before = known.claims.get(&host);
        if before.is_some_and(|before| is_older(&claim.metadata, &before.metadata)) {
            return;
        }
        let mut concerned = known.disown(&host);
        if claim.spec.class_name == self.class
            && let Ok(realm) = claim.spec.realm.parse::<Realm>()
        {
            insert(known.hosts_of.entry(realm.clone()).or_default(), &host);
            concerned.push(realm);
        }
        known.gone.remove(&host);
        known.claims.insert(host.clone(), Arc::new(claim));
        drop(known);
        self.inbox.extend(concerned);
        self.name_host(host);
    }

    /// A claim is gone: its owner and whoever wants the host are concerned.
    pub fn claim_gone(&self, host: &Host) {
        let mut known = self.lock();
        let mut concerned = known.disown(host);
        if known.claims.remove(host).is_some() {
            let now = Instant::now();
            known
                .gone
                .retain(|_, at| now.duration_since(*at) < GONE_KEPT);
            known.gone.insert(host.clone(), now);
        }
        concerned.extend(known.wanting.get(host).into_iter().flatten().cloned());
        drop(known);
        self.inbox.extend(concerned);
        self.name_host(host.clone());
    }

    /// When the claim of a host went, if it was seen to go of late.
    pub fn claim_went(&self, host: &Host) -> Option<Instant> {
        self.lock().gone.get(host).copied()
    }

    /// The hosts whose claims are known, whatever their class.
    pub fn claimed(&self) -> HashSet<Host> {
        self.lock().claims.keys().cloned().collect()
    }

    // --- Namespaces ---

    /// A namespace was made or changed.
    pub fn namespace(&self, name: String, namespace: Namespace) {
        let mut known = self.lock();
        let before = known.namespaces.insert(name.clone(), namespace.clone());
        let concerned = if before.as_ref() == Some(&namespace) {
            HashSet::new()
        } else {
            known.in_namespace(&name)
        };
        drop(known);
        self.inbox.extend(concerned);
    }

    /// A namespace is gone.
    pub fn namespace_gone(&self, name: &str) {
        let mut known = self.lock();
        known.namespaces.remove(name);
        let concerned = known.in_namespace(name);
        drop(known);
        self.inbox.extend(concerned);
    }

    /// The namespaces that are known.
    pub fn namespaces(&self) -> HashSet<String> {
        self.lock().namespaces.keys().cloned().collect()
    }
}

impl Known {
    fn unwant(&mut self, realm: &Realm, domain: &TrackingDomain) {
        for host in hosts_named(domain) {
            if let Some(realms) = self.wanting.get_mut(&host) {
                realms.retain(|other| other != realm);
                if realms.is_empty() {
                    self.wanting.remove(&host);
                }
            }
        }
    }

    /// Takes a host from the realm that had it, which is told.
    fn disown(&mut self, host: &Host) -> Vec<Realm> {
        let realm = self
            .claims
            .get(host)
            .and_then(|c| c.spec.realm.parse().ok());
        let Some(realm) = realm else {
            return Vec::new();
        };
        if let Some(hosts) = self.hosts_of.get_mut(&realm) {
            hosts.retain(|other| other != host);
            if hosts.is_empty() {
                self.hosts_of.remove(&realm);
            }
        }
        vec![realm]
    }

    /// Realms of a namespace, those of which only claims are left too.
    fn in_namespace(&self, name: &str) -> HashSet<Realm> {
        let realms = self.domains.keys().chain(self.hosts_of.keys());
        let there = realms.filter(|realm| realm.namespace() == name);
        there.cloned().collect()
    }
}

/// Into a sorted list, once.
fn insert<T: Ord + Clone>(list: &mut Vec<T>, item: &T) {
    if let Err(at) = list.binary_search(item) {
        list.insert(at, item.clone());
        list.shrink_to_fit();
    }
}

/// Drops what no turn looks at and what is large: thousands are held.
pub(crate) fn strip(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    metadata.labels = None;
    metadata.owner_references = None;
    metadata.finalizers = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|key, _| key.starts_with(OUR_ANNOTATIONS));
        if annotations.is_empty() {
            metadata.annotations = None;
        }
    }
}

/// Whether an object is an earlier state than the one that is known. Resource
/// versions are compared only where both are of one object and both numbers
/// (they are, and compare, by the API server's promise since 1.35).
pub(crate) fn is_older(new: &ObjectMeta, known: &ObjectMeta) -> bool {
    let version = |meta: &ObjectMeta| meta.resource_version.as_deref()?.parse::<u64>().ok();
    new.uid == known.uid
        && matches!((version(new), version(known)), (Some(new), Some(known)) if new < known)
}

#[cfg(test)]
mod tests;
