//! The connection guard: how many connections may be open, in all and from one address.
//!
//! A connection takes its [`Permit`] when it is accepted, before any TLS, and gives it back when the permit is dropped,
//! after its last exchange. One over the limits is [`Claim::TurnedAway`]: the exchange service answers it 503, unless
//! it speaks TLS, whose handshake costs more than a refusal may, or [`TURNED_AWAY_MAX`] are being answered already;
//! those are closed. Between acceptance and the exchange service lies Pingora's handshake, which hands nothing through;
//! what was decided waits meanwhile under the peer's address, and a handshake that never ends gives it back after
//! [`HANDSHAKE_MAX`].
//!
//! An address is what one host can be expected to have: a whole IPv4 address, the first 64 bits of an IPv6 one, since any
//! host may use all 2^64 addresses of its network.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dashmap::{DashMap, Entry};
use pingora_core::listeners::{ConnectionFilter, PreTlsProcess};
use pingora_core::protocols::GetSocketDigest as _;
use pingora_core::protocols::l4::stream::Stream as Accepted;
use pingora_core::{Error, ErrorType};

/// Pingora ends a handshake after 60 s; a permit not claimed by then belongs to a connection that is gone.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(61);
/// Connections over the limits that are told so at one time; each costs at most one buffer of 8 KiB for a second.
pub const TURNED_AWAY_MAX: usize = 64;

/// Counts open connections. About 64 bytes for each address that has one, and 96 for each handshake under way.
#[derive(Debug)]
pub struct Connections {
    max: usize,
    per_address_max: usize,
    open: AtomicUsize,
    turned_away: AtomicUsize,
    by_address: DashMap<IpAddr, usize>,
    handshakes: DashMap<SocketAddr, (Claim, Instant)>,
    refused_total: AtomicU64,
    refused_per_address: AtomicU64,
    refused_descriptors: AtomicU64,
}

/// Connections refused since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Refused {
    /// Because the node had its maximum.
    pub total: u64,
    /// Because the address had its maximum.
    pub per_address: u64,
    /// Because only the descriptors in reserve were left.
    pub descriptors: u64,
}

/// What a connection may expect.
#[derive(Debug)]
pub enum Claim {
    /// To be served.
    Permit(Permit),
    /// To be told that it is not.
    TurnedAway(Telling),
}

/// The right to one open connection; given back on drop.
#[derive(Debug)]
pub struct Permit {
    connections: std::sync::Weak<Connections>,
    address: IpAddr,
}

/// One of the places in which connections are told that there is no room; given back on drop.
#[derive(Debug)]
pub struct Telling {
    connections: std::sync::Weak<Connections>,
}

