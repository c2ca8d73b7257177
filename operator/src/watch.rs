//! The watches that fill the [`World`]: each goes on for ever, whatever the API
//! server does, and no object that cannot be read holds up the others.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::PartialObjectMeta;
use kube::core::error_boundary::InvalidObject;
use kube::core::{DeserializeGuard, NamespaceResourceScope, ObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource};
use mailtrail_core::id::{Host, Realm};
use mailtrail_crds::{HostClaim, TrackingDomain};
use serde::de::DeserializeOwned;
use tokio::sync::watch as flag;
use tokio::task::JoinSet;

use crate::metrics::Metrics;
use crate::sink::known::{Known, Watched};
use crate::world::{self, World};

/// Objects per page of a list: bounds what is held twice while listing.
const PAGE: u32 = 250;

/// Whether each watch has listed all there is, at least once.
#[derive(Debug, Clone)]
pub struct Synced(Vec<flag::Receiver<bool>>);

impl Synced {
    /// Returns once all of them have.
    pub async fn wait(&mut self) {
        for watch in &mut self.0 {
            // A watch ends with the process only.
            let _ = watch.wait_for(|synced| *synced).await;
        }
    }

    /// Whether all of them have.
    pub fn is(&self) -> bool {
        self.0.iter().all(|watch| *watch.borrow())
    }
}

/// Starts the watches of domains (in these namespaces, or all), claims and
/// namespaces.
pub fn start(
    client: &Client,
    namespaces: &[String],
    world: &Arc<World>,
    metrics: &Arc<Metrics>,
    tasks: &mut JoinSet<()>,
) -> Synced {
    let mut synced = Vec::new();
    let mut begin = || {
        let (set, get) = flag::channel(false);
        synced.push(get);
        move || {
            set.send_replace(true);
        }
    };
    for (namespace, api) in in_namespaces(client, namespaces) {
        let to = Domains {
            world: Arc::clone(world),
            namespace,
        };
        tasks.spawn(follow(api, to, begin(), Arc::clone(metrics)));
    }
    let to = Claims(Arc::clone(world));
    tasks.spawn(follow(
        Api::<DeserializeGuard<HostClaim>>::all(client.clone()),
        to,
        begin(),
        Arc::clone(metrics),
    ));
    let to = Namespaces(Arc::clone(world));
    tasks.spawn(follow(
        Api::<DeserializeGuard<PartialObjectMeta<Namespace>>>::all(client.clone()),
        to,
        begin(),
        Arc::clone(metrics),
    ));
    Synced(synced)
}

/// Starts the watches of event sinks, in these namespaces or all. Nothing waits
/// for them: a sink that is not known yet is asked for before it is given up.
pub fn start_sinks(
    client: &Client,
    namespaces: &[String],
    known: &Arc<Known>,
    metrics: &Arc<Metrics>,
    tasks: &mut JoinSet<()>,
) {
    for (namespace, api) in in_namespaces(client, namespaces) {
        let to = Watched {
            known: Arc::clone(known),
            namespace,
        };
        tasks.spawn(follow(api, to, || {}, Arc::clone(metrics)));
    }
}

/// A watch of all namespaces, or one of each of these: with some watched one by
/// one, no list of one says what is in the others.
fn in_namespaces<K>(client: &Client, namespaces: &[String]) -> Vec<(Option<String>, Api<K>)>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    match namespaces {
        [] => vec![(None, Api::all(client.clone()))],
        some => some
            .iter()
            .map(|name| (Some(name.clone()), Api::namespaced(client.clone(), name)))
            .collect(),
    }
}

/// An object's name and UID: one that was made anew is another.
pub(crate) type Named = (String, String);

/// The name and UID of an object.
pub(crate) fn named(meta: &ObjectMeta) -> Option<Named> {
    Some((meta.name.clone()?, meta.uid.clone()?))
}

/// Where a watch's objects go.
pub(crate) trait Sink<K> {
    /// Tells one object from another.
    type Key: Eq + Hash + Send;
    /// The kind, for the log.
    const WHAT: &'static str;
    /// Objects per page of a list.
    const PAGE: u32 = PAGE;
    /// What follows where one cannot be read, for the log.
    const UNREADABLE: &'static str = "what was known of it stays";

