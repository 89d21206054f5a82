//! The quota of one permission on one node: a bucket kept as the instant at which it will be full again (GCRA).
//!
//! One atomic word, no lock. It outlives revisions, so that a new revision does not refill every bucket.

use std::sync::atomic::{AtomicU64, Ordering};

use lgsp_shared::resource::Rate;

use crate::clock::MonotonicMillis;

const MICROS_PER_SECOND: f64 = 1_000_000.0;
const MICROS_PER_MILLI: u64 = 1_000;

/// A bucket of `burst` requests refilled evenly.
#[derive(Debug)]
pub struct Quota {
    rate: Rate,
    cost_micros: u64,
    depth_micros: u64,
    full_at_micros: AtomicU64,
}

impl Quota {
    /// A full bucket.
    pub fn new(rate: Rate) -> Self {
        // The cast saturates: a rate of one request in a million years is as good as never.
        let cost_micros = (MICROS_PER_SECOND / rate.requests_per_second).max(1.0) as u64;
        let depth_micros = cost_micros.saturating_mul(u64::from(rate.burst.max(1)));
        Self { rate, cost_micros, depth_micros, full_at_micros: AtomicU64::new(0) }
    }

    /// The rate it was made from.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes one request out, or says after how many seconds (at least 1) there will be one again.
    pub fn take(&self, now: MonotonicMillis) -> Result<(), u32> {
        let now_micros = now.0.saturating_mul(MICROS_PER_MILLI);
        let taken = self
            .full_at_micros
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_at| self.after_one(full_at, now_micros));
        taken.map(|_| ()).map_err(|full_at| self.wait_secs(full_at, now_micros))
    }

    /// What [`Quota::take`] would say, without taking.
    pub fn peek(&self, now: MonotonicMillis) -> Result<(), u32> {
        let now_micros = now.0.saturating_mul(MICROS_PER_MILLI);
        let full_at = self.full_at_micros.load(Ordering::Relaxed);
        let next = self.after_one(full_at, now_micros);
        next.map(|_| ()).ok_or_else(|| self.wait_secs(full_at, now_micros))
    }

    /// How many requests are in the bucket now.
    pub fn left(&self, now: MonotonicMillis) -> u32 {
        let now_micros = now.0.saturating_mul(MICROS_PER_MILLI);
        let used_micros = self.full_at_micros.load(Ordering::Relaxed).saturating_sub(now_micros);
        u32::try_from(self.depth_micros.saturating_sub(used_micros) / self.cost_micros).unwrap_or(u32::MAX)
    }

    /// When the bucket is full again after one more request, if there is room for it.
    fn after_one(&self, full_at: u64, now_micros: u64) -> Option<u64> {
        let next = full_at.max(now_micros).saturating_add(self.cost_micros);
        (next.saturating_sub(now_micros) <= self.depth_micros).then_some(next)
    }

    fn wait_secs(&self, full_at: u64, now_micros: u64) -> u32 {
        let excess_micros =
            full_at.saturating_add(self.cost_micros).saturating_sub(now_micros).saturating_sub(self.depth_micros);
        u32::try_from(excess_micros.div_ceil(MICROS_PER_SECOND as u64)).unwrap_or(u32::MAX).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_then_the_rate_holds_and_the_wait_is_told() {
        let quota = Quota::new(Rate { requests_per_second: 2.0, burst: 3 });
        let at = MonotonicMillis;
        assert_eq!((quota.left(at(1_000)), quota.peek(at(1_000))), (3, Ok(())));
        assert_eq!((0..4).map(|_| quota.take(at(1_000))).collect::<Vec<_>>(), [Ok(()), Ok(()), Ok(()), Err(1)]);
        assert_eq!((quota.left(at(1_000)), quota.peek(at(1_000))), (0, Err(1)));
        assert_eq!([quota.take(at(1_499)), quota.take(at(1_500)), quota.take(at(1_500))], [Err(1), Ok(()), Err(1)]);
        assert_eq!(
            (0..4).filter(|_| quota.take(at(60_000)).is_ok()).count(),
            3,
            "never more than the burst is saved up"
        );
    }

    #[test]
    fn a_slow_rate_tells_a_long_wait() {
        let quota = Quota::new(Rate { requests_per_second: 0.1, burst: 1 });
        assert_eq!(quota.take(MonotonicMillis(0)), Ok(()));
        assert_eq!(quota.take(MonotonicMillis(0)), Err(10));
    }
}
