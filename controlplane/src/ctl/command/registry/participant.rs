//! `system …` and `service …`: searched, approved, disconnected.

use serde_json::Value;

use super::super::apply::summary;
use super::super::wait::{self, Patience};
use super::application::body;
use super::{lines, more, search};
use crate::ctl::arguments::registry::{ParticipantArguments, ServiceCommand, SystemCommand};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::encoded;
use crate::ctl::output::{Output, items, table, text};

pub fn system(client: &Client, output: &Output, command: SystemCommand) -> Result<Exit, Failure> {
    match command {
        SystemCommand::Search(arguments) => list(client, output, "/v1/systems", "AGENCY", &arguments),
        SystemCommand::Approval { system } => {
            show(output, &client.get(&format!("/v1/systems/{}/approval", encoded(&system)))?)
        }
        SystemCommand::Approve { system, decided } => {
            let path = format!("/v1/systems/{}/approve", encoded(&system));
            show(output, &client.post(&path, &body(&decided))?)
        }
        SystemCommand::Cancel { system, decided, waiting } => {
            let path = format!("/v1/systems/{}/cancel", encoded(&system));
            let answer = client.post(&path, &body(&decided))?;
            output.write(&answer, || summary(&answer))?;
            wait::after(client, &answer, decided.dry_run, Patience::of(waiting))
        }
    }
}

pub fn service(client: &Client, output: &Output, command: ServiceCommand) -> Result<Exit, Failure> {
    match command {
        ServiceCommand::Search(arguments) => list(client, output, "/v1/services", "SYSTEM", &arguments),
    }
}

fn list(
    client: &Client,
    output: &Output,
    path: &str,
    owner: &str,
    arguments: &ParticipantArguments,
) -> Result<Exit, Failure> {
    let ParticipantArguments { words, limit, after } = arguments;
    let answer = client.get(&format!("{path}{}", search(words, *limit, after.as_ref())))?;
    output.write_list(
        &answer,
        items(&answer, "entries"),
        |one| text(one, "name"),
        |_| {
            let row = |one: &Value| ["name", "title", "owner"].map(|name| text(one, name));
            let rows: Vec<_> = items(&answer, "entries").iter().map(row).collect();
            table(["NAME", "TITLE", owner], &rows) + &more(&answer)
        },
    )?;
    Ok(Exit::Done)
}

fn show(output: &Output, answer: &Value) -> Result<Exit, Failure> {
    output.write(answer, || {
        let approved = answer.get("approved").and_then(Value::as_bool).unwrap_or(false);
        let verdict = if approved { "may have keys" } else { "may have no keys" };
        format!("System/{} {verdict}\n", text(answer, "system"))
            + &lines(
                answer,
                &[
                    ("application", "application"),
                    ("approved by", "by"),
                    ("at", "at"),
                    ("reason", "reason"),
                    ("letter", "letter"),
                    ("withdrawn by", "withdrawn_by"),
                    ("withdrawn at", "withdrawn_at"),
                    ("withdrawn because", "withdrawn_reason"),
                ],
            )
    })?;
    Ok(Exit::Done)
}
