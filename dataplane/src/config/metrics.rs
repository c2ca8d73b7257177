//! What is counted of configuration.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters and gauges of configuration.
#[derive(Debug, Clone, Default)]
pub struct ConfigMetrics {
    /// Changes of the source that were taken.
    pub reloads: Counter,
    /// Changes of the source that were refused.
    pub reload_failures: Counter,
    /// 1 when the newest state of the source is the one that is served.
    pub last_reload_ok: Gauge,
    /// Domains that are served, retired ones included.
    pub domains: Gauge,
}

impl ConfigMetrics {
    /// All at zero, known under `config_…`; the first load was taken, or there
    /// would be no program to ask.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.last_reload_ok.set(1);
        let Self {
            reloads,
            reload_failures,
            last_reload_ok,
            domains,
        } = metrics.clone();
        registry.register("config_reloads", "Changes that were taken", reloads);
        registry.register(
            "config_reload_failures",
            "Changes that were refused, the last good state kept",
            reload_failures,
        );
        registry.register(
            "config_last_reload_ok",
            "1 when the newest state of the source is the one served",
            last_reload_ok,
        );
        registry.register("config_domains", "Domains served", domains);
        metrics
    }
}
