//! One address of a service and its live state.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::clock::MonotonicMillis;

/// How often in a row the time out grows.
const EJECTIONS_COUNTED_MAX: u32 = 10;

/// What outlives revisions.
#[derive(Debug)]
struct Live {
    in_flight: AtomicU32,
    failures_in_a_row: AtomicU32,
    ejections: AtomicU32,
    ejected_until: AtomicU64,
    healthy: AtomicBool,
    checks_in_a_row: AtomicU32,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            in_flight: AtomicU32::new(0),
            failures_in_a_row: AtomicU32::new(0),
            ejections: AtomicU32::new(0),
            ejected_until: AtomicU64::new(0),
            healthy: AtomicBool::new(true),
            checks_in_a_row: AtomicU32::new(0),
        }
    }
}

/// The live state of an endpoint, to be taken over by the next revision.
#[derive(Debug, Clone)]
pub struct LiveState(Arc<Live>);

/// One address of a service.
#[derive(Debug)]
pub struct Endpoint {
    /// Where it is.
    pub address: SocketAddr,
    /// Its share of the requests.
    pub weight: u16,
    live: Arc<Live>,
}

impl Endpoint {
    /// An endpoint, with the state it had in an earlier revision.
    pub fn new(address: SocketAddr, weight: u16, live: Option<LiveState>) -> Self {
        let live = live.map_or_else(Default::default, |state| state.0);
        Self { address, weight: weight.max(1), live }
    }

    /// Its live state.
    pub fn live(&self) -> LiveState {
        LiveState(self.live.clone())
    }

    /// Whether requests may go there: not ejected, and not failing its health checks.
    pub fn is_usable(&self, now: MonotonicMillis) -> bool {
        self.live.healthy.load(Ordering::Relaxed) && self.live.ejected_until.load(Ordering::Relaxed) <= now.0
    }

    /// Exchanges in flight.
    pub fn in_flight(&self) -> u32 {
        self.live.in_flight.load(Ordering::Relaxed)
    }

    /// Exchanges in flight for its weight, scaled so that integers compare well.
    pub(super) fn load(&self) -> u64 {
        const SCALE: u64 = 1_000_000;
        (u64::from(self.in_flight()) + 1) * SCALE / u64::from(self.weight)
    }

    pub(super) fn enter(&self, most: u32) -> bool {
        let one_more = |count: u32| (count < most).then_some(count + 1);
        self.live.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(super) fn leave(&self) {
        self.live.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_success(&self) {
        // Plain loads first: on the usual path nothing changes and no cache line is taken from another core.
        if self.live.failures_in_a_row.load(Ordering::Relaxed) != 0 {
            self.live.failures_in_a_row.store(0, Ordering::Relaxed);
        }
        if self.live.ejections.load(Ordering::Relaxed) != 0 {
            self.live.ejections.store(0, Ordering::Relaxed);
        }
    }

    /// Counts a failure; true when there are now `limit` in a row (0: never).
    pub(super) fn count_failure(&self, limit: u32) -> bool {
        let failures = self.live.failures_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        limit != 0 && failures >= limit
    }

    pub(super) fn eject(&self, now: MonotonicMillis, first_ms: u64) {
        let before = self.live.ejections.fetch_add(1, Ordering::Relaxed).min(EJECTIONS_COUNTED_MAX);
        let out_ms = first_ms.saturating_mul(1 << before);
        self.live.ejected_until.store(now.after_millis(out_ms).0, Ordering::Relaxed);
        self.live.failures_in_a_row.store(0, Ordering::Relaxed);
    }

    /// Takes in one active health check; true when the endpoint's health changed.
    pub fn count_check(&self, passed: bool, healthy_after: u32, unhealthy_after: u32) -> bool {
        let healthy = self.live.healthy.load(Ordering::Relaxed);
        if passed == healthy {
            self.live.checks_in_a_row.store(0, Ordering::Relaxed);
            return false;
        }
        let needed = if passed { healthy_after } else { unhealthy_after };
        let against = self.live.checks_in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if against < needed {
            return false;
        }
        self.live.checks_in_a_row.store(0, Ordering::Relaxed);
        self.live.healthy.store(passed, Ordering::Relaxed);
        true
    }
}
