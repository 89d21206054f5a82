//! The command line: what can be asked for, and with which code the program ends.
//!
//! 0 everything holds; 1 the command, a file or the network was wrong; 2 a criterion failed; 3 a regression against the
//! baseline; 4 there is no result.
#![allow(clippy::print_stdout, reason = "a command's result goes to standard output")]

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::scenario::{Rate, Span};

mod capacity;
mod compare;
mod compliance;
mod echo;
mod job;
mod merge;
mod run;
mod save;
mod stop;

/// The command, a file or the network was wrong.
const UNUSABLE: u8 = 1;

/// Load for an LGSP platform: how it answers, how much it holds, and whether it keeps what the regulation demands.
///
/// Ends with 0 when everything holds, 1 when the command, a file or the network was wrong, 2 when a criterion failed,
/// 3 on a regression against the baseline, 4 when there is no result.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a scenario and judge it.
    Run(RunArgs),
    /// Find the highest rate at which every criterion holds, and what stands in the way of more.
    Capacity(CapacityArgs),
    /// Prove what Điều 7 khoản 2, 3 and 4 demand, as a report in Vietnamese and English.
    Compliance(ComplianceArgs),
    /// Compare runs with those of a baseline.
    Compare(CompareArgs),
    /// Make one result of the shards of a plan.
    Merge(MergeArgs),
    /// Run a target service that echoes, sinks, serves bytes, delays and fails on demand.
    Echo(echo::EchoArgs),
}

/// What every kind of run is told.
#[derive(Debug, Args)]
struct LoadArgs {
    /// The scenario; `config/scenarios` holds some to start from.
    #[arg(value_name = "SCENARIO")]
    scenario: PathBuf,
    /// Whom to ask, such as `http://127.0.0.1:8080`.
    #[arg(long, value_name = "URL")]
    target: String,
    /// Ask by this name; it is part of what is signed.
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// The authority that the target's certificate is signed by (PEM).
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Sign with the credential in this file, as `lgspctl credential issue --save` writes it. The first is the one that
    /// requests use which name none.
    #[arg(long = "as", value_name = "[NAME=]FILE")]
    credentials: Vec<String>,
    /// Watch CPU and memory of this process, by pid or program name, its children included. A name that several processes
    /// bear is refused: name each that is meant by pid.
    #[arg(long, value_name = "PID|NAME")]
    sut: Vec<String>,
    /// Watch CPU and memory on this metrics page (`process_cpu_seconds_total`).
    #[arg(long, value_name = "URL")]
    sut_metrics: Option<String>,
    /// Cores the watched processes may use; by default their affinity and quota tell.
    #[arg(long, value_name = "CORES")]
    sut_cores: Option<f64>,
    /// A criterion, such as `p99<50ms`, `errors<0.1%`, `sut_cpu<75%`. May be repeated.
    #[arg(long, value_name = "CRITERION")]
    slo: Vec<String>,
    /// Another rate than the scenario's.
    #[arg(long, value_name = "RATE")]
    rate: Option<Rate>,
    /// Another duration than the scenario's.
    #[arg(long, value_name = "TIME")]
    duration: Option<Span>,
    /// Another number of connections than the scenario's.
    #[arg(long, value_name = "COUNT")]
    connections: Option<usize>,
    /// Measuring threads; by default one for every two cores.
    #[arg(long, value_name = "COUNT")]
    workers: Option<usize>,
    /// No result when the generator itself is later than this at the 99th percentile.
    #[arg(long, value_name = "TIME", default_value = "10ms")]
    lag_limit: Span,
    /// Where results go; by default a new directory below `.local/loadtest`.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Lines in place of the live view.
    #[arg(long)]
    plain: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Send only this part of the plan, such as `1/3`; merge the results with `merge`.
    #[arg(long, value_name = "I/N")]
    shard: Option<String>,
    /// Run so many times; a comparison takes three.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    repeat: usize,
    /// Compare with the runs in this directory; takes `--repeat 3` or more.
    #[arg(long, value_name = "DIR")]
    baseline: Option<PathBuf>,
    /// By how many per cent a metric may be worse than the baseline's.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

#[derive(Debug, Args)]
struct CapacityArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// The first rate that is tried.
    #[arg(long, value_name = "RATE", default_value = "100/s")]
    start: Rate,
    /// The highest rate that is tried.
    #[arg(long, value_name = "RATE", default_value = "100000/s")]
    max: Rate,
    /// How long a rate is tried.
    #[arg(long, value_name = "TIME", default_value = "5s")]
    trial: Span,
    /// How long the answer is tried at the end.
    #[arg(long, value_name = "TIME", default_value = "20s")]
    confirm: Span,
}

#[derive(Debug, Args)]
struct ComplianceArgs {
    #[command(flatten)]
    load: LoadArgs,
    /// Look for the payload in this file or below this directory. What the watched processes have open is searched too.
    #[arg(long, value_name = "PATH")]
    search: Vec<PathBuf>,
    /// Within each of these, every connection has to complete an exchange.
    #[arg(long, value_name = "TIME", default_value = "10s")]
    window: Span,
}

#[derive(Debug, Args)]
struct CompareArgs {
    /// The runs of the baseline: a directory with `run*.json`.
    #[arg(value_name = "BASELINE")]
    baseline: PathBuf,
    /// The runs that are compared with it.
    #[arg(value_name = "CANDIDATE")]
    candidate: PathBuf,
    /// By how many per cent a metric may be worse.
    #[arg(long, value_name = "PERCENT", default_value_t = 5.0)]
    tolerance: f64,
}

#[derive(Debug, Args)]
struct MergeArgs {
    /// The `run.json` of every shard.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A criterion for the whole. May be repeated.
    #[arg(long, value_name = "CRITERION")]
    slo: Vec<String>,
    /// Where the result goes.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Runs the command of this process and returns what to end with.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Nobody may be listening any more.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(UNUSABLE) } else { ExitCode::SUCCESS };
        }
    };
    let done = match cli.command {
        Command::Run(args) => run::run(&args),
        Command::Capacity(args) => capacity::capacity(&args),
        Command::Compliance(args) => compliance::compliance(&args),
        Command::Compare(args) => compare::compare(&args),
        Command::Merge(args) => merge::merge(&args),
        Command::Echo(args) => echo::echo(args).map(|()| None),
    };
    match done {
        Ok(outcome) => ExitCode::from(outcome.map_or(0, crate::verdict::Outcome::exit_code)),
        Err(error) => {
            eprintln!("lgsp-loadtest: {error:#}");
            ExitCode::from(UNUSABLE)
        }
    }
}
