//! Requests nobody signed cost a bounded number of records; what exceeds it is counted, and who signs is served and
//! recorded meanwhile.

use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::Node;
use lgsp_testkit::resources::Resources;
use lgsp_testkit::target::Target;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: std::time::Duration = std::time::Duration::from_secs(30);
const FLOOD: usize = 5_000;

async fn flood(node: &Node) {
    let mut stream = TcpStream::connect(node.address()).await.unwrap();
    let (mut read, mut write) = stream.split();
    let sent = async {
        for _ in 0..FLOOD {
            write.write_all(b"GET /ho-tich/bytes/5 HTTP/1.1\r\nhost: lgsp\r\n\r\n").await.unwrap();
        }
        write.shutdown().await.unwrap();
    };
    let mut answers = Vec::new();
    let (_, received) = tokio::join!(sent, read.read_to_end(&mut answers));
    received.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_records_of_strangers_stay_within_their_quota_and_the_rest_is_counted() {
    let target = Target::new().start().await;
    let resources = Resources::usual(&[target.address()]);
    let change = |settings: &mut serde_json::Value| {
        settings["records"]["strangers"] = json!({"per_second": 1, "per_address_per_second": 1});
    };
    let node = Node::new(&resources).with(change).start().await;
    flood(&node).await;
    let client = node.client(&resources, "mot-cua");
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/5")).await.status, 200);
    node.record("who signs is recorded", |record| record["outcome"] == "completed").await;

    let sums = || -> usize {
        let records = node.records();
        let sums = records.iter().filter(|record| record["outcome"] == "not-recorded");
        sums.map(|sum| usize::try_from(sum["count"].as_u64().unwrap()).unwrap()).sum()
    };
    let written = || node.records().iter().filter(|record| record["outcome"] == "signature-missing").count();
    eventually(DEADLINE, "each is recorded or counted", async || sums() + written() == FLOOD).await;
    assert!(written() < 200, "a minute of the quota is saved up: {}", written());
    let metrics = String::from_utf8(node.admin("/metrics").await.body).unwrap();
    let lost = format!("lgsp_records_lost_total{{reason=\"unauthenticated\"}} {}", sums());
    assert!(metrics.contains(&lost), "no {lost} in {metrics}");
    let ready = node.admin("/readyz?verbose").await;
    let said = String::from_utf8_lossy(&ready.body).into_owned();
    assert_eq!(ready.status, 200, "{said}");
    assert!(said.contains(&format!("not kept since the start: {} unauthenticated", sums())), "{said}");
}
