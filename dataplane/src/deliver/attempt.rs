//! One attempt: one POST to an address that was looked at just before.
//!
//! # Bounds
//!
//! An attempt takes [`Limits::attempt`] at most, of which a connection may take
//! [`Limits::connect`]. Of an answer its head is read, 32 KiB at most, and
//! [`BODY_MAX_BYTES`] of its body within [`Limits::body`], so that the connection
//! can be used again; the status alone says how the attempt ended. Redirects are
//! not followed: where they lead nobody has looked.
//!
//! # Connections
//!
//! One that is kept is used again only where its address is among those that the
//! host has now, all of which have passed the [`Guard`] now, and only for the URL
//! that it was made for: another one may ask for TLS, or for a certificate of
//! another name. A kept connection may
//! have been closed by the receiver at the very moment: what fails on it is sent
//! once more on a new one, as the same attempt.

mod answer;
mod connect;

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use jiff::Timestamp;
use mailtrail_core::sink::{Endpoint, Sink, is_of_a_cluster};
use rustls::ClientConfig;
use tokio_rustls::TlsConnector;
use url::Host;

use super::guard::{Guard, Refusal};
use super::resolve::Resolver;
use super::state::{Failure, Outcome};

/// Most bytes of an answer's body that are read.
const BODY_MAX_BYTES: usize = 64 * 1024;
/// Most addresses of a host that are tried.
const ADDRESSES_TRIED_MAX: usize = 3;
/// Most addresses that a host may have.
const ADDRESSES_MAX: usize = 64;
/// Most connections that are kept for one receiver.
const KEPT_MAX: usize = 4;
/// How long a connection is kept that nothing is sent on.
const KEPT_FOR: Duration = Duration::from_secs(15);
/// What receivers are told that we are.
const USER_AGENT: &str = concat!("Mailtrail/", env!("CARGO_PKG_VERSION"));

/// How long things may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// An attempt, from resolving to the head of the answer.
    pub attempt: Duration,
    /// A connection to one address, TLS included.
    pub connect: Duration,
    /// The body of an answer.
    pub body: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            attempt: Duration::from_secs(15),
            connect: Duration::from_secs(5),
            body: Duration::from_secs(1),
        }
    }
}

/// What attempts are made with.
pub struct Client {
    /// Which addresses may be connected to.
    pub guard: Guard,
    /// Knows addresses.
    pub resolver: Arc<dyn Resolver>,
    /// Whose certificates are trusted.
    pub tls: Arc<ClientConfig>,
    /// How long things may take.
    pub limits: Limits,
    /// The time.
    pub clock: fn() -> Timestamp,
}

/// Connections to one receiver that can be used again.
#[derive(Default)]
pub struct Kept(Mutex<Vec<Connection>>);

/// A connection, and to where it is.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    to: Endpoint,
    address: SocketAddr,
    used: Instant,
}

/// An answer whose head is there.
struct Answered {
    outcome: Outcome,
    body: Incoming,
    connection: Connection,
}

/// What is posted.
#[derive(Debug, Clone)]
pub struct Post {
    /// What the body is, and its signatures.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Bytes,
}

impl Client {
    /// Posts once, in bounded time.
    pub async fn attempt(&self, to: &Sink, kept: &Kept, post: &Post) -> Outcome {
        let answered = tokio::time::timeout(self.limits.attempt, self.post(to, kept, post)).await;
        let Answered {
            outcome,
            body,
            connection,
        } = match answered {
            Ok(Ok(answered)) => answered,
            Ok(Err(failure)) => return Outcome::Failed(failure, None),
            Err(_) => return Outcome::Failed(Failure::Timeout, None),
        };
        // For the connection's sake: how it ended is known.
        let read = answer::read(body, BODY_MAX_BYTES);
        if tokio::time::timeout(self.limits.body, read).await == Ok(true) {
            kept.give_back(connection);
        }
        outcome
    }

    async fn post(&self, sink: &Sink, kept: &Kept, post: &Post) -> Result<Answered, Failure> {
        let addresses = self.addresses(sink).await?;
        let to = &sink.url;
        if let Some(connection) = kept.take(to, &addresses)
            && let Ok(answered) = self.ask(connection, request(to, post)?).await
        {
            return Ok(answered);
        }
        let connection = self.connect(to, &addresses).await?;
        self.ask(connection, request(to, post)?).await
    }

    async fn ask(
        &self,
        mut connection: Connection,
        request: Request<Full<Bytes>>,
    ) -> Result<Answered, Failure> {
        connection
            .sender
            .ready()
            .await
            .map_err(|_| Failure::Broken)?;
        let answer = connection.sender.send_request(request).await;
        let (head, body) = answer.map_err(|_| Failure::Broken)?.into_parts();
        Ok(Answered {
            outcome: outcome(head.status, &head.headers, (self.clock)()),
            body,
            connection,
        })
    }

