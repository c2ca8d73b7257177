//! What is counted of the database.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::fault::{Fault, FaultKind};

/// Counters of the database; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct PostgresMetrics {
    /// 1 while records can be shipped.
    pub connected: Gauge,
    /// Records that are kept here and not shipped yet.
    pub lag_records: Gauge,
    /// How long ago the oldest of them happened, in seconds.
    pub lag_seconds: Gauge<f64, AtomicU64>,
    /// Bytes of both journals.
    pub spool_bytes: Gauge,
    /// Hits that were shipped.
    pub hits: Counter,
    /// Message records that were shipped.
    pub messages: Counter,
    /// Records that were left out: their reader has withdrawn since.
    pub withheld: Counter,
    /// Records that the database does not take, or that cannot be read.
    pub refused: Counter,
    /// 1 while this replica is the one that settles.
    pub settles: Gauge,
    faults: [Counter; FaultKind::NAMES.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

impl PostgresMetrics {
    /// All at zero, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("postgres");
        let faults = Family::<KindLabel, Counter>::default();
        let metrics = Self {
            faults: FaultKind::NAMES.map(|(kind, _)| {
                let counter = faults.get_or_create(&KindLabel { kind });
                counter.clone()
            }),
            ..Self::default()
        };
        registry.register(
            "faults",
            "How often the database did not do what was asked, which is tried again",
            faults,
        );
        metrics.register_gauges(registry);
        metrics.register_counters(registry);
        metrics
    }

    fn register_gauges(&self, registry: &mut Registry) {
        for (name, help, gauge) in [
            (
                "connected",
                "1 while records can be shipped",
                &self.connected,
            ),
            (
                "lag_records",
                "Records that are kept here and not shipped yet",
                &self.lag_records,
            ),
            ("spool_bytes", "Bytes of both journals", &self.spool_bytes),
            (
                "settles",
                "1 while this replica is the one that settles hits of all",
                &self.settles,
            ),
        ] {
            registry.register(name, help, gauge.clone());
        }
        registry.register(
            "lag_seconds",
            "Age of the oldest record that is not shipped yet",
            self.lag_seconds.clone(),
        );
    }

    fn register_counters(&self, registry: &mut Registry) {
        for (name, help, counter) in [
            ("hits_shipped", "Hits that were shipped", &self.hits),
            (
                "messages_shipped",
                "Message records that were shipped",
                &self.messages,
            ),
            (
                "records_withheld",
                "Records that were not shipped, because their reader has withdrawn since",
                &self.withheld,
            ),
            (
                "records_refused",
                "Records that the database does not take, or that cannot be read: they are lost",
                &self.refused,
            ),
        ] {
            registry.register(name, help, counter.clone());
        }
    }

    pub(super) fn count(&self, fault: &Fault) {
        let kind = fault.kind();
        let known = FaultKind::NAMES
            .iter()
            .position(|(_, known)| *known == kind);
        if let Some(counter) = known.and_then(|at| self.faults.get(at)) {
            counter.inc();
        }
    }
}
