//! What the public listener is told, and its limits.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

use super::tls::Tls;

/// How the public listener runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one.
    pub address: SocketAddr,
    /// Where TLS is spoken, beside that; nothing: nowhere.
    pub tls: Option<Tls>,
    /// Runtimes, each a thread with a listener of its own; by default one per core.
    pub runtimes: Option<NonZeroUsize>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Whether every connection begins with a header of the PROXY protocol.
    /// Where it must, one without is refused; where it must not, one with is.
    pub proxy_protocol: bool,
    /// What a token says whose key is not known.
    pub unknown_keys: UnknownKeys,
    /// What is refused.
    pub limits: Limits,
}

/// What a token is whose key is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownKeys {
    /// Forged: who seals tokens has the same keyring, and it is loaded whole.
    /// It is answered as any other that does not open (cases 79 and 83).
    Forged,
    /// Perhaps sealed by another replica under a key that has not come here
    /// yet: 503 until it has (case 103).
    MayCome,
}

/// What one request, one connection and all of them may take.
#[derive(Debug, Clone)]
pub struct Limits {
    /// From a head's first byte to its last (and from the connection to its
    /// first); 408.
    pub head_time: Duration,
    /// From the connection to the end of TLS' handshake, a header of the PROXY
    /// protocol included; then the connection ends.
    pub handshake_time: Duration,
    /// Bytes of a head, request line included; 431. At least 8 KiB.
    pub head_bytes: usize,
    /// Fields of a head; 431. At most 100, what hyper's parser holds unasked.
    pub headers: usize,
    /// Bytes of a request's target; 414. Below `head_bytes`.
    pub uri_bytes: usize,
    /// From a head's last byte until the answer is handed to the system; then
    /// the connection ends.
    pub request_time: Duration,
    /// Between an answer and the next request; then the connection ends.
    pub idle_time: Duration,
    /// Requests at once on one HTTP/2 connection; further ones are refused as
    /// HTTP/2 does.
    pub streams: u32,
    /// Connections at once; further ones get 503 and are closed. Fewer where
    /// the process may not have so many files open.
    pub connections: usize,
    /// Connections at once of one peer, which is an IPv4 address or an IPv6
    /// /64; further ones get 503 and are closed. Trusted proxies are exempt:
    /// they bring many clients.
    pub connections_per_peer: usize,
}

impl Settings {
    /// The defaults, listening there.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            runtimes: None,
            trusted_proxies: Vec::new(),
            proxy_protocol: false,
            unknown_keys: UnknownKeys::Forged,
            limits: Limits::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // A phone on a bad line sends its kilobyte within some seconds.
            head_time: Duration::from_secs(10),
            handshake_time: Duration::from_secs(10),
            // Cookies of a parent domain reach us too; browsers stop at 4 KiB each.
            head_bytes: 16 * 1024,
            headers: 100,
            // Tracking URLs have 1,600 characters at most; gateways wrap and
            // percent-encode them.
            uri_bytes: 8 * 1024,
            request_time: Duration::from_secs(10),
            // As nginx has it, and longer than the 60 s of common load
            // balancers: who closes first must be the client.
            idle_time: Duration::from_secs(75),
            streams: 100,
            // An idle connection takes some 12 KiB: 200 MiB at the worst.
            connections: 16 * 1024,
            // An office or a carrier behind one address, not a flood.
            connections_per_peer: 1024,
        }
    }
}

impl Limits {
    /// How often times are looked at: a quarter of the shortest, 10 to 250 ms.
    /// A limit is exceeded by one such step at most.
    pub(super) fn tick(&self) -> Duration {
        let shortest = self.head_time.min(self.request_time).min(self.idle_time);
        let shortest = shortest.min(self.handshake_time);
        (shortest / 4).clamp(Duration::from_millis(10), Duration::from_millis(250))
    }
}
