//! `run`: a scenario, judged; several times and against a baseline when asked to.

use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::bail;

use super::RunArgs;
use super::job::Job;
use super::save;
use crate::compare::{self, Comparison, RUNS_MIN};
use crate::record::{Outcomes, Record};
use crate::scenario::Load;
use crate::verdict::{Outcome, judge};

/// The most repetitions.
const REPEAT_MAX: usize = 1_000;

pub(super) fn run(args: &RunArgs) -> anyhow::Result<Option<Outcome>> {
    let RunArgs { load, shard, repeat, baseline, tolerance } = args;
    if !(1..=REPEAT_MAX).contains(repeat) {
        bail!("`--repeat {repeat}` is not between 1 and {REPEAT_MAX}");
    }
    if baseline.is_some() && *repeat < RUNS_MIN {
        bail!("a comparison takes {RUNS_MIN} runs: add `--repeat {RUNS_MIN}`");
    }
    // What cannot be read must not be found out after an hour.
    let baseline =
        baseline.as_deref().map(|path| Ok::<_, anyhow::Error>((path, compare::read_side(path)?))).transpose()?;
    let mut job = Job::new(load, shard.as_deref())?;
    if matches!(job.scenario.load, Load::Closed { .. }) {
        eprintln!(
            "warning: a closed loop sends only after an answer, so a slow server is asked less and looks better than it \
             is; use an open load for anything that is to be believed"
        );
    }
    let directory = save::directory(job.out.as_deref(), &job.scenario.name)?;
    let mut all: Vec<Outcomes> = Vec::new();
    for turn in 1..=*repeat {
        let title = if *repeat > 1 { format!("run {turn} of {repeat}") } else { "run".to_owned() };
        let measurement = job.measure(&job.turn(&title))?;
        let verdict = judge(&measurement, &job.slos);
        let outcomes = Outcomes { measurement, verdict, capacity: None, compliance: None, comparison: None };
        let stem = if *repeat > 1 { format!("run-{turn}") } else { "run".to_owned() };
        save::save(&outcomes, &directory, &stem)?;
        if turn < *repeat {
            eprintln!("{title}: {}", outcomes.verdict.outcome.label());
        }
        all.push(outcomes);
        if job.stop.load(Ordering::Relaxed) {
            break;
        }
    }
    let worst = all.iter().map(|outcomes| outcomes.verdict.outcome).max_by_key(|outcome| outcome.exit_code());
    let Some(mut last) = all.pop() else { return Ok(None) };
    let stem = if *repeat > 1 { format!("run-{}", all.len() + 1) } else { "run".to_owned() };
    let mut outcome = worst.unwrap_or(Outcome::Invalid);
    if let Some((path, before)) = &baseline {
        outcome = against(&mut last, &all, (*path, before), &directory, *tolerance, outcome)?;
        save::save(&last, &directory, &stem)?;
    }
    save::print(&last, &directory);
    Ok(Some(outcome))
}

/// Compares this run and those before it with the baseline; enters the comparison in the last one's report.
fn against(
    last: &mut Outcomes,
    others: &[Outcomes],
    baseline: (&Path, &[Record]),
    directory: &Path,
    tolerance: f64,
    outcome: Outcome,
) -> anyhow::Result<Outcome> {
    let records: Vec<Record> = others.iter().chain([&*last]).map(Record::of).collect();
    if outcome == Outcome::Invalid {
        return Ok(outcome);
    }
    let comparison: Comparison = compare::compare(baseline, (directory, &records), tolerance)?;
    let found = comparison.outcome();
    last.verdict.reasons.extend(comparison.reasons());
    if found == Outcome::Regression {
        last.verdict.outcome = found;
    }
    last.comparison = Some(comparison);
    Ok(if found == Outcome::Regression { found } else { outcome })
}
