//! The JSON bodies of the two endpoints: small, bounded by their reader, and strict, because a field that is not
//! understood might have been meant to restrict.

use serde::{Deserialize, Serialize};

use crate::head::{Field, RequestHead, Scheme};
use crate::id::ServiceId;
use crate::refusal::Code;
use crate::timestamp::UnixSeconds;

/// The largest body either endpoint takes: a request's header list is 32 KiB at most, and half of it is enough here.
pub const BODY_BYTES_MAX: usize = 16 << 10;
/// The most header fields of a received request; as many as a node takes itself.
pub const HEADERS_MAX: usize = 64;

/// What a source asks for (step 1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// The service it wants to call.
    pub service: ServiceId,
    /// Only these methods; all that are granted when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Only below these paths; all that are granted when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
}

/// What a source is given (step 2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionAnswer {
    /// The ticket, to be sent as it is.
    pub ticket: String,
    /// The session key, 64 hexadecimal digits.
    pub session_key: String,
    /// The service it is for.
    pub service: ServiceId,
    /// Good until this instant, exclusive.
    pub expires: UnixSeconds,
    /// The same as seconds from now, for a caller whose clock differs.
    pub expires_in_secs: u32,
    /// What it covers.
    pub scopes: Vec<CoveredScope>,
}

/// Each of these methods at each of these paths.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoveredScope {
    /// Methods.
    pub methods: Vec<String>,
    /// Path prefixes; `/` for all.
    pub paths: Vec<String>,
}

/// What a target asks (step 4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VerificationRequest {
    /// Which of its services was called.
    pub service: ServiceId,
    /// The request as it arrived.
    pub request: ReceivedRequest,
}

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReceivedScheme {
    /// Plain.
    #[default]
    Http,
    /// Over TLS.
    Https,
}

/// A request's head as a target received it, nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReceivedRequest {
    /// The method.
    pub method: String,
    /// Plain or TLS.
    #[serde(default)]
    pub scheme: ReceivedScheme,
    /// The `Host` header.
    pub authority: String,
    /// The raw path.
    pub path: String,
    /// The raw query, without its `?`; absent when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The header fields that are signed, the signature's own and those of the session, as name and value.
    pub headers: Vec<(String, String)>,
}

impl ReceivedRequest {
    /// The header fields, in order; to be given to [`Self::head`].
    pub fn fields(&self) -> Vec<Field<'_>> {
        self.headers.iter().map(|(name, value)| Field { name, value: value.as_bytes() }).collect()
    }

    /// The head to verify.
    pub fn head<'a>(&'a self, fields: &'a [Field<'a>]) -> RequestHead<'a> {
        let scheme = match self.scheme {
            ReceivedScheme::Http => Scheme::Http,
            ReceivedScheme::Https => Scheme::Https,
        };
        let Self { method, authority, path, query, .. } = self;
        RequestHead { method, scheme, authority, path, query: query.as_deref(), fields }
    }
}

/// What the platform says about a request (step 5). Signed with the target's own secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "lowercase")]
pub enum Verdict {
    /// It is what it claims to be.
    Accepted(Accepted),
    /// It is not, or not any more: do not serve it.
    Refused(Refused),
}

/// A request that may be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The system that sent it.
    pub source: String,
    /// The identification code of its agency.
    pub agency: String,
    /// The service it may call.
    pub service: String,
    /// The method that was verified.
    pub method: String,
    /// The path that was verified.
    pub path: String,
    /// The nonce that was verified; it will not be accepted again.
    pub nonce: String,
    /// When the session ends.
    pub expires: UnixSeconds,
    /// The `content-digest` the source signed, to be compared with the body; absent when the request has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_digest: Option<String>,
}

/// A request that may not be served.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Why.
    pub code: String,
    /// Why, for a person.
    pub title: String,
    /// What its source should do.
    pub next: String,
    /// Which part of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Refused {
    /// A refusal for this reason.
    pub fn new(code: Code, language: crate::refusal::Language, detail: Option<String>) -> Self {
        let advice = code.advice(language);
        Self { code: code.label().into(), title: advice.title.into(), next: advice.next.into(), detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_is_not_understood_is_refused_because_it_may_restrict() {
        let asked: SessionRequest = serde_json::from_str(r#"{"service": "ho-tich"}"#).unwrap();
        assert!(asked.methods.is_empty() && asked.paths.is_empty());
        let error = serde_json::from_str::<SessionRequest>(r#"{"service": "ho-tich", "methodes": ["GET"]}"#);
        assert!(error.unwrap_err().to_string().contains("methodes"));
    }

    #[test]
    fn a_verdict_names_itself_first() {
        let refused = Refused::new(Code::SessionExpired, crate::refusal::Language::English, None);
        let text = serde_json::to_string(&Verdict::Refused(refused)).unwrap();
        assert!(text.starts_with(r#"{"verdict":"refused","code":"session-expired""#), "{text}");
        assert!(matches!(serde_json::from_str(&text), Ok(Verdict::Refused(_))));
    }
}
