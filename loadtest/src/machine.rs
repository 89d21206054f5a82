//! The machine: what it is, and what the measured processes take of it while they are under load.
//!
//! CPU share, everywhere in this tool: CPU time (user and system) of the measured processes and all their children,
//! divided by elapsed time times the cores they may use (their affinity and control-group quota, where those are
//! narrower than the machine). 100 % is every core they may use, all the time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

mod metrics;
pub mod process;

pub use metrics::{MetricsError, MetricsPage};

/// What is measured.
#[derive(Debug, Default)]
pub struct Probe {
    processes: Vec<u32>,
    page: Option<MetricsPage>,
    cores: f64,
    tree: process::Tree,
}

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// No such process.
    #[error("there is no process `{0}` here: give the pid or the program's name of a process on this machine")]
    Unknown(String),
    /// Several, of which none started the others.
    #[error(
        "`{name}` is {} processes here, perhaps of other installations, and each would be counted: name those that are \
         meant by pid, as with `--sut {}`\n{}",
        found.len(), found.first().copied().unwrap_or_default(), process::list(found)
    )]
    Several {
        /// The program's name.
        name: String,
        /// The processes.
        found: Vec<u32>,
    },
    /// Cores cannot be told from afar.
    #[error("how many cores `{0}` may use cannot be told from its metrics: say so with `--sut-cores N`")]
    Cores(String),
    /// The page cannot be used.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

/// The measured processes at one instant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Seconds since the first counted arrival was due.
    pub at: f64,
    /// CPU seconds so far.
    pub cpu_seconds: f64,
    /// Resident memory in bytes.
    pub resident_bytes: u64,
    /// CPU seconds of everything on this machine so far.
    pub machine_cpu_seconds: f64,
}

/// What the result was measured on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Facts {
    /// The processor's name.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Operating system and release.
    pub system: String,
}

impl Facts {
    /// Of this machine.
    pub fn read() -> Self {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, key: &str| {
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let cpu = text("/proc/cpuinfo");
        let named = ["model name", "Processor", "CPU implementer"].iter().find_map(|key| value(&cpu, key));
        let memory = value(&text("/proc/meminfo"), "MemTotal");
        let kib = memory.and_then(|value| value.split(' ').next()?.parse::<u64>().ok());
        Self {
            cpu: named.unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: kib.unwrap_or_default() * 1_024,
            system: format!("Linux {}", text("/proc/sys/kernel/osrelease").trim()),
        }
    }
}

impl Probe {
    /// Measures processes by pid or by program name, or the page of one that is elsewhere.
    pub fn new(wanted: &[String], page: Option<&str>, cores: Option<f64>) -> Result<Self, ProbeError> {
        let mut processes = Vec::new();
        for wanted in wanted {
            let found = process::find(wanted);
            if found.is_empty() {
                return Err(ProbeError::Unknown(wanted.clone()));
            }
            // Children of one that is measured are counted with it.
            let found = process::without_descendants(found);
            if found.len() > 1 {
                return Err(ProbeError::Several { name: wanted.clone(), found });
            }
            processes.extend(found);
        }
        processes.sort_unstable();
        processes.dedup();
        let page = page.map(MetricsPage::open).transpose()?;
        let cores = match (cores, &page) {
            (Some(cores), _) => cores,
            (None, Some(page)) if processes.is_empty() => return Err(ProbeError::Cores(page.url().to_owned())),
            (None, _) => process::cores_of(&processes),
        };
        Ok(Self { processes, page, cores, tree: process::Tree::default() })
    }

    /// Whether there is anything to measure.
    pub fn is_empty(&self) -> bool {
        self.processes.is_empty() && self.page.is_none()
    }

    /// The processes, without their children.
    pub fn processes(&self) -> &[u32] {
        &self.processes
    }

    /// Cores they may use, all together.
    pub fn cores(&self) -> f64 {
        self.cores
    }

    /// Their names, for results.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.processes.iter().map(|pid| process::name(*pid)).collect();
        names.extend(self.page.as_ref().map(|page| page.url().to_owned()));
        names
    }

    /// Looks now; `None` when nothing is measured or the processes have ended.
    pub fn sample(&mut self, at: Duration) -> Option<Sample> {
        let (mut cpu_seconds, mut resident_bytes) = (0.0, 0);
        if !self.processes.is_empty() {
            let usage = self.tree.usage(&self.processes)?;
            cpu_seconds += usage.cpu_seconds;
            resident_bytes += usage.resident_bytes;
        }
        if let Some(page) = &self.page {
            let usage = page.read().ok()?;
            cpu_seconds += usage.cpu_seconds;
            resident_bytes += usage.resident_bytes;
        }
        let machine_cpu_seconds = process::machine_cpu_seconds();
        (!self.is_empty()).then_some(Sample { at: at.as_secs_f64(), cpu_seconds, resident_bytes, machine_cpu_seconds })
    }
}

/// CPU seconds of this process.
pub fn own_cpu_seconds() -> f64 {
    process::Tree::default().usage(&[std::process::id()]).map_or(0.0, |usage| usage.cpu_seconds)
}

/// The most memory this process has held so far.
pub fn own_resident_bytes() -> u64 {
    process::memory(std::process::id(), "VmHWM:")
}

/// Lets this process open as many connections as the system allows, and returns how many files that are.
pub fn raise_file_limit() -> u64 {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return u64::MAX };
    match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
        Ok(()) => hard,
        Err(_) => soft,
    }
}
