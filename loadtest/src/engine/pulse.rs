//! The time axis: what one thread, or all of them, saw within one interval.

use hdrhistogram::Histogram;

use super::tally::{MICROS_MAX, histogram};

/// Two significant digits are enough for a line in a chart, and take a tenth of the memory.
const DIGITS: u8 = 2;

/// One interval.
#[derive(Debug, Clone)]
pub struct Pulse {
    /// Which interval, from 0.
    pub index: u64,
    /// Requests per second that were planned in it; 0 in a closed loop.
    pub offered: f64,
    /// Requests sent in it.
    pub sent: u64,
    /// Requests that ended in it.
    pub answered: u64,
    /// Of these, not as expected.
    pub unexpected: u64,
    /// Bytes of bodies, both ways.
    pub bytes: u64,
    /// Microseconds from the planned instant, of those that ended in it.
    pub response: Histogram<u32>,
}

impl Pulse {
    /// Nothing yet.
    pub fn empty(index: u64) -> Self {
        Self {
            index,
            offered: 0.0,
            sent: 0,
            answered: 0,
            unexpected: 0,
            bytes: 0,
            response: histogram(MICROS_MAX, DIGITS),
        }
    }

    /// Adds the same interval of another thread or generator.
    pub fn add(&mut self, other: &Pulse) {
        let Pulse { index: _, offered, sent, answered, unexpected, bytes, response } = other;
        self.offered += offered;
        self.sent += sent;
        self.answered += answered;
        self.unexpected += unexpected;
        self.bytes += bytes;
        // Both have the same bounds, which is all that could be refused.
        let _ = self.response.add(response);
    }
}
