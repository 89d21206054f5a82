//! AWS Signature Version 4: the header form, the presigned query form, and chunk-signed bodies.
//!
//! Ready clients are `curl --aws-sigv4 "aws:amz:<region>:s3" --user "$AK:$SK"`, the AWS SDKs and every S3 client. What
//! curl 7.88 (Debian 12) does, tried against a listener: it signs `host`, `x-amz-date` and every `-H` header; it signs
//! raw path and query; it hashes `-d` data into the canonical request **without sending the hash**. A request with a
//! body therefore needs the hash spelt out, which curl then also uses in its canonical request:
//!
//! ```text
//! curl --aws-sigv4 aws:amz:vn:s3 --user "$AK:$SK" --data-binary @body \
//!      -H "x-amz-content-sha256: $(sha256sum body | cut -d' ' -f1)" https://…
//! ```
//!
//! With `-T body` (streamed, not held in memory) the same header works. `UNSIGNED-PAYLOAD` in its place works where the
//! route allows it, and a signed `-H "content-digest: sha-256=:…:"` beside it makes the body verified again.

pub(super) mod authorization;
pub mod canonical;
mod checksum;
pub(super) mod chunk_sign;
pub(super) mod chunked;
pub(super) mod payload;
pub(super) mod presigned;
mod query;
pub(super) mod scope;
pub(super) mod sign;
mod signed_headers;
pub(super) mod timestamp;

pub use payload::{
    EMPTY_PAYLOAD, SIGN_THE_BODY, STREAMING_PAYLOAD, STREAMING_PAYLOAD_TRAILER, STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
};
pub use presigned::PRESIGNED_SECS_MAX;
use sha2::Digest;

use super::error::{ClaimError, Mismatch};
use super::key::KeyState;
use super::survey::Survey;
use super::{SIGNATURE_BYTES, hex};
use crate::head::RequestHead;
use crate::timestamp::UnixSeconds;
use canonical::{Canonical, Form, PathForm, QueryForm};
use chunked::ChunkVerifier;
use payload::{Declared, PayloadText};
use query::Query;
use scope::Scope;
use signed_headers::SignedHeaders;
use timestamp::AmzDate;

/// One SigV4 signature as the request presents it: complete, not yet verified.
#[derive(Clone)]
pub(super) struct SigV4<'a> {
    pub(super) scope: Scope<'a>,
    signed_headers: SignedHeaders<'a>,
    pub(super) signature: [u8; SIGNATURE_BYTES],
    pub(super) date: AmzDate,
    pub(super) expires: Option<UnixSeconds>,
    pub(super) payload: PayloadText<'a>,
    pub(super) presigned: bool,
}

impl<'a> SigV4<'a> {
    /// Reads the `Authorization` header form.
    pub(super) fn read_header(
        head: &RequestHead<'a>,
        survey: &Survey<'a>,
        authorization: &'a str,
    ) -> Result<Self, ClaimError> {
        let given = authorization::parse(authorization)?;
        let (date, date_header) = header_date(survey)?;
        let claim = Self {
            scope: given.scope,
            signed_headers: SignedHeaders::read(given.signed_headers, head)?,
            signature: given.signature,
            date,
            expires: None,
            payload: PayloadText::of_header_form(survey)?,
            presigned: false,
        };
        if !claim.covers(date_header) {
            return Err(ClaimError::NotCovered(date_header));
        }
        claim.checked(head)
    }

    /// Reads the query form. Its date, expiry and key lie in the query, which is signed as a whole.
    pub(super) fn read_presigned(
        head: &RequestHead<'a>,
        survey: &Survey<'a>,
        query: &'a str,
    ) -> Result<Self, ClaimError> {
        let given = presigned::parse(query)?;
        let payload = PayloadText::of_presigned(survey, given.content_sha256, given.scope.service)?;
        let claim = Self {
            scope: given.scope,
            signed_headers: SignedHeaders::read(given.signed_headers, head)?,
            signature: given.signature,
            date: given.date,
            expires: Some(given.expires),
            payload,
            presigned: true,
        };
        claim.checked(head)
    }

    /// What both forms have to satisfy.
    fn checked(self, head: &RequestHead<'a>) -> Result<Self, ClaimError> {
        if self.scope.date != self.date.day() {
            return Err(ClaimError::malformed("Credential", "its date is not the day of the signing time"));
        }
        if !self.covers("host") {
            return Err(ClaimError::NotCovered("host"));
        }
        query::check(head.query.unwrap_or_default())?;
        Ok(self)
    }

    /// Whether the header `name` is signed.
    fn covers(&self, name: &str) -> bool {
        self.signed_headers.names().any(|signed| signed == name)
    }

    /// Whether the field at this place in the head, the only one of its name, is signed.
    pub(super) fn covers_field(&self, at: usize) -> bool {
        self.signed_headers.covers_field(at)
    }

