//! What changes on the way: which headers pass, the path the target sees, and who the platform says is calling.
//!
//! A client can never speak in the platform's name: every header of ours that it sends is dropped before ours are
//! set, and ours are signed with the target's own secret (RFC 9421), so that the target can prove that a request came
//! through LGSP.

use std::sync::LazyLock;

use arrayvec::ArrayVec;
use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::signature::{BodyRule, ContentDigest, Rfc9421Params, Rfc9421Plan, SignError, SignatureScheme};

use crate::admission::Admission;
use crate::clock::Now;
use crate::record::RequestId;

/// The label of the platform's signature.
pub const SIGNATURE_LABEL: &str = "lgsp";

const OWN_PREFIX: &str = "lgsp-";
/// The code the source's agency had before a reorganisation, while targets are still told it.
const FORMER: &str = "lgsp-agency-former";

/// Headers that belong to one connection (RFC 9110 section 7.6.1), whatever `Connection` says. By length first, here and
/// below, because that rules out nearly every header without comparing a letter.
fn is_hop_by_hop(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
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

/// Headers of a source that the node answers for itself: framing, expectations, and what could pass for the platform's
/// word.
fn is_replaced(name: &str) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other);
    match name.len() {
        4 => is("host"),
        6 => is("expect"),
        9 => is("forwarded") || is("signature") || is("x-real-ip"),
        10 => is("tracestate"),
        11 => is("traceparent"),
        14 => is("content-digest") || is("content-length"),
        15 => is("signature-input"),
        _ => false,
    }
}

/// Headers of ours, of SigV4 and of proxies, which a client could use to speak in another's name.
fn is_reserved(name: &str) -> bool {
    match name.as_bytes().first() {
        Some(b'l' | b'L') => starts_with(name, OWN_PREFIX),
        Some(b'x' | b'X') => starts_with(name, "x-amz-") || starts_with(name, "x-forwarded-"),
        Some(_) | None => false,
    }
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.as_bytes().get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}

fn is_one_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

/// Whether a header of the source goes on to the target. Names nominated by `Connection` are the caller's to drop.
pub fn passes_to_target(name: &str, scheme: SignatureScheme) -> bool {
    let belongs_to_the_signature = match scheme {
        SignatureScheme::Rfc9421 => false,
        SignatureScheme::SigV4Header | SignatureScheme::SigV4Presigned => name.eq_ignore_ascii_case("authorization"),
    };
    !(is_hop_by_hop(name) || is_replaced(name) || is_reserved(name) || belongs_to_the_signature)
}

/// Whether a trailer of the source goes on to the target: as for headers, and nothing that decides about the message.
pub fn trailer_passes(name: &str, scheme: SignatureScheme) -> bool {
    const NEVER: &[&str] = &["authorization", "cache-control", "content-encoding", "content-range", "content-type"];
    passes_to_target(name, scheme) && !is_one_of(name, NEVER)
}

/// Whether a header of the target goes back to the source. Framing is the caller's.
pub fn passes_to_source(name: &str) -> bool {
    !is_hop_by_hop(name) && !starts_with(name, OWN_PREFIX)
}

/// `Content-Encoding` without `aws-chunked`, which describes the framing that is removed; `None` when nothing is left.
pub fn without_aws_chunked(content_encoding: &str) -> Option<String> {
    let kept: Vec<&str> = content_encoding
        .split(',')
        .map(str::trim)
        .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
        .collect();
    if kept.is_empty() { None } else { Some(kept.join(", ")) }
}

/// Appends the path and query the target sees: the route's rewrite applied, a presigned request's signature removed.
pub fn append_target(head: &RequestHead<'_>, admission: &Admission, out: &mut Vec<u8>) {
    let start = out.len();
    match &admission.route.rewrite {
        None => out.extend_from_slice(head.path.as_bytes()),
        Some(prefix) => {
            out.extend_from_slice(prefix.trim_end_matches('/').as_bytes());
            let rest = head.path.get(admission.matched.path_bytes..).unwrap_or_default();
            out.extend_from_slice(rest.as_bytes());
        }
    }
    if out.len() == start {
        out.push(b'/');
    }
    let Some(query) = head.query else { return };
    if admission.scheme != SignatureScheme::SigV4Presigned {
        out.push(b'?');
        out.extend_from_slice(query.as_bytes());
        return;
    }
    let mut separator = b'?';
    for parameter in query.split('&').filter(|parameter| !starts_with(parameter, "x-amz-")) {
        out.push(separator);
        out.extend_from_slice(parameter.as_bytes());
        separator = b'&';
    }
}

