//! What is served of all shards, and what becomes of it when one changes. Pure.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use mailtrail_core::ack::{Refused, ShardState};
use mailtrail_core::config::{Domain, Snapshot};
use mailtrail_core::id::Realm;
use mailtrail_core::sink;

use super::applied::{Applied, AppliedShard};
use super::document::Document;
use super::resolve::{Candidate, Resolved, resolve};
use super::sinks::Sinks;

/// Which of two states of a shard is the later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Of one object, the one of the greater generation: a list may be older
    /// than what a watch has told.
    Generation,
    /// The one that was read last: files have no other order.
    Reading,
}

/// The shards that are served.
#[derive(Debug)]
pub struct Shards {
    order: Order,
    /// How many there are; known once all that are there at first were seen.
    count: Option<u16>,
    /// What came before that was known, the last of each.
    early: BTreeMap<u16, Document>,
    /// Whether all that was there at first has been seen.
    listed: bool,
    shards: BTreeMap<u16, Shard>,
    served: Snapshot,
    /// From which shard a realm that is served comes.
    owners: HashMap<Realm, u16>,
    sinks: Sinks,
}

#[derive(Debug, Default)]
struct Shard {
    uid: Arc<str>,
    generation: i64,
    /// Whether the source has given it since the start: what is wrong with a
    /// state that comes from the disk is not known.
    live: bool,
    served: BTreeMap<Realm, Arc<Domain>>,
    /// Entries that cannot be served now, and why.
    waiting: Vec<(Arc<Domain>, String)>,
    /// Entries that cannot be read.
    unreadable: Vec<Refused>,
}

/// What a shard serves, to be kept.
#[derive(Debug, Clone)]
pub struct ServedShard {
    /// Which state it is of.
    pub at: ShardState,
    /// How many shards there are.
    pub count: u16,
    /// The entries as they are served.
    pub entries: Vec<Arc<Domain>>,
    /// The sinks as they are delivered to.
    pub sinks: Vec<Arc<sink::Sink>>,
}

/// What became of documents.
#[derive(Debug, Default)]
pub struct Changed {
    /// Shards that stand otherwise now.
    pub shards: BTreeSet<u16>,
    /// Shards that name another count than is served: which, and what they say.
    pub miscounted: Vec<(u16, u16)>,
}

impl Shards {
    /// None yet.
    pub fn new(order: Order) -> Self {
        Self {
            order,
            count: None,
            early: BTreeMap::new(),
            listed: false,
            shards: BTreeMap::new(),
            served: Snapshot::default(),
            owners: HashMap::new(),
            sinks: Sinks::default(),
        }
    }

    /// Begins with what was kept; it counts as seen, and not as confirmed.
    pub fn restore(&mut self, kept: Vec<ServedShard>) {
        let documents: Vec<_> = kept.into_iter().map(ServedShard::into_document).collect();
        self.count = most_named(&documents);
        self.apply(documents);
        for shard in self.shards.values_mut() {
            shard.live = false;
        }
    }

    /// Takes in what came together.
    pub fn apply(&mut self, documents: Vec<Document>) -> Changed {
        let Some(count) = self.count else {
            let by_index = documents.into_iter().map(|of| (of.at.index, of));
            self.early.extend(by_index);
            return self.begin_late();
        };
        let mut changed = Changed::default();
        for document in documents {
            let Document { at, count: of, .. } = &document;
            if *of != count {
                changed.miscounted.push((at.index, *of));
            } else if self.is_later(at) {
                changed.shards.insert(at.index);
                self.take(document);
            }
        }
        if !changed.shards.is_empty() {
            self.settle(&mut changed);
        }
        changed
    }

    /// All that is there has been seen: how many shards there are is what most
    /// of them say, so that one that is wrong speaks for none but itself.
    pub fn listed(&mut self) -> Changed {
        self.listed = true;
        if self.count.is_none() {
            self.count = most_named(self.early.values());
        }
        let early = std::mem::take(&mut self.early);
        self.apply(early.into_values().collect())
    }

    /// Where nothing was there at first, because the operator comes later, the
    /// number of shards is known once more than half of them name it.
    fn begin_late(&mut self) -> Changed {
        let named = most_named(self.early.values());
        let agree = |count| self.early.values().filter(|of| of.count == count).count();
        if self.listed && named.is_some_and(|count| agree(count) * 2 > usize::from(count)) {
            self.listed()
        } else {
            Changed::default()
        }
    }

    /// The domains that are served: a clone that shares them.
    pub fn snapshot(&self) -> Snapshot {
        self.served.clone()
    }

    /// The sinks that are delivered to.
    pub fn sinks(&self) -> sink::Sinks {
        self.sinks.served()
    }

