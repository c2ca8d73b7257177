//! The command line: [`Args`] as typed, [`Settings`] as meant.
//!
//! Every flag is also a variable `MAILTRAIL_…`. All faults are reported at
//! once, each naming its flag.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use mailtrail_crds::shard::{SHARDS_DEFAULT, SHARDS_MAX};

/// Shortest lease: below it a slow API server would make two holders take turns.
const LEASE_LEAST: Duration = Duration::from_secs(1);
/// Longest class, in characters: a DNS label.
const CLASS_MAX_CHARS: usize = 63;

/// Reconciles TrackingDomains into the configuration of the data plane.
#[derive(Debug, Clone, Parser)]
#[command(name = "mailtrail-operator", version, about)]
pub struct Args {
    /// The install's own namespace: of replicas, configuration, keyring and lease. Without this
    /// flag that of the pod, or of the kubeconfig.
    #[arg(long, env = "MAILTRAIL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// Which TrackingDomains are this install's: those of this class.
    #[arg(long, env = "MAILTRAIL_CLASS", value_name = "NAME", default_value = mailtrail_crds::DEFAULT_CLASS)]
    class: String,

    /// Live, ready and metrics.
    #[arg(
        long,
        env = "MAILTRAIL_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090"
    )]
    admin: SocketAddr,

    /// Namespaces whose TrackingDomains are looked at; without this flag all.
    #[arg(
        long,
        env = "MAILTRAIL_WATCH_NAMESPACES",
        value_name = "NAME,…",
        value_delimiter = ','
    )]
    watch_namespaces: Vec<String>,

    /// Which namespaces may use which hosts, and how many domains each: a YAML file. Without this
    /// flag any namespace may use any host that is free.
    #[arg(long, env = "MAILTRAIL_HOST_POLICY", value_name = "FILE")]
    host_policy: Option<PathBuf>,

    /// How hosts get out of the cluster, by an Ingress or HTTPRoute each: a YAML file. Needs
    /// --host-policy. Without this flag the operator makes neither.
    #[arg(long, env = "MAILTRAIL_EXPOSURE", value_name = "FILE")]
    exposure: Option<PathBuf>,

    /// Labels of the data plane's pods.
    #[arg(
        long,
        env = "MAILTRAIL_REPLICAS",
        value_name = "SELECTOR",
        default_value = "app.kubernetes.io/name=mailtrail,app.kubernetes.io/component=dataplane"
    )]
    replicas: String,

    /// How many ConfigShards a new install is given. An install keeps the number it began with.
    #[arg(long, env = "MAILTRAIL_SHARDS", value_name = "COUNT", default_value_t = SHARDS_DEFAULT)]
    shards: u16,

    /// Name of this operator in the lease; without this flag the pod's name and a random part.
    #[arg(long, env = "MAILTRAIL_IDENTITY", value_name = "NAME")]
    identity: Option<String>,

    /// How long a holder of the lease that is silent keeps it.
    #[arg(long, env = "MAILTRAIL_LEASE", value_name = "TIME", default_value = "15s", value_parser = duration)]
    lease: Duration,

    /// Age at which the key that seals new links is replaced.
    #[arg(long, env = "MAILTRAIL_ROTATE_KEYS", value_name = "TIME", default_value = "30d", value_parser = duration)]
    rotate_keys: Duration,

    /// What the names of Services end in. Event sinks may name Services of their own namespace
    /// below it, and nothing else.
    #[arg(
        long,
        env = "MAILTRAIL_CLUSTER_DOMAIN",
        value_name = "NAME",
        default_value = "cluster.local"
    )]
    cluster_domain: String,

    /// Address of the DNS server that hosts are looked up with; without this flag the system's.
    #[arg(long, env = "MAILTRAIL_RESOLVER", value_name = "ADDR")]
    resolver: Option<SocketAddr>,

    /// Port that hosts are probed on.
    #[arg(
        long,
        env = "MAILTRAIL_PROBE_PORT",
        value_name = "PORT",
        default_value = "443"
    )]
    probe_port: u16,

    /// Certificates, as PEM, that a host's may be signed by, beside those that the system trusts.
    #[arg(long, env = "MAILTRAIL_PROBE_CA", value_name = "FILE")]
    probe_ca: Option<PathBuf>,

    /// Log lines as text for people, or as JSON for machines.
    #[arg(
        long,
        env = "MAILTRAIL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,

    /// Which log lines are written, such as `info` or `mailtrail_operator::shards=debug`.
    #[arg(
        long,
        env = "MAILTRAIL_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One object a line.
    Json,
}