    /// Tries the canonical forms in use (see [`Form::accepted`]); a wrong signature and an unknown key try them all, and
    /// both derive the signing key, so that neither tells by its time whether the access key is known.
    pub(super) fn verify(&self, head: &RequestHead<'_>, key: &KeyState) -> Result<(), Mismatch> {
        let kept = key.kept_signing_key(&self.scope);
        let is_kept = kept.is_some();
        let signing_key = kept.unwrap_or_else(|| key.signing_key(&self.scope));
        let query = Query::of(head.query, self.presigned);
        for form in Form::accepted(head, &query, self.scope.service).into_iter().flatten() {
            let canonical = self.canonical(head, &query, form);
            let computed = canonical.signature(&self.scope, &self.date, signing_key.clone());
            if key.compare(&computed, &self.signature).is_ok() {
                if !is_kept {
                    key.keep_signing_key(&self.scope, &signing_key);
                }
                return Ok(());
            }
        }
        if is_kept {
            std::hint::black_box(key.signing_key(&self.scope));
        }
        Err(Mismatch)
    }

    /// The canonical request and, behind an empty line, the string to sign, in the documented form.
    pub(super) fn push_expected(&self, head: &RequestHead<'_>, text: &mut Vec<u8>) {
        let query = Query::of(head.query, self.presigned);
        let form = Form::documented(self.scope.service);
        self.canonical(head, &query, form).push_texts(&self.scope, &self.date, text);
    }

    fn canonical<'r>(&'r self, head: &'r RequestHead<'r>, query: &'r Query<'r>, form: Form) -> Canonical<'r, 'r> {
        Canonical { head, query, signed_headers: &self.signed_headers, payload: self.payload.text(), form }
    }

    /// What the client did, if it signed in a way that is in use but not accepted, because its bytes could mean another
    /// request too; and what to do instead.
    pub(super) fn unaccepted(&self, head: &RequestHead<'_>, key: &KeyState) -> Option<&'static str> {
        let query = Query::of(head.query, self.presigned);
        let signing_key = key.signing_key(&self.scope);
        let is_signed = |canonical: &Canonical<'_, '_>| {
            let computed = canonical.signature(&self.scope, &self.date, signing_key.clone());
            key.compare(&computed, &self.signature).is_ok()
        };
        let twice = |query_form| Form { path: PathForm::Twice, query: query_form };
        let queries = [QueryForm::Sorted, QueryForm::SortedAsSent];
        if self.scope.service == "s3"
            && queries.iter().any(|form| is_signed(&self.canonical(head, &query, twice(*form))))
        {
            return Some(
                "the path was percent-encoded twice before it was signed, as for services other than `s3`: turn off \
                 double encoding in your signer, or sign for another service name",
            );
        }
        let documented = self.canonical(head, &query, Form::documented(self.scope.service));
        if self.presigned && is_signed(&Canonical { payload: EMPTY_PAYLOAD, ..documented }) {
            return Some(
                "the link was signed with the hash of an empty body, but a link for `s3` says nothing of its body: sign \
                 `UNSIGNED-PAYLOAD` (botocore: `S3SigV4QueryAuth`), or sign for another service name",
            );
        }
        None
    }

    pub(super) fn chunk_verifier(&self, key: &KeyState, decoded_bytes: Option<u64>) -> Option<ChunkVerifier> {
        match self.payload.declared() {
            Declared::Chunked { .. } => {}
            Declared::UnsignedChunks { algorithm, .. } => {
                return Some(ChunkVerifier::unsigned(algorithm, decoded_bytes));
            }
            Declared::Nothing | Declared::Hash(_) | Declared::Unsigned => return None,
        }
        let chain = chunked::Chain::new(key, &self.scope, &self.date, self.signature);
        Some(ChunkVerifier::new(chain, decoded_bytes, self.payload.trailer_names()))
    }
}

/// The signing time of the header form: `x-amz-date`, else a `date` that states one instant, and which of the two it
/// was, because that one must be signed.
fn header_date(survey: &Survey<'_>) -> Result<(AmzDate, &'static str), ClaimError> {
    if let Some(text) = survey.amz_date {
        let date = AmzDate::parse(text);
        let wrong = || ClaimError::malformed("x-amz-date", "write it as `20261123T080000Z`");
        return Ok((date.ok_or_else(wrong)?, "x-amz-date"));
    }
    let text = survey.date.ok_or(ClaimError::NotCovered("x-amz-date"))?;
    let date = AmzDate::parse(text).or_else(|| AmzDate::parse_http(text));
    let wrong = || ClaimError::malformed("date", "is not an HTTP date; send and sign `x-amz-date`");
    Ok((date.ok_or_else(wrong)?, "date"))
}

/// SHA-256 of a body in hexadecimal: the value of `x-amz-content-sha256`.
pub fn payload_hash(body: &[u8]) -> String {
    hex::encode(&sha2::Sha256::digest(body).into()).iter().map(|digit| char::from(*digit)).collect()
}
