//! How long to wait after a failure: longer each time, never in step with other nodes.

use std::time::Duration;

/// The shortest and the longest wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffBounds {
    /// After the first failure.
    pub min: Duration,
    /// However many failures.
    pub max: Duration,
}

/// Doubles from the shortest to the longest wait.
#[derive(Debug)]
pub struct Backoff {
    bounds: BackoffBounds,
    next: Duration,
}

impl Backoff {
    /// Starts at the shortest wait.
    pub fn new(bounds: BackoffBounds) -> Self {
        Self { bounds, next: bounds.min }
    }

    /// After a success.
    pub fn reset(&mut self) {
        self.next = self.bounds.min;
    }

    /// The next wait is the longest: retrying cannot help until somebody has changed something.
    pub fn slow_down(&mut self) {
        self.next = self.bounds.max;
    }

    /// The wait before the next attempt: between half of the current step and all of it, chosen by `random`.
    pub fn wait(&mut self, random: u32) -> Duration {
        let step = self.next;
        self.next = step.saturating_mul(2).min(self.bounds.max);
        let half = step / 2;
        half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// A random number for [`Backoff::wait`]; a machine without randomness waits the shorter half.
pub fn random() -> u32 {
    getrandom::u32().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_their_bounds_and_are_spread() {
        let bounds = BackoffBounds { min: Duration::from_millis(100), max: Duration::from_millis(350) };
        let mut backoff = Backoff::new(bounds);
        let whole: Vec<u128> = (0..4).map(|_| backoff.wait(u32::MAX).as_millis()).collect();
        assert_eq!(whole, [100, 200, 350, 350]);
        assert_eq!(backoff.wait(0), Duration::from_millis(175));
        backoff.reset();
        assert_eq!(backoff.wait(0), Duration::from_millis(50));
        backoff.slow_down();
        assert_eq!(backoff.wait(u32::MAX), Duration::from_millis(350));
    }
}
