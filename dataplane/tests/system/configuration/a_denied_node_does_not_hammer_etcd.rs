//! Where retrying cannot help, a node waits the longest pause.

use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;

use super::*;

#[tokio::test]
async fn a_node_without_a_login_tries_once_and_waits() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let mut client = etcd.client().await.unwrap();
    client.user_add("root", "a password", None).await.unwrap();
    client.user_grant_role("root", "root").await.unwrap();
    client.auth_enable().await.unwrap();
    let mut settings = settings(&etcd);
    settings.timing.backoff = BackoffBounds { min: Duration::from_millis(1), max: Duration::from_secs(3_600) };
    let node = Node::start(Source::Etcd(Box::new(settings)), dir.path()).await;
    let failures = || node.health.counters().source_failures.load(Ordering::Relaxed);
    eventually(DEADLINE, "the refusal", async || failures() > 0).await;
    // As long as it takes to start a second node, a hot loop would have tried many times.
    let other_dir = tempfile::tempdir().unwrap();
    let password_file = other_dir.path().join("password");
    std::fs::write(&password_file, "a password\n").unwrap();
    std::fs::set_permissions(&password_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let mut written = etcd.settings();
    (written["user"], written["password_file"]) = (json!("root"), json!(password_file));
    let written: lgsp_etcd::Written = serde_json::from_value(written).unwrap();
    let settings = EtcdSettings { access: written.resolve("source.etcd").unwrap(), ..super::settings(&etcd) };
    let other = Node::start(Source::Etcd(Box::new(settings)), other_dir.path()).await;
    eventually(DEADLINE, "a node with a login", async || other.health.last_progress().is_some()).await;
    assert_eq!(failures(), 1);
}
