use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::client::{Client, Request, Response};
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::node::NODE_DEADLINE;
use serde_json::json;

use super::*;

fn assert_refused(face: Face, response: &Response, status: u16, code: &str) {
    assert_eq!((response.status, response.code().as_str()), (status, code), "{face:?}: {response:?}");
    let problem = response.json();
    assert!(!problem["next"].as_str().unwrap().is_empty());
    assert_eq!(problem["request_id"].as_str(), response.header("lgsp-request-id"));
    assert_eq!(problem["decision_id"].as_str().unwrap().len(), 16);
    assert!(response.header("proxy-status").unwrap().contains(code));
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_with_its_code_and_nothing_reaches_the_target() {
    for face in FACES {
        let (target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let hour_ago = UnixSeconds(lgsp_dataplane::clock::Now::read().unix.0 - 3_600);
        let get = Request::get("/ho-tich/echo");
        let mut forged = resources.identity("mot-cua");
        forged.secret = resources.identity("tu-phap").secret;
        let mut unknown = resources.identity("mot-cua");
        unknown.access_key = "NOSUCHKEY123".parse().unwrap();

        let unsigned = b"GET /ho-tich/echo HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_refused(face, &client.send_raw(unsigned).await, 401, "signature-missing");
        assert_refused(face, &Client::new(node.address(), forged).send(&get).await, 401, "signature-invalid");
        assert_refused(face, &Client::new(node.address(), unknown).send(&get).await, 401, "key-unknown");
        assert_refused(face, &client.clone().at(hour_ago).send(&get).await, 401, "clock-skew");
        assert_refused(face, &client.send(&Request::get("/elsewhere")).await, 404, "route-not-found");
        let stranger = node.client(&resources, "tu-phap");
        assert_refused(face, &stranger.send(&get).await, 403, "permission-missing");
        let once = client.clone().with_nonce("only-once");
        assert_eq!(once.send(&Request::get("/ho-tich/bytes/1")).await.status, 200, "{face:?}");
        assert_refused(face, &once.send(&Request::get("/ho-tich/bytes/1")).await, 401, "replayed");
        assert_eq!(target.ledger().complete(), 1, "{face:?}: only the one that was allowed");
    }
}

#[tokio::test]
async fn a_signature_copied_to_another_request_is_refused() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let signed = String::from_utf8(client.rfc9421(&Request::get("/ho-tich/bytes/1"))).unwrap();
        let moved = signed.replace("/ho-tich/bytes/1", "/ho-tich/bytes/2");
        assert_refused(face, &client.send_raw(moved.as_bytes()).await, 401, "signature-invalid");
        let signed = String::from_utf8(client.sigv4(&Request::get("/ho-tich/bytes/1"))).unwrap();
        let moved = signed.replace("/ho-tich/bytes/1", "/ho-tich/bytes/2");
        assert_refused(face, &client.send_raw(moved.as_bytes()).await, 401, "signature-invalid");
        let extra = signed.replace("\r\n\r\n", "\r\nx-amz-meta-role: admin\r\n\r\n");
        assert_refused(face, &client.send_raw(extra.as_bytes()).await, 401, "signature-incomplete");
    }
}

#[tokio::test]
async fn a_quota_is_told_with_the_time_to_wait_and_a_method_with_those_allowed() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = Resources::usual(&[target.address()])
            .with("Permission", "mot-cua-ho-tich", |spec| {
                spec["rate"] = json!({"requests_per_second": 0.01, "burst": 1});
            })
            .with("Route", "ho-tich", |spec| spec["methods"] = json!(["GET"]));
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        assert_eq!(client.send(&Request::get("/ho-tich/bytes/1")).await.status, 200);
        let refused = client.send(&Request::get("/ho-tich/bytes/1")).await;
        assert_refused(face, &refused, 429, "quota-exceeded");
        assert!(refused.header("retry-after").unwrap().parse::<u32>().unwrap() > 1);
        let refused = client.send(&Request::new("DELETE", "/ho-tich/bytes/1")).await;
        assert_refused(face, &refused, 405, "method-not-allowed");
        assert_eq!(refused.header("allow"), Some("GET"));
    }
}

