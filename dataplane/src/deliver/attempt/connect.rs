//! A connection to one address, in the name of a host.

use std::net::SocketAddr;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use mailtrail_core::sink::Endpoint;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::deliver::state::Failure;

/// Largest head of an answer, in bytes.
const HEAD_MAX_BYTES: usize = 32 * 1024;

pub(super) async fn connect(
    to: &Endpoint,
    address: SocketAddr,
    tls: &TlsConnector,
) -> Result<SendRequest<Full<Bytes>>, Failure> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|_| Failure::Unreachable)?;
    // Requests are written whole; the last bytes of one wait for nothing.
    stream.set_nodelay(true).map_err(|_| Failure::Unreachable)?;
    if !to.is_tls() {
        return speak(stream).await;
    }
    let name = match to.host() {
        Host::Domain(name) => ServerName::try_from(name.to_owned()).map_err(|_| Failure::Tls)?,
        Host::Ipv4(address) => ServerName::from(std::net::IpAddr::from(address)),
        Host::Ipv6(address) => ServerName::from(std::net::IpAddr::from(address)),
    };
    let stream = tls.connect(name, stream).await.map_err(|_| Failure::Tls)?;
    speak(stream).await
}

async fn speak<S>(stream: S) -> Result<SendRequest<Full<Bytes>>, Failure>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_MAX_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::Broken)?;
    // Ends with the sender, or when the receiver closes.
    tokio::spawn(connection);
    Ok(sender)
}
