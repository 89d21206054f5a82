//! gRPC needs trailers and `te`, WebSocket needs a tunnel: both pass, and only for a request that was admitted.

use http::{HeaderMap, HeaderValue};
use lgsp_testkit::client::Request;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::http2::{Http2, Length};
use super::target;

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_call_keeps_its_trailers_and_its_te() {
    let target = target().await;
    let resources =
        Resources::usual(&[target.address()]).with("Service", "ho-tich", |spec| spec["protocol"] = json!("http2"));
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let http2 = Http2::connect(node.address()).await;
    let call = Request::post("/ho-tich/echo", b"\0\0\0\0\x05hello".to_vec())
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let answer = http2.send(&client, &call, Length::Open, b"\0\0\0\0\x05hello", None).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body, b"\0\0\0\0\x05hello");
    assert_eq!(answer.trailers.unwrap()["grpc-status"], "0");
    assert_eq!(target.last().header("te"), Some("trailers"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_grpc_caller_that_is_refused_reads_a_grpc_status() {
    let target = target().await;
    let resources =
        Resources::usual(&[target.address()]).with("Service", "ho-tich", |spec| spec["protocol"] = json!("http2"));
    let node = Node::new(&resources).start().await;
    let http2 = Http2::connect(node.address()).await;
    let call = Request::post("/elsewhere/echo", b"x".to_vec()).header("content-type", "application/grpc");
    let answer = http2.send(&node.client(&resources, "mot-cua"), &call, Length::Open, b"x", None).await.unwrap();
    assert_eq!((answer.status, answer.headers["grpc-status"].to_str().unwrap()), (200, "12"), "{answer:?}");
    assert!(answer.headers["grpc-message"].to_str().unwrap().starts_with("route-not-found: "), "{answer:?}");
    assert!(answer.body.is_empty(), "{answer:?}");
    let record = node.record("the refusal is recorded", |record| record["outcome"] == "route-not-found").await;
    assert_eq!(record["status"], 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_becomes_a_tunnel_once_it_is_admitted() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let upgrade = Request::get("/ho-tich/upgrade").header("connection", "upgrade").header("upgrade", "websocket");

    let mut unsigned = TcpStream::connect(node.address()).await.unwrap();
    let head = "GET /ho-tich/upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    unsigned.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    unsigned.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 401 ") && answer.contains("signature-missing"), "{answer}");
    assert_eq!(target.ledger().complete(), 0);

    let mut tunnel = TcpStream::connect(node.address()).await.unwrap();
    tunnel.write_all(&client.rfc9421(&upgrade)).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tunnel.read_u8().await.unwrap());
    }
    assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
    for message in ["xin chào", "tạm biệt"] {
        tunnel.write_all(message.as_bytes()).await.unwrap();
        let mut back = vec![0; message.len()];
        tunnel.read_exact(&mut back).await.unwrap();
        assert_eq!(back, message.as_bytes());
    }
    drop(tunnel);
    let record = node.record("the tunnel is recorded", |record| record["status"] == 101).await;
    assert_eq!(record["request_bytes"], "xin chàotạm biệt".len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_is_refused_over_http2_leaves_the_connection_usable() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let http2 = Http2::connect(node.address()).await;
    let refused = http2.get(&client, "/elsewhere").await;
    assert_eq!((refused.status, refused.code().as_str()), (404, "route-not-found"));
    assert_eq!(refused.headers["content-type"], "application/problem+json");
    let replayed = node.client(&resources, "mot-cua").with_nonce("once-and-never-again");
    assert_eq!(http2.get(&replayed, "/ho-tich/bytes/10").await.status, 200);
    assert_eq!(http2.get(&replayed, "/ho-tich/bytes/10").await.code(), "replayed");
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("1"));
    let request = Request::post("/ho-tich/echo", "abc");
    let answer = http2.send(&client, &request, Length::Declared, b"abc", Some(trailers)).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"abc"[..]));
}
