//! The report as one HTML file: the verdict, the conditions, the criteria, then what was seen.

use lgsp_shared::refusal::Language;

use super::chart::{Axis, Chart, Series, Shape, draw};
use super::page::Page;
use super::usage::usage;
use crate::capacity::{Held, Search};
use crate::compare::{Comparison, Finding};
use crate::conditions::Conditions;
use crate::engine::Pulse;
use crate::measurement::{Measurement, Times};
use crate::record::{Outcomes, Quantiles, quantiles};
use crate::slo::show_micros;
use crate::verdict::{Outcome, Verdict};

/// Distances of the points on the percentile curve.
const CURVE_STEPS_PER_TEN: i32 = 20;
/// The curve ends at one in a million.
const CURVE_DECADES: i32 = 6;

/// Everything, as a page.
pub fn html(outcomes: &Outcomes) -> String {
    let Outcomes { measurement, verdict, capacity, compliance: _, comparison } = outcomes;
    let mut page = Page::new(Language::English, &format!("Load test: {}", measurement.conditions.scenario));
    page.verdict(verdict.outcome, verdict.outcome.label(), &verdict.reasons);
    conditions(&mut page, &measurement.conditions);
    criteria(&mut page, verdict);
    if let Some(search) = capacity {
        searched(&mut page, search);
    }
    if verdict.outcome == Outcome::Invalid {
        page.heading("Results");
        page.paragraph(
            "There is no result. What the generator did is below, so that the run can be made better; latencies and \
             rates of this run say nothing about the server and are not shown.",
        );
    } else {
        results(&mut page, measurement);
    }
    if let Some(comparison) = comparison {
        compared(&mut page, comparison);
    }
    generator(&mut page, measurement);
    repeating(&mut page, &measurement.conditions);
    page.finish()
}

fn criteria(page: &mut Page, verdict: &Verdict) {
    page.heading("Criteria");
    let rows: Vec<_> = verdict
        .criteria
        .iter()
        .map(|judged| vec![judged.criterion.clone(), judged.observed.clone(), mark(judged.met)])
        .collect();
    page.table(&["Criterion", "Observed", "Met"], &rows);
}

pub(super) fn mark(met: bool) -> String {
    if met { "✓" } else { "✗" }.to_owned()
}

fn results(page: &mut Page, measurement: &Measurement) {
    page.heading("Results");
    let row = |name: &str, times| {
        let Quantiles { p50, p90, p99, p99_9, p99_99, max, mean } = quantiles(&measurement.times(times));
        let values = [mean, p50, p90, p99, p99_9, p99_99, max].map(show_micros);
        std::iter::once(name.to_owned()).chain(values).collect::<Vec<_>>()
    };
    let rows =
        [row("Response, from the planned instant", Times::Response), row("Service, from sending", Times::Service)];
    page.table(&["Latency", "mean", "p50", "p90", "p99", "p99.9", "p99.99", "max"], &rows);
    kinds(page, measurement);
    steps(page, measurement);
    page.drawing(&draw(&rates(measurement)));
    page.drawing(&draw(&percentiles(measurement)));
    page.drawing(&draw(&curve(measurement)));
    usage(page, measurement, Language::English);
}

fn kinds(page: &mut Page, measurement: &Measurement) {
    let rows: Vec<_> = measurement
        .measured
        .tally
        .kinds
        .iter()
        .zip(&measurement.conditions.requests)
        .map(|(kind, asked)| {
            let unexpected: u64 = kind.unexpected.values().sum();
            let counts = [kind.planned, kind.sent, kind.expected, unexpected].map(|count| count.to_string());
            let p99 = show_micros(quantiles(&kind.response).p99);
            std::iter::once(asked.name.clone()).chain(counts).chain([p99]).collect()
        })
        .collect();
    page.table(&["Request", "planned", "sent", "as expected", "otherwise", "p99"], &rows);
    let endings = measurement.endings();
    if endings.is_empty() {
        page.paragraph("Every answer was the expected one.");
    } else {
        let rows: Vec<_> = endings.iter().map(|(label, count)| vec![label.clone(), count.to_string()]).collect();
        page.table(&["Unexpected ending", "count"], &rows);
    }
}

