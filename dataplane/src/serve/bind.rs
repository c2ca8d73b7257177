//! The port is taken: a listening socket for each runtime.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use socket2::{Domain, Protocol, Socket, Type};

use super::descriptors;
use super::settings::Settings;

/// Connections that the system holds until they are accepted, per runtime.
const BACKLOG: i32 = 1024;

/// The port is taken, and nothing is served yet.
#[derive(Debug)]
pub struct Bound {
    pub(super) plain: Sockets,
    pub(super) tls: Option<Sockets>,
    pub(super) settings: Settings,
}

/// A listening socket for each runtime.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) listeners: Vec<TcpListener>,
    /// With the port that was taken.
    pub(super) address: SocketAddr,
}

/// A public port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has it.
    #[error(
        "{flag}: the public address {address} is in use by another program: stop that or choose another"
    )]
    InUse {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a right that this program does not have.
    #[error("{flag}: not allowed to listen on {address}: ports below 1024 need a right")]
    NotAllowed {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// Anything else the system says.
    #[error("{flag}: cannot listen on {address}: {source}")]
    Other {
        /// The flag that names it.
        flag: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes the port, and that of TLS where there is one, once for every runtime.
pub fn bind(mut settings: Settings) -> Result<Bound, BindError> {
    settings.limits.connections = descriptors::connections(settings.limits.connections);
    let runtimes = settings.runtimes.unwrap_or_else(cores).get();
    let plain = sockets("--public", settings.address, runtimes)?;
    let tls = settings.tls.as_ref();
    let tls = tls.map(|tls| sockets("--public-tls", tls.address, runtimes));
    Ok(Bound {
        plain,
        tls: tls.transpose()?,
        settings,
    })
}

fn sockets(flag: &'static str, wanted: SocketAddr, count: usize) -> Result<Sockets, BindError> {
    let error = |source| BindError::new(flag, wanted, source);
    // Another process of the same user could share the port too: whether the
    // port is free is asked without sharing first.
    drop(listener(wanted, Sharing::Alone).map_err(error)?);
    let first = listener(wanted, Sharing::WithSiblings).map_err(error)?;
    let address = first.local_addr().map_err(error)?;
    let mut listeners = vec![first];
    while listeners.len() < count {
        listeners.push(listener(address, Sharing::WithSiblings).map_err(error)?);
    }
    Ok(Sockets { listeners, address })
}

fn cores() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sharing {
    Alone,
    WithSiblings,
}

fn listener(address: SocketAddr, sharing: Sharing) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(sharing == Sharing::WithSiblings)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if sharing == Sharing::WithSiblings {
        socket.listen(BACKLOG)?;
    }
    Ok(socket.into())
}

// === Bound ===

impl Bound {
    /// The address, with the port that was taken.
    pub fn addr(&self) -> SocketAddr {
        self.plain.address
    }

    /// The address where TLS is spoken, if it is.
    pub fn tls_addr(&self) -> Option<SocketAddr> {
        self.tls.as_ref().map(|sockets| sockets.address)
    }
}

// === BindError ===

impl BindError {
    fn new(flag: &'static str, address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { flag, address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { flag, address },
            _ => Self::Other {
                flag,
                address,
                source,
            },
        }
    }
}
