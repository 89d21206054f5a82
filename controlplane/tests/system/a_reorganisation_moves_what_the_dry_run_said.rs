//! A reorganisation moves what its dry run said, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::platform::{OTHERS, Platform};
use crate::registry::{connect, start};

/// A right among others, which no operation below is about.
const RIGHT: &str = "\
kind: Permission
name: benh-an-benh-an
spec: {source: benh-an, service: benh-an, methods: [GET], paths: [/]}
";

/// Every document with its content.
fn documents(platform: &Platform) -> BTreeMap<String, Value> {
    let all = platform.json(&["get"]);
    let label = |one: &Value| format!("{}/{}", one["kind"].as_str().unwrap(), one["name"].as_str().unwrap());
    all.as_array().unwrap().iter().map(|one| (label(one), one["spec"].clone())).collect()
}

/// What of the documents is not the same.
fn moved(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> BTreeSet<String> {
    let names = before.keys().chain(after.keys());
    names.filter(|name| before.get(*name) != after.get(*name)).cloned().collect()
}

#[tokio::test]
async fn each_operation_changes_the_documents_its_dry_run_named_as_changing_and_no_other() {
    let platform = start().await;
    platform.apply(OTHERS);
    platform.apply(RIGHT);
    connect(&platform);
    platform.ok(&["credential", "issue", "mot-cua"]);
    let operations: [&[&str]; 4] = [
        &["rename", "000.00.14.H61", "--to", "000.00.15.H61", "--title", "Trung tâm Hành chính công"],
        &["merge", "000.00.12.H61", "000.00.15.H61", "--into", "000.00.77.H61=Sở Tư pháp và Hành chính công"],
        &[
            "split",
            "000.00.77.H61",
            "--into=000.00.78.H61=Sở Tư pháp",
            "--into=000.00.79.H61=Trung tâm",
            "--system=ho-tich=000.00.78.H61",
            "--system=mot-cua=000.00.79.H61",
        ],
        &["dissolve", "000.00.79.H61"],
    ];
    for operation in operations {
        let arguments = [&["agency"], operation, &["--letter", "1/QĐ", "-m", "sắp xếp"]].concat();
        let before = documents(&platform);
        let told = platform.json(&[&arguments[..], &["--dry-run"]].concat());
        assert_eq!(documents(&platform), before, "{operation:?}");
        let stays = ["stays", "stays-valid", "stays-disabled", "unreachable"];
        let touches = told["touches"].as_array().unwrap();
        let said: BTreeSet<String> = touches
            .iter()
            .filter(|touch| !stays.contains(&touch["effect"].as_str().unwrap()))
            .map(|touch| touch["document"].as_str().unwrap().to_owned())
            .collect();
        platform.ok(&arguments);
        let found = moved(&before, &documents(&platform));
        assert!(!found.is_empty(), "{operation:?}");
        assert_eq!(found, said, "{operation:?}");
        assert!(touches.iter().all(|touch| !touch["document"].as_str().unwrap().contains("benh-an")), "{told}");
    }
}
