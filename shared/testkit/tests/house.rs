//! The rules of the house that can be checked: who may use what, which licences come in, and how files look.
//!
//! The offline half of `.deny.toml`, and the room table of the data plane. Needs no network and no extra tool.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The largest file, in lines; 300 is wanted.
const FILE_LINES_MAX: usize = 500;

/// Licences that may come in; the same list as in `.deny.toml`.
const LICENCES: [&str; 11] = [
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "CC0-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
];

/// A crate and the only workspace members that may depend on it.
const RESERVED: [(&str, &[&str]); 10] = [
    ("pingora-core", &["lgsp-dataplane", "lgsp-benches"]),
    ("pingora-proxy", &["lgsp-dataplane", "lgsp-benches"]),
    ("sqlx", &["lgsp-controlplane"]),
    ("axum", &["lgsp-controlplane"]),
    ("etcd-client", &["lgsp-etcd", "lgsp-dataplane", "lgsp-controlplane", "lgsp-testkit"]),
    ("lgsp-etcd", &["lgsp-dataplane", "lgsp-controlplane"]),
    ("lgsp-process", &["lgsp-etcd", "lgsp-dataplane", "lgsp-controlplane"]),
    ("lgsp-dataplane", &["lgsp-benches"]),
    ("lgsp-controlplane", &[]),
    (
        "lgsp-testkit",
        &["lgsp-shared", "lgsp-etcd", "lgsp-dataplane", "lgsp-controlplane", "lgsp-loadtest", "lgsp-benches"],
    ),
];

/// Crates nobody may bring in.
const BANNED: [&str; 3] = ["openssl-sys", "native-tls", "httpsig"];

/// What every room of the data plane may stand on.
const GROUND: [&str; 1] = ["clock"];

/// The rooms of the data plane and what each may import of the others.
const ROOMS: [(&str, &[&str]); 13] = [
    ("edge", &["admission", "snapshot", "upstream", "stream", "session", "transfer", "forward", "record", "once"]),
    ("once", &["admission", "cluster"]),
    ("admission", &["snapshot"]),
    ("snapshot", &["upstream", "stream"]),
    ("upstream", &[]),
    ("stream", &[]),
    ("session", &["admission", "snapshot", "record"]),
    ("cluster", &["admission", "record"]),
    ("transfer", &["record"]),
    ("forward", &["admission", "snapshot", "record"]),
    ("record", &["admission", "snapshot"]),
    ("sync", &["snapshot", "upstream"]),
    (
        "runtime",
        &[
            "edge",
            "admission",
            "snapshot",
            "upstream",
            "stream",
            "session",
            "transfer",
            "forward",
            "record",
            "sync",
            "cluster",
            "once",
        ],
    ),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

fn metadata() -> Value {
    let host = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--locked", "--offline", "--filter-platform", &host])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn packages(metadata: &Value) -> &[Value] {
    metadata["packages"].as_array().unwrap()
}

/// Every Rust file of the workspace: path from the root, and content.
fn sources() -> Vec<(String, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&root(), &mut found);
    let relative = |path: &Path| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    found.iter().map(|path| (relative(path), std::fs::read_to_string(path).unwrap())).collect()
}

/// Evaluates an SPDX expression: `OR` needs one side, `AND` both, `WITH` belongs to its licence.
fn accepted(expression: &str) -> bool {
    let expression = expression.trim();
    let split_at = |word: &str| {
        let (mut depth, mut from, mut parts) = (0_usize, 0, Vec::new());
        for (at, letter) in expression.char_indices() {
            match letter {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ if depth == 0 && at >= from && expression[at..].starts_with(word) => {
                    parts.push(&expression[from..at]);
                    from = at + word.len();
                }
                _ => {}
            }
        }
        parts.push(&expression[from..]);
        parts
    };
    let (either, both) = (split_at(" OR "), split_at(" AND "));
    if either.len() > 1 {
        return either.into_iter().any(accepted);
    }
    if both.len() > 1 {
        return both.into_iter().all(accepted);
    }
    match expression.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')) {
        Some(inner) => accepted(inner),
        None => LICENCES.contains(&expression),
    }
}

