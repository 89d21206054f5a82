//! `nodes` and `publish`: where the current revision is.

use serde_json::{Value, json};

use crate::ctl::arguments::PublishArguments;
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::output::{Output, counted, items, table, text};
use crate::ctl::shown;

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
    output.write_list(&answer, items(&answer, "nodes"), |one| text(one, "node"), |_| people(&answer, &publish))?;
    failure.map_or(Ok(Exit::Done), Err)
}

fn people(answer: &Value, publish: &Value) -> String {
    let mut lines = format!("revision {}, published {}\n", text(publish, "current"), text(publish, "published"));
    if let Some(repair) = publish.get("last_repair").and_then(Value::as_str) {
        let (repairs, repair) = (text(publish, "repairs"), shown::inline(repair));
        lines.push_str(&format!(
            "WARNING: the published configuration was changed outside the control plane and repaired, {repairs} times; \
             last {repair}\n"
        ));
    }
    for notice in items(publish, "notices").iter().filter_map(Value::as_str) {
        lines.push_str(&format!("WARNING: this control plane: {}\n", shown::inline(notice)));
    }
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
            let total = node.get("errors_total").and_then(Value::as_u64).unwrap_or(0);
            lines.push_str(&format!("{}: {}\n", text(node, "node"), counted(total, "error")));
        }
        for notice in items(node, "notices").iter().filter_map(Value::as_str) {
            lines.push_str(&format!("WARNING: {}: {}\n", text(node, "node"), shown::inline(notice)));
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
        assert!(told.contains("node-rejected: 1 error\n  head: the revision removes 12 of 13 documents"), "{told}");
        let noticed = json!({"node": "node-1", "notices": ["`source.accept_unmarked` is set"]});
        let publish = json!({"repairs": 2, "last_repair": "now: head", "notices": ["plain etcd"], "role": "leading"});
        let told = people(&json!({"nodes": [noticed]}), &publish);
        for warning in ["repaired, 2 times; last now: head", "this control plane: plain etcd", "node-1: `source.accept"]
        {
            assert!(told.lines().any(|line| line.starts_with("WARNING: ") && line.contains(warning)), "{told}");
        }
        assert_eq!([age(60), age(90_000)], ["1m", "1d"]);
    }
}
