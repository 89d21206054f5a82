//! Whose doing it is that a criterion was not met.
//!
//! A generator that is late sends what was due meanwhile at once. A server that refuses what comes at once might have
//! served the same requests one by one, and being late is part of a response time. So in a search for the capacity a failure
//! counts against the server only when punctual sending would not have changed it; on a busy machine the answer is then
//! that there is none, and not a rate that is too low.

use crate::measurement::{Measurement, Times, at};
use crate::slo::{Metric, Point, Slo, show_micros};

/// A request is late from here on, or from the distance between two requests on, whichever is more: a timer and a wake-up
/// alone take a tenth of it.
const LATE_MICROS: f64 = 1_000.0;

/// Why the generator may be to blame that `slo` is not met; `None` when it cannot be.
pub fn excuse(slo: &Slo, measurement: &Measurement) -> Option<String> {
    let value = measurement.value(slo.metric)?;
    match slo.metric {
        Metric::Errors => {
            let (late, from) = late_percent(measurement);
            (value <= late).then(|| {
                format!(
                    "{value:.2} % failed, and {late:.2} % were sent more than {} late, several at once",
                    show_micros(from)
                )
            })
        }
        Metric::Response(point) => delayed(slo, measurement, value, point),
        Metric::FirstByte => delayed(slo, measurement, value, Point::Max),
        Metric::Lag(_) => Some(format!("`{slo}` is about the generator itself")),
        Metric::Service(_) | Metric::Rate | Metric::SutCpu | Metric::SutMemory => None,
    }
}

/// Requests that were sent late, in per cent, and from when on they are.
fn late_percent(measurement: &Measurement) -> (f64, f64) {
    let apart = 1e6 / measurement.offered().max(f64::MIN_POSITIVE);
    let from = apart.max(LATE_MICROS);
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a positive number; what is too large is cut"
    )]
    let in_time = measurement.times(Times::Lag).quantile_below(from as u64);
    ((1.0 - in_time) * 100.0, from)
}

fn delayed(slo: &Slo, measurement: &Measurement, value: f64, point: Point) -> Option<String> {
    let lag = at(&measurement.times(Times::Lag), point)?;
    let meets = slo.is_met_by((value - lag).max(0.0));
    meets.then(|| format!("`{slo}` would hold without the {} by which the generator was late", show_micros(lag)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::tests::measurement;

    /// A thousand requests of which `late` were sent so late and `failed` did not end as expected; at 100/s, two are 10 ms apart.
    fn measured(late: u64, by_micros: u64, failed: u64, response_micros: u64) -> Measurement {
        let mut measurement = measurement(1_000, 1.0);
        for kind in &mut measurement.measured.tally.kinds {
            kind.lag.record_n(50, 1_000 - late).unwrap();
            kind.lag.record_n(by_micros, late).unwrap();
            kind.response.record_n(response_micros, 1_000).unwrap();
            kind.expected -= failed;
            kind.unexpected.insert("503".to_owned(), failed);
        }
        measurement
    }

    fn excused(slo: &str, measurement: &Measurement) -> bool {
        excuse(&slo.parse().unwrap(), measurement).is_some()
    }

    #[test]
    fn refusals_count_against_the_server_only_when_they_are_more_than_what_came_late() {
        assert!(excused("errors<0.1%", &measured(20, 15_000, 20, 100)));
        assert!(!excused("errors<0.1%", &measured(20, 15_000, 30, 100)));
        // Less late than two requests are apart: nothing came at once.
        assert!(!excused("errors<0.1%", &measured(20, 9_000, 20, 100)));
        assert!(!excused("errors<0.1%", &measured(0, 50, 1, 100)));
    }

    #[test]
    fn a_response_time_counts_against_the_server_only_when_it_is_too_long_without_the_delay() {
        let late = measured(100, 5_000, 0, 52_000);
        assert!(excused("p99<50ms", &late));
        assert!(!excused("p99<40ms", &late));
        assert!(!excused("p50<50ms", &late));
        assert!(!excused("service.p99<1us", &late) && !excused("rate>=1000/s", &late));
    }
}
