//! Where a host's name leads.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use mailtrail_core::id::Host;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Tries per look-up.
const ATTEMPTS: usize = 2;

/// Asks DNS, always anew: what is about to be verified was missing a moment ago.
#[derive(Clone)]
pub struct Resolver(TokioResolver);

/// What DNS says of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Led {
    /// There.
    To(Vec<IpAddr>),
    /// It has no address.
    Nowhere,
    /// Nothing: nobody answered, or in trouble.
    Unknown,
}

impl Resolver {
    /// Asks this server, or those of the system.
    pub fn new(server: Option<SocketAddr>) -> Result<Self, NetError> {
        let builder = match server {
            None => TokioResolver::builder_tokio()?,
            Some(address) => {
                let connections =
                    [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut c| {
                        c.port = address.port();
                        c
                    });
                let server = NameServerConfig::new(address.ip(), true, connections.into());
                let config = ResolverConfig::from_name_servers(vec![server]);
                TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            }
        };
        let mut options = ResolverOpts::default();
        options.timeout = TIMEOUT;
        options.attempts = ATTEMPTS;
        options.cache_size = 0;
        Ok(Self(builder.with_options(options).build()?))
    }

    /// Where a name leads.
    pub async fn look_up(&self, host: &Host) -> Led {
        // With its final dot: no search list is tried.
        match self.0.lookup_ip(format!("{host}.")).await {
            Ok(found) => {
                let addresses: Vec<_> = found.iter().collect();
                if addresses.is_empty() {
                    Led::Nowhere
                } else {
                    Led::To(addresses)
                }
            }
            Err(error) if error.is_no_records_found() => Led::Nowhere,
            Err(error) => {
                tracing::debug!(host = %host, %error, "DNS does not answer");
                Led::Unknown
            }
        }
    }
}
