//! The quota for records of requests whose sender was not proved: so many a second from one address, so many in all.
//!
//! Such a request costs its sender nothing, and its record costs disk; without a quota one connection fills any disk.
//! What exceeds the quota is counted, and one line a second says how much that was. Used by the writer thread alone.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

/// Addresses with a share of their own, about 64 bytes each. Those beyond have only the quota that all share.
const ADDRESSES_MAX: usize = 4_096;
/// How long an unused quota is saved up, in seconds: a client under test sees each of its refusals recorded.
const SAVED_SECS: u64 = 60;
/// How often the records that were not written are summed up in a line.
const SUMMED_EVERY: Duration = Duration::from_secs(1);
/// Tokens are counted in thousandths.
const TOKEN: u64 = 1_000;

/// Records a second of requests whose sender was not proved. A record takes 500 bytes, 1.1 KiB at most: 20 a second are
/// 2 GB a day at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StrangerQuota {
    /// From all addresses; 0 records none.
    pub per_second: u64,
    /// From one IPv4 address, or one IPv6 network of 64 bits.
    pub per_address_per_second: u64,
}

impl Default for StrangerQuota {
    fn default() -> Self {
        Self { per_second: 20, per_address_per_second: 5 }
    }
}

/// Records that were not written, since the last line that said so.
#[derive(Debug, Default)]
pub struct Missed {
    /// How many.
    pub count: u64,
    /// How many by outcome; those that found no room in the queue have none.
    pub outcomes: BTreeMap<&'static str, u64>,
}

/// See the module.
#[derive(Debug)]
pub struct Strangers {
    quota: StrangerQuota,
    all: Bucket,
    by_address: HashMap<IpAddr, Bucket>,
    missed: Missed,
    summed: Instant,
}

impl Strangers {
    /// A quota nothing of which was used.
    pub fn new(quota: StrangerQuota, now: Instant) -> Self {
        Self {
            quota,
            all: Bucket::full(quota.per_second, now),
            by_address: HashMap::new(),
            missed: Missed::default(),
            summed: now,
        }
    }

    /// Whether a record of a request from `address` may be written; it then counts against the quota.
    pub fn admit(&mut self, address: Option<IpAddr>, now: Instant) -> bool {
        let StrangerQuota { per_second, per_address_per_second } = self.quota;
        let Some(network) = address.map(network) else { return self.all.take(per_second, now) };
        if self.by_address.len() >= ADDRESSES_MAX {
            self.by_address.retain(|_, bucket| !bucket.is_full(per_address_per_second, now));
        }
        let known = self.by_address.contains_key(&network);
        if !known && self.by_address.len() >= ADDRESSES_MAX {
            return self.all.take(per_second, now);
        }
        let share = self.by_address.entry(network).or_insert_with(|| Bucket::full(per_address_per_second, now));
        share.take(per_address_per_second, now) && self.all.take(per_second, now)
    }

    /// Counts a record that was not written.
    pub fn missed(&mut self, outcome: &'static str) {
        self.missed.count += 1;
        *self.missed.outcomes.entry(outcome).or_default() += 1;
    }

    /// Counts records that found no room in the queue.
    pub fn missed_before(&mut self, count: u64) {
        self.missed.count += count;
    }

    /// What was not written since the last sum, once a second, and at the end at once.
    pub fn sum(&mut self, now: Instant, at_once: bool) -> Option<Missed> {
        if self.missed.count == 0 || !(at_once || now.saturating_duration_since(self.summed) >= SUMMED_EVERY) {
            return None;
        }
        self.summed = now;
        Some(std::mem::take(&mut self.missed))
    }
}

/// One customer of an IPv6 provider has 2^64 addresses.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[derive(Debug)]
struct Bucket {
    level: u64,
    at: Instant,
}

impl Bucket {
    fn full(per_second: u64, now: Instant) -> Self {
        Self { level: capacity(per_second), at: now }
    }

