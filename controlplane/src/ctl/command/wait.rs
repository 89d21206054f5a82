//! Waiting until every node that reports serves a revision: what was taken away is refused only then.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::ctl::arguments::WaitArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{counted, items, note, raw, text};
use crate::ctl::shown;

/// Between two looks while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A node that refuses the revision may be healed by publishing it again; after so long its refusal stands.
const REFUSAL_STANDS_AFTER: Duration = Duration::from_secs(3);

/// Whether a command waits, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// It ends when the revision is made.
    None,
    /// Until every node that reports serves the revision, at most so many seconds.
    Secs(u64),
}

impl Patience {
    /// Of a command that takes something away.
    pub fn of(waiting: WaitArguments) -> Self {
        let WaitArguments { no_wait, timeout } = waiting;
        if no_wait { Self::None } else { Self::Secs(timeout) }
    }
}

/// Waits for the revision that `answer` names, unless it was only shown what would happen.
pub fn after(client: &Client, answer: &Value, dry_run: bool, patience: Patience) -> Result<Exit, Failure> {
    let revision = answer.get("revision").and_then(Value::as_u64);
    match (revision, patience, dry_run) {
        (Some(revision), Patience::Secs(secs), false) => {
            let changed = items(answer, "edits").iter().map(|edit| raw(edit, "document")).collect();
            until_everywhere(client, revision, &changed, secs)
        }
        (None, _, _) | (_, Patience::None, _) | (_, _, true) => Ok(Exit::Done),
    }
}

