//! What replicas are to serve: an entry per realm, in a fixed number of shards.
//!
//! [`Shards`] holds what is wanted and what is known to stand in the cluster;
//! [`write`] brings the second to the first. A turn puts its entry here and is
//! named again when the entry has been written.

mod hosts;
mod place;
pub mod watch;
pub mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use kube::core::ObjectMeta;
use mailtrail_core::ack::ShardState;
use mailtrail_core::config::Domain;
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::ConfigShard;
use mailtrail_crds::shard::{SHARD_ENTRIES_MAX, SHARD_MAX_BYTES};
use tokio::sync::Notify;

use hosts::{Hosts, Leaving, hosts_of};
use place::place;

/// All shards of the install.
#[derive(Debug)]
pub struct Shards {
    state: Mutex<Vec<Shard>>,
    hosts: Hosts,
    changed: Notify,
}

/// One of them.
#[derive(Debug, Default)]
struct Shard {
    entries: BTreeMap<Realm, Entry>,
    bytes: usize,
    /// The object in the cluster, as it is known.
    object: Option<Object>,
    /// Whether the object differs from what is wanted.
    dirty: bool,
    /// Realms to be named when the next write is done.
    waiting: BTreeSet<Realm>,
    leaving: Leaving,
}

/// A realm's entry.
#[derive(Debug, Clone)]
struct Entry {
    json: Box<str>,
    /// The first state of the shard that had it; absent until it is written.
    since: Option<ShardState>,
}

/// A ConfigShard in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Object {
    state: ShardState,
    resource_version: String,
}

/// The shard is full: its other entries stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the configuration has no room for another domain of this name's share")]
pub struct Full;

/// How a realm's entry stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    Absent,
    /// It is still to be written.
    Waiting,
    /// It is in this state of its shard and all later ones.
    Written(ShardState),
}

/// A shard to be written.
#[derive(Debug)]
pub struct Draft {
    /// Its number.
    pub index: u16,
    /// Its entries, each a JSON object.
    pub entries: Vec<Box<str>>,
    /// The version that the object has; absent: it is to be made.
    pub resource_version: Option<String>,
    /// The realms whose entries a write brings.
    pub realms: Vec<(Realm, Box<str>)>,
}

impl Shards {
    /// Shards that the cluster may know nothing of: all are to be written.
    pub fn new(count: u16) -> Self {
        let fresh = || Shard {
            dirty: true,
            ..Shard::default()
        };
        Self {
            state: Mutex::new((0..count).map(|_| fresh()).collect()),
            hosts: Hosts::default(),
            changed: Notify::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Shard>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whose entry names a host, as it is wanted or as it still stands.
    pub fn holder(&self, host: &Host) -> Option<Realm> {
        self.hosts.holder(host)
    }

    /// How many there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.lock().len()).unwrap_or(u16::MAX)
    }

    /// The shard of a realm.
    pub fn place(&self, realm: &Realm) -> u16 {
        place(realm, self.count())
    }

    /// Takes what stands in the cluster as what is wanted, at the start of a
    /// term: what was decided before stays until it is decided anew.
    pub fn adopt(&self, object: &ConfigShard) {
        let count = self.count();
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(object.spec.index)) else {
            return;
        };
        let Some(known) = Object::of(object) else {
            return;
        };
        let state = known.state.clone();
        shard.object = Some(known);
        shard.dirty = object.spec.count != count;
        for value in &object.spec.entries {
            let realm = value.get("realm").and_then(|realm| realm.as_str());
            let Some(realm) = realm.and_then(|realm| realm.parse::<Realm>().ok()) else {
                // Nobody can say whose it is: it goes with the next write.
                shard.dirty = true;
                continue;
            };
            if place(&realm, count) != object.spec.index {
                shard.dirty = true;
                continue;
            }
            let json = value.to_string().into_boxed_str();
            self.hosts.give(&realm, hosts_of(&json));
            let since = Some(state.clone());
            shard.bytes += json.len();
            shard.entries.insert(realm, Entry { json, since });
        }
    }

    /// The entry of a realm, as far as it can be read.
    pub fn entry(&self, realm: &Realm) -> Option<Domain> {
        let index = usize::from(self.place(realm));
        let shards = self.lock();
        let entry = shards.get(index)?.entries.get(realm)?;
        serde_json::from_str(&entry.json).ok()
    }

    /// All realms that have an entry.
    pub fn realms(&self) -> Vec<Realm> {
        let shards = self.lock();
        let realms = shards.iter().flat_map(|shard| shard.entries.keys());
        realms.cloned().collect()
    }

