//! The public listener: pixels, links, withdrawals and a few fixed paths, over
//! HTTP/1.1 and HTTP/2 with prior knowledge.
//!
//! [`bind`] takes the port, and another for the same over [`tls`] where that is
//! wanted; [`Bound::start`] runs one thread per core, each with a listener of
//! its own on either (`SO_REUSEPORT`), and [`Running::drain`] ends them. A request's way ([`route`] → open the token →
//! hit → event → store → [`respond`]) stays on its thread, logs nothing, and
//! waits for nothing but the group commit of its event, [`EVENT_WAIT`] at most.
//!
//! Guarantees: a redirect leads where an authenticated token says and nowhere
//! else; an answered event was on disk or is counted as deferred or not kept;
//! no body is read; everything has a limit ([`Limits`]).

mod answer;
mod apps;
mod bind;
pub mod client;
mod connection;
mod counts;
mod descriptors;
mod listen;
mod open;
mod page;
mod places;
pub mod proxy_header;
mod pulse;
mod refuse;
mod respond;
pub mod route;
mod runtime;
mod settings;
pub mod tls;
mod waits;
mod walk;
mod wire;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use tokio::runtime::LocalOptions;
use tokio::sync::{Notify, oneshot, watch};

use crate::config::Live;
use crate::judge::LiveRules;
use crate::metrics::Metrics;
use crate::store::Store;

pub use bind::{BindError, Bound, bind};
pub use counts::Counts;
pub use respond::PIXEL;
pub use settings::{Limits, Settings, UnknownKeys};

use listen::{Sockets, Stage};
use places::Places;
use runtime::Runtime;

/// Longest that an answer waits for its event to be on disk.
pub const EVENT_WAIT: Duration = Duration::from_millis(50);
/// Longest that a withdrawal waits to be on disk; a person waits for the page.
pub const WITHDRAWAL_WAIT: Duration = Duration::from_secs(5);
/// What the listener works with.
#[derive(Clone)]
pub struct Context {
    /// Domains and keys.
    pub live: Arc<Live>,
    /// What hits are judged by.
    pub rules: Arc<LiveRules>,
    /// Where events go.
    pub store: Store,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// The time of day.
    pub clock: fn() -> Timestamp,
    /// Told when a token names a key that is not known here: the keyring is to
    /// be read again at once.
    pub key_missing: Arc<Notify>,
}

/// The listener, serving.
#[derive(Debug)]
pub struct Running {
    stage: watch::Sender<Stage>,
    threads: Vec<Thread>,
    address: SocketAddr,
    tls_address: Option<SocketAddr>,
}

#[derive(Debug)]
struct Thread {
    handle: JoinHandle<()>,
    /// How many connections it cut off.
    ended: oneshot::Receiver<usize>,
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections still busy at the deadline, and cut off.
    pub cut_off: usize,
}

/// A thread of the listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot start a thread of the public listener")]
pub struct StartError(#[from] io::Error);

// === Bound ===

impl Bound {
    /// Starts a thread per runtime.
    pub fn start(self, context: Context) -> Result<Running, StartError> {
        let (stage, _) = watch::channel(Stage::Serving);
        let places = Places::new(&self.settings.limits);
        let (address, tls_address) = (self.addr(), self.tls_addr());
        let mut of_tls = self.tls.into_iter().flat_map(|tls| tls.listeners);
        let mut threads = Vec::new();
        for (at, plain) in self.plain.listeners.into_iter().enumerate() {
            let (settings, places) = (self.settings.clone(), Arc::clone(&places));
            let (context, stage) = (context.clone(), stage.subscribe());
            let runtime = move || Runtime::new(settings, places, context);
            let tls = of_tls.next();
            threads.push(Thread::start(at, Sockets { plain, tls }, runtime, stage)?);
        }
        Ok(Running {
            stage,
            threads,
            address,
            tls_address,
        })
    }
}

// === Thread ===

impl Thread {
    fn start(
        at: usize,
        sockets: Sockets<TcpListener>,
        runtime: impl FnOnce() -> Runtime + Send + 'static,
        stage: watch::Receiver<Stage>,
    ) -> Result<Self, StartError> {
        let (tell, ended) = oneshot::channel();
        let (ready, started) = std::sync::mpsc::sync_channel(1);
        let body = move || {
            let tokio = match tokio_runtime() {
                Ok(tokio) => tokio,
                Err(error) => return drop(ready.send(Err(error))),
            };
            tokio.block_on(async {
                let sockets = match sockets.on_this_runtime() {
                    Ok(sockets) => sockets,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                drop(ready.send(Ok(())));
                let cut_off = listen::run(sockets, Rc::new(runtime()), stage).await;
                let _ = tell.send(cut_off);
            });
        };
        let name = format!("serve-{at}");
        let handle = std::thread::Builder::new().name(name).spawn(body)?;
        started
            .recv()
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
        Ok(Self { handle, ended })
    }
}

fn tokio_runtime() -> io::Result<tokio::runtime::LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
}

// === Running ===

impl Running {
    /// The address that is served.
    pub fn addr(&self) -> SocketAddr {
        self.address
    }

    /// The address that is served over TLS, if there is one.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls_address
    }

    /// Still serves and accepts, but every connection ends with the answer it
    /// is at (`Connection: close`, HTTP/2 GOAWAY): whoever balances the load
    /// needs some seconds to learn that this replica leaves.
    pub fn leave(&self) {
        self.advance(Stage::Leaving);
    }

    /// Accepts no more, answers what has begun, and ends; what is not answered
    /// within the deadline is cut off. Events of answers are the store's by then.
    pub async fn drain(self, deadline: Duration) -> Drained {
        self.advance(Stage::Draining);
        let (handles, mut ended): (Vec<_>, Vec<_>) = self
            .threads
            .into_iter()
            .map(|thread| (thread.handle, thread.ended))
            .unzip();
        let mut all = std::pin::pin!(async {
            let mut cut_off = 0;
            for thread in &mut ended {
                cut_off += thread.await.unwrap_or(0);
            }
            cut_off
        });
        let cut_off = match tokio::time::timeout(deadline, &mut all).await {
            Ok(cut_off) => cut_off,
            Err(_) => {
                self.stage.send_replace(Stage::Over);
                all.await
            }
        };
        // Each thread has told its end: joining waits for its last lines only.
        for handle in handles {
            let _ = handle.join();
        }
        Drained { cut_off }
    }

    fn advance(&self, to: Stage) {
        self.stage.send_if_modified(|stage| {
            let earlier = *stage < to;
            *stage = to.max(*stage);
            earlier
        });
    }
}
