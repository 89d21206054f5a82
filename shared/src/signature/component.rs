//! Components of a request and their lines in a signature base (RFC 9421 sections 2.1, 2.2 and 2.5).

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::sink::{Sink, push_lower_case};
use super::survey::is_token_byte;
use crate::head::{Field, RequestHead, Scheme};

/// One covered component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Component<'a> {
    Method,
    Authority,
    Scheme,
    TargetUri,
    RequestTarget,
    Path,
    Query,
    /// A header field; `binary` is the parameter `bs`, which wraps each line in base64.
    Field {
        name: &'a str,
        binary: bool,
    },
}

/// The request has no such header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NoSuchField;

impl<'a> Component<'a> {
    /// The component called `name`; `None` for names this node does not support. `@query-param` is among those: it
    /// covers a part of what `@query` has to cover anyway.
    pub(super) fn named(name: &'a str) -> Option<Self> {
        if !name.starts_with('@') {
            return is_field_name(name).then_some(Component::Field { name, binary: false });
        }
        match name {
            "@method" => Some(Component::Method),
            "@authority" => Some(Component::Authority),
            "@scheme" => Some(Component::Scheme),
            "@target-uri" => Some(Component::TargetUri),
            "@request-target" => Some(Component::RequestTarget),
            "@path" => Some(Component::Path),
            "@query" => Some(Component::Query),
            _ => None,
        }
    }

    /// Whether this is the header field `name`, in whatever wrapping.
    pub(super) fn is_field(&self, name: &str) -> bool {
        matches!(self, Component::Field { name: covered, .. } if name.eq_ignore_ascii_case(covered))
    }

    pub(super) fn name(&self) -> &'a str {
        match self {
            Component::Method => "@method",
            Component::Authority => "@authority",
            Component::Scheme => "@scheme",
            Component::TargetUri => "@target-uri",
            Component::RequestTarget => "@request-target",
            Component::Path => "@path",
            Component::Query => "@query",
            Component::Field { name, .. } => name,
        }
    }

    /// `"name"` with its parameters: how the component is named in the base and in `Signature-Input`.
    pub(super) fn push_identifier(&self, sink: &mut impl Sink) {
        sink.push(b"\"");
        sink.push(self.name().as_bytes());
        sink.push(if matches!(self, Component::Field { binary: true, .. }) { b"\";bs" } else { b"\"" });
    }

    /// Whether the request has this component.
    pub(super) fn occurs_in(&self, head: &RequestHead<'_>) -> bool {
        match self {
            Component::Field { name, .. } => *name == "host" || head.fields.iter().any(|field| field.is(name)),
            Component::Method
            | Component::Authority
            | Component::Scheme
            | Component::TargetUri
            | Component::RequestTarget
            | Component::Path
            | Component::Query => true,
        }
    }

    /// The component's line of the base, line feed included.
    pub(super) fn push_line(&self, head: &RequestHead<'_>, sink: &mut impl Sink) -> Result<(), NoSuchField> {
        match self.opening() {
            Some(opening) => sink.push(opening),
            None => {
                self.push_identifier(sink);
                sink.push(b": ");
            }
        }
        self.push_content(head, sink)?;
        sink.push(b"\n");
        Ok(())
    }

    /// How the line of a component begins that is no header field, as one piece.
    fn opening(&self) -> Option<&'static [u8]> {
        match self {
            Component::Method => Some(b"\"@method\": "),
            Component::Authority => Some(b"\"@authority\": "),
            Component::Scheme => Some(b"\"@scheme\": "),
            Component::TargetUri => Some(b"\"@target-uri\": "),
            Component::RequestTarget => Some(b"\"@request-target\": "),
            Component::Path => Some(b"\"@path\": "),
            Component::Query => Some(b"\"@query\": "),
            Component::Field { .. } => None,
        }
    }

    /// What the component says of this request.
    pub(super) fn push_content(&self, head: &RequestHead<'_>, sink: &mut impl Sink) -> Result<(), NoSuchField> {
        match self {
            Component::Method => sink.push(head.method.as_bytes()),
            Component::Authority => push_authority(head, sink),
            Component::Scheme => sink.push(head.scheme.as_str().as_bytes()),
            Component::TargetUri => {
                sink.push(head.scheme.as_str().as_bytes());
                sink.push(b"://");
                push_authority(head, sink);
                push_target(head, sink);
            }
            Component::RequestTarget => push_target(head, sink),
            Component::Path => sink.push(head.path.as_bytes()),
            Component::Query => {
                sink.push(b"?");
                sink.push(head.query.unwrap_or_default().as_bytes());
            }
            // The authority under its older name: HTTP/2 has no `host` field, and a survey has found both equal.
            Component::Field { name: "host", binary: false } => sink.push(head.authority.as_bytes()),
            Component::Field { name, binary } => push_field(head, name, *binary, sink)?,
        }
        Ok(())
    }
}

