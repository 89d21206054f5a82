//! Every ambiguity a request head can hold, and that each is refused.

use super::*;

fn verdict<T>(bytes: &[u8], look: impl FnOnce(&Request<'_>) -> T) -> Result<T, Fault> {
    let mut scanned = 0;
    match extent(bytes, &mut scanned)? {
        Extent::Complete(length) => {
            let mut fields = Fields::new();
            parse(&bytes[..length], Scheme::Http, &mut fields).map(|request| look(&request))
        }
        Extent::Partial => Err(Fault::malformed("partial")),
    }
}

fn refused(text: &str) -> Fault {
    verdict(text.as_bytes(), |_| ()).expect_err(text)
}

#[test]
fn a_plain_request_is_read_as_sent() {
    let text = "POST /a?b HTTP/1.1\r\nHost: x:1\r\ncontent-LENGTH: 3\r\nExpect: 100-continue\r\n\r\nabc";
    verdict(text.as_bytes(), |request| {
        assert_eq!((request.head.method, request.head.path, request.head.query), ("POST", "/a", Some("b")));
        assert_eq!((request.head.authority, request.framing), ("x:1", Framing::Length(3)));
        assert!(request.expects_continue && !request.connection.close && !request.upgrade);
        assert_eq!(request.head.fields.len(), 3);
    })
    .unwrap();
}

#[test]
fn a_head_is_complete_only_with_its_empty_line_however_it_arrives() {
    let text = b"GET / HTTP/1.1\r\nHost: x\r\n\r\nrest";
    let mut scanned = 0;
    for length in 0..text.len() {
        let expected = if length < text.len() - 4 { Extent::Partial } else { Extent::Complete(text.len() - 4) };
        assert_eq!(extent(&text[..length], &mut scanned), Ok(expected), "{length}");
    }
}

#[test]
fn two_ways_to_read_a_line_end_are_refused() {
    for bad in [
        "GET / HTTP/1.1\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
    ] {
        assert_eq!(refused(bad).code, Code::RequestMalformed, "{bad:?}");
    }
}

#[test]
fn odd_bytes_in_names_and_values_are_refused() {
    for bad in [
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost\t: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA: b\u{1}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA\u{e9}: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\nA(b: c\r\n\r\n",
    ] {
        assert_eq!(refused(bad).code, Code::RequestMalformed, "{bad:?}");
    }
}

#[test]
fn odd_request_lines_are_refused() {
    for bad in [
        "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /  HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "get / HTTP/1.1\r\nHost: x\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: x\r\n\r\n",
        "GET /\r\nHost: x\r\n\r\n",
        "GET / HTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://y/ HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: x\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        assert_eq!(refused(bad).code, Code::RequestMalformed, "{bad:?}");
    }
    assert_eq!(refused("CONNECT x:1 HTTP/1.1\r\nHost: x:1\r\n\r\n").code, Code::MethodNotAllowed);
}

#[test]
fn other_versions_are_named_as_such() {
    for bad in ["HTTP/0.9", "HTTP/1.2", "HTTP/2.0", "HTTP/3", "HTTP/11", "http/1.1"] {
        let fault = refused(&format!("GET / {bad}\r\nHost: x\r\n\r\n"));
        assert!(matches!(fault.code, Code::VersionUnsupported | Code::RequestMalformed), "{bad}");
    }
    assert_eq!(refused("GET / HTTP/2.0\r\nHost: x\r\n\r\n").code, Code::VersionUnsupported);
}

#[test]
fn the_host_is_there_exactly_once() {
    for bad in ["", "Host: x\r\nhost: x\r\n", "Host:\r\n", "Host: a b\r\n", "Host: x/y\r\n", "Host: x, y\r\n"] {
        assert_eq!(refused(&format!("GET / HTTP/1.1\r\n{bad}\r\n")).code, Code::RequestMalformed, "{bad:?}");
    }
    assert!(refused("GET / HTTP/1.0\r\n\r\n").detail.contains("Host"));
}

#[test]
fn lengths_that_can_be_read_twice_are_refused() {
    for bad in [
        "Content-Length: 1\r\nContent-Length: 1",
        "Content-Length: 1\r\ncontent-length: 2",
        "Content-Length: 1, 1",
        "Content-Length: +1",
        "Content-Length: 1 2",
        "Content-Length:",
        "Content-Length: 99999999999999999999",
        "Content-Length: 1\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: x",
    ] {
        assert_eq!(
            refused(&format!("POST / HTTP/1.1\r\nHost: x\r\n{bad}\r\n\r\n")).code,
            Code::RequestMalformed,
            "{bad}"
        );
    }
    assert_eq!(
        refused("POST / HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n").code,
        Code::RequestMalformed
    );
}

#[test]
fn an_expectation_other_than_continue_is_refused() {
    let fault = refused("POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\nContent-Length: 1\r\n\r\n");
    assert_eq!(fault.code, Code::ExpectationFailed);
}

#[test]
fn sizes_are_bounded_while_they_grow() {
    let long_target = format!("GET /{}", "a".repeat(TARGET_BYTES_MAX + LINE_SLACK_BYTES));
    assert_eq!(extent(long_target.as_bytes(), &mut 0).unwrap_err().code, Code::PathTooLong);
    let complete = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(TARGET_BYTES_MAX));
    assert_eq!(refused(&complete).code, Code::PathTooLong);
    let long_header = format!("GET / HTTP/1.1\r\nHost: x\r\nA: {}", "a".repeat(HEADER_LIST_BYTES_MAX));
    assert_eq!(extent(long_header.as_bytes(), &mut 0).unwrap_err().code, Code::HeaderTooLarge);
    assert_eq!(refused(&format!("{long_header}\r\n\r\n")).code, Code::HeaderTooLarge);
    let many = "A: b\r\n".repeat(FIELDS_MAX);
    assert_eq!(refused(&format!("GET / HTTP/1.1\r\nHost: x\r\n{many}\r\n")).code, Code::HeaderTooLarge);
}

#[test]
fn an_upgrade_counts_only_when_the_connection_says_so() {
    let text = |connection: &str| {
        format!("GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: {connection}\r\n\r\n")
    };
    assert!(verdict(text("Upgrade").as_bytes(), |request| request.upgrade).unwrap());
    assert!(!verdict(text("close").as_bytes(), |request| request.upgrade).unwrap());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..512)) {
        let _ = verdict(&bytes, |_| ());
    }

    #[test]
    fn what_is_accepted_has_one_line_per_field(tail in "[A-Za-z:, \\r\\n\\t;=0-9-]{0,80}") {
        let text = format!("GET / HTTP/1.1\r\nHost: x\r\n{tail}\r\n\r\n");
        let mut scanned = 0;
        if let Ok(Extent::Complete(length)) = extent(text.as_bytes(), &mut scanned) {
            let mut fields = Fields::new();
            if let Ok(request) = parse(&text.as_bytes()[..length], Scheme::Http, &mut fields) {
                let lines = text[..length].matches("\r\n").count();
                proptest::prop_assert_eq!(lines, request.head.fields.len() + 2);
                proptest::prop_assert!(request.head.fields.iter().all(|f| !f.value.contains(&b'\r')));
            }
        }
    }
}
