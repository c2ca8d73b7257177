//! Who has a place in a namespace, and who waits for one.

use kube::ResourceExt as _;
use mailtrail_core::id::Realm;
use mailtrail_crds::TrackingDomain;
use mailtrail_crds::claim::ClaimState;

use super::{Known, World};
use crate::condition::{Is, Reason, ToldCondition, Type};

impl World {
    /// The place that a domain would have among those of its namespace, of our class,
    /// from 1 on; none where it has one. Those that have one come first: they are
    /// accepted. Then those that want one, in the order in which they were made;
    /// who is refused for another reason wants none.
    pub fn rank_in_namespace(&self, realm: &Realm, domain: &TrackingDomain) -> Option<usize> {
        let order = |d: &TrackingDomain| (d.metadata.creation_timestamp.clone(), d.name_any());
        let known = self.lock();
        if known.has_place(realm) {
            return None;
        }
        let this = order(domain);
        let before = known.domains.iter().filter(|(other, of)| {
            *other != realm
                && other.namespace() == realm.namespace()
                && of.spec.class_name == self.class
                && (known.has_place(other) || (order(of) < this && !known.is_refused(other, of)))
        });
        // One that is gone keeps its place until that is believed.
        let absent = known.hosts_of.keys().filter(|other| {
            other.namespace() == realm.namespace()
                && !known.domains.contains_key(*other)
                && known.has_place(other)
        });
        Some(before.count() + absent.count() + 1)
    }

    /// Names the domains of a namespace that had no room in it.
    pub fn name_turned_away(&self, namespace: &str) {
        let named = self.lock().turned_away(namespace);
        self.inbox.extend(named);
    }
}

impl Known {
    /// Whether a domain has a place in its namespace: it is accepted, or was.
    pub(super) fn has_place(&self, realm: &Realm) -> bool {
        let mut hosts = self.hosts_of.get(realm).into_iter().flatten();
        hosts.any(|host| {
            let claim = self.claims.get(host);
            claim.is_some_and(|claim| claim.spec.state == ClaimState::Active)
        })
    }

    /// Whether a spec as it stands is refused, and not for want of a place.
    pub(super) fn is_refused(&self, realm: &Realm, domain: &TrackingDomain) -> bool {
        self.accepted(realm).is_some_and(|accepted| {
            accepted.is == Is::False
                && accepted.reason != Reason::TooManyDomains
                && accepted.generation == domain.metadata.generation
        })
    }

    /// The domains of a namespace that had no room in it.
    pub(super) fn turned_away(&self, namespace: &str) -> Vec<Realm> {
        let realms = self.told.keys();
        let there = realms.filter(|realm| realm.namespace() == namespace);
        let turned_away = there.filter(|realm| {
            let accepted = self.accepted(realm);
            accepted.is_some_and(|accepted| accepted.reason == Reason::TooManyDomains)
        });
        turned_away.cloned().collect()
    }

    fn accepted(&self, realm: &Realm) -> Option<&ToldCondition> {
        self.told.get(realm)?.find(Type::Accepted)
    }
}
