//! A request's head as the target reads it: one buffer and places in it, whichever protocol it came over.

use std::ops::Range;

use bytes::Bytes;
use lgsp_shared::head::{Field, RequestHead, Scheme};

/// The head of one request.
#[derive(Debug, Clone)]
pub(super) struct Head {
    text: Bytes,
    method: Range<usize>,
    target: Range<usize>,
    authority: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

/// Collects a head; the parts go into one buffer.
#[derive(Debug, Default)]
pub(super) struct HeadBuilder {
    text: Vec<u8>,
    method: Range<usize>,
    target: Range<usize>,
    authority: Range<usize>,
    fields: Vec<(Range<usize>, Range<usize>)>,
}

impl HeadBuilder {
    pub(super) fn new(method: &str, target: &str, fields: usize) -> Self {
        let mut builder = Self { text: Vec::with_capacity(512), fields: Vec::with_capacity(fields), ..Self::default() };
        builder.method = builder.push(method.as_bytes());
        builder.target = builder.push(target.as_bytes());
        builder
    }

    pub(super) fn authority(&mut self, authority: &[u8]) {
        self.authority = self.push(authority);
    }

    pub(super) fn field(&mut self, name: &str, value: &[u8]) {
        let places = (self.push(name.as_bytes()), self.push(value));
        if name.eq_ignore_ascii_case("host") && self.authority.is_empty() {
            self.authority = places.1.clone();
        }
        self.fields.push(places);
    }

    pub(super) fn build(self) -> Head {
        let Self { text, method, target, authority, fields } = self;
        Head { text: text.into(), method, target, authority, fields }
    }

    fn push(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.text.len();
        self.text.extend_from_slice(part);
        start..self.text.len()
    }
}

impl Head {
    pub(super) fn method(&self) -> &str {
        self.text_at(&self.method)
    }

    pub(super) fn path(&self) -> &str {
        let target = self.text_at(&self.target);
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    pub(super) fn query(&self) -> Option<&str> {
        self.text_at(&self.target).split_once('?').map(|(_, query)| query)
    }

    /// The first value of the field called `name` (lower case).
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.fields().find(|field| field.is(name)).map(|field| field.value)
    }

    pub(super) fn fields(&self) -> impl Iterator<Item = Field<'_>> {
        self.fields.iter().map(|(name, value)| Field { name: self.text_at(name), value: self.bytes_at(value) })
    }

    /// Hands the head to `read` in the form signatures are verified over, with the fields that `takes` picks by name.
    pub(super) fn with_request_head<T>(
        &self,
        takes: impl Fn(&str) -> bool,
        read: impl FnOnce(&RequestHead<'_>) -> T,
    ) -> T {
        let fields: Vec<Field<'_>> = self.fields().filter(|field| takes(field.name)).collect();
        read(&RequestHead {
            method: self.method(),
            scheme: Scheme::Http,
            authority: self.text_at(&self.authority),
            path: self.path(),
            query: self.query(),
            fields: &fields,
        })
    }

    fn bytes_at(&self, place: &Range<usize>) -> &[u8] {
        self.text.get(place.clone()).unwrap_or_default()
    }

    fn text_at(&self, place: &Range<usize>) -> &str {
        std::str::from_utf8(self.bytes_at(place)).unwrap_or_default()
    }
}
