//! Starts, joins and drains the long-lived tasks, in a stated order.
//!
//! Start: data folder (locked) → keyring → tracking domains → listeners →
//! ready. Stop, on SIGTERM or SIGINT: not ready → readers' connections and
//! services' requests are answered and closed, within the drain's bound → the
//! store syncs what it holds → exit. Nothing that was answered is lost.

mod journal;
mod log;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mailtrail_core::token::Keys;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::admin::{self, Readiness};
use crate::args::{Args, Settings, SettingsError, Source};
use crate::config::manifests::{self, Baseline};
use crate::config::rules::{self, RulesBaseline, RulesFileError, RulesWatcher};
use crate::config::{self, Kept, Live, Watcher};
use crate::judge::{LiveRules, Rules};
use crate::metrics::Metrics;
use crate::store::{self, Retaining, Retention, Store};
use crate::{api, keyring, serve};

pub use journal::look_into;
pub use log::tell;

/// Longest wait for the store's last sync, beyond the drain's own bound.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How often it is asked whether the list of withdrawals is loaded.
const LOADED_POLL: Duration = Duration::from_millis(10);
/// Threads that carry the API, the admin port and the watchers.
const SIDE_THREADS: usize = 2;

/// Why the program does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Flags that do not go together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log filter is none.
    #[error("--log: {0}")]
    LogFilter(String),
    /// The data folder cannot be used.
    #[error(transparent)]
    Store(#[from] store::OpenError),
    /// The data folder cannot be made or looked into.
    #[error("data folder {path}: {source}")]
    DataDir {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no keyring.
    #[error(transparent)]
    Keyring(#[from] keyring::FileError),
    /// The manifests are wrong.
    #[error(transparent)]
    Manifests(#[from] manifests::ManifestErrors),
    /// The rules for verdicts are wrong.
    #[error("--rules: {0}")]
    Rules(#[from] RulesFileError),
    /// The API's settings are wrong.
    #[error(transparent)]
    Api(#[from] api::auth::ConfigError),
    /// The public address cannot be had.
    #[error("--public: {0}")]
    Public(#[from] serve::BindError),
    /// The public listener's threads do not start.
    #[error(transparent)]
    Threads(#[from] serve::StartError),
    /// An address cannot be had.
    #[error("{flag} {address}: {source}")]
    Bind {
        /// The flag.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime does not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

/// What the tasks share.
struct Shared {
    live: Arc<Live>,
    rules: Arc<LiveRules>,
    store: Store,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    key_missing: Arc<Notify>,
}

/// What the files' later states are compared with.
struct Baselines {
    manifests: Baseline,
    rules: Option<RulesBaseline>,
}

/// The addresses, taken before anything is served.
struct Bound {
    public: serve::Bound,
    api: TcpListener,
    admin: TcpListener,
}

/// Runs until a signal asks for a stop.
pub fn run(args: Args) -> Result<(), RunError> {
    log::start(&args)?;
    let settings = args.settings()?;
    log::short_settle(settings.settle);
    // The public listener has runtimes of its own, one per core; this one
    // carries the API, the admin port and the watchers.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SIDE_THREADS)
        .thread_name("mailtrail")
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let (shared, baselines) = open(&settings)?;
        let bound = bind(&settings).await?;
        // Asked for before "ready" is said: a signal is never missed.
        let asked_to_stop = asked_to_stop().map_err(RunError::Runtime)?;
        let started = start(&settings, &shared, baselines, bound)?;
        let ready = async {
            // Until then nothing that names a recipient would be recorded.
            while !shared.store.withdrawals_loaded() {
                tokio::time::sleep(LOADED_POLL).await;
            }
            shared.readiness.ready();
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = asked_to_stop => {}
            () = ready => {}
        }
        started.stop(&settings, &shared).await;
        Ok(())
    })
}

// === Start ===

/// Opens what is on disk: the data folder before the keyring, since its lock
/// says that no other process is at work on that either.
fn open(settings: &Settings) -> Result<(Shared, Baselines), RunError> {
    let metrics = Arc::new(Metrics::new());
    let used_before = store::was_used(&settings.data_dir);
    let (rules, rules_baseline) = match settings.rules.clone().map(rules::load).transpose()? {
        Some((rules, baseline)) => (rules, Some(baseline)),
        None => (Rules::shipped(), None),
    };
    let rules = Arc::new(LiveRules::new(rules));
    let store = Store::open(
        store::Settings {
            settle: settings.settle,
            journal_max_bytes: settings.journal_max_bytes,
            rules: Some(Arc::clone(&rules)),
            ..store::Settings::at(settings.data_dir.clone())
        },
        Arc::clone(&metrics),
    )?;
    let keyring = keyring::open(&settings.keyring, used_before)?;
    let Source::Manifests(path) = &settings.source;
    let loaded = manifests::load_and_keep(path, &Kept::in_folder(&settings.data_dir), used_before)?;
    loaded.log("loaded");
    let shared = Shared {
        live: Arc::new(Live::new(loaded.snapshot, Keys::new(keyring))),
        rules,
        store,
        metrics,
        readiness: Arc::default(),
        key_missing: Arc::default(),
    };
    let baselines = Baselines {
        manifests: loaded.baseline,
        rules: rules_baseline,
    };
    Ok((shared, baselines))
}

async fn bind(settings: &Settings) -> Result<Bound, RunError> {
    Ok(Bound {
        public: serve::bind(public_settings(settings))?,
        api: listen("--api", settings.api).await?,
        admin: listen("--admin", settings.admin).await?,
    })
}

fn public_settings(settings: &Settings) -> serve::Settings {
    serve::Settings {
        runtimes: settings.public_threads,
        trusted_proxies: settings.trusted_proxies.clone(),
        proxy_protocol: settings.proxy_protocol,
        unknown_keys: match settings.source {
            // One machine, one keyring: nobody else seals tokens.
            Source::Manifests(_) => serve::UnknownKeys::Forged,
        },
        ..serve::Settings::at(settings.public)
    }
}

async fn listen(flag: &'static str, address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Bind {
            flag,
            address,
            source,
        })
}

fn authorizer(settings: &Settings) -> Result<Arc<dyn api::Authorizer>, RunError> {
    let callers = api::auth::Settings {
        tokens_file: settings.api_tokens.clone(),
        listens_on: settings.api.ip(),
    };
    Ok(callers.authorizer()?)
}

/// What runs until a stop is asked for.
struct Started {
    public: serve::Running,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    admin: JoinHandle<io::Result<()>>,
    retaining: Retaining,
}

fn start(
    settings: &Settings,
    shared: &Shared,
    baselines: Baselines,
    bound: Bound,
) -> Result<Started, RunError> {
    let Shared {
        live,
        rules,
        store,
        metrics,
        readiness: _,
        key_missing,
    } = shared;
    log::addresses(&bound.public, &bound.api, &bound.admin);
    log::rules(settings.rules.as_deref());
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(api::serve(
        bound.api,
        api::Context {
            live: Arc::clone(live),
            store: store.clone(),
            metrics: Arc::clone(metrics),
            local_port: bound.public.addr().port(),
            clock: Arc::new(Timestamp::now),
            authorizer: authorizer(settings)?,
            settings: api::Settings {
                drain_time: settings.drain,
                ..api::Settings::default()
            },
        },
        stopped(stopping.clone()),
    ));
    watch_files(settings, shared, baselines, &stopping, &mut tasks);
    let keyring = settings.keyring.path.clone();
    tasks.spawn(keyring::follow(
        keyring,
        Arc::clone(live),
        Arc::clone(key_missing),
        stopping,
    ));
    // It answers to the very end: probes should see "stopping".
    let admin = tokio::spawn(admin::serve(bound.admin, admin_context(settings, shared)));
    let public = bound.public.start(serve::Context {
        live: Arc::clone(live),
        rules: Arc::clone(rules),
        store: store.clone(),
        metrics: Arc::clone(metrics),
        clock: Timestamp::now,
        key_missing: Arc::clone(key_missing),
    })?;
    Ok(Started {
        public,
        retaining: retain(shared)?,
        stop,
        tasks,
        admin,
    })
}

fn admin_context(settings: &Settings, shared: &Shared) -> admin::Context {
    let rules_file = settings.rules.as_deref();
    admin::Context {
        live: Arc::clone(&shared.live),
        metrics: Arc::clone(&shared.metrics),
        readiness: Arc::clone(&shared.readiness),
        rules_file: rules_file.map(|path| path.display().to_string()),
    }
}

/// Manifests and rules are read again when they change.
fn watch_files(
    settings: &Settings,
    shared: &Shared,
    baselines: Baselines,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    let metrics = &shared.metrics.config;
    let Source::Manifests(path) = settings.source.clone();
    let live = Arc::clone(&shared.live);
    let kept = Kept::in_folder(&settings.data_dir);
    let watcher = Watcher::new(path, baselines.manifests, live, metrics.clone(), kept);
    tasks.spawn(config::watch(watcher, stopped(stopping.clone())));
    if let Some(baseline) = baselines.rules {
        let rules = Arc::clone(&shared.rules);
        let watcher = RulesWatcher::new(baseline, rules, metrics.clone());
        tasks.spawn(config::watch(watcher, stopped(stopping.clone())));
    }
}

/// Begins to remove what is past the retention that domains have at each look.
fn retain(shared: &Shared) -> Result<Retaining, RunError> {
    let live = Arc::clone(&shared.live);
    let retention = move || Retention::of(&live.snapshot());
    shared
        .store
        .retain(retention, store::now_ms)
        .map_err(RunError::Runtime)
}

// === Stop ===

/// Ready when SIGTERM or SIGINT arrives.
fn asked_to_stop() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // An error says that the sender is gone, which is a stop as well.
    let _ = stopping.wait_for(|stop| *stop).await;
}

impl Started {
    async fn stop(mut self, settings: &Settings, shared: &Shared) {
        let drain_ms = u64::try_from(settings.drain.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(drain_ms, "stopping: answering what is under way");
        shared.readiness.stopping();
        if !settings.leave.is_zero() {
            self.public.leave();
            tokio::time::sleep(settings.leave).await;
        }
        self.stop.send_replace(true);
        // The API drains beside the public listener, each within the same bound.
        let side = async { while self.tasks.join_next().await.is_some() {} };
        let (drained, ()) = tokio::join!(self.public.drain(settings.drain), side);
        if drained.cut_off > 0 {
            tracing::warn!(
                connections = drained.cut_off,
                "some connections were cut off at the drain's end"
            );
        }
        drop(self.retaining);
        match tokio::time::timeout(CLOSE_WITHIN, shared.store.close()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => tracing::error!("the store could not keep all that was queued"),
            Err(_) => tracing::error!("the store did not reach the disk in time"),
        }
        self.admin.abort();
        tracing::info!("stopped");
    }
}
