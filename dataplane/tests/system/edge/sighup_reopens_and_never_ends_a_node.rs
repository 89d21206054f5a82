//! SIGHUP opens the record file again and reads the log level again. It ends neither the node nor an exchange.

use lgsp_testkit::child::Signal;
use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;

use super::{DEADLINE, target};

/// Found with logrotate and `kill -HUP`: the caller saw its connection end, and nothing was recorded.
#[tokio::test(flavor = "multi_thread")]
async fn an_exchange_in_flight_goes_on_and_the_next_record_is_in_the_new_file() {
    let target = target().await;
    let resources = Resources::usual(&[target.address()]);
    let mut node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
    eventually(DEADLINE, "the first record is written", async || node.records().len() == 1).await;

    let slow = node.client(&resources, "mot-cua");
    let slow =
        tokio::spawn(async move { slow.send(&Request::get("/ho-tich/slow?bytes=4096&piece=1024&pause_ms=300")).await });
    eventually(DEADLINE, "the exchange is in flight", async || {
        String::from_utf8_lossy(&node.admin("/metrics").await.body).contains("lgsp_exchanges_in_flight 1")
    })
    .await;
    let path = node.directory().join("records.jsonl");
    std::fs::rename(&path, node.directory().join("records.jsonl.1")).unwrap();
    let settings = std::fs::read_to_string(node.directory().join("settings.yaml")).unwrap();
    let louder = settings.replacen('{', "{\"log_level\":\"debug\",", 1);
    std::fs::write(node.directory().join("settings.yaml"), louder).unwrap();
    node.child.signal(Signal::Hangup);
    node.child.wait_for_line("SIGHUP: the record file is reopened", DEADLINE);

    let answer = slow.await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 4_096));
    eventually(DEADLINE, "the record is in the new file", async || node.records().len() == 1).await;
    assert_eq!(client.send(&Request::get("/khong-co")).await.status, 404);
    node.child.wait_for_line("\"level\":\"DEBUG\"", DEADLINE);
    assert!(node.terminate());
}
