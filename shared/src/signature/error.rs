//! Why a request's claim about itself is refused, in words its sender can act on. No text holds a secret.

use super::FORWARDED_TAG;
use super::digest::ContentDigestError;
use super::target_check::TargetError;
use crate::refusal::Code;

/// Why a request was refused before its signature was computed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// Nothing is signed.
    #[error(
        "the request has neither `Signature-Input` and `Signature` (RFC 9421) nor an AWS SigV4 `Authorization` header or query"
    )]
    Missing,
    /// Two schemes at once, so that two readers could trust different things.
    #[error(
        "the request is signed in more than one way (`Signature-Input`, SigV4 header, SigV4 query): use exactly one"
    )]
    Ambiguous,
    /// The target could be read in more than one way.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The method or host is not what HTTP allows.
    #[error("the {0} of the request is malformed")]
    Head(&'static str),
    /// `Host` differs from `:authority`, or from the authority of an absolute target.
    #[error("the `Host` header differs from the request's authority: send one name")]
    HostConflict,
    /// More own-prefix headers than any client needs.
    #[error("the request has more than {limit} `lgsp-*` and `x-amz-*` headers: send fewer")]
    TooManyOwnHeaders {
        /// The bound.
        limit: usize,
    },
    /// A header that decides about trust is there twice.
    #[error("the header `{0}` appears more than once: send it once")]
    Repeated(Box<str>),
    /// A part of the signature has the wrong form.
    #[error("`{part}`: {reason}")]
    Malformed {
        /// The header, parameter or component.
        part: Box<str>,
        /// What is wrong and what would be right.
        reason: Box<str>,
    },
    /// A component that has to be covered is not.
    #[error("the signature does not cover `{0}`: sign it too")]
    NotCovered(&'static str),
    /// A header the platform gives meaning to is present but not signed.
    #[error("the header `{0}` is present but not signed: sign it or leave it out")]
    Unsigned(Box<str>),
    /// The signature covers a header the request does not have.
    #[error("the signature covers `{0}`, but the request has no such header")]
    Absent(Box<str>),
    /// RFC 9421 without a nonce.
    #[error("the signature has no `nonce`: add the parameter, or sign a `lgsp-nonce` header")]
    NonceMissing,
    /// A body that nothing signed vouches for.
    #[error("the request has a body, but nothing signed vouches for it: {0}")]
    DigestMissing(&'static str),
    /// The platform's own signature on a request it forwarded, sent to the platform.
    #[error(
        "the signature carries the tag `{FORWARDED_TAG}`, which the platform alone uses, towards targets; sign your own request"
    )]
    Forwarded,
    /// Not the platform's signature, where only that counts.
    #[error(
        "the signature does not carry the tag `{FORWARDED_TAG}`: it is not the platform's on a request it forwarded"
    )]
    NotForwarded,
    /// The signed digest cannot be read.
    #[error(transparent)]
    Digest(#[from] ContentDigestError),
}

impl ClaimError {
    /// The refusal this leads to.
    pub fn code(&self) -> Code {
        match self {
            ClaimError::Missing => Code::SignatureMissing,
            ClaimError::Ambiguous
            | ClaimError::Repeated(_)
            | ClaimError::Malformed { .. }
            | ClaimError::Forwarded
            | ClaimError::NotForwarded
            | ClaimError::Digest(_) => Code::SignatureMalformed,
            ClaimError::Target(_) | ClaimError::Head(_) | ClaimError::HostConflict => Code::RequestMalformed,
            ClaimError::TooManyOwnHeaders { .. } => Code::HeaderTooLarge,
            ClaimError::NotCovered(_) | ClaimError::Unsigned(_) | ClaimError::Absent(_) => Code::SignatureIncomplete,
            ClaimError::NonceMissing => Code::NonceMissing,
            ClaimError::DigestMissing(_) => Code::DigestMissing,
        }
    }

    /// The text for the problem document's `detail`.
    pub fn detail(&self) -> String {
        self.to_string()
    }

    pub(super) fn malformed(part: &str, reason: impl Into<Box<str>>) -> Self {
        ClaimError::Malformed { part: shown(part), reason: reason.into() }
    }

    pub(super) fn unsigned(name: &str) -> Self {
        ClaimError::Unsigned(shown(name))
    }

    pub(super) fn absent(name: &str) -> Self {
        ClaimError::Absent(shown(name))
    }

    pub(super) fn repeated(name: &str) -> Self {
        ClaimError::Repeated(shown(name))
    }
}

/// No more of a hostile name than a reader needs to recognise it, and nothing a terminal would act on.
fn shown(name: &str) -> Box<str> {
    const SHOWN_CHARS_MAX: usize = 80;
    let readable = |c: char| if c.is_ascii_graphic() || c == ' ' { c } else { '?' };
    name.chars().take(SHOWN_CHARS_MAX).map(readable).collect()
}

/// The signature is not the one the secret makes over this request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not match the request")]
pub struct Mismatch;

/// Why a request cannot be signed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The head has no such header.
    #[error("cannot sign `{0}`: the request has no such header")]
    Absent(Box<str>),
    /// Not a component the verifier supports, or one named twice.
    #[error("cannot sign `{0}`: not a supported component, or named twice")]
    Component(Box<str>),
    /// More than the verifier accepts.
    #[error("cannot sign more than {0} components or query parameters")]
    TooMany(usize),
    /// A character a quoted string cannot hold, or a length out of bounds.
    #[error("`{0}` cannot be written into a signature: use visible ASCII without quotes and backslashes")]
    Parameter(&'static str),
    /// A time outside the years 1970 to 9999.
    #[error("the signing time is out of range")]
    Time,
}
