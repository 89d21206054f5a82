//! `capacity`: the search of the module of that name, with real trials.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::bail;

use super::CapacityArgs;
use super::job::{Job, Turn, at_rate};
use super::save;
use crate::blame::excuse;
use crate::capacity::{Aim, Held, Measure, Phase, Search, Trial, search};
use crate::measurement::Measurement;
use crate::record::Outcomes;
use crate::scenario::{RATE_MAX, Rate, Span};
use crate::slo::{Metric, Point};
use crate::verdict::{Flaw, Outcome, Verdict, flaws, judge};

/// Judged when only errors are: an answer that comes after a second is none for a caller.
const LATENCY_BY_DEFAULT: &str = "p99<1s";
/// Above this share of their cores the measured processes are what limits.
const CPU_EXHAUSTED_PERCENT: f64 = 90.0;
/// Before each trial, this part of its length is sent and not counted.
const WARMUP_SHARE: u32 = 5;

pub(super) fn capacity(args: &CapacityArgs) -> anyhow::Result<Option<Outcome>> {
    let CapacityArgs { load, start: Rate(start), max: Rate(max), trial: Span(trial), confirm: Span(confirm) } = args;
    if !(*start > 0.0 && *start <= *max && *max <= RATE_MAX) {
        bail!("`--start` must lie above 0 and at most at `--max`, which may be up to {RATE_MAX}/s");
    }
    if trial.is_zero() || confirm.is_zero() {
        bail!("`--trial` and `--confirm` must be more than nothing");
    }
    let mut job = Job::new(load, None)?;
    if job.slos.iter().all(|slo| slo.metric == Metric::Errors) {
        job.slos.push(LATENCY_BY_DEFAULT.parse()?);
    }
    let directory = save::directory(job.out.as_deref(), &job.scenario.name)?;
    let mut trials = Trials { job: &mut job, trial: *trial, confirm: *confirm, count: 0, best: None, last: None };
    let found = search(Aim { start: *start, max: *max }, &mut trials)?;
    let Some(measurement) = trials.best.or(trials.last) else { bail!("nothing was measured") };
    let stopped = job.stop.load(Ordering::Relaxed);
    let verdict = verdict(&found, &judge(&measurement, &job.slos), stopped);
    let outcomes = Outcomes { measurement, verdict, capacity: Some(found), compliance: None, comparison: None };
    save::save(&outcomes, &directory, "run")?;
    save::print(&outcomes, &directory);
    Ok(Some(outcomes.verdict.outcome))
}

struct Trials<'j> {
    job: &'j mut Job,
    trial: Duration,
    confirm: Duration,
    count: usize,
    /// The confirmation that held.
    best: Option<Measurement>,
    last: Option<Measurement>,
}

impl Measure for Trials<'_> {
    type Error = anyhow::Error;

    fn try_rate(&mut self, phase: Phase, rate: f64) -> anyhow::Result<Trial> {
        self.count += 1;
        let counted = if phase == Phase::Confirm { self.confirm } else { self.trial };
        let warmup = counted / WARMUP_SHARE;
        let turn = self.job.turn(&format!("trial {}, {} at {rate:.1}/s", self.count, phase.label()));
        let load = at_rate(&turn.load, rate, counted + warmup);
        let measurement = self.job.measure(&Turn { load, warmup, ..turn })?;
        let held = self.held(&measurement);
        let totals = measurement.totals();
        let trial = Trial {
            phase,
            rate,
            held,
            achieved: measurement.achieved(),
            p99_micros: measurement.value(Metric::Response(Point::Percentile(99.0))).unwrap_or_default(),
            errors_percent: measurement.value(Metric::Errors).unwrap_or_default(),
            cpu_percent: measurement.usage().map(|usage| usage.cpu_percent),
        };
        eprintln!("{}", line(self.count, &trial, totals.unexpected));
        if phase == Phase::Confirm && trial.held == Held::Yes {
            self.best = Some(measurement);
        } else {
            self.last = Some(measurement);
        }
        Ok(trial)
    }

    fn is_stopped(&self) -> bool {
        self.job.stop.load(Ordering::Relaxed)
    }
}

