//! What an agency had stays with it: a name or a code that ended gives the next who has it neither operators nor papers nor
//! history, and a reorganisation says what becomes of everything bound to its agencies.

use std::time::{SystemTime, UNIX_EPOCH};

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::eventually::eventually;
use serde_json::Value;

use crate::platform::{DEADLINE, OTHERS, Platform, RESOURCES};
use crate::registry::{document, start};

const PASSWORD: &str = "gió mùa đông bắc";
const LETTER: [&str; 4] = ["--letter", "45/QĐ-UBND", "-m", "sắp xếp đơn vị hành chính"];

const AGENCIES: &str = "\
kind: Agency
name: a
spec: {code: H61.1, title: A}
---
kind: System
name: sys-a
spec: {agency: a, title: A}
---
kind: Agency
name: b
spec: {code: H61.2, title: B}
---
kind: System
name: sys-b
spec: {agency: b, title: B}
---
kind: System
name: sys-b-2
spec: {agency: b, title: B}
";

fn json_as(platform: &Platform, who: &str, arguments: &[&str]) -> Value {
    serde_json::from_str(&platform.ok_as(who, &[arguments, &["-o", "json"]].concat(), "")).unwrap()
}

fn names(documents: &Value) -> Vec<&str> {
    documents.as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect()
}

/// Found by trying: a new agency with a document name of before was administered by the operators of the one before, and
/// whoever had a code later read the papers and contacts of those who had it earlier.
#[tokio::test]
async fn a_name_and_a_code_bring_nothing_of_who_had_them_before() {
    let platform = Platform::start().await;
    platform.apply(AGENCIES);
    platform.ok(&["delete", "System/sys-b-2"]);
    platform.join("admin-a", &["--role", "agency-administrator", "--agency", "a"], PASSWORD);
    platform.write("application.yaml", "{agency: H61.1, system: moi, system_title: x, purpose: x, letter: 1/X}");
    platform.ok(&["application", "submit", "-f", "application.yaml"]);
    platform.ok(&["contact", "add", "Agency/H61.1", "--name", "x", "--role", "y", "--phone", "0270 3822222"]);

    let merge = ["agency", "merge", "H61.1", "H61.2", "--into", "H61.9=So moi"];
    let told = platform.json(&[&merge[..], &LETTER, &["--dry-run"]].concat());
    let moved = serde_json::json!([{"what": "Operator/admin-a", "effect": "moved", "to": "Agency/so-moi"}]);
    assert_eq!(told["bound"], moved, "{told}");
    platform.ok(&[&merge[..], &LETTER].concat());
    assert_eq!(names(&json_as(&platform, "admin-a", &["get", "systems"])), ["sys-a", "sys-b"]);

    platform.write("again.yaml", "kind: Agency\nname: a\nspec: {code: H61.50, title: C}\n");
    let again = platform.run(&["apply", "-f", "again.yaml"]);
    assert!(again.code == 4 && again.err.contains("was the document of agency `H61.1`"), "{again:?}");
    platform.apply("kind: Agency\nname: c\nspec: {code: H61.50, title: C}\n");
    platform.join("admin-c", &["--role", "agency-administrator", "--agency", "c"], PASSWORD);
    platform.write("taken.yaml", "kind: System\nname: sys-b-2\nspec: {agency: c, title: mine now}\n");
    let taken = platform.run_as("admin-c", &["apply", "-f", "taken.yaml"], "");
    assert!(taken.code == 4 && taken.err.contains("`System/sys-b-2` was another agency's"), "{taken:?}");

    let rename = ["agency", "rename", "H61.50", "--to", "H61.1", "--title", "C"];
    let told = platform.json(&[&rename[..], &LETTER, &["--dry-run"]].concat());
    assert_eq!(told["bound"][0]["what"], "Code/H61.1", "{told}");
    platform.ok(&[&rename[..], &LETTER].concat());
    assert_eq!(json_as(&platform, "admin-c", &["application", "list"])["applications"], Value::Array(Vec::new()));
    assert_eq!(platform.run_as("admin-c", &["application", "show", "1"], "").code, 3);
    let contacts = json_as(&platform, "admin-c", &["contact", "list", "Agency/H61.1"]);
    assert_eq!(contacts["contacts"], Value::Array(Vec::new()), "the code's contacts of before are not theirs");
    assert_eq!(platform.run_as("admin-c", &["show", "1"], "").code, 3);
    let old = platform.run_as("admin-c", &["get", "--revision", "1", "-o", "json"], "");
    assert!(!old.out.contains("sys-"), "{old:?}");
    let followed = json_as(&platform, "admin-a", &["application", "list"]);
    assert_eq!(followed["applications"][0]["number"], 1, "a merge's successor has the papers: {followed}");
}