fn until_everywhere(client: &Client, revision: u64, changed: &HashSet<&str>, secs: u64) -> Result<Exit, Failure> {
    let (start, limit) = (Instant::now(), Duration::from_secs(secs));
    loop {
        // A control plane or an etcd that does not answer now may answer before the time is over.
        let missing = match client.get(&format!("/v1/revisions/{revision}/arrival")) {
            Err(failure) if failure.exit == Exit::Unreachable => Missing::one(failure.message),
            Err(failure) => return Err(failure),
            Ok(arrival) => match missing(&arrival, changed) {
                Some(missing) => missing,
                None => {
                    report(&arrival, start.elapsed());
                    return Ok(Exit::Done);
                }
            },
        };
        let waited = start.elapsed();
        if missing.refused && waited >= REFUSAL_STANDS_AFTER.min(limit) {
            let message = format!("revision {revision} is made, but a node refused it");
            let hint = "`lgspctl nodes` shows why; that node serves the revision before.";
            let failure = Failure::new(Exit::Refused, message, hint);
            return Err(Failure { details: missing.lines, ..failure });
        }
        if waited >= limit {
            let message = format!("revision {revision} is made, but is not everywhere after {secs} s");
            let hint = "It goes on arriving: the same command waits again, `lgspctl nodes` shows more.";
            let failure = Failure::new(Exit::Unreachable, message, hint);
            return Err(Failure { details: missing.lines, ..failure });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// What a revision lacks until it is everywhere.
struct Missing {
    lines: Vec<String>,
    refused: bool,
}

impl Missing {
    fn one(line: String) -> Self {
        Self { lines: vec![line], refused: false }
    }
}

/// Nodes that no longer report are not waited for. What a node could not use counts as missing where it is what changed:
/// that node may go on with what it had before.
fn missing(arrival: &Value, changed: &HashSet<&str>) -> Option<Missing> {
    let count = |field: &str| arrival.get(field).and_then(Value::as_u64).unwrap_or(0);
    let (nodes, serving, rejected) = (count("nodes"), count("serving"), count("rejected"));
    if arrival.get("published").and_then(Value::as_bool) != Some(true) {
        return Some(Missing::one(match text(arrival, "error").as_str() {
            "-" => "it is not published".to_owned(),
            error => format!("it is not published: {error}"),
        }));
    }
    if serving >= nodes {
        let unusable = items(arrival, "unusable").iter().filter_map(Value::as_str).filter(|one| changed.contains(one));
        let line = |one| format!("a node cannot use {}, and may go on with what it had before", shown::inline(one));
        let lines: Vec<String> = unusable.map(line).collect();
        return if lines.is_empty() { None } else { Some(Missing { lines, refused: true }) };
    }
    let line =
        |one: &Value| format!("{} is {} and serves {}", text(one, "node"), text(one, "state"), text(one, "active"));
    let named: Vec<String> =
        items(arrival, "missing").iter().filter(|one| text(one, "state") != "stale").map(line).collect();
    let lines = match named.is_empty() {
        true => {
            let (behind, verb) = (nodes - serving, if nodes - serving == 1 { "does" } else { "do" });
            vec![format!("{} of {nodes} {verb} not serve it", counted(behind, "node"))]
        }
        false => named,
    };
    Some(Missing { lines, refused: rejected > 0 })
}

/// Where it has arrived, how long that took, and which nodes were not waited for.
fn report(arrival: &Value, took: Duration) {
    let count = |field: &str| arrival.get(field).and_then(Value::as_u64).unwrap_or(0);
    let (revision, nodes, degraded) = (text(arrival, "revision"), count("nodes"), count("degraded"));
    match nodes {
        0 => note(&format!("revision {revision} is published; no node reports, so none serves it yet")),
        _ => {
            let (nodes, secs) = (counted(nodes, "node"), took.as_secs_f64());
            note(&format!("revision {revision} is published and serves on {nodes}, {secs:.1} s after it was made"));
        }
    }
    if degraded > 0 {
        let degraded = counted(degraded, "node");
        note(&format!("warning: {degraded} cannot use all of it; `lgspctl nodes` shows what"));
    }
    for one in items(arrival, "missing") {
        note(&format!(
            "warning: {} no longer reports: if it still runs, it may serve revision {}",
            text(one, "node"),
            text(one, "active")
        ));
    }
    let silent = count("silent");
    if silent > 0 && items(arrival, "missing").is_empty() {
        note(&format!(
            "warning: {} no longer reports: if it still runs, it may serve an earlier revision",
            counted(silent, "node")
        ));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_revision_is_everywhere_when_it_is_published_and_every_node_that_reports_serves_it() {
        let arrival = |published: bool, nodes: u64, serving: u64| json!({"revision": 7, "published": published, "nodes": nodes, "serving": serving, "rejected": 0, "missing": []});
        assert!(missing(&arrival(true, 2, 2), &HashSet::new()).is_none());
        assert!(missing(&arrival(true, 0, 0), &HashSet::new()).is_none(), "no node is not a missing node");
        assert!(
            missing(&arrival(false, 0, 0), &HashSet::new())
                .is_some_and(|missing| missing.lines == ["it is not published"])
        );
        let one = missing(&arrival(true, 2, 1), &HashSet::new()).unwrap();
        assert_eq!(one.lines, ["1 node of 2 does not serve it"]);
        assert_eq!(
            missing(&json!({}), &HashSet::new()).unwrap().lines,
            ["it is not published"],
            "an answer that says nothing is no yes"
        );
    }

    #[test]
    fn nodes_are_named_where_they_may_be_and_those_that_are_silent_are_not_waited_for() {
        let stale = json!({"node": "gone", "state": "stale", "active": 3});
        let late = json!({"node": "late", "state": "rejected", "active": 6});
        let arrival = json!({
            "revision": 7, "published": true, "nodes": 2, "serving": 1, "rejected": 1, "silent": 1, "missing": [stale, late],
        });
        let missing = missing(&arrival, &HashSet::new()).unwrap();
        assert_eq!((missing.lines, missing.refused), (vec!["late is rejected and serves 6".to_owned()], true));
    }

    #[test]
    fn a_node_that_cannot_use_what_changed_is_missing_and_one_that_lacks_something_else_is_not() {
        let arrival = json!({
            "revision": 7, "published": true, "nodes": 1, "serving": 1, "rejected": 0, "degraded": 1, "missing": [],
            "unusable": ["Credential/a-1"],
        });
        assert!(missing(&arrival, &HashSet::from(["Credential/b-1"])).is_none());
        let missing = missing(&arrival, &HashSet::from(["Credential/a-1"])).unwrap();
        assert!(missing.refused && missing.lines[0].contains("cannot use Credential/a-1"), "{:?}", missing.lines);
    }
}
