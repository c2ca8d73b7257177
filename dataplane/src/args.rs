//! The command line: [`Args`] as typed, [`Settings`] as meant.
//!
//! Every flag is also a variable `MAILTRAIL_…`. All faults are reported at
//! once, each naming its flag.

mod network;
mod postgres;
mod tls;

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use ipnet::IpNet;

use postgres::PostgresArgs;
use tls::TlsArgs;

pub use postgres::Postgres;
pub use tls::Tls;

/// Longest settling time: what waits is held in memory, as far as verdicts need it.
const SETTLE_MAX: Duration = Duration::from_secs(120);
/// Least bound on the journal, in bytes: two segments.
const JOURNAL_MAX_LEAST_BYTES: u64 = 64 << 20;

/// Serves pixels and redirects, rewrites HTML, keeps events.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "mailtrail-dataplane",
    version,
    about,
    args_conflicts_with_subcommands = true
)]
pub struct Args {
    /// What is done instead of serving.
    #[command(subcommand)]
    instead: Option<Instead>,

    /// Standalone: TrackingDomains from a YAML file, or a folder of them, read again when changed.
    #[arg(long, env = "MAILTRAIL_MANIFESTS", value_name = "PATH")]
    manifests: Option<PathBuf>,

    /// ConfigShards from a folder, each file one, read again when changed: what the operator writes
    /// into a cluster.
    #[arg(long, env = "MAILTRAIL_CONFIG_DIR", value_name = "DIR")]
    config_dir: Option<PathBuf>,

    /// ConfigShards from the cluster: the one that the pod runs in, or the kubeconfig's.
    #[arg(long, env = "MAILTRAIL_CLUSTER")]
    cluster: bool,

    /// Namespace of the ConfigShards; without this flag the pod's own, or the kubeconfig's.
    #[arg(long, env = "MAILTRAIL_NAMESPACE", value_name = "NAME")]
    namespace: Option<String>,

    /// UID of the pod that this is, by which the operator asks what has been applied; without it
    /// no such question is answered.
    #[arg(long, env = "MAILTRAIL_POD_UID", value_name = "UID")]
    pod_uid: Option<String>,

    /// Folder for events, keyring and what else outlives a restart; made when missing.
    #[arg(long, env = "MAILTRAIL_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,

    /// Most bytes of the journal of events, such as `10GiB`; above it nothing more is recorded, as
    /// on a full disk. Without this flag as many as the disk takes.
    #[arg(long, env = "MAILTRAIL_JOURNAL_MAX", value_name = "SIZE", value_parser = size)]
    journal_max: Option<u64>,

    #[command(flatten)]
    postgres: PostgresArgs,

    /// Keyring file; with --manifests, and without this flag, `keyring.json` in the data folder,
    /// made when missing. With --cluster or --config-dir it is the operator's, and waited for.
    #[arg(long, env = "MAILTRAIL_KEYRING", value_name = "FILE")]
    keyring: Option<PathBuf>,

