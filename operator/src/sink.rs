//! One turn of an event sink: fetch what is known of it and of what it refers to,
//! resolve that, build the entry with its secrets sealed, apply it, report in the
//! status.
//!
//! A sink whose references are missing has an entry all the same, without secrets:
//! it rests, and its events wait.

pub mod account;
pub mod follow;
pub mod known;
mod report;
pub mod secret;
pub mod service;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt as _};
use mailtrail_core::id::Realm;
use mailtrail_core::keyring::Keyring;
use mailtrail_core::sink::sealed::Sealed;
use mailtrail_core::sink::{self as core, Endpoint, InCluster, SINKS_MAX};
use mailtrail_crds::EventSink;
use mailtrail_crds::entry::EntryError;
use mailtrail_crds::sink::sink_entry;

use self::account::Account;
use self::follow::{Followed, Seen};
use self::known::{Entry, Known};
use self::secret::Secrets;
use self::service::{Leads, Services, Slices, leads};
use crate::condition::{Finding, Reason, Told};
use crate::domain::fetch::PAUSED;
use crate::error::{Category, Error, within};
use crate::keyring::Keys;
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::passes::Passes;
use crate::queue::{Inbox, Next};
use crate::replicas::Replicas;
use crate::shards::Shards;
use crate::subject::Subject;
use crate::tell::{Grace, Teller};

const DEFINITION: &str = "eventsinks.mailtrail.dev";

/// What turns of sinks work with, for one term of leading.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// Class of the sinks that are ours.
    pub class: String,
    /// Namespaces that are watched; none: all.
    pub watched: Vec<String>,
    /// What the names of Services end in.
    pub cluster_domain: String,
    /// The sinks there are.
    pub known: Arc<Known>,
    /// Their Secrets.
    pub secrets: Arc<Followed<Secrets>>,
    /// Services that they name.
    pub services: Arc<Followed<Services>>,
    /// And what is behind these.
    pub slices: Arc<Followed<Slices>>,
    /// As whom all that is read.
    pub account: Account,
    /// What secrets are sealed with.
    pub keys: Arc<Keys>,
    /// Where entries go.
    pub shards: Arc<Shards>,
    /// Who applies them.
    pub replicas: Arc<Replicas>,
    /// Changes that are given a moment to arrive.
    pub grace: Grace,
    /// Whose status may be written now.
    pub passes: Arc<Passes>,
    /// Publishes Kubernetes Events.
    pub teller: Teller,
    /// Whether we still lead.
    pub fence: Fence,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time of day.
    pub clock: fn() -> Timestamp,
}

/// A sink that is there and ours.
pub(crate) struct There {
    pub(crate) name: Realm,
    pub(crate) sink: Arc<EventSink>,
    pub(crate) told: Option<Arc<Told>>,
    pub(crate) delivering: Option<Arc<Finding>>,
}

/// Why something is not as it should be.
pub(crate) type Fault = (Reason, String);

/// What became of a sink.
pub(crate) struct Applied {
    /// Whether the spec is taken.
    pub(crate) accepted: Result<(), Fault>,
    /// Whether what it refers to is there.
    pub(crate) resolved: Result<(), Fault>,
}

/// What a sink refers to, where it is there.
struct Refs {
    secrets: Vec<core::secret::Secret>,
    service: Option<::core::net::SocketAddr>,
}

/// A sink's turn.
pub async fn turn(name: Realm, context: Arc<Context>) -> Next {
    context.metrics.reconciles.inc();
    let next = match reconcile(&name, &context).await {
        Ok(next) => next,
        Err(error) => error_policy(&name, &error, &context),
    };
    context.passes.offer();
    next
}

async fn reconcile(name: &Realm, context: &Context) -> Result<Next, Error> {
    let watched = &context.watched;
    if !watched.is_empty() && !watched.iter().any(|of| of == name.namespace()) {
        return Ok(Next::Wait);
    }
    let found = context.known.find(name);
    let ours = found.filter(|entry| entry.sink.spec.class_name == context.class);
    let Some(Entry {
        sink,
        told,
        delivering,
    }) = ours
    else {
        return gone(name, context).await;
    };
    if sink.annotations().contains_key(PAUSED) {
        // Its spec is left alone; whom it may deliver to is not.
        guard(&sink, name, false, context)?;
        return Ok(Next::Wait);
    }
    let there = There {
        name: name.clone(),
        sink,
        told,
        delivering,
    };
    let since = since(&there, context).await?;
    let Some(applied) = apply(&there, since, context)? else {
        // Named once it is known.
        return Ok(Next::Wait);
    };
    report::report(&there, applied, context).await
}

