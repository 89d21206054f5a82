use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::client::{Client, Request};
use serde_json::{Value, json};

use super::*;

fn detail(problem: &Value) -> &str {
    problem["detail"].as_str().unwrap_or_else(|| panic!("no detail: {problem}"))
}

#[tokio::test]
async fn the_first_thing_that_differs_is_named_and_what_was_expected_is_shown_where_the_route_allows_it() {
    for face in FACES {
        let (_target, resources, mut node) = usual(face).await;
        let client = node.client(&resources, "mot-cua");
        let get = Request::get("/ho-tich/bytes/1?b=2&a=1");
        let signed = String::from_utf8(client.rfc9421(&get)).unwrap();
        let refused = async |bytes: &str, code: &str| {
            let answer = client.send_raw(bytes.as_bytes()).await;
            assert_eq!(answer.code(), code, "{face:?}: {answer:?}");
            answer.json()
        };
        let host = node.address().to_string();
        let elsewhere = String::from_utf8(client.clone().with_authority("127.0.0.1").rfc9421(&get)).unwrap();
        let elsewhere = elsewhere.replace("host: 127.0.0.1\r\n", &format!("host: {host}\r\n"));
        let problem = refused(&elsewhere, "signature-invalid").await;
        assert!(detail(&problem).starts_with("`@authority` was signed as `127.0.0.1`"), "{problem}");
        assert!(problem.get("expected_signature_text").is_none(), "nobody allowed it: {problem}");

        let problem = refused(&signed.replace("GET /ho-tich", "PUT /ho-tich"), "signature-invalid").await;
        assert!(detail(&problem).starts_with("no usual difference"), "{problem}");
        let problem = refused(&signed.replace(" \"@query\"", ""), "signature-incomplete").await;
        assert!(detail(&problem).contains("`@query`"), "{problem}");
        let problem = refused(&signed.replace("keyid=\"TEST", "keyid=\"REST"), "key-unknown").await;
        assert!(detail(&problem).contains("`REST"), "{problem}");
        let now = lgsp_dataplane::clock::Now::read().unix.0;
        let late = client.clone().at(UnixSeconds(now - 400)).send(&get).await.json();
        let signed_at = UnixSeconds(now - 400).to_string();
        assert!(detail(&late).contains(&format!("signed at {signed_at}, received at 20")), "{late}");

        node.apply(&resources.clone().with("Route", "ho-tich", |spec| spec["debug_signatures"] = json!(true))).await;
        let problem = refused(&elsewhere, "signature-invalid").await;
        let shown = problem["expected_signature_text"].as_str().unwrap();
        assert!(
            shown.contains(&format!("\"@authority\": {host}\n\"@path\": /ho-tich/bytes/1\n\"@query\": ?b=2&a=1\n")),
            "{shown}"
        );
        let mut wrong = resources.identity("mot-cua");
        wrong.secret = resources.identity("tu-phap").secret;
        let problem = Client::new(node.address(), wrong).send(&get).await.json();
        let told = problem.to_string();
        let right = signed.split("signature: sig1=:").nth(1).unwrap().split(':').next().unwrap();
        let secret = resources.identity("mot-cua").secret;
        let secret = std::str::from_utf8(secret.expose()).unwrap();
        assert!(!told.contains(right) && !told.contains(secret), "neither secret nor signature is told: {told}");
    }
}

#[tokio::test]
async fn the_platforms_default_decides_where_there_is_no_route() {
    let (_target, resources, mut node) = usual(Face::Http1).await;
    node.apply(&resources.clone().put("Defaults", "default", json!({"debug_signatures": true}))).await;
    let client = node.client(&resources, "mot-cua");
    let signed = String::from_utf8(client.rfc9421(&Request::get("/nowhere"))).unwrap();
    let answer = client.send_raw(signed.replace("GET /nowhere", "GET /nowhere/1").as_bytes()).await;
    assert_eq!(answer.code(), "signature-invalid");
    assert!(answer.json()["expected_signature_text"].as_str().unwrap().contains("\"@path\": /nowhere/1\n"));
    node.apply(&resources.clone().put("Defaults", "default", json!({"debug_signatures": true})).with(
        "Route",
        "ho-tich",
        |spec| spec["debug_signatures"] = json!(false),
    ))
    .await;
    let moved = String::from_utf8(client.rfc9421(&Request::get("/ho-tich/bytes/1"))).unwrap().replace("/1 ", "/2 ");
    let problem = client.send_raw(moved.as_bytes()).await.json();
    assert!(problem.get("expected_signature_text").is_none(), "a route may say otherwise: {problem}");
}
