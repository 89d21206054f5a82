//! A7.4's peak, with the configuration changing under it every second.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lgsp_testkit::client::{Client, Request};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const CONNECTIONS: usize = 1_000;
const REVISIONS: u64 = 8;
const STREAM_BYTES: u64 = 4 << 20;

/// Sends signed requests on one kept-alive connection until told to stop; panics on the first that fails.
async fn keep_asking(client: Client, stop: Arc<AtomicBool>, asked: Arc<AtomicU64>, node: std::net::SocketAddr) {
    let mut stream = TcpStream::connect(node).await.unwrap();
    let mut buffer = vec![0; 4_096];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&client.rfc9421(&Request::get("/ho-tich/bytes/64"))).await.unwrap();
        let mut read = 0;
        let whole = loop {
            let count = stream.read(&mut buffer[read..]).await.unwrap();
            assert!(count > 0, "cut: {}", String::from_utf8_lossy(&buffer[..read]));
            read += count;
            let head = buffer[..read].windows(4).position(|end| end == b"\r\n\r\n");
            if let Some(head) = head.filter(|head| read >= head + 4 + 64) {
                break head + 4 + 64;
            }
        };
        assert!(buffer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&buffer[..read]));
        assert_eq!(read, whole);
        asked.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_exchange_fails_and_no_stream_is_cut() {
    let target = Target::new().keeping(0).start().await;
    let resources = Resources::usual(&[target.address()]);
    let mut node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let (stop, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let asking: Vec<_> = (0..CONNECTIONS)
        .map(|_| tokio::spawn(keep_asking(client.clone(), stop.clone(), asked.clone(), node.address())))
        .collect();
    // A stream that lasts longer than several revisions.
    let path = format!("/ho-tich/slow?bytes={STREAM_BYTES}&piece=65536&pause_ms=120");
    let streaming = tokio::spawn({
        let client = client.clone();
        async move { client.send(&Request::get(&path)).await }
    });

    let mut last = 0;
    for revision in 0..REVISIONS {
        let due = Instant::now() + Duration::from_secs(1);
        let changed =
            resources.clone().put("Agency", "so-moi", json!({"code": "H61.9", "title": revision.to_string()}));
        last = node.publish(&changed);
        tokio::time::sleep_until(due.into()).await;
    }
    lgsp_testkit::eventually::eventually(Duration::from_secs(10), "the last revision is in use", async || {
        node.revision().await == Some(last)
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for asking in asking {
        asking.await.unwrap();
    }
    let streamed = streaming.await.unwrap();
    assert_eq!((streamed.status, streamed.body.len() as u64), (200, STREAM_BYTES));
    assert!(asked.load(Ordering::Relaxed) as usize > 2 * CONNECTIONS, "{asked:?}");
    let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    let outcomes = metrics.lines().filter(|line| line.starts_with("lgsp_exchanges_total"));
    let failed: Vec<&str> = outcomes.filter(|line| !line.contains("outcome=\"completed\"")).collect();
    assert!(failed.is_empty(), "{failed:?}");
}
