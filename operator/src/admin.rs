//! The admin port: `/live`, `/ready`, `/metrics`. Who may call: anyone who
//! reaches the address (a kubelet, a Prometheus); nothing here is personal or
//! changes anything.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::metrics::Metrics;
use crate::queue::Inbox;
use crate::sink::known::Known;
use crate::watch::Synced;
use crate::world::World;

/// What the admin port answers from.
#[derive(Clone)]
pub struct Context {
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Ready once it has listed what there is, leading or not.
    pub synced: Synced,
    /// What is known.
    pub world: Arc<World>,
    /// The event sinks there are.
    pub sinks: Arc<Known>,
    /// Who waits.
    pub inbox: Arc<Inbox>,
}

/// Answers until it is dropped.
pub async fn serve(listener: tokio::net::TcpListener, context: Context) -> std::io::Result<()> {
    let router = Router::new()
        .route("/live", get(|| async { "live\n" }))
        .route("/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(context);
    axum::serve(listener, router).await
}

async fn ready(State(context): State<Context>) -> (StatusCode, &'static str) {
    if context.synced.is() {
        (StatusCode::OK, "ready\n")
    } else {
        let why = "waiting for the API server\n";
        (StatusCode::SERVICE_UNAVAILABLE, why)
    }
}

async fn metrics(State(context): State<Context>) -> impl IntoResponse {
    const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let (domains, claims) = context.world.counts();
    context.metrics.domains.set(number(domains));
    context.metrics.claims.set(number(claims));
    context.metrics.sinks.set(number(context.sinks.len()));
    context.metrics.queue.set(number(context.inbox.len()));
    (
        [(header::CONTENT_TYPE, OPENMETRICS)],
        context.metrics.encode(),
    )
}
