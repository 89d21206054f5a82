//! RFC 9112 sections 2, 3 and 5: finds the end of a request head and parses it into borrowed views.
//!
//! Whatever two recipients could read differently is refused, never repaired. Allocates nothing; one pass over the
//! bytes for line ends, one by `httparse`, one over the fields.

use arrayvec::ArrayVec;
use httparse::{Error, Header, Status};
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::refusal::Code;

use super::connection::{Connection, Version};
use super::fault::Fault;
use super::framing::{Framing, request_framing};
use super::target::{self, Target};

/// The longest field section (section 5), in bytes; held per request while its head arrives.
pub const HEADER_LIST_BYTES_MAX: usize = 32 << 10;
/// The longest request target, in bytes.
pub const TARGET_BYTES_MAX: usize = 8 << 10;
/// The most fields in one head; 3.2 KiB of stack while a head is parsed.
pub const FIELDS_MAX: usize = 100;
/// The longest method name.
const METHOD_BYTES_MAX: usize = 32;
/// Method, version, blanks and line ends around the target in a request line.
const LINE_SLACK_BYTES: usize = METHOD_BYTES_MAX + 16;

/// The fields of one head, on the stack.
pub type Fields<'a> = ArrayVec<Field<'a>, FIELDS_MAX>;

/// A request head that means one thing.
#[derive(Debug)]
pub struct Request<'a> {
    /// What admission decides on.
    pub head: RequestHead<'a>,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// How long the body is.
    pub framing: Framing,
    /// What `Connection` says.
    pub connection: Connection<'a>,
    /// Whether the caller waits for `100 Continue` before it sends its body.
    pub expects_continue: bool,
    /// Whether it asks to leave HTTP/1.1 (`Upgrade`).
    pub upgrade: bool,
}

/// What a growing head turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// More bytes are needed.
    Partial,
    /// The head is this many bytes long, its empty line included.
    Complete(usize),
}

/// Looks for the end of a head that starts at `input[0]`. `scanned` remembers how far earlier calls came, so that a
/// head that arrives byte by byte is read once. Section 2.2 lets a recipient take a lone LF for a line end; here it is
/// refused, because a neighbour may not take it so.
pub fn extent(input: &[u8], scanned: &mut usize) -> Result<Extent, Fault> {
    let mut line_start = *scanned;
    let fresh = input.get(line_start..).unwrap_or_default();
    for offset in memchr::memchr_iter(b'\n', fresh) {
        let end = *scanned + offset;
        let line = input.get(line_start..end).unwrap_or_default();
        match line {
            [b'\r'] => return Ok(Extent::Complete(end + 1)),
            [.., b'\r'] => line_start = end + 1,
            _ => return Err(Fault::malformed("a line ends in LF without CR")),
        }
    }
    *scanned = line_start;
    too_large_so_far(input)?;
    Ok(Extent::Partial)
}

fn too_large_so_far(input: &[u8]) -> Result<(), Fault> {
    match memchr::memchr(b'\n', input) {
        None if input.len() > TARGET_BYTES_MAX + LINE_SLACK_BYTES => Err(PATH_TOO_LONG),
        Some(line) if input.len() - line > HEADER_LIST_BYTES_MAX => Err(HEADER_TOO_LARGE),
        None | Some(_) => Ok(()),
    }
}

const PATH_TOO_LONG: Fault = Fault { code: Code::PathTooLong, detail: "the request target is longer than 8 KiB" };
const HEADER_TOO_LARGE: Fault = Fault { code: Code::HeaderTooLarge, detail: "the header is larger than 32 KiB" };
pub(crate) const TOO_MANY_FIELDS: Fault =
    Fault { code: Code::HeaderTooLarge, detail: "the request has more than 100 headers" };

