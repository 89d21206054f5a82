//! Reading one answer: head, framing, body (RFC 9112). The body is counted, never kept, but for the beginning of a
//! refusal, which says why.

use std::time::Instant;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Read at a time.
const READ_BYTES: usize = 8 << 10;
/// Read at a time when the answer is long.
const READ_BYTES_LONG: usize = 256 << 10;
/// The largest head.
const HEAD_BYTES_MAX: usize = 64 << 10;
const FIELDS_MAX: usize = 96;
/// The beginning of a refusal, which is read for its `code`, or of what was created, which may be a session.
const KEPT_BYTES_MAX: usize = 16 << 10;
/// The longest `code` that is believed.
const CODE_BYTES_MAX: usize = 64;
/// The longest line of a chunk's size or of a trailer.
const LINE_BYTES_MAX: usize = 8 << 10;

/// An answer that came whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// The `code` of a problem document.
    pub(super) code: Option<String>,
    /// What was created, when it is JSON (201).
    pub(super) created: Option<Vec<u8>>,
    /// Bytes of body.
    pub(super) bytes: u64,
    pub(super) first_byte: Instant,
    pub(super) whole: Instant,
    /// Whether the connection can be used again.
    pub(super) keep: bool,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Fault {
    Connect,
    Io,
    /// Closed before the first byte of an answer.
    Closed,
    /// Closed within the answer.
    Cut,
    /// Not HTTP/1.1.
    Malformed,
    Timeout,
}

impl Fault {
    /// The name under which it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Fault::Connect => "no connection",
            Fault::Io => "connection failed",
            Fault::Closed => "closed without an answer",
            Fault::Cut => "answer cut short",
            Fault::Malformed => "answer is not HTTP/1.1",
            Fault::Timeout => "timeout",
        }
    }
}

enum Framing {
    Empty,
    Length(u64),
    Chunked,
    UntilClose,
}

struct Head {
    status: u16,
    framing: Framing,
    keep: bool,
    is_problem: bool,
    is_created: bool,
}

/// Reads from one connection; `input` holds what was read beyond the last answer.
pub(super) struct Reader<'c, S> {
    pub(super) source: &'c mut S,
    pub(super) input: &'c mut BytesMut,
    pub(super) is_head: bool,
}

/// What is kept of a body.
struct Body {
    bytes: u64,
    kept: Option<Vec<u8>>,
}

impl Body {
    fn take(&mut self, input: &mut BytesMut, count: usize) {
        if let Some(kept) = &mut self.kept {
            let room = KEPT_BYTES_MAX.saturating_sub(kept.len()).min(count);
            kept.extend_from_slice(input.get(..room).unwrap_or_default());
        }
        self.bytes += count as u64;
        input.advance(count);
    }
}

impl<S: AsyncRead + Unpin> Reader<'_, S> {
    /// The next final answer.
    pub(super) async fn answer(&mut self) -> Result<Answer, Fault> {
        let mut first_byte = None;
        let head = loop {
            if !self.input.is_empty() {
                first_byte.get_or_insert_with(Instant::now);
                match parse(self.input, self.is_head)? {
                    Some((head, length)) => {
                        self.input.advance(length);
                        // Interim answers are passed over (RFC 9110 section 15.2).
                        if head.status >= 200 {
                            break head;
                        }
                        continue;
                    }
                    None if self.input.len() > HEAD_BYTES_MAX => return Err(Fault::Malformed),
                    None => {}
                }
            }
            if self.fill(READ_BYTES).await? == 0 {
                return Err(if first_byte.is_some() { Fault::Cut } else { Fault::Closed });
            }
        };
        let mut body = Body { bytes: 0, kept: (head.is_problem || head.is_created).then(Vec::new) };
        match head.framing {
            Framing::Empty => {}
            Framing::Length(length) => self.by_length(length, &mut body).await?,
            Framing::Chunked => self.by_chunks(&mut body).await?,
            Framing::UntilClose => while self.some(u64::MAX, &mut body).await? > 0 {},
        }
        let whole = Instant::now();
        let code = body.kept.as_deref().filter(|_| head.is_problem).and_then(code);
        let created = body.kept.filter(|_| head.is_created);
        let first_byte = first_byte.unwrap_or(whole);
        Ok(Answer { status: head.status, code, created, bytes: body.bytes, first_byte, whole, keep: head.keep })
    }

    async fn fill(&mut self, bytes: usize) -> Result<usize, Fault> {
        self.input.reserve(bytes);
        self.source.read_buf(self.input).await.map_err(|_| Fault::Io)
    }

    /// Takes what there is, at most `wanted`; 0 at the end of the stream.
    async fn some(&mut self, wanted: u64, body: &mut Body) -> Result<u64, Fault> {
        if self.input.is_empty() {
            let at_once = if wanted > READ_BYTES as u64 { READ_BYTES_LONG } else { READ_BYTES };
            if self.fill(at_once).await? == 0 {
                return Ok(0);
            }
        }
        let count = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.input.len());
        body.take(self.input, count);
        Ok(count as u64)
    }

    async fn by_length(&mut self, length: u64, body: &mut Body) -> Result<(), Fault> {
        let mut left = length;
        while left > 0 {
            match self.some(left, body).await? {
                0 => return Err(Fault::Cut),
                taken => left -= taken,
            }
        }
        Ok(())
    }

    /// RFC 9112 section 7.1.
    async fn by_chunks(&mut self, body: &mut Body) -> Result<(), Fault> {
        loop {
            let line = self.line().await?;
            let digits = line.as_ref().split(|byte: &u8| *byte == b';').next().unwrap_or_default().trim_ascii();
            let size = std::str::from_utf8(digits).ok().and_then(|digits| u64::from_str_radix(digits, 16).ok());
            match size.ok_or(Fault::Malformed)? {
                0 => break,
                size => self.by_length(size, body).await?,
            }
            if !self.line().await?.is_empty() {
                return Err(Fault::Malformed);
            }
        }
        while !self.line().await?.is_empty() {}
        Ok(())
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<BytesMut, Fault> {
        loop {
            if let Some(end) = memchr::memchr(b'\n', self.input) {
                let mut line = self.input.split_to(end + 1);
                line.truncate(end);
                if line.last() == Some(&b'\r') {
                    line.truncate(end - 1);
                }
                return Ok(line);
            }
            if self.input.len() > LINE_BYTES_MAX {
                return Err(Fault::Malformed);
            }
            if self.fill(READ_BYTES).await? == 0 {
                return Err(Fault::Cut);
            }
        }
    }
}

