//! `run.json`: a result as a file, versioned, complete enough to be reported, merged and compared again. Never a secret.
//!
//! Histograms are in the standard compressed form of HdrHistogram (V2, base64), which its tools in other languages read.
//! What a field means is said beside it; `schema` changes when one changes its meaning or goes away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};
use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

use crate::capacity::Search;
use crate::compare::Comparison;
use crate::compliance::Findings;
use crate::conditions::Conditions;
use crate::engine::{KindTally, Measured, Pulse, Tally};
use crate::machine::Sample;
use crate::measurement::{Measurement, Times, at};
use crate::slo::Point;
use crate::verdict::{Outcome, Verdict};

/// The form of the file.
pub const SCHEMA: &str = "lgsp-loadtest/1";
/// The largest file that is read: an hour at one point a second takes about 5 MiB.
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: String,
    /// How it was made.
    pub conditions: Conditions,
    /// How to read it.
    pub verdict: Verdict,
    /// The result in a few numbers; absent when there is no result.
    pub summary: Option<Summary>,
    /// How the generator did.
    pub generator: Generator,
    /// Each kind of request.
    pub kinds: Vec<KindRecord>,
    /// The same requests by the step of the plan they belong to; empty where there is only one.
    #[serde(default)]
    pub steps: Vec<KindRecord>,
    /// Seconds of one point of `series`.
    pub interval_seconds: u64,
    /// The time axis.
    pub series: Vec<PointRecord>,
    /// The measured processes on the same axis.
    pub samples: Vec<Sample>,
    /// For each window, connections that completed an exchange in it.
    pub active_connections: Vec<u64>,
    /// The search, when this is what was asked for.
    #[serde(default)]
    pub capacity: Option<Search>,
    /// The findings on the regulation, when this is what was asked for.
    #[serde(default)]
    pub compliance: Option<Findings>,
    /// Against a baseline, when there was one.
    #[serde(default)]
    pub comparison: Option<Comparison>,
}

/// The result in a few numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    /// Requests per second that were planned; 0 in a closed loop.
    pub offered_per_second: f64,
    /// Requests per second that were sent.
    pub achieved_per_second: f64,
    /// Requests that did not end as expected, in per cent of those planned.
    pub errors_percent: f64,
    /// Microseconds from the planned instant to the whole answer.
    pub response_micros: Quantiles,
    /// Microseconds from sending to the whole answer.
    pub service_micros: Quantiles,
    /// CPU of the measured processes in per cent of the cores they may use, on average.
    pub cpu_percent: Option<f64>,
    /// CPU microseconds of the measured processes per exchange.
    pub cpu_micros_per_exchange: Option<f64>,
    /// The most memory of the measured processes.
    pub resident_bytes_max: Option<u64>,
}

/// Points of a distribution.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p99_9: f64,
    pub p99_99: f64,
    pub max: f64,
    pub mean: f64,
}

/// How the generator did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generator {
    /// Seconds that were planned, without the warm-up.
    pub planned_seconds: f64,
    /// Seconds until the last request was sent.
    pub sending_seconds: f64,
    /// Whether someone ended it early.
    pub interrupted: bool,
    /// Requests under way when it was ended early.
    pub abandoned: u64,
    /// Connections opened again.
    pub reconnects: u64,
    /// CPU seconds of the generator.
    pub cpu_seconds: f64,
    /// The most memory it held, in bytes.
    #[serde(default)]
    pub resident_bytes_max: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Nanoseconds per signature, on average.
    pub signing_nanos_mean: f64,
    /// Points missing in the series.
    pub points_lost: u64,
    /// Nanoseconds per signature.
    pub signing_histogram: String,
}

/// One kind of request, or one step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KindRecord {
    /// Its name.
    pub name: String,
    /// Planned.
    pub planned: u64,
    /// Sent.
    pub sent: u64,
    /// Ended as expected.
    pub expected: u64,
    /// Ended otherwise, by label.
    pub unexpected: BTreeMap<String, u64>,
    /// The longest time from the planned instant to the first byte, in microseconds.
    pub first_byte_micros_max: u64,
    /// Bytes of bodies sent.
    pub bytes_up: u64,
    /// Bytes of bodies received.
    pub bytes_down: u64,
    /// Microseconds from the planned instant.
    pub response_histogram: String,
    /// Microseconds from sending.
    pub service_histogram: String,
    /// Microseconds by which the generator was late.
    pub lag_histogram: String,
}

