//! Signatures of responses (RFC 9421 section 2.4): over the status, the response's fields, and, with `req`, the request
//! that was answered, so that an answer cannot be given to another question.

use sfv::{Dictionary, ListEntry, Parser};

use super::super::component::Component;
use super::super::error::{ClaimError, SignError};
use super::super::key::{self, KeyState};
use super::super::sink::Sink;
use super::read_signature;
use super::sign::{self, Rfc9421Params};
use crate::head::{Field, RequestHead, Scheme};
use crate::timestamp::UnixSeconds;

/// The head of a response.
#[derive(Debug, Clone, Copy)]
pub struct ResponseHead<'a> {
    /// The status.
    pub status: u16,
    /// Its fields.
    pub fields: &'a [Field<'a>],
}

/// One thing a response's signature covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Covered<'a> {
    /// `"@status"`.
    Status,
    /// A field of the response, by its lower-case name.
    Field(&'a str),
    /// With `;req`: a component of the request, such as `@method` or `signature`.
    Request(&'a str),
}

/// Why a response's signature proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It has none, or one that cannot be read.
    #[error("the response is not signed as it should be: {0}")]
    Unreadable(Box<str>),
    /// It leaves out something that has to be covered.
    #[error("the response's signature does not cover {0}: do not trust it")]
    NotCovered(Box<str>),
    /// It was made by somebody else, over something else, or for another request.
    #[error("the response's signature does not match: do not trust it")]
    Mismatch,
}

/// What a verified response's signature says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseSignature {
    /// When it was made.
    pub created: UnixSeconds,
    /// Under which key.
    pub key_id: String,
}

