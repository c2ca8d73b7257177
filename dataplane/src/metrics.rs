//! What is counted. Labels come from fixed sets; nothing personal is one.

use std::fmt::Write as _;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::cluster::callers::ReviewMetrics;
use crate::config::ConfigMetrics;
use crate::deliver::DeliverMetrics;
use crate::postgres::PostgresMetrics;
use crate::serve::tls::TlsMetrics;
use crate::store::SettleMetrics;
use crate::store::journal::JournalMetrics;
use crate::{api, serve};

/// All counters and gauges of the program, and their registry. Every counter
/// is resolved beforehand: counting one is an atomic addition.
pub struct Metrics {
    registry: Registry,
    /// Answers whose event was not on disk within the bounded wait.
    pub events_deferred: Counter,
    /// Events that could not be kept, since start.
    pub events_not_kept: Counter,
    /// 1 where some of who has withdrawn is lost, so that nothing is recorded of
    /// readers who are named.
    pub withdrawals_incomplete: Gauge,
    /// What the API counts.
    pub api: api::Counts,
    /// What the public listener counts.
    pub serve: serve::Counts,
    /// What is counted of the public listener's certificates.
    pub tls: TlsMetrics,
    /// What is counted of reviews of callers, in a cluster.
    pub reviews: ReviewMetrics,
    /// What is counted of configuration.
    pub config: ConfigMetrics,
    /// What is counted of deliveries to sinks.
    pub deliver: DeliverMetrics,
    /// What the journal of settled events and message records counts.
    pub journal: JournalMetrics,
    /// What the journal of hits counts.
    pub hits: JournalMetrics,
    /// What is counted of settling.
    pub settle: SettleMetrics,
    /// What is counted of the database, where there is one.
    pub postgres: PostgresMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("mailtrail");
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let events_deferred = counter(
            "events_deferred",
            "Answers whose event was not on disk within the bounded wait",
        );
        let events_not_kept = counter("events_not_kept", "Events that could not be kept");
        let withdrawals_incomplete = Gauge::default();
        registry.register(
            "withdrawals_incomplete",
            "1 where withdrawals are lost, so that nothing is recorded of readers who are named",
            withdrawals_incomplete.clone(),
        );
        let hits = JournalMetrics::new(events_not_kept.clone());
        hits.register(registry.sub_registry_with_prefix("hits"));
        // Settled events are tried again until they are kept.
        let journal = JournalMetrics::new(Counter::default());
        journal.register(&mut registry);
        Self {
            events_deferred,
            events_not_kept,
            withdrawals_incomplete,
            tls: TlsMetrics::new(&mut registry),
            reviews: ReviewMetrics::new(&mut registry),
            config: ConfigMetrics::new(&mut registry),
            api: api::Counts::new(&mut registry),
            serve: serve::Counts::new(&mut registry),
            settle: SettleMetrics::new(&mut registry),
            deliver: DeliverMetrics::new(&mut registry),
            postgres: PostgresMetrics::new(&mut registry),
            journal,
            hits,
            registry,
        }
    }

    /// The OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        if encode(&mut text, &self.registry).is_err() {
            // Writing to a String does not fail; an encoder's fault would.
            let _ = writeln!(text, "# EOF");
        }
        text
    }
}
