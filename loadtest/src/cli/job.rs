//! From arguments to something that can be measured, as often as it takes.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, bail};

use super::LoadArgs;
use crate::conditions::{Choices, Conditions};
use crate::credential::Credential;
use crate::engine::{self, Body, Credentials, Order, Prepared, Target};
use crate::live::{Caption, View};
use crate::machine::{Probe, raise_file_limit};
use crate::measurement::Measurement;
use crate::plan::{Plan, Share, Spacing};
use crate::scenario::{CONNECTIONS_MAX, Cycle, Load, Rate, Scenario, Span};
use crate::slo::{Metric, Slo};

/// Judged when nobody says otherwise: a throughput without an error gate is no result.
const ERRORS_BY_DEFAULT: &str = "errors<0.1%";
/// Files this program has open besides connections.
const OTHER_FILES: u64 = 64;
/// The window for counting active connections where it is not asked for.
const WINDOW: Duration = Duration::from_secs(10);
/// The most measuring threads.
const WORKERS_MAX: usize = 256;

/// Everything but when and how fast.
pub(super) struct Job {
    pub(super) scenario: Scenario,
    pub(super) slos: Vec<Slo>,
    pub(super) probe: Probe,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) out: Option<PathBuf>,
    pub(super) window: Duration,
    pub(super) marker: Option<String>,
    target: Target,
    credentials: Credentials,
    workers: usize,
    lag_limit: Duration,
    share: Share,
    view: View,
}

/// Which part of the plan, and what it is called on the screen.
pub(super) struct Turn {
    pub(super) load: Load,
    pub(super) warmup: Duration,
    pub(super) caption: Caption,
}

