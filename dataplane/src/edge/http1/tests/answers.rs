//! Requests that are allowed: what the target sees, and what comes back.

use super::fixture::*;

#[tokio::test]
async fn a_signed_request_reaches_the_target_as_the_platforms_and_its_answer_comes_back() {
    let target = Target::start(|_| ok("chào")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let more = "X-Mine: 1\r\nTraceparent: 00-0-0-00\r\nX-Forwarded-For: 1.2.3.4\r\nConnection: keep-alive, x-hop\r\nX-Hop: 2\r\n";
    let answer = source.ask(&signed("GET", "/v/1?q=a%20b", more, None)).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, "chào".as_bytes()));
    assert_eq!(answer.header("lgsp-request-id").unwrap().len(), 32);

    let seen = &target.received()[0];
    assert!(seen.head.starts_with("GET /v/1?q=a%20b HTTP/1.1\r\n"), "{}", seen.head);
    for (name, value) in [("lgsp-source", "source"), ("lgsp-agency", "H61"), ("x-mine", "1"), ("host", HOST)] {
        assert_eq!(header(&seen.head, name), Some(value), "{name}");
    }
    assert_eq!(header(&seen.head, "lgsp-request-id"), answer.header("lgsp-request-id"));
    assert!(header(&seen.head, "signature-input").unwrap().contains("keyid=\"TARGETKEY1\""));
    for name in ["x-forwarded-for", "x-hop", "connection", "content-length", "transfer-encoding"] {
        assert_eq!(header(&seen.head, name), None, "{name}");
    }
    let traces: Vec<&str> = seen.head.lines().filter(|line| line.starts_with("traceparent")).collect();
    assert!(traces.len() == 1 && !traces[0].contains("00-0-0-00"), "{traces:?}");
    source.close().await;
    assert_eq!(gateway.outcomes(), ["completed"]);
}

#[tokio::test]
async fn requests_follow_each_other_on_both_connections() {
    let target = Target::start(|number| ok(&number.to_string())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for number in 0..5 {
        let answer = source.ask(&signed("GET", "/v", "", None)).await;
        assert_eq!(answer.body, number.to_string().as_bytes());
    }
    source.close().await;
    let mut source = gateway.connect();
    source.ask(&signed("GET", "/v", "", None)).await;
    source.close().await;
    assert_eq!(target.connections(), 1);
    assert_eq!(gateway.outcomes(), ["completed"; 6]);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let target = Target::start(|number| ok(&number.to_string())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let mut all = signed_with("POST", "/v", b"body");
    for _ in 0..3 {
        all.extend_from_slice(&signed("GET", "/v", "", None));
    }
    source.send(&all).await;
    for number in 0..4 {
        assert_eq!(source.answer().await.body, number.to_string().as_bytes());
    }
    assert_eq!(target.received()[0].body, b"body");
}

#[tokio::test]
async fn answers_of_every_framing_come_through_whole() {
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nChecksum: 9\r\nSet-Cookie: no\r\n\r\n";
    let until_close = b"HTTP/1.1 200 OK\r\nLgsp-Source: forged\r\nServer: t\r\n\r\nabcde";
    let no_content = b"HTTP/1.1 204 No Content\r\n\r\n";
    let target = Target::start(|number| match number {
        0 | 3 => Reaction::Send(chunked.to_vec()),
        1 => Reaction::SendAndClose(until_close.to_vec()),
        _ => Reaction::Send(no_content.to_vec()),
    })
    .await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();

    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!(answer.body, b"3\r\nabc\r\n2\r\nde\r\n0\r\nChecksum: 9\r\n\r\n");
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!(answer.body, b"5\r\nabcde\r\n0\r\n\r\n");
    assert_eq!((answer.header("lgsp-source"), answer.header("server")), (None, Some("t")));
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!((answer.status, answer.header("content-length")), (204, None));

    let old = String::from_utf8(signed("GET", "/v", "", None)).unwrap().replacen("HTTP/1.1", "HTTP/1.0", 1);
    source.send(old.as_bytes()).await;
    let text = String::from_utf8(source.rest().await).unwrap();
    assert!(text.contains("connection: close\r\n") && text.ends_with("\r\n\r\nabcde"), "{text}");
    assert!(!text.contains("transfer-encoding"), "{text}");
}

#[tokio::test]
async fn the_answer_to_head_tells_a_length_and_has_no_body() {
    let head_only = Reaction::Send(b"HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n".to_vec());
    let target = Target::start(move |number| if number == 0 { head_only.clone() } else { ok("next") }).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    source.send(&signed("HEAD", "/v", "", None)).await;
    source.send(&signed("GET", "/v", "", None)).await;
    let mut second = signed("GET", "/v", "Connection: close\r\n", None);
    source.send(&std::mem::take(&mut second)).await;
    let text = String::from_utf8(source.rest().await).unwrap();
    assert!(text.contains("content-length: 1234\r\n"), "{text}");
    assert_eq!(text.matches("\r\n\r\nnext").count(), 2, "{text}");
}

#[tokio::test]
async fn interim_answers_are_not_taken_for_the_answer() {
    let bytes = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let target = Target::start(|_| Reaction::Send(bytes.to_vec())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, b"ok".as_slice()));
    assert_eq!(source.ask(&signed("GET", "/v", "", None)).await.status, 200);
    assert_eq!(target.connections(), 1);
}

#[tokio::test]
async fn a_large_answer_streams_through() {
    let body = vec![b'x'; 3 << 20];
    let mut bytes = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len()).into_bytes();
    bytes.extend_from_slice(&body);
    let target = Target::start(move |_| Reaction::Send(bytes.clone())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for _ in 0..2 {
        assert!(source.ask(&signed("GET", "/v", "", None)).await.body == body);
    }
}
