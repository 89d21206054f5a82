//! An answer of the platform itself, signed with the secret of the system that asked (RFC 9421 section 2.4), so that it
//! can tell a genuine answer from one that was made or changed on the way.

use lgsp_shared::head::Field;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::rfc9421::response::{Covered, ResponseHead, sign_response};
use lgsp_shared::signature::{ContentDigest, ExpectedDigest, Rfc9421Params, SignatureScheme};
use serde::Serialize;

use super::Call;
use crate::admission::Refusal;
use crate::clock::Now;

/// The label of the platform's signature.
const LABEL: &str = "lgsp";

/// An answer ready to be written by either face.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers but for framing; names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Reply {
    /// The answer to `call`, signed with the caller's secret: over status, digest, and the call's method, authority, path
    /// and signature. Every signature is made over another nonce, so the answer belongs to this call alone.
    pub(super) fn signed(call: &Call, status: u16, answer: &impl Serialize, now: Now) -> Result<Self, Refusal> {
        let body = serde_json::to_vec(answer).map_err(|_| Code::Internal)?;
        let mut digest = Vec::new();
        ContentDigest::format(&ExpectedDigest::of(&body), &mut digest);
        let proof = match call.scheme {
            SignatureScheme::Rfc9421 => "signature",
            SignatureScheme::SigV4Header => "authorization",
            SignatureScheme::SigV4Presigned => "@query",
        };
        let covered = [
            Covered::Status,
            Covered::Field("content-digest"),
            Covered::Request("@method"),
            Covered::Request("@authority"),
            Covered::Request("@path"),
            Covered::Request(proof),
        ];
        // The nonce says nothing new: what makes the answer unique is the call's signature.
        let params = Rfc9421Params {
            created: now.unix,
            expires: None,
            nonce: "answer",
            key_id: call.caller.access_key.as_str(),
            label: LABEL,
        };
        let (mut input, mut signature) = (Vec::new(), Vec::new());
        let head = ResponseHead { status, fields: &[Field { name: "content-digest", value: &digest }] };
        let key = &call.caller.key;
        let signed = call
            .asked
            .with_head(|asked| sign_response(&head, asked, &covered, &params, key, &mut input, &mut signature));
        signed.map_err(|error| {
            tracing::error!(%error, caller = %call.caller.id, "an answer could not be signed");
            Refusal::new(Code::Internal)
        })?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap_or_default();
        let headers = vec![
            ("content-type", "application/json".to_owned()),
            ("cache-control", "no-store".to_owned()),
            ("content-digest", text(digest)),
            ("signature-input", text(input)),
            ("signature", text(signature)),
        ];
        Ok(Self { status, headers, body })
    }
}
