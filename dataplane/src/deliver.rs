//! Settled events are pushed to sinks: at least once, in order, signed.
//!
//! # Flow
//!
//! A [`worker`] per sink reads what is settled behind its position
//! ([`Outbox`]), makes requests of it ([`format`](format), [`sign`]) and posts
//! them ([`attempt`]) to an address that the [`guard`] let pass. What fails is
//! tried again by the [`schedule`], then kept as a dead letter; [`state`] says
//! what follows from each outcome.
//!
//! # Guarantees
//!
//! - Every event that a sink takes and that settles while it is declared is
//!   delivered at least once, or stands in its dead letters: across crashes, as
//!   long as its domain's retention keeps it. After a crash some are delivered
//!   again; they have the same id.
//! - First attempts of a sink are made one after the other, in the order in
//!   which events settled. Further ones come between them.
//! - A sink whose receiver hangs holds up no other: there is a task for each,
//!   and those that fail share places of their own.
//! - What is erased, or whose reader has withdrawn, is not sent any more: events
//!   are looked up when they are sent, and nothing of them is kept here.
//!
//! # Caveats
//!
//! A receiver must be ready to see an event twice (`webhook-id` tells), and a
//! later one before one that failed. A sink that is new gets what settles from
//! then on; earlier events by a replay. Of a sink that is no longer declared
//! everything is forgotten [`GONE_KEPT`] later.

pub mod attempt;
mod engine;
pub mod format;
pub mod guard;
mod handle;
mod metrics;
pub mod outbox;
pub mod resolve;
mod schedule;
pub mod secrets;
pub mod sign;
pub mod state;
mod tls;
mod told;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Semaphore;

use attempt::Client;
use outbox::Outbox;
use secrets::Secrets;
use state::Rules;

pub use engine::run;
pub use handle::{AskError, Handle, Tested, View};
pub use metrics::DeliverMetrics;
pub use tls::{RootsError, roots};

/// Most sinks that are delivered to; further ones are not, with an error.
pub use mailtrail_core::sink::SINKS_MAX;
/// Attempts at once to receivers that answer as they should.
const SWIFT_AT_ONCE: usize = 256;
/// Attempts at once to receivers that failed last: each may take 15 seconds,
/// and all of them together hold up nobody else.
const SLOW_AT_ONCE: usize = 64;
/// How long what is kept of a sink outlives its declaration: a manifest that
/// is gone for a moment costs nothing.
pub const GONE_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What deliveries are made with.
pub struct Parts {
    /// Events and states.
    pub outbox: Arc<dyn Outbox>,
    /// Secrets of sinks.
    pub secrets: Arc<dyn Secrets>,
    /// Makes attempts.
    pub client: Client,
    /// When is tried again, and when not any more.
    pub rules: Rules,
    /// What is counted.
    pub metrics: DeliverMetrics,
    swift: Arc<Semaphore>,
    slow: Arc<Semaphore>,
}

impl Parts {
    /// With the usual bounds.
    pub fn new(
        outbox: Arc<dyn Outbox>,
        secrets: Arc<dyn Secrets>,
        client: Client,
        metrics: DeliverMetrics,
    ) -> Self {
        Self {
            outbox,
            secrets,
            client,
            rules: Rules::default(),
            metrics,
            swift: Arc::new(Semaphore::new(SWIFT_AT_ONCE)),
            slow: Arc::new(Semaphore::new(SLOW_AT_ONCE)),
        }
    }

    fn now(&self) -> Timestamp {
        (self.client.clock)()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.now().as_millisecond()).unwrap_or(0)
    }
}
