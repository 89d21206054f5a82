//! Which addresses this node connects to on behalf of others. A tenant chooses the endpoints of its services, and the node
//! connects from its own place in the network: this room decides, and [`Permitted`] is the only way to a connection.
//!
//! Refused whatever the settings say: unspecified, multicast, broadcast and link-local addresses, the node's own
//! listeners, and its etcd. Loopback is refused unless the settings name it. The rest is up to `targets.allow` and
//! `targets.deny`. An IPv6 address is judged with every IPv4 address that it may mean.
//!
//! [`Targets::permit`] allocates nothing and takes no lock; for a port on which the node listens at every address it asks
//! the kernel whether the address is local.

use std::fmt;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use arc_swap::ArcSwap;
use lgsp_shared::network::{Network, Never, is_loopback, meanings, never};

/// What the settings say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// The only networks with targets; any, loopback apart, when absent.
    pub allow: Option<Vec<Network>>,
    /// Networks without targets; they win.
    pub deny: Vec<Network>,
}

impl Rules {
    /// The networks that `loopback` stands for.
    pub const LOOPBACK: [Network; 2] = [Network::LOOPBACK_4, Network::LOOPBACK_6];

    /// Loopback and nothing else: for tests and demonstrations on one machine.
    pub fn loopback() -> Self {
        Self { allow: Some(Self::LOOPBACK.to_vec()), deny: Vec::new() }
    }

    fn judge(&self, address: IpAddr) -> Result<(), Barred> {
        let allows_loopback = || self.allow.iter().flatten().any(|allowed| allowed.is_loopback());
        if is_loopback(address) && !allows_loopback() {
            return Err(Barred::Loopback);
        }
        let denied = |meant: IpAddr| self.deny.iter().find(|denied| denied.contains(meant));
        if let Some(denied) = meanings(address).find_map(denied) {
            return Err(Barred::Denied(*denied));
        }
        match &self.allow {
            // An IPv4 address within an IPv6 one is allowed by the network of the latter.
            Some(allow) if !allow.iter().any(|allowed| may_hold(allowed, address)) => Err(Barred::NotAllowed),
            Some(_) | None => Ok(()),
        }
    }
}

/// Whether an entry of `allow` covers `address`: loopback only where all of the entry is loopback.
fn may_hold(allowed: &Network, address: IpAddr) -> bool {
    allowed.contains(address) && (allowed.is_loopback() || !is_loopback(address))
}

/// Why an address is not connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Barred {
    /// No service has such an address.
    Never(Never),
    /// Loopback, which the settings do not name.
    Loopback,
    /// In a network of `targets.deny`.
    Denied(Network),
    /// In no network of `targets.allow`.
    NotAllowed,
    /// A listener of this node.
    OwnListener,
    /// An endpoint of this node's etcd.
    Etcd,
}

impl fmt::Display for Barred {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Barred::Never(kind) => write!(f, "it is {kind}"),
            Barred::Loopback => {
                f.write_str("it is loopback, which `targets.allow` of the node's settings does not name")
            }
            Barred::Denied(network) => write!(f, "`targets.deny` of the node's settings has {network}"),
            Barred::NotAllowed => f.write_str("no network of `targets.allow` in the node's settings holds it"),
            Barred::OwnListener => f.write_str("the node itself listens there"),
            Barred::Etcd => f.write_str("the node's etcd listens there"),
        }
    }
}

/// An address that this node may connect to. Only [`Targets::permit`] makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permitted(SocketAddr);

impl Permitted {
    /// The address.
    pub fn address(self) -> SocketAddr {
        self.0
    }
}

/// Where an endpoint of etcd is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EtcdEndpoint {
    /// An address.
    At(SocketAddr),
    /// A name that was not resolved yet: until it is, its port is closed at every address.
    Unresolved {
        /// The port.
        port: u16,
    },
}

/// What a node knows about where it may connect. Cheap to share.
#[derive(Debug, Default)]
pub struct Targets {
    rules: Rules,
    listeners: Vec<SocketAddr>,
    etcd: ArcSwap<Vec<EtcdEndpoint>>,
}

impl Targets {
    /// By these rules, at a node with these listeners.
    pub fn new(rules: Rules, listeners: Vec<SocketAddr>) -> Self {
        Self { rules, listeners, etcd: ArcSwap::default() }
    }

    /// Replaces what is known of the node's etcd.
    pub fn set_etcd(&self, endpoints: Vec<EtcdEndpoint>) {
        self.etcd.store(Arc::new(endpoints));
    }

    /// The permission to connect to `address`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn permit(&self, address: SocketAddr) -> Result<Permitted, Barred> {
        if let Some(kind) = never(address.ip()) {
            return Err(Barred::Never(kind));
        }
        self.rules.judge(address.ip())?;
        let port = address.port();
        let is_at = |place: &SocketAddr| {
            place.port() == port && meanings(address.ip()).any(|meant| meant == place.ip().to_canonical())
        };
        let is_own = |listener: &SocketAddr| {
            let everywhere = listener.ip().to_canonical().is_unspecified() && listener.port() == port;
            is_at(listener) || everywhere && meanings(address.ip()).any(is_local)
        };
        if self.listeners.iter().any(is_own) {
            return Err(Barred::OwnListener);
        }
        let is_etcd = |endpoint: &EtcdEndpoint| match endpoint {
            EtcdEndpoint::At(place) => is_at(place),
            EtcdEndpoint::Unresolved { port: closed } => *closed == port,
        };
        if self.etcd.load().iter().any(is_etcd) {
            return Err(Barred::Etcd);
        }
        Ok(Permitted(address))
    }
}

