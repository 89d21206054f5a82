//! `merge`: the shards of a plan as one result.

use super::MergeArgs;
use super::job::criteria;
use super::save;
use crate::merge;
use crate::record::Outcomes;
use crate::verdict::{Outcome, judge};

pub(super) fn merge(args: &MergeArgs) -> anyhow::Result<Option<Outcome>> {
    let MergeArgs { files, slo, out } = args;
    let slos = criteria(slo)?;
    let measurement = merge::merge(files)?;
    let directory = save::directory(Some(out), &measurement.conditions.scenario)?;
    let verdict = judge(&measurement, &slos);
    let outcomes = Outcomes { measurement, verdict, capacity: None, compliance: None, comparison: None };
    save::save(&outcomes, &directory, "run")?;
    save::print(&outcomes, &directory);
    Ok(Some(outcomes.verdict.outcome))
}
