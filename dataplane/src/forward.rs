//! What changes on the way: which headers pass, the path the target sees, and who the platform says is calling.
//!
//! A client can never speak in the platform's name: every header of ours that it sends, in whatever spelling a target
//! may take for it, is dropped before ours are set, and ours are signed with the target's own secret (RFC 9421), so that
//! the target can prove that a request came through LGSP. No trailer of a source passes: no signature covers one.

use std::sync::LazyLock;

use arrayvec::ArrayVec;
use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::field_name::{Passing, is_hop_by_hop, is_same, passing, starts_with};
use lgsp_shared::head::{Field, RequestHead, Scheme};
use lgsp_shared::signature::{BodyRule, ContentDigest, Rfc9421Params, Rfc9421Plan, SignError, SignatureScheme};

use crate::admission::Admission;
use crate::clock::Now;
use crate::record::RequestId;
use crate::snapshot::Route;

/// The label of the platform's signature.
pub const SIGNATURE_LABEL: &str = "lgsp";

const OWN_PREFIX: &str = "lgsp-";
/// The code the source's agency had before a reorganisation, while targets are still told it.
const FORMER: &str = "lgsp-agency-former";

/// Whether a header of the source goes on to the target. Names nominated by `Connection` are the caller's to drop.
pub fn passes_to_target(name: &str, scheme: SignatureScheme, route: &Route) -> bool {
    match passing(name) {
        Passing::Never => false,
        Passing::IfAsked => route.pass_headers.iter().any(|asked| is_same(name, asked)),
        // The target's own, unless it holds the source's signature. A presigned request has that in its query.
        Passing::Freely => !(scheme == SignatureScheme::SigV4Header && is_same(name, "authorization")),
    }
}

/// Whether a header of the target goes back to the source. Framing is the caller's.
pub fn passes_to_source(name: &str) -> bool {
    !is_hop_by_hop(name) && !starts_with(name, OWN_PREFIX)
}

/// Whether a header describes the framing of a body that is taken out of `aws-chunked` here, trailers included.
pub fn describes_aws_chunked(name: &str) -> bool {
    is_same(name, "x-amz-sdk-checksum-algorithm")
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
    for parameter in query.split('&').filter(|parameter| !is_of_signature(parameter)) {
        out.push(separator);
        out.extend_from_slice(parameter.as_bytes());
        separator = b'&';
    }
}

/// Whether a parameter of a presigned query is the signature's own. Others that start with `X-Amz-` are the target's.
fn is_of_signature(parameter: &str) -> bool {
    const OWN: [&str; 8] = [
        "x-amz-algorithm",
        "x-amz-content-sha256",
        "x-amz-credential",
        "x-amz-date",
        "x-amz-expires",
        "x-amz-security-token",
        "x-amz-signature",
        "x-amz-signedheaders",
    ];
    let name = parameter.split('=').next().unwrap_or_default();
    OWN.iter().any(|own| name.eq_ignore_ascii_case(own))
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
