//! Targets that fail: what the caller is told, what is tried again, and that every exchange has one record.

use super::fixture::*;
use serde_json::json;

/// An address where nothing listens.
async fn nowhere() -> std::net::SocketAddr {
    tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_target_that_is_down_is_told_and_the_connection_goes_on() {
    let gateway = Gateway::towards(&[nowhere().await]);
    let mut source = gateway.connect();
    for _ in 0..2 {
        let answer = source.ask(&signed_with("POST", "/v", b"body")).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "target-unreachable"));
    }
    source.close().await;
    assert_eq!(gateway.outcomes(), ["target-unreachable"; 2]);
}

#[tokio::test]
async fn another_endpoint_is_asked_when_one_is_down_whatever_the_method() {
    let target = Target::start(|_| ok("here")).await;
    let gateway = Gateway::towards(&[nowhere().await, target.address]);
    let mut source = gateway.connect();
    for _ in 0..4 {
        assert_eq!(source.ask(&signed_with("POST", "/v", b"body")).await.body, b"here");
    }
    assert!(target.received().iter().all(|seen| seen.body == b"body"));
}

#[tokio::test]
async fn a_target_that_hangs_is_given_up_in_time() {
    let target = Target::start(|_| Reaction::Hang).await;
    let gateway = Gateway::with(&[target.address], |service, _| service["deadlines"] = json!({"first_byte_ms": 80}));
    let mut source = gateway.connect();
    let answer = source.ask(&signed("GET", "/v", "", None)).await;
    assert_eq!((answer.status, answer.code().as_str()), (504, "target-timeout"));
    assert_eq!(target.received().len(), 1, "a request that may have been processed is not sent again");
    target.has_closed(1).await;
}

#[tokio::test]
async fn a_kept_connection_that_died_costs_an_idempotent_request_nothing() {
    let target = Target::start(|number| if number == 1 { Reaction::Close } else { ok("again") }).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for _ in 0..2 {
        assert_eq!(source.ask(&signed("GET", "/v", "", None)).await.body, b"again");
    }
    assert_eq!((target.received().len(), target.connections()), (3, 2));
}

#[tokio::test]
async fn a_request_that_changes_things_is_sent_only_once() {
    let target = Target::start(|number| if number == 1 { Reaction::Close } else { ok("") }).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    assert_eq!(source.ask(&signed_with("POST", "/v", b"1")).await.status, 200);
    let answer = source.ask(&signed_with("POST", "/v", b"2")).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "target-closed"));
    assert_eq!(target.received().len(), 2);
}

#[tokio::test]
async fn answers_that_are_not_unambiguous_http_are_not_passed_on() {
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        "SSH-2.0-OpenSSH\r\n\r\n",
    ] {
        let target = Target::start(move |_| Reaction::SendAndClose(bad.as_bytes().to_vec())).await;
        let gateway = Gateway::towards(&[target.address]);
        let answer = gateway.connect().ask(&signed("GET", "/v", "", None)).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "target-protocol"), "{bad:?}");
    }
}

/// Found with an answer of 101 headers: neither the caller nor the record said what was wrong with it.
#[tokio::test]
async fn what_was_wrong_with_an_answer_is_in_the_refusal_and_in_the_record() {
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(101));
    for (sent, code, detail) in [
        (many.as_str(), "target-protocol", "more than 100 headers"),
        ("SSH-2.0-OpenSSH\r\n\r\n", "target-protocol", "the answer's head is malformed"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "target-protocol",
            "`Content-Length` together with `Transfer-Encoding`",
        ),
        ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", "target-protocol", "101"),
        ("HTTP/1.1 200 OK\r\nContent-", "target-closed", "within the answer's head"),
        ("", "target-closed", "before the first byte"),
    ] {
        let answer = sent.as_bytes().to_vec();
        let target = Target::start(move |_| Reaction::SendAndClose(answer.clone())).await;
        let gateway = Gateway::towards(&[target.address]);
        let answer = gateway.connect().ask(&signed_with("POST", "/v", b"once")).await;
        let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(problem["code"], code, "{sent}");
        assert!(problem["detail"].as_str().is_some_and(|told| told.contains(detail)), "{problem}");
        assert_eq!(gateway.records()[0]["detail"], problem["detail"]);
    }
    let gateway = Gateway::towards(&[nowhere().await]);
    gateway.connect().ask(&signed("GET", "/v", "", None)).await;
    let record = gateway.records().remove(0);
    assert!(record["detail"].as_str().unwrap().contains("refused the connection"), "{record}");
}

#[tokio::test]
async fn why_an_answer_was_cut_is_in_the_record() {
    for (sent, detail) in [
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "within the answer's body"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", "within the answer's body"),
    ] {
        let target = Target::start(move |_| Reaction::SendAndClose(sent.as_bytes().to_vec())).await;
        let gateway = Gateway::towards(&[target.address]);
        let mut source = gateway.connect();
        source.send(&signed("GET", "/v", "", None)).await;
        source.rest().await;
        source.close().await;
        let record = gateway.records().remove(0);
        assert_eq!(record["outcome"], "target-cut");
        assert!(record["detail"].as_str().is_some_and(|told| told.contains(detail)), "{record}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_stays_cut() {
    for cut in [
        "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let target = Target::start(move |_| Reaction::SendAndClose(cut.as_bytes().to_vec())).await;
        let gateway = Gateway::towards(&[target.address]);
        let mut source = gateway.connect();
        source.send(&signed("GET", "/v", "", None)).await;
        let text = String::from_utf8(source.rest().await).unwrap();
        assert!(text.contains("half") && !text.ends_with("0\r\n\r\n"), "{text}");
        source.close().await;
        assert_eq!(gateway.outcomes(), ["target-cut"]);
    }
}

#[tokio::test]
async fn a_target_that_speaks_out_of_turn_is_not_asked_again_on_that_connection() {
    let twice = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let target = Target::start(|_| Reaction::Send(twice.to_vec())).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    for _ in 0..3 {
        assert_eq!(source.ask(&signed("GET", "/v", "", None)).await.body, b"ok");
    }
    assert_eq!(target.connections(), 3);
}

#[tokio::test]
async fn a_source_that_goes_away_ends_the_work_for_it() {
    let target = Target::start(|_| Reaction::Hang).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    source.send(&signed("GET", "/v", "", None)).await;
    target.has_received(1).await;
    source.close().await;
    target.has_closed(1).await;
    assert_eq!(gateway.outcomes(), ["client-gone"]);
}
