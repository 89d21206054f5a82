//! Targets of other makers send the last piece of an answer and its end in one segment, or close right behind it. Every
//! timer of the node is longer than this test waits, so whatever waits for one fails.

use std::time::Duration;

use lgsp_testkit::client::Request;
use lgsp_testkit::foreign::{ForeignServer, ForeignTarget, SIZES};
use lgsp_testkit::node::NODE_DEADLINE;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

/// Longer than anything here is waited for, in milliseconds.
const NO_TIMER_MS: u64 = 60_000;

fn patient(resources: Resources) -> Resources {
    resources.with("Service", "ho-tich", |spec| spec["deadlines"] = json!({"idle_ms": NO_TIMER_MS})).put(
        "Defaults",
        "default",
        json!({"body_idle_ms": NO_TIMER_MS}),
    )
}

async fn answers_end(server: ForeignServer) {
    let target = ForeignTarget::start(server);
    let resources = patient(Resources::usual(&[target.address()]));
    let limits = json!({
        "connections_per_address_max": 10_000,
        "header_deadline_ms": NO_TIMER_MS,
        "keep_alive_idle_ms": NO_TIMER_MS,
    });
    let node = Node::new(&resources).with(|settings| settings["limits"] = limits).start().await;
    let client = node.client(&resources, "mot-cua");
    // Their connections stay open to the end: an exchange is finished by its answer, not by the caller's leaving.
    let mut kept = Vec::new();
    for kind in ["chunked", "length"] {
        for size in SIZES {
            let request = Request::get(&format!("/ho-tich/{kind}/{size}"));
            let answer = tokio::time::timeout(NODE_DEADLINE, client.send(&request)).await;
            let answer = answer.unwrap_or_else(|_| panic!("{server:?}: the answer to {} does not end", request.target));
            assert_eq!((answer.status, answer.body.len()), (200, size), "{server:?} {}", request.target);
            kept.push(rest_after_one(&node, &client.rfc9421(&request), size).await);
        }
    }
    let answer = client.send(&Request::post("/ho-tich/sink", vec![b'x'; 100_000])).await;
    assert_eq!((answer.status, answer.body.len()), (200, 2), "{server:?}");
    let due = kept.len() * 2 + 1;
    let all = || node.records().len() == due;
    lgsp_testkit::eventually::eventually(NODE_DEADLINE, "every exchange has its record", async || all()).await;
    let outcomes: Vec<_> = node.records().iter().map(|record| record["outcome"].clone()).collect();
    assert!(outcomes.iter().all(|outcome| outcome == "completed"), "{server:?}: {outcomes:?}");
    let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    assert!(metrics.contains("lgsp_exchanges_in_flight 0"), "{server:?}: {metrics}");
}

/// Asks on a connection of its own, reads past the answer's content, and returns the connection, still open.
async fn rest_after_one(node: &Node, request: &[u8], size: usize) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut read = Vec::new();
    let answer = async {
        while read.iter().filter(|byte| **byte == b'x').count() < size {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "the answer is cut");
        }
    };
    tokio::time::timeout(NODE_DEADLINE, answer).await.expect("the answer's content arrives");
    stream
}

#[tokio::test]
async fn of_a_node_js_target() {
    answers_end(ForeignServer::Node).await;
}

#[tokio::test]
async fn of_a_python_target() {
    answers_end(ForeignServer::Python).await;
}

#[tokio::test]
async fn of_a_java_target() {
    answers_end(ForeignServer::Java).await;
}

#[tokio::test]
async fn of_an_nginx_target() {
    answers_end(ForeignServer::Nginx).await;
}

#[tokio::test]
async fn a_target_that_closes_right_behind_its_whole_answer_has_not_cut_it() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let body = vec![b'x'; 60_000];
        let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 8_192];
            let _ = stream.read(&mut request).await.unwrap();
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    });
    let resources = patient(Resources::usual(&[address]));
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    const EXCHANGES: usize = 50;
    for _ in 0..EXCHANGES {
        assert_eq!(client.send(&Request::get("/ho-tich/x")).await.body.len(), 60_000);
    }
    let all = async || node.records().len() == EXCHANGES;
    lgsp_testkit::eventually::eventually(Duration::from_secs(20), "every exchange has its record", all).await;
    let completed = node.records().iter().filter(|record| record["outcome"] == "completed").count();
    assert_eq!(completed, EXCHANGES);
}
