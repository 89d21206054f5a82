//! `get`: resources of the current or an older revision.

use std::collections::BTreeMap;

use lgsp_shared::resource::{Kind, ResourceKey};
use serde_json::Value;

use crate::ctl::arguments::GetArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, table, text};

enum What {
    All,
    Kind(Kind),
    One(ResourceKey),
}

pub fn get(client: &Client, output: &Output, arguments: &GetArguments) -> Result<Exit, Failure> {
    let what = arguments.what.as_deref().map_or(Ok(What::All), parse)?;
    let base = match arguments.revision {
        Some(revision) => format!("/v1/revisions/{revision}/documents"),
        None => "/v1/documents".to_owned(),
    };
    let documents = match (&what, arguments.revision) {
        (What::One(key), None) => vec![client.get(&format!("/v1/documents/{}/{}", key.kind, key.name))?],
        (What::One(key), Some(revision)) => {
            let all = pages(client, &base, Some(key.kind))?;
            let found: Vec<Value> = all.into_iter().filter(|one| text(one, "name") == key.name.as_str()).collect();
            if found.is_empty() {
                let message = format!("there is no `{key}` in revision {revision}");
                return Err(Failure::new(
                    Exit::Refused,
                    message,
                    format!("`lgspctl get {} --revision {revision}` lists them.", key.kind),
                ));
            }
            found
        }
        (What::Kind(kind), _) => pages(client, &base, Some(*kind))?,
        (What::All, _) => pages(client, &base, None)?,
    };
    let counts = shadow_counts(client, &documents);
    output.write_documents(&documents, || {
        let row = |one: &Value| [text(one, "kind"), text(one, "name"), summary(one) + &tried(one, &counts)];
        table(["KIND", "NAME", "SUMMARY"], &documents.iter().map(row).collect::<Vec<_>>())
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
            counts.entry(text(count, "permission")).or_default().push(told);
        }
    }
    counts
}

fn is_tried(document: &Value) -> bool {
    text(document, "kind") == Kind::Permission.as_str()
        && document.pointer("/spec/mode").is_some_and(|mode| mode != "enforce")
}

/// `, shadow: 12 on node-1`: how a permission is tried, and what was counted for it.
fn tried(document: &Value, counts: &BTreeMap<String, Vec<String>>) -> String {
    if !is_tried(document) {
        return String::new();
    }
    let mode = document.pointer("/spec/mode").and_then(Value::as_str).unwrap_or_default();
    let counted = counts.get(&text(document, "name")).map_or("not counted yet".to_owned(), |counts| counts.join(", "));
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

/// `routes`, `Route` or `Route/ho-tich`.
fn parse(what: &str) -> Result<What, Failure> {
    let unknown = || {
        let known = Kind::ALL.map(Kind::as_str).join("`, `");
        Failure::new(
            Exit::Usage,
            format!("`{what}` is neither a kind nor `KIND/NAME`"),
            format!("Kinds are `{known}`."),
        )
    };
    let kind = |text: &str| {
        let singular = match text.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None => text.strip_suffix('s').unwrap_or(text).to_owned(),
        };
        Kind::parse(text).or_else(|| Kind::parse(&singular))
    };
    match what.split_once('/') {
        Some((text, name)) => {
            let name = name.parse().map_err(|_| unknown())?;
            Ok(What::One(ResourceKey { kind: kind(text).ok_or_else(unknown)?, name }))
        }
        None => kind(what).map(What::Kind).ok_or_else(unknown),
    }
}

/// The line that tells a person which one it is.
fn summary(document: &Value) -> String {
    let empty = Value::Null;
    let spec = document.get("spec").unwrap_or(&empty);
    match Kind::parse(&text(document, "kind")) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_understood_as_people_write_them() {
        for (text, kind) in [
            ("routes", Kind::Route),
            ("Agency", Kind::Agency),
            ("agencies", Kind::Agency),
            ("defaults", Kind::Defaults),
        ] {
            assert!(matches!(parse(text), Ok(What::Kind(found)) if found == kind), "{text}");
        }
        assert!(matches!(parse("routes/ho-tich"), Ok(What::One(key)) if key.to_string() == "Route/ho-tich"));
        for bad in ["mood", "route/A", "/a", ""] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
