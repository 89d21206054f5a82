//! When each request is due: arrivals planned up front, from the shape of the rate and the spacing within it.
//!
//! Guarantees: the instant of every arrival is computed from its index, never from the one before, so nothing drifts;
//! the same plan and seed give the same arrivals on every machine and in every version (which is why the random numbers
//! are made here and not by a library), so that several generators can share one plan.

use std::time::Duration;

#[cfg(test)]
mod tests;

/// A stretch of time over which the rate goes evenly from one value to another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Segment {
    /// Requests per second at its start.
    pub from: f64,
    /// Requests per second at its end.
    pub to: f64,
    /// How long it lasts.
    pub duration: Duration,
}

/// How arrivals lie within the rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spacing {
    /// At equal distances.
    Even,
    /// As independent callers would come: a Poisson process.
    Poisson {
        /// Where its random numbers start.
        seed: u64,
    },
}

/// All arrivals of a run, as a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// One after the other.
    pub segments: Vec<Segment>,
    /// Within them.
    pub spacing: Spacing,
}

/// One planned request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// Its number in the whole plan, whoever sends it.
    pub index: u64,
    /// When it is due, from the start.
    pub at: Duration,
}

/// Which of the arrivals one generator, or one of its threads, sends: every `of`-th, beginning with `part`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// From 0.
    pub part: u64,
    /// At least 1.
    pub of: u64,
}

impl Share {
    /// Everything.
    pub const WHOLE: Share = Share { part: 0, of: 1 };

    /// The part of this share that one of `of` threads takes.
    pub fn split(self, part: u64, of: u64) -> Share {
        Share { part: self.part + part * self.of, of: self.of * of }
    }
}

impl Segment {
    fn seconds(&self) -> f64 {
        self.duration.as_secs_f64()
    }

    /// How many arrivals are due within it.
    fn count(&self) -> f64 {
        (self.from + self.to) / 2.0 * self.seconds()
    }

    /// When, from its start, `count` arrivals have come: `from · t + (to − from) / (2 · duration) · t² = count`, solved
    /// in the form that neither cancels nor divides by a slope of zero.
    fn instant(&self, count: f64) -> f64 {
        if count <= 0.0 {
            return 0.0;
        }
        let slope = (self.to - self.from) / self.seconds();
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        (2.0 * count / (self.from + root)).min(self.seconds())
    }
}

impl Plan {
    /// The same rate all the time, evenly spaced.
    pub fn constant(rate: f64, duration: Duration) -> Self {
        Self { segments: vec![Segment { from: rate, to: rate, duration }], spacing: Spacing::Even }
    }

    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        self.segments.iter().map(|segment| segment.duration).sum()
    }

    /// How many arrivals it has; with [`Spacing::Poisson`] on average.
    pub fn count(&self) -> f64 {
        self.segments.iter().map(Segment::count).sum()
    }

    /// Requests per second at an instant.
    pub fn rate_at(&self, at: Duration) -> f64 {
        let mut start = Duration::ZERO;
        for segment in &self.segments {
            if at < start + segment.duration {
                let share = (at - start).as_secs_f64() / segment.seconds();
                return segment.from + (segment.to - segment.from) * share;
            }
            start += segment.duration;
        }
        self.segments.last().map_or(0.0, |segment| segment.to)
    }

    /// Which segment an instant lies in.
    pub fn segment_at(&self, at: Duration) -> usize {
        let ends = self.segments.iter().scan(Duration::ZERO, |end, segment| {
            *end += segment.duration;
            Some(*end)
        });
        ends.take_while(|end| *end <= at).count().min(self.segments.len().saturating_sub(1))
    }

    /// The arrivals of `share`, in order.
    pub fn arrivals(&self, share: Share) -> Arrivals<'_> {
        let random = match self.spacing {
            Spacing::Even => None,
            Spacing::Poisson { seed } => Some(SplitMix(seed)),
        };
        Arrivals { plan: self, share, random, index: 0, count: 0.0, segment: 0, before: 0.0, start: 0.0 }
    }
}

/// The arrivals of one share of a plan, in order.
#[derive(Debug, Clone)]
pub struct Arrivals<'p> {
    plan: &'p Plan,
    share: Share,
    random: Option<SplitMix>,
    index: u64,
    /// Arrivals expected before the next one.
    count: f64,
    segment: usize,
    /// Arrivals, and seconds, before the current segment.
    before: f64,
    start: f64,
}

impl Arrivals<'_> {
    fn step(&mut self) -> Option<Arrival> {
        let count = match &mut self.random {
            Some(random) => {
                self.count += random.exponential();
                self.count
            }
            #[allow(clippy::cast_precision_loss, reason = "a plan has far fewer than 2^52 arrivals")]
            None => self.index as f64,
        };
        loop {
            let segment = self.plan.segments.get(self.segment)?;
            if count < self.before + segment.count() {
                let at = self.start + segment.instant(count - self.before);
                let arrival = Arrival { index: self.index, at: Duration::from_secs_f64(at) };
                self.index += 1;
                return Some(arrival);
            }
            self.before += segment.count();
            self.start += segment.seconds();
            self.segment += 1;
        }
    }
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        loop {
            let arrival = self.step()?;
            if arrival.index % self.share.of == self.share.part {
                return Some(arrival);
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014).
#[derive(Debug, Clone)]
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        const STEPS: f64 = (1_u64 << 53) as f64;
        #[allow(clippy::cast_precision_loss, reason = "53 bits are kept")]
        let uniform = ((self.next() >> 11) as f64 + 0.5) / STEPS;
        -uniform.ln()
    }
}
