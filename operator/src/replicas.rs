//! Who serves what: the pods of the data plane, and what each says it has
//! applied. Nothing is taken for granted: a domain is programmed where every
//! ready replica has answered so, with a code that nobody else can make.

pub mod ask;
pub mod follow;

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mailtrail_core::ack::{Answer, Delivery, KnownKey, Refused, ShardState};
use mailtrail_core::id::Realm;
use mailtrail_core::keyring::{KeyId, KeyState};
use mailtrail_core::sink::SINKS_MAX;
use tokio::sync::watch;

use crate::queue::Inbox;
use crate::shards::Shards;
use crate::subject::Subject;

/// The pods of the data plane.
#[derive(Debug)]
pub struct Replicas {
    state: Mutex<State>,
    /// Counts what may be a reason to ask again.
    reasons: watch::Sender<u64>,
    shards: Arc<Shards>,
    inbox: Arc<Inbox>,
}

#[derive(Debug, Default)]
struct State {
    pods: HashMap<String, Pod>,
    /// Who waits for a shard to be applied.
    waiting: HashMap<u16, HashSet<Subject>>,
    /// A key that every pod is to know.
    key_wanted: Option<KeyId>,
    /// Whether it is known which pods there are.
    listed: bool,
}

/// A pod, by its UID.
#[derive(Debug)]
struct Pod {
    seen: Seen,
    applied: HashMap<u16, ShardState>,
    refused: HashMap<u16, Vec<(Subject, String)>>,
    keys: Vec<KnownKey>,
    /// Whether it knows what a sink is.
    knows_sinks: bool,
    /// How its deliveries stand.
    deliveries: HashMap<Realm, Delivery>,
}

/// What the API server says of a pod that is not terminating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// Its admin address; absent until it has one.
    pub admin: Option<SocketAddr>,
    /// Whether it is sent readers.
    pub ready: bool,
}

/// Where an entry is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Programmed {
    /// By every ready replica.
    Everywhere,
    /// There is no ready replica.
    NoReplicas,
    /// Not by all yet.
    Partly {
        /// By so many.
        applied: usize,
        /// Of so many.
        ready: usize,
    },
    /// One has it and does not serve it.
    Refused {
        /// Its pod's name.
        replica: String,
        /// Why.
        rule: String,
    },
}

/// What is to be asked of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToAsk {
    /// Where.
    pub admin: SocketAddr,
    /// About these.
    pub shards: Vec<ShardState>,
    /// And how deliveries stand.
    pub deliveries: bool,
}

