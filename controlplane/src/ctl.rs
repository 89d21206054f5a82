//! `lgspctl`, the operator's command line: speaks HTTP to the control plane and reads files, nothing else.
//!
//! Exit codes: 0 done; 1 there are differences (`diff`), or it is refused (`explain`); 2 wrong usage; 3 refused, or not valid; 4 conflict;
//! 5 unreachable, or a file cannot be read or written.

use std::process::ExitCode;

use clap::Parser;

mod arguments;
mod callback;
mod client;
mod command;
mod failure;
mod files;
mod output;
mod prompt;
mod session;

use arguments::{Arguments, Command};
use client::Client;
use failure::{Exit, Failure};
use output::Output;

/// Runs the command line.
pub fn main() -> ExitCode {
    // Clap itself ends with 2 on wrong usage, which is also our code for it.
    let arguments = Arguments::parse();
    match run(arguments) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            eprint!("{failure}");
            failure.exit.into()
        }
    }
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
        Command::Logout => command::login::logout(&client()?),
        Command::Whoami => command::login::whoami(&client()?, &output),
        Command::Password => command::login::password(&client()?),
        Command::Factor(command) => command::login::factor(&client()?, &output, command),
        Command::Operator(command) => command::operator::operator(&client()?, &output, command),
        Command::Token(command) => command::operator::token(&client()?, &output, command),
        Command::Audit(command) => command::audit::run(&client()?, &output, command),
        Command::Sign(arguments) => command::sign::sign(&output, &arguments),
        Command::Publish(arguments) => command::nodes::publish(&client()?, &output, &arguments),
    }
}
