//! `application …`: from the letter that asks for a connection to its end.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::super::apply::summary;
use super::super::credential;
use super::super::wait::{self, Patience};
use super::{LISTED_AT_ONCE, lines};
use crate::ctl::arguments::MadeArguments;
use crate::ctl::arguments::registry::{ApplicationCommand, DecidedArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::{Listing, encoded};
use crate::ctl::output::{Detail, Output, items, raw, table, text};
use crate::operator::Right;

/// Where an application that cannot be read goes wrong.
const HOW_TO_WRITE: &str = "`config/examples/application.yaml` shows how one is written.";

pub fn run(client: &Client, output: &Output, command: ApplicationCommand) -> Result<Exit, Failure> {
    match command {
        ApplicationCommand::Submit { file } => {
            let answer =
                client.post("/v1/applications", &read(&file)?).map_err(|failure| match failure.code.as_str() {
                    "malformed" => Failure { hint: Some(HOW_TO_WRITE.to_owned()), ..failure },
                    _ => failure,
                })?;
            write(output, &answer)
        }
        ApplicationCommand::List { state, agency, system, limit } => {
            list(client, output, &[("state", state), ("agency", agency), ("system", system)], limit)
        }
        ApplicationCommand::Show { number } => write(output, &client.get(&format!("/v1/applications/{number}"))?),
        ApplicationCommand::Review { number } => {
            write(output, &client.post(&format!("/v1/applications/{number}/review"), &json!({}))?)
        }
        ApplicationCommand::Approve { number, decided, issue, save } => {
            approve(client, output, number, &decided, issue, save)
        }
        ApplicationCommand::Refuse { number, decided } => {
            write(output, &client.post(&format!("/v1/applications/{number}/refuse"), &body(&decided))?)
        }
        ApplicationCommand::Cancel { number, decided, waiting } => {
            let answer = client.post(&format!("/v1/applications/{number}/cancel"), &body(&decided))?;
            write_granted(output, &answer)?;
            // An application that was never approved gave nothing that could be taken away.
            let change = answer.get("change").unwrap_or(&Value::Null);
            let ended = answer.pointer("/application/state").is_some_and(|state| state == "cancelled");
            wait::after(client, change, decided.dry_run || !ended, Patience::of(waiting))
        }
    }
}

fn list(client: &Client, output: &Output, filters: &[(&str, Option<String>)], limit: u32) -> Result<Exit, Failure> {
    let given = filters.iter().filter_map(|(name, value)| Some(format!("{name}={}", encoded(value.as_ref()?))));
    let path = format!("/v1/applications?{}", given.collect::<Vec<_>>().join("&"));
    let (field, cursor) = ("applications", "before");
    let answer = Listing { path: &path, field, cursor, page_max: LISTED_AT_ONCE, from: None }.read(client, limit)?;
    let listed = items(&answer, field);
    output.write_list(
        &answer,
        listed,
        |one| text(one, "number"),
        |detail| match detail {
            Detail::Usual => {
                let fields = ["number", "state", "agency", "system", "submitted_at", "letter"];
                let rows: Vec<_> = listed.iter().map(|one| fields.map(|name| text(one, name))).collect();
                table(["NUMBER", "STATE", "AGENCY", "SYSTEM", "HANDED IN", "LETTER"], &rows)
            }
            Detail::Wide => {
                let fields =
                    ["number", "state", "agency", "system", "system_title", "submitted_at", "letter", "purpose"];
                let rows: Vec<_> = listed.iter().map(|one| fields.map(|name| text(one, name))).collect();
                table(["NUMBER", "STATE", "AGENCY", "SYSTEM", "TITLE", "HANDED IN", "LETTER", "PURPOSE"], &rows)
            }
        },
    )?;
    Ok(Exit::Done)
}

/// A decision as it is sent.
pub fn body(decided: &DecidedArguments) -> Value {
    let DecidedArguments { letter, reason, dry_run } = decided;
    json!({"letter": letter, "reason": reason, "dry_run": dry_run})
}

fn approve(
    client: &Client,
    output: &Output,
    number: u64,
    decided: &DecidedArguments,
    issue: bool,
    save: Option<PathBuf>,
) -> Result<Exit, Failure> {
    if issue && !decided.dry_run {
        // Asked before, so that nothing is approved by a command that cannot end.
        may_issue(client)?;
    }
    let answer = client.post(&format!("/v1/applications/{number}/approve"), &body(decided))?;
    if !issue || decided.dry_run {
        return write_granted(output, &answer);
    }
    if save.is_none() {
        // With `--save` the answer that matters is the credential's.
        write_granted(output, &answer)?;
    }
    let system = answer.get("application").map_or("", |application| raw(application, "system"));
    let made = MadeArguments { save, message: format!("first credential, application {number}") };
    credential::issue(client, output, system, None, &made).map_err(|failure| Failure {
        message: format!("application {number} is approved, but no credential was issued: {}", failure.message),
        ..failure
    })
}

fn may_issue(client: &Client) -> Result<(), Failure> {
    let me = client.get("/v1/me")?;
    if items(&me, "rights").iter().any(|right| right == Right::Keys.label()) {
        return Ok(());
    }
    let roles: Vec<&str> = Right::Keys.roles().iter().map(|role| role.label()).collect();
    let message = "you may not issue credentials, so nothing was approved".to_owned();
    let hint = format!("Leave `--issue` out; the role `{}` issues the credential then.", roles.join("`, `"));
    Err(Failure::new(Exit::Refused, message, hint))
}

fn write_granted(output: &Output, answer: &Value) -> Result<Exit, Failure> {
    let (application, change) = (answer.get("application"), answer.get("change"));
    let people = || {
        let state = application
            .map_or_else(String::new, |one| format!("application {} is {}\n", text(one, "number"), text(one, "state")));
        state + &change.map_or_else(String::new, summary)
    };
    output.write(answer, people)?;
    Ok(Exit::Done)
}

fn write(output: &Output, answer: &Value) -> Result<Exit, Failure> {
    output.write(answer, || people(answer))?;
    Ok(Exit::Done)
}

fn people(answer: &Value) -> String {
    let mut shown = format!("application {} is {}\n", text(answer, "number"), text(answer, "state"));
    shown.push_str(&lines(
        answer,
        &[
            ("agency", "agency"),
            ("system", "system"),
            ("title", "system_title"),
            ("purpose", "purpose"),
            ("letter", "letter"),
            ("handed in", "submitted_at"),
        ],
    ));
    for service in items(answer, "services") {
        let field = |name: &str| text(service, name);
        shown.push_str(&format!("  wants {} {} on {}\n", field("service"), field("methods"), field("paths")));
    }
    for contact in items(answer, "contacts") {
        let field = |name: &str| text(contact, name);
        let (name, role, email, phone) = (field("name"), field("role"), field("email"), field("phone"));
        shown.push_str(&format!("  contact {name}, {role}, {email}, {phone}\n"));
    }
    let steps = items(answer, "steps");
    if !steps.is_empty() {
        let row = |one: &Value| ["at", "action", "by", "letter", "reason", "revision"].map(|name| text(one, name));
        shown.push('\n');
        shown.push_str(&table(
            ["WHEN", "WHAT", "BY", "LETTER", "REASON", "REVISION"],
            &steps.iter().map(row).collect::<Vec<_>>(),
        ));
    }
    shown
}

/// An application as it was written; JSON is YAML too.
fn read(path: &Path) -> Result<Value, Failure> {
    let cannot = |error: std::io::Error| {
        let message = format!("cannot read `{}`: {error}", path.display());
        Failure::new(Exit::Unreachable, message, "Give a file, or `-` for standard input.")
    };
    let text = if path == Path::new("-") {
        std::io::read_to_string(std::io::stdin()).map_err(cannot)?
    } else {
        std::fs::read_to_string(path).map_err(cannot)?
    };
    lgsp_shared::yaml::one(&text).map_err(|error| {
        let message = format!("`{}` is not an application: {error}", path.display());
        Failure::new(Exit::Refused, message, HOW_TO_WRITE)
    })
}
