//! Watches the data plane's pods, and has each asked.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;

use super::ask::Asker;
use super::{Replicas, Seen};
use crate::metrics::Metrics;

/// Name of the container port that is asked, as the chart has it.
const ADMIN_PORT: &str = "admin";
/// How long there may be no ready replica before every status says so: a single
/// replica that restarts would cost two writes per domain.
const NOBODY_FOR: Duration = Duration::from_secs(10);

/// Follows the pods of these labels; never returns.
pub async fn follow(
    api: Api<Pod>,
    labels: String,
    replicas: Arc<Replicas>,
    asker: Asker,
    metrics: Arc<Metrics>,
) {
    let config = watcher::Config::default().labels(&labels).page_size(100);
    let mut events = std::pin::pin!(watch(api, config).backoff(crate::wait::for_watch()));
    let mut asking = Asking {
        tasks: JoinSet::new(),
        by_uid: HashMap::new(),
        asker,
        replicas,
    };
    let mut listed = HashSet::new();
    let mut serving = Serving::Unknown;
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            () = serving.is_told() => {
                asking.replicas.nobody_serves();
                serving = Serving::NobodyTold;
                continue;
            }
        };
        let Some(event) = event else { return };
        match event {
            Ok(Event::Init) => listed.clear(),
            Ok(Event::InitApply(pod)) => {
                listed.extend(pod.metadata.uid.clone());
                asking.take(&pod);
            }
            Ok(Event::InitDone) => {
                for uid in asking.replicas.uids() {
                    if !listed.contains(&uid) {
                        asking.drop_pod(&uid);
                    }
                }
                asking.replicas.all_listed();
            }
            Ok(Event::Apply(pod)) => asking.take(&pod),
            Ok(Event::Delete(pod)) => {
                if let Some(uid) = &pod.metadata.uid {
                    asking.drop_pod(uid);
                }
            }
            Err(error) => {
                metrics.watch_errors.inc();
                tracing::warn!(kind = "Pod", error = %crate::watch::chain(&error), "a watch was interrupted and begins again");
            }
        }
        let (pods, ready) = asking.replicas.counts();
        serving = serving.with(ready);
        metrics
            .replicas
            .set(i64::try_from(pods).unwrap_or(i64::MAX));
        metrics
            .replicas_ready
            .set(i64::try_from(ready).unwrap_or(i64::MAX));
    }
}

/// Whether any replica is ready, and whether all domains are told that none is.
#[derive(Debug, Clone, Copy)]
enum Serving {
    /// Nothing is known yet.
    Unknown,
    /// Some are.
    Some,
    /// None is, since then.
    NobodySince(Instant),
    /// None is, and all domains are told.
    NobodyTold,
}

impl Serving {
    fn with(self, ready: usize) -> Self {
        match self {
            _ if ready > 0 => Self::Some,
            Self::Unknown | Self::Some => Self::NobodySince(Instant::now()),
            nobody => nobody,
        }
    }

    /// Returns when it is time to tell.
    async fn is_told(self) {
        match self {
            Self::NobodySince(since) => tokio::time::sleep_until(since + NOBODY_FOR).await,
            Self::Unknown | Self::Some | Self::NobodyTold => std::future::pending().await,
        }
    }
}

/// A task per pod.
struct Asking {
    tasks: JoinSet<()>,
    by_uid: HashMap<String, AbortHandle>,
    asker: Asker,
    replicas: Arc<Replicas>,
}

impl Asking {
    fn take(&mut self, pod: &Pod) {
        let Some(uid) = pod.metadata.uid.clone() else {
            return;
        };
        if is_leaving(pod) {
            return self.drop_pod(&uid);
        }
        if self.replicas.seen(&uid, seen(pod)) {
            let task = self.tasks.spawn(self.asker.clone().run(uid.clone()));
            self.by_uid.insert(uid, task);
        }
    }

    fn drop_pod(&mut self, uid: &str) {
        if let Some(task) = self.by_uid.remove(uid) {
            task.abort();
        }
        self.replicas.gone(uid);
    }
}

/// Whether a pod will not serve any more: it is being deleted, or has ended.
fn is_leaving(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    pod.metadata.deletion_timestamp.is_some() || matches!(phase, Some("Succeeded" | "Failed"))
}

fn seen(pod: &Pod) -> Seen {
    let status = pod.status.as_ref();
    let address = status.and_then(|status| status.pod_ip.as_deref()?.parse::<IpAddr>().ok());
    let admin = address.zip(admin_port(pod)).map(SocketAddr::from);
    let conditions = status.and_then(|status| status.conditions.as_deref());
    let ready = conditions
        .unwrap_or_default()
        .iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    Seen {
        name: pod.metadata.name.clone().unwrap_or_default(),
        admin,
        ready,
    }
}

fn admin_port(pod: &Pod) -> Option<u16> {
    let containers = pod.spec.as_ref()?.containers.iter();
    let mut ports = containers.flat_map(|container| container.ports.iter().flatten());
    let port = ports.find(|port| port.name.as_deref() == Some(ADMIN_PORT))?;
    port.container_port.try_into().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(spec: serde_json::Value, status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p", "uid": "1"}, "spec": spec, "status": status,
        }))
        .expect("a pod")
    }

    #[test]
    fn a_pod_is_asked_on_its_admin_port() {
        let spec = json!({"containers": [
            {"name": "other"},
            {"name": "dataplane", "ports": [{"name": "public", "containerPort": 8080}, {"name": "admin", "containerPort": 9090}]},
        ]});
        let status =
            json!({"podIP": "10.0.0.7", "conditions": [{"type": "Ready", "status": "True"}]});
        let seen = seen(&pod(spec, status));
        assert!(seen.ready);
        assert_eq!(
            seen.admin,
            Some("10.0.0.7:9090".parse().expect("an address"))
        );
    }

    #[test]
    fn a_pod_without_address_or_readiness_is_there_all_the_same() {
        let seen = seen(&pod(json!({"containers": []}), json!({"phase": "Pending"})));
        assert!(!seen.ready && seen.admin.is_none());
        assert!(is_leaving(&pod(
            json!({"containers": []}),
            json!({"phase": "Failed"})
        )));
    }
}
