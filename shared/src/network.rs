//! Networks in CIDR notation, and which addresses are never a target or only by name.
//!
//! An IPv6 address may carry an IPv4 address that a translator or the kernel connects to (mapped, compatible, NAT64,
//! 6to4). A rule about addresses is a rule about each of them: see [`meanings`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A network: an address and the number of its leading bits that count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is not a network: which, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a network: {reason}")]
pub struct InvalidNetwork {
    text: String,
    reason: String,
}

impl Network {
    /// `127.0.0.0/8`.
    pub const LOOPBACK_4: Network = Network { address: IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 };
    /// `::1/128`.
    pub const LOOPBACK_6: Network = Network { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 };

    /// Whether `address` lies within it. A mapped IPv4 address is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        let (network, network_bits) = number(self.address);
        let (address, address_bits) = number(address.to_canonical());
        network_bits == address_bits
            && leading(network, network_bits, self.prefix) == leading(address, address_bits, self.prefix)
    }

    /// Whether all of it lies within `other`.
    pub fn is_within(&self, other: &Network) -> bool {
        self.prefix >= other.prefix && other.contains(self.address)
    }

    /// Whether all of it is loopback.
    pub fn is_loopback(&self) -> bool {
        self.is_within(&Self::LOOPBACK_4) || self.is_within(&Self::LOOPBACK_6)
    }
}

/// The address as a number, and how many bits it has.
fn number(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    }
}

fn leading(number: u128, bits: u8, prefix: u8) -> u128 {
    number.checked_shr(u32::from(bits.saturating_sub(prefix))).unwrap_or(0)
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    /// Reads `10.1.0.0/16`, `2001:db8::/32`, or one address.
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = |reason: String| InvalidNetwork { text: text.chars().take(80).collect(), reason };
        let example = || invalid("write it as `10.1.0.0/16`, `2001:db8::/32` or one address".to_owned());
        let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address: IpAddr = address.parse().map_err(|_| example())?;
        if address.to_canonical() != address {
            return Err(invalid(format!("write the IPv4 address, `{}`", address.to_canonical())));
        }
        let (value, bits) = number(address);
        let prefix = match prefix {
            Some(prefix) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                prefix.parse().map_err(|_| example())?
            }
            Some(_) => return Err(example()),
            None => bits,
        };
        if prefix > bits {
            return Err(invalid(format!("`/{prefix}` is more than the {bits} bits of an address")));
        }
        let kept = leading(value, bits, prefix).checked_shl(u32::from(bits - prefix)).unwrap_or(0);
        if kept != value {
            return Err(invalid(format!(
                "bits after the first {prefix} are set; write the first address of the network"
            )));
        }
        Ok(Self { address, prefix })
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Addresses that no service may have, whatever a node allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Never {
    /// `0.0.0.0/8` or `::`, which the kernel takes for the machine itself.
    Unspecified,
    /// `224.0.0.0/4` or `ff00::/8`.
    Multicast,
    /// `240.0.0.0/4`, reserved, with the broadcast address.
    Broadcast,
    /// `169.254.0.0/16` or `fe80::/10`: the machine's neighbours, and a cloud's metadata service.
    LinkLocal,
}

impl fmt::Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Never::Unspecified => "an unspecified address",
            Never::Multicast => "a multicast address",
            Never::Broadcast => "a broadcast or reserved address",
            Never::LinkLocal => "a link-local address",
        })
    }
}

/// Why nobody may connect to `address`, if so; for every address that it means.
pub fn never(address: IpAddr) -> Option<Never> {
    meanings(address).find_map(never_itself)
}

/// Whether `address` means this machine's loopback interface.
pub fn is_loopback(address: IpAddr) -> bool {
    meanings(address).any(|address| address.is_loopback())
}

fn never_itself(address: IpAddr) -> Option<Never> {
    match address {
        IpAddr::V4(address) => match address.octets() {
            [0, ..] => Some(Never::Unspecified),
            [169, 254, ..] => Some(Never::LinkLocal),
            [224..=239, ..] => Some(Never::Multicast),
            [240..=255, ..] => Some(Never::Broadcast),
            _ => None,
        },
        IpAddr::V6(address) if address.is_unspecified() => Some(Never::Unspecified),
        IpAddr::V6(address) if address.is_multicast() => Some(Never::Multicast),
        IpAddr::V6(address) if address.is_unicast_link_local() => Some(Never::LinkLocal),
        IpAddr::V6(_) => None,
    }
}

