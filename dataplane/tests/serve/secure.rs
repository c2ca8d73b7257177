//! Certificates as Kubernetes mounts them, and readers who come over TLS.

use std::cell::Cell;
use std::fs;
use std::io::{self, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailtrail_tests::Authority;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned, SupportedProtocolVersion,
};

use crate::client::{Client, socket};
use crate::world::{HOST, Wanted, World, wanted};

/// A volume of Secrets: each a folder of links into the version of the moment,
/// and all of them swapped by one link.
pub(crate) struct Mount {
    pub(crate) authority: Authority,
    folder: tempfile::TempDir,
    versions: Cell<u32>,
}

impl Mount {
    /// These certificates, by name, each for some hosts.
    pub(crate) fn of(certificates: &[(&str, &[&str])]) -> Self {
        let mount = Self {
            authority: Authority::new(),
            folder: tempfile::tempdir().expect("a folder"),
            versions: Cell::new(0),
        };
        mount.swap(|inside| {
            for (name, hosts) in certificates {
                mount.authority.write(hosts, 30, &inside.join(name));
            }
        });
        mount
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// The next version, which differs as is told.
    pub(crate) fn swap(&self, change: impl FnOnce(&Path)) {
        let (here, version) = (self.folder.path(), self.versions.get() + 1);
        self.versions.set(version);
        let (data, inside) = (here.join("..data"), here.join(format!("..{version}")));
        fs::create_dir(&inside).expect("a folder");
        for entry in fs::read_dir(&data).into_iter().flatten() {
            let from = entry.expect("an entry").path();
            let to = inside.join(from.file_name().expect("a name"));
            fs::create_dir(&to).expect("a folder");
            for file in fs::read_dir(&from).expect("a folder") {
                let file = file.expect("an entry").path();
                fs::copy(&file, to.join(file.file_name().expect("a name"))).expect("copied");
            }
        }
        change(&inside);
        let link = here.join("..data_tmp");
        symlink(format!("..{version}"), &link).expect("a link");
        fs::rename(&link, &data).expect("swapped");
        for entry in fs::read_dir(&inside).expect("a folder") {
            let name = entry.expect("an entry").file_name();
            let _ = symlink(Path::new("..data").join(&name), here.join(&name));
        }
    }

    /// The certificate of a folder.
    pub(crate) fn shown(&self, name: &str) -> CertificateDer<'static> {
        let path = self.folder.path().join(name).join("tls.crt");
        CertificateDer::from_pem_file(path).expect("a certificate")
    }

    /// What readers trust, and which protocols they offer within TLS.
    pub(crate) fn config(&self, protocols: &[&str]) -> Arc<ClientConfig> {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        let mut config = self.config_of(rustls::ALL_VERSIONS);
        config.alpn_protocols = protocols.collect();
        Arc::new(config)
    }

    /// The same, and which versions of TLS they speak.
    pub(crate) fn config_of(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_file(self.authority.pem()).expect("a certificate");
        roots.add(root).expect("a root");
        ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// A usual world, its limits changed, that speaks TLS with these certificates.
    pub(crate) fn world(&self, change: impl FnOnce(&mut Wanted)) -> World {
        let mut wanted = Wanted {
            certificates: Some(self.path()),
            ..wanted()
        };
        change(&mut wanted);
        wanted.start()
    }
}

/// A reader's program that takes every certificate.
#[derive(Debug)]
pub(crate) struct Anyone;

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// One certificate, for the usual host.
pub(crate) fn mount() -> Mount {
    Mount::of(&[("shop", &[HOST])])
}

/// A socket to where TLS is spoken.
pub(crate) fn dial(world: &World) -> TcpStream {
    socket(world.tls_address.expect("TLS is spoken")).expect("connect")
}

/// A reader who asks for a host and sends something before TLS, in one piece
/// with its begin; then TLS has come about.
pub(crate) fn shake_hands(
    mut socket: TcpStream,
    config: Arc<ClientConfig>,
    host: &str,
    before: &[u8],
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let name = ServerName::try_from(host.to_owned()).expect("a name");
    let mut session = ClientConnection::new(config, name).expect("a session");
    let mut begin = before.to_vec();
    session.write_tls(&mut begin)?;
    socket.write_all(&begin)?;
    while session.is_handshaking() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, socket))
}

/// A client over TLS for the usual host.
pub(crate) fn connect(world: &World, config: &Arc<ClientConfig>) -> Client {
    try_connect(world, config).expect("TLS")
}

/// The same; what went wrong where TLS does not come about.
pub(crate) fn try_connect(world: &World, config: &Arc<ClientConfig>) -> io::Result<Client> {
    let socket = dial(world);
    let handle = socket.try_clone()?;
    let stream = shake_hands(socket, Arc::clone(config), HOST, b"")?;
    Ok(Client::over(stream, handle))
}
