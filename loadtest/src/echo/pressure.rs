//! How a target fails to keep up, on purpose: a token bucket, one stall, a delay before every answer.
//!
//! Known limits are what a load tool is tried against: it has to find them.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Everything that keeps a target from answering at once; by default nothing does.
#[derive(Debug, Default)]
pub struct Pressure {
    /// Requests over this rate are answered 503.
    pub bucket: Option<TokenBucket>,
    /// Once, nothing is answered for a while.
    pub stall: Option<Stall>,
    /// Before every answer.
    pub delay: Duration,
}

/// A rate with a bounded burst.
#[derive(Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    state: Mutex<(f64, Option<Instant>)>,
}

/// One pause, counted from the first request.
#[derive(Debug)]
pub struct Stall {
    after: Duration,
    length: Duration,
    first: OnceLock<Instant>,
}

impl Pressure {
    /// Waits as long as this target makes callers wait; whether it serves the request at all.
    pub(super) async fn admits(&self) -> bool {
        if let Some(stall) = &self.stall
            && let Some(end) = stall.end(Instant::now())
        {
            tokio::time::sleep_until(end.into()).await;
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        self.bucket.as_ref().is_none_or(|bucket| bucket.take(Instant::now()))
    }
}

impl TokenBucket {
    /// A full bucket of `burst` tokens that gains `per_second`.
    pub fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, burst, state: Mutex::new((burst, None)) }
    }

    fn take(&self, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (tokens, last) = *state;
        let gained = last.map_or(0.0, |last| now.saturating_duration_since(last).as_secs_f64() * self.per_second);
        let tokens = (tokens + gained).min(self.burst);
        let taken = tokens >= 1.0;
        *state = (if taken { tokens - 1.0 } else { tokens }, Some(last.map_or(now, |last| last.max(now))));
        taken
    }
}

impl Stall {
    /// From `after` the first request on, for `length`.
    pub fn new(after: Duration, length: Duration) -> Self {
        Self { after, length, first: OnceLock::new() }
    }

    /// When the stall ends, if `now` is within it.
    fn end(&self, now: Instant) -> Option<Instant> {
        let begins = *self.first.get_or_init(|| now) + self.after;
        let ends = begins + self.length;
        (now >= begins && now < ends).then_some(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_lets_its_rate_through_after_its_burst() {
        let (bucket, start) = (TokenBucket::new(100.0, 5.0), Instant::now());
        let taken = (0..2_000).filter(|milli| bucket.take(start + Duration::from_millis(*milli))).count();
        assert!((203..=205).contains(&taken), "{taken}");
    }

    #[test]
    fn a_stall_holds_only_what_arrives_within_it() {
        let (stall, start) = (Stall::new(Duration::from_secs(1), Duration::from_secs(2)), Instant::now());
        let at = |millis| stall.end(start + Duration::from_millis(millis));
        assert_eq!((at(0), at(999)), (None, None));
        assert_eq!(
            (at(1_000), at(2_999)),
            (Some(start + Duration::from_secs(3)), Some(start + Duration::from_secs(3)))
        );
        assert_eq!(at(3_000), None);
    }
}
