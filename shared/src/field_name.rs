//! Header names as their readers compare them, and which of them a source may send to a target.
//!
//! The rule: two names are one when they are equal in any case and with `_` read as `-`, because CGI, WSGI, Rack and PHP
//! map both to one variable (RFC 3875 section 4.1.18). Every list of names that are reserved, replaced or withheld is
//! compared by this rule, and by no other. What passes, passes as it came.

/// What becomes of a source's header on the way to a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// It passes.
    Freely,
    /// It passes where the route asks for it (`pass_headers`): it can override method, path, host or the caller's address,
    /// which a permission by method and path has already decided on.
    IfAsked,
    /// It never passes: it belongs to the connection, to the signature, or to the platform.
    Never,
}

/// Whether `name` is `other` (given in lower case and with `-`).
pub fn is_same(name: &str, other: &str) -> bool {
    name.len() == other.len() && starts_with(name, other)
}

/// Whether `name` starts with `prefix` (given in lower case and with `-`).
pub fn starts_with(name: &str, prefix: &str) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    let start = name.as_bytes().get(..prefix.len());
    start.is_some_and(|start| start.iter().map(fold).eq(prefix.bytes()))
}

/// Whether the platform gives meaning to headers of this name, so that they must be signed wherever they appear.
pub fn is_own(name: &str) -> bool {
    // The first letter rules out nearly every name.
    match name.as_bytes().first() {
        Some(b'l' | b'L') => starts_with(name, "lgsp-"),
        Some(b'x' | b'X') => starts_with(name, "x-amz-"),
        Some(_) | None => false,
    }
}

/// Whether a header of a source passes to a target.
pub fn passing(name: &str) -> Passing {
    if is_hop_by_hop(name) || is_replaced(name) {
        Passing::Never
    } else if is_overriding(name) {
        Passing::IfAsked
    } else {
        Passing::Freely
    }
}

/// Headers that belong to one connection (RFC 9110 section 7.6.1), whatever `Connection` says. By length first, here and
/// below, because that rules out nearly every header without comparing a letter.
pub fn is_hop_by_hop(name: &str) -> bool {
    let is = |other: &str| is_same(name, other);
    match name.len() {
        2 => is("te"),
        7 => is("trailer") || is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}

/// Headers of a source that the node answers for itself: framing, expectations, what could pass for the platform's word,
/// and what is the source's signature alone. Other `x-amz-*` headers are the target's: a claim exists only when all of
/// them are signed.
fn is_replaced(name: &str) -> bool {
    let is = |other: &str| is_same(name, other);
    if starts_with(name, "lgsp-") {
        return true;
    }
    match name.len() {
        4 => is("host"),
        6 => is("expect"),
        9 => is("signature"),
        10 => is("tracestate") || is("x-amz-date"),
        11 => is("traceparent"),
        13 => is("x-amz-trailer"),
        14 => is("content-digest") || is("content-length"),
        15 => is("signature-input"),
        20 => is("x-amz-security-token") || is("x-amz-content-sha256"),
        28 => is("x-amz-decoded-content-length"),
        _ => false,
    }
}

fn is_overriding(name: &str) -> bool {
    let is = |other: &str| is_same(name, other);
    if starts_with(name, "x-forwarded-") {
        return true;
    }
    match name.len() {
        5 => is("proxy"),
        9 => is("forwarded") || is("x-real-ip") || is("client-ip"),
        11 => is("x-forwarded") || is("x-client-ip"),
        13 => is("x-rewrite-url") || is("x-http-method"),
        14 => is("x-original-url") || is("x-original-uri") || is("true-client-ip"),
        15 => is("x-original-host"),
        16 => is("cf-connecting-ip") || is("fastly-client-ip"),
        17 => is("x-method-override") || is("x-original-method"),
        19 => is("x-cluster-client-ip"),
        22 => is("x-http-method-override"),
        24 => is("x-original-forwarded-for"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_underscore_is_a_hyphen_to_every_list() {
        for name in
            ["lgsp_source", "Lgsp_Agency", "x_amz_date", "Signature_Input", "CONTENT_LENGTH", "transfer-Encoding"]
        {
            assert_eq!(passing(name), Passing::Never, "{name}");
        }
        for name in ["x_http_method_override", "X-Original_URL", "x_forwarded-for", "Forwarded", "PROXY", "x-real_ip"] {
            assert_eq!(passing(name), Passing::IfAsked, "{name}");
        }
        for name in ["accept", "my_own", "x-amz-copy-source", "x_amz_meta_a", "lgspx", "proxy-x", "x-forwardedx", ""] {
            assert_eq!(passing(name), Passing::Freely, "{name}");
        }
        assert!(is_own("lgsp_nonce") && is_own("X_Amz_Meta") && !is_own("x-amznot") && !is_own("lgsp"));
    }
}
