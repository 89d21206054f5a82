//! How much time a source may take: for one pause, and over a whole body.
//!
//! A limit on pauses alone lets a source hold its place at a target for ever with one byte every half minute. So the
//! time that others spend waiting for the source is counted too: for each second of it beyond one pause, the source must
//! have sent or taken a minimum of bytes. Time in which the target is awaited does not count.

use std::time::Duration;

use tokio::time::Instant;

/// The limits for one direction of an exchange, and what was used of them.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pause_max: Duration,
    bytes_per_sec_min: u64,
    bytes: u64,
    waited: Duration,
    since: Option<Instant>,
}

impl Pace {
    /// `pause_max` between two pieces, and at least so many bytes per second waited; 0 for no minimum.
    pub fn new(pause_max: Duration, bytes_per_sec_min: u64) -> Self {
        Self { pause_max, bytes_per_sec_min, bytes: 0, waited: Duration::ZERO, since: None }
    }

    /// Notes that the source is waited for, and returns until when.
    pub fn awaited(&mut self, now: Instant) -> Instant {
        let since = *self.since.get_or_insert(now);
        since + self.pause_max.min(self.allowed().saturating_sub(self.waited))
    }

    /// Notes that the source has moved `bytes` in all. The clock is read only when somebody waited for them.
    pub fn moved_to(&mut self, bytes: u64, now: impl FnOnce() -> Instant) {
        if bytes > self.bytes {
            self.bytes = bytes;
            self.not_awaited(now);
        }
    }

    /// Notes that nobody waits for the source now.
    pub fn not_awaited(&mut self, now: impl FnOnce() -> Instant) {
        if let Some(since) = self.since.take() {
            self.waited += now().saturating_duration_since(since);
        }
    }

    /// Whether the source was waited for as long as it may be.
    pub fn is_used_up(&self) -> bool {
        let waiting = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        waiting >= self.pause_max || self.waited.saturating_add(waiting) >= self.allowed()
    }

    /// How long the source may be waited for in all, with what it has moved so far.
    fn allowed(&self) -> Duration {
        match self.bytes.checked_div(self.bytes_per_sec_min) {
            Some(earned_secs) => self.pause_max.saturating_add(Duration::from_secs(earned_secs)),
            None => Duration::MAX,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_secs(30);

    /// How long a source lasts that moves `bytes` every `secs` seconds, up to an hour.
    fn lasts(rate_min: u64, bytes: u64, secs: u64) -> Duration {
        let start = Instant::now();
        let mut pace = Pace::new(PAUSE, rate_min);
        for step in 1..=3_600 / secs {
            let due = pace.awaited(start + Duration::from_secs((step - 1) * secs));
            let moves = start + Duration::from_secs(step * secs);
            if due < moves {
                return due - start;
            }
            pace.moved_to(step * bytes, || moves);
        }
        Duration::from_secs(3_600)
    }

    #[test]
    fn a_source_below_the_minimum_lasts_for_one_pause_and_what_it_earned() {
        assert_eq!(lasts(500, 1, 29), PAUSE);
        assert_eq!(lasts(500, 5_000, 20), PAUSE + Duration::from_secs(20));
        assert_eq!(lasts(500, 10_000, 20), Duration::from_secs(3_600));
        assert_eq!(lasts(500, 1_000_000, 31), PAUSE);
    }

    #[test]
    fn without_a_minimum_only_pauses_count() {
        assert_eq!(lasts(0, 1, 29), Duration::from_secs(3_600));
        assert_eq!(lasts(0, 1, 31), PAUSE);
    }

    #[test]
    fn time_in_which_the_target_is_awaited_is_not_the_sources() {
        let start = Instant::now();
        let after = |secs| start + Duration::from_secs(secs);
        let mut pace = Pace::new(PAUSE, 500);
        pace.awaited(start);
        pace.moved_to(1, || after(20));
        assert_eq!(pace.awaited(after(1_000)), after(1_010));
        pace.not_awaited(|| after(1_001));
        assert_eq!(pace.awaited(after(2_000)), after(2_009));
    }
}
