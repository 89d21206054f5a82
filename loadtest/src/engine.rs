//! The engine: sends what the plan says when the plan says it, and counts what became of it.
//!
//! Guarantees: each measuring thread has its own runtime, connections and histograms, and shares nothing with the others
//! or with whoever draws; latency is measured from the planned instant; no sample is kept, only counts. Nothing here
//! judges: see `verdict`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::machine::{Probe, Sample};
use crate::plan::Share;
use crate::scenario::{Cycle, Load};

mod answer;
mod pulse;
mod request;
mod room;
mod tally;
mod target;
mod timer;
mod wire;
mod worker;

pub use pulse::Pulse;
pub use request::{Body, Credentials, Prepared};
pub use tally::{KindTally, Tally, micros_histogram};
pub use target::Target;

/// Pulses on their way to the reporting thread; one per thread and interval, so it is never full unless that hangs.
const PULSES_QUEUED_MAX: usize = 1_024;
/// How often the reporting thread samples the measured processes and shows where the run is.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// The most points of a time series; longer runs get longer intervals. A point costs about 1 KiB in a result.
pub const POINTS_MAX: u64 = 3_600;
/// From the moment every thread is ready to the first arrival.
const HEAD_START: Duration = Duration::from_millis(20);
/// How long connections may take to be opened, all together.
const OPENING_MAX: Duration = Duration::from_secs(60);

/// Everything a run needs to know.
#[derive(Debug)]
pub struct Order {
    /// Whom to ask.
    pub target: Target,
    /// What to ask.
    pub kinds: Vec<Prepared>,
    /// In which order.
    pub cycle: Cycle,
    /// When.
    pub load: Load,
    /// Which part of it.
    pub share: Share,
    /// Connections, all threads together.
    pub connections: usize,
    /// Not counted.
    pub warmup: Duration,
    /// For an answer.
    pub timeout: Duration,
    /// Measuring threads.
    pub workers: usize,
    /// Within each of these every connection has to complete an exchange to be counted as active.
    pub window: Duration,
}

/// What a run has measured.
#[derive(Debug)]
pub struct Measured {
    /// When the first arrival was due, in seconds since 1970.
    pub started_unix: u64,
    /// Planned time, without the warm-up.
    pub planned: Duration,
    /// Until the last request was sent, without the warm-up; longer than planned when sending fell behind.
    pub sending: Duration,
    /// All threads together.
    pub tally: Tally,
    /// Interval by interval.
    pub series: Vec<Pulse>,
    /// Seconds of one interval.
    pub interval: Duration,
    /// The measured processes, sample by sample.
    pub samples: Vec<Sample>,
    /// CPU seconds of this process between the start and the end.
    pub own_cpu: f64,
    /// The most memory this process has held so far.
    pub own_resident_bytes: u64,
    /// Whether someone ended it early.
    pub interrupted: bool,
    /// Pulses that could not be handed on: points missing in the series, nowhere else.
    pub pulses_lost: u64,
}

/// Where a run is, for whoever watches.
#[derive(Debug, Clone, Default)]
pub struct Moment {
    /// Since the first counted arrival; zero in the warm-up.
    pub elapsed: Duration,
    /// Planned.
    pub total: Duration,
    /// Requests per second asked for now.
    pub offered: f64,
    /// The last whole interval.
    pub last: Option<Pulse>,
    /// So far.
    pub answered: u64,
    /// So far.
    pub unexpected: u64,
    /// The last sample of the measured processes.
    pub sample: Option<Sample>,
}

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Some connections could not be opened.
    #[error("only {opened} of {wanted} connections to {target} could be opened: {reason}")]
    Connect {
        /// How many were.
        opened: usize,
        /// How many should have been.
        wanted: usize,
        /// To whom.
        target: String,
        /// Why not.
        reason: String,
    },
    /// A request that has to be replayed was not accepted the first time.
    #[error("the request `{kind}` is to be replayed, but the first one was answered {answer} instead of 2xx")]
    Priming {
        /// Which.
        kind: String,
        /// How it ended.
        answer: String,
    },
    /// A session that requests are to be sent within was not opened.
    #[error("the request `{kind}` is to be sent within a session, and the question for one was answered {answer}")]
    Session {
        /// Which.
        kind: String,
        /// How it ended.
        answer: String,
    },
    /// The system gave no thread, timer or runtime.
    #[error("the system gave no {what}")]
    System {
        /// What.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A measuring thread ended by itself.
    #[error("a measuring thread ended by itself; this is a fault of the tool, its message is above")]
    Lost,
}

/// From a thread to the reporting thread.
#[derive(Debug)]
enum Report {
    Ready(Result<(), EngineError>),
    Pulse(Pulse),
}

/// Seconds of one interval of a run of this length.
pub fn interval_of(planned: Duration) -> Duration {
    Duration::from_secs(planned.as_secs().div_ceil(POINTS_MAX).max(1))
}

