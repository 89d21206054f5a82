//! When each key was last used is known on the control plane, whichever way nodes report, and survives both.

use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually_some;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::{Value, json};

use crate::every_refusal_can_be_explained::curl;
use crate::platform::{DEADLINE, Platform, RESOURCES};

async fn with_two_keys(publish: &str) -> Platform {
    let platform = Platform::start_with(publish).await;
    platform.apply(RESOURCES);
    platform.ok(&["credential", "issue", "ho-tich", "--save", "used.key"]);
    platform.ok(&["credential", "issue", "ho-tich", "--save", "unused.key"]);
    platform
}

fn credentials(platform: &Platform) -> Vec<Value> {
    platform.json(&["credential", "list"])["credentials"].as_array().unwrap().clone()
}

async fn assert_seen(platform: &Platform, node: &Node) {
    assert!(platform.ok(&["credential", "list"]).contains("never seen"));
    assert_eq!(curl(platform, node, "used.key", &["-X", "DELETE"], "/khai-sinh/1")["code"], "permission-missing");
    let used = eventually_some(DEADLINE, "the use is reported", async || {
        Some(credentials(platform)).filter(|all| all[0]["last_used"].is_string())
    })
    .await;
    assert_eq!((used[0]["unused_days"].as_i64(), &used[1]["last_used"]), (Some(0), &Value::Null), "{used:?}");
    assert!(platform.ok(&["credential", "list"]).contains("never seen"), "the other key");
}

#[tokio::test]
async fn a_use_is_reported_beside_the_bundle_and_outlives_the_node_and_the_server() {
    let mut platform = with_two_keys("publish: {bundle: bundle.json}\n").await;
    platform.bundle(3).await;
    let node = platform.node("node-1").await;
    assert_seen(&platform, &node).await;
    let last = credentials(&platform)[0]["last_used"].clone();
    assert_eq!(platform.terminate(), Some(0));
    drop(node);
    std::fs::remove_file(platform.path("bundle.json.status/node-1.usage")).unwrap();
    platform.restart().await;
    assert_eq!(credentials(&platform)[0]["last_used"], last);
}

#[tokio::test]
async fn a_use_is_reported_through_etcd() {
    let etcd = Etcd::start().await.unwrap();
    let publish = format!("publish: {{etcd: {{endpoints: ['http://{}']}}}}\n", etcd.endpoint());
    let platform = with_two_keys(&publish).await;
    let key = platform.path("seal.key");
    let node = Node::new(&Resources::new()).following(&etcd).with(|settings| settings["key_file"] = json!(key));
    let node = node.start().await;
    platform.arrived(&node).await;
    assert_seen(&platform, &node).await;
}
