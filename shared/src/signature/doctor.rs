//! Why a signature does not match: the usual differences between what clients sign and what arrives, tried one by one.
//!
//! A difference is named only when the signature verifies with it undone, so only who holds the secret is told anything;
//! and what is told is their own request. Neither the secret nor a signature is ever part of a text. Runs only after a
//! signature has failed, tries at most [`DIFFERENCES_MAX`] heads, and may allocate.

use std::borrow::Cow;

use super::claim::Claim;
use super::hex;
use super::key::KeyState;
use crate::head::{RequestHead, Scheme};

/// The most differences tried; each costs what one verification costs, 0.4 µs for RFC 9421 and 2 µs for
/// SigV4; all that a short path has, 3 µs and 14 µs.
pub const DIFFERENCES_MAX: usize = 18;
/// Bytes of a value shown to the caller.
const SHOWN_CHARS_MAX: usize = 200;

const UNEXPLAINED: &str = "no usual difference of method, host, path or query explains it: compare the secret key, and the \
                           exact text you signed with what you sent";

/// A component that is not the one that was signed.
struct Difference<'a> {
    component: &'static str,
    signed: Cow<'a, str>,
    received: Cow<'a, str>,
    /// What usually leads to it, and what to do.
    advice: &'static str,
    head: Undone<'a>,
}

/// The head as it may have been signed.
struct Undone<'a> {
    method: Cow<'a, str>,
    scheme: Scheme,
    authority: Cow<'a, str>,
    path: Cow<'a, str>,
    query: Option<Cow<'a, str>>,
}

impl Claim<'_> {
    /// The first thing in which `head` differs from what was signed under `key`, in words for the caller; when none of
    /// the usual differences explains it, that is said.
    pub fn diagnose(&self, head: &RequestHead<'_>, key: &KeyState) -> String {
        let found = differences(head).into_iter().take(DIFFERENCES_MAX).find(|difference| {
            let Undone { method, scheme, authority, path, query } = &difference.head;
            let (scheme, query) = (*scheme, query.as_deref());
            // The signature is the same; only the head it is compared with is another.
            self.verify(&RequestHead { method, scheme, authority, path, query, fields: head.fields }, key).is_ok()
        });
        match found {
            Some(Difference { component, signed, received, advice, head: _ }) => {
                let (signed, received) = (shown(&signed), shown(&received));
                format!("`{component}` was signed as `{signed}`, but arrived as `{received}`: {advice}")
            }
            None => self.unaccepted(head, key).unwrap_or(UNEXPLAINED).to_owned(),
        }
    }

    /// The text this node expects to be signed: what a caller compares with their own. It holds nothing but what was sent.
    pub fn expected_text(&self, head: &RequestHead<'_>) -> String {
        let mut text = Vec::new();
        self.push_expected(head, &mut text);
        String::from_utf8_lossy(&text).into_owned()
    }
}

fn differences<'a>(head: &RequestHead<'a>) -> Vec<Difference<'a>> {
    let mut found = Vec::with_capacity(DIFFERENCES_MAX);
    authorities(head, &mut found);
    schemes(head, &mut found);
    queries(head, &mut found);
    paths(head, &mut found);
    methods(head, &mut found);
    found
}

fn unchanged<'a>(head: &RequestHead<'a>) -> Undone<'a> {
    Undone {
        method: head.method.into(),
        scheme: head.scheme,
        authority: head.authority.into(),
        path: head.path.into(),
        query: head.query.map(Cow::Borrowed),
    }
}

fn authorities<'a>(head: &RequestHead<'a>, found: &mut Vec<Difference<'a>>) {
    let (host, port) = match head.authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => (host, Some(port)),
        Some(_) | None => (head.authority, None),
    };
    let mut add = |signed: Cow<'a, str>, scheme, advice| {
        let undone = Undone { authority: signed.clone(), scheme, ..unchanged(head) };
        let received = head.authority.into();
        found.push(Difference { component: "@authority", signed, received, advice, head: undone });
    };
    const SIGN_HOST: &str = "sign the `Host` that is sent, port included";
    match port {
        Some(_) => add(host.into(), head.scheme, SIGN_HOST),
        None => {
            // A port that is the default is left out of the base, so it is looked at as if it were not.
            const LEAVE_OUT: &str = "leave the scheme's default port out of what you sign";
            add(format!("{host}:80").into(), Scheme::Https, LEAVE_OUT);
            add(format!("{host}:443").into(), Scheme::Http, LEAVE_OUT);
        }
    }
    let local = match host {
        "localhost" => "127.0.0.1",
        "127.0.0.1" => "localhost",
        _ => return,
    };
    let signed = port.map_or(local.to_owned(), |port| format!("{local}:{port}"));
    add(signed.into(), head.scheme, SIGN_HOST);
}

