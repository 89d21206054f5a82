//! What only the platform writes or assigns stays so at every door: documents applied, brought back, and made by commands.

use serde_json::Value;

use crate::platform::{Done, OTHERS, Platform, RESOURCES};
use crate::registry::{decide, document};

const PASSWORD: &str = "gió mùa đông bắc";

const ASSIGNED: &str = "\
kind: Agency
name: so-tu-phap
spec: {code: 000.00.12.H61, title: Sở Tư pháp, networks: [10.1.0.0/16], hosts: [tp.vinhlong.gov.vn], paths: [/tu-phap]}
";

/// A platform with two agencies. Of the first, `tu-phap` is the administrator, `dich-vu` has its services and routes, and
/// `khoa` its keys.
async fn two_agencies() -> Platform {
    let platform = Platform::start().await;
    platform.apply(&format!("{RESOURCES}---\n{OTHERS}"));
    for (name, role) in
        [("tu-phap", "agency-administrator"), ("dich-vu", "service-administrator"), ("khoa", "security-officer")]
    {
        platform.join(name, &["--role", role, "--agency", "so-tu-phap"], PASSWORD);
    }
    platform
}

fn apply_as(platform: &Platform, who: &str, documents: &str) -> Done {
    platform.write("own.yaml", documents);
    platform.run_as(who, &["apply", "-f", "own.yaml"], "")
}

fn apply(platform: &Platform, documents: &str) -> Done {
    platform.write("all.yaml", documents);
    platform.run(&["apply", "-f", "all.yaml"])
}

fn assert_refused(done: &Done, part: &str) {
    assert!(done.code == 3 && done.err.contains(part), "no `{part}` in {done:?}");
}

#[tokio::test]
async fn an_endpoint_of_an_agency_is_in_the_networks_assigned_to_it() {
    let platform = two_agencies().await;
    let service = |address: &str| {
        format!(
            "kind: Service\nname: moi\nspec: {{system: ho-tich, title: x, endpoints: [{{address: '{address}'}}]}}\n"
        )
    };
    // Where this platform's etcd, a node's admin listener or a cloud's metadata might be.
    for address in ["127.0.0.1:2379", "169.254.169.254:80", "10.1.2.3:80"] {
        assert_refused(&apply_as(&platform, "tu-phap", &service(address)), "`spec.networks` of the agency");
    }
    assert_refused(&apply_as(&platform, "tu-phap", ASSIGNED), "you may not change");
    platform.apply(ASSIGNED);
    assert_refused(&apply_as(&platform, "tu-phap", &service("127.0.0.1:2379")), "`127.0.0.1:2379` is in no network");
    assert_eq!(apply_as(&platform, "tu-phap", &service("10.1.2.3:80")).code, 0);
}

#[tokio::test]
async fn a_route_of_an_agency_is_at_the_hosts_or_below_the_paths_assigned_to_it() {
    let platform = two_agencies().await;
    let route = |rest: &str| format!("kind: Route\nname: moi\nspec: {{service: khai-sinh, {rest}}}\n");
    for (rest, part) in [
        ("path: {exact: /benh-an/secret}", "`/benh-an/secret` at any host"),
        ("path: {prefix: /}", "`/` at any host"),
        ("path: {prefix: /tu-phap}", "`spec.paths` of the agency"),
        ("path: {prefix: /}, hosts: [tp.vinhlong.gov.vn]", "`spec.hosts` of the agency"),
    ] {
        assert_refused(&apply_as(&platform, "dich-vu", &route(rest)), part);
    }
    platform.apply(ASSIGNED);
    assert_refused(&apply_as(&platform, "dich-vu", &route("path: {exact: /benh-an/secret}")), "at any host");
    for within in ["path: {prefix: /tu-phap/moi}", "path: {prefix: /}, hosts: [tp.vinhlong.gov.vn]"] {
        let done = apply_as(&platform, "dich-vu", &route(within));
        assert_eq!(done.code, 0, "{done:?}");
    }
}

