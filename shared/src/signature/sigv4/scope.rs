//! The credential scope: `<access key>/<day>/<region>/<service>/aws4_request`.

use super::super::KEY_ID_BYTES_MAX;
use super::super::error::ClaimError;
use super::super::sink::Sink;

const TERMINATOR: &str = "aws4_request";
/// The longest region or service name.
const NAME_BYTES_MAX: usize = 64;

/// Who signed, and for what day, region and service. Region and service are the client's choice and take part only in
/// the signature.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Scope<'a> {
    pub(in super::super) access_key: &'a str,
    pub(in super::super) date: &'a str,
    pub(in super::super) region: &'a str,
    pub(in super::super) service: &'a str,
}

impl<'a> Scope<'a> {
    /// Reads a credential; in a query its slashes may be `%2F`.
    pub(super) fn parse(text: &'a str) -> Result<Self, ClaimError> {
        let malformed =
            || ClaimError::malformed("Credential", "write it as `<access key>/<day>/<region>/<service>/aws4_request`");
        let mut rest = Some(text);
        let mut next = || {
            let (part, after) = split_slash(rest?);
            rest = after;
            Some(part)
        };
        let parts = (next(), next(), next(), next(), next());
        let (Some(access_key), Some(date), Some(region), Some(service), Some(TERMINATOR)) = parts else {
            return Err(malformed());
        };
        let named = |name: &str| {
            (1..=NAME_BYTES_MAX).contains(&name.len())
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        let key_fits = (1..=KEY_ID_BYTES_MAX).contains(&access_key.len()) && !access_key.contains('%');
        if rest.is_some() || !named(region) || !named(service) || !key_fits {
            return Err(malformed());
        }
        Ok(Self { access_key, date, region, service })
    }

    /// `<day>/<region>/<service>/aws4_request`, as the string to sign carries it.
    pub(super) fn push(&self, sink: &mut impl Sink) {
        for part in [self.date, "/", self.region, "/", self.service, "/", TERMINATOR] {
            sink.push(part.as_bytes());
        }
    }
}

fn split_slash(text: &str) -> (&str, Option<&str>) {
    let plain = text.split_once('/');
    let escaped = text.split_once("%2F").or_else(|| text.split_once("%2f"));
    match (plain, escaped) {
        (Some((part, rest)), None) | (None, Some((part, rest))) => (part, Some(rest)),
        // Both spellings occur: the one that comes first.
        (Some(plain), Some(escaped)) => {
            let (part, rest) = if plain.0.len() < escaped.0.len() { plain } else { escaped };
            (part, Some(rest))
        }
        (None, None) => (text, None),
    }
}
