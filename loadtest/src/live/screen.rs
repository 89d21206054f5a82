//! The screen: rates, percentiles and CPU over the last minutes. Restores the terminal however it ends.

use std::collections::VecDeque;
use std::io::{self, Stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ratatui::Frame;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::Marker;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Block, Chart, Dataset, Gauge, GraphType, Paragraph};

use super::Caption;
use crate::engine::Moment;
use crate::slo::show_micros;

/// Seconds shown.
const HISTORY: usize = 120;

/// Shows a run on the terminal.
pub struct Screen {
    terminal: ratatui::Terminal<CrosstermBackend<Stderr>>,
    state: State,
}

/// What is drawn.
#[derive(Debug)]
struct State {
    caption: Caption,
    cores: f64,
    history: VecDeque<Shown>,
    cpu: Option<(f64, f64)>,
}

/// One second of history.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    at: f64,
    offered: f64,
    sent: f64,
    p50: f64,
    p99: f64,
    cpu: Option<f64>,
}

impl Screen {
    pub(super) fn open(caption: &Caption, cores: f64) -> io::Result<Self> {
        enable_raw_mode()?;
        execute!(io::stderr(), EnterAlternateScreen)?;
        let terminal = ratatui::Terminal::new(CrosstermBackend::new(io::stderr()))?;
        let state = State { caption: caption.clone(), cores, history: VecDeque::with_capacity(HISTORY), cpu: None };
        Ok(Self { terminal, state })
    }

    pub(super) fn show(&mut self, moment: &Moment, stop: &AtomicBool) {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            let interrupts = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if interrupts || key.code == KeyCode::Char('q') {
                stop.store(true, Ordering::Relaxed);
            }
        }
        self.state.enter(moment);
        // A terminal that cannot be drawn on any more does not end the run.
        let _ = self.terminal.draw(|frame| self.state.draw(frame, moment));
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Whatever fails here, the rest is still tried.
        let _ = disable_raw_mode();
        let _ = execute!(io::stderr(), LeaveAlternateScreen);
        let _ = self.terminal.show_cursor();
    }
}

impl State {
    #[allow(clippy::cast_precision_loss, reason = "what is drawn needs no more than 52 bits")]
    fn enter(&mut self, moment: &Moment) {
        let mut cpu_now = None;
        if let Some(sample) = &moment.sample {
            if let Some((at, cpu)) = self.cpu.filter(|(at, _)| sample.at > *at) {
                cpu_now = Some((sample.cpu_seconds - cpu) / (sample.at - at) / self.cores * 100.0);
            }
            self.cpu = Some((sample.at, sample.cpu_seconds));
        }
        // Before the first interval is over there is nothing that could be drawn as having been nothing.
        let Some(last) = &moment.last else { return };
        let shown = Shown {
            at: moment.elapsed.as_secs_f64(),
            offered: moment.offered,
            sent: last.sent as f64,
            p50: last.response.value_at_quantile(0.5) as f64,
            p99: last.response.value_at_quantile(0.99) as f64,
            cpu: cpu_now,
        };
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(shown);
    }

    fn draw(&self, frame: &mut Frame<'_>, moment: &Moment) {
        let rows = [
            Constraint::Length(3),
            Constraint::Length(3),
            Constraint::Fill(1),
            Constraint::Fill(1),
            Constraint::Length(1),
        ];
        let [head, progress, rates, times, foot] = Layout::vertical(rows).areas(frame.area());
        let caption = format!("{} → {}", self.caption.scenario, self.caption.target);
        let title = Span::styled(format!(" {} ", self.caption.title), Style::new().add_modifier(Modifier::BOLD));
        frame.render_widget(Paragraph::new(caption).block(Block::bordered().title(Line::from(title))), head);
        let share = moment.elapsed.as_secs_f64() / moment.total.as_secs_f64().max(f64::MIN_POSITIVE);
        let label = format!("{} of {} s", moment.elapsed.as_secs(), moment.total.as_secs());
        let gauge = Gauge::default()
            .block(Block::bordered())
            .gauge_style(Color::Blue)
            .ratio(share.clamp(0.0, 1.0))
            .label(label);
        frame.render_widget(gauge, progress);
        self.draw_rates(frame, rates);
        self.draw_times(frame, times);
        frame.render_widget(Paragraph::new(self.foot(moment)), foot);
    }

