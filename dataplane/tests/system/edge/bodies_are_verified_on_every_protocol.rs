//! A body that is not the one that was signed never reaches the target as a complete request: HTTP/1.1 and HTTP/2 on
//! either side, with and without a declared length. Asserted on the target's side.

use lgsp_shared::seal::Secret;
use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;

use super::http2::{Http2, Length};
use super::{DEADLINE, target};

/// Larger than one piece of anything, so that there is something to hold back.
const BODY_BYTES: usize = 100_000;

fn body() -> Vec<u8> {
    (0..BODY_BYTES).map(|at| (at % 251) as u8).collect()
}

fn changed(mut body: Vec<u8>) -> Vec<u8> {
    let last = body.len() - 1;
    body[last] ^= 1;
    body
}

/// Tries every length and face towards a target that speaks `protocol`.
async fn a_changed_body_is_refused(protocol: &str, on_proxy_face: bool) {
    let target = target().await;
    let resources =
        Resources::usual(&[target.address()]).with("Service", "ho-tich", |spec| spec["protocol"] = json!(protocol));
    let builder = Node::new(&resources);
    let node = if on_proxy_face { builder.on_proxy_face() } else { builder }.start().await;
    let client = node.client(&resources, "mot-cua");
    let request = Request::post("/ho-tich/sink", body());

    for length in [Length::Declared, Length::Open] {
        let before = target.ledger().complete();
        let http2 = Http2::connect(node.address()).await;
        let answer = http2.send(&client, &request, length, &changed(body()), None).await.unwrap();
        assert_eq!((answer.status, answer.code().as_str()), (400, "digest-mismatch"), "{length:?}");
        assert_eq!(target.ledger().complete(), before, "{length:?}: a body that did not verify arrived whole");
        let answer = http2.send(&client, &request, length, &body(), None).await.unwrap();
        assert_eq!(answer.status, 200, "{length:?}: {answer:?}");
        let seen = target.last();
        assert_eq!((seen.body_bytes, seen.complete), (BODY_BYTES as u64, true), "{length:?}");
    }

    let mut bytes = client.rfc9421(&request);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let response = client.send_raw(&bytes).await;
    assert_eq!((response.status, response.code().as_str()), (400, "digest-mismatch"));
    assert_eq!(client.send(&request).await.status, 200);
    assert_eq!(target.last().protocol, if protocol == "http2" { "HTTP/2" } else { "HTTP/1.1" });
    node.record("the mismatch is recorded", |record| record["outcome"] == "digest-mismatch").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1_to_the_target() {
    a_changed_body_is_refused("http1", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_to_the_target() {
    a_changed_body_is_refused("http2", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn through_pingora_proxy_alone() {
    a_changed_body_is_refused("http1", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_reaches_the_target_over_http2_is_signed_by_the_platform() {
    let resources = Resources::usual(&["127.0.0.1:1".parse().unwrap()]);
    let identity = resources.identity("tu-phap");
    let secret: &Secret = &identity.secret;
    let target = lgsp_testkit::target::Target::new().verifying(identity.access_key.clone(), secret).start().await;
    let resources = resources.service("ho-tich", "tu-phap", &[target.address()]).with("Service", "ho-tich", |spec| {
        spec["protocol"] = json!("http2");
    });
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let http2 = Http2::connect(node.address()).await;
    let request = Request::post("/ho-tich/echo?a=1", "xin chào").header("lgsp-trace", "x");
    let answer = http2.send(&client, &request, Length::Declared, "xin chào".as_bytes(), None).await.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, "xin chào".as_bytes()));
    let seen = target.last();
    assert_eq!((seen.verified, seen.path.as_str(), seen.query.as_deref()), (Some(true), "/echo", Some("a=1")));
    assert_eq!(seen.header("lgsp-source"), Some("mot-cua"));
    assert_eq!(seen.header("lgsp-trace"), None, "headers in the platform's name do not pass");
    eventually(DEADLINE, "the exchange is recorded", async || {
        node.records().iter().any(|record| record["outcome"] == "completed" && record["face"] == "proxy")
    })
    .await;
}