/// Lower-case `token`: RFC 9421 section 2.1 has names in lower case.
fn is_field_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| is_token_byte(byte) && !byte.is_ascii_uppercase())
}

/// Section 2.2.3: lower case, without the scheme's default port.
fn push_authority(head: &RequestHead<'_>, sink: &mut impl Sink) {
    let default_port = match head.scheme {
        Scheme::Http => ":80",
        Scheme::Https => ":443",
    };
    let authority = head.authority.strip_suffix(default_port).unwrap_or(head.authority);
    push_lower_case(sink, authority.as_bytes());
}

fn push_target(head: &RequestHead<'_>, sink: &mut impl Sink) {
    sink.push(head.path.as_bytes());
    if let Some(query) = head.query {
        sink.push(b"?");
        sink.push(query.as_bytes());
    }
}

/// Section 2.1: all lines of the field, in order, joined with a comma and a space.
fn push_field(head: &RequestHead<'_>, name: &str, binary: bool, sink: &mut impl Sink) -> Result<(), NoSuchField> {
    let mut lines = head.all(name);
    let first = lines.next().ok_or(NoSuchField)?;
    push_value(first, binary, sink);
    for line in lines {
        sink.push(b", ");
        push_value(line, binary, sink);
    }
    Ok(())
}

fn push_value(line: &Field<'_>, binary: bool, sink: &mut impl Sink) {
    if !binary {
        return sink.push(line.value);
    }
    // Section 2.1.3: each line as a byte sequence.
    let mut room = [0; 64];
    sink.push(b":");
    for group in line.value.chunks(48) {
        let length = BASE64.encode_slice(group, &mut room).unwrap_or_default();
        sink.push(room.get(..length).unwrap_or_default());
    }
    sink.push(b":");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(head: &RequestHead<'_>, names: &[&str]) -> String {
        let mut base = Vec::new();
        for name in names {
            Component::named(name).unwrap().push_line(head, &mut base).unwrap();
        }
        String::from_utf8(base).unwrap()
    }

    #[test]
    fn derived_components_follow_the_examples_of_the_specification() {
        let head = RequestHead {
            method: "POST",
            scheme: Scheme::Https,
            authority: "WWW.Example.COM:443",
            path: "/path",
            query: Some("param=value&foo=bar&baz=bat%2Dman"),
            fields: &[],
        };
        let names = ["@method", "@authority", "@scheme", "@target-uri", "@request-target", "@path", "@query"];
        let expected = concat!(
            "\"@method\": POST\n\"@authority\": www.example.com\n\"@scheme\": https\n",
            "\"@target-uri\": https://www.example.com/path?param=value&foo=bar&baz=bat%2Dman\n",
            "\"@request-target\": /path?param=value&foo=bar&baz=bat%2Dman\n",
            "\"@path\": /path\n\"@query\": ?param=value&foo=bar&baz=bat%2Dman\n",
        );
        assert_eq!(lines(&head, &names), expected);
        let plain = RequestHead { scheme: Scheme::Http, query: None, ..head };
        assert_eq!(lines(&plain, &["@authority", "@query"]), "\"@authority\": www.example.com:443\n\"@query\": ?\n");
        assert_eq!(lines(&plain, &["@request-target"]), "\"@request-target\": /path\n");
    }

    #[test]
    fn lines_of_one_field_are_joined_in_order_and_wrapped_when_asked() {
        let field = |name, value: &'static str| Field { name, value: value.as_bytes() };
        let fields = [field("Cache-Control", "max-age=60"), field("x", ""), field("cache-control", "must-revalidate")];
        let head = RequestHead {
            method: "GET",
            scheme: Scheme::Http,
            authority: "h",
            path: "/",
            query: None,
            fields: &fields,
        };
        let expected = "\"cache-control\": max-age=60, must-revalidate\n\"x\": \n\"host\": h\n";
        assert_eq!(lines(&head, &["cache-control", "x", "host"]), expected);
        let mut wrapped = Vec::new();
        let binary = Component::Field { name: "cache-control", binary: true };
        binary.push_line(&head, &mut wrapped).unwrap();
        let expected = "\"cache-control\";bs: :bWF4LWFnZT02MA==:, :bXVzdC1yZXZhbGlkYXRl:\n";
        assert_eq!(String::from_utf8(wrapped).unwrap(), expected);
        assert_eq!(Component::named("y").unwrap().push_line(&head, &mut Vec::new()), Err(NoSuchField));
        assert!(["", "@status", "@query-param", "X", "a b", "@"].iter().all(|name| Component::named(name).is_none()));
    }
}
