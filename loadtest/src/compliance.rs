//! The findings on Điều 7 of the regulation: what a run under load shows about khoản 2, 3 and 4, point by point.
//!
//! Nothing is assumed: a connection counts only when it completed an exchange in every window; a payload counts as gone
//! only when the search for it was shown to work and could read everything.

use serde::{Deserialize, Serialize};

use crate::canary::Searched;
use crate::measurement::{Measurement, Times, at};
use crate::slo::{Judged, Point, show_micros};
use crate::verdict::{Outcome, Verdict, flaws};

/// Khoản 4: at least so many connections at the same time.
pub const CONNECTIONS_MIN: u64 = 1_000;
/// Khoản 4: at most so much CPU on average.
pub const CPU_PERCENT_MAX: f64 = 75.0;
/// Khoản 3: an answer after at most so long.
pub const RESPONSE_MICROS_MAX: f64 = 30_000_000.0;

/// A point of the regulation that was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Demand {
    /// Khoản 4: connections.
    Connections,
    /// Khoản 4: CPU.
    Cpu,
    /// Khoản 3: time to answer.
    Response,
    /// Khoản 1 and 4: every exchange ended as it should.
    Exchanges,
    /// Khoản 2: nothing is kept.
    Nothing,
}

/// A demand and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Which.
    pub demand: Demand,
    /// Whether it is met.
    pub met: bool,
    /// The number that decides.
    pub value: String,
}

/// All points.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Findings {
    /// In the order of a report.
    pub points: Vec<Found>,
    /// Whole windows that were looked at.
    pub windows: usize,
    /// Seconds of one.
    pub window_seconds: f64,
    /// The fewest connections that completed an exchange in a window.
    pub active_min: u64,
    /// The search for the payload.
    pub searched: Searched,
}

impl Demand {
    /// In English, for criteria.
    pub fn english(self) -> &'static str {
        match self {
            Demand::Connections => "at least 1000 concurrent connections, each completing exchanges in every window",
            Demand::Cpu => "average CPU at most 75 %",
            Demand::Response => "every answer within 30 s",
            Demand::Exchanges => "every exchange ended as expected",
            Demand::Nothing => "nothing of the payload left behind",
        }
    }

    /// In Vietnamese, for the report that is handed in.
    pub fn vietnamese(self) -> &'static str {
        match self {
            Demand::Connections => "Ít nhất 1000 kết nối đồng thời, mỗi kết nối đều trao đổi xong trong từng khoảng đo",
            Demand::Cpu => "Hiệu suất làm việc trung bình của CPU không vượt quá 75%",
            Demand::Response => "Thời gian phản hồi chậm nhất là 30 giây",
            Demand::Exchanges => "Mọi lượt trao đổi kết thúc đúng như mong đợi",
            Demand::Nothing => "Không lưu trữ lại dữ liệu sau khi việc truyền nhận hoàn tất",
        }
    }

    /// Where the regulation says it.
    pub fn article(self) -> &'static str {
        match self {
            Demand::Connections | Demand::Cpu => "Điều 7 khoản 4",
            Demand::Response => "Điều 7 khoản 3",
            Demand::Exchanges => "Điều 7 khoản 1",
            Demand::Nothing => "Điều 7 khoản 2",
        }
    }
}

impl Findings {
    /// What a run and the search after it show.
    pub fn of(measurement: &Measurement, searched: Searched) -> Self {
        let window_seconds = measurement.conditions.window_seconds;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of windows")]
        let windows = (measurement.measured.planned.as_secs_f64() / window_seconds.max(1e-3) + 1e-9) as usize;
        let active = |at: usize| measurement.measured.tally.active.get(at).copied().unwrap_or_default();
        let active_min = (0..windows).map(active).min().unwrap_or_default();
        let usage = measurement.usage();
        let slowest = at(&measurement.times(Times::Response), Point::Max);
        let totals = measurement.totals();
        let failed = totals.unexpected + totals.planned.saturating_sub(totals.sent);
        let point = |demand, met, value| Found { demand, met, value };
        let points = vec![
            point(Demand::Connections, active_min >= CONNECTIONS_MIN, active_min.to_string()),
            point(
                Demand::Cpu,
                usage.is_some_and(|usage| usage.cpu_percent <= CPU_PERCENT_MAX),
                usage.map_or_else(|| "—".to_owned(), |usage| format!("{:.1} %", usage.cpu_percent)),
            ),
            point(
                Demand::Response,
                slowest.is_some_and(|slowest| slowest <= RESPONSE_MICROS_MAX),
                slowest.map_or_else(|| "—".to_owned(), show_micros),
            ),
            point(
                Demand::Exchanges,
                failed == 0 && totals.expected > 0,
                format!("{} / {}", totals.expected, totals.planned),
            ),
            point(Demand::Nothing, searched.is_clean(), searched.found_count.to_string()),
        ];
        Self { points, windows, window_seconds, active_min, searched }
    }

    /// The verdict on the run as a whole.
    pub fn verdict(&self, measurement: &Measurement) -> Verdict {
        let flaws = flaws(measurement);
        let criteria: Vec<Judged> = self
            .points
            .iter()
            .map(|point| Judged {
                criterion: point.demand.english().to_owned(),
                observed: point.value.clone(),
                met: point.met && flaws.is_empty(),
            })
            .collect();
        if !flaws.is_empty() {
            let reasons = flaws.iter().map(|flaw| flaw.text().to_owned()).collect();
            let criteria =
                criteria.into_iter().map(|judged| Judged { observed: "no result".to_owned(), ..judged }).collect();
            return Verdict { outcome: Outcome::Invalid, reasons, criteria };
        }
        let failed: Vec<String> = criteria
            .iter()
            .filter(|judged| !judged.met)
            .map(|judged| format!("not shown: {} ({})", judged.criterion, judged.observed))
            .collect();
        if failed.is_empty() {
            let reasons = vec!["every point of Điều 7 khoản 2, 3 and 4 that a run can show is met".to_owned()];
            return Verdict { outcome: Outcome::Pass, reasons, criteria };
        }
        let mut reasons = failed;
        reasons.extend(self.searched.found.iter().map(|file| format!("the payload's marker is in `{file}`")));
        reasons.extend(self.searched.unread.iter().map(|file| format!("`{file}` could not be searched")));
        Verdict { outcome: Outcome::CriterionFailed, reasons, criteria }
    }
}
