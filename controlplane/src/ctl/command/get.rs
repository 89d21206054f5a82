//! `get`: resources of the current or an older revision.

use std::collections::BTreeMap;

use lgsp_shared::resource::Kind;
use serde_json::Value;

use crate::ctl::arguments::GetArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::names::{self, What};
use crate::ctl::output::{Detail, Output, items, raw, table, text};

pub fn get(client: &Client, output: &Output, arguments: &GetArguments) -> Result<Exit, Failure> {
    let what = names::what(&arguments.what)?;
    let base = match arguments.revision {
        Some(revision) => format!("/v1/revisions/{revision}/documents"),
        None => "/v1/documents".to_owned(),
    };
    let documents = match (&what, arguments.revision) {
        (What::One(key), None) => vec![client.get(&format!("/v1/documents/{}/{}", key.kind, key.name))?],
        (What::One(key), Some(revision)) => {
            let found = client.get(&format!("{base}/{}/{}", key.kind, key.name)).map_err(|failure| {
                let hint = format!("`lgspctl get {} --revision {revision}` lists them.", key.kind);
                if failure.code == "not-found" { Failure { hint: Some(hint), ..failure } } else { failure }
            })?;
            vec![found]
        }
        (What::Kind(kind), _) => pages(client, &base, Some(*kind))?,
        (What::All, _) => pages(client, &base, None)?,
    };
    let counts = shadow_counts(client, &documents);
    output.write_documents(&documents, |detail| {
        let row = |one: &Value| [text(one, "kind"), text(one, "name"), summary(one) + &tried(one, &counts)];
        let rows = documents.iter().map(row);
        match detail {
            Detail::Usual => table(["KIND", "NAME", "SUMMARY"], &rows.collect::<Vec<_>>()),
            Detail::Wide => {
                let wide =
                    rows.zip(&documents).map(|([kind, name, summary], one)| [kind, name, summary, text(one, "spec")]);
                table(["KIND", "NAME", "SUMMARY", "SPEC"], &wide.collect::<Vec<_>>())
            }
        }
    })?;
    Ok(Exit::Done)
}

/// What nodes counted for permissions that are tried, by permission; asked for only when there is one.
fn shadow_counts(client: &Client, documents: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut counts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    // Without the nodes' reports, or the right to see them, the documents are still told.
    let answer = if documents.iter().any(is_tried) { client.get("/v1/nodes").unwrap_or_default() } else { Value::Null };
    for node in items(&answer, "nodes") {
        for count in items(node, "shadow") {
            let told = format!("{} on {}", text(count, "requests"), text(node, "node"));
            counts.entry(raw(count, "permission").to_owned()).or_default().push(told);
        }
    }
    counts
}

fn is_tried(document: &Value) -> bool {
    raw(document, "kind") == Kind::Permission.as_str()
        && document.pointer("/spec/mode").is_some_and(|mode| mode != "enforce")
}

/// `, shadow: 12 on node-1`: how a permission is tried, and what was counted for it.
fn tried(document: &Value, counts: &BTreeMap<String, Vec<String>>) -> String {
    if !is_tried(document) {
        return String::new();
    }
    let mode = document.pointer("/spec/mode").and_then(Value::as_str).unwrap_or_default();
    let counted = counts.get(raw(document, "name")).map_or("not counted yet".to_owned(), |counts| counts.join(", "));
    format!("; {mode}: {counted}")
}

/// All documents below `base`, page by page.
pub(super) fn pages(client: &Client, base: &str, kind: Option<Kind>) -> Result<Vec<Value>, Failure> {
    let mut documents = Vec::new();
    let mut after = String::new();
    loop {
        let kind = kind.map_or_else(String::new, |kind| format!("&kind={kind}"));
        let page = client.get(&format!("{base}?limit=1000{kind}{after}"))?;
        documents.extend_from_slice(items(&page, "documents"));
        match page.get("next").and_then(Value::as_str) {
            // Kinds and names need no percent-encoding.
            Some(next) => after = format!("&after={next}"),
            None => return Ok(documents),
        }
    }
}

/// The line that tells a person which one it is.
fn summary(document: &Value) -> String {
    let empty = Value::Null;
    let spec = document.get("spec").unwrap_or(&empty);
    match Kind::parse(raw(document, "kind")) {
        Some(Kind::Agency) => format!("{}  {}", text(spec, "code"), text(spec, "title")),
        Some(Kind::System) => format!("{} of {}", text(spec, "title"), text(spec, "agency")),
        Some(Kind::Service) => format!("{} by {}", text(spec, "title"), text(spec, "system")),
        Some(Kind::Credential) => {
            format!("{} {} for {}", text(spec, "access_key"), text(spec, "state"), text(spec, "system"))
        }
        Some(Kind::Route) => format!("{} to {}", text(spec, "path"), text(spec, "service")),
        Some(Kind::Permission) => {
            format!("{} may {} {}", text(spec, "source"), text(spec, "methods"), text(spec, "service"))
        }
        Some(Kind::Defaults) | None => String::new(),
    }
}
