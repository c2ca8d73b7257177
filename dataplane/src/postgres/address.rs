//! Where the database is, and how it is spoken to: what the flags say, read
//! once.
//!
//! A URL is libpq's (`postgres://user@host:port/name?…`), of which the rules for
//! TLS are ours: a connection is plain, or its certificate is verified with the
//! host's name. There is nothing between, for what is not verified protects
//! against nobody who can be in the way.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Longest wait for one address to accept a connection.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// After so long without an answer to a probe the other side counts as gone.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
/// Most bytes of a password file.
const PASSWORD_MAX_BYTES: usize = 4096;
/// What a password file may not hold more than one of.
const LINE_ENDS: [char; 2] = ['\r', '\n'];

/// Where the database is. Its `Debug` says nothing of it: a URL may hold a
/// password.
#[derive(Clone)]
pub struct Address {
    config: Config,
    password_file: Option<PathBuf>,
    tls: MakeRustlsConnect,
}

/// The flags of the database do not say where it is.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// It is no URL of a database.
    #[error("--postgres must be a URL like postgres://user@host:5432/name: {0}")]
    Url(String),
    /// No database is named.
    #[error("--postgres must name a {0}, as in postgres://user@host:5432/name")]
    Lacks(&'static str),
    /// A word of libpq's that does not mean here what it means there.
    #[error(
        "--postgres: sslmode={0} is not served: a certificate is verified with the host's name \
         (verify-full, the default but for loopback addresses), or there is no TLS (disable)"
    )]
    SslMode(String),
    /// The file of certificates is named twice.
    #[error("--postgres: name the certificates with --postgres-ca FILE, not with sslrootcert")]
    SslRootCert,
    /// A file cannot be read.
    #[error("{flag} {path}: {source}")]
    File {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// A file holds something else.
    #[error("{flag} {path}: {rule}")]
    Content {
        /// The flag.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What it must hold.
        rule: &'static str,
    },
}

/// What is asked of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tls {
    /// None.
    Off,
    /// A certificate that is verified.
    Verified,
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Address")
    }
}

impl Address {
    /// Reads what the flags say. The password is read anew for each connection.
    pub fn new(
        url: &str,
        password_file: Option<PathBuf>,
        ca_file: Option<&Path>,
    ) -> Result<Self, AddressError> {
        let (rest, tls) = split(url)?;
        let mut config: Config = rest
            .parse()
            .map_err(|error| AddressError::Url(told(&error)))?;
        if config.get_hosts().is_empty() {
            return Err(AddressError::Lacks("host"));
        }
        if config.get_user().is_none() {
            return Err(AddressError::Lacks("user"));
        }
        if config.get_dbname().is_none() {
            return Err(AddressError::Lacks("database"));
        }
        let tls = tls.unwrap_or_else(|| match config.get_hosts().iter().all(is_here) {
            true => Tls::Off,
            false => Tls::Verified,
        });
        config.ssl_mode(match tls {
            Tls::Off => SslMode::Disable,
            Tls::Verified => SslMode::Require,
        });
        // Of several hosts the one that can be written to.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        config.connect_timeout(CONNECT_TIME);
        config.keepalives_idle(KEEPALIVE_IDLE);
        if config.get_application_name().is_none() {
            config.application_name("mailtrail");
        }
        let address = Self {
            config,
            password_file,
            tls: MakeRustlsConnect::new(client(ca_file, tls)?),
        };
        address.with_password()?;
        Ok(address)
    }

    /// How to connect now.
    pub(super) fn with_password(&self) -> Result<Config, AddressError> {
        const FLAG: &str = "--postgres-password";
        let mut config = self.config.clone();
        let Some(path) = &self.password_file else {
            return Ok(config);
        };
        let said = std::fs::read_to_string(path).map_err(|source| AddressError::File {
            flag: FLAG,
            path: path.clone(),
            source,
        })?;
        let password = said.trim_end_matches(LINE_ENDS);
        let rule = match password {
            "" => "is empty",
            long if long.len() > PASSWORD_MAX_BYTES => "must be at most 4096 bytes",
            lines if lines.contains(LINE_ENDS) => "must be one line",
            _ => {
                config.password(password);
                return Ok(config);
            }
        };
        let (flag, path) = (FLAG, path.clone());
        Err(AddressError::Content { flag, path, rule })
    }

    /// What speaks TLS, where it is spoken.
    pub(super) fn tls(&self) -> MakeRustlsConnect {
        self.tls.clone()
    }
}

/// Takes from a URL what it says of TLS.
fn split(url: &str) -> Result<(String, Option<Tls>), AddressError> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(AddressError::Url("it begins otherwise".to_owned()));
    }
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let (mut kept, mut tls) = (Vec::new(), None);
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some(("sslmode", "disable")) => tls = Some(Tls::Off),
            Some(("sslmode", "verify-full")) => tls = Some(Tls::Verified),
            Some(("sslmode", other)) => return Err(AddressError::SslMode(other.to_owned())),
            Some(("sslrootcert", _)) => return Err(AddressError::SslRootCert),
            _ => kept.push(pair),
        }
    }
    let query = kept.join("&");
    let rest = match query.as_str() {
        "" => base.to_owned(),
        query => format!("{base}?{query}"),
    };
    Ok((rest, tls))
}

