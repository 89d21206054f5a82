//! `compare`: two sides, several runs each.

use super::CompareArgs;
use crate::compare::{self, Finding};
use crate::verdict::Outcome;

pub(super) fn compare(args: &CompareArgs) -> anyhow::Result<Option<Outcome>> {
    let CompareArgs { baseline, candidate, tolerance } = args;
    let (before, after) = (compare::read_side(baseline)?, compare::read_side(candidate)?);
    let found = compare::compare((baseline, &before), (candidate, &after), *tolerance)?;
    println!("{}", if found.outcome() == Outcome::Regression { "REGRESSION" } else { "NO REGRESSION" });
    for change in &found.changes {
        let mark = match change.finding {
            Finding::Equal => "=",
            Finding::Worse => "✗",
            Finding::Better => "✓",
        };
        println!("  {mark} {}", change.text());
    }
    println!(
        "  {} runs against {} of the baseline; a difference counts when its 99 % interval lies beyond {} %",
        found.candidate_runs, found.baseline_runs, found.tolerance_percent
    );
    Ok(Some(found.outcome()))
}