#[test]
fn licence_expressions_are_understood() {
    for good in ["MIT", "GPL-3.0 OR MIT", "(MIT OR Apache-2.0) AND Unicode-3.0", "Apache-2.0 WITH LLVM-exception OR X"]
    {
        assert!(accepted(good), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(MIT OR Apache-2.0) AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0)"] {
        assert!(!accepted(bad), "{bad}");
    }
}

#[test]
fn every_dependency_has_an_accepted_licence() {
    let metadata = metadata();
    let refused = packages(&metadata).iter().filter(|package| {
        let licence = package["license"].as_str().unwrap_or("none").replace(" / ", " OR ").replace('/', " OR ");
        !accepted(&licence)
    });
    let refused: Vec<String> = refused.map(|package| format!("{}: {}", package["name"], package["license"])).collect();
    assert!(refused.is_empty(), "not in the accepted list of .deny.toml: {refused:#?}");
}

#[test]
fn the_licence_list_is_the_one_in_deny_toml() {
    let deny = std::fs::read_to_string(root().join(".deny.toml")).unwrap();
    let list = deny.split_once("allow = [").unwrap().1.split_once(']').unwrap().0;
    let listed: BTreeSet<&str> = list.split(',').map(|item| item.trim().trim_matches('"')).collect();
    let mut ours: BTreeSet<&str> = LICENCES.into();
    ours.insert("");
    assert_eq!(listed, ours);
}

