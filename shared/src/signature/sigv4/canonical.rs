//! The canonical request, the string to sign, and which canonical forms the verifier accepts.

use hmac::Hmac;
use sha2::{Digest, Sha256};

use super::super::key::{self, KeyState};
use super::super::sink::{Gathering, Sink};
use super::query::{self, Encoding, SIGNATURE_PARAMETER};
use super::scope::Scope;
use super::signed_headers::SignedHeaders;
use super::timestamp::AmzDate;
use crate::head::RequestHead;

/// How the path appears in the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathForm {
    /// As sent.
    Raw,
    /// Decoded and encoded again: S3.
    Once,
    /// As sent, then encoded: every other service.
    Twice,
}

/// How the query appears in the canonical request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryForm {
    /// As sent.
    Raw,
    /// Decoded, encoded again, and sorted: what AWS documents.
    Sorted,
    /// As sent, sorted.
    SortedAsSent,
}

/// One canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// The path's.
    pub path: PathForm,
    /// The query's.
    pub query: QueryForm,
}

/// The most forms one signature is tried in; each is one more hash over the head for a signature that is wrong.
const FORMS_MAX: usize = 4;

impl Form {
    /// AWS's own; newer curl; botocore; curl 7.88.
    const S3: [Form; FORMS_MAX] = [
        Form { path: PathForm::Once, query: QueryForm::Sorted },
        Form { path: PathForm::Raw, query: QueryForm::Sorted },
        Form { path: PathForm::Raw, query: QueryForm::SortedAsSent },
        Form { path: PathForm::Raw, query: QueryForm::Raw },
    ];
    /// AWS's own and newer curl; botocore; curl 7.88; clients that sign every service as they sign S3.
    const OTHER: [Form; FORMS_MAX] = [
        Form { path: PathForm::Twice, query: QueryForm::Sorted },
        Form { path: PathForm::Twice, query: QueryForm::SortedAsSent },
        Form { path: PathForm::Raw, query: QueryForm::Raw },
        Form { path: PathForm::Once, query: QueryForm::Sorted },
    ];

    /// The documented form for `service`.
    pub fn documented(service: &str) -> Form {
        let [documented, ..] = if service == "s3" { Self::S3 } else { Self::OTHER };
        documented
    }

    /// The forms to try for `head`, documented one first, without those that would give the same bytes again.
    ///
    /// Two requests that mean different things must never share a form's bytes. Raw and once-encoded agree on what
    /// they mean; a twice-encoded `/a%20b`, though, is the raw `/a%2520b`. So outside `s3` a path that holds `%25` is
    /// accepted only encoded twice.
    pub(super) fn accepted(head: &RequestHead<'_>, service: &str) -> [Option<Form>; FORMS_MAX] {
        let path_is_plain = head.path.bytes().all(|byte| query::is_unreserved(byte) || byte == b'/');
        let query_is_plain = query::is_canonical(head.query.unwrap_or_default());
        let only_twice = service != "s3" && head.path.contains("%25");
        let mut accepted = [None; FORMS_MAX];
        for (at, form) in (if service == "s3" { Self::S3 } else { Self::OTHER }).into_iter().enumerate() {
            let reduced = Form {
                path: if path_is_plain { PathForm::Raw } else { form.path },
                query: if query_is_plain { QueryForm::Raw } else { form.query },
            };
            let excluded = only_twice && form.path != PathForm::Twice;
            if !excluded
                && !accepted.contains(&Some(reduced))
                && let Some(place) = accepted.get_mut(at)
            {
                *place = Some(reduced);
            }
        }
        accepted
    }
}

/// Everything that goes into one canonical request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canonical<'r, 'a> {
    pub(super) head: &'r RequestHead<'a>,
    pub(super) signed_headers: SignedHeaders<'a>,
    /// The last line: a hash in hexadecimal, or one of AWS's markers.
    pub(super) payload: &'r str,
    pub(super) form: Form,
    /// Whether the query holds the signature, which is then left out.
    pub(super) presigned: bool,
}

