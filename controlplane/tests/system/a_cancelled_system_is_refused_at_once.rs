//! Cancelling a connection is one revision, and a running node refuses the key within a moment.

use lgsp_testkit::client::{Client, Identity, Request};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::target::Target;
use std::time::{Duration, Instant};

use crate::platform::Platform;
use crate::registry::{APPLICATION, TARGET, connect, decide, document};

/// What a machine that runs the whole suite at once may take; the budget on a quiet one is a second.
const SOON: Duration = Duration::from_secs(5);

fn identity(platform: &Platform, file: &str) -> Identity {
    let text = std::fs::read_to_string(platform.path(file)).unwrap();
    let variable = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let secret = variable("LGSP_SECRET_KEY=").into_bytes();
    Identity {
        access_key: variable("LGSP_ACCESS_KEY=").parse().unwrap(),
        secret: lgsp_shared::seal::Secret::new(secret),
    }
}

#[tokio::test]
async fn a_running_node_refuses_the_key_of_a_cancelled_system_and_no_other() {
    let platform = Platform::start_careful("database: cp.db\n").await;
    let target = Target::new().start().await;
    platform.apply(
        &TARGET
            .replace("127.0.0.1:9001", &target.address().to_string())
            .replace("/khai-sinh}}", "/khai-sinh}, rewrite: {prefix: /}}"),
    );
    decide(&platform, &["system", "approve", "ho-tich"]);
    platform.ok(&["credential", "issue", "ho-tich"]);
    platform.ok(&["agency", "add", "000.00.14.H61", "Trung tâm"]);
    platform.write("application.yaml", APPLICATION);
    connect(&platform);
    platform.ok(&["credential", "issue", "mot-cua", "--save", "mot-cua.key"]);
    let node = platform.node("node-1").await;
    let client = Client::new(node.address(), identity(&platform, "mot-cua.key"));
    assert_eq!(client.send(&Request::get("/khai-sinh/echo")).await.status, 200);

    let (before, asked) = (platform.revision(), Instant::now());
    decide(&platform, &["application", "cancel", "1"]);
    eventually(SOON, "the node refuses the key", async || {
        client.send(&Request::get("/khai-sinh/echo")).await.code() == "key-disabled"
    })
    .await;
    eprintln!("connection cancelled → refused: {:?}, command included", asked.elapsed());
    assert_eq!(platform.revision(), before + 1, "keys and rights end in one revision");
    assert_eq!(document(&platform, "Credential/mot-cua-1")["state"], "disabled");
    assert!(document(&platform, "Permission/mot-cua-khai-sinh").is_null());
    assert_eq!(document(&platform, "Credential/ho-tich-1")["state"], "active", "nobody else is touched");

    assert_eq!(platform.json(&["application", "show", "1"])["state"], "cancelled");
    let done = platform.run(&["credential", "issue", "mot-cua"]);
    assert!(done.code == 3 && done.err.contains("is not approved"), "{done:?}");
    let rotated = platform.run(&["credential", "rotate", "mot-cua-1"]);
    assert_ne!(rotated.code, 0, "{rotated:?}");
}

#[tokio::test]
async fn a_target_that_is_cancelled_is_no_longer_reachable() {
    let platform = crate::registry::start().await;
    decide(&platform, &["system", "approve", "ho-tich"]);
    connect(&platform);
    decide(&platform, &["system", "cancel", "ho-tich"]);
    assert!(document(&platform, "Permission/mot-cua-khai-sinh").is_null());
}
