//! A refusal on a target's behalf says what was wrong with the target, to the caller and in the record, on both faces.

use lgsp_testkit::client::Request;
use lgsp_testkit::port::free_port;
use serde_json::{Value, json};

use super::*;

async fn recorded(node: &Node, resources: &Resources, path: &str) -> (Value, Value) {
    let answer = node.client(resources, "mot-cua").send(&Request::post(path, "once")).await;
    let id = answer.header("lgsp-request-id").unwrap().to_owned();
    let record = node.record("the refusal is recorded", |record| record["request_id"] == id.as_str()).await;
    (answer.json(), record)
}

#[tokio::test]
async fn the_reason_that_was_known_reaches_the_caller_and_the_record() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        for (path, code) in [("/ho-tich/close", "target-closed"), ("/ho-tich/garbage", "target-protocol")] {
            let (problem, record) = recorded(&node, &resources, path).await;
            assert_eq!((&problem["code"], &record["outcome"]), (&json!(code), &json!(code)), "{face:?}");
            assert!(problem["detail"].is_string(), "{face:?} {problem}");
            assert_eq!(problem["detail"], record["detail"], "{face:?}");
        }
        let down = Resources::usual(&[([127, 0, 0, 1], free_port()).into()]);
        let node = face.node(&down).start().await;
        let (problem, record) = recorded(&node, &down, "/ho-tich/bytes/1").await;
        assert!(problem["detail"].as_str().is_some_and(|told| told.contains("refused")), "{face:?} {problem}");
        assert_eq!(problem["detail"], record["detail"], "{face:?}");
    }
}