/// Runs `order` to its end, or until `stop`; `watch` is called about once a second, on this thread.
pub fn run(
    order: &Arc<Order>,
    stop: &Arc<AtomicBool>,
    probe: &mut Probe,
    watch: &mut dyn FnMut(&Moment),
) -> Result<Measured, EngineError> {
    let (reports, inbox) = mpsc::sync_channel(PULSES_QUEUED_MAX);
    let (go, started) = tokio::sync::watch::channel(None);
    let mut threads = Vec::new();
    for part in 0..order.workers {
        let crew = worker::Crew { order: order.clone(), part, stop: stop.clone(), reports: reports.clone() };
        let started = started.clone();
        let thread = std::thread::Builder::new().name(format!("load-{part}")).spawn(move || worker::run(crew, started));
        threads.push(thread.map_err(|source| EngineError::System { what: "thread", source })?);
    }
    drop(reports);
    for _ in 0..order.workers {
        match inbox.recv_timeout(OPENING_MAX) {
            Ok(Report::Ready(ready)) => ready?,
            Ok(Report::Pulse(_)) => {}
            Err(_) => return Err(EngineError::Lost),
        }
    }
    let start = Instant::now() + HEAD_START;
    let started_unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // The threads wait for this; those that have ended by themselves are noticed when joined.
    let _ = go.send(Some(start));
    let mut watching = Watching::new(order, start + order.warmup);
    watching.until_done(&inbox, probe, watch, stop);
    finish(order, threads, watching, started_unix, stop)
}

fn finish(
    order: &Order,
    threads: Vec<JoinHandle<Tally>>,
    watching: Watching,
    started_unix: u64,
    stop: &AtomicBool,
) -> Result<Measured, EngineError> {
    let mut tally = Tally::new(order.kinds.len(), order.load.steps().len());
    for thread in threads {
        tally.add(&thread.join().map_err(|_| EngineError::Lost)?);
    }
    let planned = order.load.duration().saturating_sub(order.warmup);
    let interrupted = stop.load(Ordering::Relaxed);
    let Watching { mut series, samples, own_cpu, interval, offered, .. } = watching;
    for (index, pulse) in &mut series {
        let middle = interval.as_secs_f64() * (*index as f64 + 0.5);
        pulse.offered = offered(Duration::from_secs_f64(middle).min(planned));
    }
    Ok(Measured {
        started_unix,
        planned,
        sending: tally.last_sent.max(if interrupted { Duration::ZERO } else { planned }),
        pulses_lost: tally.pulses_lost,
        tally,
        series: series.into_values().collect(),
        interval,
        samples,
        own_cpu,
        own_resident_bytes: crate::machine::own_resident_bytes(),
        interrupted,
    })
}

/// The reporting thread's side of a run.
struct Watching {
    begins: Instant,
    planned: Duration,
    interval: Duration,
    series: BTreeMap<u64, Pulse>,
    samples: Vec<Sample>,
    own_cpu: f64,
    answered: u64,
    unexpected: u64,
    offered: Box<dyn Fn(Duration) -> f64>,
}

impl Watching {
    fn new(order: &Order, begins: Instant) -> Self {
        let planned = order.load.duration().saturating_sub(order.warmup);
        let (load, warmup, of) = (order.load.clone(), order.warmup, order.share.of);
        #[allow(clippy::cast_precision_loss, reason = "generators are few")]
        let offered = move |at: Duration| match &load {
            Load::Open(plan) => plan.rate_at(at + warmup) / of as f64,
            Load::Closed { .. } => 0.0,
        };
        Self {
            begins,
            planned,
            interval: interval_of(planned),
            series: BTreeMap::new(),
            samples: Vec::new(),
            own_cpu: 0.0,
            answered: 0,
            unexpected: 0,
            offered: Box::new(offered),
        }
    }

    fn until_done(
        &mut self,
        inbox: &Receiver<Report>,
        probe: &mut Probe,
        watch: &mut dyn FnMut(&Moment),
        stop: &AtomicBool,
    ) {
        let mut due = self.begins;
        let mut own_before = None;
        loop {
            match inbox.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(Report::Pulse(pulse)) => {
                    self.answered += pulse.answered;
                    self.unexpected += pulse.unexpected;
                    self.series.entry(pulse.index).or_insert_with(|| Pulse::empty(pulse.index)).add(&pulse);
                }
                Ok(Report::Ready(_)) => {}
                Err(RecvTimeoutError::Timeout) => {
                    let elapsed = Instant::now().saturating_duration_since(self.begins);
                    own_before.get_or_insert_with(crate::machine::own_cpu_seconds);
                    self.sample(probe, elapsed);
                    watch(&self.moment(elapsed));
                    due += SAMPLE_EVERY;
                    // After the plan only answers are awaited: nothing to sample that belongs to the load.
                    if stop.load(Ordering::Relaxed) {
                        due = due.max(Instant::now() + SAMPLE_EVERY);
                    }
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        self.own_cpu = crate::machine::own_cpu_seconds() - own_before.unwrap_or_else(crate::machine::own_cpu_seconds);
    }

    fn sample(&mut self, probe: &mut Probe, elapsed: Duration) {
        // A half second of slack: the sample of the last planned second still belongs to the load.
        let within = elapsed <= self.planned + SAMPLE_EVERY / 2;
        let every = self.interval.as_secs().max(1);
        if within && (elapsed.as_secs_f64().round() as u64).is_multiple_of(every) {
            self.samples.extend(probe.sample(elapsed));
        }
    }

    fn moment(&self, elapsed: Duration) -> Moment {
        // A thread hands an interval on when it has seen the next one begin.
        let now = elapsed.as_secs() / self.interval.as_secs().max(1);
        Moment {
            elapsed,
            total: self.planned,
            offered: (self.offered)(elapsed.min(self.planned)),
            last: self.series.range(..now).next_back().map(|(_, pulse)| pulse.clone()),
            answered: self.answered,
            unexpected: self.unexpected,
            sample: self.samples.last().cloned(),
        }
    }
}
