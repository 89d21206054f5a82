//! A key exists only for a system that was approved, whichever way somebody tries to make one.

use crate::platform::Platform;
use crate::registry::{DECIDED, decide, document, start, start_on_postgresql};

fn refused(platform: &Platform, system: &str) {
    let done = platform.run(&["credential", "issue", system]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("is not approved") && done.err.contains("lgspctl system approve"), "{}", done.err);
    assert!(platform.json(&["credential", "list"])["credentials"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn from_the_letter_to_the_key_every_step_is_needed_and_recorded() {
    every_step_is_needed_and_recorded(&start().await);
}

#[tokio::test]
async fn from_the_letter_to_the_key_every_step_is_needed_and_recorded_on_postgresql() {
    let (platform, _server) = start_on_postgresql().await;
    every_step_is_needed_and_recorded(&platform);
}

fn every_step_is_needed_and_recorded(platform: &Platform) {
    platform.ok(&["application", "submit", "-f", "application.yaml"]);
    assert_eq!(platform.run(&["credential", "issue", "mot-cua"]).code, 3, "there is no such system yet");
    let approve = [&["application", "approve", "1"][..], &DECIDED].concat();
    let early = platform.run(&approve);
    assert!(early.code == 4 && early.err.contains("review it first"), "{early:?}");
    platform.ok(&["application", "review", "1"]);

    let before = platform.revision();
    let tried = platform.ok(&[&approve[..], &["--dry-run"]].concat());
    assert!(tried.contains("application 1 is reviewing") && tried.contains("+ System/mot-cua"), "{tried}");
    assert_eq!(platform.revision(), before);
    platform.ok(&[&approve[..], &["--issue", "--save", "mot-cua.key"]].concat());
    assert_eq!(platform.revision(), before + 2, "the rights are one revision, the key another");
    assert!(std::fs::read_to_string(platform.path("mot-cua.key")).unwrap().contains("LGSP_SECRET_KEY="));
    assert_eq!(document(platform, "Agency/ttpvhcc")["code"], "000.00.14.H61");
    assert_eq!(document(platform, "Permission/mot-cua-khai-sinh")["methods"][0], "GET");

    let shown = platform.json(&["application", "show", "1"]);
    let steps = shown["steps"].as_array().unwrap();
    let actions: Vec<_> = steps.iter().map(|step| step["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["submit", "review", "approve"]);
    assert_eq!((&steps[2]["letter"], &steps[2]["by"]), (&"12/STTTT".into(), &"operator".into()));
    assert_eq!(steps[2]["revision"], before + 1);
    let everything =
        platform.ok(&["get", "-o", "json"]) + &std::fs::read_to_string(platform.path("bundle.json")).unwrap();
    assert!(!everything.contains("Phòng Kỹ thuật"), "people are in no document");
    assert!(platform.ok(&["contact", "list", "System/mot-cua"]).contains("Phòng Kỹ thuật"));
}

#[tokio::test]
async fn a_system_that_was_only_applied_has_no_key_until_somebody_answers_for_it() {
    let mut platform = start().await;
    refused(&platform, "ho-tich");
    platform.kill();
    platform.restart().await;
    refused(&platform, "ho-tich");
    decide(&platform, &["system", "approve", "ho-tich"]);
    platform.ok(&["credential", "issue", "ho-tich"]);
    let approval = platform.json(&["system", "approval", "ho-tich"]);
    assert_eq!((&approval["approved"], &approval["by"]), (&true.into(), &"operator".into()));
}

#[tokio::test]
async fn a_key_does_not_come_back_through_files_rollback_or_a_name_used_again() {
    let platform = start().await;
    decide(&platform, &["system", "approve", "ho-tich"]);
    platform.ok(&["credential", "issue", "ho-tich"]);
    let working = platform.revision();
    let file = platform.ok(&["get", "Credential/ho-tich-1", "-o", "yaml"]);
    decide(&platform, &["system", "cancel", "ho-tich"]);
    platform.write("old.yaml", &file);
    let applied = platform.run(&["apply", "-f", "old.yaml"]);
    assert!(applied.code == 3 && applied.err.contains("is not approved"), "{applied:?}");
    let back = platform.run(&["rollback", &working.to_string(), "--restore-credentials"]);
    assert!(back.code == 3 && back.err.contains("is not approved"), "{back:?}");
    assert_eq!(document(&platform, "Credential/ho-tich-1")["state"], "disabled");

    // Another system of a name that was approved once.
    decide(&platform, &["system", "approve", "ho-tich"]);
    platform.ok(&["delete", "Credential/ho-tich-1", "Route/khai-sinh", "Service/khai-sinh", "System/ho-tich"]);
    platform.apply(crate::registry::target());
    refused(&platform, "ho-tich");
}

#[tokio::test]
async fn what_was_refused_or_taken_back_leads_to_nothing() {
    let platform = start().await;
    for (number, last) in [("1", "refuse"), ("2", "cancel")] {
        platform.ok(&["application", "submit", "-f", "application.yaml"]);
        let twice = platform.run(&["application", "submit", "-f", "application.yaml"]);
        assert_eq!(twice.code, 4, "one open application per system: {twice:?}");
        platform.ok(&["application", "review", number]);
        decide(&platform, &["application", last, number]);
        let done = platform.run(&[&["application", "approve", number][..], &DECIDED].concat());
        assert_eq!(done.code, 4, "{done:?}");
    }
    assert!(document(&platform, "System/mot-cua").is_null());
    platform.write("impossible.yaml", &crate::registry::APPLICATION.replace("service: khai-sinh", "service: nowhere"));
    let impossible = platform.run(&["application", "submit", "-f", "impossible.yaml"]);
    assert!(impossible.code == 3 && impossible.err.contains("there is no `Service/nowhere`"), "{impossible:?}");
}

#[tokio::test]
async fn a_decision_without_reason_or_letter_is_none() {
    let platform = start().await;
    platform.ok(&["application", "submit", "-f", "application.yaml"]);
    platform.ok(&["application", "review", "1"]);
    let done = platform.run(&["application", "approve", "1", "--letter", " ", "-m", "ok"]);
    assert!(done.code == 3 && done.err.contains("`letter` is empty"), "{done:?}");
    decide(&platform, &["application", "approve", "1"]);
    assert!(!document(&platform, "System/mot-cua").is_null(), "the application was where it had been");
}
