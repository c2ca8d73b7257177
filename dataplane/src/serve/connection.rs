//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::answer::Handler;
use super::client::is_trusted;
use super::places::{PeerPlace, Place};
use super::proxy_header::{self, HEADER_MAX_BYTES, Header};
use super::pulse::{Order, Phase, Pulse};
use super::refuse::Refusal;
use super::runtime::Runtime;
use super::tls::Acceptor;
use super::wire::{Protocol, Wire};

/// What HTTP/2 with prior knowledge begins with (RFC 9113, 3.4).
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Longest wait for a client that still sends to read its refusal and close,
/// and most bytes of it thrown away: closing on unread bytes would reset the
/// connection and take the refusal along.
const LINGER_TIME: Duration = Duration::from_millis(500);
const LINGER_BYTES: usize = 256 * 1024;

/// What HTTP is spoken over.
trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Stream for S {}

/// A connection's pulse for as long as it lives.
struct Living {
    pulse: Rc<Pulse>,
    runtime: Rc<Runtime>,
}

/// What is known once it is clear who connected.
struct Introduced {
    address: IpAddr,
    /// Read already, behind a header of the PROXY protocol.
    read: Vec<u8>,
    /// Given back when the connection ends.
    peer_place: Option<PeerPlace>,
}

/// What is known once the protocol is, too.
struct Arrived {
    address: IpAddr,
    protocol: Protocol,
    read: Vec<u8>,
    /// Given back when the connection ends.
    _peer_place: Option<PeerPlace>,
}

/// Serves a connection. `peer` is who connected; `_place` is given back at the end.
pub(super) async fn serve(
    mut stream: TcpStream,
    peer: IpAddr,
    _place: Place,
    runtime: Rc<Runtime>,
) {
    let living = Living::new(&runtime);
    let pulse = &living.pulse;
    let refused = match arrive(&mut stream, peer, &living).await {
        Ok(Some(arrived)) => return http(stream, arrived, &living).await,
        Ok(None) => return,
        Err(refusal) => refusal,
    };
    debug_assert!(matches!(pulse.phase(), Phase::Arriving | Phase::Head));
    refuse(stream, refused, &runtime).await;
}

/// Serves a connection over TLS; what fails before that is up ends without a word.
pub(super) async fn serve_tls(
    stream: TcpStream,
    acceptor: Acceptor,
    peer: IpAddr,
    _place: Place,
    runtime: Rc<Runtime>,
) {
    let living = Living::new(&runtime);
    runtime.pulses.enter(&living.pulse, Phase::Handshake);
    match shake_hands(stream, acceptor, peer, &living).await {
        Ok(Some((stream, arrived))) => {
            runtime.context.metrics.serve.handshakes.inc();
            runtime.pulses.enter(&living.pulse, Phase::Arriving);
            http(stream, arrived, &living).await;
        }
        Ok(None) => {}
        Err(refusal) => runtime.context.metrics.serve.refusal(refusal),
    }
}

async fn http<S: Stream>(stream: S, arrived: Arrived, living: &Living) {
    match arrived.protocol {
        Protocol::Http1 => http1(stream, arrived, living).await,
        Protocol::Http2 => http2(stream, arrived, living).await,
    }
}

// === What comes before HTTP ===

/// Reads far enough to know the client's address and the protocol. Nothing
/// where the client went away.
async fn arrive(
    stream: &mut TcpStream,
    peer: IpAddr,
    living: &Living,
) -> Result<Option<Arrived>, Refusal> {
    let Some(mut introduced) = introduce(stream, peer, living).await? else {
        return Ok(None);
    };
    let protocol = protocol(stream, &mut introduced.read);
    let Some(protocol) = living.unless_ordered(protocol).await? else {
        return Ok(None);
    };
    Ok(Some(introduced.speaking(protocol)))
}

/// Has TLS come about behind the header of the PROXY protocol, where there is
/// one. Nothing where the client went away.
async fn shake_hands(
    mut stream: TcpStream,
    acceptor: Acceptor,
    peer: IpAddr,
    living: &Living,
) -> Result<Option<(TlsStream<TcpStream>, Arrived)>, Refusal> {
    let Some(mut introduced) = introduce(&mut stream, peer, living).await? else {
        return Ok(None);
    };
    let read = std::mem::take(&mut introduced.read);
    let accepted = living.unless_ordered(acceptor.accept(stream, &read));
    match accepted.await? {
        Ok((stream, protocol)) => Ok(Some((stream, introduced.speaking(protocol)))),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(Refusal::Handshake),
        // Whoever only looks whether a port is open goes without a word.
        Err(_) => Ok(None),
    }
}

/// Finds out who connected, and whether there is a place. Nothing where the
/// client went away.
async fn introduce(
    stream: &mut TcpStream,
    peer: IpAddr,
    living: &Living,
) -> Result<Option<Introduced>, Refusal> {
    let runtime = &living.runtime;
    let mut read = Vec::new();
    let mut address = peer.to_canonical();
    if runtime.settings.proxy_protocol {
        match living
            .unless_ordered(proxy_source(stream, &mut read))
            .await??
        {
            Some(Header::Whole { source, length }) => {
                address = source.unwrap_or(address);
                read.drain(..length);
            }
            _ => return Ok(None),
        }
    }
    let peer_place = match is_trusted(address, &runtime.settings.trusted_proxies) {
        true => None,
        false => Some(runtime.places.take_of_peer(address)?),
    };
    Ok(Some(Introduced {
        address,
        read,
        peer_place,
    }))
}

