use lgsp_shared::session::message::SessionAnswer;
use lgsp_shared::session::{TicketKeys, TicketRoom};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::client::Request;
use lgsp_testkit::resources::seal_key;
use lgsp_testkit::session::is_genuine;

use super::*;
use crate::edge::http2::{Http2, Length};

fn asking(body: &str) -> Request {
    Request::post("/lgsp/v1/sessions", body)
}

#[tokio::test]
async fn a_source_gets_a_key_and_a_ticket_for_a_service_it_may_call_in_an_answer_it_can_check() {
    for face in FACES {
        let stand = stand(face).await;
        let client = stand.client("mot-cua");
        let sent = client.rfc9421(&open_session("ho-tich"));
        let answer = client.send_raw(&sent).await;
        assert_eq!(answer.status, 201, "{face:?}: {answer:?}");
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let said: SessionAnswer = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!((said.service.as_str(), said.expires_in_secs), ("ho-tich", 600));
        assert_eq!(said.scopes[0].paths, ["/"]);

        let (keys, mut room) = (TicketKeys::derive(&seal_key().into(), &["1".parse().unwrap()]), TicketRoom::default());
        let ticket = keys.open(&said.ticket, &mut room).unwrap();
        assert_eq!((ticket.source, ticket.service, ticket.expires), ("mot-cua", "ho-tich", said.expires));
        assert!(!said.ticket.contains(&said.session_key), "the key is sealed in the ticket, not written in it");

        let (me, other) = (stand.resources.identity("mot-cua"), stand.resources.identity("y-te"));
        assert_eq!(is_genuine(&sent, &answer, &me.secret).unwrap().key_id, me.access_key.as_str());
        assert!(is_genuine(&sent, &answer, &other.secret).is_err());

        let id = answer.header("lgsp-request-id").unwrap();
        let record = stand.node.record("the call's record", |record| record["request_id"] == id).await;
        assert_eq!((&record["outcome"], &record["source"]), (&json!("completed"), &json!("mot-cua")), "{record}");
        assert!(!record.to_string().contains(&said.session_key));
        assert_eq!(stand.target.ledger().complete(), 0, "nothing of it reaches a target");
    }
}

