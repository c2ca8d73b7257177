//! What the statuses of tracking domains and of event sinks have in common:
//! whether replicas serve an entry, how long a change is given to arrive, and how
//! a status is written.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::Patch;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::condition::{self, Finding, Is, Reason, Told, Type};
use crate::error::{Error, within};
use crate::lease::Fence;
use crate::metrics::Metrics;
use crate::object;
use crate::passes::Passes;
use crate::replicas::{Programmed, Replicas};
use crate::shards::{Shards, Standing};
use crate::subject::Subject;
use crate::tell::{Grace, Teller};

/// How often the status of a change that does not arrive is looked at again.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// What statuses are written with.
pub(crate) struct Writer<'a> {
    pub(crate) client: &'a Client,
    pub(crate) passes: &'a Passes,
    pub(crate) teller: &'a Teller,
    pub(crate) fence: &'a Fence,
    pub(crate) metrics: &'a Metrics,
    pub(crate) clock: fn() -> Timestamp,
}

/// What became of a status.
pub(crate) enum Written<K> {
    /// It is this now.
    Now(Box<K>),
    /// It said all that already.
    Already,
    /// Others are before it; it is named when they are done.
    NotYet,
}

/// Whether every ready replica serves the entry of a domain, or a sink.
pub(crate) fn programmed(subject: &Subject, shards: &Shards, replicas: &Replicas) -> Finding {
    let no = |reason, message: String| Finding::is_false(Type::Programmed, reason, message);
    let Standing::Written(state) = shards.standing(subject) else {
        let message = "the configuration is being written";
        return no(Reason::Pending, message.to_owned());
    };
    match replicas.programmed(subject, &state) {
        Programmed::Everywhere => Finding::is_true(
            Type::Programmed,
            Reason::Programmed,
            "every ready replica serves this",
        ),
        Programmed::NoReplicas => no(
            Reason::NoReplicas,
            "no replica of the data plane is ready: see its pods".to_owned(),
        ),
        Programmed::Refused { replica, rule } => no(
            Reason::Refused,
            format!("replica {replica} goes on with what it had: {rule}"),
        ),
        Programmed::Partly { applied, ready } => no(
            Reason::Pending,
            format!("{applied} of {ready} replicas serve this"),
        ),
    }
}

/// How long a change that has not arrived is still given before the status says
/// so; none where it is to be said now. It has arrived when nothing of these is
/// pending.
pub(crate) fn still_given(
    grace: &Grace,
    subject: &Subject,
    generation: Option<i64>,
    of: &[&Finding],
    told: Option<&Told>,
) -> Option<Duration> {
    if of.iter().all(|finding| finding.reason != Reason::Pending) {
        grace.over(subject);
        return None;
    }
    let known = told.and_then(|told| told.find(Type::Programmed));
    let known = known.is_some_and(|known| known.is == Is::True && known.generation == generation);
    grace.left(subject, generation.unwrap_or(0), known, Instant::now())
}

impl Writer<'_> {
    /// Writes the status unless it says all that already, and tells in Kubernetes
    /// Events what has turned.
    pub(crate) async fn write<K, S>(
        &self,
        subject: &Subject,
        object: &K,
        before: Option<&Told>,
        findings: &[Finding],
        status: impl FnOnce(i64, Vec<Condition>) -> S,
    ) -> Result<Written<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
        S: Serialize,
    {
        let generation = object.meta().generation.unwrap_or(0);
        let conditions = condition::conditions(before, generation, findings, (self.clock)());
        if before.is_some_and(|before| before.says(generation, &conditions)) {
            return Ok(Written::Already);
        }
        let Some(_pass) = self.passes.get(subject) else {
            return Ok(Written::NotYet);
        };
        let status = status(generation, conditions);
        let written = self.patch(subject, object, &status).await?;
        for transition in condition::transitions(before, findings) {
            self.teller.tell(object.object_ref(&()), transition);
        }
        Ok(Written::Now(Box::new(written)))
    }

    /// Writes on top of the version that it was decided on.
    async fn patch<K>(
        &self,
        subject: &Subject,
        object: &K,
        status: &impl Serialize,
    ) -> Result<K, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.fence.check()?;
        let metadata = object.meta();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<K> = Api::namespaced(self.client.clone(), namespace);
        let patch = json!({
            "metadata": {"resourceVersion": metadata.resource_version, "uid": metadata.uid},
            "status": status,
        });
        let name = metadata.name.as_deref().unwrap_or_default();
        let (params, patch) = (object::patch(), Patch::Merge(&patch));
        let written = api.patch_status(name, &params, &patch);
        let what = match subject {
            Subject::Domain(_) => "the status of a TrackingDomain",
            Subject::Sink(_) => "the status of an EventSink",
        };
        let written = within(what, written).await?;
        self.metrics.status_writes.inc();
        Ok(written)
    }
}
