//! One key-encryption key follows another while exchanges flow: none fails, and nothing is left under the old one.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lgsp_shared::seal::Secret;
use lgsp_testkit::client::{Client, Identity, Request};
use lgsp_testkit::eventually::{eventually, eventually_some};
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::{Value, json};

use crate::platform::{DEADLINE, Platform, RESOURCES};

fn identity(platform: &Platform) -> Identity {
    let saved = std::fs::read_to_string(platform.path("ho-tich.key")).unwrap();
    let variable = |name: &str| saved.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')).unwrap();
    let secret = Secret::new(variable("LGSP_SECRET_KEY").as_bytes().to_vec());
    Identity { access_key: variable("LGSP_ACCESS_KEY").parse().unwrap(), secret }
}

/// Exchanges one after another until dropped; every one must succeed.
struct Traffic {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Traffic {
    fn start(client: Client) -> Self {
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, count) = (stop.clone(), done.clone());
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !stopped.load(Ordering::Relaxed) {
                let answer = client.send(&Request::get("/khai-sinh/bytes/8")).await;
                if answer.status != 200 {
                    failures.push(format!("{} {}", answer.status, answer.code()));
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            failures
        });
        Self { stop, done, task }
    }

    /// Waits until some more have gone through.
    async fn flows(&self) {
        const MORE: u64 = 20;
        let from = self.done.load(Ordering::Relaxed);
        eventually(DEADLINE, "exchanges flow", async || self.done.load(Ordering::Relaxed) >= from + MORE).await;
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert_eq!(self.task.await.unwrap(), Vec::<String>::new());
    }
}

/// What the server's program prints; it must succeed.
fn server(platform: &Platform, arguments: &[&str]) -> String {
    let done = platform.server_command(arguments).output().unwrap();
    assert!(done.status.success(), "{done:?}");
    String::from_utf8(done.stdout).unwrap()
}

fn ids(platform: &Platform) -> Vec<String> {
    let list = server(platform, &["key", "list", "seal.key"]);
    list.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
}

async fn node_is(platform: &Platform, state: &str, key_ids: &[&String]) -> Value {
    eventually_some(DEADLINE, &format!("the node is {state} with keys {key_ids:?}"), async || {
        let node = platform.json(&["nodes"])["nodes"][0].clone();
        (node["state"] == state && node["key_ids"] == json!(key_ids)).then_some(node)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_exchange_fails_while_one_key_follows_another() {
    let (target, platform) = (Target::new().start().await, Platform::start().await);
    let resources = RESOURCES.replace("127.0.0.1:9001", &target.address().to_string());
    platform
        .apply(&resources.replace("path: {prefix: /khai-sinh}", "path: {prefix: /khai-sinh}, rewrite: {prefix: /}"));
    platform.ok(&["credential", "issue", "ho-tich", "--save", "ho-tich.key"]);
    platform.bundle(2).await;
    let give_to_node = || std::fs::copy(platform.path("seal.key"), platform.path("node.key")).unwrap();
    give_to_node();
    let mut node = Node::new(&Resources::new())
        .with(|settings| {
            settings["source"] = json!({"bundle": {"file": platform.path("bundle.json")}});
            settings["key_file"] = json!(platform.path("node.key"));
        })
        .start()
        .await;
    platform.arrived(&node).await;
    let traffic = Traffic::start(Client::new(node.address(), identity(&platform)));
    traffic.flows().await;
    let old = ids(&platform).remove(0);
    node_is(&platform, "synced", &[&old]).await;

    // No key goes while something is sealed under it, and without the database it is not known whether something is.
    server(&platform, &["key", "add", "seal.key"]);
    let added = ids(&platform).remove(1);
    server(&platform, &["key", "use", "seal.key", &added]);
    let refused =
        platform.server_command(&["key", "remove", "seal.key", &old, "--config", "cp.yaml"]).output().unwrap();
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && told.contains("still seals 1 secrets (Credential/ho-tich-1)"), "{told}");
    let unasked = platform.server_command(&["key", "remove", "seal.key", &old]).output().unwrap();
    assert!(!unasked.status.success() && ids(&platform).len() == 2, "{unasked:?}");
    server(&platform, &["key", "use", "seal.key", &old]);
    server(&platform, &["key", "remove", "seal.key", &added, "--config", "cp.yaml"]);

    // The new key seals on the control plane, and the node does not have it yet: resealing is refused.
    server(&platform, &["key", "add", "seal.key"]);
    let new = ids(&platform).remove(1);
    server(&platform, &["key", "use", "seal.key", &new]);
    // At once: it sees the file as it is, not as it was a second ago.
    let refused = platform.run(&["reseal"]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains(&format!("key {new} is not on `node-1`")), "{refused:?}");

    // Forced, the node says what it lacks, and goes on with the secrets it has.
    platform.ok(&["reseal", "--force"]);
    platform.bundle(3).await;
    let degraded = node_is(&platform, "degraded", &[&old]).await;
    let error = degraded["errors"][0]["message"].as_str().unwrap();
    assert!(
        error.contains(&format!("sealed under key-encryption key {new}")) && error.contains("add it there"),
        "{error}"
    );
    traffic.flows().await;

    give_to_node();
    node_is(&platform, "synced", &[&new, &old]).await;
    let nothing = platform.ok(&["reseal"]);
    assert!(nothing.starts_with("nothing to change: revision 3 has all of it\n"), "{nothing}");
    assert!(nothing.contains(&format!("every secret is sealed under key {new} now")), "{nothing}");
    server(&platform, &["key", "remove", "seal.key", &old, "--config", "cp.yaml"]);
    give_to_node();
    node_is(&platform, "synced", &[&new]).await;
    traffic.flows().await;
    traffic.end().await;
    assert!(platform.run(&["credential", "issue", "ho-tich"]).code == 0, "the new key seals what is made from now on");

    // Nothing is left under the old key, on the node's disk neither: it restarts without its source.
    let last_good = node.directory().join("state/last-good.sealed");
    let sealed_under =
        |id: &str| std::fs::read_to_string(&last_good).is_ok_and(|text| text.starts_with(&format!("v1.{id}.")));
    eventually(DEADLINE, "the last good copy is under the new key", async || sealed_under(&new)).await;
    std::fs::rename(platform.path("bundle.json"), platform.path("away.json")).unwrap();
    node.restart().await;
    let client = Client::new(node.address(), identity(&platform));
    assert_eq!(client.send(&Request::get("/khai-sinh/bytes/8")).await.status, 200);
}
