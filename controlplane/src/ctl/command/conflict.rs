//! A change whose base is no longer current: what the base had, what others made of it, and what this change wants.

use std::collections::{BTreeMap, BTreeSet};

use lgsp_shared::resource::Kind;
use serde_json::Value;
use similar::TextDiff;

use super::get::pages;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::files::Sourced;
use crate::ctl::output::{raw, yaml};

/// Documents whose three sides are shown; the rest is only named.
const SHOWN_MAX: usize = 20;

/// Documents by `Kind/name`.
type Documents = BTreeMap<String, Value>;

/// The refusal with three sides of every document that both changed. Whatever cannot be read leaves it as it was.
pub fn explained(
    client: &Client,
    failure: Failure,
    base: Option<u64>,
    sourced: &Sourced,
    deletes: &[String],
) -> Failure {
    match (failure.exit, base) {
        (Exit::Conflict, Some(base)) => match compare(client, base, sourced, deletes) {
            Ok((details, hint)) => Failure { details, hint: Some(hint), ..failure },
            Err(_) => failure,
        },
        (_, _) => failure,
    }
}

fn compare(
    client: &Client,
    base: u64,
    sourced: &Sourced,
    deletes: &[String],
) -> Result<(Vec<String>, String), Failure> {
    let mut yours: BTreeMap<String, Option<Value>> = deletes.iter().map(|key| (key.clone(), None)).collect();
    yours.extend(sourced.documents.iter().map(|one| (format!("{}/{}", one.kind, one.name), Some(one.spec.clone()))));
    let kinds: BTreeSet<Kind> = yours
        .keys()
        .filter_map(|key| Kind::ALL.into_iter().find(|kind| key.split('/').next() == Some(kind.as_str())))
        .collect();
    let (mut before, mut theirs) = (Documents::new(), Documents::new());
    for kind in kinds {
        before.extend(read(client, &format!("/v1/revisions/{base}/documents"), kind)?);
        theirs.extend(read(client, "/v1/documents", kind)?);
    }
    let current = client.get("/v1/documents?limit=1")?.get("revision").and_then(Value::as_u64).unwrap_or(base);
    let both: Vec<_> = yours
        .iter()
        .filter(|(key, mine)| before.get(*key) != theirs.get(*key) && theirs.get(*key) != mine.as_ref())
        .collect();
    let mut details = Vec::new();
    for (key, mine) in both.iter().take(SHOWN_MAX) {
        details.push(format!("{key}: changed by others since revision {base}, and by you"));
        let sides = [(format!("theirs, revision {current}"), theirs.get(*key)), ("yours".to_owned(), mine.as_ref())];
        for (name, side) in sides {
            let difference = difference(before.get(*key), side, &format!("base, revision {base}"), &name)?;
            details.extend(difference.lines().map(|line| format!("  {line}")));
        }
    }
    details.extend(both.iter().skip(SHOWN_MAX).map(|(key, _)| format!("{key}: changed by others, and by you")));
    let hint = match both.is_empty() {
        true => format!("Others changed nothing of this: apply it again with `--base {current}`."),
        false => format!("Take over what you want of theirs, then apply with `--base {current}`."),
    };
    Ok((details, hint))
}

fn read(client: &Client, path: &str, kind: Kind) -> Result<Documents, Failure> {
    let documents = pages(client, path, Some(kind))?;
    let entry = |one: Value| Some((format!("{kind}/{}", raw(&one, "name")), one.get("spec")?.clone()));
    Ok(documents.into_iter().filter_map(entry).collect())
}

fn difference(before: Option<&Value>, after: Option<&Value>, from: &str, to: &str) -> Result<String, Failure> {
    let side = |spec: Option<&Value>| spec.map_or(Ok(String::new()), yaml);
    let (before, after) = (side(before)?, side(after)?);
    if before == after {
        return Ok(format!("--- {from}\n+++ {to}\n(the same)\n"));
    }
    Ok(TextDiff::from_lines(&before, &after).unified_diff().header(from, to).to_string())
}
