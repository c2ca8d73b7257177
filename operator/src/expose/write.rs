//! Does what was decided of a host's route. Io; decides nothing but what a refusal
//! means.

use std::time::{Duration, Instant};

use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::core::DynamicObject;
use mailtrail_core::id::Host;
use serde_json::{Map, Value, json};

use super::Exposer;
use super::build::{APPLIED, Kind};
use super::decide::{Step, has_drifted, has_more, holds, strays};
use super::outcome::Outcome;
use super::routes::{Ownership, Stood, is_created};
use crate::error::{Error, within};
use crate::object::{self, MANAGER};
use crate::queue::Next;

/// Least time between two writes of one route: who changes it back each time is not
/// answered faster.
const WRITE_AGAIN: Duration = Duration::from_secs(1);
/// How soon a route is looked at again whose claim vanished before what is served.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
const WHAT: &str = "a route";

impl Exposer {
    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource())
    }

    /// Does it; what came of it, and what is next.
    pub(super) async fn carry_out(
        &self,
        host: &Host,
        kind: Kind,
        step: Step,
    ) -> Result<(Outcome, Next), Error> {
        let since = self.routes.written(host).map(|at| at.elapsed());
        let rest = since.and_then(|since| WRITE_AGAIN.checked_sub(since));
        if let (Some(rest), true) = (rest, step.writes()) {
            return Ok((Outcome::Waiting, Next::After(rest)));
        }
        if step.writes() {
            self.fence.check()?;
        }
        match step {
            Step::Rest(outcome) => Ok((outcome, Next::Wait)),
            Step::LookAgain => Ok((Outcome::Waiting, Next::After(LOOK_AGAIN))),
            Step::Create(wanted) => {
                let live = self.create(kind, &wanted).await?;
                Ok(self.written(host, kind, &live, &wanted))
            }
            Step::Apply(wanted, stood) => {
                if has_drifted(&stood.live(), &wanted) {
                    self.metrics.drift.inc();
                    tracing::warn!(%host, kind = kind.as_str(), "a route was changed by somebody else: it is written anew");
                }
                let live = self.apply(host, kind, &wanted, stood).await?;
                Ok(self.written(host, kind, &live, &wanted))
            }
            Step::Delete(stood) => {
                self.delete(host, kind, &stood).await?;
                Ok((Outcome::Waiting, Next::Wait))
            }
        }
    }

    /// What the answer to a write says. Where somebody changes routes as they are
    /// written, as an admission webhook may, that is not tried at once again.
    fn written(
        &self,
        host: &Host,
        kind: Kind,
        live: &DynamicObject,
        wanted: &Value,
    ) -> (Outcome, Next) {
        self.metrics.route_writes.inc();
        self.routes.seen(live);
        let live = serde_json::to_value(live).unwrap_or_default();
        if has_more(&live, wanted) {
            if !holds(&live, wanted) {
                let applied = &wanted["metadata"]["annotations"][APPLIED];
                self.routes.settles(host, applied, &live["spec"]);
            }
            self.routes.writes(host, Instant::now());
            return (Outcome::InPlace, Next::Wait);
        }
        tracing::warn!(%host, kind = kind.as_str(), "a route is changed by somebody while it is written: tried again");
        (Outcome::Refused, Next::Retry)
    }

    /// Made, not applied: an object that is there after all is not overwritten
    /// unseen.
    async fn create(&self, kind: Kind, wanted: &Value) -> Result<DynamicObject, Error> {
        let wanted = parsed(wanted)?;
        let (api, params) = (self.api(kind), object::post());
        within(WHAT, api.create(&params, &wanted)).await
    }

    /// Applied on top of the version that it was decided on.
    async fn apply(
        &self,
        host: &Host,
        kind: Kind,
        wanted: &Value,
        stood: Stood,
    ) -> Result<DynamicObject, Error> {
        let stood = self.as_applied(host, kind, wanted, stood).await?;
        self.fence.check()?;
        let mut wanted = wanted.clone();
        wanted["metadata"]["resourceVersion"] = json!(stood.version);
        wanted["metadata"]["uid"] = json!(stood.uid);
        let params = PatchParams::apply(MANAGER).force();
        let (api, patch) = (self.api(kind), Patch::Apply(&wanted));
        within(WHAT, api.patch(host.as_str(), &params, &patch)).await
    }

    /// What we own of an object that we created stands there as of an update, and an
    /// apply that leaves something out would not take it away. So that we own all of
    /// it by applying, that word is changed among its managers first (as client-go does it
    /// when one changes over to applying). What others own it would not take away
    /// either: of the spec, which is ours alone, their fields go with that.
    async fn as_applied(
        &self,
        host: &Host,
        kind: Kind,
        wanted: &Value,
        stood: Stood,
    ) -> Result<Stood, Error> {
        let live = stood.live();
        let strays: Map<_, _> = strays(&live, wanted)
            .map(|field| (field.clone(), Value::Null))
            .collect();
        if stood.ownership == Ownership::Applied && strays.is_empty() {
            return Ok(stood);
        }
        let api = self.api(kind);
        let mut meta = within(WHAT, api.get_metadata(host.as_str()))
            .await?
            .metadata;
        if meta.resource_version.as_deref() != Some(&*stood.version) {
            return Err(Error::Conflict { what: WHAT });
        }
        let managers = meta.managed_fields.iter_mut().flatten();
        for manager in managers.filter(|manager| is_created(manager)) {
            manager.operation = Some("Apply".to_owned());
        }
        let patch = json!({
            "metadata": {
                "resourceVersion": stood.version,
                "managedFields": meta.managed_fields,
            },
            "spec": strays,
        });
        let (params, patch) = (object::patch(), Patch::Merge(&patch));
        let patched = within(WHAT, api.patch(host.as_str(), &params, &patch)).await?;
        Ok(Stood {
            version: patched.metadata.resource_version.unwrap_or_default(),
            ownership: Ownership::Applied,
            ..stood
        })
    }

    async fn delete(&self, host: &Host, kind: Kind, stood: &Stood) -> Result<(), Error> {
        let params = object::delete(Some(stood.uid.clone()), Some(stood.version.clone()));
        match within(WHAT, self.api(kind).delete(host.as_str(), &params)).await {
            // A garbage collector was first.
            Ok(_) | Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        self.metrics.route_writes.inc();
        self.routes.gone(host, &stood.uid);
        Ok(())
    }
}

fn parsed(wanted: &Value) -> Result<DynamicObject, Error> {
    serde_json::from_value(wanted.clone()).map_err(|source| Error::Invalid {
        what: WHAT,
        message: source.to_string(),
    })
}
