//! `compliance`: a run that carries a marker in every payload, the search for it afterwards, and the report.

use std::path::PathBuf;

use anyhow::{Context, bail};

use super::ComplianceArgs;
use super::job::Job;
use super::save;
use crate::canary::Canary;
use crate::compliance::{CONNECTIONS_MIN, Findings};
use crate::machine::process::open_files;
use crate::record::Outcomes;
use crate::report;
use crate::scenario::{Load, Span};
use crate::verdict::Outcome;
use lgsp_shared::refusal::Language;

pub(super) fn compliance(args: &ComplianceArgs) -> anyhow::Result<Option<Outcome>> {
    let ComplianceArgs { load, search, window: Span(window) } = args;
    let mut job = Job::new(load, None)?;
    if job.probe.is_empty() {
        bail!("the CPU of the platform is part of the verdict: name its processes with `--sut` or `--sut-metrics`");
    }
    if (job.scenario.connections as u64) < CONNECTIONS_MIN {
        bail!(
            "the scenario has {} connections, and {CONNECTIONS_MIN} are demanded: set `--connections`",
            job.scenario.connections
        );
    }
    let Load::Open(plan) = &job.scenario.load else {
        bail!("a verdict takes an open load; this scenario is a closed loop")
    };
    let turns = plan.count() / plan.duration().as_secs_f64() * window.as_secs_f64();
    #[allow(clippy::cast_precision_loss, reason = "connections are few")]
    if turns < job.scenario.connections as f64 * 1.2 {
        bail!(
            "within a window of {} only {turns:.0} exchanges are planned, which is not one for each of {} connections with \
             some to spare: raise `--rate` or `--window`",
            Span(*window),
            job.scenario.connections
        );
    }
    if *window * 2 > plan.duration().saturating_sub(job.scenario.warmup) {
        bail!("the run holds less than two windows of {}: raise `--duration` or lower `--window`", Span(*window));
    }
    let canary = Canary::new().context("the system gives no randomness for a marker")?;
    job.marker = Some(canary.text().to_owned());
    job.window = *window;
    let directory = save::directory(job.out.as_deref(), &job.scenario.name)?;
    let turn = job.turn("compliance with Điều 7");
    let measurement = job.measure(&turn)?;
    let mut places: Vec<PathBuf> = search.clone();
    places.extend(job.probe.processes().iter().flat_map(|pid| open_files(*pid)));
    places.sort();
    places.dedup();
    eprintln!("looking for the marker in {} places", places.len());
    let searched = canary.search(&places).context("the search for the payload's marker could not be made")?;
    let findings = Findings::of(&measurement, searched);
    let verdict = findings.verdict(&measurement);
    let outcomes = Outcomes { measurement, verdict, capacity: None, compliance: Some(findings), comparison: None };
    save::save(&outcomes, &directory, "run")?;
    for language in [Language::Vietnamese, Language::English] {
        let path = directory.join(format!("compliance.{}.html", language.tag()));
        save::write(&path, &report::compliance(&outcomes, language))?;
    }
    save::print(&outcomes, &directory);
    Ok(Some(outcomes.verdict.outcome))
}
