//! The query form of SigV4: a link that carries its own signature.

use super::super::SIGNATURE_BYTES;
use super::super::error::ClaimError;
use super::authorization::{self, ALGORITHM};
use super::query::SIGNATURE_PARAMETER;
use super::scope::Scope;
use super::timestamp::AmzDate;
use crate::timestamp::UnixSeconds;

/// The longest life of a presigned request: seven days, as AWS has it.
pub const PRESIGNED_SECS_MAX: u32 = 604_800;

/// What the query says.
pub(super) struct Presigned<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) signed_headers: &'a str,
    pub(super) signature: [u8; SIGNATURE_BYTES],
    pub(super) date: AmzDate,
    pub(super) expires: UnixSeconds,
    pub(super) content_sha256: Option<&'a str>,
}

/// Whether a query claims to be signed: any of the three parameters that make no sense elsewhere.
pub(in super::super) fn is_presigned(query: &str) -> bool {
    let claims = [SIGNATURE_PARAMETER, "X-Amz-Algorithm", "X-Amz-Credential"];
    query.split('&').any(|parameter| claims.contains(&name_of(parameter)))
}

#[derive(Default)]
struct Given<'a> {
    algorithm: Option<&'a str>,
    credential: Option<&'a str>,
    date: Option<&'a str>,
    expires: Option<&'a str>,
    signed_headers: Option<&'a str>,
    signature: Option<&'a str>,
    content_sha256: Option<&'a str>,
}

/// Reads the parameters, each of which may be there once. Other parameters are signed with the rest of the query.
pub(super) fn parse(query: &str) -> Result<Presigned<'_>, ClaimError> {
    let given = collect(query)?;
    let required =
        |value: Option<_>, name| value.ok_or_else(|| ClaimError::malformed(name, "is missing from the query"));
    if required(given.algorithm, "X-Amz-Algorithm")? != ALGORITHM {
        return Err(ClaimError::malformed("X-Amz-Algorithm", "must be `AWS4-HMAC-SHA256`"));
    }
    let date = required(given.date, "X-Amz-Date")?;
    let date =
        AmzDate::parse(date).ok_or_else(|| ClaimError::malformed("X-Amz-Date", "write it as `20261123T080000Z`"))?;
    let expires_secs = read_expires(required(given.expires, "X-Amz-Expires")?)?;
    Ok(Presigned {
        scope: Scope::parse(required(given.credential, "X-Amz-Credential")?)?,
        signed_headers: required(given.signed_headers, "X-Amz-SignedHeaders")?,
        signature: authorization::read_signature(required(given.signature, SIGNATURE_PARAMETER)?)?,
        date,
        expires: UnixSeconds(date.at().0.saturating_add(expires_secs.into())),
        content_sha256: given.content_sha256,
    })
}

fn collect(query: &str) -> Result<Given<'_>, ClaimError> {
    let mut given = Given::default();
    for parameter in query.split('&') {
        let name = name_of(parameter);
        let place = match name {
            "X-Amz-Algorithm" => &mut given.algorithm,
            "X-Amz-Credential" => &mut given.credential,
            "X-Amz-Date" => &mut given.date,
            "X-Amz-Expires" => &mut given.expires,
            "X-Amz-SignedHeaders" => &mut given.signed_headers,
            SIGNATURE_PARAMETER => &mut given.signature,
            "X-Amz-Content-Sha256" => &mut given.content_sha256,
            _ => continue,
        };
        let value = parameter.split_once('=').map_or("", |(_, value)| value);
        if place.replace(value).is_some() {
            return Err(ClaimError::repeated(name));
        }
    }
    Ok(given)
}

fn name_of(parameter: &str) -> &str {
    parameter.split_once('=').map_or(parameter, |(name, _)| name)
}

fn read_expires(text: &str) -> Result<u32, ClaimError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let secs = if digits { text.parse().ok() } else { None };
    secs.filter(|secs| (1..=PRESIGNED_SECS_MAX).contains(secs))
        .ok_or_else(|| ClaimError::malformed("X-Amz-Expires", format!("give 1 to {PRESIGNED_SECS_MAX} seconds")))
}
