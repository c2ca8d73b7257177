//! Hosts as readers reach them: over TLS, with certificates of a test's own
//! authority, at one address for all of them.

use std::collections::HashMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// An authority that nobody but a test trusts.
pub struct Authority {
    folder: tempfile::TempDir,
}

/// A certificate with its key.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

/// What ends TLS in front of data planes: each host has its certificate, and
/// where its requests go on to in plain HTTP.
pub struct Front {
    address: SocketAddr,
    hosts: Arc<Hosts>,
    /// Connections end with it.
    _runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Hosts(Mutex<HashMap<String, (Certificate, SocketAddr)>>);

// === Authority ===

impl Authority {
    /// A new one, made with openssl.
    pub fn new() -> Self {
        let authority = Self {
            folder: tempfile::tempdir().expect("a folder"),
        };
        authority.openssl(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
             -subj /CN=mailtrail-tests -keyout ca.key -out ca.pem",
        );
        authority
    }

    /// The file with its own certificate.
    pub fn pem(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for a host.
    pub fn certificate(&self, host: &str) -> Certificate {
        self.certificate_for(host, 2)
    }

    /// A certificate for some hosts with its key, as a Secret of the type
    /// `kubernetes.io/tls` has them: `tls.crt` and `tls.key`, in a folder.
    pub fn write(&self, hosts: &[&str], days: i32, folder: &Path) {
        self.make(hosts, days);
        self.copy_to(folder);
    }

    /// The same, valid from one moment until another, each as X.509 has it
    /// (`20300131000000Z`).
    pub fn write_between(&self, hosts: &[&str], begins: &str, expires: &str, folder: &Path) {
        self.ask(hosts);
        // Unlike `x509`, `ca` can be told when to begin; it keeps a list of what it made.
        fs::write(self.folder.path().join("index.txt"), "").expect("a file");
        let config = "[ca]\ndefault_ca = tests\n[tests]\ndatabase = index.txt\nrand_serial = yes\nnew_certs_dir = .\n\
             default_md = sha256\npolicy = any\n[any]\ncommonName = supplied\n";
        fs::write(self.folder.path().join("ca.cnf"), config).expect("a file");
        self.openssl(&format!(
            "ca -config ca.cnf -batch -notext -cert ca.pem -keyfile ca.key \
             -startdate {begins} -enddate {expires} -extfile leaf.ext -in leaf.csr -out leaf.pem"
        ));
        self.copy_to(folder);
    }

    fn copy_to(&self, folder: &Path) {
        fs::create_dir_all(folder).expect("a folder");
        for (from, to) in [("leaf.pem", "tls.crt"), ("leaf.key", "tls.key")] {
            fs::copy(self.folder.path().join(from), folder.join(to)).expect("a file");
        }
    }

    /// A certificate for a host that is no longer valid.
    pub fn expired(&self, host: &str) -> Certificate {
        self.certificate_for(host, -1)
    }

    fn certificate_for(&self, host: &str, days: i32) -> Certificate {
        self.make(&[host], days);
        Certificate::read(self.folder.path())
    }

    fn make(&self, hosts: &[&str], days: i32) {
        self.ask(hosts);
        self.openssl(&format!(
            "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days {days} \
             -extfile leaf.ext -out leaf.pem"
        ));
    }

    /// Makes a key, and the request for its certificate.
    fn ask(&self, hosts: &[&str]) {
        let names: Vec<_> = hosts.iter().map(|host| format!("DNS:{host}")).collect();
        let names = names.join(",");
        let extensions = format!("subjectAltName={names}\nextendedKeyUsage=serverAuth\n");
        fs::write(self.folder.path().join("leaf.ext"), extensions).expect("a file");
        self.openssl(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=leaf \
             -keyout leaf.key -out leaf.csr",
        );
    }

    fn openssl(&self, words: &str) {
        let output = Command::new("openssl")
            .args(words.split_whitespace())
            .current_dir(self.folder.path())
            .output()
            .expect("openssl is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {words}: {said}");
    }
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Certificate {
    fn read(folder: &Path) -> Self {
        let leaf = CertificateDer::from_pem_file(folder.join("leaf.pem")).expect("a certificate");
        let key = PrivateKeyDer::from_pem_file(folder.join("leaf.key")).expect("a key");
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).expect("an EC key");
        Self(Arc::new(CertifiedKey::new(vec![leaf], key)))
    }
}

// === Front ===

impl Front {
    /// A front without hosts, on a loopback address.
    pub fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listener).expect("a port");
        let address = listener.local_addr().expect("bound");
        let hosts = Arc::<Hosts>::default();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&hosts) as Arc<dyn ResolvesServerCert>);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        runtime.spawn(accept(listener, acceptor, Arc::clone(&hosts)));
        Self {
            address,
            hosts,
            _runtime: runtime,
        }
    }

    /// Where it listens, for all hosts.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows this certificate to who asks for a host, and passes requests on.
    pub fn serve(&self, host: &str, certificate: &Certificate, to: SocketAddr) {
        let mut hosts = self.hosts.0.lock().expect("nobody panics in here");
        hosts.insert(host.to_owned(), (certificate.clone(), to));
    }

    /// Knows a host no longer: who asks for it gets no certificate.
    pub fn forget(&self, host: &str) {
        self.hosts
            .0
            .lock()
            .expect("nobody panics in here")
            .remove(host);
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, hosts: Arc<Hosts>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, hosts) = (acceptor.clone(), Arc::clone(&hosts));
        tokio::spawn(async move {
            // Whoever does not trust the certificate goes: that is its affair.
            let Ok(mut inside) = acceptor.accept(stream).await else {
                return;
            };
            let to = inside
                .get_ref()
                .1
                .server_name()
                .and_then(|name| hosts.to(name));
            let Some(to) = to else { return };
            if let Ok(mut outside) = TcpStream::connect(to).await {
                let _ = tokio::io::copy_bidirectional(&mut inside, &mut outside).await;
            }
        });
    }
}

impl Hosts {
    fn to(&self, name: &str) -> Option<SocketAddr> {
        let hosts = self.0.lock().expect("nobody panics in here");
        hosts.get(name).map(|(_, to)| *to)
    }
}

impl std::fmt::Debug for Hosts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hosts")
    }
}

impl ResolvesServerCert for Hosts {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let hosts = self.0.lock().expect("nobody panics in here");
        let (certificate, _) = hosts.get(hello.server_name()?)?;
        Some(Arc::clone(&certificate.0))
    }
}
