//! Refusals: every error with its path, and nothing changed.

use crate::platform::{Platform, RESOURCES, agency};

const BROKEN: &str = "\
kind: System
name: mot-cua
spec: {agency: nowhere, title: Một cửa}
---
kind: Route
name: x
spec: {service: khai-sinh, path: {prefix: /a//b}, methods: [get]}
---
kind: Permission
name: y
spec: {source: mot-cua, service: khai-sinh, methods: [], paths: [/], only_on: monday}
---
kind: Servise
name: z
spec: {}
";

#[tokio::test]
async fn every_error_is_listed_with_its_file_document_and_path() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.write("broken.yaml", BROKEN);
    let done = platform.run(&["apply", "-f", "broken.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    for expected in [
        "System/mot-cua (broken.yaml, document 1): spec.agency: ",
        "Route/x (broken.yaml, document 2): spec.path.prefix: ",
        "Route/x (broken.yaml, document 2): spec.methods[0]: ",
        "Permission/y (broken.yaml, document 3): spec.methods: ",
        "Permission/y (broken.yaml, document 3): spec.only_on: ",
        "Servise/z (broken.yaml, document 4): kind: ",
    ] {
        assert!(done.err.contains(expected), "{expected} is not in {}", done.err);
    }
    assert!(done.err.contains("\nhint: "), "{done:?}");
    assert_eq!(platform.revision(), 1);
    assert_eq!(platform.bundle(1).await.documents.len(), 5);
    let offline = platform.run(&["validate", "-f", "broken.yaml"]);
    assert_eq!(offline.code, 3, "{offline:?}");
}

#[tokio::test]
async fn a_stale_base_is_a_conflict() {
    let platform = Platform::start().await;
    platform.apply(&agency("a", "A"));
    platform.apply(&agency("b", "B"));
    platform.write("c.yaml", &agency("c", "C"));
    let done = platform.run(&["apply", "-f", "c.yaml", "--base", "1"]);
    assert_eq!(done.code, 4, "{done:?}");
    assert!(done.err.contains("against revision 1, but 2 is current"), "{done:?}");
    assert_eq!(platform.revision(), 2);
    platform.ok(&["apply", "-f", "c.yaml", "--base", "2"]);
}

#[tokio::test]
async fn removing_most_of_it_has_to_be_asked_for() {
    let platform = Platform::start().await;
    let names: Vec<String> = (0..12).map(|number| format!("a{number}")).collect();
    let documents: Vec<String> = names.iter().map(|name| agency(name, "A")).collect();
    platform.apply(&documents.join("---\n"));
    let keys: Vec<String> = names.iter().map(|name| format!("Agency/{name}")).collect();
    let mut arguments: Vec<&str> = std::iter::once("delete").chain(keys.iter().map(String::as_str)).collect();
    let done = platform.run(&arguments);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("--allow-large-removal"), "{done:?}");
    arguments.push("--allow-large-removal");
    platform.ok(&arguments);
    let bundle = platform.bundle(2).await;
    assert!(bundle.documents.is_empty() && bundle.allow_large_removal, "nodes have to be told that it is meant");
}

#[tokio::test]
async fn wrong_usage_unreadable_files_and_an_absent_server_have_their_own_exit_codes() {
    let platform = Platform::start().await;
    assert_eq!(platform.run(&["apply"]).code, 2);
    assert_eq!(platform.run(&["apply", "-f", "missing.yaml"]).code, 5);
    platform.write("a.yaml", &agency("a", "A"));
    let done = platform.run(&["apply", "-f", "a.yaml", "--server", "http://127.0.0.1:1"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert!(done.err.contains("hint: Is `lgsp-controlplane` running there?"), "{done:?}");
}

#[tokio::test]
async fn a_server_does_not_start_with_bad_settings_or_missing_open_or_weak_secrets() {
    let mut platform = Platform::start().await;
    assert_eq!(platform.terminate(), Some(0));
    let run = |arguments: &[&str]| {
        let output = platform.server_command(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let refused = |named: &str| {
        for arguments in [&["check", "--config", "cp.yaml"][..], &["--config", "cp.yaml"]] {
            let (code, told) = run(arguments);
            assert!(code == Some(1) && told.contains(named), "{arguments:?}: {code:?} {told}");
        }
    };
    assert_eq!(run(&["check", "--config", "cp.yaml"]).0, Some(0));
    let mode = |name: &str, mode| {
        std::fs::set_permissions(platform.path(name), std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    };
    mode("seal.key", 0o644);
    refused("chmod 600");
    mode("seal.key", 0o600);
    let good = std::fs::read_to_string(platform.path("seal.key")).unwrap();
    for (key, named) in
        [("ab".repeat(32), "too regular"), ("changeme".into(), "32 random bytes"), (String::new(), "32 random")]
    {
        platform.write("seal.key", &key);
        refused(named);
    }
    std::fs::remove_file(platform.path("seal.key")).unwrap();
    refused("init-key");
    platform.write("seal.key", &good);
    mode("seal.key", 0o600);
    platform.settings(
        "database: postgres://lgsp@127.0.0.1:1/lgsp\ndatabase_password_file: db.password\n",
        "publish: {bundle: bundle.json}\n",
    );
    mode("db.password", 0o644);
    refused("others can use it");
    mode("db.password", 0o600);
    platform.write("db.password", "\n");
    refused("is empty");
    platform.settings("database: postgres://lgsp:geheim@127.0.0.1:1/lgsp\n", "publish: {bundle: bundle.json}\n");
    refused("database_password_file");
    platform.write("cp.yaml", "mood: 1\n");
    refused("mood");
}
