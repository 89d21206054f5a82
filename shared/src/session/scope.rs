//! What a session covers: methods and path prefixes, written compactly into a ticket and read from it in place.

use super::ticket::TicketError;
use crate::path::MatchedPath;

/// The most scopes, methods of one scope, and paths of one scope in a ticket.
pub const ITEMS_MAX: usize = 32;

/// Methods and path prefixes that belong together: each method at each path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope<'a> {
    /// Methods, upper case.
    pub methods: Vec<&'a str>,
    /// Path prefixes by whole segments, without a trailing `/`; the empty one covers every path.
    pub paths: Vec<&'a str>,
}

/// The scopes of a ticket, still in its bytes; checked to be well-formed when the ticket was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scopes<'a>(&'a [u8]);

impl<'a> Scopes<'a> {
    /// Whether a request of this method and path is covered. Allocates nothing.
    pub fn cover(&self, method: &str, path: &MatchedPath<'_>) -> bool {
        let mut bytes = Bytes(self.0);
        let Some(count) = bytes.count() else { return false };
        (0..count).fold(false, |covered, _| {
            let methods = bytes.any(Bytes::short, |granted| granted == method);
            let paths = bytes.any(Bytes::long, |granted| path.is_below(granted));
            covered | (methods == Some(true) && paths == Some(true))
        })
    }

    /// The scopes as lists.
    pub fn to_vec(&self) -> Vec<Scope<'a>> {
        let mut bytes = Bytes(self.0);
        let count = bytes.count().unwrap_or_default();
        let scope = |_| Some(Scope { methods: bytes.all(Bytes::short)?, paths: bytes.all(Bytes::long)? });
        (0..count).map_while(scope).collect()
    }

    /// Takes over bytes that must be scopes and nothing else.
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut rest = Bytes(bytes);
        for _ in 0..rest.count()? {
            rest.any(Bytes::short, |_| false)?;
            rest.any(Bytes::long, |_| false)?;
        }
        rest.0.is_empty().then_some(Self(bytes))
    }
}

/// Appends scopes to a ticket's content.
pub(super) fn write(scopes: &[Scope<'_>], out: &mut Vec<u8>) -> Result<(), TicketError> {
    push_count(scopes.len(), out)?;
    for Scope { methods, paths } in scopes {
        push_count(methods.len(), out)?;
        for method in methods {
            push_short(method, out)?;
        }
        push_count(paths.len(), out)?;
        for path in paths {
            let length = u16::try_from(path.len()).map_err(|_| TicketError::TooLarge)?;
            out.extend_from_slice(&length.to_be_bytes());
            out.extend_from_slice(path.as_bytes());
        }
    }
    Ok(())
}

fn push_count(count: usize, out: &mut Vec<u8>) -> Result<(), TicketError> {
    let written = u8::try_from(count).ok().filter(|_| count <= ITEMS_MAX).ok_or(TicketError::TooLarge)?;
    out.push(written);
    Ok(())
}

/// Appends a text of at most 255 bytes behind its length.
pub(super) fn push_short(text: &str, out: &mut Vec<u8>) -> Result<(), TicketError> {
    out.push(u8::try_from(text.len()).map_err(|_| TicketError::TooLarge)?);
    out.extend_from_slice(text.as_bytes());
    Ok(())
}

/// Reads from the front; `None` when what is there is not what is asked for.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(super) fn short(&mut self) -> Option<&'a str> {
        let [length] = *self.array()?;
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn long(&mut self) -> Option<&'a str> {
        let length = u16::from_be_bytes(*self.array()?);
        std::str::from_utf8(self.take(length.into())?).ok()
    }

    fn count(&mut self) -> Option<usize> {
        let [count] = *self.array()?;
        Some(usize::from(count)).filter(|count| *count <= ITEMS_MAX)
    }

    /// Reads a counted list to its end and tells whether one of its items is wanted.
    fn any(&mut self, item: fn(&mut Self) -> Option<&'a str>, wanted: impl Fn(&str) -> bool) -> Option<bool> {
        let mut found = false;
        for _ in 0..self.count()? {
            found |= wanted(item(self)?);
        }
        Some(found)
    }

    fn all(&mut self, item: fn(&mut Self) -> Option<&'a str>) -> Option<Vec<&'a str>> {
        (0..self.count()?).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::PathRoom;

    fn cover(scopes: Scopes<'_>, method: &str, path: &str) -> bool {
        scopes.cover(method, &MatchedPath::of(path, &mut PathRoom::default()))
    }

    #[test]
    fn a_scope_covers_its_methods_at_its_paths_and_nothing_else() {
        let scopes = [
            Scope { methods: vec!["GET", "HEAD"], paths: vec!["/ho-tich"] },
            Scope { methods: vec!["POST"], paths: vec!["/ho-tich/khai-sinh", "/ho-tich/khai-tu"] },
        ];
        let mut bytes = Vec::new();
        write(&scopes, &mut bytes).unwrap();
        let read = Scopes::read(&bytes).unwrap();
        for (method, path, covered) in [
            ("GET", "/ho-tich", true),
            ("HEAD", "/ho-tich/khai-sinh/1", true),
            ("GET", "/ho-tich-khac", false),
            ("get", "/ho-tich", false),
            ("POST", "/ho-tich", false),
            ("POST", "/ho-tich/khai-tu/2", true),
            ("POST", "/ho-tich/khai-t%75;v=1/2", true),
            ("DELETE", "/ho-tich/khai-tu", false),
        ] {
            assert_eq!(cover(read, method, path), covered, "{method} {path}");
        }
        assert_eq!(read.to_vec(), scopes);
    }

    #[test]
    fn the_empty_prefix_covers_every_path_and_no_scope_covers_none() {
        let mut bytes = Vec::new();
        write(&[Scope { methods: vec!["GET"], paths: vec![""] }], &mut bytes).unwrap();
        assert!(cover(Scopes::read(&bytes).unwrap(), "GET", "/x"));
        assert!(!cover(Scopes::read(&[0]).unwrap(), "GET", "/x"));
    }

    #[test]
    fn what_is_cut_or_has_more_behind_it_is_no_scope() {
        let mut bytes = Vec::new();
        write(&[Scope { methods: vec!["GET"], paths: vec!["/a", "/b"] }], &mut bytes).unwrap();
        assert!((0..bytes.len()).all(|length| Scopes::read(&bytes[..length]).is_none()));
        bytes.push(0);
        assert!(Scopes::read(&bytes).is_none());
        assert_eq!(write(&[Scope { methods: vec!["GET"; 33], paths: vec![] }], &mut bytes), Err(TicketError::TooLarge));
    }
}
