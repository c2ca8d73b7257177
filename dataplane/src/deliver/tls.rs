//! Whose certificates receivers may have.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// There are no certificates to check others by.
#[derive(Debug, thiserror::Error)]
pub enum RootsError {
    /// The file cannot be used.
    #[error("--sinks-ca: {0}")]
    File(String),
    /// TLS cannot be set up.
    #[error("TLS for sinks: {0}")]
    Tls(#[from] rustls::Error),
}

/// Trusts what the system trusts, and what stands in a file. Where nothing is
/// trusted, receivers over https fail, and say why.
pub fn roots(ca: Option<&Path>) -> Result<Arc<ClientConfig>, RootsError> {
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
        tracing::warn!(
            "no certificate is trusted: sinks over https cannot be delivered to; install the system's, or give --sinks-ca"
        );
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
