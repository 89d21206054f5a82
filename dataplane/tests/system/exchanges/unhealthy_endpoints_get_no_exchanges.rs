use std::time::Duration;

use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use serde_json::json;

use super::*;

#[tokio::test]
async fn an_endpoint_that_fails_its_checks_is_left_out_until_it_passes_them_again() {
    let mut target = Target::new().start().await;
    let address = target.address();
    let resources = Resources::usual(&[address]).with("Service", "ho-tich", |spec| {
        spec["health"] =
            json!({"path": "/health", "interval_ms": 100, "timeout_ms": 500, "healthy_after": 1, "unhealthy_after": 1});
    });
    let node = Node::new(&resources).start().await;
    let client = node.client(&resources, "mot-cua");
    let answers = async |status: u16| client.send(&Request::get("/ho-tich/bytes/1")).await.status == status;
    assert!(answers(200).await);
    target.stop();
    let out = async || client.send(&Request::get("/ho-tich/bytes/1")).await.code() == "target-unhealthy";
    eventually(Duration::from_secs(10), "the endpoint is out", out).await;
    let _target = Target::new().at(address).start().await;
    eventually(Duration::from_secs(10), "the endpoint is back", async || answers(200).await).await;
}
