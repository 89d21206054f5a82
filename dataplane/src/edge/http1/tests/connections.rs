//! The connection itself: what is refused, how it ends, and what is left to the other face.

use super::fixture::*;
use crate::edge::http1::Handover;
use tokio::io::AsyncReadExt as _;

#[tokio::test]
async fn a_refused_request_without_an_unread_body_leaves_the_connection_usable() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    let unsigned = b"GET /v HTTP/1.1\r\nHost: x\r\n\r\n";
    let with_body = b"POST /v HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    for refused in [&unsigned[..], &with_body[..]] {
        let answer = source.ask(refused).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "signature-missing"));
        assert_eq!(answer.header("connection"), None);
    }
    assert_eq!(source.ask(&signed("GET", "/v", "", None)).await.status, 200);
    source.close().await;
    assert_eq!(gateway.outcomes(), ["signature-missing", "signature-missing", "completed"]);
}

#[tokio::test]
async fn a_refused_request_whose_body_is_still_to_come_ends_the_connection() {
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    let mut source = gateway.connect();
    source.send(b"POST /v HTTP/1.1\r\nHost: x\r\nContent-Length: 60\r\n\r\n").await;
    let answer = source.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
    // What would be the body is never taken for a request.
    source.try_send(&signed("GET", "/v", "", None)).await;
    assert!(source.rest().await.is_empty());
    assert_eq!(gateway.outcomes(), ["signature-missing"]);
}

#[tokio::test]
async fn what_is_no_request_is_answered_once_and_ends_the_connection() {
    for (bad, status) in [
        ("GET / HTTP/1.1\nHost: x\n\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/3.0\r\nHost: x\r\n\r\n", 505),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n", 405),
    ] {
        let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
        let mut source = gateway.connect();
        source.send(bad.as_bytes()).await;
        source.try_send(&signed("GET", "/v", "", None)).await;
        let answer = source.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (status, Some("close")), "{bad:?}");
        assert!(source.rest().await.is_empty());
        assert_eq!(gateway.outcomes().len(), 1);
    }
}

#[tokio::test]
async fn a_head_that_does_not_arrive_in_time_is_refused_and_silence_is_not_answered() {
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    let mut slow = gateway.connect();
    slow.send(b"GET / HTTP/1.1\r\nHo").await;
    assert_eq!(slow.answer().await.status, 408);
    let mut silent = gateway.connect();
    assert!(silent.rest().await.is_empty());
    assert_eq!(gateway.outcomes(), ["header-timeout"]);
}

#[tokio::test]
async fn a_node_that_stops_closes_idle_connections_and_finishes_the_exchange_in_flight() {
    let target = Target::start(|_| ok("last")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut idle = gateway.connect();
    assert_eq!(idle.ask(&signed("GET", "/v", "", None)).await.header("connection"), None);
    let mut busy = gateway.connect();
    let body = vec![b'x'; 10_000];
    let request = signed_with("POST", "/v", &body);
    busy.send(&request[..request.len() - 1]).await;
    tokio::task::yield_now().await;
    gateway.stop.send_replace(true);
    assert!(idle.rest().await.is_empty());
    assert!(matches!(idle.ended().await, Handover::Closed));
    busy.send(b"x").await;
    let answer = busy.answer().await;
    assert_eq!((answer.body.as_slice(), answer.header("connection")), (&b"last"[..], Some("close")));
    assert!(busy.rest().await.is_empty());
}

#[tokio::test]
async fn what_the_other_face_serves_is_handed_over_with_every_byte() {
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nframes";
    let websocket = b"GET /v HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nmore";
    for first in [&preface[..], &websocket[..]] {
        let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
        let mut source = gateway.connect();
        source.send(first).await;
        let Handover::HandOver(mut stream) = source.ended().await else { panic!("served here") };
        let mut again = vec![0; first.len()];
        stream.read_exact(&mut again).await.unwrap();
        assert_eq!(again, first);
        assert!(gateway.outcomes().is_empty());
    }
}

#[tokio::test]
async fn a_route_to_an_http2_service_is_handed_over_before_its_nonce_is_used_up() {
    let gateway = Gateway::with(&[([127, 0, 0, 1], 1).into()], |service, _| service["protocol"] = "http2".into());
    let mut source = gateway.connect();
    source.send(&signed("GET", "/v", "", None)).await;
    assert!(matches!(source.ended().await, Handover::HandOver(_)));
}

#[tokio::test]
async fn an_empty_line_before_a_later_request_is_skipped_and_two_are_not() {
    let target = Target::start(|_| ok("")).await;
    let gateway = Gateway::towards(&[target.address]);
    let mut source = gateway.connect();
    source.ask(&signed("GET", "/v", "", None)).await;
    let mut request = b"\r\n".to_vec();
    request.extend_from_slice(&signed("GET", "/v", "", None));
    assert_eq!(source.ask(&request).await.status, 200);
    assert_eq!(source.ask(b"\r\n\r\n").await.status, 400);
}

#[test]
fn a_waiting_connection_costs_little() {
    let gateway = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _guard = gateway.enter();
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    assert!(gateway.waiting_bytes() <= 5 << 10, "{}", gateway.waiting_bytes());
}

#[tokio::test]
async fn a_connection_at_rest_does_not_hold_the_room_of_an_exchange() {
    let gateway = Gateway::towards(&[([127, 0, 0, 1], 1).into()]);
    assert!(gateway.task_bytes() <= 1 << 10, "{} bytes", gateway.task_bytes());
}
