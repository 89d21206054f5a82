//! RFC 9112 section 4: a target's answer, parsed as strictly as a request.

use arrayvec::ArrayVec;
use httparse::{Header, Status};
use lgsp_shared::head::Field;
use lgsp_shared::refusal::Code;

use super::connection::{Connection, Version};
use super::fault::Fault;
use super::framing::{Framing, response_framing};
use super::head::{Extent, FIELDS_MAX, Fields, HEADER_LIST_BYTES_MAX};

/// The most interim (1xx) answers before the final one.
pub const INTERIM_MAX: usize = 8;

/// The head of a target's answer.
#[derive(Debug)]
pub struct Response<'a> {
    /// 100 to 599.
    pub status: u16,
    /// How long its body is.
    pub framing: Framing,
    /// What `Content-Length` said, also where there is no body (HEAD, 304).
    pub declared_length: Option<u64>,
    /// All fields, in order.
    pub fields: &'a [Field<'a>],
    /// What `Connection` says.
    pub connection: Connection<'a>,
    /// Whether the target keeps the connection open afterwards.
    pub reusable: bool,
}

/// Finds the end of an answer's head.
pub fn extent(input: &[u8], scanned: &mut usize) -> Result<Extent, Fault> {
    let extent = super::head::extent(input, scanned).map_err(|fault| {
        Fault::target(match fault.code {
            Code::HeaderTooLarge => HEAD_TOO_LARGE,
            Code::PathTooLong => "the answer's status line is too long",
            _ => "the answer's head is malformed: a line ends in LF without CR",
        })
    })?;
    let length = match extent {
        Extent::Partial => input.len(),
        Extent::Complete(length) => length,
    };
    if length > HEADER_LIST_BYTES_MAX {
        return Err(Fault::target(HEAD_TOO_LARGE));
    }
    Ok(extent)
}

const HEAD_TOO_LARGE: &str = "the answer's head is larger than 32 KiB";

/// Parses a complete head of an answer to a request; `to_head` when that was HEAD.
pub fn parse<'b: 's, 's>(bytes: &'b [u8], to_head: bool, fields: &'s mut Fields<'b>) -> Result<Response<'s>, Fault> {
    let mut headers = [const { std::mem::MaybeUninit::<Header<'b>>::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_response_with_uninit_headers(&mut parsed, bytes, &mut headers)
        .map_err(|error| Fault::target(named(error)))?;
    let (Some(code), Some(minor)) = (parsed.code, parsed.version) else {
        return Err(Fault::target("the answer's status line is incomplete"));
    };
    if status != Status::Complete(bytes.len()) {
        return Err(Fault::target("the answer's head ends where it should not"));
    }
    if !(100..=599).contains(&code) {
        return Err(Fault::target("the answer's status is not between 100 and 599"));
    }
    for header in parsed.headers.iter() {
        let field = Field { name: header.name, value: header.value };
        fields.try_push(field).map_err(|_| Fault::target("the answer has more than 100 headers"))?;
    }
    interpret(code, Version::from_minor(minor), to_head, fields)
}

fn named(error: httparse::Error) -> &'static str {
    use httparse::Error;
    match error {
        Error::TooManyHeaders => "the answer has more than 100 headers",
        Error::HeaderName => {
            "the answer's head is malformed: a header name is empty, folded, or holds a blank or another odd byte"
        }
        Error::HeaderValue => "the answer's head is malformed: a header value holds a control character",
        Error::NewLine => "the answer's head is malformed: a line end is not CRLF",
        Error::Status => "the answer's head is malformed: the status is not three digits and a reason",
        Error::Version | Error::Token => {
            "the answer's head is malformed: it does not begin with `HTTP/1.1` or `HTTP/1.0`"
        }
    }
}