/// Whether the address is one of this machine: only then can a socket be bound to it. Sends nothing.
fn is_local(address: IpAddr) -> bool {
    address.is_loopback() || UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn barred(targets: &Targets, text: &str) -> Option<Barred> {
        targets.permit(at(text)).err()
    }

    #[test]
    fn by_default_every_address_is_a_target_but_loopback_and_those_that_never_are() {
        let targets = Targets::default();
        assert_eq!(targets.permit(at("10.0.0.1:80")).map(Permitted::address), Ok(at("10.0.0.1:80")));
        assert_eq!(barred(&targets, "[2001:db8::1]:80"), None);
        for loopback in ["127.0.0.1:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[64:ff9b::127.0.0.1]:80"] {
            assert_eq!(barred(&targets, loopback), Some(Barred::Loopback), "{loopback}");
        }
        for never in ["0.0.0.0:80", "169.254.169.254:80", "[fe80::1]:80", "224.0.0.1:80", "255.255.255.255:80"] {
            assert!(matches!(barred(&targets, never), Some(Barred::Never(_))), "{never}");
        }
    }

    #[test]
    fn what_never_is_a_target_is_none_even_where_the_settings_allow_everything() {
        let rules = Rules { allow: Some(networks(&["0.0.0.0/0", "::/0", "127.0.0.0/8"])), deny: Vec::new() };
        let targets = Targets::new(rules, Vec::new());
        for never in ["0.0.0.0:80", "[::]:80", "[::ffff:169.254.169.254]:80", "[64:ff9b::169.254.169.254]:80"] {
            assert!(matches!(barred(&targets, never), Some(Barred::Never(_))), "{never}");
        }
        assert_eq!(barred(&targets, "127.0.0.1:80"), None);
    }

    #[test]
    fn loopback_is_allowed_by_its_name_and_by_nothing_wider() {
        let everything = Rules { allow: Some(networks(&["0.0.0.0/0", "::/0"])), deny: Vec::new() };
        assert_eq!(barred(&Targets::new(everything, Vec::new()), "127.0.0.1:80"), Some(Barred::Loopback));
        let one = Rules { allow: Some(networks(&["0.0.0.0/0", "127.0.0.5"])), deny: Vec::new() };
        let one = Targets::new(one, Vec::new());
        assert_eq!((barred(&one, "127.0.0.5:80"), barred(&one, "127.0.0.1:80")), (None, Some(Barred::NotAllowed)));
        let named = Targets::new(Rules::loopback(), Vec::new());
        assert_eq!((barred(&named, "127.0.0.1:80"), barred(&named, "[::1]:80")), (None, None));
        assert_eq!(barred(&named, "10.0.0.1:80"), Some(Barred::NotAllowed));
    }

    #[test]
    fn a_network_that_is_denied_is_denied_within_one_that_is_allowed_and_behind_a_translator() {
        let rules = Rules { allow: Some(networks(&["10.0.0.0/8", "64:ff9b::/96"])), deny: networks(&["10.9.0.0/16"]) };
        let targets = Targets::new(rules, Vec::new());
        assert_eq!(barred(&targets, "10.1.0.1:80"), None);
        assert!(matches!(barred(&targets, "10.9.0.1:80"), Some(Barred::Denied(_))));
        assert!(matches!(barred(&targets, "[64:ff9b::10.9.0.1]:80"), Some(Barred::Denied(_))));
        assert_eq!(barred(&targets, "192.168.0.1:80"), Some(Barred::NotAllowed));
    }

    #[test]
    fn the_node_s_own_listeners_are_no_targets_also_where_they_listen_at_every_address() {
        let listeners = vec![at("127.0.0.1:9901"), at("0.0.0.0:8080"), at("[::]:9902")];
        let targets = Targets::new(Rules::loopback(), listeners);
        for own in ["127.0.0.1:9901", "[::ffff:127.0.0.1]:9901", "127.0.0.1:8080", "127.8.8.8:8080", "127.0.0.1:9902"] {
            assert_eq!(barred(&targets, own), Some(Barred::OwnListener), "{own}");
        }
        assert_eq!(barred(&targets, "127.0.0.1:9903"), None);
        let anywhere = Targets::new(Rules::default(), vec![at("0.0.0.0:8080")]);
        assert_eq!(barred(&anywhere, "192.0.2.7:8080"), None, "another machine's port 8080");
    }

    #[test]
    fn etcd_is_no_target_and_a_name_not_resolved_closes_its_port() {
        let targets = Targets::new(Rules::default(), Vec::new());
        targets.set_etcd(vec![EtcdEndpoint::At(at("10.0.0.5:2379")), EtcdEndpoint::Unresolved { port: 2380 }]);
        assert_eq!(barred(&targets, "10.0.0.5:2379"), Some(Barred::Etcd));
        assert_eq!(barred(&targets, "[64:ff9b::10.0.0.5]:2379"), Some(Barred::Etcd));
        assert_eq!(barred(&targets, "10.0.0.6:2380"), Some(Barred::Etcd));
        assert_eq!(barred(&targets, "10.0.0.6:2379"), None);
    }
}