fn schemes<'a>(head: &RequestHead<'a>, found: &mut Vec<Difference<'a>>) {
    let other = match head.scheme {
        Scheme::Http => Scheme::Https,
        Scheme::Https => Scheme::Http,
    };
    found.push(Difference {
        component: "@scheme",
        signed: other.as_str().into(),
        received: head.scheme.as_str().into(),
        advice: "sign the scheme of the node's listener; behind a TLS proxy sign `@authority`, `@path` and `@query` instead of `@target-uri`",
        head: Undone { scheme: other, ..unchanged(head) },
    });
}

fn queries<'a>(head: &RequestHead<'a>, found: &mut Vec<Difference<'a>>) {
    let Some(sent) = head.query else { return };
    let mut add = |signed: Option<Cow<'a, str>>, advice| {
        let undone = Undone { query: signed.clone(), ..unchanged(head) };
        let (signed, received) = (signed.unwrap_or_default(), sent.into());
        found.push(Difference { component: "@query", signed, received, advice, head: undone });
    };
    add(None, "sign the query too, from `?` on");
    let mut sorted: Vec<&str> = sent.split('&').collect();
    sorted.sort_unstable();
    let sorted = sorted.join("&");
    if sorted != sent {
        add(Some(sorted.clone().into()), "sign and send the parameters in one order");
    }
    if let Some(decoded) = decoded(sent) {
        add(Some(decoded.into()), "sign the query as it is sent, percent-encoded");
    }
    if sent.contains('+') {
        add(
            Some(sent.replace('+', "%20").into()),
            "a `+` is a blank to some readers only: send `%20`, as it was signed",
        );
    }
    if let Some(escaped) = escaped(sent, "+,;") {
        add(Some(escaped.into()), SEND_ESCAPED);
    }
    if let Some(escaped) = escaped(&sorted, "+,;") {
        add(Some(escaped.into()), SEND_ESCAPED);
    }
}

const SEND_ESCAPED: &str = "some readers take `+`, `,`, `:` and `;` for more than themselves: send them percent-encoded, as \
                            they were signed";

/// `text` with these bytes percent-encoded; `None` when it has none.
fn escaped(text: &str, bytes: &str) -> Option<String> {
    text.contains(|c| bytes.contains(c)).then(|| {
        let escape = |c: char| match c {
            '+' => "%2B".to_owned(),
            ',' => "%2C".to_owned(),
            ':' => "%3A".to_owned(),
            ';' => "%3B".to_owned(),
            other => other.to_string(),
        };
        text.chars().map(|c| if bytes.contains(c) { escape(c) } else { c.to_string() }).collect()
    })
}

fn paths<'a>(head: &RequestHead<'a>, found: &mut Vec<Difference<'a>>) {
    let mut add = |signed: Cow<'a, str>, advice| {
        let undone = Undone { path: signed.clone(), ..unchanged(head) };
        found.push(Difference { component: "@path", signed, received: head.path.into(), advice, head: undone });
    };
    match head.path.strip_suffix('/') {
        Some(shorter) if !shorter.is_empty() => add(shorter.into(), "sign the final `/` too, or leave it out of both"),
        Some(_) => {}
        None => add(format!("{}/", head.path).into(), "send the final `/` too, or leave it out of both"),
    }
    if let Some(decoded) = decoded(head.path) {
        add(decoded.into(), "sign the path as it is sent, percent-encoded");
    }
    if let Some(escaped) = escaped(head.path, "+,:;") {
        add(escaped.into(), SEND_ESCAPED);
    }
    if let Some(query) = head.query {
        add(format!("{}?{query}", head.path).into(), "sign the path without its query; `@query` covers that");
    }
}

fn methods<'a>(head: &RequestHead<'a>, found: &mut Vec<Difference<'a>>) {
    let mut add = |signed: Cow<'a, str>, advice| {
        let undone = Undone { method: signed.clone(), ..unchanged(head) };
        found.push(Difference { component: "@method", signed, received: head.method.into(), advice, head: undone });
    };
    add(head.method.to_ascii_lowercase().into(), "sign the method in upper case, as it is sent");
    let other = if head.method == "POST" { "GET" } else { "POST" };
    add(other.into(), "sign the method that is sent; a redirect may have changed it");
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { '?' } else { c }).collect()
}

/// `text` with its escapes decoded; `None` when there are none, or when the result is no text.
fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return None;
    }
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        plain.push(match byte {
            b'%' => bytes.next().and_then(hex::value)? << 4 | bytes.next().and_then(hex::value)?,
            other => other,
        });
    }
    String::from_utf8(plain).ok()
}

#[cfg(test)]
mod tests;
