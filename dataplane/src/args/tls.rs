//! The flags of TLS.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The flags as typed.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct TlsArgs {
    /// The same over TLS, with the certificates of --tls-dir.
    #[arg(long, env = "MAILTRAIL_PUBLIC_TLS", value_name = "ADDR")]
    public_tls: Option<SocketAddr>,

    /// Certificates: a folder for each, with `tls.crt` and `tls.key`, as Secrets of the type
    /// kubernetes.io/tls are mounted; read again when changed. A host is shown the one that names it.
    #[arg(long, env = "MAILTRAIL_TLS_DIR", value_name = "DIR")]
    tls_dir: Option<PathBuf>,
}

/// Where TLS is spoken, and with which certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// The address.
    pub address: SocketAddr,
    /// The folder of certificates.
    pub folder: PathBuf,
}

impl TlsArgs {
    /// What they mean together: one is nothing without the other.
    pub(super) fn settings(self, faults: &mut Vec<String>) -> Option<Tls> {
        let Self {
            public_tls,
            tls_dir,
        } = self;
        match (public_tls, tls_dir) {
            (Some(address), Some(folder)) => return Some(Tls { address, folder }),
            (Some(_), None) => faults.push(
                "--tls-dir DIR is needed with --public-tls: where its certificates are".to_owned(),
            ),
            (None, Some(_)) => faults.push(
                "--tls-dir DIR is for --public-tls ADDR: where TLS is spoken with them".to_owned(),
            ),
            (None, None) => {}
        }
        None
    }
}
