//! What a request says about itself, read and checked for completeness before anything is verified.
//!
//! Guarantee: a [`Claim`] exists only for a request whose signature covers everything the verifier wants covered. It
//! proves nothing yet about who sent it; that is [`Claim::verify`].

use std::fmt;

use super::SIGNATURE_BYTES;
use super::digest::{ContentDigest, ContentDigestError, ExpectedDigest};
use super::error::{ClaimError, Mismatch};
use super::key::KeyState;
use super::rfc9421::Rfc9421;
use super::sigv4::SigV4;
use super::sigv4::chunked::ChunkVerifier;
use super::sigv4::payload::Declared;
use super::survey::Survey;
use super::target_check::{EncodedSlash, check_target_with};
use super::{FORWARDED_TAG, NONCE_BYTES_MAX, sigv4};
use crate::field_name::{is_own, starts_with};
use crate::head::RequestHead;
use crate::timestamp::UnixSeconds;

/// How a request is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignatureScheme {
    /// HTTP Message Signatures.
    Rfc9421,
    /// AWS SigV4 in the `Authorization` header.
    SigV4Header,
    /// AWS SigV4 in the query.
    SigV4Presigned,
}

impl SignatureScheme {
    /// The metric label.
    pub fn label(self) -> &'static str {
        match self {
            SignatureScheme::Rfc9421 => "rfc9421",
            SignatureScheme::SigV4Header => "sigv4-header",
            SignatureScheme::SigV4Presigned => "sigv4-presigned",
        }
    }
}

/// What makes a request once-only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nonce<'a> {
    /// Chosen by the client: a signed `lgsp-nonce` header, else RFC 9421's `nonce`.
    Given(&'a str),
    /// SigV4 without `lgsp-nonce`: the signature itself, which repeats when an equal request is signed twice within
    /// one second.
    Signature([u8; SIGNATURE_BYTES]),
}

/// What the body has to satisfy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyRule {
    /// Signed as empty, or nothing vouches for a body: a single byte of body is a refusal. The head announced none.
    Empty,
    /// The body must have these digests.
    Digest(ExpectedDigest),
    /// `UNSIGNED-PAYLOAD`: nothing vouches for the body; only a route that allows it may take one. A request that
    /// turns out to have no body is as good as any.
    Unsigned,
    /// As unsigned, but in chunks with a checksum behind them; see [`Claim::chunk_verifier`].
    UnsignedChunks {
        /// The body's length without framing, when the client signed it.
        decoded_bytes: Option<u64>,
    },
    /// Signed chunk by chunk: see [`Claim::chunk_verifier`].
    Chunked {
        /// The body's length without framing, when the client signed it.
        decoded_bytes: Option<u64>,
    },
}

/// A request's complete, unverified statement of who signed it, when, and over what.
#[derive(Clone)]
pub struct Claim<'a> {
    signed: Signed<'a>,
    nonce: Nonce<'a>,
    body: BodyRule,
    session: Option<SessionClaim<'a>>,
}

/// A request that says it belongs to a session. Both headers are signed, or there would be no claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionClaim<'a> {
    /// The ticket; empty when there is only a proof.
    pub ticket: &'a str,
    /// The proof of the session key; empty when there is only a ticket.
    pub proof: &'a str,
}

/// Whose request is expected. Both sign with the system's secret.
#[derive(Clone, Copy)]
enum Sender {
    System,
    Platform,
}

