//! What was measured, with everything needed to judge it: the value of every metric comes from here and nowhere else.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::conditions::Conditions;
use crate::engine::{Measured, micros_histogram};
use crate::slo::{Metric, Point};

/// A run and the conditions it was made under.
#[derive(Debug)]
pub struct Measurement {
    /// How it was made.
    pub conditions: Conditions,
    /// What came out.
    pub measured: Measured,
}

/// Sums over all kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Planned.
    pub planned: u64,
    /// Sent.
    pub sent: u64,
    /// Answered as expected.
    pub expected: u64,
    /// Ended otherwise.
    pub unexpected: u64,
    /// Bytes of bodies sent.
    pub bytes_up: u64,
    /// Bytes of bodies received.
    pub bytes_down: u64,
}

/// CPU and memory of the measured processes over the run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usage {
    /// Per cent of the cores they may use, on average.
    pub cpu_percent: f64,
    /// The busiest interval.
    pub cpu_percent_max: f64,
    /// CPU microseconds per answered request.
    pub cpu_micros_per_exchange: f64,
    /// The most memory, in bytes.
    pub resident_bytes_max: u64,
}

/// What each histogram is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// From the planned instant.
    Response,
    /// From sending.
    Service,
    /// Of sending.
    Lag,
}

impl Measurement {
    /// Sums over all kinds.
    pub fn totals(&self) -> Totals {
        self.measured.tally.kinds.iter().fold(Totals::default(), |sum, kind| Totals {
            planned: sum.planned + kind.planned,
            sent: sum.sent + kind.sent,
            expected: sum.expected + kind.expected,
            unexpected: sum.unexpected + kind.unexpected.values().sum::<u64>(),
            bytes_up: sum.bytes_up + kind.bytes_up,
            bytes_down: sum.bytes_down + kind.bytes_down,
        })
    }

    /// Times of all kinds together.
    pub fn times(&self, which: Times) -> Histogram<u64> {
        let mut all = micros_histogram();
        for kind in &self.measured.tally.kinds {
            let one = match which {
                Times::Response => &kind.response,
                Times::Service => &kind.service,
                Times::Lag => &kind.lag,
            };
            // All have the same bounds, which is all that could be refused.
            let _ = all.add(one);
        }
        all
    }

    /// Endings that were not expected, by label, all kinds together.
    pub fn endings(&self) -> BTreeMap<String, u64> {
        let mut all = BTreeMap::new();
        for (label, count) in self.measured.tally.kinds.iter().flat_map(|kind| &kind.unexpected) {
            *all.entry(label.clone()).or_default() += count;
        }
        all
    }

    /// Requests per second that were planned; 0 in a closed loop.
    pub fn offered(&self) -> f64 {
        if self.conditions.closed {
            0.0
        } else {
            let Measured { planned, sending, interrupted, .. } = &self.measured;
            let over = if *interrupted { sending.min(planned) } else { planned };
            per_second(self.totals().planned, over.as_secs_f64())
        }
    }

    /// Requests per second that were sent, over the time it took to send them.
    pub fn achieved(&self) -> f64 {
        per_second(self.totals().sent, self.measured.sending.as_secs_f64())
    }

    /// Achieved divided by offered; 1 in a closed loop, where nothing is offered.
    pub fn kept(&self) -> f64 {
        self.kept_over(self.measured.sending.as_secs_f64())
    }

    /// The same had the generator not been held up for so many microseconds, though never over less than the planned time.
    pub fn kept_without(&self, micros: f64) -> f64 {
        let Measured { planned, sending, .. } = &self.measured;
        self.kept_over((sending.as_secs_f64() - micros / 1e6).max(planned.as_secs_f64()))
    }

