#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::net::Ipv4Addr;

use bytes::Bytes;
use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

async fn target() -> (SocketAddr, Arc<Settings>) {
    let settings = Settings { ledger: Ledger::default().keeping(8), ..Settings::default() };
    let echo = Echo::bind((Ipv4Addr::LOCALHOST, 0).into(), settings).await.unwrap();
    let (address, settings) = (echo.address().unwrap(), echo.settings());
    tokio::spawn(echo.serve());
    (address, settings)
}

/// Sends bytes on one connection, and reads until the target closes.
async fn say(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn one_connection_carries_many_requests_of_both_framings() {
    let (address, settings) = target().await;
    let requests = "POST /echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello\
        POST /echo HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nx-sum: 7\r\n\r\n\
        HEAD /bytes/9 HTTP/1.1\r\nhost: a\r\n\r\n\
        GET /bytes/3 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let answer = say(address, requests.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 4, "{answer}");
    assert!(answer.contains("\r\n\r\nhello") && answer.contains("0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    assert!(answer.contains("content-length: 9\r\n\r\nHTTP/1.1") && answer.ends_with("\r\n\r\nxxx"), "{answer}");
    assert_eq!((settings.ledger.complete(), settings.ledger.incomplete()), (4, 0));
    let seen = &settings.ledger.seen()[1];
    assert_eq!((seen.body_bytes, seen.complete, seen.trailers.len()), (5, true, 1));
    assert_eq!(seen.sha256, "36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c");
}

#[tokio::test]
async fn a_cut_body_never_counts_as_complete() {
    let (address, settings) = target().await;
    for cut in [
        "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhell",
        "POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhelloxx",
        "POST /sink HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        assert_eq!(say(address, cut.as_bytes()).await, "", "{cut}");
    }
    assert_eq!((settings.ledger.complete(), settings.ledger.incomplete()), (0, 4));
}

#[tokio::test]
async fn what_could_be_read_in_two_ways_is_not_answered() {
    let (address, settings) = target().await;
    for request in [
        "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\na",
    ] {
        assert_eq!(say(address, request.as_bytes()).await, "", "{request}");
    }
    assert_eq!(settings.ledger.complete(), 0);
}

#[tokio::test]
async fn an_expecting_client_is_told_to_go_on() {
    let (address, _) = target().await;
    let head = "POST /sink HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n";
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).await.unwrap();
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.contains("\"bytes\":2"), "{answer}");
}

#[tokio::test]
async fn failures_come_on_demand() {
    let (address, _) = target().await;
    let get = async |path: &str| {
        say(address, format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await
    };
    assert_eq!(get("/close").await, "");
    assert!(get("/half").await.ends_with(&"x".repeat(500)));
    assert!(get("/status/503").await.starts_with("HTTP/1.1 503 Service Unavailable"));
    assert!(get("/status/204").await.starts_with("HTTP/1.1 204 No Content\r\ncontent-type"));
    assert!(get("/trailers").await.ends_with("0\r\nx-checksum: 42\r\n\r\n"));
    assert!(get("/hints").await.starts_with("HTTP/1.1 103 Early Hints\r\n"));
    assert!(get("/garbage").await.contains("not HTTP"));
    assert!(get("/echo?headers=1").await.contains("\"path\":\"/echo\""));
    assert!(get("/nothing").await.starts_with("HTTP/1.1 404"));
    assert!(get("/bytes/4?chunked=1").await.ends_with("4\r\nxxxx\r\n0\r\n\r\n"));
    assert!(get("/requests").await.contains("\"complete\":10"));
}

#[tokio::test]
async fn an_upgraded_connection_echoes() {
    let (address, _) = target().await;
    let request = "GET /upgrade HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\nany bytes";
    let answer = say(address, request.as_bytes()).await;
    assert!(
        answer.starts_with("HTTP/1.1 101 Switching Protocols") && answer.ends_with("\r\n\r\nany bytes"),
        "{answer}"
    );
}

#[tokio::test]
async fn http2_echoes_bodies_and_trailers_and_counts_what_was_reset() {
    let (address, settings) = target().await;
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = |path: &str| {
        let request = Request::post(format!("http://a{path}")).version(http::Version::HTTP_2);
        request.header("content-type", "application/grpc").body(()).unwrap()
    };
    let (response, mut body) = client.send_request(request("/echo/Service/Method"), false).unwrap();
    body.send_data(Bytes::from_static(b"hello"), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    assert_eq!(answer.data().await.unwrap().unwrap(), "hello");
    assert_eq!(answer.trailers().await.unwrap().unwrap()["grpc-status"], "0");

    let (response, mut body) = client.send_request(request("/sink"), false).unwrap();
    body.send_data(Bytes::from_static(b"hel"), false).unwrap();
    body.send_reset(h2::Reason::CANCEL);
    assert!(response.await.is_err());
    let (response, _) = client.send_request(request("/bytes/200000"), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    let mut count = 0;
    while let Some(data) = answer.data().await {
        count += data.as_ref().unwrap().len();
        answer.flow_control().release_capacity(data.unwrap().len()).unwrap();
    }
    assert_eq!(count, 200_000);
    assert_eq!((settings.ledger.complete(), settings.ledger.incomplete()), (2, 1));
    assert_eq!(settings.ledger.seen()[0].protocol, "HTTP/2");
}

#[tokio::test]
async fn only_what_the_platform_signed_with_this_targets_secret_is_served() {
    use lgsp_shared::head::{Field, RequestHead, Scheme};
    use lgsp_shared::seal::Secret;
    use lgsp_shared::signature::{KeyState, Rfc9421Params, Rfc9421Plan, sign_rfc9421};
    use lgsp_shared::timestamp::UnixSeconds;

    let secret = Secret::new(b"the secret of this target".to_vec());
    let verifier = PlatformVerifier::new("TARGETKEY1".parse().unwrap(), &secret);
    let settings = Settings { ledger: Ledger::default().keeping(8), verifier: Some(verifier), ..Settings::default() };
    let echo = Echo::bind((Ipv4Addr::LOCALHOST, 0).into(), settings).await.unwrap();
    let (address, settings) = (echo.address().unwrap(), echo.settings());
    tokio::spawn(echo.serve());

    let request = |key_id: &str, secret: &Secret, covered: &[&'static str], forwarded: bool| {
        let own = [("host", "a"), ("lgsp-source", "mot-cua"), ("lgsp-agency", "H61"), ("lgsp-request-id", "1")];
        let fields = own.map(|(name, value)| Field { name, value: value.as_bytes() });
        let head = RequestHead {
            method: "GET",
            scheme: Scheme::Http,
            authority: "a",
            path: "/bytes/1",
            query: None,
            fields: &fields,
        };
        let params = Rfc9421Params { created: UnixSeconds(1), expires: None, nonce: "1", key_id, label: "lgsp" };
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        let key = KeyState::new(secret);
        if forwarded {
            let plan = Rfc9421Plan::forwarded("lgsp", covered).unwrap();
            plan.sign(&head, &params, &key, &mut input, &mut signature).unwrap();
        } else {
            sign_rfc9421(&head, covered, &params, &key, &mut input, &mut signature).unwrap();
        }
        let lines: String = own.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let (input, signature) = (String::from_utf8(input).unwrap(), String::from_utf8(signature).unwrap());
        format!(
            "GET /bytes/1 HTTP/1.1\r\n{lines}signature-input: {input}\r\nsignature: {signature}\r\nconnection: close\r\n\r\n"
        )
    };
    let whole = ["@method", "@authority", "@path", "@query", "lgsp-source", "lgsp-agency", "lgsp-request-id"];
    let good = request("TARGETKEY1", &secret, &whole, true);
    let refused = [
        request("OTHERKEY11", &secret, &whole, true),
        request("TARGETKEY1", &Secret::new(b"another secret".to_vec()), &whole, true),
        request("TARGETKEY1", &secret, &whole[..5], true),
        request("TARGETKEY1", &secret, &whole, false),
        good.replace("lgsp-source: mot-cua", "lgsp-source: ho-tich"),
        good.replace("/bytes/1 ", "/bytes/2 "),
        "GET /bytes/1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
    ];
    assert!(say(address, good.as_bytes()).await.starts_with("HTTP/1.1 200"));
    for request in &refused {
        let answer = say(address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("not signed by the platform"), "{answer}");
    }
    assert_eq!(settings.ledger.unverified(), refused.len() as u64);
    assert_eq!(settings.ledger.seen()[0].verified, Some(true));
}

#[tokio::test]
async fn what_is_over_the_limit_is_refused_and_counted() {
    let pressure = Pressure { bucket: Some(TokenBucket::new(0.001, 2.0)), ..Pressure::default() };
    let settings = Settings { pressure, ..Settings::default() };
    let echo = Echo::bind((Ipv4Addr::LOCALHOST, 0).into(), settings).await.unwrap();
    let (address, settings) = (echo.address().unwrap(), echo.settings());
    tokio::spawn(echo.serve());
    let asked = "POST /sink HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok".repeat(3);
    let answer = say(address, format!("{asked}GET /health HTTP/1.1\r\nhost: a\r\n\r\n").as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "two tokens, and health costs none: {answer}");
    assert_eq!(
        answer.matches("HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain\r\nretry-after: 1").count(),
        1
    );
    assert_eq!(settings.ledger.complete(), 3);
}
