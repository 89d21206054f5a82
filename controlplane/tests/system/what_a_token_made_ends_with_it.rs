//! A token makes nothing that outlives it, reaches nothing of its owner's but itself, and ends when the password is reset.

use serde_json::Value;

use crate::platform::{Done, Platform};

const PASSWORD: &str = "gió mùa đông bắc";

/// A token of somebody who has a session, and its identifier; `file` holds its text.
fn token(platform: &Platform, who: &str, file: &str, more: &[&str]) -> String {
    let arguments = [&["token", "issue", file], more, &["-o", "json"]].concat();
    let made: Value = serde_json::from_str(&platform.ok_as(who, &arguments, "")).unwrap();
    platform.write(file, made["token"].as_str().unwrap());
    made["terms"]["id"].as_str().unwrap().to_owned()
}

fn with(platform: &Platform, file: &str, arguments: &[&str]) -> Done {
    platform.run(&[arguments, &["--token-file", file]].concat())
}

/// Found by trying: a token of three seconds made an operator who logged in when the token was worth nothing any more.
#[tokio::test]
async fn a_token_makes_no_operator_and_gives_neither_rights_nor_passwords() {
    let platform = Platform::start().await;
    platform.join("quan-tri", &["--role", "system-administrator"], PASSWORD);
    platform.join("lan", &["--role", "observer"], PASSWORD);
    token(&platform, "quan-tri", "all", &[]);
    for arguments in [
        &["operator", "add", "backdoor", "--role", "system-administrator"][..],
        &["operator", "grant", "lan", "system-administrator"],
        &["operator", "reset-password", "lan"],
        &["operator", "enable", "lan"],
        &["token", "issue", "more"],
    ] {
        let done = with(&platform, "all", arguments);
        assert!(done.code == 3 && done.err.contains("a token"), "{arguments:?}: {done:?}");
    }
    assert_eq!(with(&platform, "all", &["operator", "list"]).code, 0);
    assert_eq!(with(&platform, "all", &["operator", "disable", "lan"]).code, 0, "what takes away is no such thing");
}

/// Found by trying: a token with the role of an observer ended the administrator's sessions and tokens.
#[tokio::test]
async fn an_operator_s_token_sees_and_ends_itself_alone() {
    let platform = Platform::start().await;
    platform.join("quan-tri", &["--role", "system-administrator"], PASSWORD);
    let other = token(&platform, "quan-tri", "other", &[]);
    let own = token(&platform, "quan-tri", "least", &["--role", "observer"]);
    let listed = with(&platform, "least", &["token", "list", "-o", "json"]);
    assert!(listed.out.contains(&own) && !listed.out.contains(&other), "{listed:?}");
    let refused = with(&platform, "least", &["token", "revoke", &other]);
    assert!(refused.code == 3 && refused.err.contains("itself alone"), "{refused:?}");
    assert_eq!(with(&platform, "other", &["whoami"]).code, 0);
    assert_eq!(with(&platform, "least", &["token", "revoke", &own]).code, 0);
    assert_eq!(with(&platform, "least", &["whoami"]).code, 3);
}

/// Found by trying: a password was reset, and the tokens stayed; an operator was enabled, and the first token came back.
#[tokio::test]
async fn a_reset_password_and_a_disabled_operator_leave_no_token() {
    let platform = Platform::start().await;
    platform.join("quan-tri", &["--role", "system-administrator"], PASSWORD);
    platform.join("lan", &["--role", "observer"], PASSWORD);
    token(&platform, "lan", "lan.token", &[]);
    platform.ok(&["operator", "reset-password", "lan"]);
    assert_eq!(with(&platform, "lan.token", &["whoami"]).code, 3);
    // The first operator has roles that only somebody with them may touch.
    let everything = ["--role", "system-administrator", "--role", "security-officer", "--role", "auditor"];
    platform.join("thay", &everything, PASSWORD);
    assert_eq!(platform.run(&["whoami"]).code, 0);
    platform.ok_as("thay", &["operator", "disable", "operator"], "");
    platform.ok_as("thay", &["operator", "enable", "operator"], "");
    assert_eq!(platform.run(&["whoami"]).code, 3, "the first token is not revived");
}
