//! Whoever is bound to an agency sees and changes what is the agency's, and learns nothing about others.

use serde_json::Value;

use crate::platform::{OTHERS, Platform, RESOURCES};

const PASSWORD: &str = "gió mùa đông bắc";

/// What the others offer, and what they may call of the first agency's.
const RIGHTS: &str = "\
kind: Route
name: benh-an
spec: {service: benh-an, path: {prefix: /benh-an}}
---
kind: Permission
name: y-te-tra-cuu
spec: {source: benh-an, service: khai-sinh, methods: [GET], paths: [/khai-sinh]}
";

/// A platform with two agencies; `tu-phap` administers the first.
async fn two_agencies() -> Platform {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.apply(&format!("{OTHERS}---\n{RIGHTS}"));
    platform.ok(&["credential", "issue", "ho-tich"]);
    platform.ok(&["credential", "issue", "benh-an"]);
    platform.join("tu-phap", &["--role", "agency-administrator", "--agency", "so-tu-phap"], PASSWORD);
    platform
}

fn json(platform: &Platform, arguments: &[&str]) -> Value {
    serde_json::from_str(&platform.ok_as("tu-phap", &[arguments, &["-o", "json"]].concat(), "")).unwrap()
}

#[tokio::test]
async fn lists_history_and_diffs_hold_what_concerns_the_agency() {
    let platform = two_agencies().await;
    let seen = json(&platform, &["get"]);
    let mut names: Vec<String> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|one| format!("{}/{}", one["kind"].as_str().unwrap(), one["name"].as_str().unwrap()))
        .collect();
    names.sort();
    let expected = [
        "Agency/so-tu-phap",
        "Credential/ho-tich-1",
        "Permission/tra-cuu",
        "Permission/y-te-tra-cuu",
        "Route/khai-sinh",
        "Service/khai-sinh",
        "System/ho-tich",
    ];
    assert_eq!(names, expected);
    assert!(!seen.to_string().contains("\"secret\""), "not even sealed");
    let credentials = json(&platform, &["credential", "list"]);
    assert_eq!(credentials["credentials"].as_array().unwrap().len(), 1);
    let history = json(&platform, &["history"]);
    let revisions: Vec<u64> =
        history["revisions"].as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [3, 2, 1]);
    let second = json(&platform, &["show", "2"]);
    assert_eq!(second["changes"].as_array().unwrap().len(), 1, "{second}");
    assert_eq!(second["changes"][0]["document"], "Permission/y-te-tra-cuu");
    for (arguments, code) in [(["show", "4"], 3), (["get", "System/benh-an"], 3), (["get", "Agency/so-y-te"], 3)] {
        let done = platform.run_as("tu-phap", &arguments, "");
        assert_eq!(done.code, code, "{arguments:?}: {done:?}");
        assert!(done.err.contains("there is no"), "{done:?}");
    }
}

#[tokio::test]
async fn changes_within_the_agency_are_made_and_none_beyond_it() {
    let platform = two_agencies().await;
    let before = platform.revision();
    let apply = |documents: &str| {
        platform.write("own.yaml", documents);
        platform.run_as("tu-phap", &["apply", "-f", "own.yaml"], "")
    };
    let refused = [
        "kind: System\nname: benh-an\nspec: {agency: so-tu-phap, title: mine now}\n",
        "kind: System\nname: moi\nspec: {agency: so-y-te, title: x}\n",
        "kind: Service\nname: benh-an\nspec: {system: ho-tich, title: x, endpoints: [{address: '127.0.0.1:1'}]}\n",
        "kind: Permission\nname: moi\nspec: {source: ho-tich, service: benh-an, methods: [GET], paths: [/]}\n",
        "kind: Permission\nname: moi\nspec: {source: benh-an, service: khai-sinh, methods: [GET], paths: [/]}\n",
        "kind: Route\nname: moi\nspec: {service: khai-sinh, path: {prefix: /moi}}\n",
        "kind: Agency\nname: so-tu-phap\nspec: {code: H61, title: x}\n",
    ];
    for documents in refused {
        let done = apply(documents);
        assert_eq!(done.code, 3, "{documents}: {done:?}");
        assert!(done.err.contains("you may not change"), "{documents}: {done:?}");
    }
    let denied: [&[&str]; 7] = [
        &["delete", "System/benh-an"],
        &["credential", "issue", "ho-tich"],
        &["credential", "disable", "benh-an-1"],
        &["nodes"],
        &["publish"],
        &["audit", "list"],
        &["operator", "add", "x", "--role", "system-administrator"],
    ];
    for arguments in denied {
        let done = platform.run_as("tu-phap", arguments, "");
        assert_eq!(done.code, 3, "{arguments:?}: {done:?}");
    }
    assert_eq!(platform.revision(), before);

    let done = apply("kind: System\nname: ho-tich\nspec: {agency: so-tu-phap, title: Hộ tịch mới}\n");
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(platform.revision(), before + 1);
    let done = platform.run_as("tu-phap", &["rollback", "1"], "");
    assert_eq!(done.code, 3, "it would take a permission away: {done:?}");
    let done = platform.run_as("tu-phap", &["rollback", "2"], "");
    assert_eq!(done.code, 0, "its own documents go back, and only they do: {done:?}");
    assert!(platform.ok(&["get", "System/benh-an", "-o", "json"]).contains("Bệnh án"));
}

