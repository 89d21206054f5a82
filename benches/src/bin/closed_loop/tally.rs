//! How many requests were answered, and how fast.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Latencies are counted in steps of 10 µs up to 10 s: 8 MiB for all connections together.
const STEP_MICROS: u64 = 10;
const STEPS: usize = 1_000_000;

/// The counts of all connections.
pub struct Tally {
    good: AtomicU64,
    bad: AtomicU64,
    steps: Vec<AtomicU64>,
}

impl Tally {
    pub fn new() -> Self {
        let steps = (0..STEPS).map(|_| AtomicU64::new(0)).collect();
        Self { good: AtomicU64::new(0), bad: AtomicU64::new(0), steps }
    }

    /// Counts a request that got no answer.
    pub fn failed(&self) {
        self.bad.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts an answer to a request that was due `since`; false when the connection is of no more use.
    pub fn count(&self, status: Option<u16>, since: Instant) -> bool {
        if status != Some(200) {
            self.failed();
            return false;
        }
        self.good.fetch_add(1, Ordering::Relaxed);
        let step = since.elapsed().as_micros() as u64 / STEP_MICROS;
        if let Some(step) = self.steps.get(usize::try_from(step).unwrap_or(STEPS).min(STEPS - 1)) {
            step.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    pub fn print(&self, elapsed: f64) {
        let (good, bad) = (self.good.load(Ordering::Relaxed), self.bad.load(Ordering::Relaxed));
        let (median, high) = (self.quantile(0.5), self.quantile(0.99));
        println!(
            r#"{{"requests": {good}, "errors": {bad}, "seconds": {elapsed:.2}, "p50_micros": {median}, "p99_micros": {high}}}"#
        );
    }

    fn quantile(&self, share: f64) -> u64 {
        let total: u64 = self.steps.iter().map(|step| step.load(Ordering::Relaxed)).sum();
        let wanted = (total as f64 * share) as u64;
        let mut below = 0;
        for (index, step) in self.steps.iter().enumerate() {
            below += step.load(Ordering::Relaxed);
            if below > wanted {
                return index as u64 * STEP_MICROS;
            }
        }
        0
    }
}
