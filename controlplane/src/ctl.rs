//! `lgspctl`, the operator's command line: speaks HTTP to the control plane and reads files, nothing else.
//!
//! Exit codes: 0 done; 1 there are differences (`diff`), or it is refused (`explain`); 2 wrong usage; 3 refused, or not valid; 4 conflict;
//! 5 unreachable, a file cannot be read or written, or a revision is made and not every node serves it in time.

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod callback;
mod client;
mod command;
mod failure;
mod files;
mod listing;
mod names;
mod node;
mod output;
mod prompt;
mod session;
mod shown;

use arguments::{Arguments, Command, Format};
use client::Client;
use failure::{Exit, Failure};
use output::Output;

/// Runs the command line.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) if error.use_stderr() && wants_json() => {
            output::fail(Format::Json, &misused(&error));
            return Exit::Usage.into();
        }
        // Clap itself ends with 2 on wrong usage, which is also our code for it, and with 0 where it was asked for help.
        Err(error) => error.exit(),
    };
    let format = arguments.output;
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::fail(format, &failure);
            failure.exit.into()
        }
    }
}

/// Whether failures are for a program, also where the arguments are not understood.
fn wants_json() -> bool {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let joined = ["-ojson", "-o=json", "--output=json"];
    let mut pairs = words.iter().zip(words.iter().skip(1));
    words.iter().any(|word| joined.contains(&word.as_str()))
        || pairs.any(|(option, value)| matches!(option.as_str(), "-o" | "--output") && value == "json")
}

/// What clap says as a failure: its first line, and the rest as details.
fn misused(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
    let failure = Failure::new(Exit::Usage, message, "`lgspctl help` lists all commands.");
    Failure { details: lines.map(str::to_owned).collect(), ..failure }
}

fn run(arguments: Arguments) -> Result<Exit, Failure> {
    let Arguments { connection, output, command } = arguments;
    let output = Output::new(output);
    // Only what needs the server asks for a token.
    let client = || Client::new(&connection);
    match command {
        Command::Apply(arguments) => command::apply::apply(&client()?, &output, arguments),
        Command::Delete(arguments) => command::apply::delete(&client()?, &output, arguments),
        Command::Diff(arguments) => command::apply::diff(&client()?, &output, &arguments),
        Command::Validate(arguments) => command::validate::validate(&output, &arguments),
        Command::Describe(arguments) => command::describe::describe(&client()?, &output, &arguments),
        Command::Get(arguments) => command::get::get(&client()?, &output, &arguments),
        Command::History(arguments) => command::history::history(&client()?, &output, &arguments),
        Command::Show(arguments) => command::history::show(&client()?, &output, &arguments),
        Command::Rollback(arguments) => command::history::rollback(&client()?, &output, arguments),
        Command::Credential(command) => command::credential::run(&client()?, &output, command),
        Command::Explain(arguments) => command::explain::explain(&connection, &output, &arguments),
        Command::Reseal(arguments) => command::credential::reseal(&client()?, &output, &arguments),
        Command::Agency(command) => command::registry::agency::run(&client()?, &output, command),
        Command::Application(command) => command::registry::application::run(&client()?, &output, command),
        Command::System(command) => command::registry::participant::system(&client()?, &output, command),
        Command::Service(command) => command::registry::participant::service(&client()?, &output, command),
        Command::Contact(command) => command::registry::contact::run(&client()?, &output, command),
        Command::Notice(command) => command::registry::notice::run(&client()?, &output, command),
        Command::Nodes => command::nodes::nodes(&client()?, &output),
        Command::Login(arguments) => command::login::login(&connection, &output, arguments),
        Command::Logout => command::login::logout(&client()?, &output),
        Command::Whoami => command::login::whoami(&client()?, &output),
        Command::Password => command::login::password(&client()?, &output),
        Command::Factor(command) => command::login::factor(&client()?, &output, command),
        Command::Operator(command) => command::operator::operator(&client()?, &output, command),
        Command::Token(command) => command::operator::token(&client()?, &output, command),
        Command::Audit(command) => command::audit::run(&client()?, &output, command),
        Command::Sign(arguments) => command::sign::sign(&output, &arguments),
        Command::Publish(arguments) => command::nodes::publish(&client()?, &output, &arguments),
        Command::Version => command::about::version(&output),
        Command::Completion { shell } => command::about::completion(&output, shell),
        Command::Man { directory } => command::about::man(&directory),
    }
}
