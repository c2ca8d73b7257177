//! What the public listener counts. Labels come from the sets below and every
//! counter is resolved beforehand: counting is one atomic addition.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::refuse::Refusal;
use super::route::LinkKind;

/// Counters of the public listener.
pub struct Counts {
    open: Outcomes,
    click: Outcomes,
    app: Outcomes,
    /// Answers to all other paths.
    pub(super) other: Counter,
    /// Withdrawals that were kept.
    pub(super) withdrawals: Counter,
    /// Connections open now.
    pub(super) connections: Gauge,
    /// TLS handshakes that came about.
    pub(super) handshakes: Counter,
    refusals: [Counter; Refusal::ALL.len()],
    /// Connections that could not be accepted, for want of descriptors or memory.
    pub(super) accept_errors: Counter,
}

/// What became of the hits of one route.
struct Outcomes([Counter; Outcome::ALL.len()]);

/// What became of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// Its event is kept, or was handed to the store and is waited for no longer.
    Recorded,
    /// Served; nothing is to be recorded.
    NotRecorded,
    /// Served; its reader is named, and may be among the withdrawals that are
    /// lost.
    WithdrawalsIncomplete,
    /// Served; its event could not be kept.
    NotKept,
    /// The token did not open.
    Refused,
    /// The token's key is not known.
    UnknownKey,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct HitLabels {
    route: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LimitLabel {
    limit: &'static str,
}

/// Which counters of hits are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HitRoute {
    Open,
    Link(LinkKind),
}

impl Outcome {
    const ALL: [Self; 6] = [
        Self::Recorded,
        Self::NotRecorded,
        Self::WithdrawalsIncomplete,
        Self::NotKept,
        Self::Refused,
        Self::UnknownKey,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::NotRecorded => "not_recorded",
            Self::WithdrawalsIncomplete => "withdrawals_incomplete",
            Self::NotKept => "not_kept",
            Self::Refused => "refused",
            Self::UnknownKey => "unknown_key",
        }
    }
}

impl Counts {
    /// All at zero, registered.
    pub fn new(registry: &mut Registry) -> Self {
        let hits = Family::<HitLabels, Counter>::default();
        let refusals = Family::<LimitLabel, Counter>::default();
        let outcomes = |route| {
            let counter = |outcome: Outcome| {
                let outcome = outcome.name();
                hits.get_or_create_owned(&HitLabels { route, outcome })
            };
            Outcomes(Outcome::ALL.map(counter))
        };
        let counts = Self {
            open: outcomes("open"),
            click: outcomes("click"),
            app: outcomes("app"),
            other: Counter::default(),
            withdrawals: Counter::default(),
            connections: Gauge::default(),
            handshakes: Counter::default(),
            refusals: Refusal::ALL.map(|refusal| {
                let limit = refusal.name();
                refusals.get_or_create_owned(&LimitLabel { limit })
            }),
            accept_errors: Counter::default(),
        };
        registry.register("hits", "Pixels and links asked for", hits);
        registry.register(
            "public_refusals",
            "Requests and connections refused or ended by a limit",
            refusals,
        );
        registry.register(
            "public_other_answers",
            "Answers of the public port to other paths than pixels and links",
            counts.other.clone(),
        );
        registry.register(
            "withdrawals",
            "Readers' withdrawals that were kept",
            counts.withdrawals.clone(),
        );
        registry.register(
            "public_connections",
            "Connections of the public port that are open now",
            counts.connections.clone(),
        );
        registry.register(
            "public_tls_handshakes",
            "TLS handshakes of the public port that came about",
            counts.handshakes.clone(),
        );
        registry.register(
            "public_accept_errors",
            "Connections that the system could not hand over",
            counts.accept_errors.clone(),
        );
        counts
    }

    pub(super) fn hit(&self, route: HitRoute, outcome: Outcome) {
        let outcomes = match route {
            HitRoute::Open => &self.open,
            HitRoute::Link(LinkKind::Click) => &self.click,
            HitRoute::Link(LinkKind::App) => &self.app,
        };
        outcomes.0[outcome as usize].inc();
    }

    pub(super) fn refusal(&self, refusal: Refusal) {
        self.refusals[refusal as usize].inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_set_is_listed_in_the_order_of_its_numbers() {
        for (at, outcome) in Outcome::ALL.into_iter().enumerate() {
            assert_eq!(outcome as usize, at);
        }
        for (at, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, at);
        }
    }
}