    /// The addresses of the receiver, all of which may be connected to.
    async fn addresses(&self, sink: &Sink) -> Result<Vec<SocketAddr>, Failure> {
        let to = &sink.url;
        let cluster = sink.cluster.as_ref();
        // Found by the operator, which has looked at the Service: no name is
        // believed in its place.
        if let Some(service) = cluster.and_then(|cluster| cluster.service) {
            return Ok(vec![service]);
        }
        let addresses: Vec<IpAddr> = match to.host() {
            Host::Ipv4(address) => vec![address.into()],
            Host::Ipv6(address) => vec![address.into()],
            Host::Domain(name) if cluster.is_some() && is_of_a_cluster(name) => {
                return Err(Failure::Refused);
            }
            Host::Domain(name) => {
                // In a pod a name without a final dot is looked for in the cluster
                // first.
                let absolute = cluster.map(|_| format!("{name}."));
                let name = absolute.as_deref().unwrap_or(name);
                let found = self.resolver.resolve(name).await;
                found.map_err(|_| Failure::Unresolved)?
            }
        };
        if addresses.is_empty() || addresses.len() > ADDRESSES_MAX {
            return Err(Failure::Unresolved);
        }
        self.guard
            .check_all(&addresses, to.is_tls())
            .map_err(|refusal| match refusal {
                Refusal::Private => Failure::Refused,
                Refusal::PlainHttp => Failure::PlainHttp,
            })?;
        let port = to.port();
        Ok(addresses
            .into_iter()
            .map(|ip| SocketAddr::new(ip, port))
            .collect())
    }

    /// A connection to the first of these addresses where somebody is.
    async fn connect(
        &self,
        to: &Endpoint,
        addresses: &[SocketAddr],
    ) -> Result<Connection, Failure> {
        let tls = TlsConnector::from(Arc::clone(&self.tls));
        let mut last = Failure::Unreachable;
        for address in addresses.iter().take(ADDRESSES_TRIED_MAX) {
            let connecting = connect::connect(to, *address, &tls);
            match tokio::time::timeout(self.limits.connect, connecting).await {
                Ok(Ok(sender)) => {
                    return Ok(Connection {
                        sender,
                        to: to.clone(),
                        address: *address,
                        used: Instant::now(),
                    });
                }
                Ok(Err(failure)) => last = failure,
                Err(_) => last = Failure::Timeout,
            }
        }
        Err(last)
    }
}

/// How an answer ends an attempt.
fn outcome(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Outcome {
    if status.is_success() {
        return Outcome::Delivered;
    }
    if status == StatusCode::GONE {
        return Outcome::Gone;
    }
    let asks = matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
    );
    let wait = headers.get(header::RETRY_AFTER).filter(|_| asks);
    let wait = wait.and_then(|value| answer::retry_after(value.to_str().ok()?, now));
    Outcome::Failed(Failure::Status(status.as_u16()), wait)
}

fn request(to: &Endpoint, post: &Post) -> Result<Request<Full<Bytes>>, Failure> {
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Failure::Broken);
    let mut request = Request::builder()
        .method(Method::POST)
        .uri(to.path_and_query())
        .header(header::HOST, value(to.authority())?)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "*/*");
    for (name, text) in &post.headers {
        request = request.header(*name, value(text)?);
    }
    request
        .body(Full::new(post.body.clone()))
        .map_err(|_| Failure::Broken)
}

// === Kept ===

impl Kept {
    /// One that was made for this URL, leads to any of these addresses and was
    /// used not long ago.
    fn take(&self, to: &Endpoint, addresses: &[SocketAddr]) -> Option<Connection> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|c| c.to == *to && c.used.elapsed() < KEPT_FOR && !c.sender.is_closed());
        let at = kept.iter().position(|c| addresses.contains(&c.address))?;
        Some(kept.swap_remove(at))
    }

    fn give_back(&self, connection: Connection) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < KEPT_MAX {
            kept.push(Connection {
                used: Instant::now(),
                ..connection
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, retry_after: Option<&'static str>, expected: Outcome) {
        let mut headers = HeaderMap::new();
        if let Some(text) = retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static(text));
        }
        let status = StatusCode::from_u16(status).expect("a status");
        assert_eq!(
            outcome(status, &headers, Timestamp::UNIX_EPOCH),
            expected,
            "{status}"
        );
    }

    #[test]
    fn the_status_alone_ends_an_attempt() {
        let failed = |status| Outcome::Failed(Failure::Status(status), None);
        for status in [200, 201, 202, 204, 299] {
            check(status, None, Outcome::Delivered);
        }
        for status in [301, 302, 303, 307, 308, 400, 401, 404, 429, 500, 503, 599] {
            check(status, None, failed(status));
        }
        check(410, None, Outcome::Gone);
    }

    #[test]
    fn who_has_too_much_to_do_may_say_for_how_long() {
        let after = |status| Outcome::Failed(Failure::Status(status), Some(Duration::from_secs(7)));
        check(429, Some("7"), after(429));
        check(503, Some("7"), after(503));
        check(500, Some("7"), Outcome::Failed(Failure::Status(500), None));
        check(
            503,
            Some("soon"),
            Outcome::Failed(Failure::Status(503), None),
        );
    }
}
