//! Removes what another mode has made: an Ingress once the HTTPRoute of its host
//! stands, or the other way round; all of both where nothing is made any more.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use kube::Api;
use kube::api::ListParams;
use kube::core::{DynamicObject, ObjectMeta};
use mailtrail_core::id::Host;

use super::Exposer;
use super::build::{CLASS, Kind};
use crate::error::{Error, within};
use crate::object;
use crate::wait::{doubled, spread};

/// Objects per page of a list.
const PAGE: u32 = 250;
/// Deletions at a time.
const CONCURRENCY: usize = 4;
/// First wait while something is left.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest wait.
const AGAIN_LONGEST: Duration = Duration::from_secs(60);
const WHAT: &str = "a route of another mode";

impl Exposer {
    /// Looks until nothing is left, later and later; then it is done for this term.
    pub(super) async fn sweep(self) {
        let made = self.exposure.kind();
        let others = Kind::ALL.into_iter().filter(|kind| Some(*kind) != made);
        let sweeps = others.map(|kind| self.sweep_kind(kind));
        futures_util::future::join_all(sweeps).await;
    }

    async fn sweep_kind(&self, kind: Kind) {
        for tries in 0.. {
            match self.sweep_once(kind).await {
                Ok(0) => return,
                Ok(left) => {
                    tracing::debug!(
                        kind = kind.as_str(),
                        left,
                        "routes of another mode are left"
                    );
                }
                Err(error) => {
                    self.metrics.failed(error.category());
                    tracing::warn!(kind = kind.as_str(), %error, "routes of another mode could not be removed: tried again");
                }
            }
            tokio::time::sleep(spread(doubled(AGAIN_FIRST, AGAIN_LONGEST, tries))).await;
        }
    }

    /// How many are left.
    async fn sweep_once(&self, kind: Kind) -> Result<usize, Error> {
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &self.namespace, &kind.resource());
        let labels = format!("{CLASS}={}", self.class);
        let mut params = ListParams::default().labels(&labels).limit(PAGE);
        let mut left = 0;
        loop {
            let page = match within(WHAT, api.list_metadata(&params)).await {
                // The cluster does not know the kind: there are none.
                Err(Error::NotFound { .. }) => return Ok(left),
                page => page?,
            };
            let (more, objects) = (page.metadata.continue_, page.items.into_iter());
            let deletions = objects.map(|object| self.give_up(&api, object.metadata));
            let mut deletions = stream::iter(deletions).buffer_unordered(CONCURRENCY);
            while let Some(gone) = deletions.next().await {
                left += usize::from(!gone?);
            }
            match more {
                Some(more) if !more.is_empty() => params = params.continue_token(&more),
                _ => return Ok(left),
            }
        }
    }

    /// Deletes one unless its host would have no route then; whether it is gone.
    async fn give_up(&self, api: &Api<DynamicObject>, meta: ObjectMeta) -> Result<bool, Error> {
        let name = meta.name.as_deref().unwrap_or_default();
        if !self.may_go(name) {
            return Ok(false);
        }
        self.fence.check()?;
        let params = object::delete(meta.uid, meta.resource_version);
        match within(WHAT, api.delete(name, &params)).await {
            Ok(_) => {
                self.metrics.route_writes.inc();
                Ok(true)
            }
            Err(Error::NotFound { .. }) => Ok(true),
            // It changed meanwhile: looked at again.
            Err(Error::Conflict { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn may_go(&self, name: &str) -> bool {
        if self.exposure.kind().is_none() {
            return true;
        }
        name.parse::<Host>().map_or(true, |host| {
            self.routes.is_in_place(&host) || self.world.claim_of(&host).is_none()
        })
    }
}