#[tokio::test]
async fn an_agency_manages_its_own_operators_alone() {
    let platform = two_agencies().await;
    platform.join("y-te", &["--role", "agency-administrator", "--agency", "so-y-te"], PASSWORD);
    let listed = json(&platform, &["operator", "list"]);
    let names: Vec<&str> =
        listed["operators"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["tu-phap"]);
    let own = ["operator", "add", "tu-phap-2", "--role", "agency-administrator", "--agency", "so-tu-phap"];
    platform.ok_as("tu-phap", &own, "");
    for arguments in [
        &["operator", "add", "x", "--role", "observer", "--agency", "so-y-te"][..],
        &["operator", "add", "x", "--role", "service-administrator", "--agency", "so-tu-phap"],
        &["operator", "disable", "y-te"],
        &["operator", "reset-password", "operator"],
        &["operator", "grant", "tu-phap", "observer"],
    ] {
        let done = platform.run_as("tu-phap", arguments, "");
        assert_eq!(done.code, 3, "{arguments:?}: {done:?}");
    }
    platform.ok_as("tu-phap", &["operator", "disable", "tu-phap-2"], "");
}

#[tokio::test]
async fn the_registry_shows_an_agency_its_own_papers_alone_and_takes_no_decision_of_it() {
    let platform = two_agencies().await;
    for (agency, system) in [("000.00.12.H61", "moi-tu-phap"), ("000.00.13.H61", "moi-y-te")] {
        let application = format!("{{agency: {agency}, system: {system}, system_title: x, purpose: x, letter: 1/X}}");
        platform.write("application.yaml", &application);
        platform.ok(&["application", "submit", "-f", "application.yaml"]);
        let subject = format!("Agency/{agency}");
        platform.ok(&["contact", "add", &subject, "--name", system, "--role", "kỹ thuật", "--phone", "0270 3822222"]);
    }
    let applications = json(&platform, &["application", "list"]);
    let systems: Vec<&str> =
        applications["applications"].as_array().unwrap().iter().map(|one| one["system"].as_str().unwrap()).collect();
    assert_eq!(systems, ["moi-tu-phap"]);
    assert_eq!(json(&platform, &["contact", "list", "Agency/000.00.12.H61"])["contacts"][0]["name"], "moi-tu-phap");
    let found = |kind: &str| json(&platform, &[kind, "search"])["entries"].as_array().unwrap().len();
    assert_eq!((found("system"), found("service")), (1, 1));
    let decided = ["--letter", "1/X", "-m", "x"];
    let denied: [&[&str]; 11] = [
        &["application", "show", "2"],
        &["contact", "list", "Agency/000.00.13.H61"],
        &["contact", "list", "System/benh-an"],
        &["system", "approval", "benh-an"],
        &["agency", "search"],
        &["agency", "show", "000.00.13.H61"],
        &["agency", "reorganisations"],
        &["application", "review", "1"],
        &[&["application", "cancel", "1"], &decided[..]].concat(),
        &[&["system", "approve", "ho-tich"], &decided[..]].concat(),
        &[&["agency", "dissolve", "000.00.13.H61", "--dry-run"], &decided[..]].concat(),
    ];
    for arguments in denied {
        let done = platform.run_as("tu-phap", arguments, "");
        assert_eq!(done.code, 3, "{arguments:?}: {done:?}");
        assert!(!done.err.contains("moi-y-te") && !done.err.contains("Sở Y tế"), "{done:?}");
    }
}
