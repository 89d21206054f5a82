//! One timer per connection for all its phases, set without touching the timer wheel.
//!
//! Moving a deadline later only stores it: the timer, still armed for the earlier instant, wakes once, sees that the
//! deadline has moved and arms itself again. A busy connection so re-arms about once per shortest phase (10 s), not
//! several times per request.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// When the whole exchange must be over, if ever.
#[derive(Debug, Clone, Copy)]
pub struct Total(pub Option<Instant>);

impl Total {
    /// This deadline, or the end of the exchange if that comes first.
    pub fn bound(self, at: Instant) -> Instant {
        self.0.map_or(at, |total| total.min(at))
    }

    /// Whether the exchange should be over by now.
    pub fn is_over(self) -> bool {
        self.0.is_some_and(|total| total <= Instant::now())
    }
}

/// A deadline that is moved often and reached rarely.
#[derive(Debug)]
pub struct Deadline {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Deadline {
    /// Expires at `at`.
    pub fn new(at: Instant) -> Self {
        Self { at, timer: Box::pin(tokio::time::sleep_until(at)) }
    }

    /// Moves the deadline.
    pub fn set(&mut self, at: Instant) {
        self.at = at;
        if at < self.timer.deadline() {
            self.timer.as_mut().reset(at);
        }
    }

    /// Moves the deadline to `after` from now.
    pub fn set_after(&mut self, after: Duration) {
        self.set(Instant::now() + after);
    }

    /// Ready once the deadline has passed.
    pub fn poll_expired(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().poll(cx).is_ready() {
            if self.at <= Instant::now() {
                return Poll::Ready(());
            }
            self.timer.as_mut().reset(self.at);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn expiry(deadline: &mut Deadline) -> Instant {
        std::future::poll_fn(|cx| deadline.poll_expired(cx)).await;
        Instant::now()
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_moved_later_or_earlier_expires_where_it_was_last_set() {
        let start = Instant::now();
        let mut deadline = Deadline::new(start + Duration::from_secs(10));
        deadline.set(start + Duration::from_secs(60));
        assert_eq!(expiry(&mut deadline).await, start + Duration::from_secs(60));
        let start = Instant::now();
        let mut deadline = Deadline::new(start + Duration::from_secs(60));
        deadline.set_after(Duration::from_secs(5));
        assert_eq!(expiry(&mut deadline).await, start + Duration::from_secs(5));
    }
}
