//! What is counted. Labels come from fixed sets; nothing personal is one.

use std::fmt::Write as _;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::error::Category;
use crate::expose::outcome::Outcome;

/// All counters and gauges of the program, and their registry.
pub struct Metrics {
    registry: Registry,
    /// Turns taken.
    pub reconciles: Counter,
    /// What failed, by kind.
    errors: Family<CategoryLabel, Counter>,
    /// Realms that wait for their turn.
    pub queue: Gauge,
    /// Shards written.
    pub shard_writes: Counter,
    /// Bytes of entries written to shards.
    pub shard_bytes: Counter,
    /// HostClaims written.
    pub claim_writes: Counter,
    /// Ingresses and HTTPRoutes written or deleted.
    pub route_writes: Counter,
    /// Statuses written.
    pub status_writes: Counter,
    /// Objects of ours that somebody else changed.
    pub drift: Counter,
    /// Watches that were interrupted.
    pub watch_errors: Counter,
    /// Objects that could not be read.
    pub undecodable: Counter,
    /// Questions that a replica did not answer as it should.
    pub ack_failures: Counter,
    /// Pods of the data plane.
    pub replicas: Gauge,
    /// Those of them that are ready.
    pub replicas_ready: Gauge,
    /// Whether there is a keyring.
    pub keyring_ok: Gauge,
    /// Whether this process leads.
    pub leading: Gauge,
    /// TrackingDomains that are known.
    pub domains: Gauge,
    /// EventSinks that are known.
    pub sinks: Gauge,
    /// HostClaims that are ours.
    pub claims: Gauge,
    /// Hosts that are to get out, by what came of it.
    routes: Family<ReasonLabel, Gauge>,
    /// Domains whose absence is not believed.
    pub disbelieved: Gauge,
    /// Hosts that were checked.
    pub probes: Counter,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CategoryLabel {
    category: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

impl ReasonLabel {
    fn of(outcome: Outcome) -> Self {
        let reason = outcome.reason().as_str();
        Self { reason }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("mailtrail_operator");
        let errors = errors(&mut registry);
        let routes = routes(&mut registry);
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let reconciles = counter("reconciles", "Turns taken");
        let shard_writes = counter("shard_writes", "ConfigShards written");
        let shard_bytes = counter("shard_bytes", "Bytes of entries written to ConfigShards");
        let claim_writes = counter("claim_writes", "HostClaims written");
        let route_writes = counter(
            "route_writes",
            "Ingresses and HTTPRoutes written or deleted",
        );
        let status_writes = counter("status_writes", "Statuses written");
        let drift = counter("drift", "Objects that somebody else changed, written anew");
        let watch_errors = counter("watch_errors", "Watches that were interrupted");
        let undecodable = counter("undecodable", "Objects that could not be read");
        let ack_failures = counter("ack_failures", "Questions that replicas did not answer");
        let probes = counter("probes", "Hosts checked");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        Self {
            reconciles,
            errors,
            queue: gauge("queue", "Realms that wait for their turn"),
            shard_writes,
            shard_bytes,
            claim_writes,
            route_writes,
            status_writes,
            drift,
            watch_errors,
            undecodable,
            ack_failures,
            replicas: gauge("replicas", "Pods of the data plane"),
            replicas_ready: gauge("replicas_ready", "Pods of the data plane that are ready"),
            keyring_ok: gauge("keyring_ok", "1 when there is a keyring to work with"),
            leading: gauge("leading", "1 when this process holds the lease"),
            domains: gauge("domains", "TrackingDomains known"),
            sinks: gauge("sinks", "EventSinks known"),
            claims: gauge("claims", "HostClaims of this install"),
            disbelieved: gauge(
                "disbelieved",
                "Domains that vanished and go on being served as they were",
            ),
            routes,
            probes,
            registry,
        }
    }

    /// So many hosts came to this.
    pub fn routes(&self, outcome: Outcome, count: usize) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let label = ReasonLabel::of(outcome);
        self.routes.get_or_create(&label).set(count);
    }

    /// Nothing came of any host: as it is before, and where none is to get out.
    pub fn no_routes(&self) {
        for outcome in Outcome::ALL {
            self.routes(outcome, 0);
        }
    }

    /// Something failed.
    pub fn failed(&self, category: Category) {
        let category = category.as_str();
        let label = CategoryLabel { category };
        self.errors.get_or_create(&label).inc();
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

/// One for each kind, so that all are there from the start.
fn errors(registry: &mut Registry) -> Family<CategoryLabel, Counter> {
    let errors = Family::<CategoryLabel, Counter>::default();
    for category in Category::ALL {
        let category = category.as_str();
        let _ = errors.get_or_create(&CategoryLabel { category });
    }
    registry.register("errors", "What failed, by kind", errors.clone());
    errors
}

/// One for each reason, likewise.
fn routes(registry: &mut Registry) -> Family<ReasonLabel, Gauge> {
    let routes = Family::<ReasonLabel, Gauge>::default();
    for outcome in Outcome::ALL {
        let _ = routes.get_or_create(&ReasonLabel::of(outcome));
    }
    let help = "Hosts that are to get out of the cluster, by the reason of Exposed";
    registry.register("routes", help, routes.clone());
    routes
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Metrics")
    }
}