#[tokio::test]
async fn nobody_says_of_an_agency_that_it_was_another_one() {
    let platform = two_agencies().await;
    let claim = "kind: System\nname: ho-tich\nspec: {agency: so-tu-phap, title: x, \
                 former_agency: {code: 000.00.13.H61, until: '2099-01-01T00:00:00Z'}}\n";
    assert_refused(&apply_as(&platform, "tu-phap", claim), "written by reorganisations only");
    assert_refused(&apply(&platform, claim), "written by reorganisations only");
    assert_eq!(document(&platform, "System/ho-tich")["former_agency"], Value::Null);
}

#[tokio::test]
async fn a_code_changes_by_a_reorganisation_only_and_a_title_is_one_line_of_text() {
    let platform = two_agencies().await;
    let agency =
        |code: &str, title: &str| format!("kind: Agency\nname: so-y-te\nspec: {{code: {code}, title: \"{title}\"}}\n");
    assert_refused(&apply(&platform, &agency("000.00.99.H61", "Sở Y tế")), "by a reorganisation only");
    for title in ["", "a\\nb", "a\\u202eb", &"x".repeat(301)] {
        assert_refused(&apply(&platform, &agency("000.00.13.H61", title)), "a title");
        let system = format!("kind: System\nname: ho-tich\nspec: {{agency: so-tu-phap, title: \"{title}\"}}\n");
        assert_refused(&apply_as(&platform, "tu-phap", &system), "a title");
    }
    let steers = apply(&platform, &agency("000.00.13.H61", "\\u001b]0;x\\u0007"));
    assert_refused(&steers, "control character");
    let rename = ["agency", "rename", "000.00.13.H61", "--to", "000.00.99.H61", "--title", "Sở Y tế"];
    decide(&platform, &rename);
    assert_eq!(document(&platform, "Agency/so-y-te")["code"], "000.00.99.H61");
    platform.ok(&["rollback", "1", "-m", "x"]);
    assert_eq!(document(&platform, "Agency/so-y-te")["code"], "000.00.99.H61", "nor by a rollback");
}

#[tokio::test]
async fn what_a_cancellation_withdrew_comes_back_by_no_apply_and_no_rollback() {
    let platform = two_agencies().await;
    let granted =
        "kind: Permission\nname: y-te\nspec: {source: benh-an, service: khai-sinh, methods: [GET], paths: [/]}\n";
    platform.apply(granted);
    let before = platform.revision().to_string();
    decide(&platform, &["system", "cancel", "benh-an"]);
    assert_eq!(document(&platform, "Permission/y-te"), Value::Null);
    for done in [apply(&platform, granted), platform.run(&["rollback", &before, "-m", "x"])] {
        assert!(done.code != 0 && done.err.contains("`System/benh-an` was cancelled"), "{done:?}");
    }
    let to_it = "kind: Permission\nname: toi\nspec: {source: ho-tich, service: benh-an, methods: [GET], paths: [/]}\n";
    assert!(apply(&platform, to_it).err.contains("`System/benh-an` was cancelled"));
    decide(&platform, &["system", "approve", "benh-an"]);
    assert_eq!(apply(&platform, granted).code, 0);
}

#[tokio::test]
async fn sealed_secrets_are_in_no_answer_to_who_may_not_change_credentials() {
    let platform = two_agencies().await;
    platform.ok(&["credential", "issue", "ho-tich"]);
    platform.join("dang-ky", &["--role", "registration-officer"], PASSWORD);
    let cancel = ["system", "cancel", "ho-tich", "--letter", "1/STTTT", "-m", "x", "-o", "json"];
    let dry = platform.ok_as("dang-ky", &[&cancel[..], &["--dry-run"]].concat(), "");
    let done = platform.ok_as("dang-ky", &cancel, "");
    for answer in [dry, done] {
        assert!(answer.contains("Credential/ho-tich-1") && !answer.contains("\"secret\""), "{answer}");
    }
}

#[tokio::test]
async fn neither_sealing_nor_identities_are_an_agency_s() {
    let platform = two_agencies().await;
    let done = platform.run_as("khoa", &["reseal"], "");
    assert!(done.code == 3 && !done.err.contains("node"), "{done:?}");
    let squat =
        ["operator", "add", "x", "--role", "observer", "--agency", "so-tu-phap", "--identity", "giam-doc@stttt"];
    assert_refused(&platform.run_as("tu-phap", &squat, ""), "`identity`");
    platform.ok(&["operator", "add", "giam-doc", "--role", "observer", "--identity", "giam-doc@stttt"]);
}
