//! Comparison with a baseline: several runs a side, and a rule that says when a difference is one.
//!
//! The rule: per metric, the ratio of the geometric means (candidate to baseline) with a 99 % confidence interval from the
//! spread between runs (Welch's t-test on logarithms). It is a regression when the whole interval lies above 1 plus the
//! tolerance, an improvement when it lies below 1 minus the tolerance, and equal otherwise. Runs of both sides are best
//! made alternately, so that whatever changes on the machine meanwhile is part of the spread.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::record::{Record, RecordError, Summary};
use crate::slo::show_micros;
use crate::verdict::Outcome;

/// Runs a side must have: with fewer there is no spread to speak of.
pub const RUNS_MIN: usize = 3;
/// The most runs of a side.
const RUNS_MAX: usize = 1_000;
/// More errors than the baseline by this many per cent of requests are a regression whatever the spread.
const ERRORS_TOLERANCE_PERCENT: f64 = 0.1;

/// Two sides compared.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comparison {
    /// Runs of the baseline.
    pub baseline_runs: usize,
    /// Runs of the candidate.
    pub candidate_runs: usize,
    /// When the baseline was measured, and with what.
    pub baseline: String,
    /// By how much a metric may differ before it matters, in per cent.
    pub tolerance_percent: f64,
    /// Metric by metric.
    pub changes: Vec<Change>,
}

/// One metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// Which.
    pub metric: String,
    /// The baseline's value, for people.
    pub baseline: String,
    /// The candidate's value, for people.
    pub candidate: String,
    /// Candidate divided by baseline.
    pub ratio: f64,
    /// The lower end of its interval.
    pub low: f64,
    /// The upper end.
    pub high: f64,
    /// What follows.
    pub finding: Finding,
}

/// What follows from an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// No difference that matters has been shown.
    Equal,
    /// Worse.
    Worse,
    /// Better.
    Better,
}

/// Why two sides cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// A file is of no use.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A directory cannot be read.
    #[error("`{}` cannot be read", .0.display())]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// Too few.
    #[error("`{}` holds {found} valid runs, and a comparison takes {RUNS_MIN}: make them with `run --repeat {RUNS_MIN} --out DIR`", path.display())]
    TooFew {
        /// The side.
        path: PathBuf,
        /// How many it has.
        found: usize,
    },
    /// Not the same thing.
    #[error("the two sides did not do the same: {0}")]
    Different(String),
}

impl Comparison {
    /// What it means for the whole.
    pub fn outcome(&self) -> Outcome {
        let worse = self.changes.iter().any(|change| change.finding == Finding::Worse);
        if worse { Outcome::Regression } else { Outcome::Pass }
    }

    /// Why, in sentences.
    pub fn reasons(&self) -> Vec<String> {
        let worse = self.changes.iter().filter(|change| change.finding == Finding::Worse);
        let reasons: Vec<String> = worse.map(|change| format!("regression: {}", change.text())).collect();
        if reasons.is_empty() { vec!["no regression against the baseline".to_owned()] } else { reasons }
    }
}

impl Change {
    /// In one line.
    pub fn text(&self) -> String {
        let Self { metric, baseline, candidate, ratio, low, high, finding: _ } = self;
        format!("{metric} {baseline} → {candidate}, ×{ratio:.3} (99 % interval {low:.3} to {high:.3})")
    }
}

/// Reads the runs of a side: one file, or every `run*.json` of a directory.
pub fn read_side(path: &Path) -> Result<Vec<Record>, CompareError> {
    let unreadable = |error| CompareError::Unreadable(path.to_owned(), error);
    if !path.is_dir() {
        return Ok(vec![Record::load(path)?]);
    }
    let mut files: Vec<PathBuf> = std::fs::read_dir(path)
        .map_err(unreadable)?
        .flatten()
        .map(|entry| entry.path())
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .filter(|file| file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("run")))
        .collect();
    files.sort();
    files.truncate(RUNS_MAX);
    files.iter().map(|file| Ok(Record::load(file)?)).collect()
}

