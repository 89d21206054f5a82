//! Lines, one every few seconds, for logs and pipes.

use super::Caption;
use crate::engine::Moment;
use crate::slo::show_micros;

/// Seconds between lines.
const EVERY: u64 = 5;

/// Shows a run as lines on standard error.
#[derive(Debug)]
pub struct Plain {
    title: String,
    cores: f64,
    shown: u64,
    cpu: Option<(f64, f64)>,
}

impl Plain {
    pub(super) fn new(caption: &Caption, cores: f64) -> Self {
        Self { title: caption.title.clone(), cores, shown: 0, cpu: None }
    }

    pub(super) fn show(&mut self, moment: &Moment) {
        let turn = moment.elapsed.as_secs() / EVERY;
        if turn == self.shown {
            return;
        }
        self.shown = turn;
        eprintln!("{}", self.line(moment));
    }

    fn line(&mut self, moment: &Moment) -> String {
        let Moment { elapsed, total, offered, last, answered, unexpected, sample } = moment;
        let (now, of) = (elapsed.as_secs(), total.as_secs());
        let mut line = format!("{}  {now:>4}/{of} s  {answered} answered, {unexpected} unexpected", self.title);
        if let Some(last) = last {
            let at = |quantile| show_micros(last.response.value_at_quantile(quantile) as f64);
            line += &format!("  {offered:.0}/s offered, {} sent  p50 {} p99 {}", last.sent, at(0.5), at(0.99));
        }
        if let Some(sample) = sample {
            if let Some((at, cpu)) = self.cpu.filter(|(at, _)| sample.at > *at) {
                line += &format!("  cpu {:.0} %", (sample.cpu_seconds - cpu) / (sample.at - at) / self.cores * 100.0);
            }
            self.cpu = Some((sample.at, sample.cpu_seconds));
        }
        line
    }
}
