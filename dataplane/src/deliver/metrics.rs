//! What is counted of deliveries. Labels come from fixed sets: no sink has a
//! line of its own, there may be a thousand.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicI64, AtomicU64};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of deliveries; cheap to clone.
#[derive(Debug, Clone)]
pub struct DeliverMetrics {
    /// Attempts that were answered with success.
    pub delivered: Counter,
    /// Attempts that failed and are tried again.
    pub retried: Counter,
    /// Deliveries that were given up.
    pub dead: Counter,
    /// Attempts that were answered with 410.
    pub gone: Counter,
    /// Events that were not delivered, because their reader has withdrawn.
    pub withdrawn: Counter,
    /// States that could not be kept.
    pub not_kept: Counter,
    oldest_seconds: Gauge,
    retries: Gauge,
    dead_letters: Gauge,
    sinks: Gauge,
    suspended: Gauge,
    without_secret: Gauge,
    each: Arc<Mutex<Vec<Weak<Stand>>>>,
}

/// How one sink stands.
#[derive(Debug, Default)]
pub struct Stand {
    /// Time of the oldest event that is not delivered, in milliseconds since
    /// 1970; 0 where all are.
    pub oldest_ms: AtomicU64,
    /// Deliveries that wait for another attempt.
    pub retries: AtomicI64,
    /// Dead letters.
    pub dead_letters: AtomicI64,
    /// 1 where nothing is tried: by its owner, or for its failures.
    pub suspended: AtomicI64,
    /// 1 where a secret is missing.
    pub without_secret: AtomicI64,
}

impl Stand {
    /// Nothing is known of it here.
    pub fn clear(&self) {
        self.oldest_ms.store(0, Relaxed);
        let counts = [&self.retries, &self.dead_letters];
        let flags = [&self.suspended, &self.without_secret];
        counts
            .into_iter()
            .chain(flags)
            .for_each(|gauge| gauge.store(0, Relaxed));
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    outcome: &'static str,
}

impl DeliverMetrics {
    /// All at zero.
    pub fn new(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("sinks");
        let deliveries = Family::<Ended, Counter>::default();
        registry.register(
            "deliveries",
            "Attempts to deliver, by how they ended: delivered, retried (failed, tried again), dead (failed, given up), gone (410)",
            deliveries.clone(),
        );
        let ended = |outcome| deliveries.get_or_create_owned(&Ended { outcome });
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let withdrawn = counter(
            "events_withdrawn",
            "Events that were not delivered, because their reader has withdrawn or was erased",
        );
        let not_kept = counter(
            "states_not_kept",
            "Times that progress could not be kept on the disk; after a crash more is delivered twice",
        );
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            delivered: ended("delivered"),
            retried: ended("retried"),
            dead: ended("dead"),
            gone: ended("gone"),
            withdrawn,
            not_kept,
            oldest_seconds: gauge(
                "oldest_undelivered_seconds",
                "Age of the oldest event that is settled and not delivered, over all sinks that are not suspended",
            ),
            retries: gauge(
                "retries_waiting",
                "Deliveries that failed and wait for another attempt",
            ),
            dead_letters: gauge("dead_letters", "Deliveries that were given up and are kept"),
            sinks: gauge("count", "Event sinks that are declared"),
            suspended: gauge("suspended", "Event sinks that nothing is tried for"),
            without_secret: gauge("without_secret", "Event sinks that a secret is missing of"),
            each: Arc::default(),
        }
    }

    /// Counts a sink for as long as what this gives is held.
    pub fn stand(&self) -> Arc<Stand> {
        let stand = Arc::new(Stand::default());
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.push(Arc::downgrade(&stand));
        stand
    }

    /// Sums up all sinks.
    pub fn sum(&self, now_ms: u64) {
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        each.retain(|stand| stand.strong_count() > 0);
        let stands: Vec<_> = each.iter().filter_map(Weak::upgrade).collect();
        let total = |pick: fn(&Stand) -> &AtomicI64| {
            stands
                .iter()
                .map(|stand| pick(stand).load(Relaxed))
                .sum::<i64>()
        };
        let oldest = stands
            .iter()
            .filter(|stand| stand.suspended.load(Relaxed) == 0)
            .map(|stand| stand.oldest_ms.load(Relaxed))
            .filter(|ms| *ms > 0)
            .min();
        let age = oldest.map_or(0, |ms| now_ms.saturating_sub(ms) / 1000);
        self.oldest_seconds
            .set(i64::try_from(age).unwrap_or(i64::MAX));
        self.retries.set(total(|stand| &stand.retries));
        self.dead_letters.set(total(|stand| &stand.dead_letters));
        self.suspended.set(total(|stand| &stand.suspended));
        self.without_secret
            .set(total(|stand| &stand.without_secret));
        self.sinks
            .set(i64::try_from(stands.len()).unwrap_or(i64::MAX));
    }
}
