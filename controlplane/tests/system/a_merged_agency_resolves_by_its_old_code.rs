//! Reorganisations: one operation moves everything, old codes lead to what came after them, and a day to come is waited
//! for.

use std::time::{SystemTime, UNIX_EPOCH};

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::eventually::eventually;

use crate::platform::{DEADLINE, Platform};
use crate::registry::{connect, document, start, start_on_postgresql, target};

const LETTER: [&str; 4] = ["--letter", "45/QĐ-UBND", "-m", "sắp xếp đơn vị hành chính"];

fn reorganise(platform: &Platform, arguments: &[&str]) -> String {
    platform.ok(&[&["agency"], arguments, &LETTER[..]].concat())
}

fn in_seconds(secs: i64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    UnixSeconds(i64::try_from(now).unwrap() + secs).to_string()
}

#[tokio::test]
async fn a_merge_takes_every_system_along_and_the_old_code_still_leads_there() {
    a_merge_takes_every_system_along(&start().await);
}

#[tokio::test]
async fn a_merge_takes_every_system_along_on_postgresql() {
    let (platform, _server) = start_on_postgresql().await;
    a_merge_takes_every_system_along(&platform);
}

fn a_merge_takes_every_system_along(platform: &Platform) {
    connect(platform);
    platform.ok(&["credential", "issue", "mot-cua"]);
    let before = platform.revision();
    let merge = ["merge", "000.00.12.H61", "000.00.14.H61", "--into", "000.00.77.H61=Sở Tư pháp và Hành chính công"];
    reorganise(platform, &merge);
    assert_eq!(platform.revision(), before + 1, "one operation is one revision");
    let (agency, former) =
        ("so-tu-phap-va-hanh-chinh-cong", |system: &str| document(platform, system)["former_agency"]["code"].clone());
    assert_eq!(document(platform, &format!("Agency/{agency}"))["code"], "000.00.77.H61");
    for (system, old) in [("System/ho-tich", "000.00.12.H61"), ("System/mot-cua", "000.00.14.H61")] {
        assert_eq!(document(platform, system)["agency"], agency);
        assert_eq!(former(system), old);
    }
    assert!(document(platform, "Agency/so-tu-phap").is_null() && document(platform, "Agency/ttpvhcc").is_null());
    assert_eq!(document(platform, "Credential/mot-cua-1")["state"], "active");
    assert!(!document(platform, "Permission/mot-cua-khai-sinh").is_null());

    let shown = platform.json(&["agency", "show", "000.00.12.H61"]);
    assert_eq!((&shown["alias"], &shown["agencies"][0]["code"]), (&true.into(), &"000.00.77.H61".into()));
    let history = platform.json(&["agency", "history", "000.00.77.H61"]);
    assert_eq!(history["links"].as_array().unwrap().len(), 2);
    // Files written before would take it all back.
    platform.write("old.yaml", target());
    let old = platform.run(&["apply", "-f", "old.yaml"]);
    assert!(old.code == 4 && old.err.contains("agency history 000.00.12.H61"), "{old:?}");
}

#[tokio::test]
async fn after_the_alias_window_only_the_history_knows_the_old_code() {
    let platform = start().await;
    let rename = ["rename", "000.00.14.H61", "--to", "000.00.15.H61", "--title", "Trung tâm", "--alias-until"];
    reorganise(&platform, &[&rename[..], &[&in_seconds(1)]].concat());
    eventually(DEADLINE, "the window closes", async || platform.run(&["agency", "show", "000.00.14.H61"]).code == 3)
        .await;
    let history = platform.json(&["agency", "history", "000.00.14.H61"]);
    assert_eq!(history["current"][0]["code"], "000.00.15.H61");
}

#[tokio::test]
async fn a_split_says_where_every_system_goes() {
    let platform = start().await;
    let into =
        ["split", "000.00.12.H61", "--into", "000.00.12.H61=Sở Tư pháp", "--into", "000.00.13.H61=Phòng Hộ tịch"];
    let incomplete = platform.run(&[&["agency"], &into[..], &LETTER[..]].concat());
    assert!(incomplete.code == 3 && incomplete.err.contains("System/ho-tich"), "{incomplete:?}");
    reorganise(&platform, &[&into[..], &["--system", "ho-tich=000.00.13.H61"]].concat());
    assert_eq!(document(&platform, "System/ho-tich")["agency"], "phong-ho-tich");
    let kept = platform.json(&["agency", "show", "000.00.12.H61"]);
    assert_eq!(kept["alias"], false);
}

#[tokio::test]
async fn a_dissolved_agency_has_no_keys_and_no_rights() {
    let platform = start().await;
    connect(&platform);
    platform.ok(&["credential", "issue", "mot-cua"]);
    reorganise(&platform, &["dissolve", "000.00.14.H61"]);
    assert_eq!(document(&platform, "Credential/mot-cua-1")["state"], "disabled");
    assert!(document(&platform, "Permission/mot-cua-khai-sinh").is_null());
    assert_eq!(platform.json(&["application", "show", "1"])["state"], "cancelled");
    assert_eq!(platform.run(&["credential", "issue", "mot-cua"]).code, 3);
    assert_eq!(platform.run(&["agency", "show", "000.00.14.H61"]).code, 3);
}

#[tokio::test]
async fn what_is_scheduled_happens_on_its_day_once_and_is_checked_again() {
    let mut platform = start().await;
    let soon = in_seconds(3);
    let rename = ["rename", "000.00.12.H61", "--to", "000.00.19.H61", "--title", "Sở Tư pháp mới", "--effective"];
    let told = reorganise(&platform, &[&rename[..], &[&soon]].concat());
    assert!(told.contains("is scheduled for") && told.contains("cancel-reorganisation 1"), "{told}");
    let later = ["rename", "000.00.14.H61", "--to", "000.00.19.H61", "--title", "Trùng", "--effective", &soon];
    reorganise(&platform, &later);
    let called_off = ["dissolve", "000.00.14.H61", "--effective", &soon];
    reorganise(&platform, &called_off);
    platform.ok(&["agency", "cancel-reorganisation", "3"]);
    assert_eq!(document(&platform, "Agency/so-tu-phap")["code"], "000.00.12.H61");
    platform.kill();
    platform.restart().await;
    eventually(DEADLINE, "both are decided", async || {
        let list = platform.json(&["agency", "reorganisations"]);
        list["reorganisations"].as_array().unwrap().iter().all(|one| one["state"] != "scheduled")
    })
    .await;
    let list = platform.json(&["agency", "reorganisations"]);
    let states: Vec<_> = list["reorganisations"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["cancelled", "failed", "applied"]);
    assert!(list["reorganisations"][1]["error"].as_str().unwrap().contains("`000.00.19.H61` exists"));
    assert_eq!(document(&platform, "Agency/so-tu-phap")["code"], "000.00.19.H61");
    assert_eq!(platform.json(&["agency", "show", "000.00.14.H61"])["alias"], false, "it was not dissolved");
}
