//! Where time comes from. Rooms take it as an argument; only tasks and the edge ask for it.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use lgsp_shared::timestamp::UnixSeconds;

/// Milliseconds since this process first looked at its clock; never goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct MonotonicMillis(pub u64);

impl MonotonicMillis {
    /// Now.
    pub fn now() -> Self {
        Self::at(Instant::now())
    }

    /// An instant that was read already.
    pub fn at(instant: Instant) -> Self {
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        Self(u64::try_from(instant.saturating_duration_since(*START).as_millis()).unwrap_or(u64::MAX))
    }

    /// This instant moved by `millis`.
    pub fn after_millis(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

/// One reading of both clocks: the calendar for what people sign, the monotonic one for rates and waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// The calendar.
    pub unix: UnixSeconds,
    /// The monotonic clock.
    pub monotonic: MonotonicMillis,
}

impl Now {
    /// Reads both clocks.
    pub fn read() -> Self {
        Self::at(Instant::now())
    }

    /// Reads the calendar beside an instant that was just read from the monotonic clock.
    pub fn at(instant: Instant) -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            unix: UnixSeconds(i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX)),
            monotonic: MonotonicMillis::at(instant),
        }
    }
}
