//! What is counted of configuration.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::shards::ShardMetrics;

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
    /// 1 when what is served is kept for the next start.
    pub domains_kept: Gauge,
    /// What is counted where domains come from shards.
    pub shards: ShardMetrics,
    /// Changes of the rules file that were taken.
    pub rules_reloads: Counter,
    /// Changes of the rules file that were refused.
    pub rules_reload_failures: Counter,
    /// 1 when the rules file's newest state is what hits are judged by; also
    /// without such a file.
    pub rules_last_reload_ok: Gauge,
}

impl ConfigMetrics {
    /// All at zero, known under `config_…` and `rules_…`; the first load was taken, or there
    /// would be no program to ask.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        metrics.last_reload_ok.set(1);
        metrics.rules_last_reload_ok.set(1);
        let Self {
            reloads,
            reload_failures,
            last_reload_ok,
            domains,
            domains_kept,
            shards,
            rules_reloads,
            rules_reload_failures,
            rules_last_reload_ok,
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
        registry.register(
            "config_domains_kept",
            "1 when the domains served are kept for the next start",
            domains_kept,
        );
        shards.register(registry);
        registry.register(
            "rules_reloads",
            "Changes of the rules for verdicts that were taken",
            rules_reloads,
        );
        registry.register(
            "rules_reload_failures",
            "Changes of the rules for verdicts that were refused, the last good ones kept",
            rules_reload_failures,
        );
        registry.register(
            "rules_last_reload_ok",
            "1 when the newest rules for verdicts are in use",
            rules_last_reload_ok,
        );
        metrics
    }
}