// A claim lives on the stack for one decision; a box would be the only heap allocation in it.
#[allow(clippy::large_enum_variant)]
#[derive(Clone)]
enum Signed<'a> {
    Rfc9421(Rfc9421<'a>),
    SigV4(SigV4<'a>),
}

impl<'a> Claim<'a> {
    /// Reads the one signature of `head`. Refused are: a target with two readings, no signature or several, a
    /// signature that leaves out a required component, a `lgsp-*`, `x-amz-*` or `content-digest` header that is not
    /// signed, a signed header that is absent, a repeated security header, and an announced body nothing vouches for.
    /// A request that the platform signed for a target is refused too, or a target's own words could be turned into
    /// a request of that target.
    pub fn read(head: &RequestHead<'a>) -> Result<Claim<'a>, ClaimError> {
        Self::read_of(head, Sender::System, EncodedSlash::Refuse)
    }

    /// As [`Claim::read`], but an escaped `/` in the path is left to the route, which may take it for data.
    pub fn read_for_route(head: &RequestHead<'a>) -> Result<Claim<'a>, ClaimError> {
        Self::read_of(head, Sender::System, EncodedSlash::Data)
    }

    /// Reads what a target receives from the platform: as [`Claim::read`], but only what the platform signed. An
    /// escaped `/` in the path came past a route that takes it.
    pub fn read_forwarded(head: &RequestHead<'a>) -> Result<Claim<'a>, ClaimError> {
        Self::read_of(head, Sender::Platform, EncodedSlash::Data)
    }

    fn read_of(head: &RequestHead<'a>, sender: Sender, slash: EncodedSlash) -> Result<Claim<'a>, ClaimError> {
        check_target_with(head.path, head.query, slash)?;
        let survey = Survey::of(head)?;
        let signed = read_signed(head, &survey)?;
        let forwarded = matches!(&signed, Signed::Rfc9421(signed) if signed.tag == Some(FORWARDED_TAG));
        match sender {
            Sender::System if forwarded => return Err(ClaimError::Forwarded),
            Sender::Platform if !forwarded => return Err(ClaimError::NotForwarded),
            Sender::System | Sender::Platform => {}
        }
        require_own_headers_signed(head, &signed, sender)?;
        let nonce = nonce(&signed, &survey)?;
        let body = body_rule(&signed, &survey)?;
        let session = match (survey.session, survey.session_proof) {
            (None, None) => None,
            (ticket, proof) => {
                Some(SessionClaim { ticket: ticket.unwrap_or_default(), proof: proof.unwrap_or_default() })
            }
        };
        Ok(Claim { signed, nonce, body, session })
    }

    /// The session it says it belongs to.
    pub fn session(&self) -> Option<SessionClaim<'a>> {
        self.session
    }

    /// Who says they signed.
    pub fn access_key(&self) -> &'a str {
        match &self.signed {
            Signed::Rfc9421(signed) => signed.key_id,
            Signed::SigV4(signed) => signed.scope.access_key,
        }
    }

    /// When it was signed: `created`, or SigV4's date.
    pub fn created(&self) -> UnixSeconds {
        match &self.signed {
            Signed::Rfc9421(signed) => signed.created,
            Signed::SigV4(signed) => signed.date.at(),
        }
    }

    /// When the signature ends by its own account: `expires`, or a presigned query's date plus `X-Amz-Expires`.
    pub fn expires(&self) -> Option<UnixSeconds> {
        match &self.signed {
            Signed::Rfc9421(signed) => signed.expires,
            Signed::SigV4(signed) => signed.expires,
        }
    }

    /// What makes the request once-only.
    pub fn nonce(&self) -> Nonce<'a> {
        self.nonce
    }

    /// How it is signed.
    pub fn scheme(&self) -> SignatureScheme {
        match &self.signed {
            Signed::Rfc9421(_) => SignatureScheme::Rfc9421,
            Signed::SigV4(signed) if signed.presigned => SignatureScheme::SigV4Presigned,
            Signed::SigV4(_) => SignatureScheme::SigV4Header,
        }
    }

    /// Whether `key` made the signature over `head`, which must be the head the claim was read from. Compares in
    /// constant time; with [`KeyState::decoy`] it costs the same and fails.
    pub fn verify(&self, head: &RequestHead<'_>, key: &KeyState) -> Result<(), Mismatch> {
        match &self.signed {
            Signed::Rfc9421(signed) => signed.verify(head, key),
            Signed::SigV4(signed) => signed.verify(head, key),
        }
    }

    pub(super) fn push_expected(&self, head: &RequestHead<'_>, text: &mut Vec<u8>) {
        match &self.signed {
            Signed::Rfc9421(signed) => signed.push_expected(head, text),
            Signed::SigV4(signed) => signed.push_expected(head, text),
        }
    }

    /// What the client did, if it signed in a way that is in use but not accepted.
    pub(super) fn unaccepted(&self, head: &RequestHead<'_>, key: &KeyState) -> Option<&'static str> {
        match &self.signed {
            Signed::Rfc9421(_) => None,
            Signed::SigV4(signed) => signed.unaccepted(head, key),
        }
    }

    /// What the body has to satisfy.
    pub fn body(&self) -> BodyRule {
        self.body
    }

    /// The decoder of a body in chunks; `None` for every other body. Owned: it outlives the head.
    pub fn chunk_verifier(&self, key: &KeyState) -> Option<ChunkVerifier> {
        match (&self.signed, self.body) {
            (
                Signed::SigV4(signed),
                BodyRule::Chunked { decoded_bytes } | BodyRule::UnsignedChunks { decoded_bytes },
            ) => signed.chunk_verifier(key, decoded_bytes),
            (_, _) => None,
        }
    }
}

impl fmt::Debug for Claim<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim")
            .field("access_key", &self.access_key())
            .field("scheme", &self.scheme())
            .field("created", &self.created())
            .finish_non_exhaustive()
    }
}

/// Exactly one scheme: with two, a reader downstream could trust the one that was not verified here.
fn read_signed<'a>(head: &RequestHead<'a>, survey: &Survey<'a>) -> Result<Signed<'a>, ClaimError> {
    let message_signature = survey.signature_input.is_some() || survey.signature.is_some();
    let authorization = survey.authorization.filter(|value| sigv4::authorization::is_sigv4(value));
    let presigned_query = head.query.filter(|query| sigv4::presigned::is_presigned(query));
    match (message_signature, authorization, presigned_query) {
        (false, None, None) => Err(ClaimError::Missing),
        (true, None, None) => read_rfc9421(head, survey).map(Signed::Rfc9421),
        (false, Some(value), None) => SigV4::read_header(head, survey, value).map(Signed::SigV4),
        (false, None, Some(query)) => SigV4::read_presigned(head, survey, query).map(Signed::SigV4),
        (_, _, _) => Err(ClaimError::Ambiguous),
    }
}

fn read_rfc9421<'a>(head: &RequestHead<'a>, survey: &Survey<'a>) -> Result<Rfc9421<'a>, ClaimError> {
    let missing = |part, other: &str| ClaimError::malformed(part, format!("is missing, though `{other}` is there"));
    let input = survey.signature_input.ok_or_else(|| missing("Signature-Input", "Signature"))?;
    let signature = survey.signature.ok_or_else(|| missing("Signature", "Signature-Input"))?;
    Rfc9421::read(head, input, signature)
}

/// What gives a request its meaning here is signed wherever it is present. The platform signs what is its own word; the
/// `x-amz-*` headers of a source are passed on by it as any other header.
fn require_own_headers_signed(head: &RequestHead<'_>, signed: &Signed<'_>, sender: Sender) -> Result<(), ClaimError> {
    let trusted = |name: &str| match sender {
        Sender::System => is_own(name),
        Sender::Platform => starts_with(name, "lgsp-"),
    };
    let covers = |at: usize, name: &str| match signed {
        Signed::Rfc9421(signed) => signed.covers(name),
        Signed::SigV4(signed) => signed.covers_field(at),
    };
    let fields = head.fields.iter().enumerate();
    for (at, field) in fields.filter(|(_, field)| trusted(field.name) || field.is("content-digest")) {
        if !covers(at, field.name) {
            return Err(ClaimError::unsigned(field.name));
        }
    }
    Ok(())
}

fn nonce<'a>(signed: &Signed<'a>, survey: &Survey<'a>) -> Result<Nonce<'a>, ClaimError> {
    if let Some(nonce) = survey.nonce {
        let fits = (1..=NONCE_BYTES_MAX).contains(&nonce.len());
        let reason = || ClaimError::malformed("lgsp-nonce", format!("use 1 to {NONCE_BYTES_MAX} characters"));
        return if fits { Ok(Nonce::Given(nonce)) } else { Err(reason()) };
    }
    match signed {
        Signed::Rfc9421(signed) => signed.nonce.map(Nonce::Given).ok_or(ClaimError::NonceMissing),
        Signed::SigV4(signed) => Ok(Nonce::Signature(signed.signature)),
    }
}

/// `content-digest` is signed wherever it is present (checked before), so that it always counts.
fn body_rule(signed: &Signed<'_>, survey: &Survey<'_>) -> Result<BodyRule, ClaimError> {
    let digest = survey.content_digest.map(ContentDigest::parse).transpose()?;
    match (signed, digest) {
        (Signed::Rfc9421(_), Some(digest)) => Ok(BodyRule::Digest(digest)),
        (Signed::Rfc9421(_), None) if survey.body_declared() => {
            Err(ClaimError::DigestMissing("add a `Content-Digest` header and sign `content-digest`"))
        }
        (Signed::Rfc9421(_), None) => Ok(BodyRule::Empty),
        (Signed::SigV4(signed), digest) => sigv4_body_rule(signed.payload.declared(), digest, survey),
    }
}

fn sigv4_body_rule(
    payload: Declared,
    digest: Option<ExpectedDigest>,
    survey: &Survey<'_>,
) -> Result<BodyRule, ClaimError> {
    match (payload, digest) {
        (Declared::Hash(hash), Some(digest)) => {
            let both = ExpectedDigest::sha256(hash).and(digest).ok_or(ContentDigestError::Contradictory)?;
            Ok(BodyRule::Digest(both))
        }
        (Declared::Hash(hash), None) if survey.body_declared() || hash != sigv4::payload::EMPTY_SHA256 => {
            Ok(BodyRule::Digest(ExpectedDigest::sha256(hash)))
        }
        (Declared::Hash(_), None) => Ok(BodyRule::Empty),
        (Declared::Unsigned, Some(digest)) => Ok(BodyRule::Digest(digest)),
        (Declared::Unsigned, None) => Ok(BodyRule::Unsigned),
        (Declared::Chunked { .. } | Declared::UnsignedChunks { .. }, Some(_)) => {
            let reason = "covers the framing of a body in chunks, which is removed here; leave it out";
            Err(ClaimError::malformed("content-digest", reason))
        }
        (Declared::Chunked { decoded_bytes }, None) => Ok(BodyRule::Chunked { decoded_bytes }),
        (Declared::UnsignedChunks { decoded_bytes, .. }, None) => Ok(BodyRule::UnsignedChunks { decoded_bytes }),
        (Declared::Nothing, Some(digest)) => Ok(BodyRule::Digest(digest)),
        (Declared::Nothing, None) if survey.body_declared() => Err(ClaimError::DigestMissing(
            "send and sign `x-amz-content-sha256` with the SHA-256 of the body in hexadecimal",
        )),
        (Declared::Nothing, None) => Ok(BodyRule::Empty),
    }
}
