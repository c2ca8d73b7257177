//! Who serves which host. One that is given up stands here until that is
//! written: before, nobody else may have it.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mailtrail_core::config::Domain;
use mailtrail_core::id::{Host, Realm};

/// The hosts of all entries, as they are wanted or as they still stand.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<Host, Realm>>);

/// Hosts of a shard that are free when its next write is done, and whose they
/// were.
#[derive(Debug, Default)]
pub(super) struct Leaving(Vec<(Host, Realm)>);

impl Hosts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Host, Realm>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn holder(&self, host: &Host) -> Option<Realm> {
        self.lock().get(host).cloned()
    }

    pub(super) fn give(&self, realm: &Realm, hosts: impl IntoIterator<Item = Host>) {
        let hosts = hosts.into_iter().map(|host| (host, realm.clone()));
        self.lock().extend(hosts);
    }

    /// What was to leave has left, but for what somebody else has by now.
    pub(super) fn free(&self, leaving: &mut Leaving) {
        let mut hosts = self.lock();
        for (host, whose) in leaving.0.drain(..) {
            if hosts.get(&host) == Some(&whose) {
                hosts.remove(&host);
            }
        }
    }
}

impl Leaving {
    pub(super) fn give_up(&mut self, realm: &Realm, hosts: impl IntoIterator<Item = Host>) {
        let hosts = hosts.into_iter().map(|host| (host, realm.clone()));
        self.0.extend(hosts);
    }

    /// What a domain has again stays.
    pub(super) fn take_back(&mut self, domain: &Domain) {
        let has = |host: &Host| domain.hosts().any(|own| own == host);
        self.0
            .retain(|(host, whose)| *whose != domain.realm || !has(host));
    }
}

/// The hosts of an entry; none of one that cannot be read.
pub(super) fn hosts_of(json: &str) -> Vec<Host> {
    let entry = serde_json::from_str::<Domain>(json).ok();
    entry.iter().flat_map(Domain::hosts).cloned().collect()
}
