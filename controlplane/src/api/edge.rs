//! What no request may hold, whoever sends it and whatever it is about: checked once, at the edge.
//!
//! * Control characters: databases differ in which they take, and terminals do what they say. In a body, line feed, carriage
//!   return and tab are text.
//! * A request that a page of another site made a browser send.

use axum::extract::Request;
use axum::http::header::{CONTENT_TYPE, HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{Code, Problem};

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Checks what stands before the body; `open` is a path that takes no token, which a page of another site could ask too.
pub fn check(request: &Request, open: bool) -> Result<(), Problem> {
    let target = request.uri().path_and_query().map_or("", |target| target.as_str());
    if let Some(control) = control_in_target(target.as_bytes()) {
        let detail = format!("the address holds the control character U+{control:04X}");
        return Err(Problem::new(Code::Malformed, detail, "Leave it out."));
    }
    let headers = request.headers();
    if is_cross_site(headers) {
        let detail = "the request comes from a page of another site";
        return Err(Problem::new(Code::Forbidden, detail, "Send it without a browser: `lgspctl`."));
    }
    if open && !is_json(headers.get(CONTENT_TYPE)) {
        let detail = "the body of a login is `content-type: application/json`, and this one is not";
        return Err(Problem::malformed(detail));
    }
    Ok(())
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    if text(&FETCH_SITE).is_some_and(|site| site == "cross-site" || site == "same-site") {
        return true;
    }
    // An origin that cannot be read, or `null`, is somebody else's.
    let Some(origin) = headers.get(ORIGIN) else { return false };
    let authority = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, authority)| authority);
    authority.is_none() || authority != text(&HOST)
}

fn is_json(value: Option<&HeaderValue>) -> bool {
    let essence = value.and_then(|value| value.to_str().ok()).and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// The first control character of a path and query, decoded.
fn control_in_target(target: &[u8]) -> Option<u32> {
    let mut decoded = Vec::with_capacity(target.len());
    let mut rest = target.iter();
    while let Some(byte) = rest.next() {
        let hex = rest.as_slice().get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        match hex.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(code) if *byte == b'%' => {
                decoded.push(code);
                rest.nth(1);
            }
            Some(_) | None => decoded.push(*byte),
        }
    }
    first_control(&decoded, |_| false)
}

/// The first control character of a JSON text, written out or escaped; line feed, carriage return and tab are none.
pub fn control_in_json(json: &[u8]) -> Option<u32> {
    let spoken = |code: u32| matches!(code, 0x09 | 0x0a | 0x0d);
    first_control(json, spoken).or_else(|| escaped_control(json))
}

/// The first escape of a control character that text does not hold: `\b`, `\f`, `\u001b` and their like.
fn escaped_control(json: &[u8]) -> Option<u32> {
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        if *byte != b'\\' {
            continue;
        }
        // What follows a backslash is taken with it, another backslash too.
        let code = match rest.next() {
            Some(b'b') => Some(0x08),
            Some(b'f') => Some(0x0c),
            Some(b'u') => rest
                .as_slice()
                .get(..4)
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u32::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        if let Some(code) = code.filter(|code| is_control(*code) && !matches!(code, 0x09 | 0x0a | 0x0d)) {
            return Some(code);
        }
    }
    None
}

/// The first control character written out in UTF-8: C0, DEL, and C1, whose first byte is C2.
fn first_control(text: &[u8], spoken: impl Fn(u32) -> bool) -> Option<u32> {
    let mut before = 0;
    for byte in text {
        let code = match (before, *byte) {
            (0xc2, second @ 0x80..=0x9f) => u32::from(second),
            (_, low @ (0..=0x1f | 0x7f)) => u32::from(low),
            _ => 0x20,
        };
        if is_control(code) && !spoken(code) {
            return Some(code);
        }
        before = *byte;
    }
    None
}

fn is_control(code: u32) -> bool {
    char::from_u32(code).is_some_and(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_character_is_found_however_it_is_written() {
        for (json, code) in [
            (r#"{"message":"a\u0000b"}"#.as_bytes(), 0),
            (br#"{"a":"\u001B[2J"}"#, 0x1b),
            (br#"{"a":"\u009b"}"#, 0x9b),
            (br#"{"a":"\b"}"#, 8),
            (b"{\"a\":\"\x7f\"}", 0x7f),
            ("{\"a\":\"\u{9b}\"}".as_bytes(), 0x9b),
            (br#"{"a":"\\\u0000"}"#, 0),
        ] {
            assert_eq!(control_in_json(json), Some(code), "{}", String::from_utf8_lossy(json));
        }
        for json in [
            "{\"message\": \"Sở Tư pháp\",\r\n\t\"a\": 1}",
            r#"{"a":"one\ntwo\tthree"}"#,
            r#"{"path":"C:\\u0000"}"#,
            r#"{"a":"\u00e9\u1ead"}"#,
        ] {
            assert_eq!(control_in_json(json.as_bytes()), None, "{json}");
        }
    }

    #[test]
    fn an_address_holds_no_control_characters_at_all() {
        for (target, found) in [
            ("/v1/operators?after=%00", Some(0)),
            ("/v1/documents/Agency/a%0Ab", Some(0x0a)),
            ("/v1/agencies?q=%c2%9b", Some(0x9b)),
            ("/v1/agencies?q=S%E1%BB%9F%20T%C6%B0", None),
        ] {
            assert_eq!(control_in_target(target.as_bytes()), found, "{target}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_told_from_a_program() {
        let from = |headers: &[(HeaderName, &'static str)]| {
            let with = |mut map: HeaderMap, (name, value): &(HeaderName, &'static str)| {
                map.insert(name.clone(), HeaderValue::from_static(value));
                map
            };
            is_cross_site(&headers.iter().fold(HeaderMap::new(), with))
        };
        assert!(!from(&[(HOST, "cp.example:8443")]) && !from(&[]));
        assert!(!from(&[(HOST, "cp.example:8443"), (ORIGIN, "https://cp.example:8443")]));
        assert!(from(&[(HOST, "cp.example:8443"), (ORIGIN, "https://evil.example")]));
        assert!(from(&[(HOST, "cp.example"), (ORIGIN, "null")]));
        assert!(from(&[(FETCH_SITE, "cross-site")]));
    }
}
