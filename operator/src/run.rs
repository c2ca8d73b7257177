//! Starts, joins and ends the long-lived tasks, in a stated order.
//!
//! Always: the watches, the lease, the admin port. While leading, in this order:
//! what stands in the cluster is read and marked as ours, then the keyring, then
//! turns, writes and questions to replicas go on side by side until the lease is
//! lost. Stop, on SIGTERM or SIGINT: the term ends, then the lease is given up.

mod log;
mod term;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::{Api, Client, Config};
use mailtrail_core::id::Host;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::args::{Args, Settings, SettingsError};
use crate::expose::settings::{Exposure, ExposureError};
use crate::lease::Candidate;
use crate::metrics::Metrics;
use crate::policy::{HostPolicy, PolicyError};
use crate::queue::Inbox;
use crate::sink::known::Known;
use crate::verify::dns::Resolver;
use crate::verify::probe::{Prober, RootsError};
use crate::world::World;
use crate::{admin, watch};

pub use log::tell;

/// Threads: the work is waiting for the API server.
const THREADS: usize = 2;

/// Why the program does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Flags that do not go together.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The log filter is none.
    #[error("--log: {0}")]
    LogFilter(String),
    /// There is no cluster to work with.
    #[error("no cluster: {0}")]
    Cluster(String),
    /// The policy of hosts is wrong.
    #[error("--host-policy {path}: {source}")]
    Policy {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: PolicyError,
    },
    /// How hosts get out is wrong.
    #[error("--exposure {path}: {source}")]
    Exposure {
        /// The file.
        path: PathBuf,
        /// The fault.
        source: ExposureError,
    },
    /// Routes, DNS records and certificates would be made for whatever host a
    /// namespace asks for.
    #[error(
        "--exposure {path}: mode {mode} needs --host-policy, which says what namespaces may use which hosts: otherwise whoever may create a TrackingDomain would have any host exposed"
    )]
    NoPolicy {
        /// The file.
        path: PathBuf,
        /// What is to be made.
        mode: &'static str,
    },
    /// Hosts cannot be looked up.
    #[error("--resolver: {0}")]
    Resolver(String),
    /// Certificates cannot be checked.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// An address cannot be had.
    #[error("--admin {address}: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The runtime does not start.
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

/// What lives as long as the process.
struct Shared {
    settings: Settings,
    namespace: String,
    client: Client,
    policy: HostPolicy,
    exposure: Option<Arc<Exposure>>,
    world: Arc<World>,
    sinks: Arc<Known>,
    inbox: Arc<Inbox>,
    /// Hosts that are exposed, or were.
    hosts: Arc<Inbox<Host>>,
    metrics: Arc<Metrics>,
    synced: watch::Synced,
    resolver: Resolver,
    prober: Prober,
}

/// Runs until a signal asks for a stop.
pub fn run(args: Args) -> Result<(), RunError> {
    log::start(&args)?;
    let unique = uuid::Uuid::new_v4().simple().to_string();
    let settings = args.settings(&unique[..8])?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .thread_name("mailtrail")
        .enable_all()
        .build()
        .map_err(RunError::Runtime)?;
    runtime.block_on(run_async(settings))
}

