use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::client::Request;
use lgsp_testkit::session::{is_genuine, verification};
use serde_json::Value;

use super::*;

/// The name under which sources reach the target without the platform.
const DIRECT: &str = "ho-tich.vinhlong.gov.vn";

/// What `mot-cua` sends to the target directly: signed for the target's name and the target's own path.
fn called(client: &Client, request: &Request) -> Vec<u8> {
    client.clone().with_authority(DIRECT).rfc9421(request)
}

/// A verdict and whether it could be checked.
async fn verdict(stand: &Stand, target: &str, service: &str, received: &[u8]) -> Value {
    let client = stand.client(target);
    let sent = client.rfc9421(&verification(service, received));
    let answer = client.send_raw(&sent).await;
    assert_eq!(answer.status, 200, "{:?}: {answer:?}", stand.face);
    is_genuine(&sent, &answer, &stand.resources.identity(target).secret).unwrap();
    answer.json()
}

fn assert_refused(verdict: &Value, code: &str) {
    assert_eq!((&verdict["verdict"], &verdict["code"]), (&json!("refused"), &json!(code)), "{verdict}");
}

#[tokio::test]
async fn a_target_learns_who_is_calling_in_a_verdict_it_can_check_and_only_once() {
    for face in FACES {
        let stand = stand(face).await;
        let (client, _) = stand.in_session("mot-cua", "ho-tich").await;
        // The target's own path: behind the platform it would be `/ho-tich/khai-sinh/1`.
        let received = called(&client.clone().with_nonce("n-1"), &Request::post("/khai-sinh/1?a=1", "nội dung"));
        let said = verdict(&stand, "tu-phap", "ho-tich", &received).await;
        assert_eq!(said["verdict"], "accepted", "{face:?}: {said}");
        let expected = json!({"source": "mot-cua", "agency": "000.00.12.H61", "service": "ho-tich", "method": "POST",
            "path": "/khai-sinh/1", "nonce": "n-1"});
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(&said[field], value, "{said}");
        }
        let digest = String::from_utf8_lossy(&received)
            .lines()
            .find_map(|line| Some(line.strip_prefix("content-digest: ")?.to_owned()));
        assert_eq!(said["content_digest"].as_str(), digest.as_deref(), "the target compares it with the body");
        assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &received).await, "replayed");
        let through = client.with_nonce("n-1").send(&Request::get("/ho-tich/bytes/1")).await;
        stand.assert_refused(&through, 401, "replayed");
    }
}

#[tokio::test]
async fn a_target_learns_nothing_about_sessions_that_are_not_its_own() {
    for face in FACES {
        let stand = stand(face).await;
        let (client, session) = stand.in_session("mot-cua", "ho-tich").await;
        let received = called(&client, &Request::get("/khai-sinh/1"));
        let foreign = verdict(&stand, "dat-dai", "dat-dai", &received).await;
        assert_refused(&foreign, "session-unknown");
        let not_mine = verdict(&stand, "dat-dai", "ho-tich", &received).await;
        let no_such_service = verdict(&stand, "dat-dai", "khong-co", &received).await;
        let made_up = Session { ticket: "1.1.AAAA".into(), ..session };
        let unknown = called(&stand.client("mot-cua").in_session(&made_up), &Request::get("/khai-sinh/1"));
        let unknown = verdict(&stand, "dat-dai", "dat-dai", &unknown).await;
        let without = called(&stand.client("mot-cua"), &Request::get("/khai-sinh/1"));
        let without = verdict(&stand, "dat-dai", "dat-dai", &without).await;
        for other in [not_mine, no_such_service, unknown, without] {
            assert_eq!(other, foreign, "{face:?}: told alike");
        }
        assert_eq!(
            verdict(&stand, "tu-phap", "ho-tich", &received).await["verdict"],
            "accepted",
            "and nothing is used up"
        );
    }
}