fn interpret<'s>(status: u16, version: Version, to_head: bool, fields: &'s [Field<'s>]) -> Result<Response<'s>, Fault> {
    let mut lengths: ArrayVec<&[u8], 1> = ArrayVec::new();
    let mut codings: ArrayVec<&[u8], 1> = ArrayVec::new();
    let mut connection = Connection::default();
    for field in fields {
        match field.name.len() {
            14 if field.is("content-length") => lengths
                .try_push(field.value)
                .map_err(|_| Fault::target("the answer has several `Content-Length` headers"))?,
            17 if field.is("transfer-encoding") => codings
                .try_push(field.value)
                .map_err(|_| Fault::target("the answer has several `Transfer-Encoding` headers"))?,
            10 if field.is("connection") => {
                connection.note(field.value).map_err(|_| Fault::target("the answer's `Connection` header is odd"))?;
            }
            _ => {}
        }
    }
    let (length, coding) = (lengths.first().copied(), codings.first().copied());
    let framing = response_framing(version, status, to_head, length, coding)?;
    let persistent = match version {
        Version::Http11 => !connection.close,
        Version::Http10 => connection.keep_alive && !connection.close,
    };
    Ok(Response {
        status,
        framing,
        declared_length: length.and_then(super::framing::digits),
        fields,
        connection,
        reusable: persistent && framing != Framing::UntilClose,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict<T>(text: &str, to_head: bool, look: impl FnOnce(&Response<'_>) -> T) -> Result<T, Fault> {
        match extent(text.as_bytes(), &mut 0)? {
            Extent::Complete(length) => {
                let mut fields = Fields::new();
                parse(&text.as_bytes()[..length], to_head, &mut fields).map(|response| look(&response))
            }
            Extent::Partial => Err(Fault::target("partial")),
        }
    }

    #[test]
    fn a_plain_answer_is_read_as_sent() {
        let text = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: x\r\n\r\nok";
        let look = |r: &Response<'_>| (r.status, r.framing, r.reusable, r.fields.len());
        assert_eq!(verdict(text, false, look), Ok((200, Framing::Length(2), true, 2)));
        assert_eq!(verdict(text, true, look), Ok((200, Framing::Empty, true, 2)));
        assert_eq!(verdict(text, true, |r| r.declared_length), Ok(Some(2)));
    }

    #[test]
    fn an_answer_that_ends_with_the_connection_does_not_leave_it_reusable() {
        for text in
            ["HTTP/1.0 200 OK\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n", "HTTP/1.1 204 x\r\nConnection: close\r\n\r\n"]
        {
            assert_eq!(verdict(text, false, |r| r.reusable), Ok(false), "{text}");
        }
        assert_eq!(verdict("HTTP/1.0 204 x\r\nConnection: keep-alive\r\n\r\n", false, |r| r.reusable), Ok(true));
    }

    #[test]
    fn answers_that_can_be_read_two_ways_are_refused() {
        for bad in [
            "HTTP/1.1 200 OK\nContent-Length: 2\n\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n",
            "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 999 x\r\n\r\n",
            "HTTP/1.1 99 x\r\n\r\n",
            "ICY 200 OK\r\n\r\n",
            "\r\nHTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert!(verdict(bad, false, |_| ()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_head_is_named() {
        let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(FIELDS_MAX + 1));
        for (bad, why) in [
            (many.as_str(), "more than 100 headers"),
            ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", "a header name"),
            ("HTTP/1.1 200 OK\r\nA: \u{1}\r\n\r\n", "a control character"),
            ("HTTP/1.1 2x0 OK\r\n\r\n", "three digits"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "does not begin with"),
            ("HTTP/1.1 200 OK\nA: b\n\n", "LF without CR"),
        ] {
            let fault = verdict(bad, false, |_| ()).unwrap_err();
            assert!(fault.detail.contains(why), "{bad:?}: {}", fault.detail);
        }
    }

    #[test]
    fn a_head_over_32_kib_is_refused_whether_it_is_complete_or_not() {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nA: {}\r\n\r\n", "a".repeat(40 << 10));
        assert!(verdict(&text, false, |_| ()).is_err());
        assert!(extent(&text.as_bytes()[..33 << 10], &mut 0).is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_the_parser_panic(tail in "[ -~\\r\\n]{0,200}") {
            let _ = verdict(&format!("HTTP/1.1 {tail}\r\n\r\n"), false, |_| ());
        }
    }
}
