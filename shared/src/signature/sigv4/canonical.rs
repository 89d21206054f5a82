//! The canonical request, the string to sign, and which canonical forms the verifier accepts.

use hmac::Hmac;
use sha2::{Digest, Sha256};

use super::super::key::{self, KeyState};
use super::super::sink::{Gathering, Sink};
use super::query::{self, Encoding, Query};
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
const FORMS_MAX: usize = 5;

impl Form {
    /// AWS's own; newer curl; botocore; curl 7.88.
    const S3: [Form; FORMS_MAX] = [
        Form { path: PathForm::Once, query: QueryForm::Sorted },
        Form { path: PathForm::Raw, query: QueryForm::Sorted },
        Form { path: PathForm::Raw, query: QueryForm::SortedAsSent },
        Form { path: PathForm::Raw, query: QueryForm::Raw },
        Form { path: PathForm::Once, query: QueryForm::Raw },
    ];
    /// AWS's own and newer curl; botocore; curl 7.88; clients that sign every service as they sign S3; our own signer where
    /// sorting would hide an order.
    const OTHER: [Form; FORMS_MAX] = [
        Form { path: PathForm::Twice, query: QueryForm::Sorted },
        Form { path: PathForm::Twice, query: QueryForm::SortedAsSent },
        Form { path: PathForm::Raw, query: QueryForm::Raw },
        Form { path: PathForm::Once, query: QueryForm::Sorted },
        Form { path: PathForm::Twice, query: QueryForm::Raw },
    ];

    /// The form to sign a request in: the documented one, unless its bytes could mean another request too.
    pub(super) fn to_sign(head: &RequestHead<'_>, query: &Query<'_>, service: &str) -> Form {
        Self::accepted(head, query, service).into_iter().flatten().next().unwrap_or(Self::documented(service))
    }

    /// The documented form for `service`.
    pub fn documented(service: &str) -> Form {
        let [documented, ..] = if service == "s3" { Self::S3 } else { Self::OTHER };
        documented
    }

    /// The forms to try for a request, documented one first, without those that would give the same bytes again.
    ///
    /// Two requests that mean different things must never share a form's bytes: who is on the way could turn one into the
    /// other. The rule:
    /// * what a form's bytes say, read as a target, is what the request has to say. So where a form encodes anew, a path
    ///   may not hold [`holds_delimiters`] and a query not [`Query::holds_delimiters`] unescaped, and where it sorts,
    ///   parameters of one name have to stand in that order already;
    /// * the case of escapes, escapes of other bytes, the order of parameters of different names, and `a` for `a=` mean
    ///   nothing, and may differ from what was signed;
    /// * a twice-encoded `/a%20b` is the raw `/a%2520b`, and a twice-encoded `/a:b` the raw `/a%3Ab`. So outside `s3` a
    ///   path that holds such an escape is accepted only encoded twice, and within `s3` none is.
    pub(super) fn accepted(head: &RequestHead<'_>, query: &Query<'_>, service: &str) -> [Option<Form>; FORMS_MAX] {
        let path_is_plain = head.path.bytes().all(|byte| query::is_unreserved(byte) || byte == b'/');
        let query_is_plain = query.is_canonical();
        let only_twice = service != "s3" && !path_is_plain && holds_escaped_delimiters(head.path);
        let only_raw_path = !path_is_plain && holds_delimiters(head.path);
        let not_encoded = !query_is_plain && (query.holds_delimiters() || !query.keeps_order_encoded());
        let not_sorted = !query_is_plain && !query.keeps_order_as_sent();
        let mut accepted = [None; FORMS_MAX];
        for (at, form) in (if service == "s3" { Self::S3 } else { Self::OTHER }).into_iter().enumerate() {
            let reduced = Form {
                path: if path_is_plain { PathForm::Raw } else { form.path },
                query: if query_is_plain { QueryForm::Raw } else { form.query },
            };
            let excluded = (only_twice && form.path != PathForm::Twice)
                || (only_raw_path && form.path == PathForm::Once)
                || (not_sorted && form.query == QueryForm::SortedAsSent)
                || (not_encoded && form.query == QueryForm::Sorted);
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

/// Whether a path holds, unescaped, what some reader takes for more than itself: `;` and `,` begin and separate parameters
/// of a segment, `:` begins a verb, `+` is a blank to those who decode paths as forms.
fn holds_delimiters(path: &str) -> bool {
    path.bytes().any(|byte| matches!(byte, b'+' | b',' | b':' | b';'))
}

/// Whether a path holds an escape of those, or of `%`.
fn holds_escaped_delimiters(path: &str) -> bool {
    let mut escapes = path.split('%').skip(1).filter_map(|text| text.get(..2));
    escapes.any(|digits| ["25", "2b", "2c", "3a", "3b"].iter().any(|other| digits.eq_ignore_ascii_case(other)))
}

/// Everything that goes into one canonical request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Canonical<'r, 'a> {
    pub(super) head: &'r RequestHead<'a>,
    pub(super) query: &'r Query<'a>,
    pub(super) signed_headers: &'r SignedHeaders<'r>,
    /// The last line: a hash in hexadecimal, or one of AWS's markers.
    pub(super) payload: &'r str,
    pub(super) form: Form,
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
        match self.form.query {
            QueryForm::Raw => self.query.push_raw(sink),
            QueryForm::Sorted => self.query.push_sorted(sink),
            QueryForm::SortedAsSent => self.query.push_sorted_as_sent(sink),
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
    let query = Query::of(head.query, head.query.is_some_and(super::presigned::is_presigned));
    let (signed_headers, _) = SignedHeaders::locate(signed_headers, head);
    let canonical = Canonical { head, query: &query, signed_headers: &signed_headers, payload, form };
    let mut canonical_request = Vec::new();
    canonical.push(&mut canonical_request);
    let mut string_to_sign = Vec::new();
    push_string_to_sign(&scope, date, &Sha256::digest(&canonical_request).into(), &mut string_to_sign);
    let signature = canonical.signature(&scope, date, key.signing_key(&scope));
    let signature = super::super::hex::encode(&signature).iter().map(|digit| char::from(*digit)).collect();
    Some(Explanation { canonical_request, string_to_sign, signature })
}

#[cfg(test)]
mod tests;
