//! The second factor: time-based one-time passwords (RFC 6238, HMAC-SHA-1, six digits, 30 s) and recovery codes.
//!
//! A code is good once: the step it was made for is kept, and no step up to it is taken again.

use hmac::{Hmac, KeyInit, Mac};
use lgsp_shared::timestamp::UnixSeconds;
use sha1::Sha1;
use subtle::ConstantTimeEq;

/// How long one code is shown.
const STEP_SECS: i64 = 30;
/// Steps a clock may be behind or ahead.
const STEPS_AWAY: i64 = 1;
const MODULUS: u32 = 1_000_000;
/// The key's length: what RFC 4226 recommends for HMAC-SHA-1.
pub const KEY_BYTES: usize = 20;
/// Recovery codes given at enrolment.
pub const RECOVERY_CODES: usize = 10;
const RECOVERY_BYTES: usize = 10;
const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// A step, numbered from the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Step(pub i64);

impl Step {
    /// The step of an instant.
    pub fn at(now: UnixSeconds) -> Self {
        Self(now.0.div_euclid(STEP_SECS))
    }
}

/// The step whose code this is, if it is near `now` and after `used`.
pub fn verify(key: &[u8], code: &str, now: UnixSeconds, used: Option<Step>) -> Option<Step> {
    let Step(middle) = Step::at(now);
    let mut found = None;
    for step in (middle - STEPS_AWAY..=middle + STEPS_AWAY).map(Step) {
        let same = bool::from(self::code(key, step).as_bytes().ct_eq(code.as_bytes()));
        if same && used.is_none_or(|used| step > used) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step (RFC 4226 section 5.3).
pub fn code(key: &[u8], Step(step): Step) -> String {
    let mut mac = <Hmac<Sha1> as KeyInit>::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC takes any key"));
    mac.update(&step.to_be_bytes());
    let digest: [u8; 20] = mac.finalize().into_bytes().into();
    let offset = usize::from(digest.last().copied().unwrap_or(0) & 0x0f);
    let word = digest.get(offset..offset + 4).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_be_bytes);
    format!("{:06}", (word & 0x7fff_ffff) % MODULUS)
}

/// What an authenticator application reads, mostly as a QR code.
pub fn uri(key: &[u8], operator: &str, issuer: &str) -> String {
    let (issuer, secret) = (percent_encoded(issuer), base32(key));
    format!("otpauth://totp/{issuer}:{}?secret={secret}&issuer={issuer}", percent_encoded(operator))
}

/// A recovery code from random bytes: `ABCD-EFGH-IJKL-MNOP`, 80 random bits.
pub fn recovery_code(random: [u8; RECOVERY_BYTES]) -> String {
    let text = base32(&random);
    let groups: Vec<&str> = (0..text.len()).step_by(4).filter_map(|at| text.get(at..at + 4)).collect();
    groups.join("-")
}

/// A recovery code as typed, without what people add or leave out.
pub fn normalised(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_uppercase()).collect()
}

/// RFC 4648 base32 without padding.
pub fn base32(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 8 / 5 + 1);
    for chunk in bytes.chunks(5) {
        let word = (0..5).fold(0_u64, |word, at| word << 8 | u64::from(chunk.get(at).copied().unwrap_or(0)));
        let chars = (chunk.len() * 8).div_ceil(5);
        for at in 0..chars {
            let index = usize::try_from(word >> (35 - 5 * at) & 31).unwrap_or(0);
            text.extend(ALPHABET.get(index).map(|char| char::from(*char)));
        }
    }
    text
}

fn percent_encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = b"12345678901234567890";

    #[test]
    fn codes_are_those_of_rfc_6238_appendix_b() {
        for (at, wanted) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(code(KEY, Step::at(UnixSeconds(at))), wanted, "{at}");
        }
    }

    #[test]
    fn a_code_is_good_once_and_only_near_its_time() {
        let now = UnixSeconds(1_234_567_890);
        let shown = code(KEY, Step::at(now));
        let used = verify(KEY, &shown, now, None).unwrap();
        assert_eq!(used, Step::at(now));
        assert_eq!(verify(KEY, &shown, now, Some(used)), None, "the same code again");
        let before = code(KEY, Step(used.0 - 1));
        assert_eq!(verify(KEY, &before, now, Some(used)), None, "an earlier code after a later one");
        assert!(
            verify(KEY, &before, now, None).is_some() && verify(KEY, &code(KEY, Step(used.0 + 1)), now, None).is_some()
        );
        for far in [Step(used.0 - 2), Step(used.0 + 2)] {
            assert_eq!(verify(KEY, &code(KEY, far), now, None), None, "{far:?}");
        }
        for wrong in ["", "28708", "2870822", "28708a", "005 924"] {
            assert_eq!(verify(KEY, wrong, now, None), None, "{wrong}");
        }
    }

    #[test]
    fn base32_is_that_of_rfc_4648_section_10() {
        for (bytes, wanted) in [
            ("", ""),
            ("f", "MY"),
            ("fo", "MZXQ"),
            ("foo", "MZXW6"),
            ("foob", "MZXW6YQ"),
            ("fooba", "MZXW6YTB"),
            ("foobar", "MZXW6YTBOI"),
        ] {
            assert_eq!(base32(bytes.as_bytes()), wanted);
        }
        let uri = uri(KEY, "quan-tri", "LGSP Vĩnh Long");
        assert_eq!(
            uri,
            "otpauth://totp/LGSP%20V%C4%A9nh%20Long:quan-tri?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=LGSP%20V%C4%A9nh%20Long"
        );
        assert_eq!(recovery_code([0xff; 10]), "7777-7777-7777-7777");
        assert_eq!(normalised(" 7777-7777 aaaa "), "77777777AAAA");
    }
}
