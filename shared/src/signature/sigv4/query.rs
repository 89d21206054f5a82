//! Percent-encoding and the sorted query of SigV4's canonical request, without a copy of either.

use std::cell::OnceCell;
use std::cmp::Ordering;

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
    /// The how-manieth it is.
    at: u8,
}

impl<'a> Parameter<'a> {
    fn parse(text: &'a str) -> Self {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        Self { name: name.as_bytes(), value: value.as_bytes(), at: 0 }
    }

    fn compare(&self, other: &Self) -> Ordering {
        compare_encoded(self.name, other.name).then_with(|| compare_encoded(self.value, other.value))
    }
}

/// A query, sorted at most once in each order however many canonical forms are tried. 10 KiB of stack, touched only where
/// the query has to be sorted.
#[derive(Debug)]
pub(super) struct Query<'a> {
    text: &'a str,
    /// The parameter left out of what is signed.
    skipped: Option<&'static str>,
    by_encoding: OnceCell<Sorted<'a>>,
    as_sent: OnceCell<Sorted<'a>>,
}

#[derive(Debug)]
struct Sorted<'a> {
    room: [Parameter<'a>; QUERY_PARAMETERS_MAX],
    count: usize,
}

impl<'a> Sorted<'a> {
    fn parameters(&self) -> &[Parameter<'a>] {
        self.room.get(..self.count).unwrap_or_default()
    }
}

impl<'a> Query<'a> {
    /// The query of a request; of a presigned one without its signature.
    pub(super) fn of(query: Option<&'a str>, presigned: bool) -> Self {
        let skipped = presigned.then_some(SIGNATURE_PARAMETER);
        Self { text: query.unwrap_or_default(), skipped, by_encoding: OnceCell::new(), as_sent: OnceCell::new() }
    }

    /// The parameters, encoded and sorted. A query too long for [`check`] comes out cut: it verifies nothing.
    pub(super) fn push_sorted(&self, sink: &mut impl Sink) {
        let mut separator: &[u8] = b"";
        for parameter in self.by_encoding().parameters() {
            sink.push(separator);
            push_encoded(parameter.name, Encoding::Once, b"", sink);
            sink.push(b"=");
            push_encoded(parameter.value, Encoding::Once, b"", sink);
            separator = b"&";
        }
    }

    /// The parameters, sorted as they were sent and not encoded anew.
    pub(super) fn push_sorted_as_sent(&self, sink: &mut impl Sink) {
        let mut separator: &[u8] = b"";
        for parameter in self.as_sent().parameters() {
            for part in [separator, parameter.name, b"=", parameter.value] {
                sink.push(part);
            }
            separator = b"&";
        }
    }

    /// The parameters as sent.
    pub(super) fn push_raw(&self, sink: &mut impl Sink) {
        let Some(skipped) = self.skipped else { return sink.push(self.text.as_bytes()) };
        let mut separator: &[u8] = b"";
        for parameter in self.text.split('&').filter(|text| Parameter::parse(text).name != skipped.as_bytes()) {
            sink.push(separator);
            sink.push(parameter.as_bytes());
            separator = b"&";
        }
    }

    /// Whether sorting and encoding the query would give the query.
    pub(super) fn is_canonical(&self) -> bool {
        let mut previous: Option<Parameter<'_>> = None;
        self.text.is_empty()
            || self.text.split('&').all(|text| {
                let parameter = Parameter::parse(text);
                let ordered = previous.replace(parameter).is_none_or(|before| before.compare(&parameter).is_le());
                ordered
                    && text.contains('=')
                    && encoded(parameter.name).eq(parameter.name.iter().copied())
                    && encoded(parameter.value).eq(parameter.value.iter().copied())
            })
    }

    /// Whether the query holds, unescaped, what some reader takes for more than itself: `+` is a blank to form decoders,
    /// `;` and `,` separate.
    pub(super) fn holds_delimiters(&self) -> bool {
        self.text.bytes().any(|byte| matches!(byte, b'+' | b',' | b';'))
    }

