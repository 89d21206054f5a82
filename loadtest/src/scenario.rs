//! A scenario: which requests, in which proportions, at what rate; read from YAML, checked whole.
//!
//! Guarantee: a name that is not known is an error with its path, so that a misspelt key never silently means its
//! default. What a scenario expects of an answer is part of it: a refusal that is wanted counts as a success of its
//! kind, anything unexpected as an error.

use std::path::Path;
use std::time::Duration;

use lgsp_shared::id::ServiceId;

use crate::plan::Plan;

mod cycle;
mod quantity;
mod raw;
mod resolve;
#[cfg(test)]
mod tests;

pub use cycle::Cycle;
pub use quantity::{Rate, Size, Span};

/// The longest scenario file, in bytes.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// The most kinds of request in a scenario; each costs about 600 KiB of histograms per thread.
pub const KINDS_MAX: usize = 16;
/// The most steps of a load: each costs 0.6 MiB of histograms on each measuring thread.
pub const STEPS_MAX: usize = 64;
/// The most connections of one generator process; each holds an 8 KiB buffer.
pub const CONNECTIONS_MAX: usize = 50_000;
/// The highest rate that can be asked for, per second.
pub const RATE_MAX: f64 = 1_000_000.0;
/// The longest run.
pub const DURATION_MAX: Duration = Duration::from_secs(7 * 86_400);
/// The longest wait for an answer; streams of several GiB take minutes.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(3_600);
/// The largest body, up or down.
pub const BODY_BYTES_MAX: u64 = 64 << 30;

/// What will be asked, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name, from the file.
    pub name: String,
    /// What it is for.
    pub about: String,
    /// Arrivals.
    pub load: Load,
    /// Connections kept open, whatever the rate.
    pub connections: usize,
    /// Sent at the planned rate before anything is counted.
    pub warmup: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The requests and their shares.
    pub kinds: Vec<Kind>,
    /// SHA-256 of the file, in hexadecimal: whether two runs did the same thing.
    pub digest: String,
}

/// When requests are sent.
#[derive(Debug, Clone, PartialEq)]
pub enum Load {
    /// When the plan says, whether or not earlier ones were answered.
    Open(Plan),
    /// Each connection sends as soon as it has its answer. Hides the waiting that a slow server causes.
    Closed {
        /// For how long.
        duration: Duration,
    },
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq)]
pub struct Kind {
    /// Its name.
    pub name: String,
    /// Its share of all requests, in hundredths of a per cent; all of a scenario make 10 000.
    pub share: u32,
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// How it is signed.
    pub signing: Signing,
    /// The name of the credential, when it is not the first one given.
    pub credential: Option<String>,
    /// Bytes of body; sent with a digest.
    pub body: u64,
    /// The body itself, where it matters what it says.
    pub content: Option<String>,
    /// Sent within a session for this service, opened beforehand.
    pub session: Option<ServiceId>,
    /// What is wrong with it on purpose.
    pub flaw: Flaw,
    /// The answer it should get.
    pub expect: Expect,
}

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signing {
    /// HTTP Message Signatures, with a fresh nonce.
    Rfc9421,
    /// AWS Signature Version 4, in the header.
    SigV4,
    /// Not at all.
    Unsigned,
}

/// What is wrong with a request on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    Sound,
    /// Signed with a secret that is not the right one.
    BadSignature,
    /// The same bytes as a request of this kind that was accepted a moment ago.
    Replay,
}

/// The answer a request should get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expect {
    /// The status.
    pub status: u16,
    /// The `code` of the problem document, when it matters.
    pub code: Option<String>,
    /// The length of the answer's body, when it matters.
    pub bytes: Option<u64>,
}

/// Something wrong with a scenario: where, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The path in the file, such as `requests[1].expect.status`; empty for the whole.
    pub path: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// Why a scenario cannot be used; every problem at once.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.lines())]
pub struct ScenarioError {
    /// The file.
    pub origin: String,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl ScenarioError {
    fn one(origin: &str, path: &str, message: String) -> Self {
        Self { origin: origin.to_owned(), problems: vec![Problem { path: path.to_owned(), message }] }
    }

    fn lines(&self) -> String {
        let line = |problem: &Problem| match problem.path.as_str() {
            "" => format!("{}: {}", self.origin, problem.message),
            path => format!("{}: `{path}`: {}", self.origin, problem.message),
        };
        self.problems.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl Scenario {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let origin = path.display().to_string();
        let unreadable = |error: std::io::Error| {
            let message = format!("cannot be read: {error}; `config/scenarios` holds scenarios to start from");
            ScenarioError::one(&origin, "", message)
        };
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            let message = format!("is longer than {FILE_BYTES_MAX} bytes; is it the right file?");
            return Err(ScenarioError::one(&origin, "", message));
        }
        Self::parse(&origin, &std::fs::read_to_string(path).map_err(unreadable)?)
    }

    /// Reads text that came from `origin`.
    pub fn parse(origin: &str, yaml: &str) -> Result<Self, ScenarioError> {
        resolve::resolve(origin, raw::read(origin, yaml)?, yaml)
    }
}

impl Load {
    /// How long it lasts.
    pub fn duration(&self) -> Duration {
        match self {
            Load::Open(plan) => plan.duration(),
            Load::Closed { duration } => *duration,
        }
    }

    /// For people, each of the steps that are told apart: none where there is only one.
    pub fn steps(&self) -> Vec<String> {
        match self {
            Load::Open(plan) if plan.segments.len() > 1 => plan.segments.iter().map(describe).collect(),
            Load::Open(_) | Load::Closed { .. } => Vec::new(),
        }
    }

    /// Which step an instant lies in.
    pub fn step_at(&self, at: Duration) -> usize {
        match self {
            Load::Open(plan) => plan.segment_at(at),
            Load::Closed { .. } => 0,
        }
    }

    /// For people.
    pub fn describe(&self) -> String {
        use crate::plan::Spacing;
        match self {
            Load::Closed { duration } => format!("closed loop for {}", Span(*duration)),
            Load::Open(plan) => {
                let rates = plan.segments.iter().map(describe).collect::<Vec<_>>().join(", then ");
                match plan.spacing {
                    Spacing::Even => rates,
                    Spacing::Poisson { seed } => format!("{rates}, Poisson arrivals with seed {seed}"),
                }
            }
        }
    }
}

fn describe(segment: &crate::plan::Segment) -> String {
    // Thousandths of a request per second interest nobody.
    let [from, to] = [segment.from, segment.to].map(|rate| (rate * 1e3).round() / 1e3);
    let span = Span(segment.duration);
    if (from - to).abs() < f64::EPSILON {
        format!("{from}/s for {span}")
    } else {
        format!("{from}/s to {to}/s within {span}")
    }
}
