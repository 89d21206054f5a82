//! Targets that two readers could understand differently are refused, before anything is signed or verified.
//!
//! What a gateway matches, what a client signed and what a target's framework opens must be one thing: empty and dot
//! segments, encoded slashes, backslashes and control bytes are where they part (RFC 3986 sections 3.3 and 6.2.2).

use serde::{Deserialize, Serialize};

use super::hex;

/// Why a target is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Not `/…`.
    #[error("the path does not start with `/`: send the target in origin form")]
    NotAbsolute,
    /// A byte that has to be percent-encoded.
    #[error("the target holds the byte 0x{0:02x}: percent-encode it")]
    IllegalByte(u8),
    /// `%` without two hexadecimal digits.
    #[error("the target holds a `%` that is not followed by two hexadecimal digits")]
    BadEscape,
    /// An escape whose decoding changes what the path is.
    #[error("the target holds the escape `%{0:02x}`, which readers understand differently")]
    ForbiddenEscape(u8),
    /// `//`.
    #[error("the path holds an empty segment (`//`)")]
    EmptySegment,
    /// `/./` or `/../`, plain, encoded, or before a `;`.
    #[error("the path holds a dot segment (`.` or `..`): send the resolved path")]
    DotSegment,
}

/// What an escaped `/` in a path is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EncodedSlash {
    /// A reason to refuse the target: its readers disagree about it.
    #[default]
    Refuse,
    /// Data within its segment.
    Data,
}

/// Refuses a target that has more than one reading.
pub fn check_target(path: &str, query: Option<&str>) -> Result<(), TargetError> {
    check_target_with(path, query, EncodedSlash::Refuse)
}

/// The same, where an escaped `/` may be data. Even then none may separate what would be an empty or a dot segment.
pub(super) fn check_target_with(path: &str, query: Option<&str>, slash: EncodedSlash) -> Result<(), TargetError> {
    let segments = path.strip_prefix('/').ok_or(TargetError::NotAbsolute)?;
    let mut encoded_slash = false;
    check_bytes(path, is_path_byte, |decoded| {
        let taken = slash == EncodedSlash::Data && decoded == b'/';
        encoded_slash |= taken;
        !taken && matches!(decoded, b'/' | b'\\' | 0x00..=0x1f | 0x7f)
    })?;
    if encoded_slash || may_have_odd_segments(path) {
        check_segments(segments)?;
    }
    check_bytes(query.unwrap_or_default(), is_query_byte, |decoded| decoded == 0)
}

/// Whether a segment begins as an empty one or a dot segment does, which nearly none does: it saves the closer look.
fn may_have_odd_segments(path: &str) -> bool {
    let pairs = path.bytes().zip(path.bytes().skip(1));
    pairs.fold(false, |so_far, (before, byte)| so_far | ((before == b'/') & matches!(byte, b'/' | b'.' | b'%' | b';')))
}

fn check_segments(segments: &str) -> Result<(), TargetError> {
    let mut rest = segments.split('/').flat_map(|part| part.split("%2F")).flat_map(|part| part.split("%2f")).peekable();
    while let Some(segment) = rest.next() {
        // A `;` ends a segment for servlet containers: what is before it may not be nothing either.
        let empty = segment.is_empty() || [";", "%3B", "%3b"].iter().any(|end| segment.starts_with(end));
        if empty && rest.peek().is_some() {
            return Err(TargetError::EmptySegment);
        }
        if is_dot_segment(segment) {
            return Err(TargetError::DotSegment);
        }
    }
    Ok(())
}

fn check_bytes(text: &str, legal: fn(u8) -> bool, mut forbidden: impl FnMut(u8) -> bool) -> Result<(), TargetError> {
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let mut next_digit = || bytes.next().and_then(hex::value).ok_or(TargetError::BadEscape);
            let decoded = next_digit()? << 4 | next_digit()?;
            if forbidden(decoded) {
                return Err(TargetError::ForbiddenEscape(decoded));
            }
        } else if !legal(byte) {
            return Err(TargetError::IllegalByte(byte));
        }
    }
    Ok(())
}

/// `pchar` or `/` (RFC 3986 section 3.3).
fn is_path_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
        | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/')
}

/// RFC 3986 section 3.4, and the brackets that browsers and many libraries leave unencoded.
fn is_query_byte(byte: u8) -> bool {
    is_path_byte(byte) || matches!(byte, b'?' | b'[' | b']' | b'{' | b'}' | b'|' | b'^' | b'`')
}

