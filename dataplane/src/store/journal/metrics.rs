//! What is counted of a journal.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the sync histogram, in seconds: from a fast drive to one
/// that is about to fail.
const SYNC_BUCKETS_SECONDS: [f64; 12] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.25, 1.0, 5.0,
];

/// Counters of one journal; cheap to clone, all clones count together.
#[derive(Clone, Debug)]
pub struct JournalMetrics {
    /// Events that could not be kept.
    pub events_not_kept: Counter,
    /// Message records and withdrawals that could not be kept.
    pub others_not_kept: Counter,
    /// Records that were put on the disk.
    pub records: Counter,
    /// How often a damaged stretch was passed over, when opening and at every
    /// reading.
    pub damaged: Counter,
    /// Records that waited when the writer took a batch, then those that did
    /// when it was done.
    pub queued: Gauge,
    /// Segment files.
    pub segments: Gauge,
    /// Bytes of segment files.
    pub bytes: Gauge,
    /// How long writing and syncing a batch takes, in seconds.
    pub sync_seconds: Histogram,
}

impl JournalMetrics {
    /// All at zero; events that are not kept are counted in the one given.
    pub fn new(events_not_kept: Counter) -> Self {
        Self {
            events_not_kept,
            others_not_kept: Counter::default(),
            records: Counter::default(),
            damaged: Counter::default(),
            queued: Gauge::default(),
            segments: Gauge::default(),
            bytes: Gauge::default(),
            sync_seconds: Histogram::new(SYNC_BUCKETS_SECONDS),
        }
    }

    /// Makes them known under `journal_…`, but for the counter that was given.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            events_not_kept: _,
            others_not_kept,
            records,
            damaged,
            queued,
            segments,
            bytes,
            sync_seconds,
        } = self;
        registry.register(
            "records_not_kept",
            "Message records and withdrawals that could not be kept",
            others_not_kept.clone(),
        );
        registry.register(
            "journal_records",
            "Records put on the disk",
            records.clone(),
        );
        registry.register(
            "journal_damaged",
            "How often a damaged stretch of the journal was passed over",
            damaged.clone(),
        );
        registry.register(
            "journal_queued",
            "Records that wait to be written, as of the last batch",
            queued.clone(),
        );
        registry.register("journal_segments", "Segment files", segments.clone());
        registry.register("journal_bytes", "Bytes of segment files", bytes.clone());
        registry.register(
            "journal_sync_seconds",
            "Time to write and sync a batch",
            sync_seconds.clone(),
        );
    }
}