fn steps(page: &mut Page, measurement: &Measurement) {
    if measurement.conditions.steps.is_empty() {
        return;
    }
    let tallies = measurement.conditions.steps.iter().zip(&measurement.measured.tally.steps);
    let rows: Vec<_> = tallies
        .map(|(name, step)| {
            let unexpected: u64 = step.unexpected.values().sum();
            let counts = [step.planned, step.sent, step.expected, unexpected].map(|count| count.to_string());
            let (response, service) = (quantiles(&step.response), quantiles(&step.service));
            let times = [response.p50, response.p99, service.p99, quantiles(&step.lag).p99].map(show_micros);
            std::iter::once(name.clone()).chain(counts).chain(times).collect()
        })
        .collect();
    let heads = ["Step", "planned", "sent", "as expected", "otherwise", "p50", "p99", "service p99", "lag p99"];
    page.table(&heads, &rows);
}

fn seconds(value: f64) -> String {
    format!("{value:.0}")
}

fn time_axis() -> Axis {
    Axis { label: "seconds", log: false, show: seconds }
}

fn line(name: &str, colour: u8, shape: Shape, points: Vec<(f64, f64)>) -> Series {
    Series { name: name.to_owned(), colour, shape, points }
}

/// A value for each interval, at its middle.
#[allow(clippy::cast_precision_loss, reason = "intervals are few")]
fn over_time(measurement: &Measurement, value: impl Fn(&Pulse, f64) -> f64) -> Vec<(f64, f64)> {
    let interval = measurement.measured.interval.as_secs_f64();
    let point = |pulse: &Pulse| ((pulse.index as f64 + 0.5) * interval, value(pulse, interval));
    measurement.measured.series.iter().map(point).collect()
}

#[allow(clippy::cast_precision_loss, reason = "counts of one interval")]
fn rates(measurement: &Measurement) -> Chart {
    let mut series = vec![
        line("sent", 1, Shape::Line, over_time(measurement, |pulse, interval| pulse.sent as f64 / interval)),
        line(
            "not as expected",
            2,
            Shape::Line,
            over_time(measurement, |pulse, interval| pulse.unexpected as f64 / interval),
        ),
    ];
    if !measurement.conditions.closed {
        series.insert(0, line("offered", 4, Shape::Dashes, over_time(measurement, |pulse, _| pulse.offered)));
    }
    Chart {
        title: "Offered and achieved".to_owned(),
        about: format!("{:.1} per second offered, {:.1} achieved", measurement.offered(), measurement.achieved()),
        x: time_axis(),
        y: Axis { label: "requests per second", log: false, show: seconds },
        series,
    }
}

fn percentiles(measurement: &Measurement) -> Chart {
    #[allow(clippy::cast_precision_loss, reason = "microseconds are far below 2^52")]
    let at =
        |quantile: f64| over_time(measurement, |pulse, _| pulse.response.value_at_quantile(quantile).max(1) as f64);
    let (p50, p99) = (at(0.5), at(0.99));
    let lower = p50.iter().map(|point| point.1).collect();
    let whole = quantiles(&measurement.times(Times::Response));
    Chart {
        title: "Response over time".to_owned(),
        about: format!("p50 {}, p99 {} over the whole run", show_micros(whole.p50), show_micros(whole.p99)),
        x: time_axis(),
        y: Axis { label: "from the planned instant", log: true, show: show_micros },
        series: vec![
            line("p50 to p99", 1, Shape::Band(lower), p99.clone()),
            line("p50", 1, Shape::Line, p50),
            line("p99", 3, Shape::Line, p99),
            line("max", 2, Shape::Dashes, at(1.0)),
        ],
    }
}