    /// Which object it is.
    fn key(meta: &ObjectMeta) -> Option<Self::Key>;
    /// One was made or changed.
    fn apply(&self, object: K);
    /// One cannot be read.
    fn unreadable(&self, _meta: &ObjectMeta) {}
    /// The watch was interrupted, and begins again.
    fn interrupted(&self, _error: &watcher::Error) {}
    /// One is gone.
    fn gone(&self, key: &Self::Key);
    /// Those that are known. Asked when a list begins: what of these it does not
    /// have is gone, and what we make while it is read is not.
    fn known(&self) -> HashSet<Self::Key>;
}

/// Follows one kind for ever; `listed_all` says when it has listed all there is.
pub(crate) async fn follow<K, S>(
    api: Api<DeserializeGuard<K>>,
    to: S,
    listed_all: impl Fn(),
    metrics: Arc<Metrics>,
) where
    K: Resource + Clone + Debug + DeserializeOwned + Send + 'static,
    S: Sink<K>,
{
    let config = watcher::Config::default().page_size(S::PAGE);
    let mut events = std::pin::pin!(watch(api, config).backoff(crate::wait::for_watch()));
    let mut unlisted = HashSet::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                if hear(event, &to, &mut unlisted, &metrics) {
                    listed_all();
                }
            }
            Err(error) => {
                to.interrupted(&error);
                metrics.watch_errors.inc();
                tracing::warn!(kind = S::WHAT, error = %chain(&error), "a watch was interrupted and begins again");
            }
        }
    }
}

/// Takes what a watch tells; `unlisted` is what was known when its list began and
/// has not come yet. Says whether that list is whole now.
fn hear<K: Resource, S: Sink<K>>(
    event: Event<DeserializeGuard<K>>,
    to: &S,
    unlisted: &mut HashSet<S::Key>,
    metrics: &Metrics,
) -> bool {
    match event {
        Event::Init => *unlisted = to.known(),
        Event::InitApply(DeserializeGuard(object)) => {
            // One that cannot be read is there all the same: what was known of it
            // stays.
            if let Some(key) = S::key(meta_of(&object)) {
                unlisted.remove(&key);
            }
            take(to, object, metrics);
        }
        Event::InitDone => {
            unlisted.drain().for_each(|key| to.gone(&key));
            return true;
        }
        Event::Apply(DeserializeGuard(object)) => take(to, object, metrics),
        Event::Delete(DeserializeGuard(object)) => {
            if let Some(key) = S::key(meta_of(&object)) {
                to.gone(&key);
            }
        }
    }
    false
}

fn meta_of<K: Resource>(object: &Result<K, InvalidObject>) -> &ObjectMeta {
    object.as_ref().map_or_else(|bad| &bad.metadata, K::meta)
}

fn take<K, S: Sink<K>>(to: &S, object: Result<K, InvalidObject>, metrics: &Metrics) {
    match object {
        Ok(object) => to.apply(object),
        Err(bad) => {
            metrics.undecodable.inc();
            tracing::error!(
                kind = S::WHAT,
                object.namespace = bad.metadata.namespace,
                object.name = bad.metadata.name,
                error = bad.error,
                "an object cannot be read: {}",
                S::UNREADABLE
            );
            to.unreadable(&bad.metadata);
        }
    }
}

/// An error and what caused it, in one line.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

// === Sinks ===

struct Domains {
    world: Arc<World>,
    /// The one namespace that is watched; absent: all.
    namespace: Option<String>,
}

impl Sink<TrackingDomain> for Domains {
    type Key = Realm;
    const WHAT: &'static str = "TrackingDomain";

    fn key(meta: &ObjectMeta) -> Option<Realm> {
        world::realm_of(meta)
    }

    fn apply(&self, domain: TrackingDomain) {
        self.world.domain(domain);
    }

    fn gone(&self, realm: &Realm) {
        self.world.domain_gone(realm);
    }

