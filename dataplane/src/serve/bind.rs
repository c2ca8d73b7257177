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
    pub(super) listeners: Vec<TcpListener>,
    pub(super) address: SocketAddr,
    pub(super) settings: Settings,
}

/// The public port cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another program has it.
    #[error(
        "the public address {address} is in use by another program: stop that or choose another (--public)"
    )]
    InUse {
        /// The address.
        address: SocketAddr,
    },
    /// Ports below 1024 need a right that this program does not have.
    #[error("not allowed to listen on the public address {address}: ports below 1024 need a right")]
    NotAllowed {
        /// The address.
        address: SocketAddr,
    },
    /// Anything else the system says.
    #[error("cannot listen on the public address {address}")]
    Other {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Takes the port, once for every runtime.
pub fn bind(mut settings: Settings) -> Result<Bound, BindError> {
    settings.limits.connections = descriptors::connections(settings.limits.connections);
    let runtimes = settings.runtimes.unwrap_or_else(cores).get();
    let error = |source| BindError::new(settings.address, source);
    // Another process of the same user could share the port too: whether the
    // port is free is asked without sharing first.
    drop(listener(settings.address, Sharing::Alone).map_err(error)?);
    let first = listener(settings.address, Sharing::WithSiblings).map_err(error)?;
    let address = first.local_addr().map_err(error)?;
    let mut listeners = vec![first];
    while listeners.len() < runtimes {
        listeners.push(listener(address, Sharing::WithSiblings).map_err(error)?);
    }
    Ok(Bound {
        listeners,
        address,
        settings,
    })
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

// === BindError ===

impl BindError {
    fn new(address: SocketAddr, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::AddrInUse => Self::InUse { address },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { address },
            _ => Self::Other { address, source },
        }
    }
}
