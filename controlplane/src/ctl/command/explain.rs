//! `explain`: why a request was, or would be, refused, as a checklist.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::ctl::arguments::{Connection, ExplainArguments};
use crate::ctl::client::Client;
use crate::ctl::failure::{Exit, Failure};
use crate::ctl::node;
use crate::ctl::output::{Output, items, note, text};
use crate::ctl::shown;

pub fn explain(connection: &Connection, output: &Output, arguments: &ExplainArguments) -> Result<Exit, Failure> {
    let answer = match &arguments.node {
        Some(node) => ask_node(node, arguments)?,
        None => ask_all(&Client::new(connection)?, arguments)?,
    };
    let explanations = items(&answer, "explanations");
    output.write(&answer, || people(explanations))?;
    for one in items(&answer, "not_asked") {
        note(&format!("not asked: {}: {}", text(one, "node"), text(one, "why")));
    }
    if explanations.is_empty() {
        return Err(nobody_knows(&answer, arguments));
    }
    let refused = explanations.iter().any(|one| !one.get("code").is_none_or(Value::is_null));
    Ok(if refused { Exit::Differences } else { Exit::Done })
}

fn ask_all(client: &Client, arguments: &ExplainArguments) -> Result<Value, Failure> {
    let body = match &arguments.request_id {
        Some(request_id) => json!({"request_id": request_id}),
        None => json!({"question": question(arguments)}),
    };
    client.post("/v1/explain", &body)
}

/// The same answer, from one node's own socket.
fn ask_node(node: &Path, arguments: &ExplainArguments) -> Result<Value, Failure> {
    let explanation = match &arguments.request_id {
        Some(request_id) => node::ask(node, "GET", &format!("/v1/decisions/{}", id(request_id)?), "")?,
        None => node::ask(node, "POST", "/v1/explain", &question(arguments).to_string())?,
    };
    Ok(json!({"explanations": [explanation], "without": [], "not_asked": []}))
}

fn id(request_id: &str) -> Result<&str, Failure> {
    let is_id = !request_id.is_empty() && request_id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hint = "It stands in the refusal, as `request_id` and as the header `lgsp-request-id`.";
    let wrong = || Failure::new(Exit::Usage, format!("`{request_id}` is not a request id"), hint);
    is_id.then_some(request_id).ok_or_else(wrong)
}

fn question(arguments: &ExplainArguments) -> Value {
    let ExplainArguments { request_id: _, node: _, system, access_key, method, path, host, service } = arguments;
    let source = match (system, access_key) {
        (Some(system), _) => json!({"system": system}),
        (None, key) => json!({"access_key": key}),
    };
    let mut question = json!({"as": source, "method": method, "path": path});
    if let Some(fields) = question.as_object_mut() {
        let optional = [("host", host), ("service", service)];
        fields.extend(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), json!(value.as_ref()?)))));
    }
    question
}

fn nobody_knows(answer: &Value, arguments: &ExplainArguments) -> Failure {
    let without = items(answer, "without").len();
    let not_asked = items(answer, "not_asked").len();
    if without + not_asked == 0 {
        let hint = "Start one, or ask one on its own machine: `--node /var/lib/lgsp-dataplane/admin.sock`.";
        return Failure::new(Exit::Refused, "no node has reported, so none can be asked", hint);
    }
    let what =
        if arguments.request_id.is_some() { "no node remembers a refusal of that name" } else { "no node answers" };
    let message = format!("{what}: {without} were asked and {not_asked} could not be");
    let hint = "Nodes remember refusals for 15 minutes; the records keep them for good.";
    Failure::new(Exit::Refused, message, hint)
}

/// One checklist for all nodes that say the same.
fn people(explanations: &[Value]) -> String {
    let mut alike: BTreeMap<(String, String), Vec<&Value>> = BTreeMap::new();
    for one in explanations {
        alike.entry((text(one, "decision_id"), text(one, "revision"))).or_default().push(one);
    }
    let blocks: Vec<String> = alike.values().filter_map(|nodes| Some(block(nodes.first()?, nodes))).collect();
    blocks.join("\n")
}

fn block(one: &Value, nodes: &[&Value]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| text(node, "node")).collect();
    let mut lines = format!("{}, revision {}\n", names.join(", "), text(one, "revision"));
    if let Some(recorded) = one.get("recorded") {
        let field = |name: &str| text(recorded, name);
        lines.push_str(&format!(
            "{} {} at {} by {}, {}\n",
            field("method"),
            field("path"),
            field("host"),
            field("access_key"),
            field("at")
        ));
        if recorded.get("revision") != one.get("revision") {
            lines.push_str(&format!(
                "decided by revision {}; explained with revision {}\n",
                field("revision"),
                text(one, "revision")
            ));
        }
    }
    lines.push_str(&match (one.get("recorded").is_some(), text(one, "code").as_str()) {
        (_, "-") => "would pass\n".to_owned(),
        (true, code) => format!("refused: {code} (decision {})\n", text(one, "decision_id")),
        (false, code) => format!("would be refused: {code} (decision {})\n", text(one, "decision_id")),
    });
    for line in items(one, "lines") {
        let mark = match text(line, "mark").as_str() {
            "pass" => "ok",
            "fail" => "NO",
            "assumed" => "--",
            _ => "??",
        };
        lines.push_str(&format!("  [{mark}] {:<10} {}\n", text(line, "step"), text(line, "text")));
        for fact in items(line, "facts") {
            lines.push_str(&format!("{:18}{}\n", "", shown::inline(fact.as_str().unwrap_or_default())));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explanation(node: &str, code: Value) -> Value {
        json!({
            "node": node, "revision": 7, "code": code, "decision_id": code.as_str().map(|_| "d1"),
            "lines": [
                {"step": "identity", "mark": "pass", "text": "known"},
                {"step": "permission", "mark": "fail", "text": "nothing grants it", "facts": ["p lacks the method"]},
            ],
        })
    }

    #[test]
    fn nodes_that_say_the_same_share_a_checklist() {
        let told = people(&[
            explanation("node-1", json!("permission-missing")),
            explanation("node-2", json!("permission-missing")),
            explanation("node-3", Value::Null),
        ]);
        let expected = "node-1, node-2, revision 7\nwould be refused: permission-missing (decision d1)\n  [ok] identity   known\n  \
                        [NO] permission nothing grants it\n                  p lacks the method\n";
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("node-3, revision 7\nwould pass\n"), "{told}");
    }
}