    /// What is applied, to be told.
    pub fn applied(&self) -> Applied {
        let shard = |(index, shard): (&u16, &Shard)| {
            let mut applied = shard.applied();
            applied.refused_sinks = self.sinks.refused(*index);
            (*index, applied)
        };
        Applied {
            count: self.count,
            shards: self.shards.iter().map(shard).collect(),
        }
    }

    /// What a shard serves, to be kept.
    pub fn served(&self, index: u16) -> Option<ServedShard> {
        let shard = self.shards.get(&index)?;
        Some(ServedShard {
            at: ShardState {
                index,
                uid: shard.uid.to_string(),
                generation: shard.generation,
            },
            count: self.count?,
            entries: shard.served.values().cloned().collect(),
            sinks: self.sinks.of(index),
        })
    }

    fn is_later(&self, at: &ShardState) -> bool {
        let Some(shard) = self.shards.get(&at.index) else {
            return true;
        };
        let same = *shard.uid == *at.uid;
        match self.order {
            Order::Reading => true,
            Order::Generation if !same => true,
            // What comes from the disk is to be confirmed.
            Order::Generation if !shard.live => at.generation >= shard.generation,
            Order::Generation => at.generation > shard.generation,
        }
    }

    /// Takes a shard's state in: what it no longer names goes; what it names
    /// waits to be served.
    fn take(&mut self, document: Document) {
        let Document {
            at, entries, sinks, ..
        } = document;
        self.sinks.take(at.index, sinks);
        let shard = self.shards.entry(at.index).or_default();
        shard.uid = at.uid.into();
        shard.generation = at.generation;
        shard.live = true;
        shard.waiting.clear();
        shard.unreadable.clear();
        let mut named = HashSet::with_capacity(entries.len());
        let mut nameless = false;
        for entry in entries {
            match entry {
                Ok(entry) => {
                    named.insert(entry.realm.clone());
                    if shard.served.get(&entry.realm) != Some(&entry) {
                        shard.waiting.push((entry, String::new()));
                    }
                }
                Err(refused) => {
                    nameless |= refused.realm.is_none();
                    named.extend(refused.realm.clone());
                    shard.unreadable.push(refused);
                }
            }
        }
        // An entry whose name cannot be read may be anybody's: all stay.
        if nameless {
            return;
        }
        let (served, owners) = (&mut self.served, &mut self.owners);
        shard.served.retain(|realm, _| {
            let stays = named.contains(realm);
            if !stays {
                served.remove(realm);
                owners.remove(realm);
            }
            stays
        });
    }

    /// Serves of what waits, in all shards, as much as goes.
    fn settle(&mut self, changed: &mut Changed) {
        self.sinks.settle();
        let mut candidates = Vec::new();
        for (index, shard) in &mut self.shards {
            let waiting = shard.waiting.drain(..);
            candidates.extend(waiting.map(|(entry, _)| Candidate {
                shard: *index,
                entry,
            }));
        }
        let Resolved { snapshot, refused } = resolve(&self.served, &self.owners, &candidates);
        self.served = snapshot;
        for (Candidate { shard, entry }, refused) in candidates.into_iter().zip(refused) {
            let Some(of) = self.shards.get_mut(&shard) else {
                continue;
            };
            match refused {
                Some(rule) => of.waiting.push((entry, rule)),
                None => {
                    changed.shards.insert(shard);
                    self.owners.insert(entry.realm.clone(), shard);
                    of.served.insert(entry.realm.clone(), entry);
                }
            }
        }
    }
}

impl Shard {
    fn applied(&self) -> AppliedShard {
        let waiting = self.waiting.iter().map(|(entry, rule)| Refused {
            realm: Some(entry.realm.clone()),
            generation: entry.generation,
            rule: rule.clone(),
        });
        AppliedShard {
            uid: Arc::clone(&self.uid),
            generation: self.generation,
            confirmed: self.live,
            refused: self.unreadable.iter().cloned().chain(waiting).collect(),
            refused_sinks: Arc::default(),
        }
    }
}

impl ServedShard {
    fn into_document(self) -> Document {
        Document {
            at: self.at,
            count: self.count,
            entries: self.entries.into_iter().map(Ok).collect(),
            sinks: self.sinks.into_iter().map(Ok).collect(),
        }
    }
}

/// The count that most documents name; of two as frequent, the greater.
fn most_named<'a>(documents: impl IntoIterator<Item = &'a Document>) -> Option<u16> {
    let mut votes = BTreeMap::<u16, usize>::new();
    for document in documents {
        *votes.entry(document.count).or_default() += 1;
    }
    votes
        .into_iter()
        .max_by_key(|(_, votes)| *votes)
        .map(|(count, _)| count)
}
