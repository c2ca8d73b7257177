//! The event sinks of all shards, and what becomes of them when one changes.
//! Simpler than domains: no sink stands in another's way. Pure.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use mailtrail_core::ack::Refused;
use mailtrail_core::id::Realm;
use mailtrail_core::sink::{SINKS_MAX, Sink, Sinks as Served};

use super::document::SinkEntry;

/// The sinks that are delivered to, by shard.
#[derive(Debug, Default)]
pub(super) struct Sinks {
    /// Those that name any.
    shards: BTreeMap<u16, Shard>,
    /// All of them, with the shard that each comes from.
    served: BTreeMap<Realm, (u16, Arc<Sink>)>,
}

#[derive(Debug, Default)]
struct Shard {
    /// What stands there and is not delivered to, and why.
    waiting: Vec<(Arc<Sink>, String)>,
    unreadable: Vec<Refused>,
}

impl Sinks {
    /// Takes a shard's state in: what it no longer names goes, and what it names
    /// waits to be delivered to.
    pub(super) fn take(&mut self, index: u16, entries: Vec<SinkEntry>) {
        // Most shards have none, and never had: these cost nothing.
        let names_any = !entries.is_empty();
        if self.shards.remove(&index).is_none() && !names_any {
            return;
        }
        let mut shard = Shard::default();
        let (mut named, mut nameless) = (HashSet::new(), false);
        for entry in entries {
            match entry {
                Ok(sink) => {
                    named.insert(sink.realm.clone());
                    shard.waiting.push((sink, String::new()));
                }
                Err(refused) => {
                    nameless |= refused.realm.is_none();
                    named.extend(refused.realm.clone());
                    shard.unreadable.push(refused);
                }
            }
        }
        // An entry whose name cannot be read may be anybody's: all stay.
        self.served
            .retain(|realm, (of, _)| *of != index || nameless || named.contains(realm));
        if names_any {
            self.shards.insert(index, shard);
        }
    }

    /// Delivers to all that can be, of what waits in any shard.
    pub(super) fn settle(&mut self) {
        for (index, shard) in &mut self.shards {
            let served = &mut self.served;
            let mut seen = HashSet::new();
            shard.waiting.retain_mut(|(sink, rule)| {
                let twice = !seen.insert(sink.realm.clone());
                let refused = match served.get(&sink.realm) {
                    _ if twice => Some("stands there twice".to_owned()),
                    Some((of, _)) if of != index => Some(format!("stands in shard {of} too")),
                    None if served.len() >= SINKS_MAX => Some(format!(
                        "is one more than the {SINKS_MAX} sinks of an install"
                    )),
                    _ => None,
                };
                match refused {
                    Some(why) => {
                        *rule = why;
                        true
                    }
                    None => {
                        served.insert(sink.realm.clone(), (*index, Arc::clone(sink)));
                        false
                    }
                }
            });
        }
    }

    /// All that are delivered to.
    pub(super) fn served(&self) -> Served {
        let each = self.served.iter();
        each.map(|(realm, (_, sink))| (realm.clone(), Arc::clone(sink)))
            .collect()
    }

    /// Those of a shard, to be kept.
    pub(super) fn of(&self, index: u16) -> Vec<Arc<Sink>> {
        let each = self.served.values().filter(|(of, _)| *of == index);
        each.map(|(_, sink)| Arc::clone(sink)).collect()
    }

    /// What of a shard is not delivered to as it stands there.
    pub(super) fn refused(&self, index: u16) -> Arc<[Refused]> {
        let Some(shard) = self.shards.get(&index) else {
            return Arc::default();
        };
        let waiting = shard.waiting.iter().map(|(sink, rule)| Refused {
            realm: Some(sink.realm.clone()),
            generation: sink.generation,
            rule: rule.clone(),
        });
        shard.unreadable.iter().cloned().chain(waiting).collect()
    }
}