impl Job {
    pub(super) fn new(args: &LoadArgs, shard: Option<&str>) -> anyhow::Result<Self> {
        let mut scenario = Scenario::load(&args.scenario)?;
        change(&mut scenario, args)?;
        let target = Target::parse(&args.target, args.host.as_deref(), args.ca.as_deref())?;
        let mut credentials = Credentials::default();
        for given in &args.credentials {
            let (name, file) = given.split_once('=').map_or((None, given.as_str()), |(name, file)| (Some(name), file));
            credentials.add(name, Credential::from_file(file.as_ref())?);
        }
        let probe = Probe::new(&args.sut, args.sut_metrics.as_deref(), args.sut_cores)?;
        let slos = criteria(&args.slo)?;
        if let Some(slo) = slos.iter().find(|slo| slo.metric.needs_processes() && probe.is_empty()) {
            bail!("`--slo {slo}` needs a process to watch: name it with `--sut` or `--sut-metrics`");
        }
        let limit = raise_file_limit();
        if scenario.connections as u64 + OTHER_FILES > limit {
            bail!(
                "{} connections are more than the {limit} files this process may open: raise `ulimit -n`",
                scenario.connections
            );
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = args.workers.unwrap_or((cores / 2).max(1));
        if !(1..=WORKERS_MAX.min(scenario.connections)).contains(&workers) {
            bail!("`--workers {workers}` is not between 1 and {}, the number of connections", scenario.connections);
        }
        let Span(lag_limit) = args.lag_limit;
        Ok(Self {
            share: shard.map_or(Ok(Share::WHOLE), read_shard)?,
            stop: super::stop::on_signal()?,
            out: args.out.clone(),
            window: WINDOW,
            marker: None,
            view: View::choose(args.plain),
            scenario,
            slos,
            probe,
            target,
            credentials,
            workers,
            lag_limit,
        })
    }

    /// One turn as the scenario has it.
    pub(super) fn turn(&self, title: &str) -> Turn {
        let caption =
            Caption { title: title.to_owned(), scenario: self.scenario.name.clone(), target: self.target.url() };
        Turn { load: self.scenario.load.clone(), warmup: self.scenario.warmup, caption }
    }

    /// Measures once.
    pub(super) fn measure(&mut self, turn: &Turn) -> anyhow::Result<Measurement> {
        let body = Body::new(self.marker.as_deref());
        let prepare = |kind| Prepared::new(kind, &self.target, &self.credentials, &body, self.marker.as_deref());
        let kinds = self.scenario.kinds.iter().map(prepare).collect::<Result<Vec<_>, _>>()?;
        let order = Arc::new(Order {
            target: self.target.clone(),
            kinds,
            cycle: Cycle::of(&self.scenario.kinds),
            load: turn.load.clone(),
            share: self.share,
            connections: self.scenario.connections,
            warmup: turn.warmup,
            timeout: self.scenario.timeout,
            workers: self.workers,
            window: self.window,
        });
        let scenario = Scenario { load: turn.load.clone(), warmup: turn.warmup, ..self.scenario.clone() };
        let conditions = Conditions::new(&scenario, &self.choices(), &self.probe);
        let stop = self.stop.clone();
        let mut screen = self.view.open(&turn.caption, self.probe.cores());
        let measured = engine::run(&order, &stop, &mut self.probe, &mut |moment| screen.show(moment, &stop))?;
        drop(screen);
        Ok(Measurement { conditions: conditions.begun_at(measured.started_unix), measured })
    }

    fn choices(&self) -> Choices {
        Choices {
            command: std::env::args().collect(),
            target: self.target.url(),
            shard: (self.share.part, self.share.of),
            workers: self.workers,
            lag_limit: self.lag_limit,
            window: self.window,
        }
    }
}

/// Criteria as written, with the error gate that every result has.
pub(super) fn criteria(texts: &[String]) -> anyhow::Result<Vec<Slo>> {
    let mut slos = texts.iter().map(|text| text.parse::<Slo>()).collect::<Result<Vec<_>, _>>()?;
    if !slos.iter().any(|slo| slo.metric == Metric::Errors) {
        slos.push(ERRORS_BY_DEFAULT.parse().context("the criterion that holds by default")?);
    }
    Ok(slos)
}

fn change(scenario: &mut Scenario, args: &LoadArgs) -> anyhow::Result<()> {
    if let Some(connections) = args.connections {
        if !(1..=CONNECTIONS_MAX).contains(&connections) {
            bail!("`--connections {connections}` is not between 1 and {CONNECTIONS_MAX}");
        }
        scenario.connections = connections;
    }
    let duration = args.duration.map(|Span(duration)| duration);
    let rate = args.rate.map(|Rate(rate)| rate);
    if duration.is_some_and(|duration| duration.is_zero()) || rate.is_some_and(|rate| rate <= 0.0) {
        bail!("`--rate` and `--duration` must be more than nothing");
    }
    match &mut scenario.load {
        Load::Closed { .. } if rate.is_some() => bail!("`--rate`: a closed loop has no rate; it follows the server"),
        Load::Closed { duration: own } => *own = duration.unwrap_or(*own),
        Load::Open(plan) => match plan.segments.as_mut_slice() {
            [segment] if rate.is_none() || segment.from.to_bits() == segment.to.to_bits() => {
                segment.duration = duration.unwrap_or(segment.duration);
                if let Some(rate) = rate {
                    (segment.from, segment.to) = (rate, rate);
                }
            }
            _ if rate.is_none() && duration.is_none() => {}
            _ => bail!(
                "`--rate` and `--duration` change scenarios with one rate only; this one is {}",
                scenario.load.describe()
            ),
        },
    }
    scenario.warmup = scenario.warmup.min(scenario.load.duration() / 2);
    Ok(())
}

/// A load of one rate, spaced as the scenario spaces its own.
pub(super) fn at_rate(load: &Load, rate: f64, duration: Duration) -> Load {
    let spacing = match load {
        Load::Open(plan) => plan.spacing,
        Load::Closed { .. } => Spacing::Even,
    };
    Load::Open(Plan { spacing, ..Plan::constant(rate, duration) })
}

fn read_shard(text: &str) -> anyhow::Result<Share> {
    let parts = text.split_once('/').and_then(|(part, of)| Some((part.parse::<u64>().ok()?, of.parse::<u64>().ok()?)));
    match parts {
        Some((part, of)) if (1..=of).contains(&part) && of <= 1_000 => Ok(Share { part: part - 1, of }),
        _ => bail!("`--shard {text}` is not a part of a plan: write it as `1/3`, `2/3`, `3/3`"),
    }
}
