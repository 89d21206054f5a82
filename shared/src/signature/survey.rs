//! One pass over a request's fields: those that decide about trust, each at most once.

use super::OWN_HEADERS_MAX;
use super::error::ClaimError;
use crate::field_name::is_own;
use crate::head::{Field, RequestHead};

/// The fields that decide about trust, as text, and whether the head announces a body.
#[derive(Debug, Default)]
pub(super) struct Survey<'a> {
    pub(super) authorization: Option<&'a str>,
    pub(super) signature: Option<&'a str>,
    pub(super) signature_input: Option<&'a str>,
    pub(super) content_digest: Option<&'a str>,
    pub(super) date: Option<&'a str>,
    pub(super) nonce: Option<&'a str>,
    pub(super) session: Option<&'a str>,
    pub(super) session_proof: Option<&'a str>,
    pub(super) amz_date: Option<&'a str>,
    pub(super) amz_content_sha256: Option<&'a str>,
    pub(super) amz_decoded_length: Option<&'a str>,
    pub(super) amz_trailer: Option<&'a str>,
    host: Option<&'a str>,
    content_length: Option<&'a str>,
    transfer_encoding: bool,
    own_headers: usize,
}

impl<'a> Survey<'a> {
    /// Reads the head once. Refused: repeated security headers, a method or authority no HTTP request can have, a
    /// `Host` that is not the authority.
    pub(super) fn of(head: &RequestHead<'a>) -> Result<Self, ClaimError> {
        check_head(head)?;
        let mut survey = Survey::default();
        let mut rest = head.fields;
        while let Some((field, later)) = rest.split_first() {
            survey.take(field, later)?;
            rest = later;
        }
        match survey.host {
            Some(host) if host != head.authority => Err(ClaimError::HostConflict),
            _ => Ok(survey),
        }
    }

    /// Whether the head announces a body. Over HTTP/2 a body can come unannounced; then [`super::BodyRule`] decides.
    pub(super) fn body_declared(&self) -> bool {
        self.transfer_encoding || self.content_length.is_some_and(|length| length.bytes().any(|digit| digit != b'0'))
    }

    fn take(&mut self, field: &'a Field<'a>, later: &[Field<'a>]) -> Result<(), ClaimError> {
        if is_own(field.name) {
            self.count_own(field, later)?;
        }
        let Some(place) = self.place(field) else { return Ok(()) };
        let value = field.text().ok_or_else(|| ClaimError::malformed(field.name, "use visible ASCII only"))?;
        if place.replace(value).is_some() { Err(ClaimError::repeated(field.name)) } else { Ok(()) }
    }

    /// Where a field that decides about trust is kept; the length is looked at first because it rules out nearly all.
    fn place(&mut self, field: &Field<'a>) -> Option<&mut Option<&'a str>> {
        let (name, place) = match field.name.len() {
            4 if field.is("host") => return Some(&mut self.host),
            4 => ("date", &mut self.date),
            9 => ("signature", &mut self.signature),
            10 if field.is("x-amz-date") => return Some(&mut self.amz_date),
            10 => ("lgsp-nonce", &mut self.nonce),
            12 => ("lgsp-session", &mut self.session),
            13 if field.is("authorization") => return Some(&mut self.authorization),
            13 => ("x-amz-trailer", &mut self.amz_trailer),
            14 if field.is("content-length") => return Some(&mut self.content_length),
            14 => ("content-digest", &mut self.content_digest),
            15 => ("signature-input", &mut self.signature_input),
            17 => {
                self.transfer_encoding |= field.is("transfer-encoding");
                return None;
            }
            18 => ("lgsp-session-proof", &mut self.session_proof),
            20 => ("x-amz-content-sha256", &mut self.amz_content_sha256),
            28 => ("x-amz-decoded-content-length", &mut self.amz_decoded_length),
            _ => return None,
        };
        field.is(name).then_some(place)
    }

    fn count_own(&mut self, field: &Field<'_>, later: &[Field<'_>]) -> Result<(), ClaimError> {
        self.own_headers += 1;
        if self.own_headers > OWN_HEADERS_MAX {
            return Err(ClaimError::TooManyOwnHeaders { limit: OWN_HEADERS_MAX });
        }
        let again = later.iter().any(|other| other.name.eq_ignore_ascii_case(field.name));
        if again { Err(ClaimError::repeated(field.name)) } else { Ok(()) }
    }
}

/// Faces guarantee this already; a signature base must not depend on every face remembering to.
fn check_head(head: &RequestHead<'_>) -> Result<(), ClaimError> {
    if head.method.is_empty() || !head.method.bytes().all(is_token_byte) {
        return Err(ClaimError::Head("method"));
    }
    if head.authority.is_empty() || !head.authority.bytes().all(is_host_byte) {
        return Err(ClaimError::Head("host"));
    }
    Ok(())
}

/// `tchar` of RFC 9110 section 5.6.2.
pub(super) fn is_token_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+'
        | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~')
}

/// A byte of `host` or `port` (RFC 3986 sections 3.2.2 and 3.2.3).
fn is_host_byte(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\''
        | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'[' | b']' | b'%')
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What a set of bytes holds beside letters and digits, all of which it must hold.
    pub(crate) fn beside_alphanumeric(set: fn(u8) -> bool) -> Vec<u8> {
        let (alphanumeric, others): (Vec<u8>, Vec<u8>) =
            (0..=u8::MAX).filter(|byte| set(*byte)).partition(u8::is_ascii_alphanumeric);
        assert_eq!(alphanumeric.len(), 62);
        others
    }

    #[test]
    fn bytes_are_told_apart_as_the_specifications_list_them() {
        assert_eq!(beside_alphanumeric(is_token_byte), b"!#$%&'*+-.^_`|~");
        assert_eq!(beside_alphanumeric(is_host_byte), b"!$%&'()*+,-.:;=[]_~");
    }
}