#[tokio::test]
async fn what_does_not_hold_is_refused_with_its_reason() {
    let mut stand = stand(Face::Http1).await;
    let now = lgsp_dataplane::clock::Now::read().unix.0;
    let (client, session) = stand.in_session("mot-cua", "ho-tich").await;
    let get = Request::get("/khai-sinh/1");
    let late = client.clone().at(UnixSeconds(now - 301));
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &called(&late, &get)).await, "clock-skew");
    let other = stand.client("y-te").in_session(&session);
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &called(&other, &get)).await, "session-foreign");
    let trace = called(&client, &Request::new("TRACE", "/khai-sinh/1"));
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &trace).await, "session-out-of-scope");
    let expired =
        Session::forge("mot-cua", &stand.resources.identity("mot-cua"), "ho-tich", UnixSeconds(now - 700), 600);
    let expired = called(&stand.client("mot-cua").in_session(&expired), &get);
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &expired).await, "session-expired");
    let moved = String::from_utf8(called(&client, &get)).unwrap().replace("/khai-sinh/1", "/khai-sinh/2");
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", moved.as_bytes()).await, "signature-invalid");
    let unsigned = String::from_utf8(called(&client, &get)).unwrap().replace("signature: ", "x-signature: ");
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", unsigned.as_bytes()).await, "signature-malformed");

    let received = called(&client, &get);
    let disabled = stand.resources.clone().with("Credential", "mot-cua-1", |spec| spec["state"] = json!("disabled"));
    stand.node.apply(&disabled).await;
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &received).await, "key-disabled");
    stand.node.apply(&stand.resources.clone().without("Permission", "mot-cua-ho-tich")).await;
    assert_refused(&verdict(&stand, "tu-phap", "ho-tich", &received).await, "permission-missing");
}

#[tokio::test]
async fn a_target_has_to_prove_itself_and_ask_properly() {
    for face in FACES {
        let stand = stand(face).await;
        let (client, _) = stand.in_session("mot-cua", "ho-tich").await;
        let ask = verification("ho-tich", &called(&client, &Request::get("/khai-sinh/1")));
        let mut forged = stand.resources.identity("tu-phap");
        forged.secret = stand.resources.identity("y-te").secret;
        stand.assert_refused(&Client::new(stand.node.address(), forged).send(&ask).await, 401, "signature-invalid");
        let target = stand.client("tu-phap");
        for body in ["{}", r#"{"service": "ho-tich", "request": {}}"#, "[]"] {
            let refused = target.send(&Request::post("/lgsp/v1/verifications", body)).await;
            stand.assert_refused(&refused, 400, "body-malformed");
        }
        assert_eq!(target.send(&ask).await.json()["verdict"], "accepted");
    }
}

#[tokio::test]
async fn a_forged_verdict_is_noticed() {
    let stand = stand(Face::Http1).await;
    let (client, _) = stand.in_session("mot-cua", "ho-tich").await;
    let (target, secret) = (stand.client("tu-phap"), stand.resources.identity("tu-phap").secret);
    let ask = async |received: Vec<u8>| {
        let sent = target.rfc9421(&verification("ho-tich", &received));
        let answer = target.send_raw(&sent).await;
        (sent, answer)
    };
    let (_, accepted) = ask(called(&client, &Request::get("/khai-sinh/1"))).await;
    let forged = String::from_utf8(called(&client, &Request::get("/khai-sinh/1")))
        .unwrap()
        .replace("khai-sinh/1", "khai-sinh/2");
    let (sent, refused) = ask(forged.into_bytes()).await;
    assert_eq!((&accepted.json()["verdict"], &refused.json()["verdict"]), (&json!("accepted"), &json!("refused")));
    assert!(is_genuine(&sent, &refused, &secret).is_ok());
    assert!(is_genuine(&sent, &accepted, &secret).is_err(), "the verdict on another request");
    let body = accepted.body.clone();
    assert!(is_genuine(&sent, &Response { body, ..refused.clone() }, &secret).is_err(), "another body");
    assert!(is_genuine(&sent, &Response { status: 201, ..refused.clone() }, &secret).is_err(), "another status");
    let mut unsigned = refused.clone();
    unsigned.headers.retain(|(name, _)| name != "signature");
    assert!(is_genuine(&sent, &unsigned, &secret).is_err());
    assert!(is_genuine(&sent, &refused, &stand.resources.identity("mot-cua").secret).is_err(), "another secret");
}
