//! A successor takes the listening sockets over while requests flow all the time: none fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use lgsp_testkit::client::Request;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;

use super::{DEADLINE, target};

const CLIENTS: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn requests_flow_while_the_program_is_replaced() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let mut node = Node::new(&resources).start().await;
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (client, stop, served) = (node.client(&resources, "mot-cua"), stop.clone(), served.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let response = client.send(&Request::get("/ho-tich/bytes/100")).await;
                    assert_eq!((response.status, response.body.len()), (200, 100));
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    let successor = node.successor("the successor");
    let ended = tokio::task::spawn_blocking(move || (node.child.wait(DEADLINE), node)).await.unwrap();
    assert!(ended.0.success());
    let after = served.load(Ordering::Relaxed);
    lgsp_testkit::eventually::eventually(DEADLINE, "the successor serves", async || {
        served.load(Ordering::Relaxed) > after + 100
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(ended.1.admin("/livez").await.status, 200, "the admin listener was taken over too");
    drop(successor);
}
