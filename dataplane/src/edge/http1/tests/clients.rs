//! Clients that do right are served, and can read why when they are not. Each was found with a client in wide use.

use super::fixture::*;

#[tokio::test]
async fn every_answer_has_a_date_and_a_targets_own_is_kept() {
    let dated = b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 0\r\n\r\n".to_vec();
    let target = Target::start(move |number| if number == 0 { ok("") } else { Reaction::Send(dated.clone()) }).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    // SDKs correct a wrong clock by the date of a refusal.
    let refused = source.ask(b"GET /v HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(refused.status == 401 && refused.header("date").is_some_and(|date| date.ends_with(" GMT")), "{refused:?}");
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert!(answer.header("date").is_some(), "{answer:?}");
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!(answer.header("date"), Some("Sun, 06 Nov 1994 08:49:37 GMT"));
    assert_eq!(answer.head.to_ascii_lowercase().matches("\r\ndate:").count(), 1);
}

#[tokio::test]
async fn an_empty_body_that_waits_for_continue_gets_it() {
    let target = Target::start(|_| ok("stored")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for _ in 0..2 {
        source.send(&signed("PUT", "/v", "Content-Length: 0\r\nExpect: 100-continue\r\n", None)).await;
        assert_eq!(source.answer().await.status, 100);
        assert_eq!(source.answer().await.body, b"stored");
    }
}

#[tokio::test]
async fn a_target_in_absolute_form_is_served_when_it_agrees_with_host() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let request = String::from_utf8(signed("GET", "/v/1?q=2", "", None)).unwrap();
    let absolute = request.replacen("GET /v", &format!("GET http://{HOST}/v"), 1);
    assert_eq!(source.ask(absolute.as_bytes()).await.status, 200);
    assert!(target.received()[0].head.starts_with("GET /v/1?q=2 HTTP/1.1\r\n"), "{}", target.received()[0].head);
    let request = String::from_utf8(signed("GET", "/v/1", "", None)).unwrap();
    let foreign = request.replacen("GET /v", "GET http://elsewhere.example/v", 1);
    let answer = source.ask(foreign.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "request-malformed"));
    assert_eq!(target.received().len(), 1);
}

#[tokio::test]
async fn an_empty_line_before_the_first_request_is_skipped() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let request = [b"\r\n".as_slice(), &signed("GET", "/v", "", None)].concat();
    assert_eq!(gateway.connect().ask(&request).await.status, 200);
}

#[tokio::test]
async fn a_refusal_can_be_read_by_a_caller_that_sends_its_large_body_first() {
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    for head in [
        format!("POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n\r\n").into_bytes(),
        signed("POST", "/elsewhere", &format!("Content-Length: {LARGE}\r\n"), Some(&vec![0; LARGE])),
    ] {
        let mut source = gateway.connect();
        source.send(&head).await;
        // Fails when the node closes before it has read everything.
        source.send(&vec![0; LARGE]).await;
        let answer = source.answer().await;
        assert!(matches!(answer.status, 401 | 404), "{answer:?}");
        assert_eq!(answer.header("connection"), Some("close"));
    }
}

/// More than any buffer between the two holds.
const LARGE: usize = 8 << 20;

#[tokio::test]
async fn an_aws_sdk_reads_a_refusal_as_an_s3_error() {
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    for more in ["amz-sdk-invocation-id: 1\r\n", "Accept: application/xml\r\n"] {
        let mut source = gateway.connect();
        let unsigned = format!("GET /v HTTP/1.1\r\nHost: x\r\n{more}\r\n");
        let answer = source.ask(unsigned.as_bytes()).await;
        assert_eq!((answer.status, answer.header("content-type")), (401, Some("application/xml")));
        let text = String::from_utf8(answer.body.clone()).unwrap();
        let id = answer.header("lgsp-request-id").unwrap();
        assert!(text.contains("<Code>AccessDenied</Code>") && text.contains(id), "{text}");
        assert!(source.ask(&signed("GET", "/elsewhere", more, None)).await.body.starts_with(b"<?xml"));
    }
    // Any other caller reads a problem document, gRPC over HTTP/1.1 too: its clients do not exist.
    let answer = gateway.connect().ask(b"GET /v HTTP/1.1\r\nHost: x\r\nContent-Type: application/grpc\r\n\r\n").await;
    assert_eq!((answer.status, answer.code().as_str()), (401, "signature-missing"));
}
