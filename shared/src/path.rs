//! Paths as they are matched: the one rule by which routes, permissions, sessions and the platform's own addresses compare
//! the paths of requests and documents. What goes to a target is the path as it came.
//!
//! The rule is what the frameworks behind a gateway do with a path (RFC 3986 section 6.2.2):
//! * an escape of a byte that may stand unescaped is that byte: `/m%61t` is `/mat`;
//! * any other escape counts in upper case: `/h%e1` is `/h%E1`. That includes `%25`, and `%2F` where a route takes it;
//! * `;`, escaped or not, ends its segment: `/mat;v=1/2` is `/mat/2`, as servlet containers read it.
//!
//! Empty and dot segments have no form: [`crate::signature::check_target`] refuses them before anything is matched.

use std::fmt;

use arrayvec::ArrayVec;

use crate::signature::hex;

/// The longest path, in bytes; requests with longer ones are refused before they are matched.
pub const PATH_BYTES_MAX: usize = 8 << 10;
/// The form of what is too long to have one: no route, permission or session has it.
const NOWHERE: &str = "*";

/// Room for the form of one path that is not its own form: 8 KiB of stack, touched only as far as it is needed.
#[derive(Default)]
pub struct PathRoom(ArrayVec<u8, PATH_BYTES_MAX>);

impl fmt::Debug for PathRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PathRoom").finish_non_exhaustive()
    }
}

/// A request's path, as sent and as matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MatchedPath<'a> {
    sent: &'a str,
    form: &'a str,
}

impl<'a> MatchedPath<'a> {
    /// The path with its form, which is written into `room` unless the path is its own form. Allocates nothing.
    pub fn of(sent: &'a str, room: &'a mut PathRoom) -> Self {
        if is_own_form(sent) {
            return Self { sent, form: if sent.len() > PATH_BYTES_MAX { NOWHERE } else { sent } };
        }
        room.0.clear();
        let written = write_form(sent.as_bytes(), Parameters::Cut, |byte| room.0.try_push(byte).is_ok());
        let form = if written { std::str::from_utf8(&room.0).unwrap_or(NOWHERE) } else { NOWHERE };
        Self { sent, form }
    }

    /// As sent.
    pub fn sent(&self) -> &'a str {
        self.sent
    }

    /// As matched.
    pub fn form(&self) -> &'a str {
        self.form
    }

    /// Whether it is `prefix` or lies below it; see [`is_below`].
    pub fn is_below(&self, prefix: &str) -> bool {
        is_below(self.form, prefix)
    }

    /// How many bytes of the path as sent the first `form_bytes` of its form stand for.
    pub fn sent_bytes(&self, form_bytes: usize) -> usize {
        if form_bytes >= self.form.len() {
            return self.sent.len();
        }
        // A form is never longer, and as long only where nothing moved.
        if self.sent.len() == self.form.len() {
            return form_bytes;
        }
        // Segments stand one for one; the segment that ends here ends at the next `/` as sent.
        let slashes = self.form.bytes().take(form_bytes).filter(|byte| *byte == b'/').count();
        let next = self.sent.bytes().enumerate().filter(|(_, byte)| *byte == b'/').nth(slashes);
        next.map_or(self.sent.len(), |(at, _)| at)
    }

    /// Whether it holds an escaped `/`.
    pub fn has_encoded_slash(&self) -> bool {
        self.form.contains("%2F")
    }

    /// The path as a reader takes it that decodes an escaped `/` before it separates segments.
    pub fn with_slashes_decoded<'r>(&self, room: &'r mut PathRoom) -> MatchedPath<'r> {
        room.0.clear();
        let mut parts = self.form.split("%2F");
        let first = parts.next().unwrap_or_default();
        // Never longer than the form, which had room.
        let _ = room.0.try_extend_from_slice(first.as_bytes());
        for part in parts {
            let _ = room.0.try_push(b'/').is_ok() && room.0.try_extend_from_slice(part.as_bytes()).is_ok();
        }
        let form = std::str::from_utf8(&room.0).unwrap_or(NOWHERE);
        MatchedPath { sent: form, form }
    }
}

/// The form of a path in a document. One with a `;` gets a form that no request has: what it grants or leads to would
/// otherwise be more than it says.
pub fn document_form(path: &str) -> String {
    let mut form = Vec::with_capacity(path.len());
    write_form(path.as_bytes(), Parameters::Kept, |byte| {
        form.push(byte);
        true
    });
    String::from_utf8(form).unwrap_or_else(|_| NOWHERE.to_owned())
}

/// Whether the form `path` is `prefix` or lies below it, by whole segments. `prefix` is a form without trailing `/`; the
/// empty one is above every path.
pub fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// What happens to the part of a segment from its `;` on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Parameters {
    Cut,
    Kept,
}

