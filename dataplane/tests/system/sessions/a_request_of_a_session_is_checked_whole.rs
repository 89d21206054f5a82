use lgsp_shared::session::{SessionKey, TICKET_BYTES_MAX};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::client::Request;

use super::*;
use crate::edge::http2::Http2;

fn now() -> UnixSeconds {
    lgsp_dataplane::clock::Now::read().unix
}

#[tokio::test]
async fn a_route_that_demands_a_session_takes_a_request_of_one_and_no_other() {
    for face in FACES {
        let stand = stand(face).await;
        let get = Request::get("/ho-tich/bytes/1?a=1");
        stand.assert_refused(&stand.client("mot-cua").send(&get).await, 401, "session-required");
        let (client, session) = stand.in_session("mot-cua", "ho-tich").await;
        for request in [get, Request::post("/ho-tich/sink", "nội dung")] {
            let served = client.send(&request).await;
            assert_eq!(served.status, 200, "{face:?}: {served:?}");
            let seen = stand.target.last();
            assert_eq!(seen.header("lgsp-source"), Some("mot-cua"));
            let (ticket, proof) = (seen.header("lgsp-session"), seen.header("lgsp-session-proof"));
            assert_eq!((ticket, proof), (None, None), "what belongs to the source stays with the platform");
        }
        assert!(
            stand.client("mot-cua").send(&Request::get("/dat-dai/bytes/1")).await.status == 200,
            "not demanded here"
        );
        let http2 = Http2::connect(stand.node.address()).await;
        let client = stand.client("mot-cua").in_session(&session);
        let answer = http2.get(&client, "/ho-tich/bytes/1").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

#[tokio::test]
async fn a_ticket_is_good_for_its_source_its_target_and_its_time_only() {
    for face in FACES {
        let stand = stand(face).await;
        let (me, get) = (stand.resources.identity("mot-cua"), Request::get("/ho-tich/bytes/1"));
        let (_, mine) = stand.in_session("mot-cua", "ho-tich").await;
        stand.assert_refused(&stand.client("y-te").in_session(&mine).send(&get).await, 403, "session-foreign");
        let (elsewhere, _) = stand.in_session("mot-cua", "dat-dai").await;
        stand.assert_refused(&elsewhere.send(&get).await, 403, "session-wrong-target");
        let in_forged = |owner: &str, issued: i64, lifetime: u32| {
            let session = Session::forge(owner, &me, "ho-tich", UnixSeconds(now().0 + issued), lifetime);
            stand.client("mot-cua").in_session(&session)
        };
        assert_eq!(in_forged("mot-cua", -60, 120).send(&get).await.status, 200, "the forger holds the platform's key");
        stand.assert_refused(&in_forged("mot-cua", -700, 600).send(&get).await, 401, "session-expired");
        stand.assert_refused(&in_forged("mot-cua", 400, 600).send(&get).await, 401, "session-invalid");
        stand.assert_refused(&in_forged("y-te", -60, 120).send(&get).await, 403, "session-foreign");
        assert_eq!(stand.target.ledger().complete(), 1, "{face:?}: only the one that was allowed");
    }
}

#[tokio::test]
async fn a_ticket_without_its_key_is_worth_nothing() {
    for face in FACES {
        let stand = stand(face).await;
        let (_, session) = stand.in_session("mot-cua", "ho-tich").await;
        let client = stand.client("mot-cua");
        let get = Request::get("/ho-tich/bytes/1");
        let stolen = Session { key: SessionKey::new([1; 32]), ..session.clone() };
        stand.assert_refused(&client.clone().in_session(&stolen).send(&get).await, 401, "session-proof-invalid");
        let other_nonce = String::from_utf8(session.key.proof("another nonce").to_vec()).unwrap();
        let moved = get.clone().header("lgsp-session-proof", &other_nonce);
        stand.assert_refused(&client.clone().in_session(&session).send(&moved).await, 401, "session-proof-invalid");
        let alone = get.clone().header("lgsp-session", &session.ticket);
        stand.assert_refused(&client.send(&alone).await, 401, "session-proof-invalid");
        let no_ticket = get.clone().header("lgsp-session-proof", &other_nonce);
        stand.assert_refused(&client.send(&no_ticket).await, 401, "session-invalid");
    }
}

#[tokio::test]
async fn a_ticket_that_was_changed_or_made_up_is_refused() {
    let stand = stand(Face::Http1).await;
    let (_, session) = stand.in_session("mot-cua", "ho-tich").await;
    let middle = session.ticket.len() / 2;
    let mut changed = session.ticket.clone();
    let other = if changed[middle..].starts_with('A') { "B" } else { "A" };
    changed.replace_range(middle..middle + 1, other);
    let made_up = [
        "",
        "x",
        "1.1.",
        "1.none.AAAA",
        "2.1.AAAA",
        &changed,
        &session.ticket[..middle],
        &"1".repeat(TICKET_BYTES_MAX + 1),
    ];
    for ticket in made_up {
        let session = Session { ticket: ticket.to_owned(), ..session.clone() };
        let refused = stand.client("mot-cua").in_session(&session).send(&Request::get("/ho-tich/bytes/1")).await;
        stand.assert_refused(&refused, 401, "session-invalid");
    }
}

#[tokio::test]
async fn a_tampered_byte_in_any_component_is_refused_and_so_is_the_same_request_again() {
    for face in FACES {
        let stand = stand(face).await;
        let (client, session) = stand.in_session("mot-cua", "ho-tich").await;
        let client = client.with_authority("lgsp.vinhlong.gov.vn");
        let post = Request::post("/ho-tich/sink/1?a=1", "nội dung");
        let sign = || String::from_utf8(client.rfc9421(&post)).unwrap();
        let after = |text: &str, mark: &str| text.find(mark).unwrap() + mark.len();
        let put = |text: &str, at: usize, by: char| format!("{}{by}{}", &text[..at], &text[at + 1..]);
        let tampered = |mark: &str, by: char| {
            let text = sign();
            put(&text, after(&text, mark), by)
        };
        let another = |mark: &str| {
            let text = sign();
            let at = after(&text, mark);
            put(&text, at, if text[at..].starts_with('A') { 'B' } else { 'A' })
        };
        let cases = [
            (sign().replacen("POST ", "PUT ", 1), "signature-invalid"),
            (tampered("host: ", 'L'), "served: host names have no case"),
            (tampered("host: ", 'x'), "signature-invalid"),
            (tampered("/ho-tich/sink/", '2'), "signature-invalid"),
            (tampered("?a=", '2'), "signature-invalid"),
            (tampered(";created=", '2'), "signature-invalid"),
            (tampered(";nonce=\"", 'x'), "signature-invalid"),
            (tampered("lgsp-session: 1.1.", '~'), "signature-invalid"),
            (tampered("lgsp-session-proof: ", 'x'), "signature-invalid"),
            (another("content-digest: sha-256=:"), "signature-invalid"),
            (another("signature: sig1=:"), "signature-invalid"),
            (sign().replace("nội dung", "noi dung.."), "digest-mismatch"),
            (sign().replace(" \"lgsp-session\"", ""), "signature-incomplete"),
            (sign().replace(" \"lgsp-session-proof\"", ""), "signature-incomplete"),
        ];
        for (bytes, expected) in cases {
            let answer = client.send_raw(bytes.as_bytes()).await;
            match expected.strip_prefix("served") {
                Some(_) => assert_eq!(answer.status, 200, "{face:?} {expected}: {answer:?}"),
                None => assert_eq!(answer.code(), expected, "{face:?}: {bytes}\n{answer:?}"),
            }
        }
        let served = stand.target.ledger().complete();
        let sent = sign();
        assert_eq!(client.send_raw(sent.as_bytes()).await.status, 200);
        stand.assert_refused(&client.send_raw(sent.as_bytes()).await, 401, "replayed");
        let late = stand.client("mot-cua").in_session(&session).at(UnixSeconds(now().0 - 301));
        stand.assert_refused(&late.send(&post).await, 401, "clock-skew");
        assert_eq!(stand.target.ledger().complete(), served + 1, "{face:?}");
    }
}
