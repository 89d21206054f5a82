//! A record as one JSON line, written by hand into one buffer: a general serialiser costs three times as much, and there
//! is one line for every exchange.

use std::borrow::Cow;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr};

use lgsp_shared::id::ServiceId;
use lgsp_shared::timestamp::UnixSeconds;

use super::strangers::Missed;
use super::{Called, Closed, Loss, Named, Verdict};

/// The longest number: `u64::MAX`.
const DIGITS_MAX: usize = 20;

/// The name of a member with all that stands around it, so that it is one piece.
macro_rules! name {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// Appends the record and a line feed.
pub fn append(closed: &Closed, node: &str, out: &mut Vec<u8>) {
    let Closed { exchange, outcome } = closed;
    let credential = exchange.credential.as_deref();
    let route = exchange.route.as_deref();
    let called = exchange.called.as_deref();
    let service =
        route.map(|route| &route.service.id).or(called.and_then(|called| called.service.as_ref()).map(Named::id));
    let grant = exchange.grant.as_deref().or(called.and_then(|called| called.grant.as_deref()));
    let mut line = Line::begin(exchange.arrived.unix, node, out);
    let id = exchange.request_id.to_ascii();
    line.text(name!("request_id"), std::str::from_utf8(&id).unwrap_or_default());
    line.text(name!("outcome"), outcome.label());
    match exchange.decision_id {
        Some(id) => line.text(name!("decision_id"), &id.to_string()),
        None => line.null(name!("decision_id")),
    }
    line.number(name!("status"), u64::from(exchange.status));
    line.text(name!("method"), &exchange.method);
    line.text(name!("path"), &exchange.path);
    line.maybe(name!("source"), credential.map(|credential| credential.system.id.as_str()));
    line.maybe(name!("agency"), credential.map(|credential| credential.system.agency_code.as_str()));
    line.maybe(name!("access_key"), credential.map(|credential| credential.access_key.as_str()));
    line.maybe(name!("signature"), exchange.signature);
    line.maybe(name!("service"), service.map(ServiceId::as_str));
    line.maybe(name!("route"), route.map(|route| route.id.as_str()));
    line.maybe(name!("permission"), grant.map(|grant| grant.id.as_str()));
    line.address(name!("endpoint"), exchange.endpoint.map(|endpoint| (endpoint.ip(), Some(endpoint.port()))));
    line.address(name!("client"), exchange.client.map(|client| (client.ip(), None)));
    line.text(name!("face"), exchange.face.label());
    line.number(name!("attempts"), u64::from(exchange.attempts));
    line.number(name!("request_bytes"), exchange.request_bytes);
    line.number(name!("response_bytes"), exchange.response_bytes);
    line.number(name!("own_micros"), exchange.own_micros);
    line.number(name!("target_micros"), exchange.target_micros);
    line.number(name!("total_micros"), exchange.total_micros);
    match exchange.revision {
        Some(revision) => line.number(name!("revision"), revision.0),
        None => line.null(name!("revision")),
    }
    // Only where they say something: every exchange would pay for their nulls. A detail made at run time may quote what
    // was sent; one that is part of this program cannot.
    if let Some(Cow::Borrowed(detail)) = exchange.reason.as_deref().and_then(|reason| reason.detail.as_ref()) {
        line.text(name!("detail"), detail);
    }
    if let Some(Called { kind, verdict, verified, .. }) = called {
        line.text(name!("call"), kind.label());
        line.text(name!("verdict"), verdict.map_or(outcome.label(), Verdict::label));
        line.maybe(name!("verified_source"), verified.as_deref().map(|credential| credential.system.id.as_str()));
    }
    line.out.extend_from_slice(b"}\n");
}

/// Appends how many records of requests whose sender was not proved were not written, by outcome.
pub fn append_missed(missed: &Missed, at: UnixSeconds, node: &str, out: &mut Vec<u8>) {
    let mut line = Line::begin(at, node, out);
    line.null(name!("request_id"));
    line.text(name!("outcome"), "not-recorded");
    line.text(name!("reason"), Loss::Unauthenticated.label());
    line.number(name!("count"), missed.count);
    line.out.extend_from_slice(b",\"outcomes\":{");
    for (at, (outcome, count)) in missed.outcomes.iter().enumerate() {
        // Labels of a closed set, in which nothing needs an escape. Writing to a vector cannot fail.
        let comma = if at > 0 { "," } else { "" };
        let _ = write!(line.out, "{comma}\"{outcome}\":{count}");
    }
    line.out.extend_from_slice(b"}}\n");
}

/// An object being written, behind its first member.
struct Line<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Line<'a> {
    /// Every line begins with when and where.
    fn begin(at: UnixSeconds, node: &str, out: &'a mut Vec<u8>) -> Self {
        let mut line = Self { out };
        line.out.extend_from_slice(b"{\"time_unix\":");
        // Before 1970 no clock of ours stands.
        push_number(u64::try_from(at.0).unwrap_or_default(), line.out);
        line.text(name!("node"), node);
        line
    }

    fn text(&mut self, name: &[u8], value: &str) {
        self.out.extend_from_slice(name);
        self.out.push(b'"');
        push_escaped(value, self.out);
        self.out.push(b'"');
    }

    fn maybe(&mut self, name: &[u8], value: Option<&str>) {
        match value {
            Some(value) => self.text(name, value),
            None => self.null(name),
        }
    }

    fn null(&mut self, name: &[u8]) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b"null");
    }

    fn number(&mut self, name: &[u8], value: u64) {
        self.out.extend_from_slice(name);
        push_number(value, self.out);
    }

    /// An address has no byte that needs an escape.
    fn address(&mut self, name: &[u8], value: Option<(IpAddr, Option<u16>)>) {
        let Some((ip, port)) = value else { return self.null(name) };
        self.out.extend_from_slice(name);
        self.out.push(b'"');
        match (ip, port) {
            (IpAddr::V4(ip), _) => self.dotted(ip),
            // Writing to a vector cannot fail.
            (IpAddr::V6(ip), None) => write!(self.out, "{ip}").unwrap_or_default(),
            (IpAddr::V6(ip), Some(_)) => write!(self.out, "[{ip}]").unwrap_or_default(),
        }
        if let Some(port) = port {
            self.out.push(b':');
            push_number(u64::from(port), self.out);
        }
        self.out.push(b'"');
    }

    /// The formatter of the library takes ten times as long, and two addresses were a third of a line's cost.
    fn dotted(&mut self, ip: Ipv4Addr) {
        for (at, octet) in ip.octets().into_iter().enumerate() {
            if at > 0 {
                self.out.push(b'.');
            }
            push_number(u64::from(octet), self.out);
        }
    }
}