#[tokio::test]
async fn sigv4_and_http2_clients_get_sessions_too() {
    let stand = stand(Face::Http1).await;
    let client = stand.client("mot-cua");
    let session = Session::of(&client.send_sigv4(&open_session("ho-tich")).await);
    let get = Request::get("/ho-tich/bytes/1");
    assert_eq!(client.clone().in_session(&session).send_sigv4(&get).await.status, 200);

    let http2 = Http2::connect(stand.node.address()).await;
    let ask = open_session("ho-tich");
    let answer = http2.send(&client, &ask, Length::Open, &ask.body, None).await.unwrap();
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn what_is_not_granted_is_refused_and_what_does_not_exist_is_told_alike() {
    for face in FACES {
        let stand = stand(face).await;
        let client = stand.client("mot-cua");
        let stranger = stand.client("tu-phap");
        stand.assert_refused(&stranger.send(&open_session("ho-tich")).await, 403, "permission-missing");
        stand.assert_refused(&client.send(&open_session("khong-co")).await, 403, "permission-missing");
        let nothing_left = asking(r#"{"service": "ho-tich", "methods": ["TRACE"]}"#);
        stand.assert_refused(&client.send(&nothing_left).await, 403, "permission-missing");
    }
}

#[tokio::test]
async fn refusals_of_one_service_have_one_decision_id_and_another_service_has_another() {
    for face in FACES {
        let stand = stand(face).await;
        let stranger = stand.client("tu-phap");
        let mut ids = Vec::new();
        for service in ["ho-tich", "ho-tich", "dat-dai"] {
            let answer = stranger.send(&open_session(service)).await;
            let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            ids.push(problem["decision_id"].as_str().unwrap().to_owned());
        }
        assert_eq!(ids[0], ids[1], "{face:?}");
        assert_ne!(ids[0], ids[2], "{face:?}");
    }
}

#[tokio::test]
async fn who_asks_has_to_prove_it_and_ask_properly() {
    for face in FACES {
        let stand = stand(face).await;
        let client = stand.client("mot-cua");
        let ask = open_session("ho-tich");
        let unsigned = b"POST /lgsp/v1/sessions HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n{}";
        stand.assert_refused(&client.send_raw(unsigned).await, 401, "signature-missing");
        let mut forged = stand.resources.identity("mot-cua");
        forged.secret = stand.resources.identity("y-te").secret;
        stand.assert_refused(&Client::new(stand.node.address(), forged).send(&ask).await, 401, "signature-invalid");
        let hour_ago = UnixSeconds(lgsp_dataplane::clock::Now::read().unix.0 - 3_600);
        stand.assert_refused(&client.clone().at(hour_ago).send(&ask).await, 401, "clock-skew");
        let once = client.clone().with_nonce("only-once");
        assert_eq!(once.send(&ask).await.status, 201);
        stand.assert_refused(&once.send(&ask).await, 401, "replayed");

        let changed = String::from_utf8(client.rfc9421(&ask)).unwrap().replace("\"ho-tich\"", "\"dat-dai\"");
        stand.assert_refused(&client.send_raw(changed.as_bytes()).await, 400, "digest-mismatch");
        for (body, named) in [
            ("", "service"),
            ("not json", "expected"),
            (r#"{"service": "Hộ tịch"}"#, "service"),
            (r#"{"service": "ho-tich", "lifetime": 9}"#, "lifetime"),
            (r#"{"service": "ho-tich", "paths": ["ho-tich"]}"#, "paths"),
            (r#"{"service": "ho-tich", "methods": ["get"]}"#, "methods"),
        ] {
            let refused = client.send(&asking(body)).await;
            stand.assert_refused(&refused, 400, "body-malformed");
            let detail = refused.json()["detail"].as_str().unwrap().to_owned();
            assert!(body.is_empty() || detail.contains(named), "{body}: {detail}");
        }
        let large = asking(&format!(r#"{{"service": "{}"}}"#, "a".repeat(17_000)));
        stand.assert_refused(&client.send(&large).await, 413, "body-too-large");
        let refused = client.send(&Request::get("/lgsp/v1/sessions")).await;
        stand.assert_refused(&refused, 405, "method-not-allowed");
        assert_eq!(refused.header("allow"), Some("POST"));
        stand.assert_refused(&client.send(&Request::get("/lgsp/v2")).await, 404, "route-not-found");
    }
}

#[tokio::test]
async fn a_session_can_be_narrower_than_the_right_but_never_wider() {
    let stand = stand(Face::Http1).await;
    let client = stand.client("mot-cua");
    let narrow = asking(r#"{"service": "ho-tich", "methods": ["GET", "TRACE"], "paths": ["/ho-tich/bytes"]}"#);
    let answer = client.send(&narrow).await;
    assert_eq!(answer.json()["scopes"], json!([{"methods": ["GET"], "paths": ["/ho-tich/bytes"]}]));
    let client = client.in_session(&Session::of(&answer));
    assert_eq!(client.send(&Request::get("/ho-tich/bytes/1")).await.status, 200);
    for outside in [Request::get("/ho-tich/echo"), Request::post("/ho-tich/bytes/1", "x")] {
        stand.assert_refused(&client.send(&outside).await, 403, "session-out-of-scope");
    }
}

#[tokio::test]
async fn a_service_says_how_long_its_sessions_last_and_no_permission_is_outlived() {
    let mut stand = stand(Face::Http1).await;
    let now = lgsp_dataplane::clock::Now::read().unix.0;
    let lifetimes =
        stand.resources.clone().with("Service", "ho-tich", |spec| spec["session_lifetime_secs"] = json!(60));
    stand.node.apply(&lifetimes).await;
    let client = stand.client("mot-cua");
    assert_eq!(client.send(&open_session("ho-tich")).await.json()["expires_in_secs"], 60);
    assert_eq!(client.send(&open_session("dat-dai")).await.json()["expires_in_secs"], 600);
    let ending = lifetimes.with("Permission", "mot-cua-ho-tich", |spec| {
        spec["not_after"] = json!(UnixSeconds(now + 40).to_string());
    });
    stand.node.apply(&ending).await;
    let secs = client.send(&open_session("ho-tich")).await.json()["expires_in_secs"].as_i64().unwrap();
    assert!((1..=40).contains(&secs), "{secs}");
}

#[tokio::test]
async fn more_rights_than_fit_into_a_ticket_are_refused_until_the_source_names_less() {
    for face in FACES {
        let stand = stand(face).await;
        let paths: Vec<String> = (0..30).map(|number| format!("/{}-{number}", "x".repeat(100))).collect();
        let wide = stand.resources.clone().with("Permission", "mot-cua-ho-tich", |spec| spec["paths"] = json!(paths));
        let node = face.node(&wide).start().await;
        let client = node.client(&wide, "mot-cua");
        let answer = client.send(&open_session("ho-tich")).await;
        stand.assert_refused(&answer, 422, "session-scope-too-large");
        let less = json!({"service": "ho-tich", "paths": [paths[0]]}).to_string();
        let answer = client.send(&Request::post("/lgsp/v1/sessions", less)).await;
        assert_eq!(answer.status, 201, "{face:?}: {answer:?}");
    }
}
