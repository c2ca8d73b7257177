//! Who calls, and what they may do.
//!
//! Three twins: a file of bearer tokens ([`TokensFile`]), whose holders may do
//! everything; nothing at all ([`Open`]), on loopback addresses only; and, in a
//! cluster, its own accounts and roles ([`crate::cluster::Callers`]).

mod open;
mod tokens;

use std::collections::BTreeMap;
use std::future::Future;
use std::net::IpAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use mailtrail_core::id::Realm;
use serde::Serialize;

pub use open::{Foreign, Open};
pub use tokens::{TOKEN_MAX_BYTES, TOKEN_MIN_BYTES, TokensError, TokensFile};

/// What a caller wants to do with a tracking domain or an event sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Have mails rewritten.
    Rewrite,
    /// Read its settings, messages and events, resolve its URLs.
    Read,
    /// Read all that is held of one of its recipients.
    Export,
    /// Have nothing more recorded of one of its recipients.
    Withdraw,
    /// Erase what is held of its recipients.
    Erase,
    /// See how an event sink stands, with the events that it could not deliver:
    /// who may read the events of all domains of its namespace may.
    ReadSink,
    /// Have an event sink delivered to: again, or a test event.
    Push,
}

/// Somebody whose credentials are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// May do everything with every domain, so that "there is no such domain"
    /// tells them nothing they may not know.
    pub everywhere: bool,
    /// Who they are, where what they may do depends on that.
    pub identity: Option<Arc<Identity>>,
}

/// Somebody as a cluster knows them: all that it authorizes by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// Their name.
    pub user: String,
    /// Their UID; empty where there is none.
    pub uid: String,
    /// Groups that they are in.
    pub groups: Vec<String>,
    /// What else the authenticator says.
    pub extra: BTreeMap<String, Vec<String>>,
}

impl Caller {
    /// Who may do everything.
    pub fn everywhere() -> Self {
        Self {
            everywhere: true,
            identity: None,
        }
    }

    /// Who may do what is granted to them.
    pub fn known(identity: Identity) -> Self {
        Self {
            everywhere: false,
            identity: Some(Arc::new(identity)),
        }
    }
}

/// Why a caller is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No credentials, or none that are known.
    #[error("no valid credentials")]
    Unauthenticated,
    /// Whoever knows does not answer.
    #[error("credentials cannot be checked now")]
    Unavailable,
}

/// An answer that may take time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Denied>> + Send + 'a>>;

/// Knows callers and what they may do.
pub trait Authorizer: Send + Sync + 'static {
    /// Who presents this bearer token; `None` where there was none.
    fn authenticate<'a>(&'a self, bearer: Option<&'a str>) -> Answer<'a, Caller>;

    /// Whether the caller may do that with the domain, or the sink.
    fn allows<'a>(&'a self, caller: &'a Caller, verb: Verb, domain: &'a Realm) -> Answer<'a, bool>;

    /// Whether the caller may do that with every domain of a namespace: what a
    /// list goes by, which would have to ask for each otherwise. `None` says
    /// that each is to be asked for.
    fn allows_namespace<'a>(
        &'a self,
        _caller: &'a Caller,
        _verb: Verb,
        _namespace: &'a str,
    ) -> Answer<'a, Option<bool>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Whether callers are known by nothing but being on this machine: then
    /// web pages of others must be kept out by other means (see [`Open`]).
    fn is_open(&self) -> bool {
        false
    }
}

/// What there is to know callers by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The file of bearer tokens, one a line.
    pub tokens_file: Option<PathBuf>,
    /// The address that the API listens on.
    pub listens_on: IpAddr,
}

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Everybody on the network could read who opened what.
    #[error(
        "the API would listen on {0} for anybody: give it a file of bearer tokens (--api-tokens), or a loopback address (--api 127.0.0.1:8081)"
    )]
    OpenToAll(IpAddr),
    /// The tokens cannot be used.
    #[error("the file of bearer tokens {path:?}: {source}")]
    Tokens {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: TokensError,
    },
}

impl Settings {
    /// The authorizer that these settings mean.
    pub fn authorizer(self) -> Result<Arc<dyn Authorizer>, ConfigError> {
        match self.tokens_file {
            Some(path) => TokensFile::open(path.clone())
                .map(|tokens| Arc::new(tokens) as Arc<dyn Authorizer>)
                .map_err(|source| ConfigError::Tokens { path, source }),
            None if self.listens_on.is_loopback() => Ok(Arc::new(Open)),
            None => Err(ConfigError::OpenToAll(self.listens_on)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_tokens_only_loopback_addresses_are_served() {
        let settings = |address: &str| Settings {
            tokens_file: None,
            listens_on: address.parse().expect("an address"),
        };
        for address in ["127.0.0.1", "127.8.8.8", "::1"] {
            assert!(settings(address).authorizer().is_ok(), "{address}");
        }
        for address in ["0.0.0.0", "::", "10.0.0.1", "192.0.2.7", "::ffff:10.0.0.1"] {
            let error = settings(address).authorizer().err().expect("refused");
            assert!(matches!(error, ConfigError::OpenToAll(_)), "{error}");
        }
    }
}