    fn take(&mut self, per_second: u64, now: Instant) -> bool {
        self.earn(per_second, now);
        let enough = self.level >= TOKEN;
        if enough {
            self.level -= TOKEN;
        }
        enough
    }

    fn is_full(&mut self, per_second: u64, now: Instant) -> bool {
        self.earn(per_second, now);
        self.level >= capacity(per_second)
    }

    /// A thousandth of a token for each millisecond and token a second.
    fn earn(&mut self, per_second: u64, now: Instant) {
        let elapsed = u64::try_from(now.saturating_duration_since(self.at).as_millis()).unwrap_or(u64::MAX);
        if elapsed > 0 {
            self.at = now;
            self.level = self.level.saturating_add(elapsed.saturating_mul(per_second)).min(capacity(per_second));
        }
    }
}

fn capacity(per_second: u64) -> u64 {
    per_second.saturating_mul(SAVED_SECS).saturating_mul(TOKEN)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: StrangerQuota = StrangerQuota { per_second: 4, per_address_per_second: 1 };

    fn v4(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([10, 0, 0, last]))
    }

    fn admitted(strangers: &mut Strangers, address: Option<IpAddr>, tries: usize, now: Instant) -> usize {
        (0..tries).filter(|_| strangers.admit(address, now)).count()
    }

    #[test]
    fn one_address_has_its_share_and_all_together_have_the_whole() {
        let start = Instant::now();
        let mut strangers = Strangers::new(QUOTA, start);
        assert_eq!(admitted(&mut strangers, v4(1), 1_000, start), 60);
        assert_eq!(admitted(&mut strangers, v4(2), 1_000, start), 60);
        let rest: usize = (3..100).map(|last| admitted(&mut strangers, v4(last), 1_000, start)).sum();
        assert_eq!(rest, 120, "240 in all, whatever the number of addresses");
        let later = start + Duration::from_secs(2);
        assert_eq!(admitted(&mut strangers, v4(1), 1_000, later), 2);
        assert_eq!(admitted(&mut strangers, None, 1_000, later), 6);
    }

    #[test]
    fn addresses_of_one_ipv6_network_are_one_and_a_mapped_address_is_its_ipv4_address() {
        let start = Instant::now();
        let mut strangers = Strangers::new(QUOTA, start);
        let one: IpAddr = "2001:db8::1".parse().unwrap();
        let other: IpAddr = "2001:db8::ffff:1".parse().unwrap();
        assert_eq!(admitted(&mut strangers, Some(one), 60, start), 60);
        assert_eq!(admitted(&mut strangers, Some(other), 60, start), 0);
        assert_eq!(admitted(&mut strangers, v4(1), 60, start), 60);
        assert_eq!(admitted(&mut strangers, Some("::ffff:10.0.0.1".parse().unwrap()), 60, start), 0);
    }

    #[test]
    fn a_flood_from_many_addresses_costs_bounded_memory() {
        let start = Instant::now();
        let mut strangers = Strangers::new(QUOTA, start);
        for address in 0..100_000_u32 {
            strangers.admit(Some(IpAddr::from(address.to_be_bytes())), start);
        }
        assert!(strangers.by_address.len() <= ADDRESSES_MAX);
    }

    #[test]
    fn what_was_missed_is_summed_once_a_second_and_at_the_end() {
        let start = Instant::now();
        let mut strangers = Strangers::new(QUOTA, start);
        strangers.missed("signature-missing");
        strangers.missed("signature-missing");
        strangers.missed_before(3);
        assert!(strangers.sum(start, false).is_none());
        let missed = strangers.sum(start + SUMMED_EVERY, false).unwrap();
        assert_eq!((missed.count, missed.outcomes.get("signature-missing")), (5, Some(&2)));
        assert!(strangers.sum(start + SUMMED_EVERY * 2, true).is_none(), "nothing was missed since");
        strangers.missed("key-unknown");
        assert_eq!(strangers.sum(start + SUMMED_EVERY, true).unwrap().count, 1);
    }
}
