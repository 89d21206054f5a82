//! An exchange that is cut because its target hangs takes its own connection with it and nobody else's: others to the same
//! target, whose connections come and go meanwhile, see no failure.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lgsp_testkit::client::Request;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use serde_json::json;

use super::http2::Http2;
use super::target;

/// Exchanges that hang at a time.
const HANGING: usize = 40;
/// Callers that ask one thing after the other meanwhile.
const NEIGHBOURS: usize = 4;

async fn nobody_else_is_hurt(protocol: &str) {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]).with("Service", "ho-tich", |spec| {
        spec["protocol"] = json!(protocol);
        spec["deadlines"] = json!({"connect_ms": 2000, "first_byte_ms": 400, "idle_ms": 2000, "total_ms": 0});
        spec["retry"] = json!({"attempts": 0, "budget_percent": 0});
        spec["outlier"] = json!({"failures": 0, "eject_ms": 1000, "ejected_percent_max": 50});
    });
    let node = Node::new(&resources).on_proxy_face().start().await;
    let (client, address) = (node.client(&resources, "mot-cua"), node.address());
    let (over, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let neighbours: Vec<_> = (0..NEIGHBOURS)
        .map(|number| {
            let (client, over, served) = (client.clone(), over.clone(), served.clone());
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    // Half of them on connections that come and go, so that descriptors are used again.
                    let status = if number % 2 == 0 {
                        client.send(&Request::get("/ho-tich/bytes/100")).await.status
                    } else {
                        Http2::connect(address).await.get(&client, "/ho-tich/bytes/100").await.status
                    };
                    assert_eq!(status, 200);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for _ in 0..3 {
        let hanging: Vec<_> = (0..HANGING)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.send(&Request::get("/ho-tich/hang")).await })
            })
            .collect();
        for hung in hanging {
            let answer = hung.await.unwrap();
            assert_eq!((answer.status, answer.code().as_str()), (504, "target-timeout"), "{protocol}");
        }
    }
    over.store(true, Ordering::Relaxed);
    for neighbour in neighbours {
        neighbour.await.expect("no neighbour saw a failure");
    }
    assert!(served.load(Ordering::Relaxed) > 100, "{protocol}: too few neighbours to prove anything");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http1_to_the_target() {
    nobody_else_is_hurt("http1").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_http2_to_the_target() {
    nobody_else_is_hurt("http2").await;
}
