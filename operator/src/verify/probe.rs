//! Whether a host's addresses answer a challenge as only this install can.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::HEXLOWER;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use mailtrail_core::id::{Host, Realm};
use mailtrail_core::keyring::Keyring;
use mailtrail_core::proof::{self, Challenge};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Outcome;

/// Longest that one address may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses of a host that are tried.
const ADDRESSES_MAX: usize = 4;
/// Largest answer that is read, in bytes; a proof has 71.
const ANSWER_MAX_BYTES: usize = 1024;
/// Bytes of a challenge.
const CHALLENGE_BYTES: usize = 16;

/// Probes hosts.
#[derive(Clone)]
pub struct Prober {
    tls: TlsConnector,
    port: u16,
}

/// Why there are no certificates to check others by.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be read.
    #[error("--probe-ca: {0}")]
    File(String),
    /// There is none.
    #[error("no certificate is trusted: give --probe-ca, or install the system's")]
    None,
}

/// How an address fares.
enum Fault {
    /// Nobody is there.
    Refused,
    /// The certificate is not valid.
    Certificate,
    /// Somebody else is.
    Others,
    /// Not in time.
    Slow,
}

impl Prober {
    /// Trusts what the system trusts, and what stands in a file.
    pub fn new(port: u16, ca: Option<&Path>) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        // Those that cannot be read are fewer to trust, which is no risk.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = ca {
            let bad = |error: &dyn std::fmt::Display| {
                RootsError::File(format!("{}: {error}", path.display()))
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|e| bad(&e))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|e| bad(&e))?;
                roots.add(certificate).map_err(|e| bad(&e))?;
            }
        }
        if roots.is_empty() {
            return Err(RootsError::None);
        }
        let config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            tls: TlsConnector::from(Arc::new(config)),
            port,
        })
    }

    /// Tries a host's addresses until one proves that it leads here.
    pub async fn probe(
        &self,
        keyring: &Keyring,
        realm: &Realm,
        host: &Host,
        addresses: &[IpAddr],
    ) -> Outcome {
        let mut worst = Outcome::Unreachable;
        let mut slow = false;
        for address in addresses.iter().take(ADDRESSES_MAX) {
            let address = SocketAddr::new(*address, self.port);
            let tried = tokio::time::timeout(TIMEOUT, self.try_one(keyring, realm, host, address));
            match tried.await.unwrap_or(Err(Fault::Slow)) {
                Ok(()) => return Outcome::Proved,
                Err(Fault::Slow) => slow = true,
                Err(Fault::Refused) => {}
                Err(Fault::Certificate) => worst = Outcome::Certificate,
                Err(Fault::Others) => worst = Outcome::Others,
            }
        }
        if slow && worst == Outcome::Unreachable {
            return Outcome::Slow;
        }
        worst
    }

    async fn try_one(
        &self,
        keyring: &Keyring,
        realm: &Realm,
        host: &Host,
        address: SocketAddr,
    ) -> Result<(), Fault> {
        let mut random = [0; CHALLENGE_BYTES];
        aws_lc_rs::rand::fill(&mut random).map_err(|_| Fault::Slow)?;
        let challenge = HEXLOWER.encode(&random);
        let answer = self.get(host, address, &challenge).await?;
        let text = std::str::from_utf8(&answer).map_err(|_| Fault::Others)?;
        let challenge = Challenge::parse(&challenge).ok_or(Fault::Others)?;
        if proof::verify(keyring, realm, host, challenge, text) {
            Ok(())
        } else {
            Err(Fault::Others)
        }
    }

    async fn get(&self, host: &Host, address: SocketAddr, challenge: &str) -> Result<Bytes, Fault> {
        let name = ServerName::try_from(host.as_str().to_owned());
        let name = name.map_err(|_| Fault::Certificate)?;
        let stream = TcpStream::connect(address).await.map_err(|e| of_io(&e))?;
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| of_tls(&error))?;
        let others = |_: hyper::Error| Fault::Others;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(others)?;
        let request = Request::get(format!("/.well-known/mailtrail?challenge={challenge}"))
            .header(header::HOST, host.as_str())
            .header(header::USER_AGENT, "Mailtrail-Operator")
            .body(Empty::<Bytes>::new())
            .map_err(|_| Fault::Others)?;
        let answered = async {
            let answer = sender.send_request(request).await.map_err(others)?;
            if answer.status() != StatusCode::OK {
                return Err(Fault::Others);
            }
            let body = Limited::new(answer.into_body(), ANSWER_MAX_BYTES).collect();
            let body = body.await.map_err(|_| Fault::Others)?;
            Ok(body.to_bytes())
        };
        tokio::select! {
            answer = answered => answer,
            // It ends first only when it fails.
            _ = connection => Err(Fault::Others),
        }
    }
}

fn of_io(error: &io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::TimedOut => Fault::Slow,
        _ => Fault::Refused,
    }
}

/// TLS tells a certificate that is not valid from somebody who does not speak it.
fn of_tls(error: &io::Error) -> Fault {
    let inner = error
        .get_ref()
        .and_then(|e| e.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented) => {
            Fault::Certificate
        }
        Some(_) => Fault::Others,
        None => of_io(error),
    }
}
