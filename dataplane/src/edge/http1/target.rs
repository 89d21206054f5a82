//! RFC 9112 section 3.2: the request target, and the host it is asked of.
//!
//! The origin form, `*` for OPTIONS, and the absolute form where its authority is that of `Host`, which is read as the
//! origin form: what is signed is method, host, path and query all the same. Nothing is decoded or normalised.

use super::fault::Fault;

/// A target split at its first `?`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target<'a> {
    /// The raw path, or `*`.
    pub path: &'a str,
    /// The raw query, without `?`.
    pub query: Option<&'a str>,
}

/// The origin form of a target in absolute form, and its authority; any other target as it is.
pub fn without_authority(target: &str) -> (&str, Option<&str>) {
    let scheme = ["http://", "https://"]
        .into_iter()
        .find(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme)));
    let Some(rest) = scheme.and_then(|scheme| target.get(scheme.len()..)) else { return (target, None) };
    match rest.find(['/', '?']) {
        Some(at) => {
            let (authority, path) = rest.split_at(at);
            (path, Some(authority))
        }
        None => ("/", Some(rest)),
    }
}

/// Parses the target of a request with this method.
pub fn parse<'a>(method: &str, target: &'a str) -> Result<Target<'a>, Fault> {
    if target == "*" {
        let asterisk = Target { path: "*", query: None };
        return if method == "OPTIONS" { Ok(asterisk) } else { Err(Fault::malformed("the target `*` is for OPTIONS")) };
    }
    if !target.starts_with('/') {
        return Err(Fault::malformed(
            "the target does not start with `/`: send the origin form, and the host in `Host`",
        ));
    }
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    if !path.bytes().all(in_path) {
        return Err(Fault::malformed("the path holds a byte that has to be percent-encoded (RFC 3986 section 3.3)"));
    }
    if !query.unwrap_or_default().bytes().all(in_query) {
        return Err(Fault::malformed("the query holds a byte that has to be percent-encoded"));
    }
    if !escapes_are_whole(target.as_bytes()) {
        return Err(Fault::malformed("the target holds a `%` that two hexadecimal digits do not follow"));
    }
    Ok(Target { path, query })
}

/// RFC 3986 section 3.3: unreserved, escapes, sub-delimiters, `:`, `@`, and `/` between segments.
fn in_path(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&'
        | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@' | b'/')
}

/// Queries in use hold more than RFC 3986 lists (`[`, `{`, `|`); what servers disagree about is left out.
fn in_query(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'#' | b'"' | b'<' | b'>' | b'\\' | b'`')
}

fn escapes_are_whole(target: &[u8]) -> bool {
    memchr::memchr_iter(b'%', target).all(|at| match target.get(at + 1..at + 3) {
        Some([high, low]) => high.is_ascii_hexdigit() && low.is_ascii_hexdigit(),
        Some(_) | None => false,
    })
}

/// Checks a `Host` value: a name or address, and perhaps a port.
pub fn host(value: &[u8]) -> Result<&str, Fault> {
    let invalid = Fault::malformed("`Host` is not a host name or address with an optional port");
    let text = std::str::from_utf8(value).map_err(|_| invalid)?;
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.parse::<std::net::Ipv6Addr>().is_ok() => {
            ("v6", rest.strip_prefix(':').or(rest.is_empty().then_some("0")))
        }
        Some(_) => return Err(invalid),
        None => text.split_once(':').map_or((text, Some("0")), |(name, port)| (name, Some(port))),
    };
    let named = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let numbered =
        port.is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if !name.is_empty() && name.bytes().all(named) && numbered { Ok(text) } else { Err(invalid) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_form_and_the_asterisk_of_options_are_targets() {
        assert_eq!(parse("GET", "/a?b=c?d"), Ok(Target { path: "/a", query: Some("b=c?d") }));
        assert_eq!(parse("GET", "/?"), Ok(Target { path: "/", query: Some("") }));
        assert!(parse("OPTIONS", "*").is_ok());
        for (method, bad) in [("GET", "*"), ("GET", "http://a/"), ("GET", "a/b"), ("OPTIONS", "**"), ("GET", "")] {
            assert!(parse(method, bad).is_err(), "{method} {bad}");
        }
    }

    #[test]
    fn a_target_in_absolute_form_is_read_as_its_path_and_its_authority() {
        for (target, path, authority) in [
            ("http://a/b?c", "/b?c", Some("a")),
            ("HTTPS://a:1/", "/", Some("a:1")),
            ("http://a", "/", Some("a")),
            ("http://u@a/", "/", Some("u@a")),
            ("http:///b", "/b", Some("")),
            ("/http://a/", "/http://a/", None),
            ("*", "*", None),
            ("ftp://a/", "ftp://a/", None),
        ] {
            assert_eq!(without_authority(target), (path, authority), "{target}");
        }
        assert!(parse("GET", without_authority("http://a?b").0).is_err(), "an empty path with a query");
    }

    #[test]
    fn bytes_that_servers_read_differently_are_refused() {
        for bad in ["/a#b", "/a\\b", "/a|b", "/\"", "/é", "/a?b#c", "/a?\\", "/%", "/%4", "/%zz", "/a?%g0", "/a b"] {
            assert!(parse("GET", bad).is_err(), "{bad}");
        }
        for good in ["/a%20b", "/:@!$&'()*+,;=~", "/a?x[]={1|2}^&y=%41"] {
            assert!(parse("GET", good).is_ok(), "{good}");
        }
    }

    #[test]
    fn a_host_is_a_name_or_an_address_with_an_optional_port() {
        for good in ["a.gov.vn", "a:8080", "127.0.0.1:1", "[::1]", "[::1]:443", "a_b"] {
            assert!(host(good.as_bytes()).is_ok(), "{good}");
        }
        for bad in ["", ":80", "a:", "a:99999", "a:+1", "a/b", "a b", "u@a", "a,b", "[::1", "[x]", "::1", "é", "[::1]a"]
        {
            assert!(host(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