/// Compares two sides.
pub fn compare(
    baseline: (&Path, &[Record]),
    candidate: (&Path, &[Record]),
    tolerance_percent: f64,
) -> Result<Comparison, CompareError> {
    let [before, after] = [valid(baseline)?, valid(candidate)?];
    let first = before.first().copied();
    let Some(((reference, _), all)) = first.map(|first| (first, before.iter().chain(&after))) else {
        return Err(CompareError::TooFew { path: baseline.0.to_owned(), found: 0 });
    };
    for (record, _) in all {
        same(reference, record)?;
    }
    let mut changes = Vec::new();
    let metrics: [Metric; 3] = [
        ("response p50", |summary| Some(summary.response_micros.p50), show_micros),
        ("response p99", |summary| Some(summary.response_micros.p99), show_micros),
        ("CPU per exchange", |summary| summary.cpu_micros_per_exchange, show_micros),
    ];
    for (name, value, show) in metrics {
        let side = |runs: &[(&Record, &Summary)]| runs.iter().map(|(_, summary)| value(summary)).collect();
        let (Some(before), Some(after)): (Option<Vec<f64>>, Option<Vec<f64>>) = (side(&before), side(&after)) else {
            continue;
        };
        if before.iter().chain(&after).all(|value| *value > 0.0) {
            changes.push(change(name, &before, &after, tolerance_percent, show));
        }
    }
    changes.push(errors(&before, &after));
    let of = &reference.conditions;
    Ok(Comparison {
        baseline_runs: before.len(),
        candidate_runs: after.len(),
        baseline: format!("{} of {}", of.scenario, of.started),
        tolerance_percent,
        changes,
    })
}

/// Name, value of a run, and how it is shown.
type Metric = (&'static str, fn(&Summary) -> Option<f64>, fn(f64) -> String);

fn valid<'r>(side: (&Path, &'r [Record])) -> Result<Vec<(&'r Record, &'r Summary)>, CompareError> {
    let runs: Vec<_> = side.1.iter().filter_map(|record| Some((record, record.summary.as_ref()?))).collect();
    if runs.len() < RUNS_MIN {
        return Err(CompareError::TooFew { path: side.0.to_owned(), found: runs.len() });
    }
    Ok(runs)
}

fn same(one: &Record, other: &Record) -> Result<(), CompareError> {
    let (one, other) = (&one.conditions, &other.conditions);
    let differs = [
        ("scenario", one.scenario_sha256 == other.scenario_sha256),
        ("load", one.load == other.load),
        ("connections", one.connections == other.connections),
        ("machine", one.machine.cpu == other.machine.cpu && one.machine.cores == other.machine.cores),
    ];
    match differs.iter().find(|(_, same)| !same) {
        Some((what, _)) => Err(CompareError::Different(format!("another {what} in the run of {}", other.started))),
        None => Ok(()),
    }
}

fn change(name: &str, before: &[f64], after: &[f64], tolerance_percent: f64, show: fn(f64) -> String) -> Change {
    let (before, after) = (Spread::of(before), Spread::of(after));
    let difference = after.mean - before.mean;
    let margin = before.margin(&after);
    let (ratio, low, high) = (difference.exp(), (difference - margin).exp(), (difference + margin).exp());
    let tolerance = tolerance_percent / 100.0;
    let finding = if low > 1.0 + tolerance {
        Finding::Worse
    } else if high < 1.0 - tolerance {
        Finding::Better
    } else {
        Finding::Equal
    };
    let (baseline, candidate) = (show(before.mean.exp()), show(after.mean.exp()));
    Change { metric: name.to_owned(), baseline, candidate, ratio, low, high, finding }
}

#[allow(clippy::cast_precision_loss, reason = "runs are few")]
fn errors(before: &[(&Record, &Summary)], after: &[(&Record, &Summary)]) -> Change {
    let mean = |runs: &[(&Record, &Summary)]| {
        runs.iter().map(|(_, summary)| summary.errors_percent).sum::<f64>() / runs.len().max(1) as f64
    };
    let worst = before.iter().map(|(_, summary)| summary.errors_percent).fold(0.0, f64::max);
    let (before, after) = (mean(before), mean(after));
    let worse = after > before + ERRORS_TOLERANCE_PERCENT && after > worst;
    let ratio = if before > 0.0 { after / before } else { 1.0 };
    Change {
        metric: "errors".to_owned(),
        baseline: format!("{before:.3} %"),
        candidate: format!("{after:.3} %"),
        ratio,
        low: ratio,
        high: ratio,
        finding: if worse { Finding::Worse } else { Finding::Equal },
    }
}