/// Since when a sink's namespace is there. Of an object that has an entry that is
/// known; otherwise the API server is asked, since a watch may still tell of a
/// former namespace.
async fn since(there: &There, context: &Context) -> Result<i64, Error> {
    let served = context
        .shards
        .sink(&there.name)
        .and_then(|sink| sink.cluster);
    let uid = there.sink.metadata.uid.as_deref();
    if let Some(served) = served.filter(|served| Some(served.uid.as_str()) == uid) {
        return Ok(served.since);
    }
    let api: Api<Namespace> = Api::all(context.client.clone());
    let namespace = api.get_metadata(there.name.namespace());
    let created = within("Namespace", namespace)
        .await?
        .metadata
        .creation_timestamp;
    created
        .map(|created| created.0.as_second())
        .ok_or(Error::NotYet("since when the namespace is there"))
}

/// Decides what becomes of a sink, and has it written; nothing while something
/// that it refers to is not known yet.
fn apply(there: &There, since: i64, context: &Context) -> Result<Option<Applied>, Error> {
    let rejected = |fault: Fault| {
        let suspends = there.sink.spec.suspend;
        let guarded = guard(&there.sink, &there.name, suspends, context)?;
        Ok(guarded.map(|resolved| Applied {
            accepted: Err(fault),
            resolved,
        }))
    };
    let spec = &there.sink.spec;
    let url: Endpoint = match spec.url.parse() {
        Ok(url) => url,
        Err(error) => return rejected((Reason::Invalid, format!("spec.url: {error}"))),
    };
    let led = leads(&url, &there.name, &context.cluster_domain);
    if led == Leads::Nowhere {
        let message = "spec.url names something of the cluster that is no Service of this namespace: use <service>.<namespace>.svc of its own, or a receiver outside";
        return rejected((Reason::UrlNotAllowed, message.to_owned()));
    }
    let has_entry = context.shards.sink(&there.name).is_some();
    if !has_entry && context.shards.sinks() >= SINKS_MAX {
        let message = format!("this installation delivers to {SINKS_MAX} sinks, and has as many");
        return rejected((Reason::TooManySinks, message));
    }
    let names: Vec<&str> = spec.secret_refs.iter().map(|r| r.name.as_str()).collect();
    let Some(refs) = refs(&there.name, led, url.port(), &names, context) else {
        return Ok(None);
    };
    // What the spec refers to is followed by now, and nothing else: where what is
    // served refers to something else, it rests.
    let late = |fault: Fault| {
        let served = context.shards.sink(&there.name);
        let is_other = |served: &core::Sink| served.secrets != names || served.url != url;
        if let Some(served) = served.filter(is_other) {
            put_at_rest(served, context)?;
            return Ok(Some(Applied {
                accepted: Err(fault),
                resolved: Ok(()),
            }));
        }
        rejected(fault)
    };
    let keyring = context.keys.get().ok_or(Error::NotYet("the keyring"))?;
    match entry(there, since, refs.as_ref().ok(), &keyring) {
        Ok(entry) => match context.shards.put_sink(&entry) {
            Ok(()) => Ok(Some(Applied {
                accepted: Ok(()),
                resolved: refs.map(drop),
            })),
            Err(full) => late((Reason::ConfigFull, full.to_string())),
        },
        Err(error @ EntryError::TooLong { .. }) => {
            late((Reason::ConfigTooLarge, error.to_string()))
        }
        Err(error @ EntryError::Field { .. }) => late((Reason::Invalid, error.to_string())),
    }
}

/// Looks at what is served of a sink whose spec is not taken: it goes on only with
/// Secrets and a Service that are there, and not once its owner has suspended it.
/// Says what of that is missing; nothing while it is not known yet.
fn guard(
    sink: &EventSink,
    name: &Realm,
    suspends: bool,
    context: &Context,
) -> Result<Option<Result<(), Fault>>, Error> {
    let Some(mut served) = context.shards.sink(name) else {
        return Ok(Some(Ok(())));
    };
    let uid = served.cluster.as_ref().map(|cluster| cluster.uid.as_str());
    if uid != sink.metadata.uid.as_deref() {
        // It is of another that had the name.
        put_at_rest(served, context)?;
        return Ok(Some(Ok(())));
    }
    let led = leads(&served.url, name, &context.cluster_domain);
    let names: Vec<&str> = served.secrets.iter().map(String::as_str).collect();
    let Some(refs) = refs(name, led, served.url.port(), &names, context) else {
        return Ok(None);
    };
    let keyring = context.keys.get().ok_or(Error::NotYet("the keyring"))?;
    served.suspend |= suspends;
    if let Some(cluster) = &mut served.cluster {
        let found = refs.as_ref().ok();
        cluster.sealed = sealed(name, &cluster.uid, found, &keyring);
        cluster.service = found.and_then(|refs| refs.service);
    }
    if context.shards.put_sink(&served).is_err() {
        // With less it has the room that it had.
        put_at_rest(served, context)?;
    }
    Ok(Some(refs.map(drop)))
}

