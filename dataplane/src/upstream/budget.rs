//! What retries of one service may cost: each request earns a fraction of a retry, each retry spends one.

use std::sync::atomic::{AtomicI32, Ordering};

/// Hundredths of a retry saved up at most: 10 retries, enough to ride out one endpoint's restart.
const SAVED_MAX: i32 = 1_000;
const ONE_RETRY: i32 = 100;

/// A retry budget, shared by all exchanges of a service on this node.
#[derive(Debug)]
pub struct RetryBudget(AtomicI32);

impl Default for RetryBudget {
    fn default() -> Self {
        Self(AtomicI32::new(SAVED_MAX))
    }
}

impl RetryBudget {
    /// A request earns `percent` hundredths of a retry.
    pub fn earn(&self, percent: u8) {
        let saved = self.0.load(Ordering::Relaxed);
        if saved < SAVED_MAX {
            // Losing one of two simultaneous earnings is harmless; a retry loop here would not be.
            self.0.store((saved + i32::from(percent)).min(SAVED_MAX), Ordering::Relaxed);
        }
    }

    /// Spends one retry, if there is one.
    pub fn spend(&self) -> bool {
        let spend = |saved: i32| (saved >= ONE_RETRY).then_some(saved - ONE_RETRY);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}