    #[allow(clippy::cast_precision_loss, reason = "requests are far fewer than 2^52")]
    fn kept_over(&self, seconds: f64) -> f64 {
        let (offered, Totals { planned, sent, .. }) = (self.offered(), self.totals());
        // Of a run that was ended early only what was due by then was planned, in less than the planned time.
        if self.measured.interrupted && !self.conditions.closed && planned > 0 {
            return sent as f64 / planned as f64;
        }
        if self.conditions.closed || offered <= 0.0 { 1.0 } else { per_second(self.totals().sent, seconds) / offered }
    }

    /// CPU and memory of the measured processes; `None` when they were not watched for as long as one interval.
    pub fn usage(&self) -> Option<Usage> {
        let samples = &self.measured.samples;
        let (first, last) = (samples.first()?, samples.last()?);
        let (elapsed, cores) = (last.at - first.at, self.conditions.cores);
        if elapsed <= 0.0 || cores <= 0.0 {
            return None;
        }
        let share = |cpu: f64, elapsed: f64| cpu / (elapsed * cores) * 100.0;
        let spent = last.cpu_seconds - first.cpu_seconds;
        let answered = self.totals().expected + self.totals().unexpected;
        #[allow(clippy::cast_precision_loss, reason = "requests are far fewer than 2^52")]
        let answered_meanwhile = answered as f64 * (elapsed / self.measured.sending.as_secs_f64().max(elapsed));
        Some(Usage {
            cpu_percent: share(spent, elapsed),
            cpu_percent_max: self.cpu_series().map(|(_, share)| share).fold(0.0, f64::max),
            cpu_micros_per_exchange: if answered == 0 { 0.0 } else { spent * 1e6 / answered_meanwhile },
            resident_bytes_max: samples.iter().map(|sample| sample.resident_bytes).max().unwrap_or_default(),
        })
    }

    /// For each interval between samples: when it ends, and the CPU share in per cent.
    pub fn cpu_series(&self) -> impl Iterator<Item = (f64, f64)> {
        let cores = self.conditions.cores;
        self.measured.samples.windows(2).filter_map(move |pair| {
            let [before, after] = pair else { return None };
            let elapsed = (after.at - before.at) * cores;
            (elapsed > 0.0).then(|| (after.at, (after.cpu_seconds - before.cpu_seconds) / elapsed * 100.0))
        })
    }

    /// The value of a metric in its base unit; `None` when it was not measured.
    #[allow(clippy::cast_precision_loss, reason = "counts and microseconds are far below 2^52")]
    pub fn value(&self, metric: Metric) -> Option<f64> {
        let totals = self.totals();
        match metric {
            Metric::Response(point) => at(&self.times(Times::Response), point),
            Metric::Service(point) => at(&self.times(Times::Service), point),
            Metric::Lag(point) => at(&self.times(Times::Lag), point),
            Metric::FirstByte => {
                self.measured.tally.kinds.iter().map(|kind| kind.first_byte_max as f64).reduce(f64::max)
            }
            Metric::Errors => {
                // What could not be sent is an error too: the caller was not served.
                let failed = totals.unexpected + totals.planned.saturating_sub(totals.sent);
                (totals.planned > 0).then(|| failed as f64 * 100.0 / totals.planned as f64)
            }
            Metric::Rate => Some(per_second(totals.expected, self.measured.sending.as_secs_f64())),
            Metric::SutCpu => self.usage().map(|usage| usage.cpu_percent),
            Metric::SutMemory => self.usage().map(|usage| usage.resident_bytes_max as f64),
        }
    }
}

/// A point of a distribution; `None` when it is empty.
#[allow(clippy::cast_precision_loss, reason = "microseconds are far below 2^52")]
pub fn at(times: &Histogram<u64>, point: Point) -> Option<f64> {
    if times.is_empty() {
        return None;
    }
    Some(match point {
        Point::Percentile(percent) => times.value_at_quantile(percent / 100.0) as f64,
        Point::Mean => times.mean(),
        Point::Max => times.max() as f64,
    })
}

#[allow(clippy::cast_precision_loss, reason = "requests are far fewer than 2^52")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}
