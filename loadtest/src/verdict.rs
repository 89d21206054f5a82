//! The verdict. A generator that could not keep its own promise has produced no result, whatever its numbers say.

use serde::{Deserialize, Serialize};

use crate::measurement::{Measurement, Times, at};
use crate::slo::{Judged, Point, Slo, show_micros};

/// Sending less than this share of what was offered makes a result invalid.
pub const KEPT_MIN: f64 = 0.99;

/// From this share of its threads' time on, the generator answers for what it measures: it reads answers late.
pub const BUSY_MAX: f64 = 0.9;

/// How a result is to be read; also the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Every criterion is met.
    Pass,
    /// The measurement is good, and a criterion is not met.
    CriterionFailed,
    /// Worse than the baseline.
    Regression,
    /// There is no result.
    Invalid,
}

impl Outcome {
    /// What the program ends with.
    pub fn exit_code(self) -> u8 {
        match self {
            Outcome::Pass => 0,
            Outcome::CriterionFailed => 2,
            Outcome::Regression => 3,
            Outcome::Invalid => 4,
        }
    }

    /// In capitals, for the first line of a report.
    pub fn label(self) -> &'static str {
        match self {
            Outcome::Pass => "PASS",
            Outcome::CriterionFailed => "CRITERION FAILED",
            Outcome::Regression => "REGRESSION",
            Outcome::Invalid => "INVALID",
        }
    }
}

/// The verdict and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Verdict {
    /// How to read it.
    pub outcome: Outcome,
    /// Why, in sentences.
    pub reasons: Vec<String>,
    /// Every criterion.
    pub criteria: Vec<Judged>,
}

impl Verdict {
    /// That there is no result. A criterion judged on numbers that mean nothing would be one more of them.
    pub fn invalid(reasons: Vec<String>, criteria: Vec<Judged>) -> Self {
        let unknown = |judged| Judged { observed: "no result".to_owned(), met: false, ..judged };
        Self { outcome: Outcome::Invalid, reasons, criteria: criteria.into_iter().map(unknown).collect() }
    }
}

/// Who is to blame for what was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// The generator itself: its numbers say nothing about the server.
    Generator(String),
    /// Every connection was waiting for the server.
    Connections(String),
    /// It was ended early, or what should have been watched was not.
    Incomplete(String),
}

impl Flaw {
    /// In words.
    pub fn text(&self) -> &str {
        let (Flaw::Generator(text) | Flaw::Connections(text) | Flaw::Incomplete(text)) = self;
        text
    }
}

/// What makes a measurement no result; empty when it is one.
pub fn flaws(measurement: &Measurement) -> Vec<Flaw> {
    let Measurement { conditions, measured } = measurement;
    let totals = measurement.totals();
    let mut flaws = Vec::new();
    if measured.interrupted {
        let (sent, planned) = (measured.sending.as_secs_f64(), measured.planned.as_secs_f64());
        flaws.push(Flaw::Incomplete(format!("it was ended after {sent:.1} s of {planned:.1} s")));
    }
    let counted = u64::from(measured.tally.abandoned > 0) + totals.expected + totals.unexpected;
    if counted == 0 {
        flaws.push(Flaw::Incomplete("no request was answered".to_owned()));
    }
    if !conditions.measured.is_empty() && measurement.usage().is_none() && measured.planned.as_secs() > 1 {
        let what = conditions.measured.join(", ");
        flaws.push(Flaw::Incomplete(format!("the measured processes ({what}) could not be watched to the end")));
    }
    let lag = measurement.times(Times::Lag);
    let late = at(&lag, Point::Percentile(99.0)).unwrap_or_default();
    if late > conditions.lag_limit_micros {
        flaws.push(Flaw::Generator(format!(
            "the generator sent too late: 99 % of requests within {} of when they could be sent, and {} is allowed; \
             give it more cores (`--workers`, another machine, `--shard`) or a lower rate",
            show_micros(late),
            show_micros(conditions.lag_limit_micros),
        )));
    }
    #[allow(clippy::cast_precision_loss, reason = "threads are few")]
    let threads_seconds = measured.sending.as_secs_f64() * conditions.workers as f64;
    let busy = if threads_seconds > 0.0 { measured.own_cpu / threads_seconds } else { 0.0 };
    // A closed loop goes as fast as it can, and is labelled for it.
    if busy > BUSY_MAX && !conditions.closed {
        flaws.push(Flaw::Generator(format!(
            "the generator's threads were busy for {:.0} % of the time, and {:.0} % is allowed: it read answers late; give \
             it more cores (`--workers`, another machine, `--shard`) or a lower rate",
            busy * 100.0,
            BUSY_MAX * 100.0,
        )));
    }
    let kept = measurement.kept();
    if kept < KEPT_MIN && !measured.interrupted {
        let (achieved, offered) = (measurement.achieved(), measurement.offered());
        let sent = format!(
            "{achieved:.1} of {offered:.1} requests per second were sent ({:.1} %, and 99 % is demanded)",
            kept * 100.0
        );
        let held_up = at(&lag, Point::Max).unwrap_or_default();
        flaws.push(if measurement.kept_without(held_up) >= KEPT_MIN {
            Flaw::Generator(format!(
                "{sent}: the generator was held up, by as much as {}; give it more cores (`--workers`, another machine, \
                 `--shard`) or a longer run",
                show_micros(held_up),
            ))
        } else {
            Flaw::Connections(format!(
                "{sent}: all {} connections were waiting for answers; the server is slower than the rate asks for, or it \
                 takes more `--connections`",
                conditions.connections,
            ))
        });
    }
    flaws
}

