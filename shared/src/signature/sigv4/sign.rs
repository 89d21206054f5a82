//! Signing with SigV4, into buffers the caller reuses: in the documented canonical form, or, where that could mean another
//! request too, in another one that the verifier accepts.

use super::super::error::SignError;
use super::super::hex;
use super::super::key::KeyState;
use super::super::{QUERY_PARAMETERS_MAX, SIGNED_HEADERS_MAX};
use super::authorization::ALGORITHM;
use super::canonical::{Canonical, Form};
use super::presigned::PRESIGNED_SECS_MAX;
use super::query::{Query, SIGNATURE_PARAMETER};
use super::scope::Scope;
use super::signed_headers::SignedHeaders;
use super::timestamp::AmzDate;
use crate::head::RequestHead;

/// What a signature says about itself.
#[derive(Debug, Clone, Copy)]
pub struct SigV4Params<'a> {
    /// The access key.
    pub access_key: &'a str,
    /// Any name; part of the signature only.
    pub region: &'a str,
    /// `s3` for paths encoded once, anything else for paths encoded twice.
    pub service: &'a str,
    /// When it is made: the value of `x-amz-date`.
    pub date: AmzDate,
    /// The value of `x-amz-content-sha256`: a hash in hexadecimal, or one of the markers in [`super`].
    pub payload: &'a str,
}

impl<'a> SigV4Params<'a> {
    pub(super) fn scope(&'a self) -> Result<Scope<'a>, SignError> {
        let name = |text: &str| {
            (1..=64).contains(&text.len())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        for (text, what) in [(self.access_key, "access key"), (self.region, "region"), (self.service, "service")] {
            if !name(text) {
                return Err(SignError::Parameter(what));
            }
        }
        Ok(Scope { access_key: self.access_key, date: self.date.day(), region: self.region, service: self.service })
    }
}

/// Signs `signed_headers` of `head` (lower case, sorted, `host` among them); replaces the buffer's content with the
/// value of `Authorization` and returns the signature, from which a chunk-signed body goes on.
///
/// The head must already carry `x-amz-date` and, for `s3` and for requests with a body, `x-amz-content-sha256`.
pub fn sign_sigv4_header(
    head: &RequestHead<'_>,
    signed_headers: &[&str],
    params: &SigV4Params<'_>,
    key: &KeyState,
    out: &mut Vec<u8>,
) -> Result<[u8; 32], SignError> {
    let scope = params.scope()?;
    check(head, signed_headers)?;
    out.clear();
    for part in [ALGORITHM, " Credential=", scope.access_key, "/"] {
        out.extend_from_slice(part.as_bytes());
    }
    scope.push(out);
    out.extend_from_slice(b", SignedHeaders=");
    let list_start = out.len();
    push_list(signed_headers, ";", out);

    let list = out.get(list_start..).and_then(|list| std::str::from_utf8(list).ok()).unwrap_or_default();
    let query = Query::of(head.query, false);
    let canonical = Canonical {
        head,
        query: &query,
        signed_headers: &SignedHeaders::locate(list, head).0,
        payload: params.payload,
        form: Form::to_sign(head, &query, scope.service),
    };
    let signature = canonical.signature(&scope, &params.date, key.signing_key(&scope));
    out.extend_from_slice(b", Signature=");
    out.extend_from_slice(&hex::encode(&signature));
    Ok(signature)
}

/// Signs `head` for `expires_secs` from its date; replaces the buffer's content with the whole query to send.
pub fn presign_sigv4(
    head: &RequestHead<'_>,
    signed_headers: &[&str],
    params: &SigV4Params<'_>,
    expires_secs: u32,
    key: &KeyState,
    out: &mut Vec<u8>,
) -> Result<(), SignError> {
    let scope = params.scope()?;
    check(head, signed_headers)?;
    if !(1..=PRESIGNED_SECS_MAX).contains(&expires_secs) {
        return Err(SignError::Parameter("X-Amz-Expires"));
    }
    out.clear();
    if let Some(query) = head.query.filter(|query| !query.is_empty()) {
        out.extend_from_slice(query.as_bytes());
        out.push(b'&');
    }
    let credential = [scope.access_key, scope.date, scope.region, scope.service, "aws4_request"];
    out.extend_from_slice(b"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=");
    push_list(&credential, "%2F", out);
    let expires = expires_secs.to_string();
    for part in ["&X-Amz-Date=", params.date.as_str(), "&X-Amz-Expires=", &expires, "&X-Amz-SignedHeaders="] {
        out.extend_from_slice(part.as_bytes());
    }
    let list_start = out.len();
    push_list(signed_headers, "%3B", out);

    let query = std::str::from_utf8(out).unwrap_or_default();
    if query.split('&').count() >= QUERY_PARAMETERS_MAX {
        return Err(SignError::TooMany(QUERY_PARAMETERS_MAX));
    }
    let list = query.get(list_start..).unwrap_or_default();
    let head = &RequestHead { query: Some(query), ..*head };
    let query = Query::of(Some(query), true);
    let canonical = Canonical {
        head,
        query: &query,
        signed_headers: &SignedHeaders::locate(list, head).0,
        payload: params.payload,
        form: Form::to_sign(head, &query, scope.service),
    };
    let signature = canonical.signature(&scope, &params.date, key.signing_key(&scope));
    for part in ["&", SIGNATURE_PARAMETER, "="] {
        out.extend_from_slice(part.as_bytes());
    }
    out.extend_from_slice(&hex::encode(&signature));
    Ok(())
}

fn check(head: &RequestHead<'_>, signed_headers: &[&str]) -> Result<(), SignError> {
    if signed_headers.len() > SIGNED_HEADERS_MAX {
        return Err(SignError::TooMany(SIGNED_HEADERS_MAX));
    }
    if !signed_headers.contains(&"host") {
        return Err(SignError::Absent("host".into()));
    }
    if !signed_headers.is_sorted_by(|a, b| a < b) {
        return Err(SignError::Component(signed_headers.join(";").into()));
    }
    match signed_headers.iter().find(|name| **name != "host" && head.all(name).next().is_none()) {
        Some(absent) => Err(SignError::Absent((*absent).into())),
        None => Ok(()),
    }
}

fn push_list(parts: &[&str], separator: &str, out: &mut Vec<u8>) {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            out.extend_from_slice(separator.as_bytes());
        }
        out.extend_from_slice(part.as_bytes());
    }
}
