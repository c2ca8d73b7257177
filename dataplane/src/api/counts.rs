//! What the API counts. Labels are the status of an answer, from a fixed set.

use axum::http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Statuses with a counter of their own; others are counted as `other`.
const STATUSES: [u16; 14] = [
    200, 400, 401, 403, 404, 405, 408, 410, 413, 415, 422, 431, 500, 503,
];

/// The API's counters, resolved beforehand.
pub struct Counts {
    answers: [Counter; STATUSES.len()],
    other: Counter,
    /// Rewrites whose message record was not kept in time.
    pub(super) messages_not_recorded: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: String,
}

impl Counts {
    /// All at zero, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let answers = Family::<StatusLabel, Counter>::default();
        let counter = |status: String| answers.get_or_create_owned(&StatusLabel { status });
        let counts = Self {
            answers: STATUSES.map(|status| counter(status.to_string())),
            other: counter("other".to_owned()),
            messages_not_recorded: Counter::default(),
        };
        registry.register("api_answers", "Answers of the API by status", answers);
        registry.register(
            "api_messages_not_recorded",
            "Rewrites whose message record was not kept in time, withdrawn recipients aside",
            counts.messages_not_recorded.clone(),
        );
        counts
    }

    /// Counts an answer.
    pub(super) fn answered(&self, status: StatusCode) {
        let known = STATUSES.iter().position(|known| *known == status.as_u16());
        known
            .and_then(|at| self.answers.get(at))
            .unwrap_or(&self.other)
            .inc();
    }
}
