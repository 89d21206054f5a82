//! Bodies that are held until they are verified have one budget over all requests, and no key can take all of it.

use lgsp_testkit::client::{Client, Request};
use lgsp_testkit::eventually::{eventually, eventually_some};
use lgsp_testkit::node::NODE_DEADLINE;
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::*;

const BUDGET_BYTES: usize = 4 << 20;
/// Verified before any of it is forwarded, and so held.
const BODY_BYTES: usize = 60_000;

async fn unfinished(node: &Node, client: &Client) -> TcpStream {
    let bytes = client.rfc9421(&Request::post("/ho-tich/sink", vec![b'x'; BODY_BYTES]));
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(&bytes[..bytes.len() - 1]).await.unwrap();
    stream
}

/// Whether a whole request is refused for want of memory.
async fn is_refused(node: &Node, client: &Client) -> bool {
    let mut stream = unfinished(node, client).await;
    // The last byte completes a body that was taken; one that was not taken is refused already.
    let _ = stream.write_all(b"x").await;
    let mut answer = [0; 12];
    tokio::io::AsyncReadExt::read_exact(&mut stream, &mut answer).await.unwrap();
    match &answer {
        b"HTTP/1.1 503" => true,
        b"HTTP/1.1 200" => false,
        other => panic!("{}", String::from_utf8_lossy(other)),
    }
}

#[tokio::test]
async fn beyond_it_a_request_is_refused_and_another_key_finds_room() {
    let target = Target::new().start().await;
    let resources =
        Resources::usual(&[target.address()]).system("mot-cua-huyen").permission("mot-cua-huyen", "ho-tich");
    let limits = json!({"connections_per_address_max": 10_000, "unverified_bytes_max": BUDGET_BYTES});
    let node = Node::new(&resources).with(|settings| settings["limits"] = limits).start().await;
    let (one, other) = (node.client(&resources, "mot-cua"), node.client(&resources, "mot-cua-huyen"));
    let mut held = Vec::new();
    let full = async || {
        held.push(unfinished(&node, &one).await);
        let refused = |record: &serde_json::Value| record["outcome"] == "overloaded";
        node.records().into_iter().find(refused)
    };
    let refused = eventually_some(NODE_DEADLINE, "the key's share of the memory is taken", full).await;
    assert_eq!(refused["status"], 503);
    assert!(held.len() > BUDGET_BYTES / BODY_BYTES / 2, "{} bodies were held", held.len());
    assert!(is_refused(&node, &one).await);
    assert!(!is_refused(&node, &other).await);
    drop(held);
    eventually(NODE_DEADLINE, "memory given back can be taken", async || !is_refused(&node, &one).await).await;
}