    /// Pixels and links, for readers.
    #[arg(
        long,
        env = "MAILTRAIL_PUBLIC",
        value_name = "ADDR",
        default_value = "0.0.0.0:8080"
    )]
    public: SocketAddr,

    #[command(flatten)]
    tls: TlsArgs,

    /// Rewriting and events, for your services.
    #[arg(
        long,
        env = "MAILTRAIL_API",
        value_name = "ADDR",
        default_value = "127.0.0.1:8081"
    )]
    api: SocketAddr,

    /// Live, ready, metrics and configuration, for operators.
    #[arg(
        long,
        env = "MAILTRAIL_ADMIN",
        value_name = "ADDR",
        default_value = "127.0.0.1:9090"
    )]
    admin: SocketAddr,

    /// Bearer tokens that may call the API, one a line. Without it, with --cluster, the cluster's
    /// accounts and roles say who may what; else the API must be on a loopback address.
    #[arg(long, env = "MAILTRAIL_API_TOKENS", value_name = "FILE")]
    api_tokens: Option<PathBuf>,

    /// Networks whose X-Forwarded-For is believed, read from the right.
    #[arg(
        long,
        env = "MAILTRAIL_TRUSTED_PROXIES",
        value_name = "CIDR,…",
        value_delimiter = ',',
        value_parser = network::network
    )]
    trusted_proxies: Vec<IpNet>,

    /// Every connection to the public address begins with a PROXY protocol header (v1 or v2).
    #[arg(long, env = "MAILTRAIL_PROXY_PROTOCOL")]
    proxy_protocol: bool,

    /// Threads that serve the public address; without this flag one per core.
    #[arg(long, env = "MAILTRAIL_PUBLIC_THREADS", value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    public_threads: Option<u16>,

    /// Rules for verdicts, read again when changed; without this flag those that come with the program.
    #[arg(long, env = "MAILTRAIL_RULES", value_name = "FILE")]
    rules: Option<PathBuf>,

    /// Folder with the secrets that requests to event sinks are signed with: a file
    /// `<namespace>/<name>` for each, read at every delivery.
    #[arg(long, env = "MAILTRAIL_SINK_SECRETS", value_name = "DIR")]
    sink_secrets: Option<PathBuf>,

    /// Networks beside the internet that event sinks may be in, over http too; without this flag
    /// private and local addresses are refused.
    #[arg(
        long,
        env = "MAILTRAIL_SINKS_ALLOW",
        value_name = "CIDR,…",
        value_delimiter = ',',
        value_parser = network::network
    )]
    sinks_allow: Vec<IpNet>,

    /// Certificates of authorities that event sinks may have, beside the system's (PEM).
    #[arg(long, env = "MAILTRAIL_SINKS_CA", value_name = "FILE")]
    sinks_ca: Option<PathBuf>,

    /// How long a hit waits for its verdict, when bursts and repeats are known; its event is listed then.
    /// Below 10s, within which a scanner's burst is told, some scanners count as people; a warning says so.
    #[arg(long, env = "MAILTRAIL_SETTLE", value_name = "TIME", default_value = "10s", value_parser = settle_time)]
    settle: Duration,

    /// How long requests are still accepted once a stop is asked for, each answered with
    /// `Connection: close`: load balancers need a moment to learn that this replica leaves.
    #[arg(long, env = "MAILTRAIL_LEAVE", value_name = "TIME", default_value = "0s", value_parser = duration)]
    leave: Duration,

    /// How long answers under way may take after that.
    #[arg(long, env = "MAILTRAIL_DRAIN", value_name = "TIME", default_value = "20s", value_parser = duration)]
    drain: Duration,

    /// Log lines as text for people, or as JSON for machines.
    #[arg(
        long,
        env = "MAILTRAIL_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,

    /// Which log lines are written, such as `info` or `mailtrail_dataplane::store=debug`.
    #[arg(
        long,
        env = "MAILTRAIL_LOG",
        value_name = "FILTER",
        default_value = "info"
    )]
    log: String,
}

/// What is done instead of serving.
#[derive(Debug, Clone, clap::Subcommand)]
enum Instead {
    /// Looks into a data folder from outside, also while it is in use; says what it finds in
    /// lines of JSON.
    #[command(subcommand)]
    Journal(Journal),
}

/// How a data folder is looked into.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Journal {
    /// Reads every record and says what state each journal is in. Exits with 0 where all is
    /// well, 1 where something is damaged, 2 where that could not be found out.
    Check(JournalArgs),
    /// Lists the segment files, oldest first.
    List(JournalArgs),
    /// Writes out every event and message record, oldest first: personal data.
    Export(JournalArgs),
}

/// Which data folder is looked into.
#[derive(Debug, Clone, clap::Args)]
pub struct JournalArgs {
    /// The data folder.
    #[arg(long, env = "MAILTRAIL_DATA_DIR", value_name = "DIR")]
    pub data_dir: PathBuf,
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
    /// Where tracking domains come from.
    pub source: Source,
    /// Folder for what outlives a restart.
    pub data_dir: PathBuf,
    /// Most bytes of the journal.
    pub journal_max_bytes: Option<u64>,
    /// The database that all is shipped to, where there is one.
    pub postgres: Option<Postgres>,
    /// Keyring file, and what is done when it is missing.
    pub keyring: KeyringFile,
    /// The pod that this is, as far as there is one.
    pub pod_uid: Option<String>,
    /// Address for readers.
    pub public: SocketAddr,
    /// Address for readers over TLS, where there is one.
    pub tls: Option<Tls>,
    /// Address for services.
    pub api: SocketAddr,
    /// Address for operators.
    pub admin: SocketAddr,
    /// Who may call the API; absent: whom the cluster's roles allow, or without
    /// a cluster anyone who reaches the loopback address.
    pub api_tokens: Option<PathBuf>,
    /// Networks whose forwarded addresses are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether connections begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// Threads that serve the public address; absent: one per core.
    pub public_threads: Option<NonZeroUsize>,
    /// Rules for verdicts; absent: those that come with the program.
    pub rules: Option<PathBuf>,
    /// How events are pushed to sinks.
    pub sinks: SinkSettings,
    /// How long a hit waits for its verdict.
    pub settle: Duration,
    /// How long requests are still accepted once a stop is asked for.
    pub leave: Duration,
    /// Bound on draining.
    pub drain: Duration,
}

