//! `apply`, `delete` and `diff`: changes, made or only shown.

use std::collections::HashSet;

use lgsp_shared::resource::{Document, Kind};
use serde_json::{Value, json};
use similar::TextDiff;

use super::conflict;
use super::get::pages;
use super::wait::{self, Patience};
use crate::ctl::arguments::{ApplyArguments, ChangeArguments, DeleteArguments, DiffArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::files::{self, Sourced};
use crate::ctl::names;
use crate::ctl::output::{Output, items, note, raw, text, yaml};

/// Lines of context around a difference.
const CONTEXT_LINES: usize = 3;

pub fn apply(client: &Client, output: &Output, arguments: ApplyArguments) -> Result<Exit, Failure> {
    let ApplyArguments { files, mut delete, prune, mut change } = arguments;
    let sourced = files::read(&files.files)?;
    if prune {
        // What is read now is what the change is made against: a revision made meanwhile is a conflict.
        let current = client.get("/v1/documents?limit=1")?.get("revision").and_then(Value::as_u64);
        change.base = change.base.or(current);
        delete.extend(unwritten(client, &sourced)?);
    }
    if !delete.is_empty() {
        delete = names::keys(&delete)?.iter().map(ToString::to_string).collect();
        delete.sort();
        delete.dedup();
    }
    let patience = match (change.wait, delete.is_empty()) {
        (Some(secs), _) => Patience::Secs(secs),
        (None, true) => Patience::None,
        (None, false) => Patience::of(change.waiting),
    };
    self::change(client, output, &sourced, &delete, &change, patience)
}

/// What the current revision has and the files do not, without credentials.
fn unwritten(client: &Client, sourced: &Sourced) -> Result<Vec<String>, Failure> {
    let written: HashSet<(&str, &str)> =
        sourced.documents.iter().map(|one| (one.kind.as_str(), one.name.as_str())).collect();
    let all = pages(client, "/v1/documents", None)?;
    let names = all.iter().map(|one| (raw(one, "kind"), raw(one, "name")));
    Ok(names
        .filter(|key @ (kind, _)| *kind != Kind::Credential.as_str() && !written.contains(key))
        .map(|(kind, name)| format!("{kind}/{name}"))
        .collect())
}

pub fn delete(client: &Client, output: &Output, arguments: DeleteArguments) -> Result<Exit, Failure> {
    let DeleteArguments { keys, files, change } = arguments;
    let mut keys: Vec<String> = match keys.as_slice() {
        [] => Vec::new(),
        named => names::keys(named)?.iter().map(ToString::to_string).collect(),
    };
    if !files.is_empty() {
        let sourced = files::read(&files)?;
        keys.extend(sourced.documents.iter().map(Document::label));
    }
    keys.sort();
    keys.dedup();
    let patience = change.wait.map_or_else(|| Patience::of(change.waiting), Patience::Secs);
    self::change(client, output, &Sourced::default(), &keys, &change, patience)
}

pub fn diff(client: &Client, output: &Output, arguments: &DiffArguments) -> Result<Exit, Failure> {
    let DiffArguments { files, prune } = arguments;
    let sourced = files::read(&files.files)?;
    let deletes = if *prune { unwritten(client, &sourced)? } else { Vec::new() };
    // Showing a large removal is no removal.
    let body = json!({"puts": sourced.documents, "deletes": deletes, "dry_run": true, "allow_large_removal": true});
    let answer = client.post("/v1/changes", &body).map_err(|failure| placed(failure, &sourced))?;
    warn(&answer, &sourced);
    let edits = items(&answer, "edits");
    let differences: String = edits.iter().map(unified).collect::<Result<_, _>>()?;
    output.write(&answer, || differences)?;
    Ok(if edits.is_empty() { Exit::Done } else { Exit::Differences })
}

fn change(
    client: &Client,
    output: &Output,
    sourced: &Sourced,
    deletes: &[String],
    arguments: &ChangeArguments,
    patience: Patience,
) -> Result<Exit, Failure> {
    let ChangeArguments { message, base, dry_run, allow_large_removal, wait: _, waiting: _ } = arguments;
    let body = json!({
        "base": base, "puts": sourced.documents, "deletes": deletes, "message": message, "dry_run": dry_run,
        "allow_large_removal": allow_large_removal,
    });
    let answer = client.post("/v1/changes", &body).map_err(|failure| {
        let failure = conflict::explained(client, failure, *base, sourced, deletes);
        placed(failure, sourced)
    })?;
    warn(&answer, sourced);
    output.write(&answer, || summary(&answer))?;
    wait::after(client, &answer, *dry_run, patience)
}

/// Adds to every detail where its document was read.
fn placed(mut failure: Failure, sourced: &Sourced) -> Failure {
    for detail in &mut failure.details {
        if let Some((label, rest)) = detail.split_once(": ") {
            *detail = format!("{label}{}: {rest}", sourced.place(label));
        }
    }
    failure
}

/// What a change did, for people.
pub fn summary(answer: &Value) -> String {
    let edits = items(answer, "edits");
    let revision = text(answer, "revision");
    if edits.is_empty() {
        return format!("nothing to change: revision {revision} has all of it\n");
    }
    let created = answer.get("created").and_then(Value::as_bool).unwrap_or(false);
    let mut lines = format!("revision {revision} {}\n", if created { "made" } else { "would be made" });
    for edit in edits {
        let is = |field: &str| edit.get(field).is_some_and(|spec| !spec.is_null());
        let mark = match (is("before"), is("after")) {
            (false, _) => '+',
            (true, true) => '~',
            (true, false) => '-',
        };
        lines.push_str(&format!("  {mark} {}\n", text(edit, "document")));
    }
    lines
}

fn warn(answer: &Value, sourced: &Sourced) {
    for warning in items(answer, "warnings") {
        let document = text(warning, "document");
        let place = sourced.place(&document);
        note(&format!("warning: {document}{place}: {}: {}", text(warning, "path"), text(warning, "message")));
    }
}

fn unified(edit: &Value) -> Result<String, Failure> {
    let side = |field: &str| match edit.get(field) {
        None | Some(Value::Null) => Ok(String::new()),
        Some(spec) => yaml(spec),
    };
    let (before, after, document) = (side("before")?, side("after")?, text(edit, "document"));
    let name =
        |side: &str, text: &str| if text.is_empty() { "/dev/null".to_owned() } else { format!("{side}/{document}") };
    Ok(TextDiff::from_lines(&before, &after)
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&name("current", &before), &name("new", &after))
        .to_string())
}
