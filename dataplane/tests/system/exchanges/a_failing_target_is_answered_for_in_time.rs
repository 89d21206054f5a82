use std::time::Duration;

use lgsp_testkit::client::Request;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::port::free_port;
use serde_json::json;

use super::*;

#[tokio::test]
async fn a_target_that_hangs_is_a_504_when_its_deadline_ends() {
    for face in FACES {
        let target = Target::new().start().await;
        let resources = Resources::usual(&[target.address()])
            .with("Service", "ho-tich", |spec| spec["deadlines"] = json!({"first_byte_ms": 300}));
        let node = face.node(&resources).start().await;
        let response = node.client(&resources, "mot-cua").send(&Request::get("/ho-tich/hang")).await;
        assert_eq!((response.status, response.code().as_str()), (504, "target-timeout"), "{face:?}");
    }
}

#[test]
fn no_configuration_can_wait_as_long_as_the_regulation_forbids() {
    // A7.3: an answer within 30 s. The default leaves a second to deliver it, and validation refuses more.
    let service = json!({"system": "tu-phap", "title": "t", "endpoints": [{"address": "127.0.0.1:1"}]});
    let spec: lgsp_shared::resource::ServiceSpec = serde_json::from_value(service).unwrap();
    assert!(spec.deadlines.first_byte_ms < 30_000);
    let documents = Resources::usual(&[([127, 0, 0, 1], 1).into()])
        .with("Service", "ho-tich", |spec| spec["deadlines"] = json!({"first_byte_ms": 30_000}))
        .documents();
    let problems = format!("{:?}", lgsp_shared::validate::validate(&documents));
    assert!(problems.contains("first_byte_ms"), "{problems}");
}

#[tokio::test]
async fn a_target_that_is_down_speaks_nonsense_or_hangs_up_is_a_502() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        for (path, code) in [("/ho-tich/close", "target-closed"), ("/ho-tich/garbage", "target-protocol")] {
            let response = client.send(&Request::post(path, "once")).await;
            assert_eq!((response.status, response.code().as_str()), (502, code), "{face:?} {path}");
        }
        let down = Resources::usual(&[([127, 0, 0, 1], free_port()).into()]);
        let node = face.node(&down).start().await;
        let response = node.client(&down, "mot-cua").send(&Request::get("/ho-tich/bytes/1")).await;
        assert_eq!((response.status, response.code().as_str()), (502, "target-unreachable"), "{face:?}");
    }
}

#[tokio::test]
async fn another_endpoint_answers_for_one_that_is_down() {
    for face in FACES {
        let target = Target::new().start().await;
        let down = ([127, 0, 0, 1], free_port()).into();
        let resources = Resources::usual(&[down, target.address()]);
        let node = face.node(&resources).start().await;
        let client = node.client(&resources, "mot-cua");
        for _ in 0..6 {
            let response = client.send(&Request::get("/ho-tich/bytes/5")).await;
            assert_eq!((response.status, response.body.len()), (200, 5), "{face:?}: {response:?}");
        }
    }
}

#[tokio::test]
async fn an_answer_cut_in_the_middle_is_recorded_as_cut() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let bytes = node.client(&resources, "mot-cua").rfc9421(&Request::get("/ho-tich/half"));
        let address = node.address();
        let cut = tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            let mut stream = std::net::TcpStream::connect(address).unwrap();
            stream.write_all(&bytes).unwrap();
            let mut answer = Vec::new();
            // A reset is as good an end as a close: either way the answer is not whole.
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        assert!(cut.await.unwrap().starts_with(b"HTTP/1.1 200"), "{face:?}");
        node.record("a record of the cut", |record| record["outcome"] == "target-cut").await;
    }
}

#[tokio::test]
async fn a_source_that_goes_away_frees_the_target_and_is_recorded() {
    for face in FACES {
        let (_target, resources, node) = usual(face).await;
        let bytes = node.client(&resources, "mot-cua").rfc9421(&Request::get("/ho-tich/hang"));
        let mut stream = tokio::net::TcpStream::connect(node.address()).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &bytes).await.unwrap();
        let in_flight = async |count: &str| {
            let text = String::from_utf8(node.admin("/metrics").await.body).unwrap();
            text.contains(&format!("lgsp_exchanges_in_flight {count}\n"))
        };
        eventually(Duration::from_secs(10), "the exchange is open", async || in_flight("1").await).await;
        drop(stream);
        eventually(Duration::from_secs(10), "the exchange is closed", async || in_flight("0").await).await;
        node.record("a record of it", |record| record["outcome"] == "client-gone").await;
    }
}