/// Reads until the header of the PROXY protocol is whole; nothing at the end.
async fn proxy_source(
    stream: &mut TcpStream,
    read: &mut Vec<u8>,
) -> Result<Option<Header>, Refusal> {
    loop {
        match proxy_header::parse(read) {
            Ok(Header::Partial) if read.len() <= HEADER_MAX_BYTES => {}
            Ok(Header::Partial) | Err(_) => return Err(Refusal::ProxyHeader),
            Ok(whole) => return Ok(Some(whole)),
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return Ok(None);
        }
    }
}

/// Reads until the protocol is told apart; nothing at the end.
async fn protocol(stream: &mut TcpStream, read: &mut Vec<u8>) -> Option<Protocol> {
    loop {
        let common = read.len().min(HTTP2_PREFACE.len());
        if read[..common] != HTTP2_PREFACE[..common] {
            return Some(Protocol::Http1);
        }
        if common == HTTP2_PREFACE.len() {
            return Some(Protocol::Http2);
        }
        if stream.read_buf(read).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

// === HTTP ===

async fn http1<S: Stream>(stream: S, arrived: Arrived, living: &Living) {
    let Living { pulse, runtime } = living;
    let handler = Handler::new(arrived.address, Protocol::Http1, living.both());
    let wire = Wire::new(stream, arrived.read, Protocol::Http1, living.both());
    let mut connection = runtime.http1.serve_connection(wire, handler);
    let (mut finishes, mut told) = (false, false);
    let ordered = poll_fn(|cx| {
        match pulse.attend(cx) {
            Some(Order::End(refusal)) => return Poll::Ready(Some(refusal)),
            Some(Order::Finish) => finishes = true,
            None => {}
        }
        // Errors are the client's going away, or what the wire has noted.
        let polled = Pin::new(&mut connection).poll(cx).map(|_| None);
        // hyper takes a connection for idle until a head is whole, and would
        // drop a request that has begun to arrive. Its answer says `close`.
        let between = !matches!(pulse.phase(), Phase::Arriving | Phase::Head);
        if polled.is_pending() && finishes && between && !told {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
            return Pin::new(&mut connection).poll(cx).map(|_| None);
        }
        polled
    })
    .await;
    let refused = ordered.or(pulse.refused.get());
    let stream = connection.into_parts().io.stream;
    match refused {
        Some(refusal) => refuse(stream, refusal, runtime).await,
        None if pulse.lingers.get() => linger(stream).await,
        None => {}
    }
}

async fn http2<S: Stream>(stream: S, arrived: Arrived, living: &Living) {
    let Living { pulse, runtime } = living;
    runtime.pulses.enter(pulse, Phase::Streams);
    let handler = Handler::new(arrived.address, Protocol::Http2, living.both());
    let wire = Wire::new(stream, arrived.read, Protocol::Http2, living.both());
    let mut connection = runtime.http2.serve_connection(wire, handler);
    if runtime.pulses.is_finishing() {
        Pin::new(&mut connection).graceful_shutdown();
    }
    let ordered = poll_fn(|cx| {
        match pulse.attend(cx) {
            Some(Order::End(refusal)) => return Poll::Ready(Some(refusal)),
            Some(Order::Finish) => Pin::new(&mut connection).graceful_shutdown(),
            None => {}
        }
        Pin::new(&mut connection).poll(cx).map(|_| None)
    })
    .await;
    if let Some(refusal) = ordered {
        runtime.context.metrics.serve.refusal(refusal);
    }
}

// === Its end ===

/// Counts a refusal, says it where there is something to say, and closes.
async fn refuse<S: Stream>(mut stream: S, refusal: Refusal, runtime: &Runtime) {
    runtime.context.metrics.serve.refusal(refusal);
    let Some(response) = refusal.bare_response() else {
        return;
    };
    // Into an empty send buffer, or not at all: nobody is waited for here.
    let written = poll_fn(|cx| {
        let written = Pin::new(&mut stream).poll_write(cx, response.as_bytes());
        Poll::Ready(matches!(written, Poll::Ready(Ok(_))))
    });
    if written.await {
        linger(stream).await;
    }
}

/// Says that nothing more comes, and reads what still does, for a while.
async fn linger<S: Stream>(mut stream: S) {
    let mut thrown = 0;
    let mut buffer = [0; 4096];
    let until_closed = async {
        if stream.shutdown().await.is_err() {
            return;
        }
        while thrown < LINGER_BYTES {
            match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(n) => thrown += n,
            }
        }
    };
    let _ = tokio::time::timeout(LINGER_TIME, until_closed).await;
}

// === Introduced ===

impl Introduced {
    fn speaking(self, protocol: Protocol) -> Arrived {
        let Self {
            address,
            read,
            peer_place,
        } = self;
        Arrived {
            address,
            protocol,
            read,
            _peer_place: peer_place,
        }
    }
}

// === Living ===

impl Living {
    fn new(runtime: &Rc<Runtime>) -> Self {
        runtime.context.metrics.serve.connections.inc();
        Self {
            pulse: runtime.pulses.begin(),
            runtime: Rc::clone(runtime),
        }
    }

    fn both(&self) -> (Rc<Pulse>, Rc<Runtime>) {
        (Rc::clone(&self.pulse), Rc::clone(&self.runtime))
    }

    /// The future's output, unless the connection is told to end before.
    async fn unless_ordered<T>(&self, future: impl Future<Output = T>) -> Result<T, Refusal> {
        let mut future = std::pin::pin!(future);
        poll_fn(|cx| match self.pulse.attend(cx) {
            Some(Order::End(refusal)) => Poll::Ready(Err(refusal)),
            // The request on its way is answered; it will be the last.
            Some(Order::Finish) | None => future.as_mut().poll(cx).map(Ok),
        })
        .await
    }
}

impl Drop for Living {
    fn drop(&mut self) {
        self.runtime.pulses.end(&self.pulse);
        self.runtime.context.metrics.serve.connections.dec();
    }
}
