//! The report as text.

use std::fmt::Write;

use crate::capacity::Search;
use crate::conditions::Conditions;
use crate::measurement::{Measurement, Times, Usage};
use crate::record::{Outcomes, Quantiles, quantiles};
use crate::slo::show_micros;
use crate::verdict::{Outcome, Verdict};

/// Everything, for a terminal.
pub fn text(outcomes: &Outcomes) -> String {
    let Outcomes { measurement, verdict, capacity, compliance: _, comparison } = outcomes;
    let mut out = String::new();
    head(&mut out, verdict);
    if let Some(search) = capacity {
        searched(&mut out, search);
    }
    conditions(&mut out, &measurement.conditions);
    generator(&mut out, measurement);
    if verdict.outcome == Outcome::Invalid {
        line(&mut out, "\nThere is no result: latencies and rates of this run say nothing about the server.");
    } else {
        results(&mut out, measurement);
    }
    if let Some(comparison) = comparison {
        line(&mut out, &format!("\nagainst the baseline ({})", comparison.baseline));
        for change in &comparison.changes {
            line(&mut out, &format!("  {:?}: {}", change.finding, change.text()));
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to memory does not fail.
    let _ = writeln!(out, "{text}");
}

fn head(out: &mut String, verdict: &Verdict) {
    line(out, verdict.outcome.label());
    for reason in &verdict.reasons {
        line(out, &format!("  {reason}"));
    }
    for judged in &verdict.criteria {
        let mark = if judged.met { "✓" } else { "✗" };
        line(out, &format!("  {mark} {}  {}", judged.criterion, judged.observed));
    }
}

fn searched(out: &mut String, search: &Search) {
    if let Some(answer) = search.answer.filter(|_| search.confirmed && !search.limited_by_generator) {
        line(out, &format!("\ncapacity {answer:.1}/s"));
    }
    line(out, &format!("limit    {}", search.limiter));
    line(out, &format!("trials   {}", search.trials.len()));
}

fn conditions(out: &mut String, conditions: &Conditions) {
    let Conditions { tool, unoptimised, machine, target, scenario, load, closed, connections, workers, .. } =
        conditions;
    line(out, &format!("\n{scenario} on {target}: {load}, {connections} connections"));
    if *closed {
        line(out, "  CLOSED LOOP: waiting is hidden; not comparable with an open load");
    }
    let build = if *unoptimised { ", built without optimisation" } else { "" };
    let threads = if *workers == 1 { "1 thread".to_owned() } else { format!("{workers} threads") };
    line(out, &format!("  {tool}{build}, {threads}; {}, {} cores, {}", machine.cpu, machine.cores, machine.system));
    for asked in &conditions.requests {
        line(out, &format!("  {}: {}", asked.name, asked.what));
    }
}

fn generator(out: &mut String, measurement: &Measurement) {
    let (totals, tally) = (measurement.totals(), &measurement.measured.tally);
    let lag = quantiles(&measurement.times(Times::Lag));
    let sending = measurement.measured.sending.as_secs_f64().max(f64::MIN_POSITIVE);
    line(out, "\nthe generator");
    if measurement.conditions.closed {
        line(out, &format!("  sent {} in a closed loop", totals.sent));
    } else {
        line(
            out,
            &format!(
                "  sent {} of {} planned ({:.2} % of the offered rate)",
                totals.sent,
                totals.planned,
                measurement.kept() * 100.0
            ),
        );
    }
    line(
        out,
        &format!("  send lag p50 {} p99 {} max {}", show_micros(lag.p50), show_micros(lag.p99), show_micros(lag.max)),
    );
    let cores = measurement.measured.own_cpu / sending;
    let memory = measurement.measured.own_resident_bytes >> 20;
    line(out, &format!("  {cores:.2} cores and {memory} MiB of its own, {} reconnects", tally.reconnects));
    if !tally.signing.is_empty() {
        line(out, &format!("  {} signatures, {:.1} µs each", tally.signing.len(), tally.signing.mean() / 1e3));
    }
}

fn results(out: &mut String, measurement: &Measurement) {
    line(out, "\nresults");
    line(out, &format!("  achieved {:.1}/s of {:.1}/s offered", measurement.achieved(), measurement.offered()));
    line(out, "               p50        p90        p99      p99.9     p99.99        max");
    for (name, times) in [("response", Times::Response), ("service", Times::Service)] {
        let Quantiles { p50, p90, p99, p99_9, p99_99, max, mean: _ } = quantiles(&measurement.times(times));
        let points = [p50, p90, p99, p99_9, p99_99, max].map(|micros| format!("{:>10}", show_micros(micros))).join(" ");
        line(out, &format!("  {name:<8} {points}"));
    }
    if let Some(Usage { cpu_percent, cpu_percent_max, cpu_micros_per_exchange, resident_bytes_max }) =
        measurement.usage()
    {
        line(
            out,
            &format!(
                "  measured processes: CPU {cpu_percent:.1} % of {} cores on average, {cpu_percent_max:.1} % at most, \
             {cpu_micros_per_exchange:.1} µs per exchange; at most {:.1} MiB resident",
                measurement.conditions.cores,
                resident_bytes_max as f64 / 1_048_576.0
            ),
        );
    }
    for (name, step) in measurement.conditions.steps.iter().zip(&measurement.measured.tally.steps) {
        let (response, service, lag) = (quantiles(&step.response), quantiles(&step.service), quantiles(&step.lag));
        let [p50, p99, service, lag] = [response.p50, response.p99, service.p99, lag.p99].map(show_micros);
        let counts = format!("{} planned, {} sent, {} as expected", step.planned, step.sent, step.expected);
        line(
            out,
            &format!("  {name}: {counts}; response p50 {p50} p99 {p99}, service p99 {service}, send lag p99 {lag}"),
        );
    }
    for (kind, asked) in measurement.measured.tally.kinds.iter().zip(&measurement.conditions.requests) {
        let unexpected =
            kind.unexpected.iter().map(|(label, count)| format!(", {count} × {label}")).collect::<String>();
        line(out, &format!("  {}: {} planned, {} as expected{unexpected}", asked.name, kind.planned, kind.expected));
    }
}
