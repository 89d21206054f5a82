//! SIGTERM: not ready at once, no new connections, exchanges in flight finish, then the node ends well.

use lgsp_testkit::child::Signal;
use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;
use tokio::net::TcpStream;

use super::{DEADLINE, target};

async fn exchanges_in_flight_finish(node: Node, resources: Resources) {
    let mut node = node;
    let client = node.client(&resources, "mot-cua");
    let slow =
        tokio::spawn(
            async move { client.send(&Request::get("/ho-tich/slow?bytes=4096&piece=1024&pause_ms=500")).await },
        );
    eventually(DEADLINE, "the exchange is in flight", async || {
        let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
        metrics.contains("lgsp_exchanges_in_flight 1")
    })
    .await;
    let _idle = TcpStream::connect(node.address()).await.unwrap();
    node.child.signal(Signal::Terminate);
    eventually(DEADLINE, "no new connection is taken", async || TcpStream::connect(node.address()).await.is_err())
        .await;
    let ready = node.admin("/readyz?verbose").await;
    assert_eq!(ready.status, 503);
    assert!(String::from_utf8_lossy(&ready.body).contains("[-] accepting: draining"), "{ready:?}");
    let response = slow.await.unwrap();
    assert_eq!((response.status, response.body.len()), (200, 4096));
    assert!(node.child.wait(DEADLINE).success());
    assert!(node.records().iter().any(|record| record["outcome"] == "completed"), "{:?}", node.records());
}

#[tokio::test(flavor = "multi_thread")]
async fn through_the_exchange_loop() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    exchanges_in_flight_finish(Node::new(&resources).start().await, resources).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_pingora_proxy() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    exchanges_in_flight_finish(Node::new(&resources).on_proxy_face().start().await, resources).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_outlasts_the_grace_period_is_cut_and_still_recorded() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let mut node =
        Node::new(&resources).with(|settings| settings["limits"]["drain_grace_ms"] = json!(500)).start().await;
    let client = node.client(&resources, "mot-cua");
    let bytes = client.rfc9421(&Request::get("/ho-tich/hang"));
    let mut connection = TcpStream::connect(node.address()).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut connection, &bytes).await.unwrap();
    eventually(DEADLINE, "the target has the request", async || target.ledger().complete() == 1).await;
    node.child.signal(Signal::Terminate);
    assert!(node.child.wait(DEADLINE).success());
    assert_eq!(node.records().len(), 1, "{:?}", node.records());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quit_without_a_successor_changes_nothing() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    node.child.signal(Signal::Quit);
    node.child.wait_for_line("SIGQUIT without a successor", DEADLINE);
    assert_eq!(node.client(&resources, "mot-cua").send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
}