    fn foot(&self, moment: &Moment) -> Line<'static> {
        let last = self.history.back().copied().unwrap_or_default();
        let colour = if moment.unexpected > 0 { Color::Red } else { Color::Green };
        let cpu = last.cpu.map_or_else(String::new, |cpu| format!("  cpu {cpu:.0} %"));
        let memory =
            moment.sample.map_or_else(String::new, |sample| format!("  memory {} MiB", sample.resident_bytes >> 20));
        Line::from(vec![
            Span::raw(format!(" {} answered, ", moment.answered)),
            Span::styled(format!("{} unexpected", moment.unexpected), Style::new().fg(colour)),
            Span::raw(format!(
                "  p50 {}  p99 {}{cpu}{memory}   q ends early",
                show_micros(last.p50),
                show_micros(last.p99)
            )),
        ])
    }

    fn draw_rates(&self, frame: &mut Frame<'_>, area: Rect) {
        let offered = self.line(|shown| shown.offered);
        let sent = self.line(|shown| shown.sent);
        let top = highest(offered.iter().chain(&sent));
        let sets = vec![set("offered", Color::DarkGray, &offered), set("sent", Color::Blue, &sent)];
        self.chart(frame, area, " requests per second ", sets, top, format!("{top:.0}"));
    }

    fn draw_times(&self, frame: &mut Frame<'_>, area: Rect) {
        let (p50, p99) = (self.line(|shown| shown.p50), self.line(|shown| shown.p99));
        let top = highest(p99.iter());
        let sets = vec![set("p50", Color::Green, &p50), set("p99", Color::Magenta, &p99)];
        self.chart(frame, area, " response from the planned instant ", sets, top, show_micros(top));
    }

    fn chart(&self, frame: &mut Frame<'_>, area: Rect, title: &str, sets: Vec<Dataset<'_>>, top: f64, label: String) {
        let (first, last) = (self.history.front(), self.history.back());
        let bounds = [first.map_or(0.0, |shown| shown.at), last.map_or(1.0, |shown| shown.at).max(1.0)];
        let half = Constraint::Ratio(1, 2);
        let chart = Chart::new(sets)
            .block(Block::bordered().title(title.to_owned()))
            .hidden_legend_constraints((half, half))
            .x_axis(Axis::default().bounds(bounds).labels(bounds.map(|at| format!("{at:.0} s"))))
            .y_axis(Axis::default().bounds([0.0, top]).labels(["0".to_owned(), label]));
        frame.render_widget(chart, area);
    }

    fn line(&self, value: impl Fn(&Shown) -> f64) -> Vec<(f64, f64)> {
        self.history.iter().map(|shown| (shown.at, value(shown))).collect()
    }
}

fn highest<'p>(points: impl Iterator<Item = &'p (f64, f64)>) -> f64 {
    points.map(|(_, value)| *value).fold(1.0, f64::max) * 1.1
}

fn set<'p>(name: &'static str, colour: Color, points: &'p [(f64, f64)]) -> Dataset<'p> {
    Dataset::default().name(name).marker(Marker::Braille).graph_type(GraphType::Line).style(colour).data(points)
}

#[cfg(test)]
mod tests {
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::engine::Pulse;
    use crate::machine::Sample;

    #[test]
    fn the_screen_shows_progress_rates_times_and_cpu() {
        let caption = Caption { title: "run".into(), scenario: "get-1k".into(), target: "http://x".into() };
        let mut state = State { caption, cores: 2.0, history: VecDeque::new(), cpu: None };
        let mut terminal = ratatui::Terminal::new(TestBackend::new(100, 30)).unwrap();
        let mut moment = Moment { total: Duration::from_secs(10), offered: 500.0, ..Moment::default() };
        for second in 1..=5_u32 {
            let mut pulse = Pulse::empty(u64::from(second));
            pulse.sent = 498;
            pulse.response.record_n(12_000, 498).unwrap();
            moment.elapsed = Duration::from_secs(second.into());
            moment.last = Some(pulse);
            moment.answered = 498 * u64::from(second);
            let (at, cpu_seconds) = (f64::from(second), f64::from(second));
            moment.sample = Some(Sample { at, cpu_seconds, resident_bytes: 64 << 20, machine_cpu_seconds: 0.0 });
            state.enter(&moment);
            terminal.draw(|frame| state.draw(frame, &moment)).unwrap();
        }
        let shown = terminal.backend().to_string();
        for text in [
            "run",
            "get-1k → http://x",
            "5 of 10 s",
            "2490 answered, 0 unexpected",
            "cpu 50 %",
            "memory 64 MiB",
            "p99 12.0 ms",
            "offered",
            "1 s",
            "5 s",
        ] {
            assert!(shown.contains(text), "{text} in\n{shown}");
        }
    }
}
