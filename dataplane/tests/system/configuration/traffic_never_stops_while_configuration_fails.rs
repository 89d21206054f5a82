//! The real program, a real etcd, and requests that never pause: whatever happens to the configuration, none fails,
//! what was revoked stays revoked, and the node converges afterwards.

use std::sync::atomic::AtomicBool;

use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::node::Node as Program;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use tokio::task::JoinHandle;

use super::*;

/// Requests one after the other, from now until asked how they went.
struct Traffic {
    task: JoinHandle<u64>,
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Traffic {
    fn start(client: Client) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (stopped, counted) = (stop.clone(), sent.clone());
        let task = tokio::spawn(async move {
            while !stopped.load(Ordering::Relaxed) {
                let response = client.send(&Request::get("/ho-tich/echo")).await;
                assert_eq!(response.status, 200, "after {} requests: {response:?}", counted.load(Ordering::Relaxed));
                counted.fetch_add(1, Ordering::Relaxed);
            }
            counted.load(Ordering::Relaxed)
        });
        Self { task, stop, sent }
    }

    /// Waits until more requests have been answered from here on.
    async fn flows(&self) {
        let before = self.sent.load(Ordering::Relaxed);
        let more = async || self.task.is_finished() || self.sent.load(Ordering::Relaxed) > before + 20;
        eventually(DEADLINE, "traffic flows", more).await;
        assert!(!self.task.is_finished(), "a request failed");
    }

    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.task.await.expect("no request failed") > 0);
    }
}

/// What every test here needs: a target, an etcd, a published configuration.
struct Platform {
    target: Target,
    etcd: Etcd,
    resources: Resources,
}

impl Platform {
    async fn start() -> Self {
        let target = Target::new().keeping(0).start().await;
        let resources = Resources::usual(&[target.address()]).system("khac").permission("khac", "ho-tich");
        let etcd = Etcd::start().await.unwrap();
        Publisher::new(&etcd).await.publish(1, &resources.documents()).await;
        Self { target, etcd, resources }
    }

    async fn node(&self) -> Program {
        Program::new(&self.resources).following(&self.etcd).start().await
    }

    /// Publishes as a control plane that has just connected.
    async fn publish(&self, revision: u64, resources: &Resources) {
        Publisher::new(&self.etcd).await.publish(revision, &resources.documents()).await;
    }
}

async fn state(node: &Program) -> (String, Option<u64>, Option<u64>) {
    let told = node.admin("/v1/config").await.json();
    (told["state"].as_str().unwrap_or_default().to_owned(), told["desired"].as_u64(), told["revision"].as_u64())
}

async fn reaches(node: &Program, wanted: &str, desired: u64, active: u64) {
    let wanted = (wanted.to_owned(), Some(desired), Some(active));
    eventually(DEADLINE, &format!("{wanted:?}"), async || state(node).await == wanted).await;
}

async fn loses_etcd(node: &Program) {
    let away = async || node.admin("/v1/config").await.json()["source"]["connected"] == json!(false);
    eventually(DEADLINE, "the node says that etcd is away", away).await;
    assert_eq!(node.admin("/readyz").await.status, 200, "and stays ready");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_etcd_is_killed_frozen_and_compacted() {
    let mut platform = Platform::start().await;
    let node = platform.node().await;
    let traffic = Traffic::start(node.client(&platform.resources, "mot-cua"));
    traffic.flows().await;

    platform.etcd.kill();
    loses_etcd(&node).await;
    traffic.flows().await;
    platform.etcd.restart().await.unwrap();
    platform.publish(2, &platform.resources).await;
    reaches(&node, "applied", 2, 2).await;

    platform.etcd.stop().unwrap();
    loses_etcd(&node).await;
    traffic.flows().await;
    platform.etcd.cont().unwrap();
    platform.publish(3, &platform.resources).await;
    reaches(&node, "applied", 3, 3).await;

    platform.etcd.hide().await.unwrap();
    loses_etcd(&node).await;
    platform.publish(4, &platform.resources).await;
    Publisher::new(&platform.etcd).await.compact().await;
    platform.etcd.show().await.unwrap();
    reaches(&node, "applied", 4, 4).await;
    traffic.flows().await;
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_etcd_is_restored_from_a_snapshot_in_which_a_key_was_not_yet_revoked() {
    let mut platform = Platform::start().await;
    let node = platform.node().await;
    let older = platform.etcd.snapshot("older.db").unwrap();
    let traffic = Traffic::start(node.client(&platform.resources, "mot-cua"));
    let other = node.client(&platform.resources, "khac");
    assert_eq!(other.send(&Request::get("/ho-tich/echo")).await.status, 200);
    let revoked = platform.resources.clone().with("Credential", "khac-1", |spec| spec["state"] = json!("disabled"));
    platform.publish(2, &revoked).await;
    reaches(&node, "applied", 2, 2).await;
    let refused = async || assert!(matches!(other.send(&Request::get("/ho-tich/echo")).await.status, 401 | 403));
    refused().await;

    platform.etcd.restore(&older).await.unwrap();
    reaches(&node, "rejected", 1, 2).await;
    refused().await;
    traffic.flows().await;
    platform.publish(2, &revoked).await;
    reaches(&node, "applied", 2, 2).await;
    platform.publish(3, &platform.resources).await;
    reaches(&node, "applied", 3, 3).await;
    assert_eq!(other.send(&Request::get("/ho-tich/echo")).await.status, 200);
    traffic.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_ten_thousand_documents_arrive_and_the_one_in_use_is_bad() {
    let platform = Platform::start().await;
    let node = platform.node().await;
    let traffic = Traffic::start(node.client(&platform.resources, "mot-cua"));
    let title = "x".repeat(500);
    let agency = |resources: Resources, number: usize| {
        resources.put("Agency", &format!("a-{number:05}"), json!({"code": "000.00.12.H61", "title": title}))
    };
    let many = (0..10_000).fold(platform.resources.clone(), agency);
    assert!(many.bundle(2).to_json().len() > 5 << 20, "more than gRPC takes in one message by default");
    platform.publish(2, &many).await;
    reaches(&node, "applied", 2, 2).await;
    traffic.flows().await;
    let bad = many.clone().with("Service", "ho-tich", |spec| spec["endpoints"] = json!("nowhere"));
    platform.publish(3, &bad).await;
    reaches(&node, "degraded", 3, 3).await;
    traffic.flows().await;
    let told = node.admin("/v1/config").await.json();
    assert_eq!(told["errors"][0]["document"], json!("Service/ho-tich"), "{told}");
    platform.publish(4, &many).await;
    reaches(&node, "applied", 4, 4).await;
    traffic.end().await;
    assert!(platform.target.ledger().complete() > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_while_etcd_is_away() {
    let mut platform = Platform::start().await;
    let mut node = platform.node().await;
    platform.etcd.kill();
    node.restart().await;
    assert_eq!(state(&node).await, ("applied".to_owned(), None, Some(1)));
    let traffic = Traffic::start(node.client(&platform.resources, "mot-cua"));
    traffic.flows().await;
    platform.etcd.restart().await.unwrap();
    platform.publish(2, &platform.resources).await;
    reaches(&node, "applied", 2, 2).await;
    traffic.end().await;
}
