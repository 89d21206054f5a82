//! `history`, `show` and `rollback`.

use serde_json::{Value, json};

use super::apply::summary;
use crate::ctl::arguments::{HistoryArguments, RollbackArguments, ShowArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, table, text, yaml};

pub fn history(client: &Client, output: &Output, arguments: &HistoryArguments) -> Result<Exit, Failure> {
    let HistoryArguments { limit, before } = arguments;
    let before = before.map_or_else(String::new, |before| format!("&before={before}"));
    let answer = client.get(&format!("/v1/revisions?limit={limit}{before}"))?;
    output.write(&answer, || {
        let row =
            |one: &Value| ["revision", "created_at", "author", "documents", "message"].map(|name| text(one, name));
        let rows: Vec<_> = items(&answer, "revisions").iter().map(row).collect();
        table(["REVISION", "MADE", "BY", "DOCUMENTS", "MESSAGE"], &rows)
    })?;
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
    let RollbackArguments { revision, message, restore_credentials, dry_run, allow_large_removal } = arguments;
    let body = json!({
        "message": message, "restore_credentials": restore_credentials, "dry_run": dry_run,
        "allow_large_removal": allow_large_removal,
    });
    let answer = client.post(&format!("/v1/revisions/{revision}/rollback"), &body).map_err(|mut failure| {
        // What usually stands in the way: systems that are gone in the old content, but still have credentials.
        if failure.details.iter().any(|detail| detail.starts_with("Credential/")) {
            failure.hint =
                Some("Credentials stay as they are now; `--restore-credentials` brings them back too.".into());
        }
        failure
    })?;
    output.write(&answer, || summary(&answer))?;
    Ok(Exit::Done)
}
