//! Charts as SVG, drawn here: no script, no font, nothing from elsewhere; colours come from the page, so that they follow
//! light, dark and paper. Each says in words what it shows.

use std::fmt::Write;

use super::page::escape;

/// The drawing's own units; the page scales it.
const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 28.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 40.0;
/// Ticks wanted on an axis.
const TICKS: f64 = 5.0;
/// The most points of a line; more are thinned, because no screen shows them.
const POINTS_MAX: usize = 1_200;

/// An axis.
pub(super) struct Axis {
    /// What it measures, with its unit.
    pub(super) label: &'static str,
    /// Each step ten times the one before.
    pub(super) log: bool,
    /// How a value is written.
    pub(super) show: fn(f64) -> String,
}

/// How points are drawn.
pub(super) enum Shape {
    /// Joined.
    Line,
    /// Joined and dashed.
    Dashes,
    /// One by one.
    Dots,
    /// A surface between each point and another height.
    Band(Vec<f64>),
}

impl Shape {
    /// How the legend shows it.
    fn class(&self) -> &'static str {
        match self {
            Shape::Line => "line",
            Shape::Dashes => "dashed",
            Shape::Dots => "dots",
            Shape::Band(_) => "band",
        }
    }
}

/// Points that belong together.
pub(super) struct Series {
    pub(super) name: String,
    /// Which of the page's colours, from 1.
    pub(super) colour: u8,
    pub(super) shape: Shape,
    pub(super) points: Vec<(f64, f64)>,
}

/// A chart.
pub(super) struct Chart {
    pub(super) title: String,
    /// What it shows, in a sentence, for those who do not see it.
    pub(super) about: String,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) series: Vec<Series>,
}

/// An axis with its ends.
struct Scale<'a> {
    axis: &'a Axis,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale<'_> {
    fn of<'a>(axis: &'a Axis, values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Scale<'a> {
        let finite = values.filter(|value| value.is_finite() && (!axis.log || *value > 0.0));
        let high = finite.clone().fold(f64::MIN, f64::max);
        let low = finite.fold(f64::MAX, f64::min);
        let (low, high) = match (low <= high, axis.log) {
            (false, _) => (if axis.log { 1.0 } else { 0.0 }, 10.0),
            (true, true) => {
                (10_f64.powf(low.log10().floor()), 10_f64.powf((high.log10() + 1e-9).ceil()).max(low * 10.0))
            }
            (true, false) => (0.0_f64.min(low), if high > 0.0 { high * 1.05 } else { 1.0 }),
        };
        Scale { axis, low, high, from, to }
    }

    fn at(&self, value: f64) -> f64 {
        let share = if self.axis.log {
            (value.max(self.low).log10() - self.low.log10()) / (self.high.log10() - self.low.log10())
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    fn ticks(&self) -> Vec<f64> {
        if self.axis.log {
            #[allow(clippy::cast_possible_truncation, reason = "powers of ten of what can be measured")]
            let (first, last) = (self.low.log10().round() as i32, self.high.log10().round() as i32);
            return (first..=last).map(|power| 10_f64.powi(power)).collect();
        }
        let raw = (self.high - self.low) / TICKS;
        let magnitude = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|factor| factor * magnitude).into_iter().find(|step| *step >= raw);
        let step = step.unwrap_or(raw);
        let first = (self.low / step).ceil();
        (0..=10).map(|at| (first + f64::from(at)) * step).take_while(|tick| *tick <= self.high * 1.000_001).collect()
    }
}

/// Draws a chart with its legend.
pub(super) fn draw(chart: &Chart) -> String {
    let Chart { title, about, x, y, series } = chart;
    let xs = series.iter().flat_map(|series| series.points.iter().map(|point| point.0));
    let ys = series.iter().flat_map(|series| {
        let other: &[f64] = if let Shape::Band(other) = &series.shape { other } else { &[] };
        series.points.iter().map(|point| point.1).chain(other.iter().copied())
    });
    let across = Scale::of(x, xs, LEFT, WIDTH - RIGHT);
    let up = Scale::of(y, ys, HEIGHT - BOTTOM, TOP);
    let mut out = String::new();
    let (name, words) = (escape(title), escape(about));
    let _ = write!(
        out,
        "<figure><figcaption>{name}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"{name}. {words}\"><title>{name}</title><desc>{words}</desc>"
    );
    grid(&mut out, &across, &up);
    for series in series {
        one(&mut out, series, &across, &up);
    }
    out.push_str("</svg><div class=\"legend\">");
    for series in series {
        let (colour, shape, name) = (series.colour, series.shape.class(), escape(&series.name));
        let _ = write!(out, "<span><i class=\"k{colour} {shape}\"></i>{name}</span>");
    }
    out.push_str("</div></figure>");
    out
}