/// Parses a complete head, as measured by [`extent`].
pub fn parse<'b: 's, 's>(bytes: &'b [u8], scheme: Scheme, fields: &'s mut Fields<'b>) -> Result<Request<'s>, Fault> {
    let mut headers = [const { std::mem::MaybeUninit::<Header<'b>>::uninit() }; FIELDS_MAX];
    let mut parsed = httparse::Request::new(&mut []);
    let status = httparse::ParserConfig::default()
        .parse_request_with_uninit_headers(&mut parsed, bytes, &mut headers)
        .map_err(|error| named(error, bytes))?;
    let (Some(method), Some(path), Some(minor)) = (parsed.method, parsed.path, parsed.version) else {
        return Err(Fault::malformed("the request line is incomplete"));
    };
    if status != Status::Complete(bytes.len()) {
        return Err(Fault::malformed("the header ends where it should not"));
    }
    let section = bytes.len().saturating_sub(method.len() + path.len() + " HTTP/1.1\r\n".len());
    if section > HEADER_LIST_BYTES_MAX {
        return Err(HEADER_TOO_LARGE);
    }
    for header in parsed.headers.iter() {
        fields.try_push(Field { name: header.name, value: header.value }).map_err(|_| TOO_MANY_FIELDS)?;
    }
    let (path, authority) = target::without_authority(path);
    let request = interpret(method, path, Version::from_minor(minor), scheme, fields)?;
    // Section 3.2.2 gives the target's authority the say; one that differs from `Host` could be read either way.
    match authority {
        Some(authority) if !authority.eq_ignore_ascii_case(request.head.authority) => {
            Err(Fault::malformed("the target and `Host` name different hosts"))
        }
        Some(_) | None => Ok(request),
    }
}

/// What method, target and fields mean together; both faces ask this.
pub(crate) fn interpret<'s>(
    method: &'s str,
    path: &'s str,
    version: Version,
    scheme: Scheme,
    fields: &'s [Field<'s>],
) -> Result<Request<'s>, Fault> {
    check_method(method)?;
    if path.len() > TARGET_BYTES_MAX {
        return Err(PATH_TOO_LONG);
    }
    let Target { path, query } = target::parse(method, path)?;
    let mut seen = Seen::default();
    for field in fields {
        seen.note(field)?;
    }
    let authority = seen.host.ok_or(Fault::malformed("the `Host` header is missing"))?;
    let framing = request_framing(version, seen.content_length, seen.transfer_encoding)?;
    if method == "TRACE" && framing != Framing::Empty {
        return Err(Fault::malformed("a TRACE request has no body (RFC 9110 section 9.3.8)"));
    }
    let head = RequestHead { method, scheme, authority, path, query, fields };
    // Also for an empty body: RFC 9110 section 10.1.1 lets a server leave it out there, and botocore then waits for it.
    let expects_continue = seen.expects_continue && version == Version::Http11;
    let Seen { connection, upgrade, .. } = seen;
    // Without the `upgrade` option the `Upgrade` field is a leftover of another hop (RFC 9110 section 7.8).
    let upgrade = upgrade && connection.upgrade && version == Version::Http11;
    Ok(Request { head, version, framing, connection, expects_continue, upgrade })
}

/// Methods are case-sensitive (RFC 9110 section 9.1): `get` is not `GET`, and no target should have to decide.
fn check_method(method: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    if method.len() > METHOD_BYTES_MAX || !method.bytes().all(plain) {
        return Err(Fault::malformed("the method is not an upper-case name of at most 32 letters"));
    }
    if method == "CONNECT" {
        return Err(Fault { code: Code::MethodNotAllowed, detail: "this node opens no tunnels (CONNECT)" });
    }
    Ok(())
}

#[derive(Default)]
struct Seen<'a> {
    host: Option<&'a str>,
    content_length: Option<&'a [u8]>,
    transfer_encoding: Option<&'a [u8]>,
    connection: Connection<'a>,
    expects_continue: bool,
    upgrade: bool,
}

impl<'a> Seen<'a> {
    fn note(&mut self, field: &'a Field<'a>) -> Result<(), Fault> {
        // Most fields differ already in length; only the named ones are compared.
        match field.name.len() {
            4 if field.is("host") => once(&mut self.host, target::host(field.value)?, "`Host` appears more than once"),
            14 if field.is("content-length") => {
                once(&mut self.content_length, field.value, "`Content-Length` appears more than once")
            }
            17 if field.is("transfer-encoding") => {
                once(&mut self.transfer_encoding, field.value, "`Transfer-Encoding` appears more than once")
            }
            10 if field.is("connection") => self.connection.note(field.value),
            6 if field.is("expect") => {
                self.expects_continue = field.value.eq_ignore_ascii_case(b"100-continue");
                let detail = "`Expect` holds something other than `100-continue`";
                if self.expects_continue { Ok(()) } else { Err(Fault { code: Code::ExpectationFailed, detail }) }
            }
            7 if field.is("upgrade") => {
                self.upgrade = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

fn once<T>(slot: &mut Option<T>, value: T, detail: &'static str) -> Result<(), Fault> {
    if slot.replace(value).is_some() { Err(Fault::malformed(detail)) } else { Ok(()) }
}

fn named(error: Error, bytes: &[u8]) -> Fault {
    match error {
        Error::HeaderName => Fault::malformed("a header name is empty, folded, or holds a blank or another odd byte"),
        Error::HeaderValue => Fault::malformed("a header value holds a control character"),
        Error::NewLine => Fault::malformed("a line end is not CRLF"),
        Error::Token => Fault::malformed("the request line holds an odd byte or too many blanks"),
        Error::Status => Fault::malformed("the request line is not one"),
        Error::TooManyHeaders => TOO_MANY_FIELDS,
        Error::Version => {
            let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
            let mut words = line.split(|byte| *byte == b' ').skip(2);
            let spoken: &[&[u8]] = &[b"HTTP/1.0", b"HTTP/1.1"];
            let other = matches!((words.next(), words.next()), (Some(version @ [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', ..]), None)
                if !spoken.contains(&version));
            let code = if other { Code::VersionUnsupported } else { Code::RequestMalformed };
            Fault { code, detail: "the request line does not end in `HTTP/1.1` or `HTTP/1.0`" }
        }
    }
}

#[cfg(test)]
#[path = "head/tests.rs"]
mod tests;
