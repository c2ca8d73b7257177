//! The EventSinks that there are, as the watch tells of them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kube::core::ObjectMeta;
use mailtrail_core::id::Realm;
use mailtrail_crds::EventSink;

use crate::condition::{self, Finding, Reason, Told, Type};
use crate::queue::Inbox;
use crate::subject::Subject;
use crate::watch;
use crate::world::{is_older, realm_of, strip};

/// EventSinks, and what their statuses say. Whoever changes is named.
#[derive(Debug)]
pub struct Known {
    sinks: Mutex<HashMap<Realm, Entry>>,
    inbox: Arc<Inbox>,
}

/// A sink that is known.
#[derive(Debug, Clone)]
pub struct Entry {
    /// The object, without its status.
    pub sink: Arc<EventSink>,
    /// What that says.
    pub told: Option<Arc<Told>>,
    /// What it says of deliveries: replicas that start do not know it.
    pub delivering: Option<Arc<Finding>>,
}

impl Known {
    /// None yet.
    pub fn new(inbox: Arc<Inbox>) -> Self {
        Self {
            sinks: Mutex::default(),
            inbox,
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Realm, Entry>> {
        self.sinks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A sink.
    pub fn find(&self, name: &Realm) -> Option<Entry> {
        self.lock().get(name).cloned()
    }

    /// How many there are, of whatever class.
    pub fn len(&self) -> usize {
        self.lock().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All there are.
    pub fn subjects(&self) -> Vec<Subject> {
        self.lock().keys().cloned().map(Subject::Sink).collect()
    }

    /// A sink was made or changed. What is older than what is known is passed
    /// over: the watch may lag behind our own writes.
    pub fn sink(&self, mut sink: EventSink) {
        strip(&mut sink.metadata);
        let Some(name) = realm_of(&sink.metadata) else {
            return;
        };
        let mut sinks = self.lock();
        let before = sinks.get(&name);
        if before.is_some_and(|before| is_older(&sink.metadata, &before.sink.metadata)) {
            return;
        }
        let status = sink.status.take();
        let told = status
            .as_ref()
            .map(|status| Told::of(status.observed_generation, &status.conditions));
        let conditions = status.as_ref().map(|status| &*status.conditions);
        let delivering = conditions.and_then(|of| condition::found(of, Type::Delivering));
        let entry = Entry {
            sink: Arc::new(sink),
            told: told.map(Arc::new),
            delivering: delivering.map(Arc::new),
        };
        sinks.insert(name.clone(), entry);
        drop(sinks);
        self.inbox.push(Subject::Sink(name));
    }

    fn forget(&self, name: &Realm) {
        self.lock().remove(name);
        self.inbox.push(Subject::Sink(name.clone()));
    }

    /// Names the sinks that there was no room for.
    pub fn name_turned_away(&self) {
        let is_turned_away = |told: &Told| {
            let accepted = told.find(Type::Accepted);
            accepted.is_some_and(|accepted| accepted.reason == Reason::TooManySinks)
        };
        let sinks = self.lock();
        let turned_away = sinks.iter().filter(|(_, entry)| {
            let told = entry.told.as_deref();
            told.is_some_and(is_turned_away)
        });
        let named: Vec<_> = turned_away
            .map(|(name, _)| Subject::Sink(name.clone()))
            .collect();
        drop(sinks);
        self.inbox.extend(named);
    }
}

/// Where the watch's objects go.
pub(crate) struct Watched {
    pub(crate) known: Arc<Known>,
    /// The one namespace that is watched; absent: all.
    pub(crate) namespace: Option<String>,
}

impl watch::Sink<EventSink> for Watched {
    type Key = Realm;
    const WHAT: &'static str = "EventSink";

    fn key(meta: &ObjectMeta) -> Option<Realm> {
        realm_of(meta)
    }

    fn apply(&self, sink: EventSink) {
        self.known.sink(sink);
    }

    fn gone(&self, name: &Realm) {
        self.known.forget(name);
    }

    fn known(&self) -> HashSet<Realm> {
        let namespace = self.namespace.as_deref();
        let sinks = self.known.lock();
        let names = sinks.keys();
        let of = names.filter(|name| namespace.is_none_or(|of| name.namespace() == of));
        of.cloned().collect()
    }
}
