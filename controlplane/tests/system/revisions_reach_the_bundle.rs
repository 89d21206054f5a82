//! What is applied is published whole; what is rolled back too.

use lgsp_shared::bundle::content_hash;
use serde_json::Value;

use crate::platform::{Platform, RESOURCES, agency};

#[tokio::test]
async fn an_applied_directory_is_in_the_bundle_with_its_hash() {
    let platform = Platform::start().await;
    std::fs::create_dir(platform.path("resources")).unwrap();
    platform.write("resources/all.yaml", RESOURCES);
    let told = platform.ok(&["apply", "-f", "resources", "-m", "first", "--wait"]);
    assert!(told.starts_with("revision 1 made\n  + Agency/so-tu-phap\n"), "{told}");
    let bundle = platform.bundle(1).await;
    assert_eq!(bundle.documents.len(), 5);
    assert_eq!(bundle.hash, content_hash(&bundle.documents));
    let history = platform.json(&["history"]);
    assert_eq!(history["revisions"][0]["message"], "first");
    assert_eq!(history["revisions"][0]["author"], "operator");
    assert_eq!(history["revisions"][0]["hash"], bundle.hash.as_str());
}

#[tokio::test]
async fn differences_are_shown_before_and_gone_after() {
    let platform = Platform::start().await;
    platform.apply(&agency("a", "Cũ"));
    platform.write("new.yaml", &agency("a", "Mới"));
    let diff = platform.run(&["diff", "-f", "new.yaml"]);
    assert_eq!(diff.code, 1, "{diff:?}");
    assert!(diff.out.contains("-title: Cũ\n+title: Mới\n"), "{diff:?}");
    assert_eq!(
        platform.run(&["apply", "-f", "new.yaml", "--dry-run"]).out.lines().next(),
        Some("revision 2 would be made")
    );
    assert_eq!(platform.revision(), 1);
    platform.ok(&["apply", "-f", "new.yaml"]);
    let diff = platform.run(&["diff", "-f", "new.yaml"]);
    assert_eq!((diff.code, diff.out.as_str()), (0, ""));
    assert!(platform.ok(&["apply", "-f", "new.yaml"]).starts_with("nothing to change: revision 2"));
}

#[tokio::test]
async fn a_rollback_is_a_new_revision_with_the_old_content() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    let first = platform.bundle(1).await;
    // A new title; a code changes by reorganisation only.
    platform.apply("kind: Agency\nname: so-tu-phap\nspec: {code: 000.00.12.H61, title: renamed}\n");
    platform.ok(&["delete", "Permission/tra-cuu"]);
    assert_ne!(platform.bundle(3).await.hash, first.hash);
    platform.ok(&["rollback", "1"]);
    let back = platform.bundle(4).await;
    assert_eq!(back.hash, first.hash);
    let show = platform.json(&["show", "4"]);
    assert_eq!(show["message"], "rollback to revision 1");
    assert_eq!(show["changes"].as_array().unwrap().len(), 2);
    assert_eq!(platform.run(&["rollback", "99"]).code, 3);
}

#[tokio::test]
async fn what_get_writes_can_be_applied_again() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    for (format, file) in [("yaml", "all.yaml"), ("json", "all.json")] {
        platform.write(file, &platform.ok(&["get", "-o", format]));
        assert!(platform.ok(&["apply", "-f", file]).starts_with("nothing to change"), "{format}");
    }
    let one: Value = platform.json(&["get", "route/khai-sinh"]);
    assert_eq!(one[0]["spec"]["path"]["prefix"], "/khai-sinh");
    assert_eq!(platform.json(&["get", "agencies", "--revision", "1"]).as_array().unwrap().len(), 1);
    assert_eq!(platform.run(&["get", "route/gone"]).code, 3);
    assert_eq!(platform.run(&["get", "moods"]).code, 2);
}

#[tokio::test]
async fn a_node_that_reports_is_shown_and_waited_for() {
    let platform = Platform::start().await;
    platform.apply(&agency("a", "A"));
    let bundle = platform.bundle(1).await;
    std::fs::create_dir(platform.path("bundle.json.status")).unwrap();
    let report = |revision: u64, state: &str, reported_at: &str| {
        let report = serde_json::json!({
            "node": "node-1", "state": state, "desired": revision, "active": revision, "hash": bundle.hash,
            "since": "2026-11-23T08:00:00Z", "reported_at": reported_at, "version": "0.1.0",
        });
        platform.write("bundle.json.status/node-1.json", &report.to_string());
    };
    let state = || platform.json(&["nodes"])["nodes"][0]["state"].clone();
    // A report from the future is fresh; one from long ago is not.
    report(1, "applied", "2999-01-01T00:00:00Z");
    assert_eq!(state(), "synced");
    report(1, "applied", "2026-01-01T00:00:00Z");
    assert_eq!(state(), "stale");
    report(1, "applied", "2999-01-01T00:00:00Z");
    platform.write("b.yaml", &agency("b", "B"));
    let done = platform.run(&["apply", "-f", "b.yaml", "--wait", "0"]);
    assert_eq!(done.code, 5, "{done:?}");
    assert_eq!(state(), "pending");
    report(2, "rejected", "2999-01-01T00:00:00Z");
    assert_eq!(state(), "rejected");
}
