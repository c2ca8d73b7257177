//! What is counted where domains come from shards.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Counters and gauges of shards.
#[derive(Debug, Clone, Default)]
pub struct ShardMetrics {
    /// Shards that are applied.
    pub applied: Gauge,
    /// Objects that are no shard that can be read.
    pub unreadable: Gauge,
    /// Entries that are not served as they stand there.
    pub entries_refused: Gauge,
    /// Swaps of what is served, each for the changes of some milliseconds.
    pub changes: Counter,
    /// When the last was, in seconds since 1970.
    pub last_change: Gauge,
    /// Failures to list or watch.
    pub watch_errors: Counter,
}

impl ShardMetrics {
    /// Has them known under `config_…`.
    pub(in crate::config) fn register(self, registry: &mut Registry) {
        let Self {
            applied,
            unreadable,
            entries_refused,
            changes,
            last_change,
            watch_errors,
        } = self;
        registry.register("config_shards", "Shards applied", applied);
        registry.register(
            "config_shards_unreadable",
            "Objects that are no shard that can be read; what was served of them is served",
            unreadable,
        );
        registry.register(
            "config_entries_refused",
            "Entries of shards that are not served as they stand there",
            entries_refused,
        );
        registry.register(
            "config_changes",
            "Swaps of what is served from shards",
            changes,
        );
        registry.register_with_unit(
            "config_last_change_time",
            "When what is served from shards last changed, since 1970",
            Unit::Seconds,
            last_change,
        );
        registry.register(
            "config_watch_errors",
            "Failures to list or watch shards",
            watch_errors,
        );
    }
}