/// How events are pushed to sinks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SinkSettings {
    /// Where their secrets are.
    pub secrets: Option<PathBuf>,
    /// Networks beside the internet that they may be in.
    pub allow: Vec<IpNet>,
    /// Whose certificates they may have beside those that the system trusts.
    pub ca: Option<PathBuf>,
}

/// Where tracking domains come from: exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Manifests, a file or a folder.
    Manifests(PathBuf),
    /// A folder of ConfigShards.
    ConfigDir(PathBuf),
    /// ConfigShards of a cluster.
    Cluster {
        /// Their namespace; absent: the pod's own, or the kubeconfig's.
        namespace: Option<String>,
    },
}

/// The keyring's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyringFile {
    /// The file.
    pub path: PathBuf,
    /// What is done when it is missing.
    pub when_missing: WhenMissing,
}

/// What is done where there is no keyring file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenMissing {
    /// One is made: only in the data folder, never where someone said that one is.
    Make,
    /// The program does not start.
    Fail,
    /// It is waited for: the operator makes it, and a pod may start before that.
    Wait,
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

    /// How a data folder is looked into, where that is asked for instead of
    /// serving.
    pub fn journal(&self) -> Option<&Journal> {
        match &self.instead {
            Some(Instead::Journal(journal)) => Some(journal),
            None => None,
        }
    }

    /// What these flags mean together.
    pub fn settings(self) -> Result<Settings, SettingsError> {
        let mut faults = Vec::new();
        let source = self.source(&mut faults);
        if self.data_dir.is_none() {
            faults.push("--data-dir DIR is needed: the folder that events are kept in".to_owned());
        }
        if self.api_tokens.is_none() && !self.cluster && !self.api.ip().is_loopback() {
            faults.push(format!(
                "--api {} can be reached from other machines: give --api-tokens FILE, or a loopback address",
                self.api
            ));
        }
        let keyring = self.keyring_file(&mut faults);
        let tls = self.tls.settings(&mut faults);
        let postgres = self
            .postgres
            .settings(self.journal_max.is_some(), &mut faults);
        let (Some(source), Some(data_dir), Some(keyring), true) =
            (source, self.data_dir, keyring, faults.is_empty())
        else {
            return Err(SettingsError(faults));
        };
        Ok(Settings {
            source,
            keyring,
            pod_uid: self.pod_uid.filter(|uid| !uid.is_empty()),
            data_dir,
            journal_max_bytes: self.journal_max,
            postgres,
            public: self.public,
            tls,
            api: self.api,
            admin: self.admin,
            api_tokens: self.api_tokens,
            trusted_proxies: self.trusted_proxies,
            proxy_protocol: self.proxy_protocol,
            public_threads: self
                .public_threads
                .and_then(|count| NonZeroUsize::new(count.into())),
            rules: self.rules,
            sinks: SinkSettings {
                secrets: self.sink_secrets,
                allow: self.sinks_allow,
                ca: self.sinks_ca,
            },
            settle: self.settle,
            leave: self.leave,
            drain: self.drain,
        })
    }

    /// The one source that is named.
    fn source(&self, faults: &mut Vec<String>) -> Option<Source> {
        let manifests = self.manifests.clone().map(Source::Manifests);
        let config_dir = self.config_dir.clone().map(Source::ConfigDir);
        let cluster = self.cluster.then(|| Source::Cluster {
            namespace: self.namespace.clone(),
        });
        if self.namespace.is_some() && !self.cluster {
            faults.push("--namespace NAME is for --cluster alone".to_owned());
        }
        let mut named = [manifests, config_dir, cluster].into_iter().flatten();
        let source = named.next();
        if source.is_none() {
            faults.push(
                "--manifests PATH (a file or folder with TrackingDomain resources), --config-dir DIR or --cluster is needed: \
                 where tracking domains come from"
                    .to_owned(),
            );
        }
        if named.next().is_some() {
            faults.push(
                "--manifests, --config-dir and --cluster exclude each other: domains come from one place"
                    .to_owned(),
            );
        }
        source
    }

    /// Where the keyring is. Only who is alone on a machine makes one: replicas
    /// share theirs.
    fn keyring_file(&self, faults: &mut Vec<String>) -> Option<KeyringFile> {
        let shared = self.cluster || self.config_dir.is_some();
        match (&self.keyring, shared) {
            (Some(path), shared) => Some(KeyringFile {
                path: path.clone(),
                when_missing: match shared {
                    true => WhenMissing::Wait,
                    false => WhenMissing::Fail,
                },
            }),
            (None, true) => {
                faults.push(
                    "--keyring FILE is needed with --cluster or --config-dir: the operator's keyring, which all replicas share"
                        .to_owned(),
                );
                None
            }
            (None, false) => self.data_dir.as_ref().map(|data_dir| KeyringFile {
                path: data_dir.join("keyring.json"),
                when_missing: WhenMissing::Make,
            }),
        }
    }
}

