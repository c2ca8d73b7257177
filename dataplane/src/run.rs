//! Starts, joins and drains the long-lived tasks, in a stated order.
//!
//! Start: data folder (locked) → addresses, of which the admin port answers from
//! here on → keyring → tracking domains → listeners → ready. Stop, on SIGTERM or SIGINT: not ready → readers' connections and
//! services' requests are answered and closed, within the drain's bound → the
//! store syncs what it holds → exit. Nothing that was answered is lost.

mod journal;
mod log;
mod open;
mod sinks;
mod source;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::admin::{self, Acks, Readiness};
use crate::args::{Args, Settings, SettingsError, Source};
use crate::cluster::callers::{self, ApiServer, Callers};
use crate::config::rules::{RulesBaseline, RulesFileError, RulesWatcher};
use crate::config::{self, Live, manifests};
use crate::judge::LiveRules;
use crate::metrics::Metrics;
use crate::postgres;
use crate::serve::tls::{Acceptor, CertificateWatcher, Tls};
use crate::store::{self, Retaining, Retention, Store};
use crate::{api, deliver, serve};

use open::{Base, keyring, open, ready, share};
use source::Opened;

pub use journal::look_into;
pub use log::tell;

/// Longest wait for the store's last sync, beyond the drain's own bound, and
/// beyond what shipping to a database may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
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
    /// The database's flags do not say where it is.
    #[error(transparent)]
    Postgres(#[from] postgres::AddressError),
    /// There is no keyring.
    #[error(transparent)]
    Keyring(#[from] crate::keyring::FileError),
    /// The manifests are wrong.
    #[error(transparent)]
    Manifests(#[from] manifests::ManifestErrors),
    /// The rules for verdicts are wrong.
    #[error("--rules: {0}")]
    Rules(#[from] RulesFileError),
    /// The API's settings are wrong.
    #[error(transparent)]
    Api(#[from] api::auth::ConfigError),
    /// Nobody's certificates can be checked.
    #[error(transparent)]
    Sinks(#[from] deliver::RootsError),
    /// The public address cannot be had.
    #[error(transparent)]
    Public(#[from] serve::BindError),
    /// TLS cannot be set up.
    #[error("--public-tls: {0}")]
    Tls(#[from] serve::tls::TlsError),
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

/// What goes on from the first look at the files.
struct Sources {
    domains: Opened,
    certificates: Option<CertificateWatcher>,
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
    runtime.block_on(serve_until_stopped(&settings))
}

async fn serve_until_stopped(settings: &Settings) -> Result<(), RunError> {
    let mut base = open(settings)?;
    let bound = bind(settings, base.acceptor.take()).await?;
    log::addresses(&bound.public, &bound.api, &bound.admin);
    // Asked for before "ready" is said: a signal is never missed.
    let asked_to_stop = asked_to_stop().map_err(RunError::Runtime)?;
    tokio::pin!(asked_to_stop);
    // It answers to the very end: probes should see "stopping".
    let live = Arc::new(OnceLock::new());
    let sinks = deliver::Handle::default();
    let context = admin_context(settings, &base, Arc::clone(&live), sinks.clone());
    let admin = tokio::spawn(admin::serve(bound.admin, context));
    let keyring = tokio::select! {
        keyring = keyring(settings, &base) => keyring?,
        () = &mut asked_to_stop => {
            close(&base.store).await;
            return Ok(());
        }
    };
    let (shared, sources) = share(settings, base, keyring)?;
    let _ = live.set(Arc::clone(&shared.live));
    let listeners = (bound.public, bound.api);
    let started = start(settings, &shared, sources, listeners, (admin, sinks))?;
    tokio::select! {
        () = asked_to_stop => {}
        () = ready(&shared, settings.postgres.is_some()) => {}
    }
    started.stop(settings, &shared).await;
    Ok(())
}

// === Start ===

async fn bind(settings: &Settings, tls: Option<Acceptor>) -> Result<Bound, RunError> {
    Ok(Bound {
        public: serve::bind(public_settings(settings, tls))?,
        api: listen("--api", settings.api).await?,
        admin: listen("--admin", settings.admin).await?,
    })
}

fn public_settings(settings: &Settings, acceptor: Option<Acceptor>) -> serve::Settings {
    let address = settings.tls.as_ref().map(|tls| tls.address);
    serve::Settings {
        tls: address
            .zip(acceptor)
            .map(|(address, acceptor)| Tls { address, acceptor }),
        runtimes: settings.public_threads,
        trusted_proxies: settings.trusted_proxies.clone(),
        proxy_protocol: settings.proxy_protocol,
        unknown_keys: match settings.source {
            // One machine, one keyring: nobody else seals tokens.
            Source::Manifests(_) => serve::UnknownKeys::Forged,
            Source::ConfigDir(_) | Source::Cluster { .. } => serve::UnknownKeys::MayCome,
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

fn authorizer(
    settings: &Settings,
    metrics: &Metrics,
) -> Result<Arc<dyn api::Authorizer>, RunError> {
    if matches!(settings.source, Source::Cluster { .. }) && settings.api_tokens.is_none() {
        let (server, clock) = (ApiServer::default(), callers::clock());
        return Ok(Arc::new(Callers::new(
            server,
            clock,
            metrics.reviews.clone(),
        )));
    }
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
    sources: Sources,
    (public, api): (serve::Bound, TcpListener),
    (admin, sinks): (JoinHandle<io::Result<()>>, deliver::Handle),
) -> Result<Started, RunError> {
    let Shared {
        live,
        rules,
        store,
        metrics,
        readiness: _,
        key_missing,
    } = shared;
    log::rules(settings.rules.as_deref());
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    sinks::start(settings, shared, &sinks, &stopping, &mut tasks)?;
    tasks.spawn(api::serve(
        api,
        api::Context {
            live: Arc::clone(live),
            store: store.clone(),
            sinks,
            metrics: Arc::clone(metrics),
            local_port: public.addr().port(),
            clock: Arc::new(Timestamp::now),
            authorizer: authorizer(settings, metrics)?,
            settings: api::Settings {
                drain_time: settings.drain,
                ..api::Settings::default()
            },
        },
        stopped(stopping.clone()),
    ));
    sources.domains.follow(shared, &stopping, &mut tasks);
    watch_rules(shared, sources.rules, &stopping, &mut tasks);
    if let Some(watcher) = sources.certificates {
        tasks.spawn(config::watch(watcher, stopped(stopping.clone())));
    }
    tasks.spawn(crate::keyring::follow(
        settings.keyring.path.clone(),
        Arc::clone(live),
        Arc::clone(key_missing),
        stopping,
    ));
    let public = public.start(serve::Context {
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

fn admin_context(
    settings: &Settings,
    base: &Base,
    live: Arc<OnceLock<Arc<Live>>>,
    sinks: deliver::Handle,
) -> admin::Context {
    let rules_file = settings.rules.as_deref();
    admin::Context {
        live,
        acks: Arc::new(Acks::new(settings.pod_uid.clone())),
        sinks,
        metrics: Arc::clone(&base.metrics),
        readiness: Arc::clone(&base.readiness),
        rules_file: rules_file.map(|path| path.display().to_string()),
    }
}

/// Rules are read again when they change.
fn watch_rules(
    shared: &Shared,
    baseline: Option<RulesBaseline>,
    stopping: &watch::Receiver<bool>,
    tasks: &mut JoinSet<()>,
) {
    if let Some(baseline) = baseline {
        let rules = Arc::clone(&shared.rules);
        let watcher = RulesWatcher::new(baseline, rules, shared.metrics.config.clone());
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
        close(&shared.store).await;
        self.admin.abort();
    }
}

async fn close(store: &Store) {
    // Without a database nothing of the second part is needed.
    match tokio::time::timeout(CLOSE_WITHIN + postgres::SHIP_TIME, store.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(_)) => tracing::error!("the store could not keep all that was queued"),
        Err(_) => tracing::error!("the store did not reach the disk in time"),
    }
    tracing::info!("stopped");
}
