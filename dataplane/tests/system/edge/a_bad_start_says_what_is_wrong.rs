//! Whatever is wrong at the start is said with the key it is about, and nothing starts.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use lgsp_testkit::certificate::Authority;
use lgsp_testkit::resources::KEY_TEXT;
use serde_json::{Value, json};

/// Runs the program on these settings and returns what it complained about; fails when it did not.
fn complaint(directory: &Path, more: &[&str], change: impl FnOnce(&mut Value)) -> String {
    let path = |name: &str| directory.join(name);
    std::fs::write(path("kek"), KEY_TEXT).unwrap();
    std::fs::set_permissions(path("kek"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut settings = json!({
        "node": "node-1", "listeners": [{"address": "127.0.0.1:0"}], "admin": {"address": "127.0.0.1:0"},
        "source": {"bundle": {"file": path("bundle.json")}}, "key_file": path("kek"), "state_dir": path("state"),
        "records": {"to": "stdout"},
    });
    change(&mut settings);
    std::fs::write(path("settings.yaml"), settings.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_lgsp-dataplane"))
        .args(more)
        .arg("--config")
        .arg(path("settings.yaml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    text
}

#[test]
fn an_unknown_setting_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = complaint(directory.path(), &[], |settings| settings["limits"] = json!({"conections_max": 1}));
    assert!(text.contains("conections_max") && text.contains("connections_max"), "{text}");
}

#[test]
fn a_key_that_is_missing_weak_or_open_to_others_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let other = directory.path().join("other");
    let text = complaint(directory.path(), &[], |settings| settings["key_file"] = json!(other));
    assert!(text.contains("`key_file`") && text.contains("openssl rand -hex 32"), "{text}");
    std::fs::write(&other, "00".repeat(32)).unwrap();
    let text = complaint(directory.path(), &[], |settings| settings["key_file"] = json!(other));
    assert!(text.contains("chmod 600"), "{text}");
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let text = complaint(directory.path(), &[], |settings| settings["key_file"] = json!(other));
    assert!(text.contains("too regular"), "{text}");
}

#[test]
fn a_certificate_that_cannot_serve_is_named_by_check_and_by_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("LGSP test");
    let files = authority.issue(&["localhost"]).write(directory.path(), "one");
    let other = authority.issue(&["localhost"]).write(directory.path(), "two");
    let tls = json!([{"address": "127.0.0.1:0", "tls": {"certificate": files.cert, "key": other.key}}]);
    for more in [&["check"][..], &[]] {
        let text = complaint(directory.path(), more, |settings| settings["listeners"] = tls.clone());
        assert!(text.contains("`listeners[0].tls`") && text.contains("two.key.pem"), "{text}");
    }
}

#[test]
fn a_file_that_etcd_takes_and_that_is_missing_or_wrong_is_named_by_check_and_by_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("LGSP test");
    let ca = directory.path().join("ca.pem");
    let missing = json!({"etcd": {"endpoints": ["https://127.0.0.1:1"], "tls": {"ca": ca}}});
    for more in [&["check"][..], &[]] {
        let text = complaint(directory.path(), more, |settings| settings["source"] = missing.clone());
        assert!(text.contains("`source.etcd.tls.ca`") && text.contains("ca.pem"), "{text}");
    }
    std::fs::write(&ca, authority.pem()).unwrap();
    let files = authority.issue(&["one"]).write(directory.path(), "one");
    let other = authority.issue(&["two"]).write(directory.path(), "two");
    let tls = json!({"ca": ca, "certificate": files.cert, "key": other.key});
    let mismatched = json!({"etcd": {"endpoints": ["https://127.0.0.1:1"], "tls": tls}});
    let text = complaint(directory.path(), &["check"], |settings| settings["source"] = mismatched);
    assert!(text.contains("`source.etcd.tls.certificate`") && text.contains("two.key.pem"), "{text}");
    let bare = json!({"etcd": {"endpoints": ["https://127.0.0.1:1"]}});
    let text = complaint(directory.path(), &["check"], |settings| settings["source"] = bare);
    assert!(text.contains("`source.etcd.tls.ca`: is missing"), "{text}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let text = complaint(directory.path(), &[], |settings| settings["listeners"] = json!([{"address": address}]));
    assert!(text.contains("`listeners[0].address`") && text.contains(&address.to_string()), "{text}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let text = complaint(directory.path(), &[], |settings| settings["state_dir"] = json!("/proc/lgsp"));
    assert!(text.contains("`state_dir`"), "{text}");
}