/// The `Host` the target sees.
pub fn authority<'a>(head: &RequestHead<'a>, admission: &'a Admission) -> &'a str {
    admission.route.service.host.as_deref().unwrap_or(head.authority)
}

/// Where identity headers go.
pub trait IdentityFields {
    /// Adds one.
    fn add(&mut self, name: &'static str, value: &[u8]);
}

/// As lines `name: value\r\n`.
impl IdentityFields for Vec<u8> {
    fn add(&mut self, name: &'static str, value: &[u8]) {
        for part in [name.as_bytes(), b": ", value, b"\r\n"] {
            self.extend_from_slice(part);
        }
    }
}

/// Buffers for writing identity headers; kept per connection, so that a request allocates nothing for them.
#[derive(Debug, Default)]
pub struct IdentityBuffers {
    digest: Vec<u8>,
    input: Vec<u8>,
    signature: Vec<u8>,
}

/// What the platform's signature covers: without and with a digest, without and with a former agency.
static COVERED: LazyLock<[[Result<Rfc9421Plan, SignError>; 2]; 2]> = LazyLock::new(|| {
    let plan = |also: &[&'static str]| Rfc9421Plan::forwarded(SIGNATURE_LABEL, &[COVERED_ALWAYS, also].concat());
    [[plan(&[]), plan(&[FORMER])], [plan(&["content-digest"]), plan(&["content-digest", FORMER])]]
});
const COVERED_ALWAYS: &[&str] =
    &["@method", "@authority", "@path", "@query", "lgsp-source", "lgsp-agency", "lgsp-request-id"];

/// Adds the identity headers: who is calling, and the platform's signature over it.
///
/// `target` is what [`append_target`] wrote. Without a credential of the target there is nothing to sign with, and
/// the signature lines are left out (validation warns of such services).
pub fn append_identity<F: IdentityFields>(
    head: &RequestHead<'_>,
    admission: &Admission,
    target: &str,
    request_id: RequestId,
    now: Now,
    buffers: &mut IdentityBuffers,
    out: &mut F,
) {
    let id = request_id.to_ascii();
    let id_text = std::str::from_utf8(&id).unwrap_or_default();
    let source = &admission.credential.system;
    buffers.digest.clear();
    if let BodyRule::Digest(expected) = &admission.body {
        ContentDigest::format(expected, &mut buffers.digest);
    }
    let former = source.former_at(now.unix).map_or("", AgencyCode::as_str);
    let mut told: [(&'static str, &[u8]); 5] = [
        ("lgsp-source", source.id.as_str().as_bytes()),
        ("lgsp-agency", source.agency_code.as_str().as_bytes()),
        ("lgsp-request-id", &id),
        ("content-digest", &buffers.digest),
        (FORMER, former.as_bytes()),
    ];
    let (with_digest, with_former) = (!buffers.digest.is_empty(), !former.is_empty());
    if !with_digest {
        told.swap(3, 4);
    }
    let told = told.get(..3 + usize::from(with_digest) + usize::from(with_former)).unwrap_or_default();
    told.iter().for_each(|(name, value)| out.add(name, value));
    buffers.input.clear();
    request_id.append_traceparent(&mut buffers.input);
    out.add("traceparent", &buffers.input);

    let Some(signer) = admission.route.service.signer_at(now.unix) else { return };
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let tls = admission.route.service.upstream.tls.is_some();
    let fields: ArrayVec<Field<'_>, 5> = told.iter().map(|(name, value)| Field { name, value }).collect();
    let forwarded = RequestHead {
        method: head.method,
        scheme: if tls { Scheme::Https } else { Scheme::Http },
        authority: authority(head, admission),
        path,
        query,
        fields: &fields,
    };
    let [without_digest, digest] = &*COVERED;
    let [plain, formerly] = if with_digest { digest } else { without_digest };
    let covered = if with_former { formerly } else { plain };
    let params = Rfc9421Params {
        created: now.unix,
        expires: None,
        nonce: id_text,
        key_id: signer.access_key.as_str(),
        label: SIGNATURE_LABEL,
    };
    let plan = covered.as_ref().map_err(Clone::clone);
    let signed =
        plan.and_then(|plan| plan.sign(&forwarded, &params, &signer.key, &mut buffers.input, &mut buffers.signature));
    match signed {
        Ok(()) => {
            out.add("signature-input", &buffers.input);
            out.add("signature", &buffers.signature);
        }
        // Only a head that cannot be signed leads here; the target then sees an unsigned request and can refuse it.
        Err(error) => tracing::error!(%error, service = %admission.route.service.id, "forwarded request not signed"),
    }
}

#[cfg(test)]
mod tests;
