//! `nodes` and `publish`: where the current revision is.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::ctl::arguments::PublishArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, items, note, table, text};

/// Between two looks while waiting.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Errors shown per node; all that are reported are in `-o json`.
const ERRORS_SHOWN: usize = 5;

pub fn nodes(client: &Client, output: &Output) -> Result<Exit, Failure> {
    let publish = client.get("/v1/publish")?;
    // Without the nodes' reports, publishing is still told: it is usually the same etcd that does not answer.
    let (mut answer, failure) = match client.get("/v1/nodes") {
        Ok(answer) => (answer, None),
        Err(failure) => (json!({}), Some(failure)),
    };
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("publish".to_owned(), publish.clone());
    }
    output.write(&answer, || people(&answer, &publish))?;
    failure.map_or(Ok(Exit::Done), Err)
}

fn people(answer: &Value, publish: &Value) -> String {
    let mut lines = format!("revision {}, published {}\n", text(publish, "current"), text(publish, "published"));
    if let Some(error) = publish.get("error").and_then(Value::as_str) {
        match text(publish, "failures").as_str() {
            "0" => lines.push_str(&format!("{error}\n")),
            failures => lines.push_str(&format!("not published after {failures} attempts: {error}\n")),
        }
    }
    match publish.get("leader").and_then(Value::as_str) {
        Some(leader) => lines.push_str(&format!("this control plane follows; `{leader}` publishes\n")),
        None => lines.push_str(&format!("this control plane is {}\n", text(publish, "role"))),
    }
    let nodes = items(answer, "nodes");
    let row = |one: &Value| {
        let [node, state, desired, active, errors, version] =
            ["node", "state", "desired", "active", "errors_total", "version"].map(|name| text(one, name));
        let age = one.get("age_secs").and_then(Value::as_u64).map(age).unwrap_or_default();
        let keys: Vec<&str> = items(one, "key_ids").iter().filter_map(Value::as_str).collect();
        [node, state, desired, active, age, errors, version, keys.join(" ")]
    };
    let rows: Vec<_> = nodes.iter().map(row).collect();
    lines.push_str(&table(["NODE", "STATE", "DESIRED", "SERVES", "AGE", "ERRORS", "VERSION", "KEYS"], &rows));
    for node in nodes {
        let errors = items(node, "errors");
        if !errors.is_empty() {
            lines.push_str(&format!("{}: {} errors\n", text(node, "node"), text(node, "errors_total")));
        }
        for error in errors.iter().take(ERRORS_SHOWN) {
            let told = ["document", "path", "message"].map(|name| text(error, name));
            let told: Vec<String> = told.into_iter().filter(|text| text != "-").collect();
            lines.push_str(&format!("  {}\n", told.join(": ")));
        }
    }
    lines
}

/// How long ago, in the largest unit that fits.
fn age(secs: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(length, _)| secs >= *length);
    unit.map_or_else(|| format!("{secs}s"), |(length, unit)| format!("{}{unit}", secs / length))
}

pub fn publish(client: &Client, output: &Output, arguments: &PublishArguments) -> Result<Exit, Failure> {
    let PublishArguments { allow_older, allow_large_removal } = arguments;
    let body = json!({"allow_older": allow_older, "allow_large_removal": allow_large_removal});
    let answer = client.post("/v1/publish", &body)?;
    output.write(&answer, || {
        format!("publishing revision {}; `lgspctl nodes` shows how far it is\n", text(&answer, "current"))
    })?;
    Ok(Exit::Done)
}

/// Waits until every node that reports serves `revision` or a later one.
pub fn wait_for(client: &Client, revision: Option<u64>, secs: u64) -> Result<Exit, Failure> {
    let Some(revision) = revision else { return Ok(Exit::Done) };
    let end = Instant::now() + Duration::from_secs(secs);
    loop {
        let left = match look(client, revision)? {
            Arrival::Everywhere { nodes, degraded } => {
                note(&format!("revision {revision} is published and serves on {nodes} nodes"));
                if degraded > 0 {
                    note(&format!("warning: {degraded} of them cannot use all of it; `lgspctl nodes` tells what"));
                }
                return Ok(Exit::Done);
            }
            Arrival::Refused(details) => {
                let message = format!("a node refused revision {revision}");
                let failure =
                    Failure::new(Exit::Refused, message, "`lgspctl nodes` tells why; it serves the one before.");
                return Err(Failure { details, ..failure });
            }
            Arrival::Underway(left) => left,
        };
        if Instant::now() >= end {
            let message = format!("revision {revision} is not everywhere after {secs} s");
            let failure = Failure::new(Exit::Unreachable, message, "`lgspctl nodes` tells more.");
            return Err(Failure { details: left, ..failure });
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// How far a revision is; what is missing as lines.
enum Arrival {
    Everywhere { nodes: usize, degraded: usize },
    Underway(Vec<String>),
    Refused(Vec<String>),
}

/// Nodes that no longer report are not waited for.
fn look(client: &Client, revision: u64) -> Result<Arrival, Failure> {
    let publish = client.get("/v1/publish")?;
    if publish.get("published").and_then(Value::as_u64).unwrap_or(0) < revision {
        return Ok(Arrival::Underway(vec![format!("not published: {}", text(&publish, "error"))]));
    }
    let answer = client.get("/v1/nodes")?;
    let reporting: Vec<&Value> = items(&answer, "nodes").iter().filter(|node| text(node, "state") != "stale").collect();
    let lines = |wanted: &dyn Fn(&Value) -> bool| {
        let line = |node: &Value| {
            format!("{} is {} and serves {}", text(node, "node"), text(node, "state"), text(node, "active"))
        };
        reporting.iter().filter(|node| wanted(node)).map(|node| line(node)).collect::<Vec<_>>()
    };
    let refused = lines(&|node| text(node, "state") == "rejected");
    if !refused.is_empty() {
        return Ok(Arrival::Refused(refused));
    }
    let behind = lines(&|node| node.get("active").and_then(Value::as_u64).unwrap_or(0) < revision);
    if !behind.is_empty() {
        return Ok(Arrival::Underway(behind));
    }
    let degraded = lines(&|node| text(node, "state") == "degraded").len();
    Ok(Arrival::Everywhere { nodes: reporting.len(), degraded })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_is_told_with_what_it_shall_serve_serves_and_lacks() {
        let node = |state: &str, active: u64, age: u64, errors: &[Value]| {
            json!({
                "node": format!("node-{state}"), "state": state, "desired": 8, "active": active, "age_secs": age,
                "errors": errors, "errors_total": errors.len(), "version": "0.1.0", "key_ids": ["00aabbcc"],
            })
        };
        let refused = json!({"document": "head", "path": "", "message": "the revision removes 12 of 13 documents"});
        let nodes = [node("synced", 8, 59, &[]), node("rejected", 7, 7_200, &[refused])];
        let told = people(&json!({"nodes": nodes}), &json!({"current": 8, "published": 8, "role": "leading"}));
        let lines: Vec<Vec<&str>> = told.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2], ["NODE", "STATE", "DESIRED", "SERVES", "AGE", "ERRORS", "VERSION", "KEYS"]);
        assert_eq!(lines[3], ["node-synced", "synced", "8", "8", "59s", "0", "0.1.0", "00aabbcc"]);
        assert_eq!(lines[4], ["node-rejected", "rejected", "8", "7", "2h", "1", "0.1.0", "00aabbcc"]);
        assert!(told.contains("node-rejected: 1 errors\n  head: the revision removes 12 of 13 documents"), "{told}");
        assert_eq!([age(60), age(90_000)], ["1m", "1d"]);
    }
}