/// Nothing more is delivered by this entry; its events wait.
fn put_at_rest(mut served: core::Sink, context: &Context) -> Result<(), Error> {
    if let Some(cluster) = &mut served.cluster {
        (cluster.sealed, cluster.service) = (None, None);
    }
    let put = context.shards.put_sink(&served);
    put.map_err(|_| Error::NotYet("room for a sink that rests"))
}

/// What a sink refers to, or what of it is missing; nothing where that is not
/// known yet.
fn refs(
    name: &Realm,
    led: Leads<'_>,
    port: u16,
    secrets: &[&str],
    context: &Context,
) -> Option<Result<Refs, Fault>> {
    let named: &[&str] = match &led {
        Leads::Service(service) => &[service],
        Leads::Outside | Leads::Nowhere => &[],
    };
    let seen = context.secrets.refers(name, secrets);
    let services = context.services.refers(name, named);
    let slices = context.slices.refers(name, named);
    let unknown = seen.contains(&Seen::NotYet)
        || services.contains(&Seen::NotYet)
        || slices.contains(&Seen::NotYet);
    if unknown {
        return None;
    }
    let secrets = secret::resolve(name, secrets, &seen, &context.account);
    let service = match (led, services.first(), slices.first()) {
        (Leads::Service(of), Some(service), Some(slices)) => {
            service::resolve(of, port, service, slices).map(Some)
        }
        _ => Ok(None),
    };
    Some(secrets.and_then(|secrets| {
        Ok(Refs {
            secrets,
            service: service?,
        })
    }))
}

/// The entry of a sink, which rests where what it refers to is missing. Pure.
fn entry(
    there: &There,
    since: i64,
    refs: Option<&Refs>,
    keyring: &Keyring,
) -> Result<core::Sink, EntryError> {
    let uid = there.sink.metadata.uid.clone().unwrap_or_default();
    let cluster = InCluster {
        sealed: sealed(&there.name, &uid, refs, keyring),
        service: refs.and_then(|refs| refs.service),
        since,
        uid,
    };
    sink_entry(&there.sink, Some(cluster))
}

/// Its secrets, for replicas alone. The schema has 1 to 4: sealing takes as many.
fn sealed(name: &Realm, uid: &str, refs: Option<&Refs>, keyring: &Keyring) -> Option<Sealed> {
    Sealed::seal(keyring, name, uid, &refs?.secrets).ok()
}

/// A sink that is not there, or another install's: nothing more is delivered, once
/// the API server says the same.
async fn gone(name: &Realm, context: &Context) -> Result<Next, Error> {
    let subject = Subject::Sink(name.clone());
    if context.shards.sink(name).is_some() {
        let api: Api<EventSink> = Api::namespaced(context.client.clone(), name.namespace());
        match within("EventSink", api.get(name.name())).await {
            Ok(sink) if sink.spec.class_name == context.class => {
                // The watch lags behind.
                context.known.sink(sink);
                return Err(Error::NotYet("a sink that the watch does not know"));
            }
            Ok(_) => {}
            // Without their definition all of them are "not found".
            Err(Error::NotFound { .. }) if is_defined(context).await? => {}
            Err(Error::NotFound { .. }) => {
                return Err(Error::NotYet("the definition of EventSink"));
            }
            Err(error) => return Err(error),
        }
        tracing::info!(sink = %name, "an event sink is gone: nothing more is delivered to it");
        context.shards.remove(&subject);
        context.known.name_turned_away();
    }
    context.secrets.refers(name, &[]);
    context.services.refers(name, &[]);
    context.slices.refers(name, &[]);
    context.grace.over(&subject);
    Ok(Next::Wait)
}

async fn is_defined(context: &Context) -> Result<bool, Error> {
    let api: Api<CustomResourceDefinition> = Api::all(context.client.clone());
    let definition = within("CustomResourceDefinition", api.get_opt(DEFINITION)).await?;
    Ok(definition.is_some_and(|definition| definition.metadata.deletion_timestamp.is_none()))
}

/// Has all sinks sealed anew whenever the keyring changes: under the key that is
/// active now, long before the former one could be revoked. Never returns.
pub async fn reseal(keys: Arc<Keys>, shards: Arc<Shards>, inbox: Arc<Inbox>) {
    let mut keyring = keys.follow();
    // An error says that the sender is gone, and with it the term.
    while keyring.changed().await.is_ok() {
        let sinks = shards.subjects().into_iter();
        inbox.extend(sinks.filter(|subject| matches!(subject, Subject::Sink(_))));
    }
    std::future::pending().await
}

/// Everything is tried again, later and later.
fn error_policy(name: &Realm, error: &Error, context: &Context) -> Next {
    context.metrics.failed(error.category());
    match error.category() {
        Category::Conflict | Category::Waiting => {
            tracing::debug!(sink = %name, %error, "a turn is repeated");
        }
        Category::Forbidden | Category::Server | Category::Invalid => {
            tracing::warn!(sink = %name, error = %crate::watch::chain(error), "a turn failed and is repeated");
        }
    }
    Next::Retry
}
