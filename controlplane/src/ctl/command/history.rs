//! `history`, `show` and `rollback`.

use serde_json::{Value, json};

use super::apply::summary;
use super::wait::{self, Patience};
use crate::ctl::arguments::{HistoryArguments, RollbackArguments, ShowArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::listing::Listing;
use crate::ctl::output::{Detail, Output, items, table, text, yaml};

/// Revisions asked for at once.
const LISTED_AT_ONCE: u32 = 500;

pub fn history(client: &Client, output: &Output, arguments: &HistoryArguments) -> Result<Exit, Failure> {
    let HistoryArguments { limit, before } = arguments;
    let (path, field, cursor) = ("/v1/revisions", "revisions", "before");
    let answer = Listing { path, field, cursor, page_max: LISTED_AT_ONCE, from: *before }.read(client, *limit)?;
    let listed = items(&answer, field);
    output.write_list(
        &answer,
        listed,
        |one| text(one, "revision"),
        |detail| match detail {
            Detail::Usual => {
                let fields = ["revision", "created_at", "author", "documents", "message"];
                let rows: Vec<_> = listed.iter().map(|one| fields.map(|name| text(one, name))).collect();
                table(["REVISION", "MADE", "BY", "DOCUMENTS", "MESSAGE"], &rows)
            }
            Detail::Wide => {
                let fields = ["revision", "base", "created_at", "author", "documents", "hash", "message"];
                let rows: Vec<_> = listed.iter().map(|one| fields.map(|name| text(one, name))).collect();
                table(["REVISION", "BASE", "MADE", "BY", "DOCUMENTS", "HASH", "MESSAGE"], &rows)
            }
        },
    )?;
    Ok(Exit::Done)
}

pub fn show(client: &Client, output: &Output, arguments: &ShowArguments) -> Result<Exit, Failure> {
    let answer = client.get(&format!("/v1/revisions/{}", arguments.revision))?;
    let people = people(&answer)?;
    output.write(&answer, || people)?;
    Ok(Exit::Done)
}

fn people(answer: &Value) -> Result<String, Failure> {
    let field = |name: &str| text(answer, name);
    let mut lines = format!(
        "revision {} by {} at {}, from {}\n{}\nhash {}, {} documents\n",
        field("revision"),
        field("author"),
        field("created_at"),
        field("base"),
        field("message"),
        field("hash"),
        field("documents"),
    );
    for change in items(answer, "changes") {
        match change.get("spec") {
            None | Some(Value::Null) => lines.push_str(&format!("\n- {}\n", text(change, "document"))),
            Some(spec) => {
                let spec = yaml(spec)?.lines().map(|line| format!("    {line}\n")).collect::<String>();
                lines.push_str(&format!("\n+ {}\n{spec}", text(change, "document")));
            }
        }
    }
    Ok(lines)
}

pub fn rollback(client: &Client, output: &Output, arguments: RollbackArguments) -> Result<Exit, Failure> {
    let RollbackArguments { revision, message, restore_credentials, dry_run, allow_large_removal, waiting } = arguments;
    let body = json!({
        "message": message, "restore_credentials": restore_credentials, "dry_run": dry_run,
        "allow_large_removal": allow_large_removal,
    });
    let answer = client.post(&format!("/v1/revisions/{revision}/rollback"), &body).map_err(|mut failure| {
        // What usually stands in the way: systems that are gone in the old content, but have credentials by now.
        if failure.details.iter().any(|detail| detail.starts_with("Credential/")) {
            failure.hint = Some(format!(
                "Credentials stay as they are now, and these need what revision {revision} lacks. See what bringing \
                 credentials back would do before doing it: `lgspctl rollback {revision} --restore-credentials \
                 --dry-run`. It removes keys issued since, and keys that were disabled since work again."
            ));
        }
        failure
    })?;
    output.write(&answer, || summary(&answer))?;
    wait::after(client, &answer, dry_run, Patience::of(waiting))
}