impl Connections {
    /// A guard that allows `max` connections at a time and `per_address_max` from one address.
    pub fn new(max: usize, per_address_max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            per_address_max,
            open: AtomicUsize::new(0),
            turned_away: AtomicUsize::new(0),
            by_address: DashMap::new(),
            handshakes: DashMap::new(),
            refused_total: AtomicU64::new(0),
            refused_per_address: AtomicU64::new(0),
            refused_descriptors: AtomicU64::new(0),
        })
    }

    /// How many connections are open, those in their handshake included.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Acquire)
    }

    /// How many were refused.
    pub fn refused(&self) -> Refused {
        Refused {
            total: self.refused_total.load(Ordering::Relaxed),
            per_address: self.refused_per_address.load(Ordering::Relaxed),
            descriptors: self.refused_descriptors.load(Ordering::Relaxed),
        }
    }

    /// Takes a permit for a connection from `address`; `None`, and counted, when a limit is reached.
    pub fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let address = host_of(address);
        if !count_below(&self.open, self.max) {
            self.refused_total.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if !self.count_up(address) {
            self.open.fetch_sub(1, Ordering::AcqRel);
            self.refused_per_address.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Permit { connections: Arc::downgrade(self), address })
    }

    /// What was decided when the connection from `peer` was accepted.
    pub fn claim(&self, peer: &SocketAddr) -> Option<Claim> {
        self.handshakes.remove(peer).map(|(_, (claim, _))| claim)
    }

    /// What becomes of a connection that was given a descriptor of the reserve: it is turned away while places for that
    /// are left.
    pub fn out_of_descriptors(self: &Arc<Self>) -> Option<Claim> {
        self.refused_descriptors.fetch_add(1, Ordering::Relaxed);
        self.turn_away().map(Claim::TurnedAway)
    }

    /// A place to tell a connection that it is over the limits; `None` when all are taken.
    fn turn_away(self: &Arc<Self>) -> Option<Telling> {
        count_below(&self.turned_away, TURNED_AWAY_MAX).then(|| Telling { connections: Arc::downgrade(self) })
    }

    /// Forgets the connection from `peer` if it is to be turned away.
    fn forget_turned_away(&self, peer: &SocketAddr) -> bool {
        self.handshakes.remove_if(peer, |_, (claim, _)| matches!(claim, Claim::TurnedAway(_))).is_some()
    }

    /// Gives back the permits of handshakes that ended without reaching the exchange service.
    pub fn sweep(&self, now: Instant) {
        self.handshakes.retain(|_, (_, since)| now.saturating_duration_since(*since) < HANDSHAKE_MAX);
    }

    fn count_up(&self, address: IpAddr) -> bool {
        match self.by_address.entry(address) {
            Entry::Occupied(count) if *count.get() >= self.per_address_max => false,
            Entry::Occupied(mut count) => {
                *count.get_mut() += 1;
                true
            }
            Entry::Vacant(place) => {
                place.insert(1);
                true
            }
        }
    }

    fn release(&self, address: IpAddr) {
        self.by_address.remove_if_mut(&address, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
        self.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The host behind an address, as it is counted.
fn host_of(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = !0 << 64;
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

/// Counts one more unless there are `max`.
fn count_below(count: &AtomicUsize, max: usize) -> bool {
    let taken = |count: usize| (count < max).then_some(count + 1);
    count.fetch_update(Ordering::AcqRel, Ordering::Acquire, taken).is_ok()
}

impl Drop for Telling {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.turned_away.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(connections) = self.connections.upgrade() {
            connections.release(self.address);
        }
    }
}

/// The guard as Pingora asks it: once per accepted connection, before TLS.
#[derive(Debug)]
pub struct Gatekeeper(pub Arc<Connections>);

#[async_trait]
impl ConnectionFilter for Gatekeeper {
    async fn should_accept(&self, peer: Option<&SocketAddr>) -> bool {
        // Without a peer address the client is already gone.
        let Some(peer) = peer else { return false };
        let permit = self.0.acquire(peer.ip()).map(Claim::Permit);
        let Some(claim) = permit.or_else(|| self.0.turn_away().map(Claim::TurnedAway)) else { return false };
        let replaced = self.0.handshakes.insert(*peer, (claim, Instant::now()));
        // The old permit is given back here, outside the map's lock.
        drop(replaced);
        true
    }
}

#[async_trait]
impl PreTlsProcess for Gatekeeper {
    /// Asked before a handshake, on TLS listeners only: an error closes the connection.
    async fn process(&self, stream: &mut Accepted) -> pingora_core::Result<()> {
        let peer = stream.get_socket_digest().and_then(|digest| digest.peer_addr()?.as_inet().copied());
        match peer {
            Some(peer) if self.0.forget_turned_away(&peer) => {
                Err(Error::explain(ErrorType::AcceptError, "over the limit of connections").into_down())
            }
            Some(_) | None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_permit_counts_until_it_is_dropped_and_leaves_nothing_behind() {
        let connections = Connections::new(10, 10);
        let permits: Vec<_> = (0..4).map(|_| connections.acquire(address(1)).unwrap()).collect();
        assert_eq!((connections.open(), connections.by_address.len()), (4, 1));
        drop(permits);
        assert_eq!((connections.open(), connections.by_address.len()), (0, 0));
    }

    #[test]
    fn one_address_cannot_take_the_places_of_the_others() {
        let connections = Connections::new(3, 2);
        let first = connections.acquire(address(1)).unwrap();
        let _second = connections.acquire(address(1)).unwrap();
        assert!(connections.acquire(address(1)).is_none());
        let _other = connections.acquire(address(2)).unwrap();
        assert!(connections.acquire(address(3)).is_none());
        assert_eq!(connections.refused(), Refused { total: 1, per_address: 1, descriptors: 0 });
        drop(first);
        assert!(connections.acquire(address(1)).is_some());
    }

    #[test]
    fn one_ipv6_network_cannot_take_the_places_of_the_others() {
        let connections = Connections::new(10, 2);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = connections.acquire(address("2001:db8:0:1::1")).unwrap();
        let _second = connections.acquire(address("2001:db8:0:1:ffff::2")).unwrap();
        assert!(connections.acquire(address("2001:db8:0:1::3")).is_none());
        assert_eq!(connections.refused().per_address, 1);
        let _neighbour = connections.acquire(address("2001:db8:0:2::1")).unwrap();
        drop(first);
        let _again = connections.acquire(address("2001:db8:0:1::4")).unwrap();
        let _mapped = connections.acquire(address("::ffff:10.0.0.1")).unwrap();
        let _plain = connections.acquire(address("10.0.0.1")).unwrap();
        assert!(connections.acquire(address("::ffff:10.0.0.1")).is_none(), "one IPv4 address, however it is written");
        let _other = connections.acquire(address("::ffff:10.0.0.2")).unwrap();
    }

    #[tokio::test]
    async fn a_handshake_that_never_ends_gives_its_place_back() {
        let connections = Connections::new(1, 1);
        let gatekeeper = Gatekeeper(connections.clone());
        let peer = SocketAddr::new(address(1), 5000);
        assert!(gatekeeper.should_accept(Some(&peer)).await);
        connections.sweep(Instant::now());
        assert_eq!(connections.open(), 1);
        connections.sweep(Instant::now() + HANDSHAKE_MAX);
        assert_eq!(connections.open(), 0);
    }

    #[tokio::test]
    async fn a_claimed_permit_is_not_swept() {
        let connections = Connections::new(1, 1);
        let peer = SocketAddr::new(address(1), 5000);
        assert!(Gatekeeper(connections.clone()).should_accept(Some(&peer)).await);
        let permit = connections.claim(&peer).unwrap();
        assert!(matches!(permit, Claim::Permit(_)), "{permit:?}");
        connections.sweep(Instant::now() + HANDSHAKE_MAX);
        assert_eq!(connections.open(), 1);
        assert!(connections.claim(&peer).is_none());
        drop(permit);
        assert_eq!(connections.open(), 0);
    }

    #[tokio::test]
    async fn so_many_over_the_limit_are_told_and_the_rest_is_closed() {
        let connections = Connections::new(1, 1);
        let gatekeeper = Gatekeeper(connections.clone());
        let peer = |port| SocketAddr::new(address(1), port);
        let _served = connections.acquire(address(1)).unwrap();
        for port in 1..=TURNED_AWAY_MAX {
            assert!(gatekeeper.should_accept(Some(&peer(u16::try_from(port).unwrap()))).await);
        }
        assert!(!gatekeeper.should_accept(Some(&peer(5_000))).await);
        let told = connections.claim(&peer(1)).unwrap();
        assert!(matches!(told, Claim::TurnedAway(_)) && connections.open() == 1, "{told:?}");
        assert!(connections.forget_turned_away(&peer(2)) && !connections.forget_turned_away(&peer(2)));
        drop(told);
        assert!(gatekeeper.should_accept(Some(&peer(5_000))).await);
        assert!(gatekeeper.should_accept(Some(&peer(5_001))).await);
        assert!(!gatekeeper.should_accept(Some(&peer(5_002))).await);
        assert_eq!(connections.refused().total, 68);
    }
}
