//! `lgsp-dataplane`: carries signed exchanges between agency systems. Everything is in the library; this is its door.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lgsp_dataplane::runtime::{self, Start};

/// Takes 9 to 12 % off pingora-proxy; resident memory stays flat over long runs.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code for settings, keys, certificates or sockets that cannot be used.
const UNUSABLE: u8 = 2;

const WITHOUT_COMMAND: &str = "\
Without a command the node runs until SIGTERM, and then finishes the exchanges in flight. Any setting can also come from
the environment, with `__` between levels: LGSP_DATAPLANE_LIMITS__CONNECTIONS_MAX=500.";

/// The data plane of an LGSP: authenticates signed requests and streams them to the services they are for.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100, after_help = WITHOUT_COMMAND)]
struct Arguments {
    /// The settings file; `config/examples/dataplane.yaml` shows every key.
    #[arg(long, value_name = "FILE", required = true)]
    config: Option<PathBuf>,
    /// Take the listening sockets over from the running node, which then finishes its exchanges and ends.
    #[arg(long)]
    upgrade: bool,
    /// Write the addresses that were bound to this file, as JSON; for settings with port 0.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read the settings and every file they name, and say what is wrong; starts nothing.
    Check {
        /// The settings file; `config/examples/dataplane.yaml` shows every key.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
}

fn main() -> ExitCode {
    let Arguments { config, upgrade, address_file, command } = Arguments::parse();
    let outcome = match (command, config) {
        (Some(Command::Check { config }), _) => runtime::check(&config).map(|report| {
            // The report of `check` is what this command is for.
            #[expect(clippy::print_stdout, reason = "a command's result goes to standard output")]
            {
                println!("{report}");
            }
        }),
        (None, Some(config)) => runtime::run(Start { config, upgrade, address_file }),
        // clap has refused this already.
        (None, None) => return ExitCode::from(UNUSABLE),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lgsp-dataplane: {error}");
            ExitCode::from(UNUSABLE)
        }
    }
}
