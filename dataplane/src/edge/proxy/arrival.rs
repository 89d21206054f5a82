//! From Pingora's view of a request to ours: the raw bytes of HTTP/1.1, the fields of HTTP/2, and one strict parser.

use http::Version;
use lgsp_shared::head::{Field, Scheme};
use pingora_proxy::Session;

use crate::edge::http1::connection::Version as Http1Version;
use crate::edge::http1::fault::Fault;
use crate::edge::http1::framing::Framing;
use crate::edge::http1::head::{self, Fields, Request};
use crate::stream::Declared;

/// What a request is read from; it lives as long as the views into it.
#[derive(Debug)]
pub enum Arrived<'s> {
    /// The bytes of the head as they came. What Pingora parsed from them is not looked at: it repairs request lines and
    /// drops a length that comes with a transfer coding.
    Http1(bytes::Bytes),
    /// Method, target, authority and fields of an HTTP/2 stream.
    Http2 {
        /// The method.
        method: &'s str,
        /// Path and query as sent.
        target: &'s str,
        /// `:authority`, or `Host` where a client sends only that.
        authority: &'s str,
        /// All fields, `host` included.
        fields: &'s http::HeaderMap,
    },
}

impl<'s> Arrived<'s> {
    /// Takes what the session's request is read from.
    pub fn of(session: &'s Session) -> Result<Self, Fault> {
        if session.as_downstream().as_http2().is_none() {
            return Ok(Self::Http1(session.to_h1_raw()));
        }
        let request = session.req_header();
        let host = request.headers.get(http::header::HOST).map(|value| value.as_bytes());
        let authority = request.uri.authority().map(|authority| authority.as_str().as_bytes());
        // RFC 9113 section 8.3.1: both may be there, and then must agree.
        let authority = match (authority, host) {
            (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => {
                return Err(Fault::malformed("`:authority` and `Host` differ"));
            }
            (Some(authority), _) => authority,
            (None, Some(host)) => host,
            (None, None) => return Err(Fault::malformed("`:authority` is missing")),
        };
        let text = |bytes: &'s [u8], fault| std::str::from_utf8(bytes).map_err(|_| fault);
        Ok(Self::Http2 {
            method: request.method.as_str(),
            target: text(request.raw_path(), Fault::malformed("`:path` holds a byte that has to be percent-encoded"))?,
            authority: text(authority, Fault::malformed("`:authority` is not a host name or address"))?,
            fields: &request.headers,
        })
    }

    /// Reads the request; whatever two recipients could read differently is refused.
    pub fn read<'b: 'f, 'f>(&'b self, scheme: Scheme, fields: &'f mut Fields<'b>) -> Result<Request<'f>, Fault> {
        match self {
            Self::Http1(bytes) => head::parse(bytes, scheme, fields),
            Self::Http2 { method, target, authority, fields: sent } => {
                let host = Field { name: "host", value: authority.as_bytes() };
                let others = sent.iter().filter(|(name, _)| **name != http::header::HOST);
                let others = others.map(|(name, value)| Field { name: name.as_str(), value: value.as_bytes() });
                for field in std::iter::once(host).chain(others) {
                    fields.try_push(field).map_err(|_| head::TOO_MANY_FIELDS)?;
                }
                // HTTP/2 frames bodies itself; the rest of section 5 of RFC 9112 holds for its fields as well.
                head::interpret(method, target, Http1Version::Http11, scheme, fields)
            }
        }
    }
}

/// Whether the session came over TLS.
pub fn scheme(session: &Session) -> Scheme {
    let tls = session.digest().is_some_and(|digest| digest.ssl_digest.is_some());
    if tls { Scheme::Https } else { Scheme::Http }
}

/// Whether a body may follow although the head does not say so, which HTTP/2 allows.
pub fn may_send_unannounced(session: &mut Session) -> bool {
    session.req_header().version == Version::HTTP_2 && !session.as_mut().is_body_empty()
}

/// What the head says about the body.
pub fn declared(framing: Framing, may_send_unannounced: bool) -> Declared {
    match framing {
        Framing::Length(length) => Declared::Bytes(length),
        Framing::Chunked | Framing::UntilClose => Declared::Unbounded,
        Framing::Empty if may_send_unannounced => Declared::Unbounded,
        Framing::Empty => Declared::Nothing,
    }
}