#[tokio::test]
async fn what_a_route_or_the_protocol_demands_is_named_when_it_is_missing() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = Resources::usual(&[target.address()])
            .with("Route", "ho-tich", |spec| spec["require"] = json!({"nonce": true}));
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        let get = Request::get("/ho-tich/bytes/1");
        assert_refused(face, &client.send_sigv4(&get).await, 401, "nonce-missing");
        let nonce = lgsp_testkit::client::random_nonce();
        assert_eq!(client.send_sigv4(&get.clone().header("lgsp-nonce", &nonce)).await.status, 200, "{face:?}");
        let expecting = Request::post("/ho-tich/sink", "abc").header("expect", "200-maybe");
        assert_refused(face, &client.send(&expecting).await, 417, "expectation-failed");
        let long = Request::get(&format!("/ho-tich/{}", "x".repeat(9_000)));
        assert_refused(face, &client.send(&long).await, 414, "path-too-long");
        let wide = get.clone().header("x-wide", &"x".repeat(40_000));
        assert_refused(face, &client.send(&wide).await, 431, "header-too-large");
        assert_eq!(target.ledger().complete(), 1, "{face:?}");
    }
}

#[tokio::test]
async fn without_records_there_is_no_exchange_unless_the_operator_wants_it_so() {
    for face in FACES {
        for (on_full, served) in [("refuse", false), ("serve", true)] {
            let target = Target::new().start().await;
            let resources = Resources::usual(&[target.address()]);
            // Every write to it fails as on a full disk.
            let full = json!({"to": {"file": "/dev/full"}, "on_full": on_full});
            let node = face.node(&resources).with(|settings| settings["records"] = full).start_unready().await;
            let client = node.client(&resources, "mot-cua");
            let get = Request::get("/ho-tich/bytes/1");
            // The first record shows that there are none.
            let first = async || client.send(&get).await.status != 503 || !served;
            eventually(NODE_DEADLINE, "the configuration", first).await;
            if served {
                for _ in 0..5 {
                    assert_eq!(client.send(&get).await.status, 200, "{face:?}");
                }
            } else {
                let refused = async || client.send(&get).await.code() == "records-unavailable";
                eventually(NODE_DEADLINE, "the node refuses", refused).await;
                assert_refused(face, &client.send(&get).await, 503, "records-unavailable");
                assert_eq!(node.admin("/readyz").await.status, 503, "and is not ready");
            }
        }
    }
}

#[tokio::test]
async fn callers_are_told_in_their_language() {
    for face in FACES {
        let (_target, _resources, node) = usual(face).await;
        let ask = |language: &str| format!("GET / HTTP/1.1\r\nhost: x\r\naccept-language: {language}\r\n\r\n");
        for (language, title) in [("en", "The request is not signed"), ("vi", "Yêu cầu chưa được ký")] {
            let refused = lgsp_testkit::client::exchange(node.address(), ask(language).as_bytes()).await;
            assert_eq!(refused.json()["title"], title, "{face:?}");
            assert_eq!(refused.header("content-language"), Some(language));
        }
    }
}

#[tokio::test]
async fn each_exchange_leaves_one_record_with_who_where_and_how_it_ended() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let served = client.send(&Request::post("/ho-tich/sink?ma=123", "nội dung")).await;
        assert_eq!(served.status, 200);
        let id = served.header("lgsp-request-id").unwrap();
        let record = node.record("the exchange's record", |record| record["request_id"] == id).await;
        let expected = json!({
            "outcome": "completed", "status": 200, "method": "POST", "path": "/ho-tich/sink", "source": "mot-cua",
            "agency": "000.00.12.H61", "service": "ho-tich", "route": "ho-tich", "permission": "mot-cua-ho-tich",
            "signature": "rfc9421", "revision": 1, "request_bytes": 10,
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&record[field], value, "{face:?} {field}: {record}");
        }
        assert!(!record.to_string().contains("ma=123"), "a query string is never recorded");
        assert_eq!(node.records().iter().filter(|record| record["request_id"] == id).count(), 1);
    }
}
