//! What is counted of settling.

use std::sync::atomic::AtomicU64;

use mailtrail_core::event::Verdict;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of settling; cheap to clone, all clones count together.
#[derive(Clone, Debug, Default)]
pub struct SettleMetrics {
    /// Hits that wait for their verdict.
    pub waiting: Gauge,
    /// How long ago the oldest of them happened, in seconds.
    pub oldest_seconds: Gauge<f64, AtomicU64>,
    /// Hits that could not be read any more when they were due.
    pub gone: Counter,
    /// Hits whose reader has withdrawn since, or may have: some of who has is lost.
    pub withheld: Counter,
    /// How often the journal refused a batch, which is tried again.
    pub retries: Counter,
    settled: [Counter; Verdict::NAMES.len()],
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: &'static str,
}

impl SettleMetrics {
    /// All at zero, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let settled = Family::<VerdictLabel, Counter>::default();
        let metrics = Self {
            settled: Verdict::NAMES.map(|(verdict, _)| {
                let counter = settled.get_or_create(&VerdictLabel { verdict });
                counter.clone()
            }),
            ..Self::default()
        };
        registry.register("events_settled", "Settled events by verdict", settled);
        registry.register(
            "hits_waiting",
            "Hits that wait for their verdict to settle",
            metrics.waiting.clone(),
        );
        registry.register(
            "hits_oldest_seconds",
            "Age of the oldest hit that waits for its verdict",
            metrics.oldest_seconds.clone(),
        );
        registry.register(
            "hits_gone",
            "Hits that were damaged, or erased, before they were settled",
            metrics.gone.clone(),
        );
        registry.register(
            "hits_withheld",
            "Hits that were left out when due, because their reader has withdrawn since, or may have (some withdrawals are lost)",
            metrics.withheld.clone(),
        );
        registry.register(
            "settle_retries",
            "How often the journal refused settled events, which are tried again",
            metrics.retries.clone(),
        );
        metrics
    }

    pub(crate) fn count(&self, verdict: Verdict) {
        let known = Verdict::NAMES
            .iter()
            .position(|(_, known)| *known == verdict);
        if let Some(counter) = known.and_then(|at| self.settled.get(at)) {
            counter.inc();
        }
    }
}