/// The address itself, and every IPv4 address that may be meant by it: mapped and compatible forms (RFC 4291 section
/// 2.5.5), NAT64 by its well-known and its local prefix in each length (RFC 6052 section 2.2, RFC 8215), 6to4 (RFC
/// 3056). No allocation.
pub fn meanings(address: IpAddr) -> impl Iterator<Item = IpAddr> {
    let canonical = address.to_canonical();
    let embedded = match canonical {
        IpAddr::V4(_) => [None; 4],
        IpAddr::V6(address) => embedded(address),
    };
    std::iter::once(canonical).chain(embedded.into_iter().flatten().map(|octets| IpAddr::V4(octets.into())))
}

type Octets = [u8; 4];

fn embedded(address: Ipv6Addr) -> [Option<Octets>; 4] {
    let octets = address.octets();
    let [.., a, b, c, d] = octets;
    let last = [a, b, c, d];
    match octets {
        // `::` and `::1` are themselves.
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ..] => [Some(last), None, None, None],
        [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => [Some(last), None, None, None],
        // A prefix of 48, 56, 64 or 96 bits; byte 8 is never part of the address.
        [0, 0x64, 0xff, 0x9b, 0, 1, a, b, _, c, d, e, f, ..] => {
            let by_48 = ((a, b) != (0, 0)).then_some([a, b, c, d]);
            let by_56 = (b != 0).then_some([b, c, d, e]);
            let by_64 = ((c, d) != (0, 0)).then_some([c, d, e, f]);
            let by_96 = (last != [0; 4]).then_some(last);
            [by_48, by_56, by_64, by_96]
        }
        [0x20, 0x02, a, b, c, d, ..] => [Some([a, b, c, d]), None, None, None],
        _ => [None; 4],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_the_addresses_that_begin_as_it_does() {
        for (text, within, beyond) in [
            ("10.1.0.0/16", "10.1.255.255", "10.2.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("0.0.0.0/0", "255.1.2.3", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "2001:db8::1", "10.0.0.1"),
            ("10.0.0.0/8", "::ffff:10.9.8.7", "::10.9.8.7"),
        ] {
            assert_eq!(
                (network(text).contains(ip(within)), network(text).contains(ip(beyond))),
                (true, false),
                "{text}"
            );
        }
        assert!(network("10.1.2.0/24").is_within(&network("10.1.0.0/16")));
        assert!(!network("10.0.0.0/8").is_within(&network("10.1.0.0/16")));
        assert!(network("127.0.0.1").is_loopback() && network("::1/128").is_loopback());
        assert!(!network("0.0.0.0/0").is_loopback(), "loopback is not named by it");
        assert_eq!(network("10.1.2.3").to_string(), "10.1.2.3/32");
    }

    #[test]
    fn what_is_not_a_network_is_refused_with_its_reason() {
        for (text, part) in [
            ("10.1.0.0/33", "32 bits"),
            ("10.1.2.3/16", "are set"),
            ("10.1.0.0/", "write it as"),
            ("10.1.0.0/+8", "write it as"),
            ("ho-tich.local", "write it as"),
            ("::ffff:10.0.0.0", "write the IPv4 address"),
        ] {
            let error = text.parse::<Network>().unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn an_address_that_no_target_has_is_known_in_every_form_it_is_written_in() {
        let forms = [
            ("0.0.0.0", Never::Unspecified),
            ("0.1.2.3", Never::Unspecified),
            ("::", Never::Unspecified),
            ("::ffff:0.0.0.0", Never::Unspecified),
            ("224.0.0.1", Never::Multicast),
            ("ff02::1", Never::Multicast),
            ("255.255.255.255", Never::Broadcast),
            ("240.0.0.1", Never::Broadcast),
            ("169.254.169.254", Never::LinkLocal),
            ("fe80::1", Never::LinkLocal),
            ("::ffff:169.254.169.254", Never::LinkLocal),
            ("::169.254.169.254", Never::LinkLocal),
            ("64:ff9b::169.254.169.254", Never::LinkLocal),
            ("64:ff9b:1::169.254.169.254", Never::LinkLocal),
            ("64:ff9b:1:a9fe:a9:fe00::", Never::LinkLocal),
            ("2002:a9fe:a9fe::1", Never::LinkLocal),
        ];
        for (text, kind) in forms {
            assert_eq!(never(ip(text)), Some(kind), "{text}");
        }
        for text in ["10.0.0.1", "127.0.0.1", "::1", "fd00::1", "2001:db8::1", "64:ff9b::10.0.0.1", "192.0.2.1"] {
            assert_eq!(never(ip(text)), None, "{text}");
        }
    }

    #[test]
    fn loopback_is_known_in_every_form_it_is_written_in() {
        for text in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "::127.0.0.1", "64:ff9b::127.0.0.1"] {
            assert!(is_loopback(ip(text)), "{text}");
        }
        assert!(!is_loopback(ip("10.0.0.1")) && !is_loopback(ip("fe80::1")));
    }
}
