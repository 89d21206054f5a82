//! The `Authorization` header of SigV4.

use super::super::SIGNATURE_BYTES;
use super::super::error::ClaimError;
use super::super::hex;
use super::scope::Scope;

pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// What the header says.
pub(super) struct Authorization<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) signed_headers: &'a str,
    pub(super) signature: [u8; SIGNATURE_BYTES],
}

/// Whether an `Authorization` value is of SigV4's family; others belong to the target and mean nothing here.
pub(in super::super) fn is_sigv4(value: &str) -> bool {
    value.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("AWS4"))
}

/// Reads `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`: these three, each once, in any order.
pub(super) fn parse(value: &str) -> Result<Authorization<'_>, ClaimError> {
    let malformed = |reason: &str| ClaimError::malformed("Authorization", reason);
    let shape = "write it as `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`";
    let rest = value
        .strip_prefix(ALGORITHM)
        .filter(|rest| rest.starts_with(' '))
        .ok_or_else(|| malformed("the algorithm must be `AWS4-HMAC-SHA256`"))?;
    let (mut credential, mut signed_headers, mut signature) = (None, None, None);
    for part in rest.split(',') {
        let (name, value) = part.trim_matches(' ').split_once('=').ok_or_else(|| malformed(shape))?;
        let place = match name {
            "Credential" => &mut credential,
            "SignedHeaders" => &mut signed_headers,
            "Signature" => &mut signature,
            _ => return Err(malformed(shape)),
        };
        if place.replace(value).is_some() {
            return Err(ClaimError::repeated(name));
        }
    }
    let (Some(credential), Some(signed_headers), Some(signature)) = (credential, signed_headers, signature) else {
        return Err(malformed(shape));
    };
    if credential.contains('%') || signed_headers.contains('%') {
        return Err(malformed("percent-encoding belongs into presigned queries only"));
    }
    Ok(Authorization { scope: Scope::parse(credential)?, signed_headers, signature: read_signature(signature)? })
}

/// 64 hexadecimal digits.
pub(super) fn read_signature(text: &str) -> Result<[u8; SIGNATURE_BYTES], ClaimError> {
    let wrong = || ClaimError::malformed("Signature", "a SigV4 signature is 64 hexadecimal digits");
    hex::decode(text.as_bytes()).ok_or_else(wrong)
}
