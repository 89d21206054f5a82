//! A connection over the node's limits is answered 503 before it is closed, whichever limit it is; one that speaks TLS is
//! closed, because its handshake would cost more than serving it. All are counted.

use lgsp_testkit::certificate::Authority;
use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::one_address_cannot_take_every_connection::metric;
use super::{DEADLINE, target};

/// A node all of whose connections are taken; they stay taken while the streams live.
async fn full(resources: &Resources, limits: Value) -> (Node, Vec<TcpStream>) {
    let builder = Node::new(resources);
    let files = Authority::new("LGSP test").issue(&["localhost"]).write(builder.directory(), "listener");
    let tls = json!({"address": "127.0.0.1:0", "tls": {"certificate": files.cert, "key": files.key}});
    let change = |settings: &mut Value| {
        settings["limits"] = limits;
        settings["listeners"].as_array_mut().unwrap().push(tls);
    };
    let node = builder.with(change).start().await;
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(TcpStream::connect(node.address()).await.unwrap());
    }
    eventually(DEADLINE, "three connections are counted", async || metric(&node, "lgsp_connections").await == 3).await;
    (node, held)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_beyond_either_limit_is_answered_503_and_its_record_says_so() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    for limits in [
        json!({"connections_max": 3, "connections_per_address_max": 100}),
        json!({"connections_max": 100, "connections_per_address_max": 3}),
    ] {
        let (node, held) = full(&resources, limits.clone()).await;
        let client: Client = node.client(&resources, "mot-cua");
        let request = Request::post("/ho-tich/sink", vec![7; 100_000]).header("accept-language", "en");
        let answer = client.send(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"), "{limits}: {answer:?}");
        assert_eq!(answer.json()["title"], "The node is over its limits");
        assert!(answer.header("retry-after").unwrap().parse::<u32>().unwrap() > 0);
        assert_eq!(answer.header("connection"), Some("close"));
        let id = answer.header("lgsp-request-id").unwrap();
        let record = node.record("the answer is recorded", |record| record["request_id"] == id).await;
        assert_eq!((record["outcome"].as_str(), record["path"].as_str()), (Some("overloaded"), Some("/ho-tich/sink")));
        assert_eq!(metric(&node, "lgsp_connections_refused_total").await, 1);

        drop(held);
        eventually(DEADLINE, "the places come back", async || metric(&node, "lgsp_connections").await == 0).await;
        assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
        assert_eq!(target.ledger().incomplete(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_told_to_go_away_and_silence_and_tls_are_closed() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let (node, _held) = full(&resources, json!({"connections_max": 100, "connections_per_address_max": 3})).await;

    let stream = TcpStream::connect(node.address()).await.unwrap();
    let (mut send, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let refused = async {
        send = send.ready().await?;
        send.send_request(http::Request::get("http://a/").body(())?, true)?.0.await?;
        Ok::<_, Box<dyn std::error::Error>>(())
    };
    assert!(refused.await.is_err());
    let ended = connection.await.unwrap().unwrap_err();
    assert!(ended.is_go_away() && ended.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM), "{ended:?}");

    let mut silent = TcpStream::connect(node.address()).await.unwrap();
    let closed = tokio::time::timeout(DEADLINE, silent.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");

    let before = node.records().len();
    let mut tls = TcpStream::connect(node.listener(1)).await.unwrap();
    // A node that waited for a handshake would wait for the rest of this record.
    let _ = tls.write_all(b"\x16\x03\x01").await;
    let closed = tokio::time::timeout(DEADLINE, tls.read(&mut [0])).await.unwrap();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    eventually(DEADLINE, "all are counted", async || metric(&node, "lgsp_connections_refused_total").await == 3).await;
    assert_eq!(node.records().len(), before, "nothing was asked");
}