/// One interval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PointRecord {
    /// From 0.
    pub index: u64,
    /// Requests per second that were planned in it.
    pub offered: f64,
    /// Sent in it.
    pub sent: u64,
    /// Ended in it.
    pub answered: u64,
    /// Of these, not as expected.
    pub unexpected: u64,
    /// Bytes of bodies both ways.
    pub bytes: u64,
    /// Microseconds from the planned instant.
    pub response_histogram: String,
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// It cannot be read or written.
    #[error("`{}` cannot be {what}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Not a result.
    #[error("`{}` is not a result of this tool: {message}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
}

/// Everything known after a run.
#[derive(Debug)]
pub struct Outcomes {
    /// What was measured.
    pub measurement: Measurement,
    /// How to read it.
    pub verdict: Verdict,
    /// The search, when this is what was asked for.
    pub capacity: Option<Search>,
    /// The findings on the regulation, when this is what was asked for.
    pub compliance: Option<Findings>,
    /// Against a baseline, when there was one.
    pub comparison: Option<Comparison>,
}

impl Record {
    /// Everything as a file.
    pub fn of(outcomes: &Outcomes) -> Self {
        let Outcomes { measurement, verdict, capacity, compliance, comparison } = outcomes;
        let Measurement { conditions, measured } = measurement;
        let names = conditions.requests.iter().map(|asked| asked.name.as_str());
        let tally = &measured.tally;
        Self {
            schema: SCHEMA.to_owned(),
            conditions: conditions.clone(),
            verdict: verdict.clone(),
            summary: (verdict.outcome != Outcome::Invalid).then(|| summary(measurement)),
            generator: Generator {
                planned_seconds: measured.planned.as_secs_f64(),
                sending_seconds: measured.sending.as_secs_f64(),
                interrupted: measured.interrupted,
                abandoned: tally.abandoned,
                reconnects: tally.reconnects,
                cpu_seconds: measured.own_cpu,
                resident_bytes_max: measured.own_resident_bytes,
                signatures: tally.signing.len(),
                signing_nanos_mean: if tally.signing.is_empty() { 0.0 } else { tally.signing.mean() },
                points_lost: measured.pulses_lost,
                signing_histogram: encode(&tally.signing),
            },
            kinds: names.zip(&tally.kinds).map(|(name, kind)| kind_record(name, kind)).collect(),
            steps: conditions.steps.iter().zip(&tally.steps).map(|(name, step)| kind_record(name, step)).collect(),
            interval_seconds: measured.interval.as_secs(),
            series: measured.series.iter().map(point_record).collect(),
            samples: measured.samples.clone(),
            active_connections: tally.active.clone(),
            capacity: capacity.clone(),
            compliance: compliance.clone(),
            comparison: comparison.clone(),
        }
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, RecordError> {
        let io = |source| RecordError::Io { path: path.to_owned(), what: "read", source };
        let malformed = |message: String| RecordError::Malformed { path: path.to_owned(), message };
        if std::fs::metadata(path).map_err(io)?.len() > FILE_BYTES_MAX {
            return Err(malformed(format!("it is longer than {FILE_BYTES_MAX} bytes")));
        }
        let value: serde_json::Value =
            serde_json::from_slice(&std::fs::read(path).map_err(io)?).map_err(|error| malformed(error.to_string()))?;
        match value.get("schema").and_then(serde_json::Value::as_str) {
            Some(SCHEMA) => {}
            Some(other) => return Err(malformed(format!("its form is `{other}`, and this version reads `{SCHEMA}`"))),
            None => return Err(malformed("it has no `schema`".to_owned())),
        }
        serde_path_to_error::deserialize(value)
            .map_err(|error| malformed(format!("`{}`: {}", error.path(), error.inner())))
    }

    /// Writes the file whole, or not at all.
    pub fn save(&self, path: &Path) -> Result<(), RecordError> {
        let text = serde_json::to_vec_pretty(self).map_err(std::io::Error::from);
        let part = path.with_extension("part");
        text.and_then(|text| std::fs::write(&part, text))
            .and_then(|()| std::fs::rename(&part, path))
            .map_err(|source| RecordError::Io { path: path.to_owned(), what: "written", source })
    }

    /// What was measured, as it was before it became a file.
    pub fn measurement(&self, path: &Path) -> Result<Measurement, RecordError> {
        let read = |text: &str| {
            decode(text).ok_or_else(|| RecordError::Malformed {
                path: path.to_owned(),
                message: "a histogram in it cannot be read".to_owned(),
            })
        };
        let mut tally = Tally::new(self.kinds.len(), self.steps.len());
        let steps = tally.steps.iter_mut().zip(&self.steps);
        for (kind, record) in tally.kinds.iter_mut().zip(&self.kinds).chain(steps) {
            let (response, service) = (read(&record.response_histogram)?, read(&record.service_histogram)?);
            // Added to an empty one, so that the bounds are ours.
            let _ = kind.response.add(response);
            let _ = kind.service.add(service);
            let _ = kind.lag.add(read(&record.lag_histogram)?);
            (kind.planned, kind.sent, kind.expected) = (record.planned, record.sent, record.expected);
            kind.unexpected.clone_from(&record.unexpected);
            kind.first_byte_max = record.first_byte_micros_max;
            (kind.bytes_up, kind.bytes_down) = (record.bytes_up, record.bytes_down);
        }
        let Generator {
            planned_seconds,
            sending_seconds,
            interrupted,
            cpu_seconds,
            resident_bytes_max,
            points_lost,
            ..
        } = self.generator;
        let _ = tally.signing.add(read(&self.generator.signing_histogram)?);
        (tally.abandoned, tally.reconnects) = (self.generator.abandoned, self.generator.reconnects);
        tally.active.clone_from(&self.active_connections);
        let mut series = Vec::with_capacity(self.series.len());
        for PointRecord { index, offered, sent, answered, unexpected, bytes, response_histogram } in &self.series {
            let mut pulse = Pulse::empty(*index);
            (pulse.sent, pulse.answered, pulse.unexpected, pulse.bytes) = (*sent, *answered, *unexpected, *bytes);
            pulse.offered = *offered;
            let _ = pulse.response.add(decode::<u32>(response_histogram).unwrap_or_else(|| pulse.response.clone()));
            series.push(pulse);
        }
        let seconds = |value: f64| Duration::try_from_secs_f64(value).unwrap_or_default();
        let measured = Measured {
            started_unix: 0,
            planned: seconds(planned_seconds),
            sending: seconds(sending_seconds),
            tally,
            series,
            interval: Duration::from_secs(self.interval_seconds.max(1)),
            samples: self.samples.clone(),
            own_cpu: cpu_seconds,
            own_resident_bytes: resident_bytes_max,
            interrupted,
            pulses_lost: points_lost,
        };
        Ok(Measurement { conditions: self.conditions.clone(), measured })
    }
}

/// A measurement in a few numbers.
pub fn summary(measurement: &Measurement) -> Summary {
    let usage = measurement.usage();
    Summary {
        offered_per_second: measurement.offered(),
        achieved_per_second: measurement.achieved(),
        errors_percent: measurement.value(crate::slo::Metric::Errors).unwrap_or_default(),
        response_micros: quantiles(&measurement.times(Times::Response)),
        service_micros: quantiles(&measurement.times(Times::Service)),
        cpu_percent: usage.map(|usage| usage.cpu_percent),
        cpu_micros_per_exchange: usage.map(|usage| usage.cpu_micros_per_exchange),
        resident_bytes_max: usage.map(|usage| usage.resident_bytes_max),
    }
}

/// The points of a distribution that are reported.
pub fn quantiles(times: &Histogram<u64>) -> Quantiles {
    let point = |point| at(times, point).unwrap_or_default();
    Quantiles {
        p50: point(Point::Percentile(50.0)),
        p90: point(Point::Percentile(90.0)),
        p99: point(Point::Percentile(99.0)),
        p99_9: point(Point::Percentile(99.9)),
        p99_99: point(Point::Percentile(99.99)),
        max: point(Point::Max),
        mean: point(Point::Mean),
    }
}

fn kind_record(name: &str, kind: &KindTally) -> KindRecord {
    let KindTally { planned, sent, expected, unexpected, response, service, lag, first_byte_max, bytes_up, bytes_down } =
        kind;
    KindRecord {
        name: name.to_owned(),
        planned: *planned,
        sent: *sent,
        expected: *expected,
        unexpected: unexpected.clone(),
        first_byte_micros_max: *first_byte_max,
        bytes_up: *bytes_up,
        bytes_down: *bytes_down,
        response_histogram: encode(response),
        service_histogram: encode(service),
        lag_histogram: encode(lag),
    }
}

fn point_record(pulse: &Pulse) -> PointRecord {
    let Pulse { index, offered, sent, answered, unexpected, bytes, response } = pulse;
    PointRecord {
        index: *index,
        offered: *offered,
        sent: *sent,
        answered: *answered,
        unexpected: *unexpected,
        bytes: *bytes,
        response_histogram: encode(response),
    }
}

fn encode<C: Counter>(times: &Histogram<C>) -> String {
    let mut bytes = Vec::new();
    // Writing to memory does not fail, and the counts fit.
    let _ = V2DeflateSerializer::new().serialize(times, &mut bytes);
    BASE64.encode(bytes)
}

fn decode<C: Counter>(text: &str) -> Option<Histogram<C>> {
    let bytes = BASE64.decode(text).ok()?;
    Deserializer::new().deserialize(&mut bytes.as_slice()).ok()
}
