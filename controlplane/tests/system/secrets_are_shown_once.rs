//! A secret key is in one answer, in the file the operator asked for, and nowhere else.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use lgsp_shared::resource::{CredentialState, Resource};
use lgsp_shared::seal::{SealKey, credential_identity};

use crate::platform::{Platform, RESOURCES};

/// Files under `directory` that hold `text`.
fn holders(directory: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holders(&path, text));
        } else if std::fs::read(&path).unwrap().windows(text.len()).any(|window| window == text.as_bytes()) {
            found.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    found
}

fn variable(text: &str, name: &str) -> String {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap().to_owned()
}

#[tokio::test]
async fn a_secret_is_found_only_where_it_was_asked_to_be() {
    let mut platform = Platform::start().await;
    platform.apply(RESOURCES);
    let shown = platform.ok(&["credential", "issue", "ho-tich", "--save", "ho-tich.key"]);
    let saved = std::fs::read_to_string(platform.path("ho-tich.key")).unwrap();
    let (access_key, secret) = (variable(&saved, "LGSP_ACCESS_KEY"), variable(&saved, "LGSP_SECRET_KEY"));
    assert!(shown.contains(&secret) && shown.contains("Credential/ho-tich-1"), "{shown}");
    assert_eq!(secret.len(), 64);
    assert_eq!(std::fs::metadata(platform.path("ho-tich.key")).unwrap().permissions().mode() & 0o777, 0o600);

    let key = SealKey::parse(&std::fs::read_to_string(platform.path("seal.key")).unwrap()).unwrap();
    let bundle = platform.bundle(2).await;
    let credential = bundle.documents.iter().find(|document| document.kind == "Credential").unwrap();
    let Resource::Credential(name, spec) = credential.read().unwrap().resource else { panic!("{credential:?}") };
    assert_eq!((spec.access_key.as_str(), spec.state), (access_key.as_str(), CredentialState::Active));
    let identity = credential_identity(name.as_str(), spec.system.as_str(), spec.access_key.as_str());
    assert_eq!(key.open(&spec.secret, &identity).unwrap().expose(), secret.as_bytes());

    let later = [
        platform.ok(&["credential", "list"]),
        platform.ok(&["get", "-o", "json"]),
        platform.ok(&["show", "2", "-o", "json"]),
        platform.ok(&["history", "-o", "json"]),
        platform.log(),
    ];
    assert!(later.iter().all(|text| !text.contains(&secret)));
    assert_eq!(holders(platform.directory(), &secret), ["ho-tich.key"]);
    assert_eq!(platform.terminate(), Some(0));
    assert_eq!(holders(platform.directory(), &secret), ["ho-tich.key"]);
}

#[tokio::test]
async fn the_operator_token_is_kept_only_as_its_hash() {
    let mut platform = Platform::start().await;
    let token = std::fs::read_to_string(platform.path("token")).unwrap();
    assert_eq!(std::fs::metadata(platform.path("token")).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!platform.log().contains(token.trim()));
    assert_eq!(platform.terminate(), Some(0));
    assert_eq!(holders(platform.directory(), token.trim()), ["token"]);
    let made = platform.server_command(&["new-token", "--config", "cp.yaml"]).output().unwrap();
    let printed = String::from_utf8(made.stdout).unwrap();
    assert!(printed.contains("lgsp_op_"), "{printed}");
    platform.restart().await;
    assert_eq!(platform.run(&["history"]).code, 3, "the token before is worth nothing");
    platform.write("token", printed.rsplit(' ').next().unwrap());
    platform.ok(&["history"]);
}

#[tokio::test]
async fn a_rotation_leaves_the_old_key_for_the_overlap_and_a_disabled_key_stays_disabled() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.ok(&["credential", "issue", "ho-tich", "--name", "ho-tich-1"]);
    platform.ok(&["credential", "rotate", "ho-tich-1", "--overlap", "1h"]);
    let list = platform.json(&["credential", "list"]);
    let states: Vec<_> = list["credentials"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(states, ["retiring", "active"]);
    assert!(list["credentials"][0]["not_after"].is_string());
    assert_eq!(platform.run(&["credential", "rotate", "ho-tich-1"]).code, 4);
    platform.ok(&["credential", "disable", "ho-tich-2"]);
    platform.ok(&["rollback", "3"]);
    assert_eq!(platform.json(&["credential", "list"])["credentials"][1]["state"], "disabled");
    assert_eq!(platform.run(&["credential", "issue", "nowhere"]).code, 3);
    assert_eq!(platform.run(&["credential", "issue", "ho-tich", "--name", "ho-tich-1"]).code, 4);
}

#[tokio::test]
async fn a_secret_in_a_file_is_refused_and_not_repeated() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.write(
        "secret.yaml",
        "kind: Credential\nname: c\nspec: {system: ho-tich, access_key: LGSPABCDEFGH, secret: sw0rdfish, state: active}\n",
    );
    let done = platform.run(&["apply", "-f", "secret.yaml"]);
    assert_eq!(done.code, 3, "{done:?}");
    assert!(done.err.contains("spec.secret") && !done.err.contains("sw0rdfish"), "{done:?}");
    assert!(!platform.log().contains("sw0rdfish"));
}

#[tokio::test]
async fn a_request_is_signed_with_what_was_issued() {
    let platform = Platform::start().await;
    platform.apply(RESOURCES);
    platform.ok(&["credential", "issue", "ho-tich", "--save", "ho-tich.key"]);
    platform.write("body", "xin chào");
    let url = "http://127.0.0.1:8080/khai-sinh/1?nam=2026";
    let signed = platform.ok(&["sign", "PUT", url, "--as", "ho-tich.key", "--data", "body"]);
    for part in ["curl -X PUT", "-H 'content-digest: sha-256=:", "-H 'signature-input: sig1=(", "-T body", url] {
        assert!(signed.contains(part), "{part} is not in {signed}");
    }
    let saved = std::fs::read_to_string(platform.path("ho-tich.key")).unwrap();
    assert!(!signed.contains(&variable(&saved, "LGSP_SECRET_KEY")));
    let sigv4 = platform.ok(&["sign", "GET", url, "--as", "ho-tich.key", "--scheme", "sigv4"]);
    assert!(sigv4.contains("authorization: AWS4-HMAC-SHA256 Credential=LGSP"), "{sigv4}");
    let done = platform.run(&["sign", "GET", "http://a/../b", "--as", "ho-tich.key"]);
    assert_eq!(done.code, 2, "{done:?}");
}
