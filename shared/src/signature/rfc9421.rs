//! HTTP Message Signatures (RFC 9421) with `hmac-sha256`: reading, completeness, and the signature base.

mod input;
pub mod response;
pub(super) mod sign;
mod usual;

use super::byte_sequence;
use super::component::Component;
use super::error::{ClaimError, Mismatch};
use super::key::{self, KeyState};
use super::sink::{Gathering, Sink};
use super::{COMPONENTS_MAX, SIGNATURE_BYTES};
use crate::head::RequestHead;
use crate::timestamp::UnixSeconds;
use input::Input;

/// The covered components, in the order given.
#[derive(Debug, Clone, Copy)]
pub(super) struct Components<'a> {
    list: [Component<'a>; COMPONENTS_MAX],
    count: usize,
}

impl<'a> Components<'a> {
    fn none() -> Self {
        Self { list: [Component::Method; COMPONENTS_MAX], count: 0 }
    }

    fn as_slice(&self) -> &[Component<'a>] {
        self.list.get(..self.count).unwrap_or_default()
    }

    /// Adds one; false when there is no room.
    fn add(&mut self, component: Component<'a>) -> bool {
        match self.list.get_mut(self.count) {
            Some(place) => {
                *place = component;
                self.count += 1;
                true
            }
            None => false,
        }
    }

    fn contains(&self, component: &Component<'a>) -> bool {
        self.as_slice().contains(component)
    }

    fn contains_any(&self, components: &[Component<'a>]) -> bool {
        components.iter().any(|component| self.contains(component))
    }
}

/// One RFC 9421 signature as the request presents it: complete, not yet verified.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rfc9421<'a> {
    components: Components<'a>,
    /// The member of `Signature-Input` as received: what `@signature-params` signs.
    params: &'a str,
    signature: [u8; SIGNATURE_BYTES],
    pub(super) key_id: &'a str,
    pub(super) created: UnixSeconds,
    pub(super) expires: Option<UnixSeconds>,
    pub(super) nonce: Option<&'a str>,
    pub(super) tag: Option<&'a str>,
}

impl<'a> Rfc9421<'a> {
    /// Reads the two fields and refuses a signature that does not cover what the verifier wants covered.
    pub(super) fn read(
        head: &RequestHead<'a>,
        signature_input: &'a str,
        signature: &'a str,
    ) -> Result<Self, ClaimError> {
        let mut components = Components::none();
        let input = Input::parse(signature_input, &mut components)?;
        let signature = read_signature(signature, input.label)?;
        require_components(&components)?;
        for component in components.as_slice() {
            if !component.occurs_in(head) {
                return Err(ClaimError::absent(component.name()));
            }
        }
        Ok(Self {
            components,
            params: input.member,
            signature,
            key_id: input.key_id,
            created: input.created,
            expires: input.expires,
            nonce: input.nonce,
            tag: input.tag,
        })
    }

    /// Whether the header `name` is signed.
    pub(super) fn covers(&self, name: &str) -> bool {
        self.components.as_slice().iter().any(|component| component.is_field(name))
    }

    pub(super) fn push_expected(&self, head: &RequestHead<'_>, text: &mut Vec<u8>) {
        // Every covered component occurs: that was checked when the signature was read.
        let _ = push_base(head, self.components.as_slice(), self.params.as_bytes(), text);
    }

    pub(super) fn verify(&self, head: &RequestHead<'_>, key: &KeyState) -> Result<(), Mismatch> {
        let mut mac = Gathering::new(key.rfc9421());
        push_base(head, self.components.as_slice(), self.params.as_bytes(), &mut mac).map_err(|_| Mismatch)?;
        key.compare(&key::finish(mac.into_inner()), &self.signature)
    }
}

/// The signature base (section 2.5): a line per component, then the parameters as received.
fn push_base(
    head: &RequestHead<'_>,
    components: &[Component<'_>],
    params: &[u8],
    sink: &mut impl Sink,
) -> Result<(), super::component::NoSuchField> {
    for component in components {
        component.push_line(head, sink)?;
    }
    sink.push(b"\"@signature-params\": ");
    sink.push(params);
    Ok(())
}

/// The signature base a `Signature-Input` value asks for, whether or not it covers enough: what a person compares
/// with their own when a signature does not verify. `Claim::verify` hashes the same bytes without writing them down.
pub fn signature_base(head: &RequestHead<'_>, signature_input: &str) -> Result<Vec<u8>, ClaimError> {
    let mut components = Components::none();
    let input = Input::parse_parts(signature_input, &mut components)?;
    let mut base = Vec::new();
    push_base(head, components.as_slice(), input.member.as_bytes(), &mut base)
        .map_err(|_| ClaimError::malformed("Signature-Input", "covers a header the request does not have"))?;
    Ok(base)
}

/// What has to be signed, whatever the client chose: method, host, path and query, each in one of its forms.
fn require_components(components: &Components<'_>) -> Result<(), ClaimError> {
    use Component::{Authority, Method, Path, Query, RequestTarget, TargetUri};
    let wanted: [(&'static str, &[Component<'_>]); 4] = [
        ("@method", &[Method]),
        ("@authority", &[Authority, TargetUri]),
        ("@path", &[Path, TargetUri, RequestTarget]),
        ("@query", &[Query, TargetUri, RequestTarget]),
    ];
    match wanted.iter().find(|(_, forms)| !components.contains_any(forms)) {
        Some((name, _)) => Err(ClaimError::NotCovered(name)),
        None => Ok(()),
    }
}

/// The one signature in `Signature`, under the label that `Signature-Input` uses.
fn read_signature(text: &str, label: &str) -> Result<[u8; SIGNATURE_BYTES], ClaimError> {
    let malformed = |reason: &str| ClaimError::malformed("Signature", reason);
    let mut members = byte_sequence::members(text);
    let (key, encoded) = members.next().flatten().ok_or_else(|| malformed("write it as `<label>=:<base64>:`"))?;
    if members.next().is_some() {
        return Err(malformed("holds more than one signature; send exactly one, so that it is clear which decides"));
    }
    if key != label {
        return Err(malformed("its label is not the one in `Signature-Input`"));
    }
    byte_sequence::decode(encoded).ok_or_else(|| malformed("an `hmac-sha256` signature is base64 of 32 bytes"))
}