/// Signs a response to `request`; replaces the buffers' content with the values of `Signature-Input` and `Signature`.
pub fn sign_response(
    response: &ResponseHead<'_>,
    request: &RequestHead<'_>,
    covered: &[Covered<'_>],
    params: &Rfc9421Params<'_>,
    key: &KeyState,
    out_input: &mut Vec<u8>,
    out_signature: &mut Vec<u8>,
) -> Result<(), SignError> {
    sign::check(params)?;
    out_input.clear();
    out_input.extend_from_slice(params.label.as_bytes());
    out_input.extend_from_slice(b"=(");
    for (at, component) in covered.iter().enumerate() {
        out_input.extend_from_slice(if at > 0 { b" " } else { b"" });
        component.push_identifier(out_input);
    }
    out_input.push(b')');
    sign::write_params(params, out_input)?;
    let member = out_input.get(params.label.len() + 1..).unwrap_or_default();
    let mut mac = key.rfc9421();
    push_base(response, request, covered, member, &mut mac)?;
    sign::write_signature(params.label, &key::finish(mac), out_signature);
    Ok(())
}

/// Verifies that `key` signed this response to this request, and that everything in `required` is covered.
pub fn verify_response(
    response: &ResponseHead<'_>,
    request: &RequestHead<'_>,
    required: &[Covered<'_>],
    key: &KeyState,
) -> Result<ResponseSignature, ResponseError> {
    let field = |name| single(response, name);
    let (input, signature) = (field("signature-input")?, field("signature")?);
    let unreadable = |reason: &str| ResponseError::Unreadable(reason.into());
    let dictionary: Dictionary = Parser::new(input).parse().map_err(|error| unreadable(&error.to_string()))?;
    let mut members = dictionary.iter();
    let (Some((label, ListEntry::InnerList(list))), None) = (members.next(), members.next()) else {
        return Err(unreadable("`Signature-Input` must hold one list of components"));
    };
    let covered = list.items.iter().map(read_item).collect::<Option<Vec<_>>>();
    let covered = covered.ok_or_else(|| unreadable("a covered component is not known here"))?;
    if let Some(missing) = required.iter().find(|wanted| !covered.contains(wanted)) {
        return Err(ResponseError::NotCovered(format!("{missing:?}").into()));
    }
    let parameter = |name| sfv::KeyRef::from_str(name).ok().and_then(|key| list.params.get(key));
    let created = parameter("created").and_then(|value| value.as_integer()).map(|at| UnixSeconds(at.into()));
    let key_id = parameter("keyid").and_then(|value| value.as_string()).map(|text| text.as_str().to_owned());
    let (Some(created), Some(key_id)) = (created, key_id) else {
        return Err(unreadable("`created` and `keyid` are needed"));
    };
    let given =
        read_signature(signature, label.as_str()).map_err(|error: ClaimError| unreadable(&error.to_string()))?;
    let member = input.trim_matches(' ').strip_prefix(label.as_str()).and_then(|rest| rest.strip_prefix('='));
    let member = member.ok_or_else(|| unreadable("write `Signature-Input` as `<label>=(…);…`"))?;
    let mut mac = key.rfc9421();
    push_base(response, request, &covered, member.as_bytes(), &mut mac).map_err(|_| ResponseError::Mismatch)?;
    key.compare(&key::finish(mac), &given).map_err(|_| ResponseError::Mismatch)?;
    Ok(ResponseSignature { created, key_id })
}

/// The signature base, as a text to look at.
pub fn response_base(
    response: &ResponseHead<'_>,
    request: &RequestHead<'_>,
    covered: &[Covered<'_>],
    member: &str,
) -> Result<Vec<u8>, SignError> {
    let mut base = Vec::new();
    push_base(response, request, covered, member.as_bytes(), &mut base)?;
    Ok(base)
}

impl Covered<'_> {
    fn push_identifier(&self, sink: &mut impl Sink) {
        let (name, end): (&str, &[u8]) = match self {
            Covered::Status => ("@status", b"\""),
            Covered::Field(name) => (name, b"\""),
            Covered::Request(name) => (name, b"\";req"),
        };
        for part in [b"\"".as_slice(), name.as_bytes(), end] {
            sink.push(part);
        }
    }

    fn push_content(
        &self,
        response: &ResponseHead<'_>,
        request: &RequestHead<'_>,
        sink: &mut impl Sink,
    ) -> Result<(), SignError> {
        let component = |name| Component::named(name).ok_or_else(|| SignError::Component(name.into()));
        match self {
            Covered::Status => sink.push(response.status.to_string().as_bytes()),
            Covered::Field(name) if name.starts_with('@') || *name == "host" => {
                return Err(SignError::Component((*name).into()));
            }
            Covered::Field(name) => {
                // A field's line depends on nothing but the fields, which a response has as well as a request.
                let (method, authority, path, query) = ("", "", "", None);
                let scheme = Scheme::Http;
                let head = RequestHead { method, scheme, authority, path, query, fields: response.fields };
                component(name)?.push_content(&head, sink).map_err(|_| SignError::Absent((*name).into()))?;
            }
            Covered::Request(name) => {
                component(name)?.push_content(request, sink).map_err(|_| SignError::Absent((*name).into()))?;
            }
        }
        Ok(())
    }
}

fn push_base(
    response: &ResponseHead<'_>,
    request: &RequestHead<'_>,
    covered: &[Covered<'_>],
    member: &[u8],
    sink: &mut impl Sink,
) -> Result<(), SignError> {
    for component in covered {
        component.push_identifier(sink);
        sink.push(b": ");
        component.push_content(response, request, sink)?;
        sink.push(b"\n");
    }
    sink.push(b"\"@signature-params\": ");
    sink.push(member);
    Ok(())
}

fn read_item(item: &sfv::Item) -> Option<Covered<'_>> {
    let name = item.bare_item.as_string()?.as_str();
    let mut parameters = item.params.iter();
    match (parameters.next(), parameters.next()) {
        (None, _) if name == "@status" => Some(Covered::Status),
        (None, _) => Some(Covered::Field(name)),
        (Some((key, value)), None) if key.as_str() == "req" && value.as_boolean() == Some(true) => {
            Some(Covered::Request(name))
        }
        (Some(_), _) => None,
    }
}

fn single<'a>(response: &ResponseHead<'a>, name: &str) -> Result<&'a str, ResponseError> {
    let mut found = response.fields.iter().filter(|field| field.is(name));
    match (found.next().and_then(|field| field.text()), found.next()) {
        (Some(text), None) => Ok(text),
        (_, _) => Err(ResponseError::Unreadable(format!("`{name}` must be there once").into())),
    }
}

#[cfg(test)]
mod tests;
