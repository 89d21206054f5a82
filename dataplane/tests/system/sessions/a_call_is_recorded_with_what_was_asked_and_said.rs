use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::NODE_DEADLINE;
use lgsp_testkit::session::verification;
use serde_json::Value;

use super::*;

async fn record_of(stand: &Stand, answer: &Response) -> Value {
    let id = answer.header("lgsp-request-id").unwrap();
    stand.node.record("the call's record", |record| record["request_id"] == id).await
}

/// What a record says of a call.
fn told(record: &Value) -> Value {
    let members = ["call", "verdict", "service", "verified_source", "permission", "outcome", "source"];
    members.into_iter().map(|member| record[member].clone()).collect()
}

#[tokio::test]
async fn which_service_and_whether_it_was_granted_and_if_not_why() {
    for face in FACES {
        let stand = stand(face).await;
        let client = stand.client("mot-cua");
        let cases = [
            (
                client.send(&open_session("ho-tich")).await,
                json!(["session", "granted", "ho-tich", null, null, "completed", "mot-cua"]),
            ),
            (
                stand.client("tu-phap").send(&open_session("ho-tich")).await,
                json!(["session", "permission-missing", "ho-tich", null, null, "permission-missing", "tu-phap"]),
            ),
            (
                client.send(&open_session("khong-co")).await,
                json!(["session", "permission-missing", "khong-co", null, null, "permission-missing", "mot-cua"]),
            ),
            (
                client.send(&Request::post("/lgsp/v1/sessions", "{}")).await,
                json!(["session", "body-malformed", null, null, null, "body-malformed", "mot-cua"]),
            ),
            (
                client.send_raw(b"POST /lgsp/v1/sessions HTTP/1.1\r\nhost: x\r\n\r\n").await,
                json!(["session", "signature-missing", null, null, null, "signature-missing", null]),
            ),
        ];
        for (answer, expected) in cases {
            assert_eq!(told(&record_of(&stand, &answer).await), expected, "{face:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn whose_request_was_verified_and_whether_its_target_may_serve_it() {
    for face in FACES {
        let stand = stand(face).await;
        let (client, _) = stand.in_session("mot-cua", "ho-tich").await;
        let received = client.rfc9421(&Request::get("/khai-sinh/1"));
        let (mine, other) = (stand.client("tu-phap"), stand.client("dat-dai"));
        let about = verification("ho-tich", &received);
        let foreign = other.send(&about).await;
        let accepted = mine.send(&about).await;
        let again = mine.send(&about).await;
        let cases = [
            (foreign, json!(["verification", "session-unknown", "ho-tich", null, null, "completed", "dat-dai"])),
            (
                accepted,
                json!(["verification", "accepted", "ho-tich", "mot-cua", "mot-cua-ho-tich", "completed", "tu-phap"]),
            ),
            (again, json!(["verification", "replayed", "ho-tich", "mot-cua", null, "completed", "tu-phap"])),
        ];
        for (answer, expected) in cases {
            assert_eq!(told(&record_of(&stand, &answer).await), expected, "{face:?}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn they_are_counted_by_names_of_the_configuration_only() {
    let stand = stand(Face::Http1).await;
    let client = stand.client("mot-cua");
    for service in ["ho-tich", "khong-co-1", "khong-co-2"] {
        client.send(&open_session(service)).await;
    }
    let mut text = String::new();
    eventually(NODE_DEADLINE, "the calls are counted", async || {
        text = String::from_utf8(stand.node.admin("/metrics").await.body).unwrap();
        text.contains(r#"lgsp_session_calls_total{call="session",service="none",verdict="permission-missing"} 2"#)
            && text.contains(r#"lgsp_session_calls_total{call="session",service="ho-tich",verdict="granted"} 1"#)
    })
    .await;
    assert!(!text.contains("khong-co"), "what a caller sends is no label: {text}");
}
