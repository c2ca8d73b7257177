//! Places for connections: so many in all, so many per peer. Taken at accept,
//! given back when dropped.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::refuse::Refusal;
use super::settings::Limits;

/// The places of one listener, shared by its runtimes.
pub(super) struct Places {
    open: AtomicUsize,
    open_max: usize,
    of_peers: Mutex<HashMap<IpAddr, usize>>,
    per_peer_max: usize,
}

/// A place among all connections.
pub(super) struct Place(Arc<Places>);

/// A place among the connections of one peer.
pub(super) struct PeerPlace {
    places: Arc<Places>,
    peer: IpAddr,
}

impl Places {
    pub(super) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            open: AtomicUsize::new(0),
            open_max: limits.connections,
            of_peers: Mutex::default(),
            per_peer_max: limits.connections_per_peer,
        })
    }

    /// A place for one more connection.
    pub(super) fn take(self: &Arc<Self>) -> Result<Place, Refusal> {
        let place = Place(Arc::clone(self)); // its drop gives back what is counted next
        if self.open.fetch_add(1, Ordering::Relaxed) < self.open_max {
            Ok(place)
        } else {
            Err(Refusal::Connections)
        }
    }

    /// A place for one more connection of this peer.
    pub(super) fn take_of_peer(self: &Arc<Self>, peer: IpAddr) -> Result<PeerPlace, Refusal> {
        let peer = peer_of(peer);
        let mut of_peers = self.of_peers();
        let open = of_peers.entry(peer).or_insert(0);
        if *open >= self.per_peer_max {
            return Err(Refusal::ConnectionsPerPeer);
        }
        *open += 1;
        Ok(PeerPlace {
            places: Arc::clone(self),
            peer,
        })
    }

    fn of_peers(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics while holding it; were it so, the counts are still sound.
        self.of_peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut of_peers = self.places.of_peers();
        if let Some(open) = of_peers.get_mut(&self.peer) {
            *open -= 1;
            if *open == 0 {
                of_peers.remove(&self.peer);
            }
        }
    }
}

/// An IPv4 address, or the /64 that one IPv6 customer has at least.
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let network = u128::from(v6) & (u128::MAX << 64);
            Ipv6Addr::from(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(connections: usize, connections_per_peer: usize) -> Arc<Places> {
        Places::new(&Limits {
            connections,
            connections_per_peer,
            ..Limits::default()
        })
    }

    #[test]
    fn a_place_given_back_can_be_taken_again() {
        let places = places(1, 1);
        let first = places.take().expect("a place");
        for _ in 0..3 {
            assert_eq!(places.take().err(), Some(Refusal::Connections));
        }
        drop(first);
        assert!(places.take().is_ok());
    }

    #[test]
    fn a_peer_is_an_ipv4_address_or_an_ipv6_network() {
        let places = places(9, 1);
        let take = |peer: &str| places.take_of_peer(peer.parse().expect("address"));
        let held = (take("203.0.113.1"), take("2001:db8::1"));
        assert!(held.0.is_ok() && held.1.is_ok());
        assert!(take("203.0.113.1").is_err() && take("::ffff:203.0.113.1").is_err());
        assert!(take("2001:db8::2").is_err());
        assert!(take("203.0.113.2").is_ok() && take("2001:db8:0:1::1").is_ok());
        drop(held);
        assert!(take("203.0.113.1").is_ok());
        assert!(
            places.of_peers().is_empty(),
            "nothing is kept of who is gone"
        );
    }
}
