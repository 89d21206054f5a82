//! SDKs retry within the second in which they signed, and SigV4 signs whole seconds: the equal signature is not taken for
//! an attack, and what never reached a target is simply served.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use lgsp_testkit::node::Node;
use lgsp_testkit::python::python;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How often each request was executed, by method and path.
type Executed = Arc<Mutex<HashMap<String, usize>>>;

/// A target that fails each request once and then does it.
async fn failing_once() -> (SocketAddr, Executed) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, executed) = (listener.local_addr().unwrap(), Executed::default());
    let counted = executed.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, executed.clone()));
        }
    });
    (address, counted)
}

async fn answer(mut stream: TcpStream, executed: Executed) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let count = {
        let mut executed = executed.lock().unwrap();
        let count = executed.entry(line).or_default();
        *count += 1;
        *count
    };
    // Not 503, which says of the endpoint that it is out of service.
    let status = if count == 1 { "500 Internal Server Error" } else { "200 OK" };
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(answer.as_bytes()).await;
}

/// The statuses that an application gets for eight writes.
fn writes(node: &Node, resources: &Resources) -> Vec<u64> {
    let (me, body) = (resources.identity("mot-cua"), node.directory().join("body"));
    std::fs::write(&body, b"ho so").unwrap();
    let output = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/system/clients/clients.py"))
        .args(["botocore-s3-retries", "PUT", &format!("http://{}/ho-tich/bytes/0", node.address())])
        .arg(body)
        .env("ACCESS_KEY", me.access_key.as_str())
        .env("SECRET_KEY", std::str::from_utf8(me.secret.expose()).unwrap())
        .env("no_proxy", "*")
        .env("AWS_CONFIG_FILE", "/nonexistent")
        .env("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    serde_json::from_str(printed["body"].as_str().unwrap()).unwrap()
}

async fn a_target_that_fails_once(proxy_face: bool) {
    let (target, executed) = failing_once().await;
    let resources = Resources::usual(&[target]);
    let builder = Node::new(&resources);
    let node = if proxy_face { builder.on_proxy_face() } else { builder }.start().await;
    let statuses = tokio::task::block_in_place(|| writes(&node, &resources));
    assert_eq!(statuses, [200; 8]);
    let executed = executed.lock().unwrap();
    assert!(executed.len() == 8 && executed.values().all(|count| *count == 2), "{executed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_in_the_same_second_is_sent_where_it_signs_again() {
    a_target_that_fails_once(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_in_the_same_second_is_sent_where_it_signs_again_on_the_proxy_face() {
    a_target_that_fails_once(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_is_what_the_application_hears_of() {
    for proxy_face in [false, true] {
        let mut target = Target::new().start().await;
        let resources = Resources::usual(&[target.address()]);
        target.stop();
        let builder = Node::new(&resources);
        let node = if proxy_face { builder.on_proxy_face() } else { builder }.start().await;
        let statuses = tokio::task::block_in_place(|| writes(&node, &resources));
        assert!(statuses.iter().all(|status| [502, 503].contains(status)), "{statuses:?}");
        let records = node.records();
        let repeated = |record: &&Value| ["replayed", "signature-repeated"].iter().any(|code| record["code"] == *code);
        assert!(records.len() > 8 && !records.iter().any(|record| repeated(&record)), "{proxy_face}: {records:?}");
    }
}
