//! Percent-encoding and the sorted query of SigV4's canonical request, without a copy of either.

use super::super::error::ClaimError;
use super::super::sink::Sink;
use super::super::{QUERY_PARAMETERS_MAX, hex};

/// The parameter that holds the signature of a presigned request, and so is not part of what is signed.
pub(super) const SIGNATURE_PARAMETER: &str = "X-Amz-Signature";

/// How path bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Decoded, then encoded: what S3 does.
    Once,
    /// The bytes as sent, encoded as they are, `%` included: what all other services do to paths.
    Again,
}

/// Refuses a query with more parameters than can be sorted here.
pub(super) fn check(query: &str) -> Result<(), ClaimError> {
    if query.split('&').count() > QUERY_PARAMETERS_MAX {
        let reason = format!("holds more than {QUERY_PARAMETERS_MAX} parameters; move some into the body");
        return Err(ClaimError::malformed("query", reason));
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, Default)]
struct Parameter<'a> {
    name: &'a [u8],
    value: &'a [u8],
}

impl<'a> Parameter<'a> {
    fn parse(text: &'a str) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Self { name: name.as_bytes(), value: value.as_bytes() }
    }

    fn compare(&self, other: &Self) -> std::cmp::Ordering {
        encoded(self.name).cmp(encoded(other.name)).then_with(|| encoded(self.value).cmp(encoded(other.value)))
    }
}

/// The parameters but `skipped`, encoded and sorted. A query too long for [`check`] comes out cut: it verifies nothing.
pub(super) fn push_sorted(query: &str, skipped: Option<&str>, sink: &mut impl Sink) {
    let mut room = [Parameter::default(); QUERY_PARAMETERS_MAX];
    let sorted = collect(query, skipped, &mut room);
    sorted.sort_unstable_by(Parameter::compare);
    let mut separator: &[u8] = b"";
    for parameter in sorted.iter() {
        sink.push(separator);
        push_encoded(parameter.name, Encoding::Once, b"", sink);
        sink.push(b"=");
        push_encoded(parameter.value, Encoding::Once, b"", sink);
        separator = b"&";
    }
}

/// The parameters but `skipped`, sorted as they were sent and not encoded anew.
pub(super) fn push_sorted_as_sent(query: &str, skipped: Option<&str>, sink: &mut impl Sink) {
    let mut room = [Parameter::default(); QUERY_PARAMETERS_MAX];
    let sorted = collect(query, skipped, &mut room);
    sorted.sort_unstable_by_key(|parameter| (parameter.name, parameter.value));
    let mut separator: &[u8] = b"";
    for parameter in sorted.iter() {
        for part in [separator, parameter.name, b"=", parameter.value] {
            sink.push(part);
        }
        separator = b"&";
    }
}

fn collect<'r, 'a>(
    query: &'a str,
    skipped: Option<&str>,
    room: &'r mut [Parameter<'a>; QUERY_PARAMETERS_MAX],
) -> &'r mut [Parameter<'a>] {
    let mut count = 0;
    if !query.is_empty() {
        let parameters = query.split('&').map(Parameter::parse);
        let kept = parameters.filter(|parameter| skipped.is_none_or(|name| parameter.name != name.as_bytes()));
        for (place, parameter) in room.iter_mut().zip(kept) {
            *place = parameter;
            count += 1;
        }
    }
    room.get_mut(..count).unwrap_or_default()
}

/// The parameters but `skipped` as sent.
pub(super) fn push_raw(query: &str, skipped: Option<&str>, sink: &mut impl Sink) {
    let Some(skipped) = skipped else { return sink.push(query.as_bytes()) };
    let mut separator: &[u8] = b"";
    for parameter in query.split('&').filter(|text| Parameter::parse(text).name != skipped.as_bytes()) {
        sink.push(separator);
        sink.push(parameter.as_bytes());
        separator = b"&";
    }
}

/// Whether sorting and encoding `query` would give `query`.
pub(super) fn is_canonical(query: &str) -> bool {
    let mut previous: Option<Parameter<'_>> = None;
    query.is_empty()
        || query.split('&').all(|text| {
            let parameter = Parameter::parse(text);
            let ordered = previous.replace(parameter).is_none_or(|before| before.compare(&parameter).is_le());
            ordered
                && text.contains('=')
                && encoded(parameter.name).eq(parameter.name.iter().copied())
                && encoded(parameter.value).eq(parameter.value.iter().copied())
        })
}

/// Letters, digits and `-._~` (RFC 3986 section 2.3).
pub(super) fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

/// Pushes `text` with everything but unreserved bytes and `kept` as `%XX`.
pub(super) fn push_encoded(text: &[u8], encoding: Encoding, kept: &[u8], sink: &mut impl Sink) {
    let mut rest = text;
    loop {
        let plain = rest.iter().take_while(|byte| is_unreserved(**byte) || kept.contains(byte)).count();
        let (run, after) = rest.split_at_checked(plain).unwrap_or((rest, b""));
        sink.push(run);
        let (byte, after) = match encoding {
            Encoding::Once => match decode_first(after) {
                Some(first) => first,
                None => return,
            },
            Encoding::Again => match after.split_first() {
                Some((byte, after)) => (*byte, after),
                None => return,
            },
        };
        if is_unreserved(byte) {
            sink.push(&[byte])
        } else {
            sink.push(&hex::percent(byte))
        }
        rest = after;
    }
}

/// The bytes of `text` decoded and encoded again.
fn encoded(text: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let (byte, after) = decode_first(rest)?;
        rest = after;
        Some(byte)
    })
    .flat_map(|byte| {
        let (bytes, length) = if is_unreserved(byte) { ([byte, 0, 0], 1) } else { (hex::percent(byte), 3) };
        bytes.into_iter().take(length)
    })
}

/// The first byte of `text`, decoded when it is an escape; a stray `%` stands for itself.
fn decode_first(text: &[u8]) -> Option<(u8, &[u8])> {
    if let [b'%', high, low, rest @ ..] = text
        && let (Some(high), Some(low)) = (hex::value(*high), hex::value(*low))
    {
        return Some((high << 4 | low, rest));
    }
    text.split_first().map(|(byte, rest)| (*byte, rest))
}