/// A duration of [`SETTLE_MAX`] at most.
fn settle_time(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        time if time <= SETTLE_MAX => Ok(time),
        _ => Err(format!("must be at most {}s", SETTLE_MAX.as_secs())),
    }
}

/// Reads `250ms`, `20s` or `5m`.
fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "must be a number with ms, s or m".to_owned())?;
    match &text[digits.len()..] {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number.saturating_mul(60))),
        _ => Err("must end in ms, s or m".to_owned()),
    }
}

/// The journal's bound.
fn size(text: &str) -> Result<u64, String> {
    match size_of(text)? {
        bytes if bytes >= JOURNAL_MAX_LEAST_BYTES => Ok(bytes),
        _ => Err("must be 64MiB at least".to_owned()),
    }
}

/// Reads `512MiB`, `10GiB` or `1TiB` as bytes.
fn size_of(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits
        .parse()
        .map_err(|_| "must be a number with MiB, GiB or TiB".to_owned())?;
    let unit: u64 = match &text[digits.len()..] {
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return Err("must end in MiB, GiB or TiB".to_owned()),
    };
    let bytes = number.checked_mul(unit);
    bytes.ok_or_else(|| "is more than there can be".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(flags: &[&str]) -> Result<Settings, String> {
        let args = Args::try_parse_from([&["mailtrail-dataplane"], flags].concat())
            .map_err(|e| e.to_string())?;
        args.settings().map_err(|e| e.to_string())
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let faults = settings(&["--api", "0.0.0.0:8081"]).expect_err("three faults");
        for flag in ["--manifests", "--data-dir", "--api 0.0.0.0:8081"] {
            assert!(faults.contains(flag), "{faults}");
        }
    }

    #[test]
    fn an_api_that_others_reach_needs_tokens() {
        let base = ["--manifests", "m", "--data-dir", "d", "--api", "[::]:1"];
        assert!(settings(&base).is_err());
        assert!(settings(&[&base[..], &["--api-tokens", "t"]].concat()).is_ok());
        assert!(settings(&["--manifests", "m", "--data-dir", "d", "--api", "[::1]:1"]).is_ok());
        // In a cluster, its roles say who may.
        let base = ["--data-dir", "d", "--keyring", "k", "--api", "[::]:1"];
        assert!(settings(&[&base[..], &["--config-dir", "c"]].concat()).is_err());
        assert!(settings(&[&base[..], &["--cluster"]].concat()).is_ok());
    }

    #[test]
    fn a_keyring_that_was_named_is_never_made() {
        let named =
            settings(&["--manifests", "m", "--data-dir", "d", "--keyring", "k"]).expect("settings");
        assert_eq!(named.keyring.when_missing, WhenMissing::Fail);
        let own = settings(&["--manifests", "m", "--data-dir", "d"]).expect("settings");
        assert_eq!(own.keyring.when_missing, WhenMissing::Make);
        assert!(own.keyring.path.ends_with("d/keyring.json"));
    }

    #[test]
    fn domains_come_from_exactly_one_place() {
        let base = ["--data-dir", "d", "--keyring", "k"];
        let with = |flags: &[&str]| settings(&[&base[..], flags].concat());
        for (flags, source) in [
            (&["--manifests", "m"][..], Source::Manifests("m".into())),
            (&["--config-dir", "c"], Source::ConfigDir("c".into())),
            (&["--cluster"], Source::Cluster { namespace: None }),
            (
                &["--cluster", "--namespace", "n"],
                Source::Cluster {
                    namespace: Some("n".to_owned()),
                },
            ),
        ] {
            assert_eq!(with(flags).expect("settings").source, source);
        }
        for wrong in [
            &[][..],
            &["--manifests", "m", "--cluster"],
            &["--config-dir", "c", "--cluster"],
            &["--manifests", "m", "--namespace", "n"],
        ] {
            assert!(with(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn replicas_share_a_keyring_that_is_named_and_waited_for() {
        for source in [&["--cluster"][..], &["--config-dir", "c"]] {
            let base = [source, &["--data-dir", "d"]].concat();
            let fault = settings(&base).expect_err("no keyring");
            assert!(fault.contains("--keyring"), "{fault}");
            let named = settings(&[&base[..], &["--keyring", "k"]].concat()).expect("settings");
            assert_eq!(named.keyring.when_missing, WhenMissing::Wait);
        }
    }

    #[test]
    fn a_journal_is_looked_into_with_its_folder_alone() {
        let parse = |flags: &[&str]| {
            Args::try_parse_from([&["mailtrail-dataplane"], flags].concat())
                .map_err(|error| error.to_string())
        };
        let args = parse(&["journal", "check", "--data-dir", "d"]).expect("parsed");
        assert!(
            matches!(args.journal(), Some(Journal::Check(args)) if args.data_dir.ends_with("d"))
        );
        let error = parse(&["journal", "list"]).expect_err("no folder");
        assert!(error.contains("--data-dir"), "{error}");
        assert!(parse(&["--manifests", "m", "journal", "list", "--data-dir", "d"]).is_err());
        let serves = parse(&["--manifests", "m", "--data-dir", "d"]).expect("parsed");
        assert!(serves.journal().is_none());
    }

    #[test]
    fn several_replicas_need_a_database() {
        let base = ["--manifests", "m", "--data-dir", "d"];
        let with = |flags: &[&str]| settings(&[&base[..], flags].concat());
        let url = ["--postgres", "postgres://m@localhost/mail"];
        assert!(
            with(&["--replicas", "1"])
                .expect("settings")
                .postgres
                .is_none()
        );
        let fault = with(&["--replicas", "2"]).expect_err("two stores");
        assert!(fault.contains("--postgres"), "{fault}");
        assert!(with(&["--ordinal", "0"]).is_ok());
        assert!(with(&[&url[..], &["--ordinal", "1"]].concat()).is_ok());
        let fault = with(&["--ordinal", "1"]).expect_err("a second store");
        assert!(
            fault.contains("--ordinal 1") && fault.contains("--postgres"),
            "{fault}"
        );
        let given = with(&[&url[..], &["--replicas", "2", "--spool-max", "1MiB"]].concat());
        let postgres = given.expect("settings").postgres.expect("a database");
        assert_eq!(postgres.spool_max_bytes, 1 << 20);
        for (wrong, named) in [
            (&["--postgres-password", "f"][..], "--postgres-password"),
            (&["--postgres-ca", "f"], "--postgres-ca"),
            (&["--spool-max", "1GiB"], "--spool-max"),
            (&[url[0], url[1], "--journal-max", "1GiB"], "--spool-max"),
            (&[url[0], url[1], "--spool-max", "0MiB"], "1MiB"),
        ] {
            let fault = with(wrong).expect_err("not together");
            assert!(fault.contains(named), "{fault}");
        }
    }

    #[test]
    fn tls_has_an_address_and_certificates() {
        let base = ["--manifests", "m", "--data-dir", "d"];
        let with = |flags: &[&str]| settings(&[&base[..], flags].concat());
        let (address, folder) = (["--public-tls", "[::]:8443"], ["--tls-dir", "t"]);
        assert_eq!(with(&[]).expect("settings").tls, None);
        let tls = with(&[address, folder].concat()).expect("settings").tls;
        let tls = tls.expect("TLS");
        assert_eq!((tls.address.port(), &*tls.folder), (8443, "t".as_ref()));
        let fault = with(&address).expect_err("no certificates");
        assert!(fault.contains("--tls-dir DIR is needed"), "{fault}");
        let fault = with(&folder).expect_err("no address");
        assert!(fault.contains("--public-tls"), "{fault}");
    }

    #[test]
    fn sizes_have_units_and_a_least() {
        assert_eq!(size("64MiB"), Ok(64 << 20));
        assert_eq!(size("10GiB"), Ok(10 << 30));
        for wrong in ["10", "10GB", "GiB", "63MiB", "99999999999TiB", "-1GiB", ""] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
        let given = settings(&[
            "--manifests",
            "m",
            "--data-dir",
            "d",
            "--journal-max",
            "1TiB",
        ]);
        assert_eq!(given.expect("settings").journal_max_bytes, Some(1 << 40));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(settle_time("0s"), Ok(Duration::ZERO));
        assert!(settle_time("3m").is_err_and(|said| said.contains("120s")));
        assert!(duration("20").is_err() && duration("s").is_err() && duration("1h").is_err());
    }
}
