//! Titles, messages and reports of nodes are written by others: whatever they hold, `lgspctl` writes no character that
//! steers a terminal, and none of them begins a line of its own. JSON keeps every value.

use lgsp_shared::keyspace::{NodeState, NodeStatus, StatusError, bundle_status_dir};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;

use crate::platform::{Done, Platform, RESOURCES};

/// Clears the screen, sets the clipboard, begins a line, reorders, hides; control characters of eight bits too.
const HOSTILE: &str = "x\u{1b}[2J\u{1b}]52;c;eA==\u{7}\r\nrevision 999 made\u{202e}y\u{200b}\u{9b}31m\u{2028}z";

fn harmless(what: &[&str], done: &Done) {
    for text in [&done.out, &done.err] {
        let steering = |one: char| {
            (one.is_control() && !matches!(one, '\n' | '\t'))
                || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        };
        assert!(!text.chars().any(steering), "lgspctl {what:?}: {done:?}");
        assert!(!text.lines().any(|line| line.starts_with("revision 999")), "lgspctl {what:?}: {done:?}");
    }
}

#[tokio::test]
async fn whatever_nodes_and_operators_wrote_is_shown_escaped() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let now = UnixSeconds(i64::try_from(now).unwrap());
    let status = NodeStatus {
        node: "node-9".parse().unwrap(),
        state: NodeState::Rejected,
        desired: None,
        active: None,
        hash: None,
        errors: vec![StatusError::new("Agency/a", HOSTILE, HOSTILE)],
        errors_total: 1,
        since: now,
        reported_at: now,
        version: HOSTILE.into(),
        admin: None,
        key_ids: Vec::new(),
        shadow: Vec::new(),
        notices: vec![HOSTILE.into()],
    };
    let directory = bundle_status_dir(&platform.path("bundle.json"));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("node-9.json"), status.to_json()).unwrap();

    // The API may refuse such texts; what it says of them is text of others too.
    let title = json!({"kind": "Agency", "name": "so-tu-phap", "spec": {"code": "000.00.12.H61", "title": HOSTILE}});
    platform.write("hostile.json", &title.to_string());
    let milder = json!({"kind": "Agency", "name": "so-tu-phap", "spec": {"code": "000.00.12.H61", "title": "a\u{202e}b\u{200b}"}});
    platform.write("milder.json", &milder.to_string());
    let commands: [&[&str]; 16] = [
        &["apply", "-f", "hostile.json", "-m", HOSTILE],
        &["apply", "-f", "milder.json", "-m", "a\u{202e}b"],
        &["nodes"],
        &["nodes", "-o", "wide"],
        &["nodes", "-o", "yaml"],
        &["nodes", "-o", "json"],
        &["get", "agencies"],
        &["get", "agencies", "-o", "yaml"],
        &["get", "agencies", "-o", "json"],
        &["describe", "agency", "so-tu-phap"],
        &["history"],
        &["show", "2"],
        &["system", "search", HOSTILE],
        &["diff", "-f", "hostile.json"],
        &["get", HOSTILE],
        &["audit", "list"],
    ];
    for command in commands {
        harmless(command, &platform.run(command));
    }
    let told = platform.json(&["nodes"]);
    assert_eq!(told["nodes"][0]["version"], HOSTILE, "JSON keeps every value");
    assert!(platform.ok(&["nodes"]).contains("\\u{1b}[2J"), "and people see that there is something");
}
