//! What an operator types every day: names as people write them, every format, filters, drift with exit code 1, failures
//! that a program reads, and the command line's own manual.

use serde_json::Value;

use crate::platform::{OTHERS, Platform, RESOURCES, agency};
use crate::registry::{connect, start};

#[tokio::test]
async fn resources_are_named_shown_compared_and_removed_as_people_write_them() {
    let platform = Platform::start().await;
    // A kind in small letters is the kind.
    platform.apply(&RESOURCES.replace("kind: Agency", "kind: agency"));
    assert_eq!(platform.ok(&["get", "routes", "-o", "name"]), "Route/khai-sinh\n");
    assert_eq!(platform.ok(&["get", "route", "khai-sinh"]), platform.ok(&["get", "Route/khai-sinh"]));
    let wide = platform.ok(&["get", "routes", "-o", "wide"]);
    assert!(wide.contains("SPEC") && wide.contains("/khai-sinh"), "{wide}");
    let described = platform.ok(&["describe", "service/khai-sinh"]);
    for part in ["refers to\n  System/ho-tich\n", "referred to by\n  Route/khai-sinh\n  Permission/tra-cuu\n"] {
        assert!(described.contains(part), "{described}");
    }

    // What was added by hand is drift, and removing it is shown as that.
    platform.write("files.yaml", RESOURCES);
    assert_eq!(platform.run(&["diff", "-f", "files.yaml", "--prune"]).code, 0);
    platform.apply(OTHERS);
    assert_eq!(platform.run(&["diff", "-f", "files.yaml"]).code, 0);
    let drift = platform.run(&["diff", "-f", "files.yaml", "--prune"]);
    assert!(drift.code == 1 && drift.out.contains("--- current/System/benh-an\n+++ /dev/null"), "{drift:?}");

    platform.write("others.yaml", OTHERS);
    assert_eq!(platform.run(&["delete"]).code, 2);
    let bare = platform.run(&["delete", "benh-an"]);
    assert!(bare.code == 2 && bare.err.contains("Kinds are `Defaults`"), "{bare:?}");
    let needed = platform.run(&["delete", "agencies/so-y-te"]);
    assert!(needed.code == 3 && needed.err.contains("it still refers to `Agency/so-y-te`"), "{needed:?}");
    platform.ok(&["delete", "-f", "others.yaml"]);
    platform.ok(&["delete", "permissions", "tra-cuu"]);
    platform.write("misspelt.yaml", "kind: Agency\nname: a\nspec: {code: H61.1, titel: A}\n");
    let misspelt = platform.run(&["apply", "-f", "misspelt.yaml"]);
    assert!(misspelt.code == 3 && misspelt.err.contains("`spec.titel`"), "{misspelt:?}");
    assert!(misspelt.err.contains("1 problem\n"), "{misspelt:?}");
}

#[tokio::test]
async fn a_program_reads_results_and_failures_as_json() {
    let platform = Platform::start().await;
    let failure = |arguments: &[&str]| {
        let done = platform.run(arguments);
        let last: Value = serde_json::from_str(done.err.lines().last().unwrap()).unwrap();
        assert_eq!(last["exit_code"], done.code, "{done:?}");
        assert!(done.out.is_empty(), "{done:?}");
        last
    };
    assert_eq!(failure(&["show", "9", "-o", "json"])["code"], "not-found");
    assert_eq!(failure(&["nonsense", "-o", "json"])["exit_code"], 2);
    assert_eq!(failure(&["delete", "x", "-ojson"])["exit_code"], 2);
    let role = failure(&["operator", "add", "lan", "--role", "admin", "-o", "json"]);
    assert!(role.to_string().contains("system-administrator"), "{role}");
    let token = platform.json(&["token", "issue", "ci", "--role", "system-administrator"]);
    let id = token["terms"]["id"].as_str().unwrap();
    assert_eq!(platform.json(&["token", "list"])["tokens"].as_array().unwrap().len(), 2);
    let mut limited = platform.command(&["credential", "disable", "x-1"]);
    limited.env_remove("LGSPCTL_TOKEN_FILE").env("LGSPCTL_TOKEN", token["token"].as_str().unwrap());
    let limited = String::from_utf8(limited.output().unwrap().stderr).unwrap();
    assert!(limited.contains("this token of `operator` does not have it"), "{limited}");
    let mut empty = platform.command(&["whoami"]);
    let empty = empty.env_remove("LGSPCTL_TOKEN_FILE").env("LGSPCTL_TOKEN", "").output().unwrap();
    assert!(String::from_utf8(empty.stderr).unwrap().contains("`LGSPCTL_TOKEN` is set and empty"));
    assert_eq!(platform.json(&["token", "revoke", id])["revoked"], id);
    let mut tls = platform.command(&["whoami"]);
    let tls = tls.env("LGSPCTL_SERVER", platform.url().replace("http:", "https:")).output().unwrap();
    assert!(String::from_utf8(tls.stderr).unwrap().contains("does not speak TLS"));
}

