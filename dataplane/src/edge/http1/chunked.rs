//! RFC 9112 section 7.1: the chunked coding, decoded strictly.
//!
//! The decoder holds no bytes: it looks at the front of what was read and says how much of it is framing, content or
//! trailer. A size line or a trailer section is judged only when all of it is there; both are bounded.

use lgsp_shared::field_name::{is_hop_by_hop, is_same, starts_with};

use super::fault::Fault;

/// The longest chunk size line, extensions and CRLF included.
pub const SIZE_LINE_BYTES_MAX: usize = 256;
/// The longest trailer section; held in the read buffer until it is complete.
pub const TRAILER_BYTES_MAX: usize = 4 << 10;
/// The most hexadecimal digits in a chunk size.
const SIZE_DIGITS_MAX: usize = 16;

/// Where in the coding the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Size,
    Content(u64),
    ContentEnd,
    Trailers,
    Done,
}

/// A decoder at the start of a chunked body.
#[derive(Debug, Clone, Copy)]
pub struct Decoder {
    at: At,
}

/// What the front of the input is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Framing to be dropped.
    Framing(usize),
    /// Content of this many bytes, at least one.
    Content(usize),
    /// Not enough bytes to say.
    More,
    /// The trailer section with its empty line, of this many bytes. The body is complete.
    End(usize),
}

impl Default for Decoder {
    fn default() -> Self {
        Self { at: At::Size }
    }
}

impl Decoder {
    /// Looks at the front of `input`. The caller takes away what the answer names before it asks again.
    pub fn step(&mut self, input: &[u8]) -> Result<Step, Fault> {
        match self.at {
            At::Size => self.size_line(input),
            At::Content(_) if input.is_empty() => Ok(Step::More),
            At::Content(left) => {
                let here = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                let left = left - here as u64;
                self.at = if left == 0 { At::ContentEnd } else { At::Content(left) };
                Ok(Step::Content(here))
            }
            At::ContentEnd => match input {
                [b'\r', b'\n', ..] => {
                    self.at = At::Size;
                    Ok(Step::Framing(2))
                }
                [] | [b'\r'] => Ok(Step::More),
                _ => Err(Fault::body("a chunk is not followed by CRLF")),
            },
            At::Trailers => self.trailers(input),
            At::Done => Ok(Step::End(0)),
        }
    }

    fn size_line(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let window = input.get(..SIZE_LINE_BYTES_MAX).unwrap_or(input);
        let Some(end) = memchr::memchr(b'\n', window) else {
            let endless = window.len() == SIZE_LINE_BYTES_MAX;
            return if endless { Err(Fault::body("a chunk size line is too long")) } else { Ok(Step::More) };
        };
        let Some([line @ .., b'\r']) = window.get(..end) else {
            return Err(Fault::body("a chunk size line does not end in CRLF"));
        };
        let size = chunk_size(line)?;
        self.at = if size == 0 { At::Trailers } else { At::Content(size) };
        Ok(Step::Framing(end + 1))
    }

    fn trailers(&mut self, input: &[u8]) -> Result<Step, Fault> {
        let mut line_start = 0;
        for end in memchr::memchr_iter(b'\n', input) {
            match input.get(line_start..end) {
                Some([b'\r']) if end < TRAILER_BYTES_MAX => {
                    self.at = At::Done;
                    return Ok(Step::End(end + 1));
                }
                Some([.., b'\r']) => line_start = end + 1,
                Some(_) | None => return Err(Fault::body("a trailer line does not end in CRLF")),
            }
        }
        if input.len() >= TRAILER_BYTES_MAX { Err(Fault::body("the trailers are too large")) } else { Ok(Step::More) }
    }
}

fn chunk_size(line: &[u8]) -> Result<u64, Fault> {
    let (digits, extension) = match memchr::memchr(b';', line) {
        Some(at) => line.split_at(at),
        None => (line, &[][..]),
    };
    if digits.is_empty() || digits.len() > SIZE_DIGITS_MAX {
        return Err(Fault::body("a chunk size is not 1 to 16 hexadecimal digits"));
    }
    if extension.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Fault::body("a chunk extension holds a control character"));
    }
    let value = |digit: &u8| char::from(*digit).to_digit(16).map(u64::from);
    let size = digits.iter().try_fold(0_u64, |sum, digit| Some(sum << 4 | value(digit)?));
    size.ok_or(Fault::body("a chunk size is not hexadecimal"))
}

/// Appends a chunk size line.
pub fn write_size(out: &mut Vec<u8>, length: usize) {
    use std::io::Write as _;
    // Writing to a vector cannot fail.
    let _ = write!(out, "{length:x}\r\n");
}

/// Appends the trailer fields that `passes` lets through and that may trail at all, each as a line; `section` is what [`Step::End`] measured.
///
/// Trailers are outside every signature, so those that could change what the head said (RFC 9110 section 6.5.1) or that
/// speak with the platform's voice end here.
pub fn copy_trailers(section: &[u8], passes: impl Fn(&str) -> bool, out: &mut Vec<u8>) -> Result<(), Fault> {
    const TRAILERS_MAX: usize = 32;
    let mut headers = [httparse::EMPTY_HEADER; TRAILERS_MAX];
    let parsed = httparse::parse_headers(section, &mut headers).map_err(|_| Fault::body("a trailer is malformed"))?;
    let httparse::Status::Complete((_, trailers)) = parsed else {
        return Err(Fault::body("a trailer is malformed"));
    };
    for trailer in trailers.iter().filter(|trailer| may_trail(trailer.name) && passes(trailer.name)) {
        out.extend_from_slice(trailer.name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(trailer.value);
        out.extend_from_slice(b"\r\n");
    }
    Ok(())
}

fn may_trail(name: &str) -> bool {
    const NOT: [&str; 16] = [
        "age",
        "authorization",
        "cache-control",
        "cookie",
        "date",
        "expect",
        "expires",
        "forwarded",
        "host",
        "location",
        "range",
        "set-cookie",
        "signature",
        "signature-input",
        "traceparent",
        "www-authenticate",
    ];
    const NOT_PREFIXES: [&str; 5] = ["lgsp-", "x-amz-", "x-forwarded-", "content-", "if-"];
    let starts = |prefix: &&str| starts_with(name, prefix);
    !(is_hop_by_hop(name) || NOT.iter().any(|not| is_same(name, not)) || NOT_PREFIXES.iter().any(starts))
}

#[cfg(test)]
#[path = "chunked/tests.rs"]
mod tests;
