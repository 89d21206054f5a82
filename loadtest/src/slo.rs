//! Criteria: `p99<50ms`, `errors<0.1%`, `sut_cpu<75%`. A small strict language: what it does not know it refuses, with
//! what it does know.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::measurement::Measurement;
use crate::scenario::{Rate, Size, Span};

#[cfg(test)]
mod tests;

/// The longest criterion, in bytes.
const TEXT_BYTES_MAX: usize = 64;

/// One criterion.
#[derive(Debug, Clone, PartialEq)]
pub struct Slo {
    /// What is looked at.
    pub metric: Metric,
    /// How it is compared.
    pub relation: Relation,
    /// With what, in the metric's base unit.
    pub bound: f64,
    text: String,
}

/// What a criterion looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Metric {
    /// Time from the planned instant to the whole answer, in microseconds.
    Response(Point),
    /// Time from sending to the whole answer, in microseconds.
    Service(Point),
    /// How late the generator sent, in microseconds.
    Lag(Point),
    /// The longest time from the planned instant to the first byte of an answer, in microseconds.
    FirstByte,
    /// Requests that did not end as expected, in per cent of those planned.
    Errors,
    /// Requests answered as expected, per second.
    Rate,
    /// CPU of the measured processes, in per cent of the cores they may use, on average.
    SutCpu,
    /// The most memory the measured processes held, in bytes.
    SutMemory,
}

/// A point of a distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Point {
    /// So many per cent lie at or below it.
    Percentile(f64),
    /// The mean.
    Mean,
    /// The largest.
    Max,
}

/// How a value is compared with the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `>`
    Above,
    /// `>=`
    AtLeast,
}

/// A criterion and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Judged {
    /// The criterion as written.
    pub criterion: String,
    /// What was found, as people read it.
    pub observed: String,
    /// Whether it is met.
    pub met: bool,
}

/// Why a text is no criterion.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SloError {
    /// No comparison in it.
    #[error("`{0}` is not a criterion: write it as `p99<50ms`, with one of `<`, `<=`, `>` and `>=`")]
    NoRelation(String),
    /// Nothing of that name.
    #[error(
        "`{0}` cannot be measured: use `p50` to `p99.999`, `mean` or `max` (also as `service.p99` and `lag.p99`), \
         `first_byte`, `errors`, `rate`, `sut_cpu` or `sut_memory`"
    )]
    Metric(String),
    /// A bound of another kind.
    #[error("`{text}`: {message}")]
    Bound {
        /// The criterion.
        text: String,
        /// What is wrong with the bound.
        message: String,
    },
}

impl FromStr for Slo {
    type Err = SloError;

    fn from_str(text: &str) -> Result<Self, SloError> {
        let text = text.trim();
        let no_relation = || SloError::NoRelation(text.chars().take(TEXT_BYTES_MAX).collect());
        let at = text.find(['<', '>']).filter(|_| text.len() <= TEXT_BYTES_MAX).ok_or_else(no_relation)?;
        let (name, rest) = text.split_at(at);
        let (relation, bound) = match rest.strip_prefix("<=").or_else(|| rest.strip_prefix(">=")) {
            Some(bound) if rest.starts_with('<') => (Relation::AtMost, bound),
            Some(bound) => (Relation::AtLeast, bound),
            None if rest.starts_with('<') => (Relation::Below, rest.get(1..).unwrap_or_default()),
            None => (Relation::Above, rest.get(1..).unwrap_or_default()),
        };
        let metric = Metric::named(name.trim()).ok_or_else(|| SloError::Metric(name.trim().to_owned()))?;
        let bound = metric.bound(bound.trim()).map_err(|message| SloError::Bound { text: text.to_owned(), message })?;
        Ok(Self { metric, relation, bound, text: text.to_owned() })
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Metric {
    fn named(name: &str) -> Option<Self> {
        if let Some(point) = name.strip_prefix("service.") {
            return Point::named(point).map(Metric::Service);
        }
        if let Some(point) = name.strip_prefix("lag.") {
            return Point::named(point).map(Metric::Lag);
        }
        match name {
            "first_byte" => Some(Metric::FirstByte),
            "errors" => Some(Metric::Errors),
            "rate" => Some(Metric::Rate),
            "sut_cpu" => Some(Metric::SutCpu),
            "sut_memory" => Some(Metric::SutMemory),
            _ => Point::named(name).map(Metric::Response),
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "bounds people write are far below 2^52")]
    fn bound(self, text: &str) -> Result<f64, String> {
        match self {
            Metric::Response(_) | Metric::Service(_) | Metric::Lag(_) | Metric::FirstByte => {
                text.parse::<Span>().map(|Span(span)| span.as_secs_f64() * 1e6)
            }
            Metric::Errors | Metric::SutCpu => {
                let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
                let wrong = || format!("`{text}` is not a share: write it as `0.1%`");
                number.filter(|value| (0.0..=100.0).contains(value)).ok_or_else(wrong)
            }
            Metric::Rate => text.parse::<Rate>().map(|Rate(rate)| rate),
            Metric::SutMemory => text.parse::<Size>().map(|Size(bytes)| bytes as f64),
        }
    }

    /// Whether it takes knowing the measured processes.
    pub fn needs_processes(self) -> bool {
        matches!(self, Metric::SutCpu | Metric::SutMemory)
    }

    /// A value of it, for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Metric::Response(_) | Metric::Service(_) | Metric::Lag(_) | Metric::FirstByte => show_micros(value),
            Metric::Errors => format!("{value:.3} %"),
            Metric::SutCpu => format!("{value:.1} %"),
            Metric::Rate => format!("{value:.1}/s"),
            Metric::SutMemory => format!("{:.1} MiB", value / 1_048_576.0),
        }
    }
}

impl Point {
    fn named(name: &str) -> Option<Self> {
        match name {
            "mean" => Some(Point::Mean),
            "max" => Some(Point::Max),
            _ => {
                let percent: f64 = name.strip_prefix('p')?.parse().ok()?;
                (percent > 0.0 && percent <= 99.999).then_some(Point::Percentile(percent))
            }
        }
    }
}

impl Slo {
    /// Whether `value` meets it.
    pub fn is_met_by(&self, value: f64) -> bool {
        match self.relation {
            Relation::Below => value < self.bound,
            Relation::AtMost => value <= self.bound,
            Relation::Above => value > self.bound,
            Relation::AtLeast => value >= self.bound,
        }
    }

    /// Compares it with what was measured; what could not be measured does not meet it.
    pub fn judge(&self, measurement: &Measurement) -> Judged {
        let value = measurement.value(self.metric);
        let observed = value.map_or_else(|| "not measured".to_owned(), |value| self.metric.show(value));
        Judged { criterion: self.text.clone(), observed, met: value.is_some_and(|value| self.is_met_by(value)) }
    }
}

/// Microseconds, in the unit people would use.
pub fn show_micros(micros: f64) -> String {
    match micros {
        micros if micros < 1_000.0 => format!("{micros:.0} µs"),
        micros if micros < 10_000.0 => format!("{:.2} ms", micros / 1e3),
        micros if micros < 1_000_000.0 => format!("{:.1} ms", micros / 1e3),
        micros => format!("{:.2} s", micros / 1e6),
    }
}
