//! Connections are counted, in all and per address; what is over the limit ends and is counted.

use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::{DEADLINE, target};

pub async fn metric(node: &Node, name: &str) -> u64 {
    let text = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_over_the_limit_end_and_places_come_back() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let limits = json!({"connections_max": 100, "connections_per_address_max": 3});
    let node = Node::new(&resources).with(|settings| settings["limits"] = limits).start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(node.address()).await.unwrap());
    }
    eventually(DEADLINE, "three connections are counted", async || metric(&node, "lgsp_connections").await == 3).await;
    let mut fourth = TcpStream::connect(node.address()).await.unwrap();
    let closed = fourth.read(&mut [0]).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    eventually(DEADLINE, "the refusal is counted", async || metric(&node, "lgsp_connections_refused_total").await == 1)
        .await;
    drop(held);
    eventually(DEADLINE, "the places come back", async || metric(&node, "lgsp_connections").await == 0).await;
    assert_eq!(node.client(&resources, "mot-cua").send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
}
