//! The admin port: `/live`, `/ready`, `/metrics`, `/config`. Who may call:
//! anyone who reaches the address (a kubelet, a Prometheus); `/config` from a
//! loopback address, or with a question signed by the operator ([`ack`]).

mod ack;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use axum::extract::{ConnectInfo, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use mailtrail_core::keyring::KeyState;
use serde::Serialize;

use crate::config::{ConfigStatus, Live};
use crate::deliver;
use crate::metrics::Metrics;

pub use ack::Acks;

/// Whether this process should be sent requests: a latch that opens once and
/// closes once.
#[derive(Debug, Default)]
pub struct Readiness {
    state: AtomicU8,
    /// What is waited for, in words; empty where nothing can be said.
    waits_for: ArcSwap<String>,
}

const STARTING: u8 = 0;
const READY: u8 = 1;
const STOPPING: u8 = 2;

/// What the admin port answers from.
#[derive(Clone)]
pub struct Context {
    /// Domains and keys, once there are keys.
    pub live: Arc<OnceLock<Arc<Live>>>,
    /// Who may ask what is applied, and how many at once.
    pub acks: Arc<Acks>,
    /// How deliveries to sinks stand.
    pub sinks: deliver::Handle,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Ready or not.
    pub readiness: Arc<Readiness>,
    /// The file of the rules for verdicts; the shipped ones where there is none.
    pub rules_file: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AppliedConfig {
    keys: Vec<AppliedKey>,
    rules_file: Option<String>,
    #[serde(flatten)]
    config: ConfigStatus,
}

#[derive(Serialize)]
struct AppliedKey {
    id: String,
    state: KeyState,
}

// === Readiness ===

impl Readiness {
    /// Configuration, keys and listeners are there.
    pub fn ready(&self) {
        let _ = self
            .state
            .compare_exchange(STARTING, READY, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// A stop was asked for; never ready again.
    pub fn stopping(&self) {
        self.state.store(STOPPING, Ordering::Relaxed);
    }

    /// Says what is waited for until then, such as `waiting for the keyring`.
    pub fn waits_for(&self, what: String) {
        self.waits_for.store(Arc::new(what));
    }
}

// === Serving ===

/// Answers until it is dropped.
pub async fn serve(listener: tokio::net::TcpListener, context: Context) -> std::io::Result<()> {
    let router = Router::new()
        .route("/live", get(live))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .route("/config", get(config).post(ack::ask))
        .with_state(context)
        .into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, router).await
}

async fn live() -> &'static str {
    "live\n"
}

async fn ready(State(context): State<Context>) -> (StatusCode, String) {
    let not_yet = StatusCode::SERVICE_UNAVAILABLE;
    match context.readiness.state.load(Ordering::Relaxed) {
        READY => (StatusCode::OK, "ready\n".to_owned()),
        STOPPING => (not_yet, "stopping\n".to_owned()),
        _ => match context.readiness.waits_for.load().as_str() {
            "" => (not_yet, "starting\n".to_owned()),
            what => (not_yet, format!("{what}\n")),
        },
    }
}

async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        context.metrics.encode(),
    )
}

async fn config(
    State(context): State<Context>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
) -> Response {
    if !peer.ip().to_canonical().is_loopback() {
        const WHY: &str = "the configuration is shown to loopback addresses only\n";
        return (StatusCode::FORBIDDEN, WHY).into_response();
    }
    let Some(live) = context.live.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    };
    let keys = live.keys();
    let keys = keys.keyring().states();
    let applied = AppliedConfig {
        keys: keys
            .map(|(id, state)| AppliedKey {
                id: id.to_string(),
                state,
            })
            .collect(),
        rules_file: context.rules_file,
        config: live.status(),
    };
    const NO_STORE: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
    ([NO_STORE], Json(applied)).into_response()
}