#[test]
fn only_those_named_use_what_is_reserved_and_nobody_uses_what_is_banned() {
    let metadata = metadata();
    let members: BTreeSet<&str> =
        metadata["workspace_members"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let mut wrong = Vec::new();
    for package in packages(&metadata) {
        let name = package["name"].as_str().unwrap();
        if BANNED.contains(&name) {
            wrong.push(format!("{name} is banned"));
        }
        if !members.contains(package["id"].as_str().unwrap()) {
            continue;
        }
        let uses: BTreeSet<&str> =
            package["dependencies"].as_array().unwrap().iter().map(|used| used["name"].as_str().unwrap()).collect();
        let taken = RESERVED.iter().filter(|(reserved, users)| uses.contains(reserved) && !users.contains(&name));
        wrong.extend(taken.map(|(reserved, users)| format!("{name} uses {reserved}, reserved for {users:?}")));
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn versions_live_only_in_the_root_manifest() {
    for member in ["shared", "shared/etcd", "shared/testkit", "dataplane", "controlplane", "loadtest", "benches"] {
        let manifest = std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap();
        let mut in_dependencies = false;
        for line in manifest.lines() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            }
            let versioned = in_dependencies && line.contains('=') && !line.contains("workspace = true");
            assert!(
                !versioned,
                "{member}/Cargo.toml: `{line}`: name the version in the root's [workspace.dependencies]"
            );
        }
    }
}

/// The rooms a source line of the data plane names: `use crate::edge::…`, `crate::{edge, record}` and so on.
fn rooms_named(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    code.split("crate::")
        .skip(1)
        .flat_map(|after| match after.strip_prefix('{') {
            Some(list) => {
                let items = list.split('}').next().unwrap_or_default().split(',');
                items.map(|item| item.trim().split("::").next().unwrap_or_default().to_owned()).collect::<Vec<_>>()
            }
            None => {
                vec![after.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().unwrap().to_owned()]
            }
        })
        .collect()
}

#[test]
fn a_room_imports_only_what_it_may() {
    let rooms: BTreeMap<&str, &[&str]> = ROOMS.into();
    let mut wrong = Vec::new();
    for (path, content) in sources() {
        let Some(inside) = path.strip_prefix("dataplane/src/") else { continue };
        let room = inside.split('/').next().unwrap().trim_end_matches(".rs");
        if matches!(room, "lib" | "main" | "bin") || GROUND.contains(&room) {
            continue;
        }
        let Some(may) = rooms.get(room) else {
            wrong.push(format!("{path}: `{room}` is no room of the house; see DESIGN.md section 2"));
            continue;
        };
        // Tests may build a room out of its neighbours.
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            continue;
        }
        let code = content.split("#[cfg(test)]").next().unwrap();
        for (number, line) in code.lines().enumerate() {
            let named = rooms_named(line);
            let taken = named
                .iter()
                .filter(|name| *name != room && rooms.contains_key(name.as_str()) && !may.contains(&name.as_str()));
            wrong.extend(taken.map(|name| format!("{path}:{}: `{room}` may not import `{name}`", number + 1)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn pingora_is_named_only_at_the_edge_and_where_the_rooms_are_built() {
    let mut wrong = Vec::new();
    for (path, content) in sources() {
        let room = path.strip_prefix("dataplane/src/").map(|inside| inside.split(['/', '.']).next().unwrap());
        if room.is_some_and(|room| !matches!(room, "edge" | "runtime" | "main")) && content.contains("pingora_") {
            wrong.push(path);
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_shared_language_does_no_io_and_knows_no_clock() {
    let forbidden = [
        "std::fs",
        "std::net::Tcp",
        "std::net::Udp",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "async fn",
        "tokio::",
        "getrandom::",
    ];
    let mut wrong = Vec::new();
    for (path, content) in sources().into_iter().filter(|(path, _)| path.starts_with("shared/src/")) {
        if path.ends_with("/tests.rs") || path.contains("/tests/") {
            continue;
        }
        let code = content.split("#[cfg(test)]").next().unwrap();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in lines {
            wrong.extend(forbidden.iter().filter(|word| line.contains(**word)).map(|word| format!("{path}: {word}")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut wrong = Vec::new();
    for (path, content) in sources() {
        let name = Path::new(&path).file_stem().unwrap().to_string_lossy().into_owned();
        let inner_tests = name == "tests" || path.contains("/tests/");
        if !content.starts_with("//!") && !inner_tests && !path.contains("/fuzz/") {
            wrong.push(format!("{path}: line 1 says what the file is, as `//!`"));
        }
        if content.lines().count() > FILE_LINES_MAX {
            wrong.push(format!("{path}: {} lines, at most {FILE_LINES_MAX}", content.lines().count()));
        }
        if matches!(name.as_str(), "mod" | "util" | "utils" | "helpers" | "common" | "misc") {
            wrong.push(format!("{path}: a name that says nothing"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What a row of the table in `SECURITY.md` must name: a boundary, a threat, what answers it, and the tests that show it.
const SECURITY_COLUMNS: usize = 4;

#[test]
fn every_threat_in_the_security_page_is_shown_by_tests_that_exist() {
    let page = std::fs::read_to_string(root().join("SECURITY.md")).unwrap();
    let sources = sources();
    let stems: BTreeSet<&str> = sources.iter().filter_map(|(path, _)| Path::new(path).file_stem()?.to_str()).collect();
    let exists = |name: &str| {
        let function = format!("fn {name}(");
        stems.contains(name) || sources.iter().any(|(_, text)| text.contains(&function))
    };
    let is_row = |line: &&str| line.starts_with("| ") && !line.starts_with("| boundary") && !line.starts_with("| ---");
    let rows = page.lines().filter(is_row);
    let mut boundaries = BTreeSet::new();
    for row in rows {
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
        assert_eq!(columns.len(), SECURITY_COLUMNS, "{row}");
        boundaries.insert(columns[0]);
        let named: Vec<&str> = columns[3].split('`').skip(1).step_by(2).collect();
        assert!(!named.is_empty(), "no test is named: {row}");
        for name in named {
            assert!(exists(name), "there is no test `{name}`: {row}");
        }
    }
    for boundary in
        ["source", "target", "agency operator", "platform operator", "node", "etcd", "database", "backup", "machine"]
    {
        assert!(boundaries.contains(boundary), "SECURITY.md says nothing of the boundary `{boundary}`");
    }
}
