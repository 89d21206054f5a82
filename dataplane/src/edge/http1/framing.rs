//! RFC 9112 section 6: how long a body is, for requests and for responses.
//!
//! One length field, or one `Transfer-Encoding: chunked`, never both: smuggling lives where two hops choose differently.

use super::connection::Version;
use super::fault::Fault;

/// How long a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    Empty,
    /// This many bytes.
    Length(u64),
    /// Until the zero chunk.
    Chunked,
    /// Until the connection closes; responses only.
    UntilClose,
}

impl Framing {
    /// Whether bytes of a body follow.
    pub fn has_content(self) -> bool {
        match self {
            Framing::Empty | Framing::Length(0) => false,
            Framing::Length(_) | Framing::Chunked | Framing::UntilClose => true,
        }
    }

    /// The length, where it is known beforehand.
    pub fn length(self) -> Option<u64> {
        match self {
            Framing::Empty => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked | Framing::UntilClose => None,
        }
    }
}

/// The framing of a request (section 6.3).
pub fn request_framing(
    version: Version,
    content_length: Option<&[u8]>,
    transfer_encoding: Option<&[u8]>,
) -> Result<Framing, Fault> {
    match (content_length, transfer_encoding) {
        (None, None) => Ok(Framing::Empty),
        (Some(value), None) => digits(value)
            .map(Framing::Length)
            .ok_or(Fault::malformed("`Content-Length` is not one decimal number below 2^63")),
        (None, Some(value)) => match (version, value.eq_ignore_ascii_case(b"chunked")) {
            (Version::Http11, true) => Ok(Framing::Chunked),
            (Version::Http11, false) => Err(Fault::malformed("`Transfer-Encoding` is not exactly `chunked`")),
            (Version::Http10, _) => Err(Fault::malformed("`Transfer-Encoding` in an HTTP/1.0 request")),
        },
        (Some(_), Some(_)) => Err(Fault::malformed("`Content-Length` together with `Transfer-Encoding`")),
    }
}

/// The framing of a response (section 6.3) to a request; `to_head` when that was HEAD.
pub fn response_framing(
    version: Version,
    status: u16,
    to_head: bool,
    content_length: Option<&[u8]>,
    transfer_encoding: Option<&[u8]>,
) -> Result<Framing, Fault> {
    let framing = match (content_length, transfer_encoding) {
        (None, None) => Framing::UntilClose,
        (Some(value), None) => {
            Framing::Length(digits(value).ok_or(Fault::target("the response's `Content-Length` is not a number"))?)
        }
        (None, Some(value)) if version == Version::Http11 && value.eq_ignore_ascii_case(b"chunked") => Framing::Chunked,
        (None, Some(_)) => return Err(Fault::target("the response's `Transfer-Encoding` is not exactly `chunked`")),
        (Some(_), Some(_)) => {
            return Err(Fault::target("the response has `Content-Length` together with `Transfer-Encoding`"));
        }
    };
    let bodiless = to_head || matches!(status, 100..=199 | 204 | 304);
    Ok(if bodiless { Framing::Empty } else { framing })
}

/// A number of 1 to 19 digits, without sign, blank or list; below 2^63 so that sums of two cannot overflow.
pub fn digits(value: &[u8]) -> Option<u64> {
    if value.is_empty() || value.len() > 19 || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number =
        value.iter().try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))?;
    (number < 1 << 63).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_one_plain_number() {
        assert_eq!(digits(b"0"), Some(0));
        assert_eq!(digits(b"0042"), Some(42));
        assert_eq!(digits(b"9223372036854775807"), Some(u64::MAX >> 1));
        for bad in ["", "+1", "-1", "1,1", "1 1", " 1", "0x1", "9223372036854775808", "99999999999999999999", "1\0"] {
            assert_eq!(digits(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_request_with_two_ways_to_find_its_end_is_refused() {
        use Version::{Http10, Http11};
        assert_eq!(request_framing(Http11, None, None), Ok(Framing::Empty));
        assert_eq!(request_framing(Http11, None, Some(b"Chunked")), Ok(Framing::Chunked));
        assert!(request_framing(Http11, Some(b"3"), Some(b"chunked")).is_err());
        assert!(request_framing(Http10, None, Some(b"chunked")).is_err());
        for bad in ["gzip, chunked", "chunked, chunked", "xchunked", "chunked ", "identity", "", "chunked;q=1"] {
            assert!(request_framing(Http11, None, Some(bad.as_bytes())).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn answers_without_a_body_have_none_whatever_their_fields_say() {
        use Version::{Http10, Http11};
        assert_eq!(response_framing(Http11, 200, true, Some(b"9"), None), Ok(Framing::Empty));
        assert_eq!(response_framing(Http11, 304, false, Some(b"9"), None), Ok(Framing::Empty));
        assert_eq!(response_framing(Http11, 204, false, None, None), Ok(Framing::Empty));
        assert_eq!(response_framing(Http10, 200, false, None, None), Ok(Framing::UntilClose));
        assert_eq!(response_framing(Http11, 200, false, None, Some(b"chunked")), Ok(Framing::Chunked));
        assert!(response_framing(Http11, 200, false, Some(b"1"), Some(b"chunked")).is_err());
        assert!(response_framing(Http10, 200, false, None, Some(b"chunked")).is_err());
        assert!(response_framing(Http11, 304, false, Some(b"x"), None).is_err());
    }
}
