//! Follows what sinks refer to: each Secret by its name, each Service by its
//! name, a Service's EndpointSlices by its label.
//!
//! By watches, not by looking now and then: who replaces a secret that leaked
//! wants it used now, and an endpoint that somebody adds by hand is to be noticed
//! before events reach it. One watch of one object is what a kubelet keeps for
//! each Secret of each pod, and the API server has an index for it; it costs a
//! connection here. There are as many as sinks refer to, no more, and each ends
//! with the last sink that refers to it. What may not be read is tried again
//! later and later, [`AGAIN_LONGEST`] at most: nothing tells when it may.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use backon::ExponentialBuilder;
use futures_util::StreamExt as _;
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::runtime::watcher::{self, Event, ExponentialBackoff};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt as _};
use mailtrail_core::id::Realm;
use serde::de::DeserializeOwned;
use tokio::task::AbortHandle;

use crate::error::{Error, within};
use crate::metrics::Metrics;
use crate::queue::Inbox;
use crate::subject::Subject;
use crate::wait::{doubled, spread};

/// First wait after a watch that broke off or is not allowed.
const AGAIN_FIRST: Duration = Duration::from_millis(500);
/// Longest wait: how late it is noticed that a Secret may be read now.
const AGAIN_LONGEST: Duration = Duration::from_secs(30);
/// Most objects of one watch that are kept: a Service has a slice for each
/// hundred of its endpoints.
const OBJECTS_MAX: usize = 1000;

/// A kind of object that sinks refer to.
pub trait Target: Send + Sync + 'static {
    /// The kind.
    type Kind: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + 'static;
    /// What is kept of one.
    type Kept: Clone + Debug + PartialEq + Send + 'static;

    /// Which objects are meant by a name.
    fn selected(name: &str) -> watcher::Config;
    /// What is kept of one.
    fn kept(object: Self::Kind) -> Self::Kept;
}

/// What is known of what a name means.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    /// Nothing yet.
    NotYet,
    /// These objects, by their own names; none: it is not there.
    There(BTreeMap<String, T>),
    /// We may not look.
    Forbidden,
}

/// What sinks refer to, of one kind.
pub struct Followed<T: Target> {
    client: Client,
    inbox: Arc<Inbox>,
    metrics: Arc<Metrics>,
    watched: Mutex<HashMap<Name, Watched<T::Kept>>>,
}

/// Namespace and name.
type Name = (String, String);

struct Watched<T> {
    seen: Seen<T>,
    /// The sinks that refer to it.
    by: HashSet<Realm>,
    task: AbortHandle,
}

impl<T: Target> Followed<T> {
    /// Nothing yet.
    pub fn new(client: Client, inbox: Arc<Inbox>, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            client,
            inbox,
            metrics,
            watched: Mutex::default(),
        })
    }

    /// A sink refers to these, in its own namespace, and to no others of this
    /// kind; what is known of each. It is named when that changes.
    pub fn refers(self: &Arc<Self>, sink: &Realm, names: &[&str]) -> Vec<Seen<T::Kept>> {
        let mut watched = self.lock();
        watched.retain(|(namespace, name), of| {
            let stays = namespace == sink.namespace() && names.contains(&name.as_str());
            if !stays && of.by.remove(sink) && of.by.is_empty() {
                of.task.abort();
                return false;
            }
            true
        });
        let each = names.iter().map(|name| {
            let key = (sink.namespace().to_owned(), (*name).to_owned());
            let of = watched
                .entry(key)
                .or_insert_with_key(|key| self.start(key.clone()));
            of.by.insert(sink.clone());
            of.seen.clone()
        });
        each.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Watched<T::Kept>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(self: &Arc<Self>, name: Name) -> Watched<T::Kept> {
        let api: Api<T::Kind> = Api::namespaced(self.client.clone(), &name.0);
        let task = tokio::spawn(follow(Arc::downgrade(self), api, name));
        Watched {
            seen: Seen::NotYet,
            by: HashSet::new(),
            task: task.abort_handle(),
        }
    }

    fn take(
        &self,
        name: &Name,
        listing: &mut BTreeMap<String, T::Kept>,
        event: watcher::Result<Event<T::Kind>>,
    ) {
        match event {
            Ok(Event::Init) => listing.clear(),
            Ok(Event::InitApply(object)) => put(listing, object.name_any(), T::kept(object)),
            Ok(Event::InitDone) => {
                let listed = std::mem::take(listing);
                self.change(name, |seen| *seen = Seen::There(listed));
            }
            Ok(Event::Apply(object)) => self.change(name, |seen| {
                if let Seen::There(there) = seen {
                    put(there, object.name_any(), T::kept(object));
                }
            }),
            Ok(Event::Delete(object)) => self.change(name, |seen| {
                if let Seen::There(there) = seen {
                    there.remove(&object.name_any());
                }
            }),
            Err(error) if is_forbidden(&error) => {
                self.change(name, |seen| *seen = Seen::Forbidden);
            }
            // What is known stays.
            Err(error) => {
                self.metrics.watch_errors.inc();
                tracing::warn!(
                    kind = %T::Kind::kind(&()), namespace = name.0, error = %crate::watch::chain(&error),
                    "what an event sink refers to is not watched for a moment"
                );
            }
        }
    }

    /// Changes what is known, and names who refers to it where that differs.
    fn change(&self, name: &Name, change: impl FnOnce(&mut Seen<T::Kept>)) {
        let mut watched = self.lock();
        let Some(of) = watched.get_mut(name) else {
            return;
        };
        let before = of.seen.clone();
        change(&mut of.seen);
        if of.seen != before {
            let named: Vec<_> = of.by.iter().cloned().map(Subject::Sink).collect();
            drop(watched);
            self.inbox.extend(named);
        }
    }
}

