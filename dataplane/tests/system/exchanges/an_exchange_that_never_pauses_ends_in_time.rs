//! A service's `total_ms` ends what no other deadline would: a stream that goes on and on, in either direction.

use std::net::SocketAddr;
use std::time::Duration;

use lgsp_testkit::client::Request;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;

const TOTAL_MS: u64 = 700;
/// For it to be over and recorded on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);
const ENDLESS: &str = "/ho-tich/bytes/1000000000000";

async fn node(face: Face, target: SocketAddr, total_ms: u64) -> (Resources, Node) {
    let deadlines = json!({"connect_ms": 5_000, "first_byte_ms": 25_000, "idle_ms": 25_000, "total_ms": total_ms});
    let limits = json!({"clock_window_secs": 300, "body_bytes_max": 1_u64 << 50, "body_idle_ms": 25_000});
    let resources = Resources::usual(&[target])
        .with("Service", "ho-tich", |spec| spec["deadlines"] = deadlines)
        .put("Defaults", "default", limits);
    let node = face.node(&resources).start().await;
    (resources, node)
}

async fn begin(resources: &Resources, node: &Node, request: &Request) -> TcpStream {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    stream.write_all(&node.client(resources, "mot-cua").rfc9421(request)).await.unwrap();
    stream
}

async fn read_all(stream: &mut TcpStream) {
    let mut room = vec![0; 64 << 10];
    let read = async { while matches!(stream.read(&mut room).await, Ok(1..)) {} };
    timeout(DEADLINE, read).await.expect("the answer ends");
}

/// The record of the only exchange: how it ended, after how long.
async fn ended(node: &Node, face: Face, outcome: &str) -> Value {
    let record = node.record("the exchange", |_| true).await;
    assert_eq!(record["outcome"], outcome, "{face:?}: {record}");
    assert!(record["total_micros"].as_u64() >= Some(TOTAL_MS * 1_000), "{face:?}: {record}");
    record
}

/// A target that begins to answer late, and then does not stop.
async fn late(delay: Duration) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 16 << 10];
        assert!(stream.read(&mut head).await.unwrap() > 0);
        tokio::time::sleep(delay).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n").await.unwrap();
        while stream.write_all(&[b'x'; 64 << 10]).await.is_ok() {}
    });
    address
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_end_is_cut() {
    for face in FACES {
        let target = Target::new().start().await;
        let (resources, node) = node(face, target.address(), TOTAL_MS).await;
        read_all(&mut begin(&resources, &node, &Request::get(ENDLESS)).await).await;
        ended(&node, face, "target-cut").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_cut_and_not_recorded_as_of_a_source_that_was_gone() {
    for face in FACES {
        let target = Target::new().start().await;
        let (resources, node) = node(face, target.address(), TOTAL_MS).await;
        let _unread = begin(&resources, &node, &Request::get(ENDLESS)).await;
        ended(&node, face, "target-cut").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wait_for_the_answer_is_a_part_of_the_time() {
    const ALL_MS: u64 = 3_000;
    for face in FACES {
        let (resources, node) = node(face, late(Duration::from_millis(2_000)).await, ALL_MS).await;
        read_all(&mut begin(&resources, &node, &Request::get(ENDLESS)).await).await;
        let record = ended(&node, face, "target-cut").await;
        let [total, target] = ["total_micros", "target_micros"].map(|name| record[name].as_u64().unwrap());
        assert!(total - target < ALL_MS * 1_000, "{face:?}: counted from the answer on: {record}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_end_is_refused() {
    for face in FACES {
        let target = Target::new().start().await;
        let (resources, node) = node(face, target.address(), TOTAL_MS).await;
        let (mut reader, mut writer) = begin(&resources, &node, &upload(1_000_000_000_000)).await.into_split();
        let sending = tokio::spawn(async move { while writer.write_all(&[b'x'; 64 << 10]).await.is_ok() {} });
        let mut status = [0; 12];
        timeout(DEADLINE, reader.read_exact(&mut status)).await.expect("it is refused in time").unwrap();
        assert_eq!(&status, b"HTTP/1.1 504", "{face:?}");
        ended(&node, face, "target-timeout").await;
        sending.abort();
        assert_eq!(target.ledger().complete(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_body_that_does_not_come_is_refused() {
    for face in FACES {
        let target = Target::new().start().await;
        let (resources, node) = node(face, target.address(), TOTAL_MS).await;
        let mut stream = begin(&resources, &node, &upload(10)).await;
        let mut status = [0; 12];
        timeout(DEADLINE, stream.read_exact(&mut status)).await.expect("it is refused in time").unwrap();
        assert_eq!(&status, b"HTTP/1.1 504", "{face:?}");
        ended(&node, face, "target-timeout").await;
        assert_eq!(target.ledger().complete(), 0);
    }
}

fn upload(length: u64) -> Request {
    Request::new("POST", "/ho-tich/sink")
        .header("content-digest", "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:")
        .header("content-length", &length.to_string())
}