#[tokio::test]
async fn a_dissolved_agency_leaves_no_operator() {
    let platform = Platform::start().await;
    platform.apply(AGENCIES);
    platform.join("admin-a", &["--role", "agency-administrator", "--agency", "a"], PASSWORD);
    let dissolve = [&["agency", "dissolve", "H61.1"], &LETTER[..]].concat();
    let told = platform.json(&[&dissolve[..], &["--dry-run"]].concat());
    assert_eq!(told["bound"][0]["what"], "Operator/admin-a", "{told}");
    assert_eq!(told["bound"][0]["effect"], "ended");
    assert_eq!(platform.run_as("admin-a", &["whoami"], "").code, 0);
    platform.ok(&dissolve);
    assert_eq!(platform.run_as("admin-a", &["whoami"], "").code, 3);
}

/// Found by trying: what belongs to an agency now showed it what the same name had held when it was another's.
#[tokio::test]
async fn history_shows_what_was_the_agency_s_when_it_was_made() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.apply(OTHERS);
    platform.join("tu-phap", &["--role", "agency-administrator", "--agency", "so-tu-phap"], PASSWORD);
    platform.apply("kind: System\nname: benh-an\nspec: {agency: so-tu-phap, title: Bệnh án điện tử}\n");
    platform.ok_as("tu-phap", &["get", "System/benh-an"], "");
    let history = json_as(&platform, "tu-phap", &["history"]);
    let revisions: Vec<u64> =
        history["revisions"].as_array().unwrap().iter().map(|one| one["revision"].as_u64().unwrap()).collect();
    assert_eq!(revisions, [3, 1], "the second concerned others alone");
    let second = platform.run_as("tu-phap", &["show", "2"], "");
    assert!(second.code == 3 && second.err.contains("there is no"), "{second:?}");
    let third = json_as(&platform, "tu-phap", &["show", "3"]);
    assert_eq!(third["changes"][0]["document"], "System/benh-an");
}

/// Found by trying: what somebody scheduled who was disabled afterwards was carried out in their name.
#[tokio::test]
async fn a_reorganisation_is_held_when_its_author_may_no_longer_do_it() {
    let platform = start().await;
    platform.join("can-bo", &["--role", "registration-officer"], PASSWORD);
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap();
    let day = UnixSeconds(now + 5).to_string();
    let rename = ["agency", "rename", "000.00.12.H61", "--to", "000.00.19.H61", "--title", "Sở", "--effective", &day];
    platform.ok_as("can-bo", &[&rename[..], &LETTER].concat(), "");
    platform.ok(&["operator", "disable", "can-bo"]);
    let one = || platform.json(&["agency", "reorganisations"])["reorganisations"][0].clone();
    eventually(DEADLINE, "it is held", async || one()["state"] == "held").await;
    assert!(one()["error"].as_str().unwrap().contains("its author `can-bo` may no longer"), "{}", one());
    assert_eq!(document(&platform, "Agency/so-tu-phap")["code"], "000.00.12.H61");
    platform.ok(&["agency", "resume-reorganisation", "1"]);
    eventually(DEADLINE, "it is carried out", async || one()["state"] == "applied").await;
    assert_eq!(document(&platform, "Agency/so-tu-phap")["code"], "000.00.19.H61");
}