/// Whether the form of `path` is `path`; so it is of nearly every path.
fn is_own_form(path: &str) -> bool {
    if !path.bytes().fold(false, |found, byte| found | matches!(byte, b'%' | b';')) {
        return true;
    }
    let mut rest = path.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b';' => return false,
            b'%' => {
                let Some(([high, low], after)) = after.split_first_chunk::<2>() else { return false };
                let Some(decoded) = decode(*high, *low) else { return false };
                if stands_unescaped(decoded) || high.is_ascii_lowercase() || low.is_ascii_lowercase() {
                    return false;
                }
                rest = after;
            }
            _ => {}
        }
    }
    true
}

/// Writes the form of `path` byte by byte; stops with false when `push` does.
fn write_form(path: &[u8], parameters: Parameters, mut push: impl FnMut(u8) -> bool) -> bool {
    let mut rest = path;
    let mut cut = false;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        let (plain, escaped) = match (byte, after.split_first_chunk::<2>()) {
            (b'%', Some(([high, low], after))) if decode(*high, *low).is_some() => {
                rest = after;
                let decoded = decode(*high, *low).unwrap_or_default();
                (decoded, !stands_unescaped(decoded))
            }
            (byte, _) => (*byte, false),
        };
        if plain == b'/' && !escaped {
            cut = false;
        } else if plain == b';' && parameters == Parameters::Cut {
            cut = true;
        }
        let pushed = match (cut, escaped) {
            (true, _) => true,
            (false, false) => push(plain),
            (false, true) => hex::percent(plain).into_iter().all(&mut push),
        };
        if !pushed {
            return false;
        }
    }
    true
}

fn decode(high: u8, low: u8) -> Option<u8> {
    Some(hex::value(high)? << 4 | hex::value(low)?)
}

/// `pchar` of RFC 3986 section 3.3: what a segment may hold as it is.
fn stands_unescaped(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn form(path: &str) -> String {
        MatchedPath::of(path, &mut PathRoom::default()).form().to_owned()
    }

    #[test]
    fn paths_that_a_target_reads_alike_have_one_form() {
        for (path, expected) in [
            ("/ho-tich/mat/1", "/ho-tich/mat/1"),
            ("/ho-tich/m%61t/1", "/ho-tich/mat/1"),
            ("/ho-tich/%6D%61%74", "/ho-tich/mat"),
            ("/h%e1%bb%93", "/h%E1%BB%93"),
            ("/h%E1%BB%93", "/h%E1%BB%93"),
            ("/mat;v=1/1", "/mat/1"),
            ("/mat%3bv=1/1", "/mat/1"),
            ("/mat;v=%2F/1", "/mat/1"),
            ("/a;x", "/a"),
            ("/a%3Ab%2C", "/a:b,"),
            ("/a%2541", "/a%2541"),
            ("/12%2fSTTTT", "/12%2FSTTTT"),
            ("/a/", "/a/"),
            ("/", "/"),
        ] {
            assert_eq!(form(path), expected, "{path}");
        }
    }

    #[test]
    fn a_document_with_a_semicolon_has_a_form_that_no_request_has() {
        assert_eq!(document_form("/h%e1/m%61t"), "/h%E1/mat");
        for path in ["/a;b", "/a%3Bb", "/a%3bb/c"] {
            assert!(document_form(path).contains(';') && !form(path).contains(';'), "{path}");
        }
    }

    #[test]
    fn what_is_too_long_is_nowhere() {
        for long in ["/".to_owned() + &"a".repeat(PATH_BYTES_MAX), "/%61".to_owned() + &"a".repeat(PATH_BYTES_MAX)] {
            let form = form(&long);
            assert!(!is_below(&form, "") && !is_below(&form, "/a"), "{form}");
        }
    }

    #[test]
    fn the_matched_part_is_found_in_the_path_as_sent() {
        for (path, prefix, rest) in [
            ("/a/b/c", "/a", "/b/c"),
            ("/%61/b/c", "/a", "/b/c"),
            ("/%61;v=1/b/c", "/a", "/b/c"),
            ("/%61/b%20;x", "/a/b%20", ""),
            ("/%61", "/a", ""),
            ("/a/%62", "", "/a/%62"),
            ("/a", "", "/a"),
        ] {
            let mut room = PathRoom::default();
            let matched = MatchedPath::of(path, &mut room);
            assert!(matched.is_below(prefix), "{path}");
            assert_eq!(&path[matched.sent_bytes(prefix.len())..], rest, "{path} below {prefix}");
        }
    }

    #[test]
    fn a_prefix_holds_whole_segments_only() {
        for (path, prefix, below) in [
            ("/a", "/a", true),
            ("/a/b", "/a", true),
            ("/ab", "/a", false),
            ("/", "", true),
            ("/anything", "", true),
            ("/a", "/a/b", false),
        ] {
            assert_eq!(is_below(path, prefix), below, "{path} below {prefix}");
        }
    }

    proptest! {
        #[test]
        fn a_form_is_its_own_form(path in "/([a-cA-F;/]|%[2-7][0-9a-fA-F]|%[eE][0-9a-f]){0,20}") {
            let once = form(&path);
            prop_assert_eq!(&form(&once), &once);
            prop_assert!(once.len() <= path.len());
            if once == path {
                prop_assert!(is_own_form(&path));
            }
        }
    }
}