impl Replicas {
    /// None known yet.
    pub fn new(shards: Arc<Shards>, inbox: Arc<Inbox>) -> Self {
        Self {
            state: Mutex::default(),
            reasons: watch::Sender::new(0),
            shards,
            inbox,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something may be a reason to ask.
    pub fn wake(&self) {
        self.reasons.send_modify(|count| *count += 1);
    }

    /// Hears of reasons to ask.
    pub fn reasons(&self) -> watch::Receiver<u64> {
        self.reasons.subscribe()
    }

    // --- Pods ---

    /// A pod is there; whether it was not known before.
    pub fn seen(&self, uid: &str, seen: Seen) -> bool {
        let mut state = self.lock();
        let new = match state.pods.get_mut(uid) {
            Some(pod) if pod.seen == seen => return false,
            Some(pod) => {
                pod.seen = seen;
                false
            }
            None => {
                let pod = Pod {
                    seen,
                    applied: HashMap::new(),
                    refused: HashMap::new(),
                    keys: Vec::new(),
                    knows_sinks: false,
                    deliveries: HashMap::new(),
                };
                state.pods.insert(uid.to_owned(), pod);
                true
            }
        };
        // How many there are to wait for has changed.
        let waiting = state.take_waiting();
        drop(state);
        self.inbox.extend(waiting);
        self.wake();
        new
    }

    /// A pod is gone, or going.
    pub fn gone(&self, uid: &str) {
        let mut state = self.lock();
        state.pods.remove(uid);
        let waiting = state.take_waiting();
        drop(state);
        self.inbox.extend(waiting);
        self.wake();
    }

    /// Nobody serves anything: that is said of all domains. Those of which it is
    /// said wait for the first pod that does again.
    pub fn nobody_serves(&self) {
        self.inbox.extend(self.shards.subjects());
    }

    /// All pods that there are have been named. Who waited for that is.
    pub fn all_listed(&self) {
        let mut state = self.lock();
        let first = !std::mem::replace(&mut state.listed, true);
        let waiting = if first {
            state.take_waiting()
        } else {
            HashSet::new()
        };
        drop(state);
        self.inbox.extend(waiting);
    }

    /// The UIDs of the pods that are known.
    pub fn uids(&self) -> Vec<String> {
        self.lock().pods.keys().cloned().collect()
    }

    /// How many are known, and how many of them are ready.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.lock();
        let ready = state.pods.values().filter(|pod| pod.seen.ready).count();
        (state.pods.len(), ready)
    }

    // --- Asking ---

    /// What there is to ask a pod: shards that it has not applied as they
    /// stand, or, where a key is wanted that it does not know, nothing but that.
    pub fn to_ask(&self, uid: &str) -> Option<ToAsk> {
        let wanted = self.shards.states();
        let state = self.lock();
        let pod = state.pods.get(uid)?;
        let behind = |wanted: &ShardState| {
            let applied = pod.applied.get(&wanted.index);
            !applied.is_some_and(|applied| applied.reaches(wanted))
        };
        let shards: Vec<_> = wanted.into_iter().filter(behind).collect();
        let key_missing = state.key_wanted.is_some_and(|id| !pod.knows(id));
        if shards.is_empty() && !key_missing {
            return None;
        }
        let admin = pod.seen.admin?;
        Some(ToAsk {
            admin,
            shards,
            deliveries: self.shards.sinks() > 0,
        })
    }

    /// To ask a pod how its deliveries stand, where there are sinks. Nothing
    /// tells when a receiver fails, so this is asked for now and then.
    pub fn delivering(&self, uid: &str) -> Option<ToAsk> {
        if self.shards.sinks() == 0 {
            return None;
        }
        let state = self.lock();
        let admin = state.pods.get(uid)?.seen.admin?;
        Some(ToAsk {
            admin,
            shards: Vec::new(),
            deliveries: true,
        })
    }

    /// The shards of which a pod refuses something: what is in the way of an
    /// entry may go with a change of another shard, and nothing tells.
    pub fn refusing(&self, uid: &str) -> Option<ToAsk> {
        let wanted = self.shards.states();
        let state = self.lock();
        let pod = state.pods.get(uid)?;
        let refused = |state: &ShardState| pod.refused.contains_key(&state.index);
        let shards: Vec<_> = wanted.into_iter().filter(refused).collect();
        let admin = pod.seen.admin?;
        (!shards.is_empty()).then_some(ToAsk {
            admin,
            shards,
            deliveries: false,
        })
    }

    /// A pod has answered. Who waited for that is named.
    pub fn answered(&self, uid: &str, asked: &ToAsk, answer: Answer) {
        let mut named = HashSet::new();
        let mut state = self.lock();
        let Some(pod) = state.pods.get_mut(uid) else {
            return;
        };
        pod.keys = answer.keys;
        for shard in &asked.shards {
            pod.refused.remove(&shard.index);
        }
        pod.knows_sinks = answer.sinks.is_some();
        let sinks = answer.sinks.unwrap_or_default();
        let of_domains = answer.refused.into_iter().map(whose(Subject::Domain));
        let of_sinks = sinks.refused.into_iter().map(whose(Subject::Sink));
        for (subject, rule) in of_domains.chain(of_sinks).flatten() {
            let index = self.shards.place(&subject);
            named.insert(subject.clone());
            let refused = pod.refused.entry(index).or_default();
            refused.push((subject, rule));
        }
        if asked.deliveries {
            named.extend(pod.deliver(sinks.deliveries));
        }
        let mut applied = Vec::new();
        for shard in answer.shards {
            applied.push(shard.index);
            pod.applied.insert(shard.index, shard);
        }
        for index in applied {
            named.extend(state.waiting.remove(&index).into_iter().flatten());
        }
        drop(state);
        self.inbox.extend(named);
    }

    /// A ready pod has been behind for long: whoever counts on it is named.
    pub fn lags(&self, asked: &[ShardState]) {
        let indices: HashSet<u16> = asked.iter().map(|shard| shard.index).collect();
        let subjects = self.shards.subjects().into_iter();
        let concerned = subjects.filter(|subject| indices.contains(&self.shards.place(subject)));
        self.inbox.extend(concerned);
    }

    // --- Standing ---

    /// Where an entry is served that is in this state of its shard. Who is not
    /// everywhere is named when that may have changed.
    pub fn programmed(&self, subject: &Subject, state_of_shard: &ShardState) -> Programmed {
        let mut state = self.lock();
        let mut applied = 0;
        let mut ready = 0;
        let mut refused = None;
        for pod in state.pods.values().filter(|pod| pod.seen.ready) {
            ready += 1;
            let has = pod.applied.get(&state_of_shard.index);
            if !has.is_some_and(|has| has.reaches(state_of_shard)) {
                continue;
            }
            match pod.refusal(state_of_shard.index, subject) {
                Some(rule) => refused = Some((pod.seen.name.clone(), rule)),
                None => applied += 1,
            }
        }
        let found = match refused {
            _ if ready == 0 && state.listed => Programmed::NoReplicas,
            // Whom there is to ask is not known yet.
            _ if ready == 0 => Programmed::Partly { applied, ready },
            Some((replica, rule)) => Programmed::Refused { replica, rule },
            None if applied == ready => Programmed::Everywhere,
            None => Programmed::Partly { applied, ready },
        };
        if found != Programmed::Everywhere {
            let waiting = state.waiting.entry(state_of_shard.index).or_default();
            waiting.insert(subject.clone());
        }
        found
    }

    /// How the deliveries to a sink stand, as the pod tells whose they are.
    pub fn delivery(&self, sink: &Realm) -> Option<Delivery> {
        let state = self.lock();
        let mut told = state
            .pods
            .values()
            .filter_map(|pod| pod.deliveries.get(sink));
        told.next().cloned()
    }

    // --- Keys ---

    /// Asks every pod until it knows this key.
    pub fn want_key(&self, id: Option<KeyId>) {
        let mut state = self.lock();
        let changed = state.key_wanted != id;
        state.key_wanted = id;
        drop(state);
        if changed {
            self.wake();
        }
    }

    /// Whether every pod that is not terminating knows this key. As long as it
    /// is not known which pods there are, that is not so.
    pub fn all_know(&self, id: KeyId) -> bool {
        let state = self.lock();
        state.listed && state.pods.values().all(|pod| pod.knows(id))
    }
}

impl State {
    fn take_waiting(&mut self) -> HashSet<Subject> {
        std::mem::take(&mut self.waiting)
            .into_values()
            .flatten()
            .collect()
    }
}

impl Pod {
    fn knows(&self, id: KeyId) -> bool {
        let usable = |key: &&KnownKey| key.id == id && key.state != KeyState::Revoked;
        self.keys.iter().any(|key| usable(&key))
    }