/// RFC 8259 section 7: quotation mark, reverse solidus and control characters are escaped, everything else stands.
fn push_escaped(text: &str, out: &mut Vec<u8>) {
    let plain = |byte: u8| (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    // Looks at every byte even after one that is not: without an early end the compiler takes many at a time.
    if text.as_bytes().iter().fold(true, |so_far, byte| so_far & plain(*byte)) {
        return out.extend_from_slice(text.as_bytes());
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..b' ' => {
                // Writing to a vector cannot fail.
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
}

fn push_number(mut value: u64, out: &mut Vec<u8>) {
    let mut digits = [0; DIGITS_MAX];
    let mut written = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
        written += 1;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(DIGITS_MAX - written..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::{Exchange, Outcome};

    fn line_of(exchange: Exchange) -> serde_json::Value {
        let mut out = Vec::new();
        append(&Closed { exchange, outcome: Outcome::Completed }, "node-1", &mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_stands_in_the_line_as_it_was(path: String, bytes: u64, micros: u64) {
            let line = line_of(Exchange {
                path: path.as_str().into(),
                request_bytes: bytes,
                total_micros: micros,
                ..Exchange::default()
            });
            prop_assert_eq!(line["path"].as_str(), Some(path.as_str()));
            prop_assert_eq!((line["request_bytes"].as_u64(), line["total_micros"].as_u64()), (Some(bytes), Some(micros)));
        }
    }

    #[test]
    fn what_is_not_known_is_null_and_addresses_are_text() {
        let line = line_of(Exchange { endpoint: "[::1]:80".parse().ok(), ..Exchange::default() });
        assert_eq!(line["endpoint"], "[::1]:80");
        for name in [
            "source",
            "agency",
            "access_key",
            "signature",
            "service",
            "route",
            "permission",
            "client",
            "revision",
            "decision_id",
        ] {
            assert!(line[name].is_null(), "{name}");
        }
        assert_eq!(
            (line["status"].as_u64(), line["time_unix"].as_i64(), line["node"].as_str()),
            (Some(0), Some(0), Some("node-1"))
        );
    }
}
