//! A request's head as both faces see it: borrowed, raw, never rewritten.

/// One header field. The name keeps the case it was sent in; compare it with [`Field::is`].
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// The field name as sent.
    pub name: &'a str,
    /// The field value, without leading and trailing white space.
    pub value: &'a [u8],
}

impl<'a> Field<'a> {
    /// Whether this is the field called `name` (given in lower case).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value as text, if it is visible ASCII, space or tab.
    pub fn text(&self) -> Option<&'a str> {
        // Looks at every byte even after one that is not: without an early end the compiler takes many at a time.
        let readable = self.value.iter().fold(true, |so_far, byte| so_far & matches!(byte, b'\t' | b' '..=b'~'));
        if readable { std::str::from_utf8(self.value).ok() } else { None }
    }
}

/// Whether a request came over TLS; part of `@target-uri` and `@scheme`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }
}

/// The head of one request. Everything is as received: nothing is decoded, folded or normalised, because
/// signatures are made over the raw bytes.
#[derive(Debug, Clone, Copy)]
pub struct RequestHead<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// Plain or TLS.
    pub scheme: Scheme,
    /// `Host` in HTTP/1.1, `:authority` in HTTP/2, as sent.
    pub authority: &'a str,
    /// The raw path, starting with `/` (or `*` for `OPTIONS *`).
    pub path: &'a str,
    /// The raw query without its `?`; `None` when the target has no `?`.
    pub query: Option<&'a str>,
    /// All header fields in the order received, `Host` included.
    pub fields: &'a [Field<'a>],
}

/// A field that must occur at most once occurred again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a header that may appear once appears more than once")]
pub struct Repeated;

impl<'a> RequestHead<'a> {
    /// All fields called `name` (lower case), in order.
    pub fn all<'n>(&self, name: &'n str) -> impl Iterator<Item = &'a Field<'a>> + use<'a, 'n> {
        self.fields.iter().filter(move |field| field.is(name))
    }

    /// The only field called `name` (lower case); `Err` when there are several.
    pub fn only(&self, name: &str) -> Result<Option<&'a Field<'a>>, Repeated> {
        let mut found = self.all(name);
        let first = found.next();
        if found.next().is_some() { Err(Repeated) } else { Ok(first) }
    }
}