#[tokio::test]
async fn lists_are_filtered_and_go_beyond_one_page() {
    let platform = start().await;
    connect(&platform);
    platform.ok(&["credential", "issue", "mot-cua"]);
    platform.ok(&["credential", "issue", "mot-cua"]);
    for title in ["A", "B", "C", "D"] {
        platform.apply(&agency("x", title).replace("H61", "H61.77"));
    }
    let names = |arguments: &[&str]| platform.ok(&[arguments, &["-o", "name"]].concat());
    assert_eq!(names(&["credential", "list", "--system", "mot-cua"]), "Credential/mot-cua-1\nCredential/mot-cua-2\n");
    assert_eq!(names(&["credential", "list", "--system", "ho-tich"]), "");
    assert_eq!(names(&["application", "list", "--agency", "000.00.14.H61"]), "1\n");
    assert_eq!(names(&["application", "list", "--agency", "000.00.12.H61"]), "");
    let last = platform.revision();
    assert_eq!(names(&["history", "--limit", "1000"]).lines().count() as u64, last);
    assert_eq!(names(&["history", "--limit", "2", "--before", "3"]), "2\n1\n");
    let about = platform.ok(&["audit", "list", "--target", "System/mot-cua", "--operator", "operator"]);
    assert!(about.lines().count() > 1 && about.lines().skip(1).all(|line| line.contains("System/mot-cua")), "{about}");
    assert_eq!(names(&["audit", "list", "--operator", "nobody"]), "");
    assert_eq!(names(&["audit", "list", "--until", "2020-01-01"]), "");
    let filtered = names(&["audit", "list", "--target", "System/mot-cua", "--limit", "1"]);
    assert_eq!(filtered.lines().count(), 1, "{filtered}");
    let one = platform.json(&["get", "agency", "x", "--revision", &(last - 1).to_string()]);
    assert_eq!(one[0]["spec"]["title"], "C");
    let missing = platform.run(&["get", "agency", "x", "--revision", "1"]);
    assert!(missing.code == 3 && missing.err.contains("there is no `Agency/x` in revision 1"), "{missing:?}");
}

#[tokio::test]
async fn nothing_is_approved_by_a_command_that_could_not_issue_the_key() {
    let platform = start().await;
    platform.ok(&["application", "submit", "-f", "application.yaml"]);
    platform.ok(&["application", "review", "1"]);
    platform.join("mai", &["--role", "registration-officer"], "chín bông hoa trắng");
    let approve = ["application", "approve", "1", "--letter", "1/A", "-m", "fit", "--issue"];
    let refused = platform.run_as("mai", &approve, "");
    assert!(refused.code == 3 && refused.err.contains("nothing was approved"), "{refused:?}");
    assert_eq!(platform.json(&["application", "show", "1"])["state"], "reviewing");
    platform.ok_as("mai", &approve[..7], "");
    // What a role without sealed secrets reads, it can apply again.
    platform.ok(&["credential", "issue", "mot-cua"]);
    platform.join("thu", &["--role", "service-administrator"], "mười con đường đất");
    platform.write("all.yaml", &platform.ok_as("thu", &["get", "-o", "yaml"], ""));
    let again = platform.ok_as("thu", &["apply", "-f", "all.yaml"], "");
    assert!(again.starts_with("nothing to change"), "{again}");
}

#[tokio::test]
async fn the_command_line_has_a_name_completion_and_a_manual() {
    let platform = Platform::start().await;
    for arguments in [["--version"], ["version"]] {
        assert!(platform.ok(&arguments).starts_with("lgspctl "), "{arguments:?}");
    }
    for (shell, part) in [("bash", "_lgspctl"), ("zsh", "#compdef lgspctl"), ("fish", "complete -c lgspctl")] {
        assert!(platform.ok(&["completion", shell]).contains(part), "{shell}");
    }
    platform.ok(&["man", "man1"]);
    for page in ["lgspctl.1", "lgspctl-credential-disable.1"] {
        let text = std::fs::read_to_string(platform.path("man1").join(page)).unwrap();
        assert!(text.contains(".TH"), "{page}");
    }
}