    /// Wants this entry for its realm.
    pub fn put(&self, domain: &Domain) -> Result<(), Full> {
        let json = serde_json::to_string(domain).expect("an entry is plain data with text keys");
        let index = usize::from(self.place(&domain.realm));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return Err(Full);
        };
        let before = shard.entries.get(&domain.realm);
        if before.is_some_and(|before| *before.json == *json) {
            return Ok(());
        }
        let given_up = before.map(|before| hosts_of(&before.json));
        let bytes = shard.bytes + json.len() - before.map_or(0, |before| before.json.len());
        let more = usize::from(before.is_none());
        if bytes > SHARD_MAX_BYTES || shard.entries.len() + more > SHARD_ENTRIES_MAX {
            return Err(Full);
        }
        shard.bytes = bytes;
        shard
            .leaving
            .give_up(&domain.realm, given_up.into_iter().flatten());
        shard.leaving.take_back(domain);
        self.hosts.give(&domain.realm, domain.hosts().cloned());
        let entry = Entry {
            json: json.into_boxed_str(),
            since: None,
        };
        shard.entries.insert(domain.realm.clone(), entry);
        shard.change(&domain.realm);
        drop(shards);
        self.changed.notify_one();
        Ok(())
    }

    /// Wants no entry for a realm any more.
    pub fn remove(&self, realm: &Realm) {
        let index = usize::from(self.place(realm));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return;
        };
        if let Some(before) = shard.entries.remove(realm) {
            shard.bytes -= before.json.len();
            shard.leaving.give_up(realm, hosts_of(&before.json));
            shard.change(realm);
            drop(shards);
            self.changed.notify_one();
        }
    }

    /// How a realm's entry stands.
    pub fn standing(&self, realm: &Realm) -> Standing {
        let index = usize::from(self.place(realm));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return Standing::Absent;
        };
        let Some(entry) = shard.entries.get(realm) else {
            return Standing::Absent;
        };
        // An object made anew counts from the beginning: replicas must have it,
        // not one of the former.
        let now = shard.object.as_ref().map(|object| &object.state);
        match (&entry.since, now) {
            (Some(since), Some(now)) if since.uid == now.uid => Standing::Written(since.clone()),
            (Some(_), Some(now)) => Standing::Written(now.clone()),
            _ => {
                shard.waiting.insert(realm.clone());
                Standing::Waiting
            }
        }
    }

    /// The states of all shards that stand in the cluster.
    pub fn states(&self) -> Vec<ShardState> {
        let shards = self.lock();
        let objects = shards.iter().filter_map(|shard| shard.object.as_ref());
        objects.map(|object| object.state.clone()).collect()
    }

    /// Whether nothing is to be written but what is being written.
    fn is_settled(&self, writing: &HashSet<u16>) -> bool {
        let shards = self.lock();
        let mut dirty = shards.iter().enumerate().filter(|(_, shard)| shard.dirty);
        dirty.all(|(index, _)| writing.contains(&number(index)))
    }

    // --- For the writer ---

    /// Returns once something may be to be written.
    async fn changed(&self) {
        self.changed.notified().await;
    }

    /// What is to be written now, but for what is being written.
    fn drafts(&self, writing: &HashSet<u16>) -> Vec<Draft> {
        let shards = self.lock();
        let dirty = shards
            .iter()
            .enumerate()
            .filter(|(index, shard)| shard.dirty && !writing.contains(&number(*index)));
        let draft = |(index, shard): (usize, &Shard)| Draft {
            index: number(index),
            entries: shard.entries.values().map(|e| e.json.clone()).collect(),
            resource_version: shard.object.as_ref().map(|o| o.resource_version.clone()),
            realms: shard
                .entries
                .iter()
                .filter(|(_, entry)| entry.since.is_none())
                .map(|(realm, entry)| (realm.clone(), entry.json.clone()))
                .collect(),
        };
        dirty.map(draft).collect()
    }

    /// An object stands in the cluster, for tests.
    #[cfg(test)]
    pub(crate) fn stands_for_tests(&self, state: ShardState) {
        if let Some(shard) = self.lock().get_mut(usize::from(state.index)) {
            shard.object = Some(Object {
                state,
                resource_version: String::new(),
            });
        }
    }

    /// A shard as it is wanted, for tests.
    #[cfg(test)]
    fn draft_of(&self, index: u16) -> Draft {
        if let Some(shard) = self.lock().get_mut(usize::from(index)) {
            shard.dirty = true;
        }
        let all = self.drafts(&HashSet::new());
        let draft = all.into_iter().find(|draft| draft.index == index);
        if let Some(shard) = self.lock().get_mut(usize::from(index)) {
            shard.dirty = false;
        }
        draft.expect("there is such a shard")
    }

    /// A draft stands in the cluster as this object now. Who waited for it is
    /// returned.
    fn written(&self, draft: &Draft, object: &ConfigShard) -> BTreeSet<Realm> {
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(draft.index)) else {
            return BTreeSet::new();
        };
        let Some(known) = Object::of(object) else {
            return BTreeSet::new();
        };
        for (realm, json) in &draft.realms {
            if let Some(entry) = shard.entries.get_mut(realm)
                && entry.json == *json
            {
                entry.since = Some(known.state.clone());
            }
        }
        let stands: Vec<&str> = draft.entries.iter().map(AsRef::as_ref).collect();
        let wanted = shard.entries.values().map(|entry| &*entry.json);
        shard.dirty = !wanted.eq(stands);
        if !shard.dirty {
            self.hosts.free(&mut shard.leaving);
        }
        shard.object = Some(known);
        // Who is still to be written waits on.
        let unwritten: BTreeSet<_> = shard
            .entries
            .iter()
            .filter(|(_, entry)| entry.since.is_none())
            .map(|(realm, _)| realm.clone())
            .collect();
        let waiting = std::mem::take(&mut shard.waiting);
        let (later, now) = waiting.into_iter().partition(|r| unwritten.contains(r));
        shard.waiting = later;
        now
    }

    // --- For the watch ---

    /// An object was seen in the cluster; whether it was not what is known and
    /// wanted. Then it is written anew.
    fn seen(&self, object: &ConfigShard) -> bool {
        let count = self.count();
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(object.spec.index)) else {
            return false;
        };
        let Some(seen) = Object::of(object) else {
            return false;
        };
        if let Some(known) = &shard.object {
            let same = known.state.uid == seen.state.uid;
            if same && seen.state.generation < known.state.generation {
                return false;
            }
            if same && seen.state.generation == known.state.generation {
                // Nothing but its metadata changed.
                shard.object = Some(seen);
                return false;
            }
        }
        shard.object = Some(seen);
        if shard.dirty {
            // It is written anyway; what stands there may be an own write that
            // newer wishes have overtaken.
            return false;
        }
        let stands: HashMap<&str, &serde_json::Value> = object
            .spec
            .entries
            .iter()
            .filter_map(|entry| Some((entry.get("realm")?.as_str()?, entry)))
            .collect();
        let as_wanted = object.spec.count == count
            && object.spec.entries.len() == shard.entries.len()
            && shard.entries.iter().all(|(realm, entry)| {
                let wanted = serde_json::from_str::<serde_json::Value>(&entry.json).ok();
                stands.get(realm.as_str()).copied() == wanted.as_ref()
            });
        if !as_wanted {
            shard.dirty = true;
            drop(shards);
            self.changed.notify_one();
        }
        !as_wanted
    }

    /// An object is gone from the cluster: it is made anew.
    fn vanished(&self, index: u16, uid: &str) -> bool {
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(index)) else {
            return false;
        };
        let known = shard.object.as_ref();
        if known.is_none_or(|known| known.state.uid != uid) {
            return false;
        }
        shard.object = None;
        shard.dirty = true;
        for entry in shard.entries.values_mut() {
            entry.since = None;
        }
        drop(shards);
        self.changed.notify_one();
        true
    }

    /// An object stands there with this metadata, whatever it holds: it is
    /// written over.
    fn stands(&self, index: u16, metadata: &ObjectMeta) {
        let mut shards = self.lock();
        if let Some(shard) = shards.get_mut(usize::from(index)) {
            shard.object = Object::named(index, metadata);
            shard.dirty = true;
        }
        drop(shards);
        self.changed.notify_one();
    }

    /// What is known of an object proved wrong: it is looked at again.
    fn forget_object(&self, index: u16) {
        if let Some(shard) = self.lock().get_mut(usize::from(index)) {
            shard.object = None;
        }
    }
}

/// There are at most as many shards as a `u16` counts.
fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

impl Shard {
    fn change(&mut self, realm: &Realm) {
        self.dirty = true;
        self.waiting.insert(realm.clone());
    }
}

impl Object {
    fn of(object: &ConfigShard) -> Option<Self> {
        Self::named(object.spec.index, &object.metadata)
    }

    fn named(index: u16, metadata: &ObjectMeta) -> Option<Self> {
        Some(Self {
            state: ShardState {
                index,
                uid: metadata.uid.clone()?,
                generation: metadata.generation?,
            },
            resource_version: metadata.resource_version.clone()?,
        })
    }
}

#[cfg(test)]
mod tests;
