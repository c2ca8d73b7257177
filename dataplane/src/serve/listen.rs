//! Accepts connections on one thread, and drains it.

use std::net::IpAddr;
use std::rc::Rc;
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

/// Serves until it is told to stop; the connections cut off by that.
pub(super) async fn run(
    listener: TcpListener,
    runtime: Rc<Runtime>,
    mut stage: watch::Receiver<Stage>,
) -> usize {
    let watched = Rc::clone(&runtime);
    let watch = tokio::task::spawn_local(async move { watched.pulses.watch().await });
    let waited = Rc::clone(&runtime);
    let waits =
        tokio::task::spawn_local(async move { waited.waits.watch(&waited.context.store).await });
    accept_until_draining(&listener, &runtime, &mut stage).await;
    accept_backlog(&listener, &runtime);
    drop(listener);
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
    listener: &TcpListener,
    runtime: &Rc<Runtime>,
    stage: &mut watch::Receiver<Stage>,
) {
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => begin(stream, peer.ip(), runtime),
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

/// What the system has accepted for us already would be reset by closing.
fn accept_backlog(listener: &TcpListener, runtime: &Rc<Runtime>) {
    let waker = std::task::Waker::noop();
    let mut cx = std::task::Context::from_waker(waker);
    while let std::task::Poll::Ready(Ok((stream, peer))) = listener.poll_accept(&mut cx) {
        begin(stream, peer.ip(), runtime);
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

async fn accept_failed(error: &std::io::Error, runtime: &Runtime) {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset};
    if !matches!(error.kind(), ConnectionAborted | ConnectionReset) {
        // Once, and then by the metric: it would come twenty times a second.
        if runtime.context.metrics.serve.accept_errors.inc() == 0 {
            tracing::warn!(%error, "the system cannot hand over connections");
        }
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
