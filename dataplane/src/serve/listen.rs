//! Accepts connections on one thread, and drains it.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection;
use super::runtime::Runtime;

/// Pause after the system could not hand over a connection: for want of
/// descriptors, the next try would fail the same way.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How far the listener has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Serving.
    Serving,
    /// Serving, and every connection ends with the answer it is at.
    Leaving,
    /// Accepting no more; what has begun is answered.
    Draining,
    /// At an end, whatever has begun.
    Over,
}

/// What one thread listens on.
pub(super) struct Sockets<L> {
    pub(super) plain: L,
    /// Where TLS is spoken, if it is.
    pub(super) tls: Option<L>,
}

impl Sockets<std::net::TcpListener> {
    /// The same, known to the runtime that this is called on.
    pub(super) fn on_this_runtime(self) -> io::Result<Sockets<TcpListener>> {
        Ok(Sockets {
            plain: TcpListener::from_std(self.plain)?,
            tls: self.tls.map(TcpListener::from_std).transpose()?,
        })
    }
}

/// Serves until it is told to stop; the connections cut off by that.
pub(super) async fn run(
    sockets: Sockets<TcpListener>,
    runtime: Rc<Runtime>,
    mut stage: watch::Receiver<Stage>,
) -> usize {
    let watched = Rc::clone(&runtime);
    let watch = tokio::task::spawn_local(async move { watched.pulses.watch().await });
    let waited = Rc::clone(&runtime);
    let waits =
        tokio::task::spawn_local(async move { waited.waits.watch(&waited.context.store).await });
    accept_until_draining(&sockets, &runtime, &mut stage).await;
    accept_backlog(&sockets, &runtime);
    drop(sockets);
    runtime.pulses.finish();
    tokio::select! {
        () = runtime.pulses.emptied() => {}
        () = reached(&mut stage, Stage::Over) => {}
    }
    watch.abort();
    waits.abort();
    // What those cut off have handed in last.
    runtime.context.store.ring();
    runtime.pulses.len()
}

async fn accept_until_draining(
    sockets: &Sockets<TcpListener>,
    runtime: &Rc<Runtime>,
    stage: &mut watch::Receiver<Stage>,
) {
    loop {
        tokio::select! {
            accepted = sockets.plain.accept() => match accepted {
                Ok((stream, peer)) => begin(stream, peer.ip(), runtime),
                Err(error) => accept_failed(&error, runtime).await,
            },
            accepted = accept_tls(sockets) => match accepted {
                Ok((stream, peer)) => begin_tls(stream, peer.ip(), runtime),
                Err(error) => accept_failed(&error, runtime).await,
            },
            changed = stage.changed() => {
                let now = *stage.borrow_and_update();
                if changed.is_err() || now >= Stage::Draining {
                    return;
                }
                if now == Stage::Leaving {
                    runtime.pulses.finish();
                }
            }
        }
    }
}

/// Where no TLS is spoken, never.
async fn accept_tls(sockets: &Sockets<TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match &sockets.tls {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

/// What the system has accepted for us already would be reset by closing.
fn accept_backlog(sockets: &Sockets<TcpListener>, runtime: &Rc<Runtime>) {
    let mut cx = Context::from_waker(Waker::noop());
    while let Poll::Ready(Ok((stream, peer))) = sockets.plain.poll_accept(&mut cx) {
        begin(stream, peer.ip(), runtime);
    }
    let Some(tls) = &sockets.tls else { return };
    while let Poll::Ready(Ok((stream, peer))) = tls.poll_accept(&mut cx) {
        begin_tls(stream, peer.ip(), runtime);
    }
}

/// Whether the stage was reached, or whoever sets it is gone.
async fn reached(stage: &mut watch::Receiver<Stage>, wanted: Stage) {
    let _ = stage.wait_for(|now| *now >= wanted).await;
}

fn begin(stream: TcpStream, peer: IpAddr, runtime: &Rc<Runtime>) {
    // Small answers go out at once; a socket that refuses is gone already.
    let _ = stream.set_nodelay(true);
    let runtime = Rc::clone(runtime);
    match runtime.places.take() {
        Ok(place) => {
            tokio::task::spawn_local(connection::serve(stream, peer, place, runtime));
        }
        Err(refusal) => {
            runtime.context.metrics.serve.refusal(refusal);
            if let Some(response) = refusal.bare_response() {
                let _ = stream.try_write(response.as_bytes());
            }
        }
    }
}

/// Refused without a word: what is not encrypted means nothing there.
fn begin_tls(stream: TcpStream, peer: IpAddr, runtime: &Rc<Runtime>) {
    let Some(tls) = &runtime.settings.tls else {
        return; // nobody listens there then
    };
    let _ = stream.set_nodelay(true);
    match runtime.places.take() {
        Ok(place) => {
            let (acceptor, runtime) = (tls.acceptor.clone(), Rc::clone(runtime));
            let serve = connection::serve_tls(stream, acceptor, peer, place, runtime);
            tokio::task::spawn_local(serve);
        }
        Err(refusal) => runtime.context.metrics.serve.refusal(refusal),
    }
}

async fn accept_failed(error: &io::Error, runtime: &Runtime) {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        // Once, and then by the metric: it would come twenty times a second.
        if runtime.context.metrics.serve.accept_errors.inc() == 0 {
            tracing::warn!(%error, "the system cannot hand over connections");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
