//! Request bodies: what verifies arrives whole, what does not never completes at the target.

use super::fixture::*;

const LARGE: usize = 300 << 10;

fn chunked(body: &[u8], piece: usize) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(piece) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\nChecksum: 1\r\nLgsp-Source: forged\r\n\r\n");
    wire
}

fn unchunked(mut wire: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = find(wire, b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&wire[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            break;
        }
        body.extend_from_slice(&wire[end + 2..end + 2 + size]);
        wire = &wire[end + 4 + size..];
    }
    body
}

#[tokio::test]
async fn a_body_that_verifies_arrives_whole_with_and_without_a_length() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for size in [1, 5_000, 60_000, LARGE] {
        let body: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        assert_eq!(source.ask(&signed_with("POST", "/v", &body)).await.status, 200);
        let seen = target.received().pop().unwrap();
        assert!(seen.complete && seen.body == body, "{size}");

        let mut request = signed("POST", "/v", "Transfer-Encoding: chunked\r\n", Some(&body));
        request.extend_from_slice(&chunked(&body, 7_000));
        assert_eq!(source.ask(&request).await.status, 200);
        let seen = target.received().pop().unwrap();
        assert!(seen.complete && unchunked(&seen.body) == body, "{size}");
        assert!(seen.body.ends_with(b"0\r\n\r\n"), "no signature covers a trailer of the source: none passes");
    }
}

#[tokio::test]
async fn a_small_body_that_does_not_verify_never_reaches_the_target_and_the_connection_goes_on() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let mut forged = signed("POST", "/v", "Content-Length: 4\r\n", Some(b"good"));
    forged.extend_from_slice(b"evil");
    let answer = source.ask(&forged).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "digest-mismatch"));
    assert!(target.received().is_empty());
    assert_eq!(source.ask(&signed("GET", "/v", "", None)).await.status, 200);
    source.close().await;
    assert_eq!(gateway.outcomes(), ["digest-mismatch", "completed"]);
}

#[tokio::test]
async fn a_large_body_that_does_not_verify_is_never_complete_at_the_target() {
    for with_length in [true, false] {
        let target = Target::start(|_| ok("")).await;
        let gateway = Gateway::towards(&[target.address]);
        let mut source = gateway.connect();
        let good = vec![b'g'; LARGE];
        let mut evil = good.clone();
        evil[LARGE - 1] = b'e';
        let framing =
            if with_length { format!("Content-Length: {LARGE}\r\n") } else { "Transfer-Encoding: chunked\r\n".into() };
        let mut request = signed("POST", "/v", &framing, Some(&good));
        request.extend_from_slice(&if with_length { evil } else { chunked(&evil, 10_000) });
        let answer = source.ask(&request).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "digest-mismatch"));
        target.has_closed(1).await;
        let seen = target.received();
        assert!(seen.len() == 1 && !seen[0].complete, "{with_length}");
    }
}

#[tokio::test]
async fn a_body_that_stops_or_is_wrongly_framed_never_completes_at_the_target() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let body = vec![b'g'; LARGE];
    let mut source = gateway.connect();
    source.send(&signed_with("POST", "/v", &body)[..200_000]).await;
    source.close().await;

    let mut source = gateway.connect();
    let mut request = signed("POST", "/v", "Transfer-Encoding: chunked\r\n", Some(b"abc"));
    request.extend_from_slice(b"3\r\nabcX\r\n0\r\n\r\n");
    let answer = source.ask(&request).await;
    assert_eq!((answer.code().as_str(), answer.header("connection")), ("body-incomplete", Some("close")));
    target.has_closed(target.connections()).await;
    assert!(target.received().iter().all(|seen| !seen.complete));
    assert_eq!(gateway.outcomes(), ["client-gone", "body-incomplete"]);
}

#[tokio::test]
async fn a_body_nobody_signed_for_or_over_the_limit_is_refused_before_it_is_read() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::with(&[target.address], |_, route| route["body_bytes_max"] = 10.into());
    let mut source = gateway.connect();
    let answer = source.ask(&signed("POST", "/v", "Content-Length: 11\r\n", Some(b"12345678901"))).await;
    assert_eq!((answer.status, answer.header("connection")), (413, Some("close")));
    let mut source = gateway.connect();
    let mut request = signed("POST", "/v", "Transfer-Encoding: chunked\r\n", Some(b"12345678901"));
    request.extend_from_slice(&chunked(b"12345678901", 4));
    assert_eq!(source.ask(&request).await.code(), "body-too-large");
    let mut source = gateway.connect();
    assert_eq!(source.ask(&signed("POST", "/v", "Content-Length: 3\r\n", None)).await.code(), "digest-missing");
    assert!(target.received().iter().all(|seen| !seen.complete));
}

#[tokio::test]
async fn continue_is_said_only_to_an_admitted_request() {
    let target = Target::start(|_| ok("done")).await;
    let gateway = Gateway::towards(&[target.address]);
    let body = vec![b'g'; LARGE];
    for size in [10, LARGE] {
        let mut source = gateway.connect();
        let expect = format!("Content-Length: {size}\r\nExpect: 100-continue\r\n");
        source.send(&signed("POST", "/v", &expect, Some(&body[..size]))).await;
        assert_eq!(source.answer().await.status, 100);
        source.send(&body[..size]).await;
        assert_eq!(source.answer().await.body, b"done");
        assert_eq!(header(&target.received().pop().unwrap().head, "expect"), None);
    }
    let mut source = gateway.connect();
    let answer = source.ask(b"POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n").await;
    assert_eq!((answer.code().as_str(), answer.header("connection")), ("signature-missing", Some("close")));
    let answer = gateway.connect().ask(b"POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\nExpect: x\r\n\r\n").await;
    assert_eq!(answer.status, 417);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_body_is_passed_on_and_ends_the_connection() {
    let early = b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\n\r\nno!".to_vec();
    let target = Target::start(move |_| Reaction::SendEarly(early.clone())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let body = vec![b'g'; LARGE];
    source.send(&signed_with("POST", "/v", &body)[..100_000]).await;
    let answer = source.answer().await;
    assert_eq!((answer.status, answer.body.as_slice()), (413, b"no!".as_slice()));
    assert_eq!(answer.header("connection"), Some("close"));
    source.try_send(&body).await;
    source.rest().await;
}