    /// Whether parameters of one name stand in the order into which they are sorted when they are encoded. Sorting
    /// otherwise hides which of them is first, which is the one that counts to some readers.
    pub(super) fn keeps_order_encoded(&self) -> bool {
        all_pairs(self.by_encoding(), |one, next| one.at < next.at || compare_encoded(one.name, next.name).is_ne())
    }

    /// The same for sorting as sent, which also takes one name in two spellings for two.
    pub(super) fn keeps_order_as_sent(&self) -> bool {
        let alike = |one: &Parameter<'_>, next: &Parameter<'_>| {
            one.name == next.name || compare_encoded(one.name, next.name).is_ne()
        };
        all_pairs(self.as_sent(), |one, next| one.at < next.at || one.name != next.name)
            && all_pairs(self.by_encoding(), alike)
    }

    fn by_encoding(&self) -> &Sorted<'a> {
        self.by_encoding.get_or_init(|| {
            let mut sorted = self.collect();
            let parameters = sorted.room.get_mut(..sorted.count).unwrap_or_default();
            parameters.sort_unstable_by(|one, other| one.compare(other).then(one.at.cmp(&other.at)));
            sorted
        })
    }

    fn as_sent(&self) -> &Sorted<'a> {
        self.as_sent.get_or_init(|| {
            let mut sorted = self.collect();
            let parameters = sorted.room.get_mut(..sorted.count).unwrap_or_default();
            parameters.sort_unstable_by_key(|parameter| (parameter.name, parameter.value, parameter.at));
            sorted
        })
    }

    fn collect(&self) -> Sorted<'a> {
        let mut sorted = Sorted { room: [Parameter::default(); QUERY_PARAMETERS_MAX], count: 0 };
        if !self.text.is_empty() {
            let parameters = self.text.split('&').map(Parameter::parse);
            let kept = parameters.filter(|parameter| self.skipped.is_none_or(|name| parameter.name != name.as_bytes()));
            for (at, (place, parameter)) in (0_u8..).zip(sorted.room.iter_mut().zip(kept)) {
                *place = Parameter { at, ..parameter };
                sorted.count += 1;
            }
        }
        sorted
    }
}

/// Whether each parameter and the next one are as `wanted`.
fn all_pairs(sorted: &Sorted<'_>, wanted: impl Fn(&Parameter<'_>, &Parameter<'_>) -> bool) -> bool {
    let parameters = sorted.parameters();
    parameters.iter().zip(parameters.iter().skip(1)).all(|(one, next)| wanted(one, next))
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

/// Compares two texts as they are once encoded. What both begin with is passed over as it is sent, back to before an
/// escape: names with a long common beginning cost no more than others.
fn compare_encoded(one: &[u8], other: &[u8]) -> Ordering {
    let same = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    let is_escape = |back: usize| same.checked_sub(back).and_then(|at| one.get(at)) == Some(&b'%');
    let whole = if is_escape(1) {
        same - 1
    } else if is_escape(2) {
        same - 2
    } else {
        same
    };
    encoded(one.get(whole..).unwrap_or_default()).cmp(encoded(other.get(whole..).unwrap_or_default()))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn passing_over_the_common_beginning_compares_alike(
            one in "(a|%[46]1|%e1|%E1|-){0,6}", other in "(a|%[46]1|%e1|%E1|-){0,6}"
        ) {
            let slowly = encoded(one.as_bytes()).cmp(encoded(other.as_bytes()));
            prop_assert_eq!(compare_encoded(one.as_bytes(), other.as_bytes()), slowly);
        }
    }

    #[test]
    fn parameters_of_one_name_out_of_order_are_found() {
        for (query, encoded, as_sent) in [
            ("b=2&a=1", true, true),
            ("id=1&x=3&id=2", true, true),
            ("id=2&id=1", false, false),
            ("id=2&%69d=1", false, false),
            ("id=1&%69d=2", true, false),
            ("a=%7e2&b&a=1", false, true),
            ("id=1&id=1", true, true),
            ("", true, true),
        ] {
            let query = Query::of(Some(query), false);
            assert_eq!((query.keeps_order_encoded(), query.keeps_order_as_sent()), (encoded, as_sent), "{query:?}");
        }
    }
}
