//! Rules for paths, hosts and methods in documents. `Err` says what is wrong and what would be right.
//!
//! They are as strict as the refusal of odd request targets, so that a route or a permission can never be written for
//! a path that no request may have, or that two parties would read differently.

use crate::path::{PATH_BYTES_MAX, document_form};
use crate::signature::check_target;

/// The longest host name (RFC 1035 section 2.3.4).
pub const HOST_BYTES_MAX: usize = 253;
/// The longest method, in bytes.
pub const METHOD_BYTES_MAX: usize = 32;
/// The longest title, in characters.
pub const TITLE_CHARS_MAX: usize = 300;

/// An absolute path in its one unambiguous form, by the rules that request targets are held to.
pub fn check_path(path: &str) -> Result<(), String> {
    if !path.starts_with('/') {
        return Err(format!("`{path}` does not start with `/`; write an absolute path such as `/ho-tich`"));
    }
    if path.len() > PATH_BYTES_MAX {
        return Err(format!("a path of {} bytes is longer than {PATH_BYTES_MAX}; shorten it", path.len()));
    }
    if path.contains(['?', '#']) {
        return Err(format!("`{path}` holds a query or a fragment; write the path only"));
    }
    check_target(path, None).map_err(|error| format!("no request may have the path `{path}`: {error}"))
}

/// A path that requests are matched against.
pub fn check_matched_path(path: &str) -> Result<(), String> {
    check_path(path)?;
    if document_form(path).contains(';') {
        return Err(format!("`{path}` holds a `;`, which ends a segment when paths are matched; leave it out"));
    }
    Ok(())
}

/// A path prefix: a path without a final `/`, except `/` itself, because prefixes match whole segments.
pub fn check_prefix(path: &str) -> Result<(), String> {
    check_matched_path(path)?;
    match path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => {
            Err(format!("`{path}` ends with `/`; a prefix takes everything below it, so write `{shorter}`"))
        }
        Some(_) | None => Ok(()),
    }
}

/// A host name or address, lower case, without a port.
pub fn check_host(host: &str) -> Result<(), String> {
    if host.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err(format!("`{host}` holds upper-case letters; write `{}`", host.to_ascii_lowercase()));
    }
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').and_then(|inner| inner.parse::<std::net::Ipv6Addr>().ok());
        return address.map(|_| ()).ok_or_else(|| format!("`{host}` is not `[` IPv6 address `]` without a port"));
    }
    if host.contains('*') {
        return Err(format!("`{host}` holds a wildcard; list the hosts, or leave `hosts` out for any"));
    }
    if host.contains(':') {
        return Err(format!("`{host}` holds a port; a route takes a host on every port, so leave it out"));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    if host.len() <= HOST_BYTES_MAX && host.split('.').all(label) {
        return Ok(());
    }
    Err(format!("`{host}` is not a host name; write it as `api.vinhlong.gov.vn`, without a final dot"))
}

/// The full name of something: one line, without characters that a terminal or a reader takes for something else than text.
pub fn check_title(title: &str) -> Result<(), String> {
    let chars = title.chars().count();
    if !(1..=TITLE_CHARS_MAX).contains(&chars) || title.trim().is_empty() {
        return Err(format!("a title has 1 to {TITLE_CHARS_MAX} characters on one line, and this one has {chars}"));
    }
    match title.chars().find(|char| char.is_control() || is_line_or_direction(*char)) {
        Some(char) => {
            let code = u32::from(char);
            Err(format!(
                "a title holds visible text on one line, and this one has the character U+{code:04X}; remove it"
            ))
        }
        None => Ok(()),
    }
}

/// Line and paragraph separators, and what changes the direction of the text around it.
fn is_line_or_direction(char: char) -> bool {
    matches!(char, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A method in upper case: a token (RFC 9110 section 5.6.2) without lower-case letters.
pub fn check_method(method: &str) -> Result<(), String> {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_' | b'.');
    if !method.is_empty() && method.len() <= METHOD_BYTES_MAX && method.bytes().all(allowed) {
        return Ok(());
    }
    Err(format!("`{method}` is not a method in upper case; write `GET`, `POST` and so on"))
}
