//! RFC 9110 section 7.6.1: what the `Connection` field says about this hop, and what may not be nominated there.

use arrayvec::ArrayVec;

use super::fault::Fault;

/// The most fields one message may nominate for removal; 256 bytes of stack.
const NOMINATED_MAX: usize = 16;

/// The minor version of HTTP/1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0: no chunks, no persistence.
    Http10,
    /// HTTP/1.1.
    Http11,
}

impl Version {
    pub(super) fn from_minor(minor: u8) -> Self {
        if minor == 0 { Version::Http10 } else { Version::Http11 }
    }
}

/// What all `Connection` fields of a message say together.
#[derive(Debug, Default)]
pub struct Connection<'a> {
    /// `close`.
    pub close: bool,
    /// `keep-alive`; means something only in HTTP/1.0.
    pub keep_alive: bool,
    /// `upgrade`.
    pub upgrade: bool,
    nominated: ArrayVec<&'a str, NOMINATED_MAX>,
}

impl<'a> Connection<'a> {
    /// Adds the options of one field value.
    pub fn note(&mut self, value: &'a [u8]) -> Result<(), Fault> {
        let text = std::str::from_utf8(value).map_err(|_| Fault::malformed("`Connection` holds a non-ASCII byte"))?;
        for option in text.split(',').map(|option| option.trim_matches([' ', '\t'])).filter(|option| !option.is_empty())
        {
            self.note_option(option)?;
        }
        Ok(())
    }

    fn note_option(&mut self, option: &'a str) -> Result<(), Fault> {
        if option.eq_ignore_ascii_case("close") {
            self.close = true;
        } else if option.eq_ignore_ascii_case("keep-alive") {
            self.keep_alive = true;
        } else if option.eq_ignore_ascii_case("upgrade") {
            self.upgrade = true;
        } else if !option.bytes().all(is_token) {
            return Err(Fault::malformed("a `Connection` option is not a token"));
        } else if is_end_to_end(option) {
            return Err(Fault::malformed("`Connection` nominates a header that decides about the request"));
        } else {
            self.nominated.try_push(option).map_err(|_| Fault::malformed("`Connection` nominates over 16 headers"))?;
        }
        Ok(())
    }

    /// Whether this field was nominated, and so ends at this hop.
    pub fn nominates(&self, name: &str) -> bool {
        self.nominated.iter().any(|nominated| nominated.eq_ignore_ascii_case(name))
    }
}

/// RFC 9110 section 5.6.2.
pub fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Fields that carry the decision or the framing. Nominating one asks this hop to take away what the next one has to
/// see (CVE-2026-105299).
fn is_end_to_end(option: &str) -> bool {
    const NAMES: [&str; 19] = [
        "accept",
        "authorization",
        "cache-control",
        "content-digest",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "date",
        "expect",
        "forwarded",
        "host",
        "origin",
        "signature",
        "signature-input",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "via",
    ];
    const PREFIXES: [&str; 3] = ["lgsp-", "x-amz-", "x-forwarded-"];
    let starts = |prefix: &&str| option.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    NAMES.iter().any(|name| name.eq_ignore_ascii_case(option)) || PREFIXES.iter().any(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_several_fields_add_up() {
        let mut connection = Connection::default();
        connection.note(b"Keep-Alive, ,X-Hop").unwrap();
        connection.note(b" close\t").unwrap();
        assert!(connection.close && connection.keep_alive && !connection.upgrade);
        assert!(connection.nominates("x-hop") && !connection.nominates("close"));
    }

    #[test]
    fn nominating_what_decides_about_the_request_is_refused() {
        for bad in [
            "Authorization",
            "lgsp-nonce",
            "X-Amz-Date",
            "SIGNATURE",
            "signature-input",
            "content-length",
            "host",
            "content-digest",
            "transfer-encoding",
            "x-forwarded-for",
            "LGSP-Source",
            "a b",
            "\"x\"",
            "é",
        ] {
            assert!(Connection::default().note(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_number_of_nominated_fields_is_bounded() {
        let many = |count: usize| (0..count).map(|n| format!("x-{n}")).collect::<Vec<_>>().join(",");
        for (count, fits) in [(16, true), (17, false)] {
            let value = many(count);
            assert_eq!(Connection::default().note(value.as_bytes()).is_ok(), fits, "{count}");
        }
    }
}
