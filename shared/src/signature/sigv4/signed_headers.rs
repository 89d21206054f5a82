//! The list of signed headers, read once: where each name stands in the list, and where its field stands in the head.

use super::super::SIGNED_HEADERS_MAX;
use super::super::error::ClaimError;
use super::super::sink::Sink;
use super::super::survey::is_token_byte;
use crate::head::RequestHead;

/// `host;x-amz-date`, as given: in a query the semicolons may be `%3B`. Half a KiB of stack.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedHeaders<'a> {
    text: &'a str,
    names: [Name; SIGNED_HEADERS_MAX],
    count: usize,
}

/// One name: its place in the text, and the first field of that name.
#[derive(Debug, Clone, Copy, Default)]
struct Name {
    start: u16,
    length: u16,
    field: Option<Place>,
}

/// Where a field stands, and whether more fields of its name follow.
#[derive(Debug, Clone, Copy)]
struct Place {
    at: u8,
    again: bool,
}

impl<'a> SignedHeaders<'a> {
    /// Reads the list. Refuses names that are not lower-case header names, that come twice, or that the request does not
    /// have.
    pub(super) fn read(text: &'a str, head: &RequestHead<'_>) -> Result<Self, ClaimError> {
        let (list, all) = Self::locate(text, head);
        for (at, name) in list.names().enumerate() {
            let lower = !name.is_empty()
                && name.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase() && byte != b'%');
            if !lower {
                return Err(ClaimError::malformed("SignedHeaders", "list lower-case header names, joined with `;`"));
            }
            if list.names().take(at).any(|earlier| earlier == name) {
                return Err(ClaimError::malformed("SignedHeaders", format!("lists `{name}` twice")));
            }
        }
        if !all {
            return Err(ClaimError::malformed(
                "SignedHeaders",
                format!("lists more than {SIGNED_HEADERS_MAX} headers"),
            ));
        }
        let absent = list.listed().find(|(name, place)| *name != "host" && place.is_none());
        absent.map_or(Ok(list), |(name, _)| Err(ClaimError::absent(name)))
    }

    /// The list as it is, up to its bounds, and whether that is all of it.
    pub(super) fn locate(text: &'a str, head: &RequestHead<'_>) -> (Self, bool) {
        let mut list = Self { text, names: [Name::default(); SIGNED_HEADERS_MAX], count: 0 };
        let mut start = 0;
        for name in text.split(';').flat_map(|part| part.split("%3B")).flat_map(|part| part.split("%3b")) {
            let place = (u16::try_from(start), u16::try_from(name.len()), list.names.get_mut(list.count));
            let (Ok(at), Ok(length), Some(place)) = place else { return (list, false) };
            *place = Name { start: at, length, field: find(name, head) };
            list.count += 1;
            start += name.len();
            let rest = text.as_bytes().get(start..).unwrap_or_default();
            start += if rest.starts_with(b";") { 1 } else { 3 };
        }
        (list, true)
    }

    /// The names in the order given.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        self.listed().map(|(name, _)| name)
    }

    /// Whether the field at this place in the head is signed; its name stands there once only, or first.
    pub(super) fn covers_field(&self, at: usize) -> bool {
        self.listed().any(|(_, place)| place.is_some_and(|place| usize::from(place.at) == at))
    }

    fn listed(&self) -> impl Iterator<Item = (&'a str, Option<Place>)> {
        let text = self.text;
        self.names.iter().take(self.count).map(move |name| {
            let start = usize::from(name.start);
            (text.get(start..start + usize::from(name.length)).unwrap_or_default(), name.field)
        })
    }

    /// The canonical headers, a line each, and after an empty line the list itself.
    pub(super) fn push(&self, head: &RequestHead<'_>, sink: &mut impl Sink) {
        for (name, place) in self.listed() {
            sink.push(name.as_bytes());
            sink.push(b":");
            if name == "host" {
                // HTTP/2 has no `host` field; where there is one, a survey has found it equal to the authority.
                sink.push(head.authority.as_bytes());
            } else if let Some(place) = place {
                push_values(head, name, place, sink);
            }
            sink.push(b"\n");
        }
        sink.push(b"\n");
        let mut separator: &[u8] = b"";
        for name in self.names() {
            sink.push(separator);
            sink.push(name.as_bytes());
            separator = b";";
        }
        sink.push(b"\n");
    }
}

fn find(name: &str, head: &RequestHead<'_>) -> Option<Place> {
    let mut found = head.fields.iter().enumerate().filter(|(_, field)| field.is(name));
    let (at, _) = found.next()?;
    Some(Place { at: u8::try_from(at).ok()?, again: found.next().is_some() })
}

/// The values of all fields called `name`, joined with commas.
fn push_values(head: &RequestHead<'_>, name: &str, place: Place, sink: &mut impl Sink) {
    let mut fields = head.fields.get(usize::from(place.at)..).unwrap_or_default().iter();
    if let Some(first) = fields.next() {
        push_collapsed(first.value, sink);
    }
    for field in fields.filter(|field| place.again && field.is(name)) {
        sink.push(b",");
        push_collapsed(field.value, sink);
    }
}

/// A value without outer white space and with each inner run of it as one space.
fn push_collapsed(value: &[u8], sink: &mut impl Sink) {
    let mut separator: &[u8] = b"";
    let words = value.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    for word in words.filter(|word| !word.is_empty()) {
        sink.push(separator);
        sink.push(word);
        separator = b" ";
    }
}
