//! A target that hangs, is down, breaks off or talks nonsense costs the caller an answer with a code, in time, whichever
//! face carries the exchange; and a source that stalls does not hold a target for ever.

use std::time::Duration;

use bytes::Bytes;
use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::json;

use super::http2::{Http2, Length};
use super::{DEADLINE, target};

/// Short deadlines, so that the tests are; the defaults are checked where services are.
fn impatient(resources: Resources, protocol: &str) -> Resources {
    resources.with("Service", "ho-tich", |spec| {
        spec["protocol"] = json!(protocol);
        spec["deadlines"] = json!({"connect_ms": 500, "first_byte_ms": 500, "idle_ms": 700, "total_ms": 0});
        spec["retry"] = json!({"attempts": 2, "budget_percent": 20});
        spec["outlier"] = json!({"failures": 0, "eject_ms": 1000, "ejected_percent_max": 50});
    })
}

async fn each_failure_has_its_code(protocol: &str) {
    let target = target().await;
    let resources = impatient(Resources::usual(&[target.address()]), protocol);
    let node = Node::new(&resources).on_proxy_face().start().await;
    let client = node.client(&resources, "mot-cua");
    let http2 = Http2::connect(node.address()).await;
    // A request that may have been acted on is sent once, whatever becomes of it.
    let before = target.ledger().complete();
    assert_eq!(client.send(&Request::post("/ho-tich/close", "abc")).await.status, 502);
    assert_eq!(target.ledger().complete(), before + 1);
    for (path, status, code) in [
        ("/ho-tich/hang", 504, "target-timeout"),
        ("/ho-tich/close", 502, if protocol == "http2" { "target-protocol" } else { "target-closed" }),
        ("/ho-tich/garbage", 502, "target-protocol"),
    ] {
        if protocol == "http2" && path.ends_with("garbage") {
            continue;
        }
        let answer = http2.get(&client, path).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{path}");
        let response = client.send(&Request::post(path, "abc")).await;
        assert_eq!((response.status, response.code().as_str()), (status, code), "POST {path}");
    }
    let cut = http2.send(&client, &Request::get("/ho-tich/half"), Length::Open, b"", None).await;
    // A reset can overtake the half that was sent; the caller is then told that nothing useful came.
    let told = cut.as_ref().is_ok_and(|answer| answer.status == 502);
    assert!(cut.is_err() || told, "half an answer must not look whole: {cut:?}");
    let outcomes = ["target-cut", "target-protocol", "target-closed"];
    node.record("the cut is recorded", |record| {
        record["path"] == "/ho-tich/half" && outcomes.contains(&record["outcome"].as_str().unwrap_or_default())
    })
    .await;
    assert_eq!(http2.get(&client, "/ho-tich/bytes/10").await.status, 200, "the connection is still good");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1_to_the_target() {
    each_failure_has_its_code("http1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_to_the_target() {
    each_failure_has_its_code("http2").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_is_down_is_unreachable_and_its_neighbour_serves() {
    let (mut down, up) = (target().await, target().await);
    let alone = impatient(Resources::usual(&[down.address()]), "http1");
    let both = impatient(Resources::usual(&[down.address(), up.address()]), "http1");
    let identities = both.clone();
    down.stop();
    let node = Node::new(&alone).on_proxy_face().start().await;
    let response = node.client(&alone, "mot-cua").send(&Request::get("/ho-tich/bytes/5")).await;
    assert_eq!((response.status, response.code().as_str()), (502, "target-unreachable"));

    let node = Node::new(&both).on_proxy_face().start().await;
    let client = node.client(&identities, "mot-cua");
    for _ in 0..6 {
        assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
        assert_eq!(client.send(&Request::post("/ho-tich/sink", "abc")).await.status, 200, "nothing was sent yet");
    }
    assert_eq!(up.ledger().complete(), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_upload_is_not_mistaken_for_a_target_that_hangs() {
    let target = target().await;
    let resources = impatient(Resources::usual(&[target.address()]), "http2");
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let body = vec![7; 20_000];
    let mut slow =
        Http2::connect(node.address()).await.begin(&client, &Request::post("/ho-tich/sink", body.clone())).await;
    let mut pause = tokio::time::interval(Duration::from_millis(200));
    for piece in body.chunks(4_000) {
        pause.tick().await;
        slow.send(Bytes::copy_from_slice(piece), false);
    }
    slow.send(Bytes::new(), true);
    assert_eq!(slow.status().await.unwrap(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_stalls_within_its_body_is_given_up() {
    let target = target().await;
    let resources = impatient(Resources::usual(&[target.address()]), "http1").put(
        "Defaults",
        "default",
        json!({"clock_window_secs": 300, "body_bytes_max": 1_000_000, "body_idle_ms": 500}),
    );
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let request = Request::post("/ho-tich/sink", vec![7; 20_000]);
    let mut stalled = Http2::connect(node.address()).await.begin(&client, &request).await;
    stalled.send(Bytes::from_static(&[7; 4_000]), false);
    assert_eq!(stalled.status().await.unwrap(), 408);
    node.record("the stall is recorded", |record| record["outcome"] == "body-timeout").await;
    assert_eq!(target.ledger().complete(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_goes_away_frees_the_target() {
    let target = target().await;
    let resources = impatient(Resources::usual(&[target.address()]), "http2");
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let request = Request::post("/ho-tich/sink", vec![7; 20_000]);
    let mut leaving = Http2::connect(node.address()).await.begin(&client, &request).await;
    leaving.send(Bytes::from_static(&[7; 4_000]), false);
    eventually(DEADLINE, "the request is at the target", async || {
        let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
        metrics.contains("lgsp_exchanges_in_flight 1")
    })
    .await;
    leaving.reset();
    node.record("the source's leave is recorded", |record| record["outcome"] == "client-gone").await;
    assert_eq!(target.ledger().complete(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ambiguous_request_is_refused_by_pingora_proxy_alone_too() {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let node = Node::new(&resources).on_proxy_face().start().await;
    let client = node.client(&resources, "mot-cua");
    let signed = String::from_utf8(client.rfc9421(&Request::post("/ho-tich/sink", "abc"))).unwrap();
    for (what, bytes) in [
        ("both lengths", signed.replace("content-length: 3", "content-length: 3\r\ntransfer-encoding: chunked")),
        ("two lengths", signed.replace("content-length: 3", "content-length: 3\r\ncontent-length: 4")),
        ("an odd byte", signed.replacen("/ho-tich/sink", "/ho-tich/\"sink", 1)),
        ("two hosts", signed.replacen("host: ", "host: b\r\nhost: ", 1)),
    ] {
        let response = client.send_raw(bytes.as_bytes()).await;
        assert_eq!(response.status, 400, "{what}: {response:?}");
    }
    assert_eq!(target.ledger().complete() + target.ledger().incomplete(), 0);
}
