//! A service's `total_ms` ends what no other deadline would: a stream that goes on and on, in either direction.

use std::time::Duration;

use lgsp_testkit::client::Request;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::*;

const TOTAL_MS: u64 = 700;
/// For it to be over and recorded on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

async fn hurried(face: Face) -> (Target, Resources, Node) {
    let target = Target::new().start().await;
    let deadlines = json!({"connect_ms": 5_000, "first_byte_ms": 25_000, "idle_ms": 25_000, "total_ms": TOTAL_MS});
    let limits = json!({"clock_window_secs": 300, "body_bytes_max": 1_u64 << 50, "body_idle_ms": 25_000});
    let resources = Resources::usual(&[target.address()])
        .with("Service", "ho-tich", |spec| spec["deadlines"] = deadlines)
        .put("Defaults", "default", limits);
    let node = face.node(&resources).start().await;
    (target, resources, node)
}

async fn begin(resources: &Resources, node: &Node, request: &Request) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(&node.client(resources, "mot-cua").rfc9421(request)).await.unwrap();
    stream
}

fn lasted(record: &serde_json::Value) -> bool {
    record["total_micros"].as_u64() >= Some(TOTAL_MS * 1_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut() {
    for face in FACES {
        let (_target, resources, node) = hurried(face).await;
        let mut stream = begin(&resources, &node, &Request::get("/ho-tich/bytes/1000000000000")).await;
        let mut room = vec![0; 64 << 10];
        let read = async { while matches!(stream.read(&mut room).await, Ok(1..)) {} };
        timeout(DEADLINE, read).await.unwrap_or_else(|_| panic!("{face:?}: the answer goes on"));
        node.record("the cut", |record| record["outcome"] == "target-cut" && lasted(record)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused() {
    for face in FACES {
        let (target, resources, node) = hurried(face).await;
        let digest = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        let upload = Request::new("POST", "/ho-tich/sink")
            .header("content-digest", digest)
            .header("content-length", "1000000000000");
        let (mut reader, mut writer) = begin(&resources, &node, &upload).await.into_split();
        let sending = tokio::spawn(async move { while writer.write_all(&[b'x'; 64 << 10]).await.is_ok() {} });
        let mut status = [0; 12];
        timeout(DEADLINE, reader.read_exact(&mut status)).await.expect("it is refused in time").unwrap();
        assert_eq!(&status, b"HTTP/1.1 504", "{face:?}");
        node.record("the refusal", |record| record["outcome"] == "target-timeout" && lasted(record)).await;
        sending.abort();
        assert_eq!(target.ledger().complete(), 0);
    }
}