impl Canonical<'_, '_> {
    pub(super) fn push(&self, sink: &mut impl Sink) {
        sink.push(self.head.method.as_bytes());
        sink.push(b"\n");
        let path = self.head.path.as_bytes();
        match self.form.path {
            PathForm::Raw => sink.push(path),
            PathForm::Once => query::push_encoded(path, Encoding::Once, b"/", sink),
            PathForm::Twice => query::push_encoded(path, Encoding::Again, b"/", sink),
        }
        sink.push(b"\n");
        let skipped = self.presigned.then_some(SIGNATURE_PARAMETER);
        let text = self.head.query.unwrap_or_default();
        match self.form.query {
            QueryForm::Raw => query::push_raw(text, skipped, sink),
            QueryForm::Sorted => query::push_sorted(text, skipped, sink),
            QueryForm::SortedAsSent => query::push_sorted_as_sent(text, skipped, sink),
        }
        sink.push(b"\n");
        self.signed_headers.push(self.head, sink);
        sink.push(self.payload.as_bytes());
    }

    /// The canonical request and, behind an empty line, the string to sign.
    pub(super) fn push_texts(&self, scope: &Scope<'_>, date: &AmzDate, text: &mut Vec<u8>) {
        self.push(text);
        let hash = Sha256::digest(&*text).into();
        text.extend_from_slice(b"\n\n");
        push_string_to_sign(scope, date, &hash, text);
    }

    /// The signature under an already derived signing key.
    pub(super) fn signature(&self, scope: &Scope<'_>, date: &AmzDate, signing_key: Hmac<Sha256>) -> [u8; 32] {
        let mut hash = Gathering::new(Sha256::new());
        self.push(&mut hash);
        let mut mac = Gathering::new(signing_key);
        push_string_to_sign(scope, date, &hash.into_inner().finalize().into(), &mut mac);
        key::finish(mac.into_inner())
    }
}

fn push_string_to_sign(scope: &Scope<'_>, date: &AmzDate, request_hash: &[u8; 32], sink: &mut impl Sink) {
    sink.push(b"AWS4-HMAC-SHA256\n");
    sink.push(date.as_str().as_bytes());
    sink.push(b"\n");
    scope.push(sink);
    sink.push(b"\n");
    sink.push(&super::super::hex::encode(request_hash));
}

/// One signature's three stages, as text, for a person (or a vector) to compare with their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The canonical request.
    pub canonical_request: Vec<u8>,
    /// The string to sign.
    pub string_to_sign: Vec<u8>,
    /// The signature in hexadecimal.
    pub signature: String,
}

/// Writes down what [`super::super::Claim::verify`] hashes in one form, for a request signed as `credential` says
/// (`<access key>/<day>/<region>/<service>/aws4_request`); `None` when that is malformed. Neither the target nor the
/// completeness of the signature is checked.
pub fn explain(
    head: &RequestHead<'_>,
    credential: &str,
    date: &AmzDate,
    signed_headers: &str,
    payload: &str,
    form: Form,
    key: &KeyState,
) -> Option<Explanation> {
    let scope = Scope::parse(credential).ok()?;
    let presigned = head.query.is_some_and(super::presigned::is_presigned);
    let canonical = Canonical { head, signed_headers: SignedHeaders::new(signed_headers), payload, form, presigned };
    let mut canonical_request = Vec::new();
    canonical.push(&mut canonical_request);
    let mut string_to_sign = Vec::new();
    push_string_to_sign(&scope, date, &Sha256::digest(&canonical_request).into(), &mut string_to_sign);
    let signature = canonical.signature(&scope, date, key.signing_key(&scope));
    let signature = super::super::hex::encode(&signature).iter().map(|digit| char::from(*digit)).collect();
    Some(Explanation { canonical_request, string_to_sign, signature })
}
