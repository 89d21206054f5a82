//! Signing with RFC 9421, into buffers the caller reuses.

use std::io::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::super::byte_sequence::is_key;
use super::super::component::Component;
use super::super::error::SignError;
use super::super::key::{self, KeyState};
use super::super::sink::Gathering;
use super::super::{COMPONENTS_MAX, FORWARDED_TAG, KEY_ID_BYTES_MAX, NONCE_BYTES_MAX, SIGNATURE_BYTES};
use super::{Components, push_base};
use crate::head::RequestHead;
use crate::timestamp::UnixSeconds;

/// What a signature says about itself.
#[derive(Debug, Clone, Copy)]
pub struct Rfc9421Params<'a> {
    /// When it is made.
    pub created: UnixSeconds,
    /// When it ends, if it ends before the verifier's clock window does.
    pub expires: Option<UnixSeconds>,
    /// A value never used before with this key.
    pub nonce: &'a str,
    /// The access key.
    pub key_id: &'a str,
    /// The label that joins `Signature-Input` and `Signature`, such as `sig1`.
    pub label: &'a str,
}

/// Signs `components` of `head`; replaces the buffers' content with the values of `Signature-Input` and `Signature`.
///
/// Components are named as in `Signature-Input`, such as `@method` or `content-digest`. Nothing is added to them: a
/// caller that leaves out what [`super::super::Claim::read`] requires makes a signature that will be refused.
pub fn sign_rfc9421(
    head: &RequestHead<'_>,
    components: &[&str],
    params: &Rfc9421Params<'_>,
    key: &KeyState,
    out_input: &mut Vec<u8>,
    out_signature: &mut Vec<u8>,
) -> Result<(), SignError> {
    let components = resolve(components)?;
    check(params)?;
    out_input.clear();
    write_opening(components.as_slice(), params.label, out_input);
    write_params(params, out_input)?;
    sign_written(head, components.as_slice(), params.label, key, out_input, out_signature)
}

/// The platform's signature on what it forwards, made again and again over the same components under the same label:
/// their names are looked up and written once, which is half of what a signature costs beside its hash.
#[derive(Debug)]
pub struct Rfc9421Plan {
    label: &'static str,
    components: Box<[Component<'static>]>,
    opening: Box<[u8]>,
}

impl Rfc9421Plan {
    /// A plan for these components, named as for [`sign_rfc9421`], of signatures that carry [`FORWARDED_TAG`].
    ///
    /// # Errors
    /// A component that is unknown, given twice, or one too many.
    pub fn forwarded(label: &'static str, components: &[&'static str]) -> Result<Self, SignError> {
        let components = resolve(components)?;
        let mut opening = Vec::new();
        write_opening(components.as_slice(), label, &mut opening);
        for part in [";tag=\"", FORWARDED_TAG, "\""] {
            opening.extend_from_slice(part.as_bytes());
        }
        Ok(Self { label, components: components.as_slice().into(), opening: opening.into() })
    }

    /// Signs `head` as [`sign_rfc9421`] does; the label is the plan's, whatever `params` say.
    pub fn sign(
        &self,
        head: &RequestHead<'_>,
        params: &Rfc9421Params<'_>,
        key: &KeyState,
        out_input: &mut Vec<u8>,
        out_signature: &mut Vec<u8>,
    ) -> Result<(), SignError> {
        let params = Rfc9421Params { label: self.label, ..*params };
        check(&params)?;
        out_input.clear();
        out_input.extend_from_slice(&self.opening);
        write_params(&params, out_input)?;
        sign_written(head, &self.components, self.label, key, out_input, out_signature)
    }
}

/// Signs what `input` says: a label and its whole member.
fn sign_written(
    head: &RequestHead<'_>,
    components: &[Component<'_>],
    label: &str,
    key: &KeyState,
    input: &[u8],
    out_signature: &mut Vec<u8>,
) -> Result<(), SignError> {
    let member = input.get(label.len() + 1..).unwrap_or_default();
    let mut mac = Gathering::new(key.rfc9421());
    push_base(head, components, member, &mut mac).map_err(|_| absent(head, components))?;

    write_signature(label, &key::finish(mac.into_inner()), out_signature);
    Ok(())
}

/// Replaces the buffer's content with the value of `Signature`.
pub(super) fn write_signature(label: &str, signature: &[u8; SIGNATURE_BYTES], out: &mut Vec<u8>) {
    let mut encoded = [0; 44];
    let length = BASE64.encode_slice(signature, &mut encoded).unwrap_or_default();
    out.clear();
    for part in [label.as_bytes(), b"=:", encoded.get(..length).unwrap_or_default(), b":"] {
        out.extend_from_slice(part);
    }
}

fn resolve<'a>(names: &[&'a str]) -> Result<Components<'a>, SignError> {
    let mut components = Components::none();
    for name in names {
        let component = Component::named(name).filter(|component| !components.contains(component));
        let component = component.ok_or_else(|| SignError::Component((*name).into()))?;
        if !components.add(component) {
            return Err(SignError::TooMany(COMPONENTS_MAX));
        }
    }
    Ok(components)
}

pub(super) fn check(params: &Rfc9421Params<'_>) -> Result<(), SignError> {
    let quotable = |text: &str, bytes_max: usize| {
        (1..=bytes_max).contains(&text.len())
            && text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\'))
    };
    // Integers of structured fields have at most 15 digits (RFC 9651 section 3.3.1).
    let writable = |at: UnixSeconds| (0..=999_999_999_999_999).contains(&at.0);
    if !quotable(params.nonce, NONCE_BYTES_MAX) {
        Err(SignError::Parameter("nonce"))
    } else if !quotable(params.key_id, KEY_ID_BYTES_MAX) {
        Err(SignError::Parameter("keyid"))
    } else if !is_key(params.label) {
        Err(SignError::Parameter("label"))
    } else if !writable(params.created) || !params.expires.is_none_or(writable) {
        Err(SignError::Time)
    } else {
        Ok(())
    }
}

fn absent(head: &RequestHead<'_>, components: &[Component<'_>]) -> SignError {
    let absent = components.iter().find(|component| !component.occurs_in(head));
    SignError::Absent(absent.map_or("a header", |component| component.name()).into())
}

/// `label=("component" …)`.
fn write_opening(components: &[Component<'_>], label: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(label.as_bytes());
    let mut separator: &[u8] = b"=(";
    for component in components {
        out.extend_from_slice(separator);
        component.push_identifier(out);
        separator = b" ";
    }
    out.extend_from_slice(if components.is_empty() { b"=()" } else { b")" });
}

pub(super) fn write_params(params: &Rfc9421Params<'_>, out: &mut Vec<u8>) -> Result<(), SignError> {
    write!(out, ";created={}", params.created.0).map_err(|_| SignError::Time)?;
    if let Some(expires) = params.expires {
        write!(out, ";expires={}", expires.0).map_err(|_| SignError::Time)?;
    }
    for (name, value) in [("keyid", params.key_id), ("alg", "hmac-sha256"), ("nonce", params.nonce)] {
        for part in [";", name, "=\"", value, "\""] {
            out.extend_from_slice(part.as_bytes());
        }
    }
    Ok(())
}
