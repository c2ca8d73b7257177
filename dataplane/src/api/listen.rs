//! Puts the API on a port: accept, connection, drain.
//!
//! axum's own server has no bound on how long a request's head may take, on
//! connections, or on the drain; this is hyper with all three.

use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::Sleep;

use super::settings::{HEAD_MAX_BYTES, HEADERS_MAX};
use super::{Context, Settings, bare, router};

/// Most streams at once in one HTTP/2 connection.
const STREAMS_MAX: u32 = 64;
/// How long accepting pauses when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is ready, then answers what has begun, and returns
/// when the last connection has ended or `drain_time` is over.
pub async fn serve(listener: TcpListener, context: Context, shutdown: impl Future<Output = ()>) {
    let settings = context.settings;
    let router = router(context);
    let places = Arc::new(Semaphore::new(settings.connections_max));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        let (stream, place) = tokio::select! {
            biased;
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let one = Connection {
            stream,
            place,
            settings,
            router: router.clone(),
            watcher: graceful.watcher(),
        };
        connections.spawn(one.run());
        while connections.try_join_next().is_some() {}
    }
    drop(listener);
    if tokio::time::timeout(settings.drain_time, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("Connections of the API were still open at the end of the drain");
    }
    connections.shutdown().await;
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed; without a permit the bound would be off.
    let place = Arc::clone(places).acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, place),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "The API cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

struct Connection {
    stream: TcpStream,
    place: Option<OwnedSemaphorePermit>,
    settings: Settings,
    router: Router,
    watcher: Watcher,
}

impl Connection {
    async fn run(self) {
        let Self {
            stream,
            place,
            settings,
            router,
            watcher,
        } = self;
        // Answers are small or written at once: waiting to fill a segment only delays.
        let _ = stream.set_nodelay(true);
        let io = TokioIo::new(Bounded::new(stream, settings.stall_time));
        let builder = builder(settings);
        let connection = builder.serve_connection(io, TowerToHyperService::new(router));
        // What a client does to its connection is no fault of ours: not logged.
        let _ = watcher.watch(connection.into_owned()).await;
        drop(place);
    }
}

fn builder(settings: Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(settings.head_time)
        .max_buf_size(HEAD_MAX_BYTES)
        // One more than the gate takes, so that the gate can say so.
        .max_headers(HEADERS_MAX * 2);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEAD_MAX_BYTES as u32)
        .keep_alive_interval(settings.stall_time / 2)
        .keep_alive_timeout(settings.stall_time / 2);
    builder
}

/// A stream on which a read or a write that makes no progress fails in time.
struct Bounded {
    stream: TcpStream,
    stall_time: Duration,
    read: Stall,
    write: Stall,
    /// What is still to be written in place of a refusal of hyper's.
    refusal: Vec<u8>,
}

/// How long one direction has made no progress.
#[derive(Default)]
struct Stall(Option<Pin<Box<Sleep>>>);

impl Stall {
    /// Passes on what a direction said, or fails when it said nothing for too long.
    fn pass<T>(
        &mut self,
        task: &mut Task<'_>,
        stall_time: Duration,
        said: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if said.is_ready() {
            self.0 = None;
            return said;
        }
        let sleep = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(stall_time)));
        sleep
            .as_mut()
            .poll(task)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl Bounded {
    fn new(stream: TcpStream, stall_time: Duration) -> Self {
        Self {
            stream,
            stall_time,
            read: Stall::default(),
            write: Stall::default(),
            refusal: Vec::new(),
        }
    }

    /// Writes what is left of a refusal.
    fn poll_refusal(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let said = Pin::new(&mut self.stream).poll_write(task, &self.refusal);
            let written = ready!(self.write.pass(task, self.stall_time, said))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let said = Pin::new(&mut this.stream).poll_read(task, buf);
        this.read.pass(task, this.stall_time, said)
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_refusal(task))?;
        if let Some(refusal) = bare::in_our_words(buf) {
            this.refusal = refusal;
            return Poll::Ready(Ok(buf.len()));
        }
        let said = Pin::new(&mut this.stream).poll_write(task, buf);
        this.write.pass(task, this.stall_time, said)
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(task))?;
        Pin::new(&mut self.stream).poll_flush(task)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(task))?;
        Pin::new(&mut self.stream).poll_shutdown(task)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.poll_refusal(task))?;
        if let [buf] = bufs {
            return self.poll_write(task, buf);
        }
        let said = Pin::new(&mut this.stream).poll_write_vectored(task, bufs);
        this.write.pass(task, this.stall_time, said)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