    fn known(&self) -> HashSet<Realm> {
        self.world.domains_in(self.namespace.as_deref())
    }
}

struct Claims(Arc<World>);

impl Sink<HostClaim> for Claims {
    type Key = Host;
    const WHAT: &'static str = "HostClaim";

    fn key(meta: &ObjectMeta) -> Option<Host> {
        meta.name.as_deref()?.parse().ok()
    }

    fn apply(&self, claim: HostClaim) {
        self.0.claim(claim);
    }

    fn gone(&self, host: &Host) {
        self.0.claim_gone(host);
    }

    fn known(&self) -> HashSet<Host> {
        self.0.claimed()
    }
}

struct Namespaces(Arc<World>);

impl Sink<PartialObjectMeta<Namespace>> for Namespaces {
    type Key = String;
    const WHAT: &'static str = "Namespace";

    fn key(meta: &ObjectMeta) -> Option<String> {
        meta.name.clone()
    }

    fn apply(&self, namespace: PartialObjectMeta<Namespace>) {
        let meta = namespace.metadata;
        if let (Some(name), Some(uid)) = (meta.name, meta.uid) {
            let terminating = meta.deletion_timestamp.is_some();
            let created = meta.creation_timestamp.map_or(0, |made| made.0.as_second());
            let namespace = world::Namespace {
                uid,
                created,
                terminating,
            };
            self.0.namespace(name, namespace);
        }
    }

    fn gone(&self, name: &String) {
        self.0.namespace_gone(name);
    }

    fn known(&self) -> HashSet<String> {
        self.0.namespaces()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use serde_json::json;

    use super::*;

    /// Namespaces, by name alone.
    #[derive(Default)]
    struct Names(Mutex<HashSet<String>>);

    impl Names {
        fn all(&self) -> Vec<String> {
            let mut all: Vec<_> = Sink::known(self).into_iter().collect();
            all.sort();
            all
        }
    }

    impl Sink<Namespace> for Names {
        type Key = String;
        const WHAT: &'static str = "Namespace";

        fn key(meta: &ObjectMeta) -> Option<String> {
            meta.name.clone()
        }

        fn apply(&self, namespace: Namespace) {
            let name = namespace.metadata.name.expect("a name");
            self.0.lock().expect("a lock").insert(name);
        }

        fn gone(&self, name: &String) {
            self.0.lock().expect("a lock").remove(name);
        }

        fn known(&self) -> HashSet<String> {
            self.0.lock().expect("a lock").clone()
        }
    }

    fn namespace(name: &str, more: serde_json::Value) -> DeserializeGuard<Namespace> {
        let mut object = json!({"metadata": {"name": name}});
        object["spec"] = more;
        serde_json::from_value(object).expect("a guard takes all")
    }

    #[test]
    fn what_was_known_and_is_not_listed_is_gone_and_what_is_made_meanwhile_stays() {
        let (names, metrics) = (Names::default(), Metrics::default());
        let mut unlisted = HashSet::new();
        let mut hear = |event| hear(event, &names, &mut unlisted, &metrics);
        for name in ["gone", "listed", "unreadable"] {
            assert!(!hear(Event::Apply(namespace(name, json!({})))));
        }
        assert!(!hear(Event::Init));
        assert!(!hear(Event::InitApply(namespace("listed", json!({})))));
        assert!(!hear(Event::InitApply(namespace("unreadable", json!(7)))));
        // As we know of what we make ourselves.
        names.apply(namespace("made", json!({})).0.expect("one"));
        assert_eq!(names.all(), ["gone", "listed", "made", "unreadable"]);
        assert!(hear(Event::InitDone));
        assert_eq!(names.all(), ["listed", "made", "unreadable"]);
        // An interrupted list says nothing of what it had not come to.
        assert!(!hear(Event::Init));
        assert!(!hear(Event::Init));
        assert!(!hear(Event::InitApply(namespace("made", json!({})))));
        assert!(hear(Event::InitDone));
        assert_eq!(names.all(), ["made"]);
    }
}
