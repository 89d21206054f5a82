//! Dictionaries of byte sequences: the shape of `Signature` and `Content-Digest` (RFC 9651 sections 3.2 and 3.3.5).
//!
//! Read strictly and in place: `key=:base64:` members only, no parameters, canonical base64 with or without padding. The general parser would
//! put every sequence on the heap; what is read here is a subset of what it accepts, which a property test holds.

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Base64 with or without padding: a reader should not fail where it is missing (RFC 9651 section 4.2.7). Bits that stand
/// for nothing are zero, so that a value has one spelling besides its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// One member: its key and its base64 text.
pub(super) type Member<'a> = (&'a str, &'a str);

/// The members of a dictionary in order; `None` for one that is not `key=:base64:`.
pub(super) fn members<'a>(text: &'a str) -> impl Iterator<Item = Option<Member<'a>>> {
    text.split(',').map(|member| {
        let (key, item) = member.trim_matches([' ', '\t']).split_once('=')?;
        let encoded = item.strip_prefix(':')?.strip_suffix(':')?;
        is_key(key).then_some((key, encoded))
    })
}

/// `key` of RFC 9651 section 3.1.2.
pub(super) fn is_key(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_lowercase() || first == b'*')
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-.*".contains(&byte))
}

/// Exactly `N` bytes (64 at most) of canonical base64.
pub(super) fn decode<const N: usize>(encoded: &str) -> Option<[u8; N]> {
    // The decoder wants room for whole groups of three.
    let mut room = [0; 66];
    let length = BASE64.decode_slice(encoded, &mut room).ok()?;
    room.get(..length)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn whatever_is_read_here_the_general_parser_reads_too(text in "[ab*,= \t:\\-;AQg]{0,40}") {
            let ours: Option<Vec<(String, Vec<u8>)>> = members(&text)
                .map(|member| member.and_then(|(key, encoded)| Some((key.to_owned(), BASE64.decode(encoded).ok()?))))
                .collect();
            if let Some(ours) = ours {
                let parsed: sfv::Dictionary = sfv::Parser::new(&text).parse().unwrap();
                for (key, bytes) in &ours {
                    // The last of equal keys wins there; here callers refuse them.
                    if ours.iter().filter(|(other, _)| other == key).count() == 1 {
                        let entry = parsed.get(sfv::KeyRef::from_str(key).unwrap());
                        let Some(sfv::ListEntry::Item(item)) = entry else { panic!("{text}") };
                        prop_assert_eq!(item.bare_item.as_byte_sequence(), Some(bytes.as_slice()));
                    }
                }
            }
        }
    }

    #[test]
    fn lengths_are_exact_and_base64_is_canonical() {
        assert_eq!(decode::<2>("AAA="), Some([0, 0]));
        assert_eq!(decode::<2>("AAB="), None);
        assert_eq!(decode::<2>("AAA"), Some([0, 0]), "padding may be missing");
        assert_eq!((decode::<2>("AAB"), decode::<2>("AAA=="), decode::<2>("AA=A")), (None, None, None));
        assert_eq!(decode::<3>("AAA="), None);
        assert_eq!(decode::<64>(&BASE64.encode([9; 64])), Some([9; 64]));
        assert_eq!(decode::<64>(&"A".repeat(400)), None);
    }
}