async fn run_async(settings: Settings) -> Result<(), RunError> {
    let policy = read_policy(&settings)?;
    let exposure = read_exposure(&settings)?.map(Arc::new);
    // A second call keeps the first, which is the same.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let resolver = Resolver::new(settings.probe.resolver)
        .map_err(|error| RunError::Resolver(error.to_string()))?;
    let prober = Prober::new(settings.probe.port, settings.probe.ca.as_deref())?;
    let (client, namespace) = connect(&settings).await?;
    let listener = bind(settings.admin).await?;
    log::addresses(&listener);
    let mut tasks = JoinSet::new();
    let metrics = Arc::new(Metrics::new());
    let inbox = Arc::new(Inbox::default());
    let hosts = Arc::new(Inbox::default());
    let world = World::new(settings.class.clone(), Arc::clone(&inbox));
    let exposes = exposure.as_ref().and_then(|exposure| exposure.kind());
    let world = Arc::new(match exposes {
        Some(_) => world.naming_hosts(Arc::clone(&hosts)),
        None => world,
    });
    let sinks = Arc::new(Known::new(Arc::clone(&inbox)));
    let namespaces = &settings.watch_namespaces;
    watch::start_sinks(&client, namespaces, &sinks, &metrics, &mut tasks);
    let synced = watch::start(
        &client,
        &settings.watch_namespaces,
        &world,
        &metrics,
        &mut tasks,
    );
    let candidate = Arc::new(candidate(&settings, &client, &namespace));
    let shared = Arc::new(Shared {
        settings,
        namespace,
        client,
        policy,
        exposure,
        world,
        sinks,
        inbox,
        hosts,
        metrics,
        synced,
        resolver,
        prober,
    });
    let admin = admin::serve(listener, admin_context(&shared));
    tasks.spawn(async move {
        let _ = admin.await;
    });
    lead_until_stopped(&shared, candidate).await?;
    tasks.shutdown().await;
    tracing::info!("stopped");
    Ok(())
}

/// Takes part in the election, and leads whenever it is won, until a signal asks
/// for a stop.
async fn lead_until_stopped(
    shared: &Arc<Shared>,
    candidate: Arc<Candidate>,
) -> Result<(), RunError> {
    let asked_to_stop = asked_to_stop().map_err(RunError::Runtime)?;
    let election = Arc::clone(&candidate);
    let election = tokio::spawn(async move { election.run().await });
    tokio::select! {
        () = asked_to_stop => {}
        () = term::lead(shared, &candidate) => {}
    }
    tracing::info!("stopping");
    // First of all nobody tries to have the lease any more.
    election.abort();
    let _ = election.await;
    candidate.release().await;
    Ok(())
}

fn candidate(settings: &Settings, client: &Client, namespace: &str) -> Candidate {
    Candidate::new(
        Api::<Lease>::namespaced(client.clone(), namespace),
        settings.identity.clone(),
        settings.lease,
        Timestamp::now,
    )
}

fn read_policy(settings: &Settings) -> Result<HostPolicy, RunError> {
    match &settings.host_policy {
        None => Ok(HostPolicy::default()),
        Some(path) => HostPolicy::read(path).map_err(|source| RunError::Policy {
            path: path.clone(),
            source,
        }),
    }
}

/// How hosts get out. Where anything is made of them, who may use which must be
/// said: a route brings DNS records and certificates with it.
fn read_exposure(settings: &Settings) -> Result<Option<Exposure>, RunError> {
    let Some(path) = &settings.exposure else {
        return Ok(None);
    };
    let exposure = Exposure::read(path).map_err(|source| RunError::Exposure {
        path: path.clone(),
        source,
    })?;
    match exposure.kind() {
        Some(kind) if settings.host_policy.is_none() => Err(RunError::NoPolicy {
            path: path.clone(),
            mode: kind.as_str(),
        }),
        _ => Ok(Some(exposure)),
    }
}

/// The usual rules: a kubeconfig, or what a pod is given.
async fn connect(settings: &Settings) -> Result<(Client, String), RunError> {
    let cluster = |error: &dyn std::error::Error| RunError::Cluster(watch::chain(error));
    let config = Config::infer().await.map_err(|error| cluster(&error))?;
    let namespace = settings
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let client = Client::try_from(config).map_err(|error| cluster(&error))?;
    Ok((client, namespace))
}

async fn bind(address: SocketAddr) -> Result<TcpListener, RunError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| RunError::Bind { address, source })
}

fn admin_context(shared: &Shared) -> admin::Context {
    admin::Context {
        metrics: Arc::clone(&shared.metrics),
        synced: shared.synced.clone(),
        world: Arc::clone(&shared.world),
        sinks: Arc::clone(&shared.sinks),
        inbox: Arc::clone(&shared.inbox),
    }
}

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