/// Judges a measurement by criteria.
pub fn judge(measurement: &Measurement, slos: &[Slo]) -> Verdict {
    let flaws = flaws(measurement);
    let criteria: Vec<Judged> = slos.iter().map(|slo| slo.judge(measurement)).collect();
    if !flaws.is_empty() {
        let reasons = flaws.iter().map(|flaw| flaw.text().to_owned()).collect();
        return Verdict::invalid(reasons, criteria);
    }
    let failed: Vec<String> = criteria
        .iter()
        .filter(|judged| !judged.met)
        .map(|judged| format!("`{}` is not met: {}", judged.criterion, judged.observed))
        .collect();
    let outcome = if failed.is_empty() { Outcome::Pass } else { Outcome::CriterionFailed };
    let reasons = if failed.is_empty() { vec![format!("all {} criteria are met", criteria.len())] } else { failed };
    Verdict { outcome, reasons, criteria }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::conditions::{Choices, Conditions};
    use crate::engine::{Measured, Tally};
    use crate::machine::Probe;
    use crate::scenario::Scenario;

    const SCENARIO: &str = "
name: s
connections: 1
load: {constant: {rate: 100/s, duration: 10s}}
requests: [{name: get, path: /, sign: none}]
";

    /// Ten seconds at 100/s, of which `sent` were sent, by a generator that used so much CPU.
    pub(crate) fn measurement(sent: u64, own_cpu: f64) -> Measurement {
        let scenario = Scenario::parse("s", SCENARIO).unwrap();
        let choices = Choices {
            command: Vec::new(),
            target: String::new(),
            shard: (0, 1),
            workers: 1,
            lag_limit: Duration::from_millis(10),
            window: Duration::from_secs(1),
        };
        let mut tally = Tally::new(1, 0);
        for kind in &mut tally.kinds {
            (kind.planned, kind.sent, kind.expected) = (1_000, sent, sent);
        }
        let ten = Duration::from_secs(10);
        let measured = Measured {
            started_unix: 0,
            planned: ten,
            sending: ten,
            tally,
            series: Vec::new(),
            interval: Duration::from_secs(1),
            samples: Vec::new(),
            own_cpu,
            own_resident_bytes: 0,
            interrupted: false,
            pulses_lost: 0,
        };
        Measurement { conditions: Conditions::new(&scenario, &choices, &Probe::default()), measured }
    }

    #[test]
    fn a_generator_is_believed_only_while_it_keeps_its_rate_and_has_time_to_spare() {
        assert_eq!(flaws(&measurement(1_000, 8.9)), []);
        assert_eq!(flaws(&measurement(991, 1.0)), []);
        assert!(matches!(flaws(&measurement(989, 1.0)).as_slice(), [Flaw::Connections(_)]));
        assert!(matches!(flaws(&measurement(1_000, 9.1)).as_slice(), [Flaw::Generator(_)]));
        assert_eq!(judge(&measurement(1_000, 9.1), &[]).outcome, Outcome::Invalid);
    }

    /// Found by ending a run of 20 s after 6 s: it said that 334.44 % of the rate had been sent.
    #[test]
    fn a_run_that_was_ended_early_has_kept_what_it_sent_of_what_was_due_by_then() {
        let mut ended = measurement(0, 1.0);
        ended.measured.interrupted = true;
        ended.measured.sending = Duration::from_secs(3);
        for kind in &mut ended.measured.tally.kinds {
            (kind.planned, kind.sent, kind.expected) = (300, 299, 299);
        }
        assert!((ended.kept() - 299.0 / 300.0).abs() < 1e-9, "{}", ended.kept());
        assert!((ended.offered() - 100.0).abs() < 1e-9, "{}", ended.offered());
        assert!(matches!(flaws(&ended).as_slice(), [Flaw::Incomplete(_)]));
        ended.measured.sending = Duration::ZERO;
        assert!(ended.kept() <= 1.0 && ended.offered().is_finite(), "{}", ended.offered());
    }

    #[test]
    fn sending_that_took_too_long_is_the_connections_doing_only_when_it_is_not_the_generators() {
        let took = |sent: u64, lag_micros: u64| {
            let mut measurement = measurement(sent, 1.0);
            measurement.measured.sending = Duration::from_millis(10_200);
            measurement.conditions.lag_limit_micros = 1e6;
            measurement.measured.tally.kinds[0].lag.record_n(50, sent - 1).unwrap();
            measurement.measured.tally.kinds[0].lag.record(lag_micros).unwrap();
            flaws(&measurement)
        };
        assert!(matches!(took(1_000, 150_000).as_slice(), [Flaw::Generator(_)]));
        assert!(matches!(took(1_000, 50_000).as_slice(), [Flaw::Connections(_)]));
        // What was never sent found no connection, however late the others were.
        assert!(matches!(took(980, 900_000).as_slice(), [Flaw::Connections(_)]));
    }
}