impl Trials<'_> {
    /// Whether every criterion held; when not, what stood in the way, as far as it can be told.
    fn held(&self, measurement: &Measurement) -> Held {
        let flaws = flaws(measurement);
        if let Some(flaw) = flaws.iter().find(|flaw| matches!(flaw, Flaw::Generator(_) | Flaw::Incomplete(_))) {
            return Held::Unknown(format!("the generator: {}", flaw.text()));
        }
        let unmet: Vec<_> = self.job.slos.iter().filter(|slo| !slo.judge(measurement).met).collect();
        let failed: Vec<_> = unmet.iter().map(|slo| slo.judge(measurement)).collect();
        let waiting = flaws.first().map(|_| "every connection was waiting for an answer".to_owned());
        if failed.is_empty() && waiting.is_none() {
            return Held::Yes;
        }
        let excuses: Vec<_> = unmet.iter().filter_map(|slo| excuse(slo, measurement)).collect();
        if waiting.is_none() && excuses.len() == unmet.len() {
            return Held::Unknown(format!("the generator: {}", excuses.join("; ")));
        }
        let usage = measurement.usage();
        let exhausted = usage.filter(|usage| usage.cpu_percent >= CPU_EXHAUSTED_PERCENT);
        let mut reasons: Vec<String> =
            failed.iter().map(|judged| format!("`{}` is not met ({})", judged.criterion, judged.observed)).collect();
        reasons.extend(waiting);
        if let Some(usage) = exhausted {
            reasons.insert(0, format!("the server's CPU ({:.0} % of its cores)", usage.cpu_percent));
        }
        let most = measurement.endings().into_iter().max_by_key(|(_, count)| *count);
        if let Some((label, count)) = most {
            reasons.push(format!("most errors were `{label}` ({count})"));
        }
        Held::No(reasons.join("; "))
    }
}

impl Phase {
    /// For people.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Phase::Double => "doubling",
            Phase::Bisect => "bisecting",
            Phase::Repeat => "repeating",
            Phase::Confirm => "confirming",
        }
    }
}

fn line(count: usize, trial: &Trial, unexpected: u64) -> String {
    let Trial { phase, rate, held, p99_micros, errors_percent, cpu_percent, achieved: _ } = trial;
    let (mark, why) = match held {
        Held::Yes => ("✓", String::new()),
        Held::No(why) => ("✗", format!("  {why}")),
        Held::Unknown(why) => ("?", format!("  {why}")),
    };
    let cpu = cpu_percent.map_or_else(String::new, |cpu| format!("  cpu {cpu:.0} %"));
    let p99 = crate::slo::show_micros(*p99_micros);
    let phase = phase.label();
    format!(
        "{mark} {count:>3}  {phase:<10} {rate:>10.1}/s  p99 {p99:>9}  errors {errors_percent:.2} % ({unexpected}){cpu}{why}"
    )
}

/// The search's verdict: a capacity is a result only when it was confirmed and the generator was not what limited it.
fn verdict(found: &Search, judged: &Verdict, stopped: bool) -> Verdict {
    let Search { answer, confirmed, limiter, limited_by_generator, trials: _ } = found;
    let criteria = judged.criteria.clone();
    let limited = format!("the limit: {limiter}");
    let (outcome, first) = match answer {
        _ if stopped => (Outcome::Invalid, "the search was ended early".to_owned()),
        _ if *limited_by_generator => {
            (Outcome::Invalid, "the generator reached its limit before the server did".to_owned())
        }
        None => (Outcome::CriterionFailed, "not even the lowest rate held".to_owned()),
        Some(answer) if !confirmed => {
            (Outcome::Invalid, format!("{answer:.1}/s did not hold over the longer time, nor did the rates just below"))
        }
        Some(answer) => (Outcome::Pass, format!("capacity {answer:.1}/s, confirmed over the longer time")),
    };
    let reasons = vec![first, limited];
    if outcome == Outcome::Invalid {
        Verdict::invalid(reasons, criteria)
    } else {
        Verdict { outcome, reasons, criteria }
    }
}