    fn refusal(&self, index: u16, subject: &Subject) -> Option<String> {
        if matches!(subject, Subject::Sink(_)) && !self.knows_sinks {
            return Some("it is older than the operator, and knows no event sinks".to_owned());
        }
        let refused = self.refused.get(&index)?;
        let (_, rule) = refused.iter().find(|(whose, _)| whose == subject)?;
        Some(rule.clone())
    }

    /// Takes how deliveries stand; whose have changed are returned.
    fn deliver(&mut self, told: Vec<Delivery>) -> Vec<Subject> {
        let told = told.into_iter().take(SINKS_MAX);
        let now: HashMap<_, _> = told.map(|told| (told.sink.clone(), told)).collect();
        let before = std::mem::replace(&mut self.deliveries, now);
        let changed = self.deliveries.iter().filter(|(sink, now)| {
            let before = before.get(*sink);
            before.is_none_or(|before| before.how != now.how || before.since_ms != now.since_ms)
        });
        changed
            .map(|(sink, _)| Subject::Sink(sink.clone()))
            .collect()
    }
}

/// Whose entry was refused, and why; none where not even that can be read.
fn whose(subject: fn(Realm) -> Subject) -> impl Fn(Refused) -> Option<(Subject, String)> {
    move |refused| Some((subject(refused.realm?), refused.rule))
}

#[cfg(test)]
mod tests;
