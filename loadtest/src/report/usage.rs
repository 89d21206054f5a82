//! CPU and memory of the measured processes, in the reader's language.

use lgsp_shared::refusal::Language;

use super::chart::{Axis, Chart, Series, Shape, draw};
use super::page::Page;
use crate::measurement::Measurement;
use crate::slo::show_micros;

/// What this part says, in one language.
struct Words {
    average: &'static str,
    exchange: &'static str,
    memory: &'static str,
    cores: &'static str,
    cpu_title: &'static str,
    cpu_axis: &'static str,
    memory_title: &'static str,
    memory_axis: &'static str,
    seconds: &'static str,
    mean: &'static str,
}

const VIETNAMESE: Words = Words {
    average: "CPU trung bình",
    exchange: "CPU mỗi lượt trao đổi",
    memory: "Bộ nhớ cao nhất",
    cores: "lõi",
    cpu_title: "CPU của các tiến trình được đo",
    cpu_axis: "% số lõi được dùng",
    memory_title: "Bộ nhớ của các tiến trình được đo",
    memory_axis: "MiB",
    seconds: "giây",
    mean: "trung bình",
};

const ENGLISH: Words = Words {
    average: "CPU, on average",
    exchange: "CPU per exchange",
    memory: "Memory, at most",
    cores: "cores",
    cpu_title: "CPU of the measured processes",
    cpu_axis: "% of their cores",
    memory_title: "Memory of the measured processes",
    memory_axis: "MiB resident",
    seconds: "seconds",
    mean: "average",
};

/// Adds numbers and charts, when the processes were watched.
#[allow(clippy::cast_precision_loss, reason = "bytes of memory")]
pub(super) fn usage(page: &mut Page, measurement: &Measurement, language: Language) {
    let words = match language {
        Language::Vietnamese => &VIETNAMESE,
        Language::English => &ENGLISH,
    };
    let Some(usage) = measurement.usage() else { return };
    page.facts(&[
        (words.average, format!("{:.1} % / {} {}", usage.cpu_percent, measurement.conditions.cores, words.cores)),
        (words.exchange, show_micros(usage.cpu_micros_per_exchange)),
        (words.memory, format!("{:.1} MiB", usage.resident_bytes_max as f64 / 1_048_576.0)),
    ]);
    let cpu: Vec<_> = measurement.cpu_series().collect();
    let ends = [cpu.first(), cpu.last()].into_iter().flatten();
    let average = ends.map(|(at, _)| (*at, usage.cpu_percent)).collect();
    let line = |name: &str, colour, shape, points| Series { name: name.to_owned(), colour, shape, points };
    let whole = |value: f64| format!("{value:.0}");
    page.drawing(&draw(&Chart {
        title: words.cpu_title.to_owned(),
        about: format!("{}: {:.1} %", words.average, usage.cpu_percent),
        x: Axis { label: words.seconds, log: false, show: whole },
        y: Axis { label: words.cpu_axis, log: false, show: whole },
        series: vec![line("CPU", 1, Shape::Line, cpu), line(words.mean, 4, Shape::Dashes, average)],
    }));
    let samples = measurement.measured.samples.iter();
    let memory = samples.map(|sample| (sample.at, sample.resident_bytes as f64 / 1_048_576.0)).collect();
    page.drawing(&draw(&Chart {
        title: words.memory_title.to_owned(),
        about: format!("{}: {} MiB", words.memory, usage.resident_bytes_max >> 20),
        x: Axis { label: words.seconds, log: false, show: whole },
        y: Axis { label: words.memory_axis, log: false, show: whole },
        series: vec![line(words.memory_axis, 3, Shape::Line, memory)],
    }));
}
