//! The conditions of a result: everything someone needs to judge it or to repeat it. Never a secret.

use std::time::Duration;

use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};

use crate::machine::{Facts, Probe};
use crate::scenario::{Kind, Load, Scenario, Signing, Size};

/// How a result was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Conditions {
    /// This tool and its version.
    pub tool: String,
    /// Whether the tool was built without optimisation, which makes it slow.
    pub unoptimised: bool,
    /// The command as it was typed. Credentials are named by file and never appear.
    pub command: Vec<String>,
    /// When the first request was due.
    pub started: String,
    /// Where the tool ran.
    pub machine: Facts,
    /// Whom it asked.
    pub target: String,
    /// The scenario's name.
    pub scenario: String,
    /// What the scenario is for.
    pub about: String,
    /// SHA-256 of the scenario's file.
    pub scenario_sha256: String,
    /// The requests.
    pub requests: Vec<Asked>,
    /// The rate over time, in words.
    pub load: String,
    /// Its steps, where there are several.
    #[serde(default)]
    pub steps: Vec<String>,
    /// Whether each connection waited for its answer before it sent again, which hides waiting.
    pub closed: bool,
    /// Connections.
    pub connections: usize,
    /// Measuring threads.
    pub workers: usize,
    /// Sent before anything was counted, in seconds.
    pub warmup_seconds: f64,
    /// For an answer, in seconds.
    pub timeout_seconds: f64,
    /// Which part of the plan this generator sent, from 1, and of how many.
    pub shard: (u64, u64),
    /// Shards that are in this result.
    pub shards: Vec<u64>,
    /// The measured processes.
    pub measured: Vec<String>,
    /// Cores they may use together.
    pub cores: f64,
    /// Above this the generator was late, in microseconds at the 99th percentile.
    pub lag_limit_micros: f64,
    /// Within each window of this many seconds a connection has to complete an exchange to count as active.
    pub window_seconds: f64,
}

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// Its name.
    pub name: String,
    /// What is asked and what is expected.
    pub what: String,
}

/// What the command line decides about a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Choices {
    /// The command as it was typed.
    pub command: Vec<String>,
    /// Whom to ask.
    pub target: String,
    /// From 0, and of how many.
    pub shard: (u64, u64),
    /// Measuring threads.
    pub workers: usize,
    /// At the 99th percentile.
    pub lag_limit: Duration,
    /// For counting active connections.
    pub window: Duration,
}

impl Conditions {
    /// Of a run that is about to begin.
    pub fn new(scenario: &Scenario, choices: &Choices, probe: &Probe) -> Self {
        let Choices { command, target, shard, workers, lag_limit, window } = choices;
        let Scenario { name, about, load, connections, warmup, timeout, kinds, digest } = scenario;
        Self {
            tool: concat!("lgsp-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
            unoptimised: cfg!(debug_assertions),
            command: command.clone(),
            started: String::new(),
            machine: Facts::read(),
            target: target.clone(),
            scenario: name.clone(),
            about: about.clone(),
            scenario_sha256: digest.clone(),
            requests: kinds.iter().map(describe).collect(),
            load: load.describe(),
            steps: load.steps(),
            closed: matches!(load, Load::Closed { .. }),
            connections: *connections,
            workers: *workers,
            warmup_seconds: warmup.as_secs_f64(),
            timeout_seconds: timeout.as_secs_f64(),
            shard: (shard.0 + 1, shard.1),
            shards: vec![shard.0 + 1],
            measured: probe.names(),
            cores: probe.cores(),
            lag_limit_micros: lag_limit.as_secs_f64() * 1e6,
            window_seconds: window.as_secs_f64(),
        }
    }

    /// Enters when it began.
    pub fn begun_at(mut self, unix: u64) -> Self {
        self.started = UnixSeconds(i64::try_from(unix).unwrap_or_default()).to_string();
        self
    }
}

fn describe(kind: &Kind) -> Asked {
    let Kind { name, share, method, target, signing, credential: _, body, content: _, session, flaw: _, expect } = kind;
    let signed = match signing {
        Signing::Rfc9421 => "signed with RFC 9421",
        Signing::SigV4 => "signed with SigV4",
        Signing::Unsigned => "not signed",
    };
    let within =
        session.as_ref().map_or_else(String::new, |service| format!(" within a session for {}", service.as_str()));
    let body = if *body > 0 { format!(", body of {}", Size(*body)) } else { String::new() };
    let code = expect.code.as_ref().map_or_else(String::new, |code| format!(" {code}"));
    let percent = f64::from(*share) / 100.0;
    let what = format!("{percent} % {method} {target}, {signed}{within}{body}, expects {}{code}", expect.status);
    Asked { name: name.clone(), what }
}
