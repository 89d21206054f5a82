//! How much of what costs something a source may cause: entries of refused attempts, so that a stranger does not fill the
//! disk, and logins. A known operator has an allowance under their own name, which no stranger uses up. What is beyond is
//! counted, and the next one within tells how many there were.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use lgsp_shared::timestamp::UnixSeconds;

/// So many of one source at once.
const BURST: u32 = 20;
/// Afterwards one in so many seconds.
const EVERY_SECS: i64 = 6;
/// Sources that are told apart; about 64 bytes each. All others share one allowance.
const SOURCES_MAX: usize = 4_096;

/// What sources, or whoever else is told apart by `K`, are still allowed.
#[derive(Debug)]
pub struct Limit<K = IpAddr> {
    sources: HashMap<K, Allowance>,
    others: Option<Allowance>,
}

impl<K> Default for Limit<K> {
    fn default() -> Self {
        Self { sources: HashMap::new(), others: None }
    }
}

#[derive(Debug, Clone, Copy)]
struct Allowance {
    left: u32,
    since: i64,
    beyond: u64,
}

impl Allowance {
    fn full(now: i64) -> Self {
        Self { left: BURST, since: now, beyond: 0 }
    }

    fn refill(&mut self, now: i64) {
        let grown = now.saturating_sub(self.since).max(0) / EVERY_SECS;
        self.left = BURST.min(self.left.saturating_add(u32::try_from(grown).unwrap_or(BURST)));
        self.since = if self.left == BURST { now } else { self.since.saturating_add(grown * EVERY_SECS) };
    }

    /// Whether this one is within, and how many before it were not.
    fn take(&mut self, now: i64) -> Option<u64> {
        self.refill(now);
        if self.left == 0 {
            self.beyond = self.beyond.saturating_add(1);
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.beyond))
    }
}

impl Limit {
    /// Whether one of `source` is within: with how many before it that were not, or not at all.
    pub fn take(&mut self, source: IpAddr, now: UnixSeconds) -> Option<u64> {
        self.take_of(network(source), now)
    }
}

impl<K: Eq + Hash> Limit<K> {
    /// The same for whoever is told apart otherwise.
    pub fn take_of(&mut self, source: K, now: UnixSeconds) -> Option<u64> {
        let now = now.0;
        if self.sources.len() >= SOURCES_MAX && !self.sources.contains_key(&source) {
            self.sources.retain(|_, allowance| {
                allowance.refill(now);
                allowance.left < BURST || allowance.beyond > 0
            });
        }
        let told_apart = self.sources.len() < SOURCES_MAX || self.sources.contains_key(&source);
        let allowance = if told_apart {
            self.sources.entry(source).or_insert_with(|| Allowance::full(now))
        } else {
            self.others.get_or_insert_with(|| Allowance::full(now))
        };
        allowance.take(now)
    }
}

/// One subscriber's addresses count as one: an IPv6 network of 64 bits.
pub fn network(source: IpAddr) -> IpAddr {
    match source {
        IpAddr::V4(_) => source,
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(mapped) => IpAddr::V4(mapped),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_source_that_goes_on_is_written_seldom_and_counted_always() {
        let mut limit = Limit::default();
        let written = (0..1_000).filter_map(|_| limit.take(address("192.0.2.1"), UnixSeconds(100))).count();
        assert_eq!(written, 20);
        assert_eq!(limit.take(address("192.0.2.2"), UnixSeconds(100)), Some(0), "another source");
        assert_eq!(limit.take(address("192.0.2.1"), UnixSeconds(105)), None);
        assert_eq!(limit.take(address("192.0.2.1"), UnixSeconds(106)), Some(981));
        assert_eq!(limit.take(address("192.0.2.1"), UnixSeconds(107)), None);
        let later = (0..1_000).filter_map(|_| limit.take(address("192.0.2.1"), UnixSeconds(10_000))).count();
        assert_eq!(later, 20, "it recovers, and not beyond the burst");
    }

    #[test]
    fn many_sources_cost_bounded_memory_and_share_what_is_left() {
        let mut limit = Limit::default();
        let sources = (0..20_000_u32).map(|at| IpAddr::V4(std::net::Ipv4Addr::from_bits(0x0a00_0000 + at)));
        let written = sources.filter_map(|source| limit.take(source, UnixSeconds(1))).count();
        assert_eq!(limit.sources.len(), SOURCES_MAX);
        assert_eq!(written, SOURCES_MAX + 20);
        assert_eq!(network(address("2001:db8:0:1:aaaa::1")), network(address("2001:db8:0:1:bbbb::2")));
        assert_eq!(network(address("::ffff:192.0.2.1")), address("192.0.2.1"));
    }
}
