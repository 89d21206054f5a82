//! The list of signed headers, read in place.

use super::super::error::ClaimError;
use super::super::sink::Sink;
use super::super::survey::is_token_byte;
use super::super::{SIGNED_HEADERS_MAX, sink};
use crate::head::RequestHead;

/// `host;x-amz-date`, as given: in a query the semicolons may be `%3B`.
#[derive(Debug, Clone, Copy)]
pub(super) struct SignedHeaders<'a> {
    text: &'a str,
}

impl<'a> SignedHeaders<'a> {
    /// Takes a list as given; [`SignedHeaders::check`] says whether it can be used.
    pub(super) fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// The names in the order given.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.text.split(';').flat_map(|part| part.split("%3B")).flat_map(|part| part.split("%3b"))
    }

    /// Refuses names that are not lower-case header names, that come twice, or that the request does not have.
    pub(super) fn check(&self, head: &RequestHead<'_>) -> Result<(), ClaimError> {
        for (at, name) in self.names().enumerate() {
            let lower = !name.is_empty()
                && name.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase() && byte != b'%');
            if !lower {
                return Err(ClaimError::malformed("SignedHeaders", "list lower-case header names, joined with `;`"));
            }
            if at >= SIGNED_HEADERS_MAX {
                return Err(ClaimError::malformed(
                    "SignedHeaders",
                    format!("lists more than {SIGNED_HEADERS_MAX} headers"),
                ));
            }
            if self.names().take(at).any(|earlier| earlier == name) {
                return Err(ClaimError::malformed("SignedHeaders", format!("lists `{name}` twice")));
            }
            if name != "host" && !head.fields.iter().any(|field| field.is(name)) {
                return Err(ClaimError::absent(name));
            }
        }
        Ok(())
    }

    /// The canonical headers, a line each, and after an empty line the list itself.
    pub(super) fn push(&self, head: &RequestHead<'_>, sink: &mut impl Sink) {
        for name in self.names() {
            sink.push(name.as_bytes());
            sink.push(b":");
            if name == "host" {
                // HTTP/2 has no `host` field; where there is one, a survey has found it equal to the authority.
                sink.push(head.authority.as_bytes());
            } else {
                push_values(head, name, sink);
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

/// The values of all fields called `name`, joined with commas.
fn push_values(head: &RequestHead<'_>, name: &str, sink: &mut impl sink::Sink) {
    let mut separator: &[u8] = b"";
    for field in head.all(name) {
        sink.push(separator);
        push_collapsed(field.value, sink);
        separator = b",";
    }
}

/// A value without outer white space and with each inner run of it as one space.
fn push_collapsed(value: &[u8], sink: &mut impl sink::Sink) {
    let mut separator: &[u8] = b"";
    let words = value.split(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n'));
    for word in words.filter(|word| !word.is_empty()) {
        sink.push(separator);
        sink.push(word);
        separator = b" ";
    }
}
