//! Watches the routes that stand in the install's namespace: what somebody else
//! changes is changed back. Where the cluster does not know the kind that is said,
//! and looked for again, later and later.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use kube::Api;
use kube::core::{DeserializeGuard, DynamicObject, ObjectMeta};
use kube::runtime::watcher;
use tokio::sync::Notify;

use super::Exposer;
use super::build::Kind;
use super::routes::{Routes, Sight};
use crate::error::{Error, within};
use crate::wait::{doubled, spread};
use crate::watch::{self, Named, Sink};

/// First wait where the kind is not known.
const AGAIN_FIRST: Duration = Duration::from_secs(1);
/// Longest wait: how late it is noticed that it is.
const AGAIN_LONGEST: Duration = Duration::from_secs(60);

impl Exposer {
    /// Never returns.
    pub(super) async fn watch(self, kind: Kind) {
        let resource = kind.resource();
        loop {
            self.until_served(kind).await;
            let api: Api<DeserializeGuard<DynamicObject>> =
                Api::namespaced_with(self.client.clone(), &self.namespace, &resource);
            let lost = Arc::new(Notify::new());
            let to = Standing {
                routes: Arc::clone(&self.routes),
                lost: Arc::clone(&lost),
            };
            let listed = || self.routes.sees(Sight::Clear);
            tokio::select! {
                () = watch::follow(api, to, listed, Arc::clone(&self.metrics)) => {}
                () = lost.notified() => {}
            }
            // What kinds there are is told a moment later than it changes.
            tokio::time::sleep(AGAIN_FIRST).await;
        }
    }

    /// Waits until the cluster knows a kind. Everything else goes on meanwhile.
    async fn until_served(&self, kind: Kind) {
        let mut told = false;
        for tries in 0.. {
            match self.is_served(kind).await {
                Ok(true) => return,
                Ok(false) => {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!(
                            kind = kind.as_str(),
                            api = kind.api_version(),
                            "the cluster does not know the kind that hosts are to get out by: install its definitions; it is looked for again"
                        );
                    }
                    self.routes.sees(Sight::NoSuchKind);
                }
                // The watch tells what we may.
                Err(Error::Forbidden { .. }) => return,
                Err(error) => {
                    tracing::warn!(%error, "it is not known whether the cluster knows a kind")
                }
            }
            tokio::time::sleep(spread(doubled(AGAIN_FIRST, AGAIN_LONGEST, tries))).await;
        }
    }

    /// Whether the cluster knows a kind: anybody may ask that.
    async fn is_served(&self, kind: Kind) -> Result<bool, Error> {
        let listed = self.client.list_api_group_resources(kind.api_version());
        match within("the kinds of an API group", listed).await {
            Ok(list) => {
                let plural = kind.resource().plural;
                Ok(list.resources.iter().any(|known| known.name == plural))
            }
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The routes that stand.
struct Standing {
    routes: Arc<Routes>,
    lost: Arc<Notify>,
}

impl Sink<DynamicObject> for Standing {
    type Key = Named;
    const WHAT: &'static str = "Ingress or HTTPRoute";

    fn key(meta: &ObjectMeta) -> Option<Self::Key> {
        watch::named(meta)
    }

    fn apply(&self, object: DynamicObject) {
        self.routes.seen(&object);
    }

    fn interrupted(&self, error: &watcher::Error) {
        match code(error) {
            // Its definition went; what follows is not the watch's matter.
            Some(404) => self.lost.notify_one(),
            Some(401 | 403) => self.routes.sees(Sight::Forbidden),
            _ => {}
        }
    }

    fn gone(&self, (name, uid): &Self::Key) {
        if let Ok(host) = name.parse() {
            self.routes.gone(&host, uid);
        }
    }

    fn known(&self) -> HashSet<Self::Key> {
        self.routes.all_standing()
    }
}

fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => Some(status.code),
        watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