/// One head and its length in bytes; `None` while more is needed.
fn parse(input: &[u8], is_head: bool) -> Result<Option<(Head, usize)>, Fault> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let mut parsed = httparse::Response::new(&mut fields);
    let length = match parsed.parse(input).map_err(|_| Fault::Malformed)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial => return Ok(None),
    };
    let (status, version) = (parsed.code.unwrap_or_default(), parsed.version.unwrap_or_default());
    let mut keep = version == 1;
    let mut framing = Framing::UntilClose;
    let (mut is_problem, mut is_created) = (false, false);
    for field in parsed.headers.iter() {
        let value = field.value.trim_ascii();
        if field.name.eq_ignore_ascii_case("content-length") && !matches!(framing, Framing::Chunked) {
            let length = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
            framing = Framing::Length(length.ok_or(Fault::Malformed)?);
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            framing =
                if value.eq_ignore_ascii_case(b"chunked") { Framing::Chunked } else { return Err(Fault::Malformed) };
        } else if field.name.eq_ignore_ascii_case("connection") {
            keep = keep && !value.eq_ignore_ascii_case(b"close");
        } else if field.name.eq_ignore_ascii_case("content-type") {
            is_problem = value.starts_with(b"application/problem+json");
            is_created = status == 201 && value.starts_with(b"application/json");
        }
    }
    if is_head || matches!(status, 100..200 | 204 | 304) {
        framing = Framing::Empty;
    }
    keep = keep && !matches!(framing, Framing::UntilClose);
    Ok(Some((Head { status, framing, keep, is_problem, is_created }, length)))
}

/// The `code` of a problem document, if it is one of a reasonable form.
fn code(refusal: &[u8]) -> Option<String> {
    let problem: serde_json::Value = serde_json::from_slice(refusal).ok()?;
    let code = problem.get("code")?.as_str()?;
    let is_plain = code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    (is_plain && (1..=CODE_BYTES_MAX).contains(&code.len())).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(text: &str) -> Vec<Result<(u16, Option<String>, u64, bool), &'static str>> {
        let (mut source, mut input, mut found) = (text.as_bytes(), BytesMut::new(), Vec::new());
        loop {
            let mut reader = Reader { source: &mut source, input: &mut input, is_head: false };
            match reader.answer().await {
                Ok(Answer { status, code, bytes, keep, .. }) => found.push(Ok((status, code, bytes, keep))),
                Err(Fault::Closed) => return found,
                Err(fault) => {
                    found.push(Err(fault.label()));
                    return found;
                }
            }
        }
    }

    #[tokio::test]
    async fn answers_follow_each_other_whatever_their_framing() {
        let found = read(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc\
             HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\nA\r\n0123456789\r\n0\r\nx: y\r\n\r\n\
             HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\nconnection: close\r\n\r\nrest",
        )
        .await;
        assert_eq!(
            found,
            [Ok((200, None, 3, true)), Ok((200, None, 13, true)), Ok((204, None, 0, true)), Ok((200, None, 4, false))]
        );
    }

    #[tokio::test]
    async fn a_refusal_says_why() {
        let problem = r#"{"code":"replayed","title":"x"}"#;
        let head = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/problem+json\r\ncontent-length: ";
        let found = read(&format!("{head}{}\r\n\r\n{problem}", problem.len())).await;
        assert_eq!(found, [Ok((401, Some("replayed".into()), problem.len() as u64, true))]);
    }

    #[tokio::test]
    async fn what_is_cut_or_not_http_is_told_apart() {
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab").await, [Err("answer cut short")]);
        assert_eq!(
            read("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await,
            [Err("answer is not HTTP/1.1")]
        );
        assert_eq!(read("HTTP/1.1 200").await, [Err("answer cut short")]);
        assert_eq!(read("SSH-2.0-x\r\n\r\n").await, [Err("answer is not HTTP/1.1")]);
    }
}
