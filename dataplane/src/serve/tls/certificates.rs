//! Certificates with their keys, and which of them a host is shown. Pure: the
//! files are others'.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use super::Clock;

/// Most certificates of a chain: real ones have three or four.
const CHAIN_MAX: usize = 16;

/// A certificate, its chain and its key.
pub(super) struct Pair {
    key: Arc<CertifiedKey>,
    /// Hosts that it is for, in lower case; some as `*.example.com`.
    hosts: Vec<String>,
    pub(super) validity: Validity,
}

/// From when until when a certificate is valid, both included, in seconds since
/// 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Validity {
    begins: i64,
    pub(super) expires: i64,
}

/// Why two files are no certificate with its key. Nothing of the key is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PairError {
    /// A file cannot be read.
    #[error("{file} cannot be read: {why}")]
    Unreadable {
        /// The file's name.
        file: &'static str,
        /// What the system says.
        why: String,
    },
    /// A file is larger than one of its kind is.
    #[error("{file} is larger than {max_bytes} bytes")]
    TooLarge {
        /// The file's name.
        file: &'static str,
        /// The bound.
        max_bytes: u64,
    },
    /// Others may read the key.
    #[error("tls.key has the mode {0:o}; only its owner and group may read it: chmod 600")]
    Exposed(u32),
    /// There is no certificate.
    #[error("tls.crt has no certificate in PEM")]
    NoCertificate,
    /// There are more than a chain has.
    #[error("tls.crt has more than {CHAIN_MAX} certificates")]
    LongChain,
    /// A certificate is none.
    #[error("tls.crt is no chain of X.509 certificates in PEM: {0}")]
    Certificate(String),
    /// It is for no host.
    #[error("the first certificate of tls.crt names no host (subjectAltName, DNS)")]
    NoHost,
    /// There is no key.
    #[error("tls.key has no private key in PEM (PKCS#8, PKCS#1 or SEC1, not encrypted)")]
    NoKey,
    /// The key is none that can be used.
    #[error(
        "tls.key has a key that cannot be used: RSA, ECDSA (P-256, P-384, P-521) and Ed25519 can"
    )]
    Key,
    /// They are not of each other.
    #[error("tls.key is not the key of the first certificate of tls.crt")]
    Mismatch,
}

/// The certificates of one moment, by the names of their folders.
#[derive(Default)]
pub(super) struct Certificates {
    pub(super) pairs: BTreeMap<String, Arc<Pair>>,
    /// Those of a host, or a wildcard; what expires last comes first.
    by_host: HashMap<String, Vec<Arc<Pair>>>,
}

/// The certificates in use; swapped as a whole.
pub struct LiveCertificates {
    certificates: ArcSwap<Certificates>,
    clock: Clock,
}

// === Pair ===

impl Pair {
    /// Reads both files' contents.
    pub(super) fn parse(chain: &[u8], key: &[u8]) -> Result<Self, PairError> {
        let chain = parse_chain(chain)?;
        let first = chain.first().ok_or(PairError::NoCertificate)?;
        let (hosts, validity) = parse_certificate(first)?;
        // What the library says could repeat a line of the key.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| PairError::NoKey)?;
        let key = any_supported_type(&key).map_err(|_| PairError::Key)?;
        let key = CertifiedKey::new(chain, key);
        key.keys_match().map_err(|_| PairError::Mismatch)?;
        Ok(Self {
            key: Arc::new(key),
            hosts,
            validity,
        })
    }
}

fn parse_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem)
        .take(CHAIN_MAX + 1)
        .collect();
    let chain = chain.map_err(|error| PairError::Certificate(error.to_string()))?;
    match chain.len() > CHAIN_MAX {
        true => Err(PairError::LongChain),
        false => Ok(chain),
    }
}

/// The hosts it is for, and when.
fn parse_certificate(der: &CertificateDer<'_>) -> Result<(Vec<String>, Validity), PairError> {
    let wrong = |error: x509_cert::der::Error| PairError::Certificate(error.to_string());
    let certificate = Certificate::from_der(der).map_err(wrong)?.tbs_certificate;
    let validity = Validity {
        begins: unix_seconds(certificate.validity.not_before),
        expires: unix_seconds(certificate.validity.not_after),
    };
    let names = certificate.get::<SubjectAltName>().map_err(wrong)?;
    let names = names.map(|(_, names)| names.0).unwrap_or_default();
    let hosts: Vec<_> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DnsName(host) => Some(host.as_str().to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    match hosts.is_empty() {
        true => Err(PairError::NoHost),
        false => Ok((hosts, validity)),
    }
}

fn unix_seconds(time: Time) -> i64 {
    // The latest that X.509 can say is the end of the year 9999.
    i64::try_from(time.to_unix_duration().as_secs()).unwrap_or(i64::MAX)
}

impl Validity {
    fn covers(&self, unix_seconds: i64) -> bool {
        (self.begins..=self.expires).contains(&unix_seconds)
    }
}

// === Certificates ===

impl Certificates {
    /// Those of these folders.
    pub(super) fn new(pairs: BTreeMap<String, Arc<Pair>>) -> Self {
        let mut by_host = HashMap::<String, Vec<Arc<Pair>>>::new();
        for pair in pairs.values() {
            for host in &pair.hosts {
                let named = by_host.entry(host.clone()).or_default();
                named.push(Arc::clone(pair));
            }
        }
        for named in by_host.values_mut() {
            named.sort_by_key(|pair| Reverse(pair.validity.expires));
        }
        Self { pairs, by_host }
    }

    /// What is shown to whoever asks for a host, in lower case, at a moment.
    fn shown(&self, host: Option<&str>, unix_seconds: i64) -> Option<&Pair> {
        let Some(host) = host else {
            return best(self.pairs.values(), unix_seconds);
        };
        let wildcard = host.split_once('.').map(|(_, above)| format!("*.{above}"));
        let (exact, wildcard) = (Some(host), wildcard.as_deref());
        let covering = [exact, wildcard].into_iter().flatten();
        let covering = covering.filter_map(|name| self.by_host.get(name)).flatten();
        best(covering, unix_seconds)
    }
}

/// Of some, the better before the worse, the first that is valid. Where none is,
/// the first: a client that does not mind is led home by it.
fn best<'a>(
    pairs: impl Iterator<Item = &'a Arc<Pair>> + Clone,
    unix_seconds: i64,
) -> Option<&'a Pair> {
    let mut valid = pairs
        .clone()
        .filter(|pair| pair.validity.covers(unix_seconds));
    let pair = valid.next().or_else(|| pairs.clone().next())?;
    Some(pair)
}

// === LiveCertificates ===

impl LiveCertificates {
    pub(super) fn new(certificates: Certificates, clock: Clock) -> Self {
        Self {
            certificates: ArcSwap::from_pointee(certificates),
            clock,
        }
    }

    /// The certificates of this moment.
    pub(super) fn load(&self) -> Arc<Certificates> {
        self.certificates.load_full()
    }

    /// Connections that begin from now on are shown these.
    pub(super) fn replace(&self, certificates: Certificates) {
        self.certificates.store(Arc::new(certificates));
    }
}

impl ResolvesServerCert for LiveCertificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let certificates = self.certificates.load();
        let host = hello.server_name().map(str::to_ascii_lowercase);
        let now = (self.clock)().as_second();
        let pair = certificates.shown(host.as_deref(), now)?;
        Some(Arc::clone(&pair.key))
    }
}

impl fmt::Debug for LiveCertificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LiveCertificates")
    }
}
