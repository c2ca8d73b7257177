//! TLS on the public listener: what is negotiated, and which certificate a
//! host is shown.
//!
//! - A folder per certificate, as a Secret of type `kubernetes.io/tls` is
//!   mounted ([`folder`]). The name that a client asks for (SNI) chooses, and
//!   the moment: of all that cover it first those that are valid now; of these
//!   one that names it before one whose wildcard covers it; then the one that
//!   expires last. A client that names no host is shown the first by the
//!   folders' names, a valid one before others; one that names a host of no
//!   certificate is refused, and learns nothing of the hosts that are here
//!   ([`certificates`]).
//! - Files that change are read again ([`watch`]): connections that begin from
//!   then on are shown the new certificate, those that are open go on. A pair
//!   that is broken keeps the last good one; at the start there is none, and
//!   the others are shown without it. Nothing that is wrong with certificates
//!   keeps the program from starting: the plain port needs none.
//! - TLS 1.2 and 1.3; HTTP/2 by ALPN alone, everything else is HTTP/1.1.
//! - A session is resumed by a ticket under keys of this process, so nothing is
//!   kept of clients. There is no early data: who replays it would make a hit
//!   of what was none.

mod certificates;
mod folder;
mod watch;

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use jiff::Timestamp;
use rustls::ServerConfig;
use rustls::server::{NoServerSessionStorage, ServerConnection};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::wire::Protocol;

pub use certificates::LiveCertificates;
pub use watch::{CertificateWatcher, TlsMetrics};

/// Protocols in the order in which they are taken.
const HTTP2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// What time it is: which certificates are valid depends on it.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where TLS is listened for, and what with.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// What ends it.
    pub acceptor: Acceptor,
}

/// Ends TLS, with the certificates of the moment.
#[derive(Clone)]
pub struct Acceptor(TlsAcceptor);

/// There can be no TLS: the library cannot be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS: {0}")]
pub struct TlsError(#[from] rustls::Error);

/// Reads a folder of certificates, and goes on from there; what is wrong with
/// them is told in the log and by metrics. Does blocking io.
///
/// # Errors
///
/// When the library cannot be set up.
pub fn open(
    folder: PathBuf,
    clock: Clock,
    metrics: TlsMetrics,
) -> Result<(Acceptor, CertificateWatcher), TlsError> {
    let (certificates, watcher) = CertificateWatcher::begin(folder, clock, metrics);
    Ok((Acceptor::new(certificates)?, watcher))
}

// === Acceptor ===

impl Acceptor {
    fn new(certificates: Arc<LiveCertificates>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(certificates);
        config.alpn_protocols = [HTTP2, HTTP1].map(<[u8]>::to_vec).into();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        // A client that comes again is given another one then.
        config.send_tls13_tickets = 1;
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Has TLS begin on a connection of which this was read already.
    ///
    /// # Errors
    ///
    /// Invalid data where it cannot come about: the client was told by then.
    /// Any other says that it went away.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        read: &[u8],
    ) -> io::Result<(TlsStream<TcpStream>, Protocol)> {
        let mut begun = Ok(());
        let mut accept = self
            .0
            .accept_with(stream, |session| begun = feed(session, read));
        if let Err(error) = begun {
            // Its first step says so, by an alert; there is no second.
            let told = poll_fn(|cx| Poll::Ready(Pin::new(&mut accept).poll(cx).is_ready()));
            told.await;
            return Err(io::Error::new(io::ErrorKind::InvalidData, error));
        }
        let stream = accept.await?;
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(HTTP2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        Ok((stream, protocol))
    }
}

/// Gives a session its first bytes.
fn feed(session: &mut ServerConnection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        let taken = session.read_tls(&mut bytes).unwrap_or(0);
        session.process_new_packets()?;
        if taken == 0 {
            let more = "more than a handshake begins with".to_owned();
            return Err(rustls::Error::General(more));
        }
    }
    Ok(())
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Acceptor")
    }
}