/// Whether what is sent there stays on this machine.
fn is_here(host: &Host) -> bool {
    match host {
        Host::Tcp(name) => {
            name == "localhost"
                || name
                    .parse()
                    .is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
        #[cfg(unix)]
        Host::Unix(_) => true,
    }
}

fn client(ca_file: Option<&Path>, tls: Tls) -> Result<ClientConfig, AddressError> {
    let roots = match (ca_file, tls) {
        (Some(path), _) => roots_of(path)?,
        (None, Tls::Verified) => system_roots(),
        (None, Tls::Off) => RootCertStore::empty(),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has the versions that are the default")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

fn roots_of(path: &Path) -> Result<RootCertStore, AddressError> {
    const FLAG: &str = "--postgres-ca";
    let bytes = std::fs::read(path).map_err(|source| AddressError::File {
        flag: FLAG,
        path: path.to_owned(),
        source,
    })?;
    let wrong = || AddressError::Content {
        flag: FLAG,
        path: path.to_owned(),
        rule: "must hold certificates in PEM",
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_| wrong())?;
        roots.add(certificate).map_err(|_| wrong())?;
    }
    match roots.is_empty() {
        true => Err(wrong()),
        false => Ok(roots),
    }
}

/// What the system trusts; nothing, where that cannot be read: then no
/// certificate is good.
fn system_roots() -> RootCertStore {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        tracing::warn!("the system's certificates cannot be read: give --postgres-ca FILE");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    roots
}

/// An error of the URL, without the URL.
fn told(error: &tokio_postgres::Error) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), ToString::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(url: &str) -> Result<Address, String> {
        Address::new(url, None, None).map_err(|error| error.to_string())
    }

    #[test]
    fn a_certificate_is_verified_unless_the_database_is_here_or_the_url_says_otherwise() {
        for (url, mode) in [
            ("postgres://m@db.example/mail", SslMode::Require),
            (
                "postgres://m@db.example/mail?sslmode=verify-full",
                SslMode::Require,
            ),
            (
                "postgres://m@db.example/mail?sslmode=disable",
                SslMode::Disable,
            ),
            ("postgres://m@127.0.0.1:5433/mail", SslMode::Disable),
            (
                "postgres://m@localhost/mail?sslmode=verify-full",
                SslMode::Require,
            ),
            ("postgres://m@localhost,db.example/mail", SslMode::Require),
            ("postgresql://m@%2Frun%2Fpostgresql/mail", SslMode::Disable),
        ] {
            let address = address(url).expect(url);
            assert_eq!(address.config.get_ssl_mode(), mode, "{url}");
            let attributes = address.config.get_target_session_attrs();
            assert_eq!(attributes, TargetSessionAttrs::ReadWrite);
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_flag_and_never_with_a_password() {
        for (url, said) in [
            ("http://db.example/", "must be a URL like"),
            ("host=db.example user=m", "must be a URL like"),
            (
                "postgres://m:geheim@db.example/mail?sslmode=prefer",
                "sslmode=prefer",
            ),
            (
                "postgres://m:geheim@db.example/mail?sslmode=require",
                "sslmode=require",
            ),
            (
                "postgres://m:geheim@db.example/mail?sslrootcert=/x",
                "--postgres-ca",
            ),
            ("postgres://m:geheim@db.example/mail?color=red", "color"),
            (
                "postgres://m:geheim@db.example:port/mail",
                "must be a URL like",
            ),
            ("postgres://m:geheim@db.example", "database"),
            ("postgres://db.example/mail", "user"),
        ] {
            let error = address(url).expect_err(url);
            assert!(
                error.contains("--postgres") && error.contains(said),
                "{error}"
            );
            assert!(!error.contains("geheim"), "{error}");
        }
        let address = address("postgres://m:geheim@db.example/mail").expect("an address");
        assert!(!format!("{address:?}").contains("geheim"));
    }

    #[test]
    fn a_password_is_one_line_of_a_file_that_may_change() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let url = "postgres://m@localhost/mail";
        let open = || Address::new(url, Some(file.path().to_owned()), None);
        let write = |text: &str| std::fs::write(file.path(), text).expect("written");
        write("first\n");
        let address = open().expect("an address");
        let password = || {
            let config = address.with_password().map_err(|error| error.to_string())?;
            Ok::<_, String>(config.get_password().map(<[u8]>::to_vec))
        };
        assert_eq!(password(), Ok(Some(b"first".to_vec())));
        write("second");
        assert_eq!(password(), Ok(Some(b"second".to_vec())));
        for wrong in ["", "\n", "two\nlines\n"] {
            write(wrong);
            assert!(password().is_err_and(|said| said.contains("--postgres-password")));
        }
    }

    #[test]
    fn a_file_of_certificates_that_holds_none_is_refused() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let open = |path: &Path| Address::new("postgres://m@db.example/mail", None, Some(path));
        for path in [file.path(), Path::new("/nowhere/at/all")] {
            let error = open(path).expect_err("no certificates").to_string();
            assert!(error.contains("--postgres-ca"), "{error}");
        }
    }
}
