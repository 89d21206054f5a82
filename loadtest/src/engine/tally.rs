//! What one thread counts, and the sum of several.

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;

/// The longest time a histogram tells apart, in microseconds: an hour.
pub(super) const MICROS_MAX: u64 = 3_600_000_000;
/// Three significant digits: 0.1 % of every value, at about 190 KiB a histogram.
const DIGITS: u8 = 3;
/// The longest signing told apart, in nanoseconds: a second.
const SIGNING_NANOS_MAX: u64 = 1_000_000_000;
/// Different endings told apart per kind; the rest is counted as `other`.
const ENDINGS_MAX: usize = 32;

/// Counts and times of everything that one thread, or several, did.
#[derive(Debug, Clone)]
pub struct Tally {
    /// In the order of the scenario.
    pub kinds: Vec<KindTally>,
    /// The same requests by the step of the plan they belong to; empty where there is only one.
    pub steps: Vec<KindTally>,
    /// Nanoseconds per signature.
    pub signing: Histogram<u64>,
    /// Connections opened again after they had ended.
    pub reconnects: u64,
    /// Since the start of what is counted.
    pub last_sent: Duration,
    /// For each window, connections that completed an exchange in it as expected.
    pub active: Vec<u64>,
    /// Requests given up because the run was ended early.
    pub abandoned: u64,
    /// Points missing in the series.
    pub pulses_lost: u64,
}

/// Counts and times of one kind of request, or of one step of the plan.
#[derive(Debug, Clone)]
pub struct KindTally {
    /// Planned.
    pub planned: u64,
    /// Sent; the rest found no free connection before the run was over.
    pub sent: u64,
    /// Answered as expected.
    pub expected: u64,
    /// Ended in any other way, by label such as `503`, `401 replayed` or `timeout`.
    pub unexpected: BTreeMap<String, u64>,
    /// Microseconds from the planned instant to the whole answer.
    pub response: Histogram<u64>,
    /// Microseconds from sending to the whole answer.
    pub service: Histogram<u64>,
    /// Microseconds by which the generator itself was late: from the instant at which the request was due and a
    /// connection was free, to its sending.
    pub lag: Histogram<u64>,
    /// The longest time from the planned instant to the first byte of an answer, in microseconds.
    pub first_byte_max: u64,
    /// Bytes of bodies sent.
    pub bytes_up: u64,
    /// Bytes of bodies received.
    pub bytes_down: u64,
}

/// A histogram of microseconds that takes any value.
pub fn micros_histogram() -> Histogram<u64> {
    histogram(MICROS_MAX, DIGITS)
}

pub(super) fn histogram<C: hdrhistogram::Counter>(max: u64, digits: u8) -> Histogram<C> {
    let made = Histogram::new_with_bounds(1, max, digits);
    // Only bounds that contradict each other are refused, and these are constants.
    #[allow(clippy::expect_used, reason = "the bounds are constants of this file and its siblings")]
    made.expect("constant bounds are valid")
}

pub(super) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

impl Tally {
    /// Nothing yet.
    pub fn new(kinds: usize, steps: usize) -> Self {
        Self {
            kinds: (0..kinds).map(|_| KindTally::new()).collect(),
            steps: (0..steps).map(|_| KindTally::new()).collect(),
            signing: histogram(SIGNING_NANOS_MAX, 2),
            reconnects: 0,
            last_sent: Duration::ZERO,
            active: Vec::new(),
            abandoned: 0,
            pulses_lost: 0,
        }
    }

    /// Everything that a request of this kind and step is counted in.
    pub fn of(&mut self, kind: usize, step: usize) -> impl Iterator<Item = &mut KindTally> {
        self.kinds.get_mut(kind).into_iter().chain(self.steps.get_mut(step))
    }

    /// Adds another one.
    pub fn add(&mut self, other: &Tally) {
        let Tally { kinds, steps, signing, reconnects, last_sent, active, abandoned, pulses_lost } = other;
        for (mine, theirs) in self.kinds.iter_mut().zip(kinds).chain(self.steps.iter_mut().zip(steps)) {
            mine.add(theirs);
        }
        add(&mut self.signing, signing);
        self.reconnects += reconnects;
        self.last_sent = self.last_sent.max(*last_sent);
        self.active.resize(self.active.len().max(active.len()), 0);
        for (mine, theirs) in self.active.iter_mut().zip(active) {
            *mine += theirs;
        }
        self.abandoned += abandoned;
        self.pulses_lost += pulses_lost;
    }
}

impl KindTally {
    /// Nothing yet.
    pub fn new() -> Self {
        Self {
            planned: 0,
            sent: 0,
            expected: 0,
            unexpected: BTreeMap::new(),
            response: micros_histogram(),
            service: micros_histogram(),
            lag: micros_histogram(),
            first_byte_max: 0,
            bytes_up: 0,
            bytes_down: 0,
        }
    }

    /// Counts an ending that was not expected.
    pub fn unexpected(&mut self, label: &str) {
        if let Some(count) = self.unexpected.get_mut(label) {
            *count += 1;
        } else {
            let label = if self.unexpected.len() < ENDINGS_MAX { label } else { "other" };
            *self.unexpected.entry(label.to_owned()).or_default() += 1;
        }
    }

    /// Adds another one of the same kind.
    pub fn add(&mut self, other: &KindTally) {
        let KindTally {
            planned,
            sent,
            expected,
            unexpected,
            response,
            service,
            lag,
            first_byte_max,
            bytes_up,
            bytes_down,
        } = other;
        self.planned += planned;
        self.sent += sent;
        self.expected += expected;
        for (label, count) in unexpected {
            *self.unexpected.entry(label.clone()).or_default() += count;
        }
        add(&mut self.response, response);
        add(&mut self.service, service);
        add(&mut self.lag, lag);
        self.first_byte_max = self.first_byte_max.max(*first_byte_max);
        self.bytes_up += bytes_up;
        self.bytes_down += bytes_down;
    }
}

/// Adds histograms with the same bounds.
fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    // Values beyond the bounds are the only reason to be refused, and both were made with the same ones.
    let _ = to.add(from);
}
