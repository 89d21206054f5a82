//! A dry run of a reorganisation names everything it would touch, and touches nothing.

use crate::registry::{connect, start};

#[tokio::test]
async fn a_dry_run_names_every_permission_route_service_system_and_key_and_changes_none() {
    let platform = start().await;
    connect(&platform);
    platform.ok(&["credential", "issue", "mot-cua"]);
    let state = || {
        let directory = platform.ok(&["agency", "search", "--ended", "-o", "json"]);
        (
            platform.revision(),
            platform.ok(&["get", "-o", "json"]),
            directory,
            platform.ok(&["application", "show", "1"]),
        )
    };
    let before = state();
    let letter = ["--letter", "1/QĐ", "-m", "thử", "--dry-run"];
    let effects = |operation: &[&str]| -> Vec<(String, String)> {
        let answer = platform.json(&[&["agency"], operation, &letter[..]].concat());
        let touches = answer["touches"].as_array().unwrap();
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        touches.iter().map(|touch| (text(&touch["document"]), text(&touch["effect"]))).collect()
    };
    let all = |found: &[(String, String)], expected: &[(&str, &str)]| {
        let found: Vec<_> = found.iter().map(|(document, effect)| (document.as_str(), effect.as_str())).collect();
        assert_eq!(found, expected);
    };
    all(
        &effects(&["dissolve", "000.00.14.H61"]),
        &[
            ("System/mot-cua", "stays"),
            ("Credential/mot-cua-1", "disabled"),
            ("Permission/mot-cua-khai-sinh", "withdrawn"),
        ],
    );
    all(
        &effects(&["dissolve", "000.00.12.H61"]),
        &[
            ("System/ho-tich", "stays"),
            ("Service/khai-sinh", "unreachable"),
            ("Route/khai-sinh", "unreachable"),
            ("Permission/mot-cua-khai-sinh", "withdrawn"),
        ],
    );
    all(
        &effects(&["merge", "000.00.12.H61", "000.00.14.H61", "--into", "000.00.12.H61=Sở Tư pháp"]),
        &[
            ("Agency/ttpvhcc", "removed"),
            ("System/ho-tich", "stays"),
            ("System/mot-cua", "changed"),
            ("Credential/mot-cua-1", "stays-valid"),
            ("Service/khai-sinh", "stays"),
            ("Route/khai-sinh", "stays"),
            ("Permission/mot-cua-khai-sinh", "stays"),
        ],
    );
    assert_eq!(state(), before);
    assert!(platform.json(&["agency", "reorganisations"])["reorganisations"].as_array().unwrap().is_empty());
}