/// Latency against how rare it is: HdrHistogram's own view.
fn curve(measurement: &Measurement) -> Chart {
    let points = |times| {
        let times = measurement.times(times);
        let steps = 0..=CURVE_DECADES * CURVE_STEPS_PER_TEN;
        let rarity = steps.map(|step| 10_f64.powf(f64::from(step) / f64::from(CURVE_STEPS_PER_TEN)));
        #[allow(clippy::cast_precision_loss, reason = "requests are far fewer than 2^52")]
        let seen = rarity.take_while(|rarity| *rarity <= times.len() as f64);
        #[allow(clippy::cast_precision_loss, reason = "microseconds are far below 2^52")]
        seen.map(|rarity| (rarity, times.value_at_quantile(1.0 - 1.0 / rarity).max(1) as f64)).collect()
    };
    let percentile = |rarity: f64| {
        let digits = (rarity.log10().round() - 2.0).max(0.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 4 digits")]
        let digits = digits as usize;
        format!("{:.*} %", digits, 100.0 - 100.0 / rarity)
    };
    Chart {
        title: "Percentiles".to_owned(),
        about: "latency against percentile, on a scale that shows the rare ones".to_owned(),
        x: Axis { label: "percentile", log: true, show: percentile },
        y: Axis { label: "latency", log: true, show: show_micros },
        series: vec![
            line("response, from the planned instant", 1, Shape::Line, points(Times::Response)),
            line("service, from sending", 2, Shape::Dashes, points(Times::Service)),
        ],
    }
}

#[allow(clippy::cast_precision_loss, reason = "trials are few")]
fn searched(page: &mut Page, search: &Search) {
    page.heading("Capacity search");
    page.facts(&[("What stands in the way of more", search.limiter.clone())]);
    let of = |wanted: fn(&Held) -> bool| {
        let numbered = search.trials.iter().enumerate().filter(move |(_, trial)| wanted(&trial.held));
        numbered.map(|(at, trial)| (at as f64 + 1.0, trial.rate)).collect::<Vec<_>>()
    };
    let all = search.trials.iter().enumerate().map(|(at, trial)| (at as f64 + 1.0, trial.rate)).collect();
    let mut series = vec![
        line("order of trials", 4, Shape::Dashes, all),
        line("held", 5, Shape::Dots, of(|held| matches!(held, Held::Yes))),
        line("did not hold", 2, Shape::Dots, of(|held| matches!(held, Held::No(_)))),
        line("spoiled by the generator", 4, Shape::Dots, of(|held| matches!(held, Held::Unknown(_)))),
    ];
    series.retain(|series| !series.points.is_empty());
    let answer = search.answer.filter(|_| search.confirmed && !search.limited_by_generator);
    if let Some(answer) = answer {
        let ends = vec![(1.0, answer), (search.trials.len() as f64, answer)];
        series.push(line(&format!("capacity {answer:.1}/s"), 5, Shape::Line, ends));
    }
    let words = answer.map_or_else(|| "no answer".to_owned(), |answer| format!("the answer is {answer:.1} per second"));
    page.drawing(&draw(&Chart {
        title: "Rates tried".to_owned(),
        about: format!("{} trials; {words}", search.trials.len()),
        x: Axis { label: "trial", log: false, show: seconds },
        y: Axis { label: "requests per second", log: false, show: seconds },
        series,
    }));
    let rows: Vec<_> = search
        .trials
        .iter()
        .enumerate()
        .map(|(at, trial)| {
            let held = match &trial.held {
                Held::Yes => "✓",
                Held::No(_) => "✗",
                Held::Unknown(_) => "?",
            };
            let cpu = trial.cpu_percent.map_or_else(|| "—".to_owned(), |cpu| format!("{cpu:.0} %"));
            vec![
                format!("{} {}", at + 1, trial.phase.label()),
                format!("{:.1}/s", trial.rate),
                show_micros(trial.p99_micros),
                format!("{:.2} %", trial.errors_percent),
                cpu,
                held.to_owned(),
            ]
        })
        .collect();
    page.table(&["Trial", "rate", "99th", "errors", "CPU", "held"], &rows);
}

fn compared(page: &mut Page, comparison: &Comparison) {
    let Comparison { baseline_runs, candidate_runs, baseline, tolerance_percent, changes } = comparison;
    page.heading("Against the baseline");
    page.paragraph(&format!(
        "{candidate_runs} runs against {baseline_runs} of {baseline}. A difference counts when the 99 % interval of the \
         ratio (Welch, on logarithms, from the spread between runs) lies beyond {tolerance_percent} %."
    ));
    let rows: Vec<_> = changes
        .iter()
        .map(|change| {
            let finding = match change.finding {
                Finding::Equal => "no difference shown",
                Finding::Worse => "worse",
                Finding::Better => "better",
            };
            vec![
                change.metric.clone(),
                change.baseline.clone(),
                change.candidate.clone(),
                format!("×{:.3}", change.ratio),
                format!("{:.3} to {:.3}", change.low, change.high),
                finding.to_owned(),
            ]
        })
        .collect();
    page.table(&["Metric", "baseline", "now", "ratio", "interval", "finding"], &rows);
}

fn generator(page: &mut Page, measurement: &Measurement) {
    page.heading("The generator");
    let (totals, tally) = (measurement.totals(), &measurement.measured.tally);
    let lag = quantiles(&measurement.times(Times::Lag));
    let sending = measurement.measured.sending.as_secs_f64().max(f64::MIN_POSITIVE);
    let kept = if measurement.conditions.closed {
        "closed loop: nothing was promised".to_owned()
    } else {
        format!(
            "{} of {} planned requests sent, {:.2} % of the rate",
            totals.sent,
            totals.planned,
            measurement.kept() * 100.0
        )
    };
    let signing = if tally.signing.is_empty() {
        "none".to_owned()
    } else {
        format!("{} signatures, {:.1} µs each on average", tally.signing.len(), tally.signing.mean() / 1e3)
    };
    page.facts(&[
        ("Promise kept", kept),
        ("Send lag", format!("half of all within {}, 99 % within {}", show_micros(lag.p50), show_micros(lag.p99))),
        ("Signing", signing),
        ("Own CPU", format!("{:.2} cores", measurement.measured.own_cpu / sending)),
        ("Own memory", format!("{} MiB at most", measurement.measured.own_resident_bytes >> 20)),
        ("Connections opened again", tally.reconnects.to_string()),
    ]);
}

/// What has to be known to read the numbers.
fn conditions(page: &mut Page, conditions: &Conditions) {
    page.heading("Conditions");
    let memory = conditions.machine.memory_bytes >> 20;
    let machine = &conditions.machine;
    let model = if conditions.closed { "closed loop (labelled: hides waiting)" } else { "open: sent when planned" };
    let threads =
        if conditions.workers == 1 { "1 thread".to_owned() } else { format!("{} threads", conditions.workers) };
    page.facts(&[
        ("Started", conditions.started.clone()),
        ("Target", conditions.target.clone()),
        ("Load", format!("{}; {model}", conditions.load)),
        ("Connections", format!("{} on {threads} of the generator", conditions.connections)),
        ("Generator's machine", format!("{}, {} cores, {memory} MiB, {}", machine.cpu, machine.cores, machine.system)),
        (
            "Measured processes",
            if conditions.measured.is_empty() { "none".to_owned() } else { conditions.measured.join(", ") },
        ),
    ]);
}

/// What it takes to do it again.
fn repeating(page: &mut Page, conditions: &Conditions) {
    page.heading("To repeat it");
    let build = if conditions.unoptimised { " (built without optimisation)" } else { "" };
    let mut facts = vec![
        ("Warm-up, time for an answer", format!("{} s, {} s", conditions.warmup_seconds, conditions.timeout_seconds)),
        (
            "CPU share",
            "CPU time of the measured processes and their children, divided by time and by the cores they may use"
                .to_owned(),
        ),
        ("Tool", format!("{}{build}", conditions.tool)),
        ("Command", conditions.command.join(" ")),
        ("Scenario", format!("{} (SHA-256 {})", conditions.about, conditions.scenario_sha256)),
    ];
    if conditions.shards.len() > 1 || conditions.shard.1 > 1 {
        facts.push((
            "Shards",
            format!(
                "{:?} of {}",
                conditions.shards,
                conditions.shards.len().max(usize::try_from(conditions.shard.1).unwrap_or_default())
            ),
        ));
    }
    page.facts(&facts);
    let rows: Vec<_> = conditions.requests.iter().map(|asked| vec![asked.name.clone(), asked.what.clone()]).collect();
    page.table(&["Request", "what is asked and expected"], &rows);
}
