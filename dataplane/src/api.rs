//! The in-cluster API: mails in and out, events read, on a port of its own.
//!
//! | operation | who may | what |
//! |---|---|---|
//! | `POST /v1/rewrite` | [`Verb::Rewrite`] | a mail as JSON, or its HTML as it is |
//! | `GET /v1/domains` | [`Verb::Read`] | the tracking domains that the caller may read |
//! | `GET /v1/domains/{namespace}/{name}` | [`Verb::Read`] | one of them |
//! | `GET …/events` | [`Verb::Read`] | who opened and clicked, oldest first |
//! | `POST …/events/query` | [`Verb::Read`] | the same, asked in a body, where a reader may be named |
//! | `GET …/messages`, `POST …/messages/query` | [`Verb::Read`] | mails that were rewritten, newest first |
//! | `GET …/messages/{message_id}`, `POST …/messages/{message_id}/query` | [`Verb::Read`] | what became of one, of one reader's |
//! | `GET …/stats` | [`Verb::Read`] | how many were sent, opened, clicked in each hour |
//! | `GET …/events/download` | [`Verb::Read`] | all of them, as lines of JSON or CSV |
//! | `POST …/recipients/export` | [`Verb::Export`] | all that is held of one |
//! | `POST …/recipients/withdraw` | [`Verb::Withdraw`] | nothing more is recorded of one |
//! | `POST …/recipients/erase` | [`Verb::Erase`] | all that is held of one goes |
//! | `POST …/resolve` | [`Verb::Read`] | what a tracking URL says |
//! | `GET /v1/sinks/{namespace}/{name}`, `GET …/dead-letters` | [`Verb::ReadSink`] | how an event sink stands, what was given up |
//! | `POST …/replays`, `POST …/test`, `POST …/resume` | [`Verb::Push`] | has a sink delivered to |
//! | `GET /openapi.json`, `GET /docs` | anybody | the description of all this |
//!
//! A request passes [`gate`] (bounds, caller), then its handler; a handler
//! authorises as soon as it knows the domain. The handlers describe themselves
//! ([`openapi`]); every refusal is a [`problem`]. axum and utoipa are used in
//! this room and nowhere else.

use std::sync::Arc;

use axum::Router;
use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::config::Live;
use crate::deliver::Handle;
use crate::metrics::Metrics;
use crate::store::Store;

mod asked;
pub mod auth;
mod bare;
mod body;
mod counts;
mod docs;
mod domains;
mod download;
mod events;
mod examples;
mod fields;
mod gate;
mod listen;
mod messages;
pub mod openapi;
mod pages;
mod plan;
mod problem;
mod query;
mod recipients;
mod request;
mod resolve;
mod rewrite;
mod schema;
mod scope;
pub mod settings;
mod sinks;
mod stats;
mod stream;
mod times;

pub use auth::{Authorizer, Caller, Denied, Verb};
pub use counts::Counts;
pub use listen::serve;
pub use settings::Settings;

/// The time, as an argument.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Everything the API answers from.
#[derive(Clone)]
pub struct Context {
    /// Domains and keys.
    pub live: Arc<Live>,
    /// Events and message records.
    pub store: Store,
    /// Deliveries to event sinks.
    pub sinks: Handle,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// Port of the public listener, for the URLs of hosts under `.localhost`.
    pub local_port: u16,
    /// The time.
    pub clock: Clock,
    /// Who may what.
    pub authorizer: Arc<dyn Authorizer>,
    /// The bounds.
    pub settings: Settings,
}

/// The context, and what is left of its bounds.
struct Shared {
    context: Context,
    /// Requests that may still begin.
    requests: Arc<Semaphore>,
    /// Bytes of bodies that may still be held.
    body_bytes: Arc<Semaphore>,
    /// Rewrites that may still run at once.
    rewrites: Arc<Semaphore>,
    /// `/openapi.json`, printed.
    openapi: String,
    /// `/docs`, printed.
    docs: docs::Page,
}

type App = Arc<Shared>;

/// The API as a service; [`serve`] puts it on a port.
pub fn router(mut context: Context) -> Router {
    context.store = context.store.local();
    let (router, document) = openapi::routes().split_for_parts();
    let Settings {
        requests_max,
        bodies_max_bytes,
        rewrites_max,
        ..
    } = context.settings;
    let shared = Arc::new(Shared {
        requests: Arc::new(Semaphore::new(requests_max)),
        body_bytes: Arc::new(Semaphore::new(bodies_max_bytes)),
        rewrites: Arc::new(Semaphore::new(rewrites_max)),
        docs: docs::page(&document),
        openapi: openapi::print(&document),
        context,
    });
    router
        .route("/docs", axum::routing::get(docs::show))
        // A message may be called what a path beside it is.
        .route(messages::NAMED_QUERY, axum::routing::get(messages::show))
        .fallback(problem::unknown_route)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(axum::middleware::from_fn_with_state(
            Arc::clone(&shared),
            gate::pass,
        ))
        .with_state(shared)
}
