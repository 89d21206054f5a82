//! `lgsp-controlplane`: the server. Arguments in, exit code out; everything else is in the library.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use lgsp_controlplane::backup::{Header, Restored};
use lgsp_controlplane::runtime::{self, Announce, Reload, logging};
use lgsp_controlplane::settings::database::read_password;
use lgsp_controlplane::settings::{Settings, key_file};
use lgsp_shared::seal::KeyId;

const FIRST_START: &str = "\
Without a command the server runs until SIGTERM. The first start:
  lgsp-controlplane init-key seal.key
  lgsp-controlplane check --config controlplane.yaml
  lgsp-controlplane --config controlplane.yaml --token-file operator.token
`config/examples/controlplane.yaml` shows every setting; `lgspctl` is what operators use then.";

/// The LGSP control plane: keeps the configuration, validates it whole, and publishes it to data planes.
#[derive(Debug, Parser)]
#[command(version, args_conflicts_with_subcommands = true, max_term_width = 100, after_help = FIRST_START)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Args)]
struct Serve {
    /// The settings file (YAML); `LGSP_CONTROLPLANE_*` variables come over it.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Write the address that was bound to this file.
    #[arg(long, value_name = "FILE")]
    address_file: Option<PathBuf>,
    /// Write the operator token to this file (mode 0600) when it is made. Without it the first start has to be in a
    /// terminal, where the token is shown.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check the settings and the files they name, and end.
    Check {
        /// The settings file (YAML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Make a file with a new random key-encryption key, mode 0600. An existing file is never replaced.
    InitKey {
        /// The file to make.
        file: PathBuf,
    },
    /// Write everything the database holds to one file, mode 0600; the server may be running. The sealing key is not in
    /// it: keep a copy of the key file elsewhere.
    Backup {
        /// The file to make; an existing one is never replaced.
        #[arg(short, long)]
        file: PathBuf,
        /// The settings file (YAML).
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Put a backup into the database of the settings, SQLite or PostgreSQL; stop every server on it first. What was
    /// published since the backup stays published until `lgspctl publish --allow-older` takes its place. Sessions and
    /// tokens end; `new-token` makes one for the first operator.
    Restore {
        /// The file `backup` made.
        #[arg(short, long)]
        file: PathBuf,
        /// Delete everything in a database that is not empty.
        #[arg(long)]
        replace: bool,
        /// Keep the sessions and tokens of the backup: those that were ended since it was made work again.
        #[arg(long)]
        keep_sessions: bool,
        /// The settings file (YAML).
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// Look at a key file, and let one key follow another.
    ///
    /// To rotate without a pause: `key add`, and give the file to every node; when `lgspctl nodes` shows the new key
    /// everywhere, `key use`, then `lgspctl reseal`; give the file to every node again; then `key remove` the old key,
    /// here and on the nodes. Running programs notice a changed file within seconds.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make the first operator's token anew, in place of a lost one, and give that operator its roles back.
    NewToken {
        /// The settings file (YAML).
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Write it to this file (mode 0600) in place of printing it.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Show the names of the keys in a file; the first seals.
    List {
        /// The key file.
        file: PathBuf,
    },
    /// Add a new random key at the end: it opens what is sealed under it, and does not seal yet.
    Add {
        /// The key file.
        file: PathBuf,
    },
    /// Put a key first, so that it seals from now on. Every node must hold it already.
    Use {
        /// The key file.
        file: PathBuf,
        /// The key's name.
        id: String,
    },
    /// Remove a key that does not seal any more. The database is asked first: while something is sealed under the key, it
    /// stays.
    Remove {
        /// The key file.
        file: PathBuf,
        /// The key's name.
        id: String,
        /// The settings file (YAML), which names the database.
        #[arg(long, value_name = "FILE", required_unless_present = "unasked")]
        config: Option<PathBuf>,
        /// Remove it without asking the database, as from a node's copy of the file. What is still sealed under it is lost.
        #[arg(long, conflicts_with = "config")]
        unasked: bool,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lgsp-controlplane: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[allow(clippy::print_stdout, reason = "what these commands are asked for")]
fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        None => {
            let Serve { config, address_file, token_file } = arguments.serve;
            let settings = load(config.clone())?;
            let log = logging::start(&settings.log)?;
            let reload = Reload { log, load: Box::new(move || load(config.clone())) };
            block_on(runtime::serve(settings, Announce { address_file, token_file }, reload))
        }
        Some(Command::Check { config }) => {
            let settings = load(config)?;
            logging::parse(&settings.log)?;
            let key = key_file::read(&settings.key_file)?;
            settings.database_password_file.as_deref().map(read_password).transpose()?;
            settings.publish.check_files()?;
            println!("the settings are good; the key is {}", key.sealing().id());
            Ok(())
        }
        Some(Command::InitKey { file }) => {
            let key = key_file::make(&file)?;
            println!(
                "key {} is in `{}`; data planes need the same file, and a backup",
                key.sealing().id(),
                file.display()
            );
            Ok(())
        }
        Some(Command::Backup { file, config }) => {
            let settings = load(config)?;
            let made = block_on(async { runtime::backup(&settings, &file).await })?;
            println!("`{}` holds {}", file.display(), rows(&made));
            eprintln!(
                "WARNING: the sealing key {} is NOT in the backup; without `{}` every secret in it is lost. Keep a \
                       copy of that file elsewhere.",
                made.key,
                settings.key_file.display()
            );
            Ok(())
        }
        Some(Command::Restore { file, replace, keep_sessions, config }) => {
            let settings = load(config)?;
            let restored = block_on(async { runtime::restore(&settings, &file, replace, keep_sessions).await })?;
            let Restored { header, revision, bearers_ended } = restored;
            let (rows, made_at) = (rows(&header), &header.made_at);
            println!(
                "restored {rows}, as of {made_at}; revision {revision} is current. Start the server: it publishes,"
            );
            println!("or `lgspctl nodes` tells that something later is published, and what to do.");
            if keep_sessions {
                println!("Sessions and tokens are those of the backup: end those that were ended since.");
            } else {
                println!("{bearers_ended} sessions and tokens were ended; `lgsp-controlplane new-token` makes one.");
            }
            println!("Operators, passwords and keys are those of the backup: disable again what was disabled since.");
            Ok(())
        }
        Some(Command::Key(command)) => key(command),
        Some(Command::NewToken { config, token_file }) => {
            let settings = load(config)?;
            block_on(async move { runtime::new_token(&settings, token_file.as_deref()).await })
        }
    }
}

fn rows(header: &Header) -> String {
    format!("{} rows in {} tables", header.tables.values().sum::<u64>(), header.tables.len())
}

#[allow(clippy::print_stdout, reason = "what these commands are asked for")]
fn key(command: KeyCommand) -> anyhow::Result<()> {
    match command {
        KeyCommand::List { file } => {
            for (at, id) in key_file::read(&file)?.ids().iter().enumerate() {
                println!("{id} {}", if at == 0 { "seals" } else { "opens" });
            }
        }
        KeyCommand::Add { file } => {
            let id = key_file::add(&file)?;
            let file = file.display();
            println!("key {id} is in `{file}` and opens; give the file to every node, then `key use {file} {id}`");
        }
        KeyCommand::Use { file, id } => {
            key_file::put_first(&file, &id)?;
            println!("key {id} seals; run `lgspctl reseal`, and give `{}` to every node", file.display());
        }
        KeyCommand::Remove { file, id, config, unasked } => {
            if !unasked {
                check_unused(&load(config)?, &id)?;
            }
            key_file::remove(&file, &id)?;
            println!("key {id} is no longer in `{}`; remove it from the nodes' files too", file.display());
        }
    }
    Ok(())
}

/// Fails while something is sealed under the key.
fn check_unused(settings: &Settings, id: &str) -> anyhow::Result<()> {
    const NAMED_MAX: usize = 10;
    let key = KeyId::parse(id).with_context(|| format!("`{id}` is not the name of a key: it has eight digits"))?;
    let sealed = block_on(async { runtime::sealed_under(settings, key).await })?;
    if sealed.is_empty() {
        return Ok(());
    }
    let named: Vec<&str> = sealed.iter().take(NAMED_MAX).map(String::as_str).collect();
    let more = if sealed.len() > named.len() { ", …" } else { "" };
    anyhow::bail!(
        "key {id} still seals {} secrets ({}{more}), which would be lost; run `lgspctl reseal` first",
        sealed.len(),
        named.join(", ")
    )
}

fn load(config: Option<PathBuf>) -> anyhow::Result<Settings> {
    let environment =
        std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let settings = Settings::load(config.as_deref(), environment);
    if config.is_some() { Ok(settings?) } else { settings.context("without `--config FILE`") }
}

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting the runtime")?.block_on(work)
}