/// What the process is meant to do.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The install's own namespace; absent: that of the client's configuration.
    pub namespace: Option<String>,
    /// Class of the domains that are this install's.
    pub class: String,
    /// Address for probes and metrics.
    pub admin: SocketAddr,
    /// Namespaces that are looked at; none: all.
    pub watch_namespaces: Vec<String>,
    /// Which namespaces may use which hosts.
    pub host_policy: Option<PathBuf>,
    /// How hosts get out.
    pub exposure: Option<PathBuf>,
    /// Label selector of the data plane's pods.
    pub replicas: String,
    /// Shards of a new install.
    pub shards: u16,
    /// Name in the lease.
    pub identity: String,
    /// How long a silent holder keeps the lease.
    pub lease: Duration,
    /// Age at which the active key is replaced.
    pub rotate_keys: Duration,
    /// What the names of Services end in.
    pub cluster_domain: String,
    /// How hosts are verified.
    pub probe: Probe,
}

/// How hosts are verified.
#[derive(Debug, Clone)]
pub struct Probe {
    /// DNS server; absent: the system's.
    pub resolver: Option<SocketAddr>,
    /// Port of HTTPS.
    pub port: u16,
    /// Further certificates that are trusted.
    pub ca: Option<PathBuf>,
}

/// Flags that do not go together; one line each.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct SettingsError(Vec<String>);

impl Args {
    /// How logs are written: known before anything else is.
    pub fn logs(&self) -> (LogFormat, &str) {
        (self.log_format, &self.log)
    }

    /// What is wrong with the flags.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (flag, namespace) in self
            .namespace
            .iter()
            .map(|namespace| ("--namespace", namespace))
            .chain(
                self.watch_namespaces
                    .iter()
                    .map(|n| ("--watch-namespaces", n)),
            )
            .chain([("--class", &self.class)])
        {
            if !is_label(namespace) {
                faults.push(format!(
                    "{flag} {namespace:?} must be a DNS label: lower-case letters, digits and inner hyphens"
                ));
            }
        }
        if self.shards == 0 || self.shards > SHARDS_MAX {
            faults.push(format!("--shards must be from 1 to {SHARDS_MAX}"));
        }
        if self.lease < LEASE_LEAST {
            faults.push(format!(
                "--lease must be {}s at least",
                LEASE_LEAST.as_secs()
            ));
        }
        if !self.cluster_domain.split('.').all(is_label) {
            faults.push("--cluster-domain must be a DNS name in lower case".to_owned());
        }
        if self.rotate_keys.is_zero() {
            faults.push("--rotate-keys must be 1s at least".to_owned());
        }
        faults
    }

    /// What these flags mean together. `unique` tells this process from others
    /// of its name.
    pub fn settings(self, unique: &str) -> Result<Settings, SettingsError> {
        let faults = self.faults();
        if !faults.is_empty() {
            return Err(SettingsError(faults));
        }
        let name = self
            .identity
            .or_else(|| {
                std::env::var("HOSTNAME")
                    .ok()
                    .filter(|name| !name.is_empty())
            })
            .unwrap_or_else(|| "mailtrail-operator".to_owned());
        Ok(Settings {
            namespace: self.namespace,
            class: self.class,
            admin: self.admin,
            watch_namespaces: self.watch_namespaces,
            host_policy: self.host_policy,
            exposure: self.exposure,
            replicas: self.replicas,
            shards: self.shards,
            identity: format!("{name}_{unique}"),
            lease: self.lease,
            rotate_keys: self.rotate_keys,
            cluster_domain: self.cluster_domain,
            probe: Probe {
                resolver: self.resolver,
                port: self.probe_port,
                ca: self.probe_ca,
            },
        })
    }
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=CLASS_MAX_CHARS).contains(&text.len())
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Reads `500ms`, `20s`, `5m`, `12h` or `30d`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "must be a number with ms, s, m, h or d".to_owned())?;
    let seconds = |each: u64| Ok(Duration::from_secs(number.saturating_mul(each)));
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" => seconds(60),
        "h" => seconds(3_600),
        "d" => seconds(86_400),
        _ => Err("must end in ms, s, m, h or d".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &[&str]) -> Result<Settings, String> {
        let args = Args::try_parse_from([&["mailtrail-operator"], flags].concat())
            .map_err(|e| e.to_string())?;
        args.settings("x1").map_err(|e| e.to_string())
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let flags = ["--class", "A", "--shards", "0", "--lease", "10ms"];
        let faults = settings(&flags).expect_err("three faults");
        for flag in ["--class", "--shards", "--lease"] {
            assert!(faults.contains(flag), "{faults}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("30").is_err() && duration("d").is_err() && duration("1w").is_err());
    }

    #[test]
    fn an_identity_is_unique() {
        let settings = settings(&["--identity", "one"]).expect("settings");
        assert_eq!(settings.identity, "one_x1");
    }
}