/// Mean and variance of logarithms.
struct Spread {
    mean: f64,
    /// Of the mean.
    variance: f64,
    runs: f64,
}

impl Spread {
    #[allow(clippy::cast_precision_loss, reason = "runs are few")]
    fn of(values: &[f64]) -> Self {
        let runs = values.len().max(1) as f64;
        let mean = values.iter().map(|value| value.ln()).sum::<f64>() / runs;
        let squares = values.iter().map(|value| (value.ln() - mean).powi(2)).sum::<f64>();
        Self { mean, variance: squares / (runs - 1.0).max(1.0) / runs, runs }
    }

    /// Half of the 99 % interval of the difference of two means (Welch; degrees of freedom by Satterthwaite).
    fn margin(&self, other: &Spread) -> f64 {
        let variance = self.variance + other.variance;
        if variance <= 0.0 {
            return 0.0;
        }
        let part = |spread: &Spread| spread.variance.powi(2) / (spread.runs - 1.0).max(1.0);
        let freedom = variance.powi(2) / (part(self) + part(other)).max(f64::MIN_POSITIVE);
        student_99(freedom) * variance.sqrt()
    }
}

/// The 99.5th percentile of Student's distribution; between two whole degrees of freedom, the wider one.
fn student_99(freedom: f64) -> f64 {
    const TABLE: [f64; 30] = [
        63.657, 9.925, 5.841, 4.604, 4.032, 3.707, 3.499, 3.355, 3.250, 3.169, 3.106, 3.055, 3.012, 2.977, 2.947,
        2.921, 2.898, 2.878, 2.861, 2.845, 2.831, 2.819, 2.807, 2.797, 2.787, 2.779, 2.771, 2.763, 2.756, 2.750,
    ];
    // Rounding must not turn 4 into 3.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to the table")]
    let at = ((freedom + 1e-9).floor().clamp(1.0, 30.0) as usize) - 1;
    TABLE.get(at).copied().unwrap_or(2.750)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finding(before: &[f64], after: &[f64]) -> Finding {
        change("x", before, after, 5.0, show_micros).finding
    }

    #[test]
    fn a_difference_is_one_when_the_spread_cannot_explain_it() {
        assert_eq!(finding(&[100.0, 102.0, 98.0], &[101.0, 99.0, 103.0]), Finding::Equal);
        assert_eq!(finding(&[100.0, 102.0, 98.0], &[130.0, 128.0, 133.0]), Finding::Worse);
        assert_eq!(finding(&[130.0, 128.0, 133.0], &[100.0, 102.0, 98.0]), Finding::Better);
        // As far apart, but the runs of a side differ as much: nothing is shown.
        assert_eq!(finding(&[60.0, 100.0, 140.0], &[80.0, 130.0, 190.0]), Finding::Equal);
        // Certain, and too small to matter.
        assert_eq!(finding(&[100.0, 100.0, 100.0], &[104.0, 104.0, 104.0]), Finding::Equal);
    }

    #[test]
    fn the_interval_is_the_one_of_the_textbook() {
        // Equal variances and three runs a side: four degrees of freedom.
        let change = change(
            "x",
            &[1.0_f64.exp(), 2.0_f64.exp(), 3.0_f64.exp()],
            &[4.0_f64.exp(), 5.0_f64.exp(), 6.0_f64.exp()],
            5.0,
            show_micros,
        );
        let margin = 4.604 * (2.0_f64 / 3.0).sqrt();
        assert!((change.low.ln() - (3.0 - margin)).abs() < 1e-9 && (change.high.ln() - (3.0 + margin)).abs() < 1e-9);
        assert_eq!((student_99(1.0), student_99(3.999), student_99(500.0)), (63.657, 5.841, 2.750));
    }

    proptest! {
        #[test]
        fn a_side_is_equal_to_itself(values in prop::collection::vec(1.0..1e9_f64, 3..10)) {
            prop_assert_eq!(finding(&values, &values), Finding::Equal);
        }
    }
}
