//! What replicas are to serve: an entry per tracking domain and event sink, in a
//! fixed number of shards.
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
use mailtrail_core::sink::Sink;
use mailtrail_crds::ConfigShard;
use mailtrail_crds::shard::{SHARD_ENTRIES_MAX, SHARD_MAX_BYTES};
use serde_json::Value;
use tokio::sync::Notify;

use crate::subject::Subject;
use hosts::{Hosts, Leaving, hosts_of};

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
    /// Domains before sinks, as they sort.
    entries: BTreeMap<Subject, Entry>,
    bytes: usize,
    /// The object in the cluster, as it is known.
    object: Option<Object>,
    /// Whether the object differs from what is wanted.
    dirty: bool,
    /// Who is to be named when the next write is done.
    waiting: BTreeSet<Subject>,
    leaving: Leaving,
}

/// The entry of a domain or a sink.
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
#[error("the configuration has no room for another of this name's share")]
pub struct Full;

/// How an entry stands.
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
    /// Its domains' entries, each a JSON object.
    pub entries: Vec<Box<str>>,
    /// Its sinks' entries.
    pub sinks: Vec<Box<str>>,
    /// The version that the object has; absent: it is to be made.
    pub resource_version: Option<String>,
    /// Whose entries a write brings.
    pub subjects: Vec<(Subject, Box<str>)>,
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

    /// The shard of a domain or a sink.
    pub fn place(&self, subject: &Subject) -> u16 {
        subject.place(self.count())
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
        for (subject, value) in entries_of(object) {
            let Some(subject) = subject.filter(|s| s.place(count) == object.spec.index) else {
                // Nobody can say whose it is, or it is misplaced: it goes with the
                // next write.
                shard.dirty = true;
                continue;
            };
            let json = value.to_string().into_boxed_str();
            if let Subject::Domain(realm) = &subject {
                self.hosts.give(realm, hosts_of(&json));
            }
            let since = Some(state.clone());
            shard.bytes += json.len();
            shard.entries.insert(subject, Entry { json, since });
        }
    }

    /// The entry of a realm, as far as it can be read.
    pub fn entry(&self, realm: &Realm) -> Option<Domain> {
        let json = self.json(&Subject::Domain(realm.clone()))?;
        serde_json::from_str(&json).ok()
    }

    /// The entry of a sink, as far as it can be read.
    pub fn sink(&self, name: &Realm) -> Option<Sink> {
        let json = self.json(&Subject::Sink(name.clone()))?;
        serde_json::from_str(&json).ok()
    }

    fn json(&self, subject: &Subject) -> Option<Box<str>> {
        let index = usize::from(self.place(subject));
        let shards = self.lock();
        let entry = shards.get(index)?.entries.get(subject)?;
        Some(entry.json.clone())
    }

    /// All that have an entry.
    pub fn subjects(&self) -> Vec<Subject> {
        let shards = self.lock();
        let subjects = shards.iter().flat_map(|shard| shard.entries.keys());
        subjects.cloned().collect()
    }

    /// How many sinks have an entry.
    pub fn sinks(&self) -> usize {
        let is_sink = |subject: &&Subject| matches!(subject, Subject::Sink(_));
        let shards = self.lock();
        // Those of a shard stand behind its domains, of which none is looked at.
        let of_shard = |shard: &Shard| shard.entries.keys().rev().take_while(is_sink).count();
        shards.iter().map(of_shard).sum()
    }

    /// Wants this entry for its realm.
    pub fn put(&self, domain: &Domain) -> Result<(), Full> {
        let json = serde_json::to_string(domain).expect("an entry is plain data with text keys");
        let subject = Subject::Domain(domain.realm.clone());
        self.put_with(&subject, json, |shard, before| {
            let given_up = before.map(hosts_of).into_iter().flatten();
            shard.leaving.give_up(&domain.realm, given_up);
            shard.leaving.take_back(domain);
            self.hosts.give(&domain.realm, domain.hosts().cloned());
        })
    }

    /// Wants this entry for its sink.
    pub fn put_sink(&self, sink: &Sink) -> Result<(), Full> {
        let json = serde_json::to_string(sink).expect("an entry is plain data with text keys");
        self.put_with(&Subject::Sink(sink.realm.clone()), json, |_, _| {})
    }

    /// Wants this entry, where it is another one and there is room; `with` is told
    /// of the one before.
    fn put_with(
        &self,
        subject: &Subject,
        json: String,
        with: impl FnOnce(&mut Shard, Option<&str>),
    ) -> Result<(), Full> {
        let index = usize::from(self.place(subject));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return Err(Full);
        };
        let before = shard.entries.get(subject).map(|entry| entry.json.clone());
        if before.as_ref().is_some_and(|before| **before == *json) {
            return Ok(());
        }
        let bytes = shard.bytes + json.len() - before.as_ref().map_or(0, |before| before.len());
        let more = usize::from(before.is_none());
        if bytes > SHARD_MAX_BYTES || shard.entries.len() + more > SHARD_ENTRIES_MAX {
            return Err(Full);
        }
        shard.bytes = bytes;
        with(shard, before.as_deref());
        let entry = Entry {
            json: json.into_boxed_str(),
            since: None,
        };
        shard.entries.insert(subject.clone(), entry);
        shard.change(subject);
        drop(shards);
        self.changed.notify_one();
        Ok(())
    }

    /// Wants no entry any more.
    pub fn remove(&self, subject: &Subject) {
        let index = usize::from(self.place(subject));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return;
        };
        if let Some(before) = shard.entries.remove(subject) {
            shard.bytes -= before.json.len();
            if let Subject::Domain(realm) = subject {
                shard.leaving.give_up(realm, hosts_of(&before.json));
            }
            shard.change(subject);
            drop(shards);
            self.changed.notify_one();
        }
    }

    /// How an entry stands.
    pub fn standing(&self, subject: &Subject) -> Standing {
        let index = usize::from(self.place(subject));
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(index) else {
            return Standing::Absent;
        };
        let Some(entry) = shard.entries.get(subject) else {
            return Standing::Absent;
        };
        // An object made anew counts from the beginning: replicas must have it,
        // not one of the former.
        let now = shard.object.as_ref().map(|object| &object.state);
        match (&entry.since, now) {
            (Some(since), Some(now)) if since.uid == now.uid => Standing::Written(since.clone()),
            (Some(_), Some(now)) => Standing::Written(now.clone()),
            _ => {
                shard.waiting.insert(subject.clone());
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
            entries: shard.json(|subject| matches!(subject, Subject::Domain(_))),
            sinks: shard.json(|subject| matches!(subject, Subject::Sink(_))),
            resource_version: shard.object.as_ref().map(|o| o.resource_version.clone()),
            subjects: shard
                .entries
                .iter()
                .filter(|(_, entry)| entry.since.is_none())
                .map(|(subject, entry)| (subject.clone(), entry.json.clone()))
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
    fn written(&self, draft: &Draft, object: &ConfigShard) -> BTreeSet<Subject> {
        let mut shards = self.lock();
        let Some(shard) = shards.get_mut(usize::from(draft.index)) else {
            return BTreeSet::new();
        };
        let Some(known) = Object::of(object) else {
            return BTreeSet::new();
        };
        for (subject, json) in &draft.subjects {
            if let Some(entry) = shard.entries.get_mut(subject)
                && entry.json == *json
            {
                entry.since = Some(known.state.clone());
            }
        }
        let stands = draft.entries.iter().chain(&draft.sinks).map(AsRef::as_ref);
        let stands: Vec<&str> = stands.collect();
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
            .map(|(subject, _)| subject.clone())
            .collect();
        let waiting = std::mem::take(&mut shard.waiting);
        let (later, now) = waiting.into_iter().partition(|s| unwritten.contains(s));
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
        let stands: HashMap<Subject, &Value> = entries_of(object)
            .filter_map(|(subject, entry)| Some((subject?, entry)))
            .collect();
        let all = object.spec.entries.len() + object.spec.sinks.len();
        let as_wanted = object.spec.count == count
            && all == shard.entries.len()
            && shard.entries.iter().all(|(subject, entry)| {
                let wanted = serde_json::from_str::<Value>(&entry.json).ok();
                stands.get(subject).copied() == wanted.as_ref()
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

/// Whose each entry of an object is, as far as it says so.
fn entries_of(object: &ConfigShard) -> impl Iterator<Item = (Option<Subject>, &Value)> {
    let named = |value: &Value| value.get("realm")?.as_str()?.parse::<Realm>().ok();
    let domains = object.spec.entries.iter();
    let sinks = object.spec.sinks.iter();
    domains
        .map(move |entry| (named(entry).map(Subject::Domain), entry))
        .chain(sinks.map(move |entry| (named(entry).map(Subject::Sink), entry)))
}

/// There are at most as many shards as a `u16` counts.
fn number(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

impl Shard {
    fn change(&mut self, subject: &Subject) {
        self.dirty = true;
        self.waiting.insert(subject.clone());
    }

    fn json(&self, which: impl Fn(&Subject) -> bool) -> Vec<Box<str>> {
        let entries = self.entries.iter().filter(|(subject, _)| which(subject));
        entries.map(|(_, entry)| entry.json.clone()).collect()
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