// Writing to memory does not fail: the results of `write!` below say nothing.

fn grid(out: &mut String, across: &Scale<'_>, up: &Scale<'_>) {
    let bottom = HEIGHT - BOTTOM;
    for tick in up.ticks() {
        let at = up.at(tick);
        let (right, text) = (WIDTH - RIGHT, escape(&(up.axis.show)(tick)));
        let _ = write!(out, "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{at:.1}\" x2=\"{right}\" y2=\"{at:.1}\"/>");
        let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, at + 4.0);
    }
    for tick in across.ticks() {
        let (at, text) = (across.at(tick), escape(&(across.axis.show)(tick)));
        let _ = write!(out, "<line class=\"grid\" x1=\"{at:.1}\" y1=\"{TOP}\" x2=\"{at:.1}\" y2=\"{bottom}\"/>");
        let _ = write!(out, "<text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>", bottom + 15.0);
    }
    let (middle, low) = (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 6.0);
    let _ = write!(
        out,
        "<text class=\"axis\" x=\"{middle}\" y=\"{low}\" text-anchor=\"middle\">{}</text>",
        escape(across.axis.label)
    );
    let half = f64::midpoint(TOP, bottom);
    let _ = write!(
        out,
        "<text class=\"axis\" transform=\"translate(12 {half}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
        escape(up.axis.label)
    );
}

fn one(out: &mut String, series: &Series, across: &Scale<'_>, up: &Scale<'_>) {
    let Series { name: _, colour, shape, points } = series;
    let step = points.len().div_ceil(POINTS_MAX).max(1);
    let place = |(x, y): &(f64, f64)| format!("{:.1},{:.1}", across.at(*x), up.at(*y));
    match shape {
        Shape::Line | Shape::Dashes => {
            let path: Vec<String> = points.iter().step_by(step).map(place).collect();
            let dashes = if matches!(shape, Shape::Dashes) { " dashes" } else { "" };
            let _ = write!(out, "<polyline class=\"l{colour}{dashes}\" points=\"{}\"/>", path.join(" "));
        }
        Shape::Dots => {
            for (x, y) in points.iter().step_by(step) {
                let _ = write!(
                    out,
                    "<circle class=\"d{colour}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"4\"/>",
                    across.at(*x),
                    up.at(*y)
                );
            }
        }
        Shape::Band(other) => {
            let over = points.iter().step_by(step).map(place);
            let under: Vec<String> =
                points.iter().zip(other).step_by(step).map(|((x, _), y)| place(&(*x, *y))).collect();
            let path: Vec<String> = over.chain(under.into_iter().rev()).collect();
            let _ = write!(out, "<polygon class=\"b{colour}\" points=\"{}\"/>", path.join(" "));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(log: bool) -> Axis {
        Axis { label: "a < b", log, show: |value| format!("{value}") }
    }

    #[test]
    fn ticks_are_round_and_within_the_axis() {
        let linear = axis(false);
        let scale = Scale::of(&linear, [0.0, 87.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(), [0.0, 20.0, 40.0, 60.0, 80.0]);
        let log = axis(true);
        let scale = Scale::of(&log, [3.0, 4_000.0, 0.0].into_iter(), 0.0, 100.0);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0, 1_000.0, 10_000.0]);
        assert!((scale.at(100.0) - 50.0).abs() < 1e-9);
    }

    #[test]
    fn a_chart_without_points_and_one_with_hostile_names_are_still_svg() {
        let points = vec![(0.0, f64::NAN), (1.0, 2.0)];
        for points in [vec![], points] {
            let series = vec![Series { name: "<script>".into(), colour: 1, shape: Shape::Line, points }];
            let svg = draw(&Chart { title: "t".into(), about: "\"".into(), x: axis(false), y: axis(true), series });
            assert!(svg.contains("role=\"img\"") && !svg.contains("<script>") && !svg.contains("NaN"), "{svg}");
        }
    }
}