/// Whether a segment reads `.` or `..` once decoded; a `;` ends it, because servlet containers cut there.
fn is_dot_segment(segment: &str) -> bool {
    let mut bytes = segment.bytes();
    let mut dots = 0;
    while let Some(byte) = bytes.next() {
        let decoded = match byte {
            b'%' => match (bytes.next().and_then(hex::value), bytes.next().and_then(hex::value)) {
                (Some(high), Some(low)) => high << 4 | low,
                (_, _) => return false,
            },
            plain => plain,
        };
        match decoded {
            b'.' if dots < 2 => dots += 1,
            b';' => break,
            _ => return false,
        }
    }
    dots > 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::survey::tests::beside_alphanumeric;
    use super::*;

    #[test]
    fn bytes_are_told_apart_as_the_specifications_list_them() {
        assert_eq!(beside_alphanumeric(is_path_byte), b"!$&'()*+,-./:;=@_~");
        assert_eq!(beside_alphanumeric(is_query_byte), b"!$&'()*+,-./:;=?@[]^_`{|}~");
    }

    #[test]
    fn a_target_with_one_reading_passes() {
        for path in ["/", "/a", "/a/", "/a.b/..c/...", "/%C3%A9/x%20y", "/a;v=1/b:c@d", "/.well-known/x", "/a%25b"] {
            assert_eq!(check_target(path, None), Ok(()), "{path}");
        }
        assert_eq!(check_target("/", Some("a=1&b[]=2&c=%0A//../")), Ok(()));
    }

    proptest! {
        #[test]
        fn no_odd_segment_escapes_the_closer_look(path in "/([a/.;%]|%2[eE]|%3[bB]){0,8}") {
            if !may_have_odd_segments(&path) {
                prop_assert_eq!(check_segments(&path[1..]), Ok(()));
            }
        }
    }

    #[test]
    fn a_target_with_two_readings_is_refused() {
        use TargetError::*;
        let cases = [
            ("", NotAbsolute),
            ("*", NotAbsolute),
            ("http://h/", NotAbsolute),
            ("//", EmptySegment),
            ("/a//b", EmptySegment),
            ("/./a", DotSegment),
            ("/a/..", DotSegment),
            ("/a/.", DotSegment),
            ("/a/../b", DotSegment),
            ("/%2e/a", DotSegment),
            ("/a/%2E%2e", DotSegment),
            ("/a/.%2e/b", DotSegment),
            ("/a/..;x=1/b", DotSegment),
            ("/a/..%3bx/b", DotSegment),
            ("/a/;x/b", EmptySegment),
            ("/a/%3Bx/b", EmptySegment),
            ("/a%2fb", ForbiddenEscape(b'/')),
            ("/a%5Cb", ForbiddenEscape(b'\\')),
            ("/a%00", ForbiddenEscape(0)),
            ("/a%0d%0ab", ForbiddenEscape(b'\r')),
            ("/a%7f", ForbiddenEscape(0x7f)),
            ("/a\\b", IllegalByte(b'\\')),
            ("/a b", IllegalByte(b' ')),
            ("/a\u{e9}", IllegalByte(0xc3)),
            ("/a#b", IllegalByte(b'#')),
            ("/a?b", IllegalByte(b'?')),
            ("/a%", BadEscape),
            ("/a%4", BadEscape),
            ("/a%zz", BadEscape),
        ];
        for (path, error) in cases {
            assert_eq!(check_target(path, None), Err(error), "{path}");
        }
        assert_eq!(check_target("/", Some("a=%00")), Err(ForbiddenEscape(0)));
        let data = |path| check_target_with(path, None, EncodedSlash::Data);
        for path in ["/so/12%2FSTTTT", "/so/12%2fSTTTT/a", "/so/a%2F"] {
            assert_eq!((check_target(path, None), data(path)), (Err(ForbiddenEscape(b'/')), Ok(())), "{path}");
        }
        for path in ["/a%2F..%2Fb", "/a%2f%2e%2e", "/..%2Fa", "/.%2fa"] {
            assert_eq!(data(path), Err(DotSegment), "{path}");
        }
        assert_eq!(
            (data("/a%2F%2fb"), data("/%2Fb"), data("/a%5Cb")),
            (Err(EmptySegment), Err(EmptySegment), Err(ForbiddenEscape(b'\\')))
        );
        assert_eq!(check_target("/", Some("a= ")), Err(IllegalByte(b' ')));
        assert_eq!(check_target("/", Some("a=%4")), Err(BadEscape));
    }
}