/// Follows what a name means; ends with the term of who asked for it.
async fn follow<T: Target>(to: Weak<Followed<T>>, api: Api<T::Kind>, name: Name) {
    loop {
        until_allowed(&to, &api, &name).await;
        let again = ExponentialBuilder::default()
            .with_min_delay(AGAIN_FIRST)
            .with_max_delay(AGAIN_LONGEST)
            .with_jitter()
            .without_max_times();
        let events = watch(api.clone(), T::selected(&name.1));
        let mut events = std::pin::pin!(events.backoff(ExponentialBackoff::from(again)));
        let mut listing = BTreeMap::new();
        while let Some(event) = events.next().await {
            let Some(to) = to.upgrade() else { return };
            let is_forbidden = event.as_ref().is_err_and(is_forbidden);
            to.take(&name, &mut listing, event);
            if is_forbidden {
                break;
            }
        }
    }
}

/// Waits until what a name means may be read. A watch that is refused would begin
/// again twice a second, with a warning of its library each time: it takes the
/// beginning for a success.
async fn until_allowed<T: Target>(to: &Weak<Followed<T>>, api: &Api<T::Kind>, name: &Name) {
    let selected = T::selected(&name.1);
    let params = ListParams {
        label_selector: selected.label_selector,
        field_selector: selected.field_selector,
        ..ListParams::default().limit(1)
    };
    for tries in 0.. {
        let listed = within("what an event sink refers to", api.list_metadata(&params)).await;
        // Of other trouble the watch tells.
        if !matches!(listed, Err(Error::Forbidden { .. })) {
            return;
        }
        let Some(to) = to.upgrade() else { return };
        if tries == 0 {
            tracing::info!(
                kind = %T::Kind::kind(&()), namespace = name.0, name = name.1,
                "what an event sink refers to may not be read yet: its status says what is missing, and it is asked for again"
            );
        }
        to.change(name, |seen| *seen = Seen::Forbidden);
        drop(to);
        tokio::time::sleep(spread(doubled(AGAIN_FIRST, AGAIN_LONGEST, tries))).await;
    }
}

impl<T: Target> Drop for Followed<T> {
    fn drop(&mut self) {
        for of in self.lock().values() {
            of.task.abort();
        }
    }
}

fn put<T>(into: &mut BTreeMap<String, T>, name: String, object: T) {
    if into.len() < OBJECTS_MAX || into.contains_key(&name) {
        into.insert(name, object);
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    let error = match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error,
        watcher::Error::WatchError(status) => return status.code == 403,
        watcher::Error::NoResourceVersion => return false,
    };
    matches!(error, kube::Error::Api(status) if status.code == 403)
}
