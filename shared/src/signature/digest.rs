//! `Content-Digest` (RFC 9530): read, written, and checked while a body flows.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::byte_sequence;

/// The digests a body has to have; at least one of them is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExpectedDigest {
    sha256: Option<[u8; 32]>,
    sha512: Option<[u8; 64]>,
}

impl ExpectedDigest {
    /// A body whose SHA-256 is known.
    pub fn sha256(digest: [u8; 32]) -> Self {
        Self { sha256: Some(digest), sha512: None }
    }

    /// The SHA-256 of a body that is here.
    pub fn of(body: &[u8]) -> Self {
        Self::sha256(Sha256::digest(body).into())
    }

    /// A body whose SHA-512 is known.
    pub fn sha512(digest: [u8; 64]) -> Self {
        Self { sha256: None, sha512: Some(digest) }
    }

    /// Both sets of digests at once; `None` when they contradict each other, so that no body could have them.
    pub(super) fn and(self, other: Self) -> Option<Self> {
        fn both<const N: usize>(a: Option<[u8; N]>, b: Option<[u8; N]>) -> Option<Option<[u8; N]>> {
            match (a, b) {
                (Some(a), Some(b)) => (a == b).then_some(Some(a)),
                (one, None) | (None, one) => Some(one),
            }
        }
        Some(Self { sha256: both(self.sha256, other.sha256)?, sha512: both(self.sha512, other.sha512)? })
    }

    /// A running check of a body against these digests.
    pub fn verifier(self) -> DigestVerifier {
        DigestVerifier {
            sha256: self.sha256.map(|expected| (Sha256::new(), expected)),
            sha512: self.sha512.map(|expected| (Sha512::new(), expected)),
        }
    }
}

/// Why a `Content-Digest` cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ContentDigestError {
    /// Not a dictionary of byte sequences.
    #[error("`content-digest` is malformed: write it as `sha-256=:<base64>:`")]
    Malformed,
    /// The same algorithm twice.
    #[error("`content-digest` names an algorithm twice")]
    Repeated,
    /// Neither `sha-256` nor `sha-512`.
    #[error("`content-digest` names no algorithm this node knows: use `sha-256` or `sha-512`")]
    Unknown,
    /// Two signed digests that no body can satisfy together.
    #[error("`content-digest` and `x-amz-content-sha256` contradict each other")]
    Contradictory,
}

/// The `Content-Digest` field.
#[derive(Debug, Clone, Copy)]
pub struct ContentDigest;

impl ContentDigest {
    /// Reads a field value. Every known algorithm in it will be checked; unknown ones are passed over as RFC 9530
    /// section 2 has it, but at least one must be known.
    pub fn parse(text: &str) -> Result<ExpectedDigest, ContentDigestError> {
        let mut expected = ExpectedDigest { sha256: None, sha512: None };
        for member in byte_sequence::members(text) {
            let (key, encoded) = member.ok_or(ContentDigestError::Malformed)?;
            match key {
                "sha-256" => set(&mut expected.sha256, encoded)?,
                "sha-512" => set(&mut expected.sha512, encoded)?,
                _ => {}
            }
        }
        if expected.sha256.is_none() && expected.sha512.is_none() {
            return Err(ContentDigestError::Unknown);
        }
        Ok(expected)
    }

    /// Appends the field value for `digest`.
    pub fn format(digest: &ExpectedDigest, out: &mut Vec<u8>) {
        let mut room = [0; 88];
        let mut separator: &[u8] = b"";
        let members = [
            ("sha-256", digest.sha256.as_ref().map(<[u8; 32]>::as_slice)),
            ("sha-512", digest.sha512.as_ref().map(<[u8; 64]>::as_slice)),
        ];
        for (key, bytes) in members {
            let Some(bytes) = bytes else { continue };
            let length = BASE64.encode_slice(bytes, &mut room).unwrap_or_default();
            for part in [separator, key.as_bytes(), b"=:", room.get(..length).unwrap_or_default(), b":"] {
                out.extend_from_slice(part);
            }
            separator = b", ";
        }
    }
}

fn set<const N: usize>(place: &mut Option<[u8; N]>, encoded: &str) -> Result<(), ContentDigestError> {
    let digest = byte_sequence::decode(encoded).ok_or(ContentDigestError::Malformed)?;
    if place.replace(digest).is_some() { Err(ContentDigestError::Repeated) } else { Ok(()) }
}

/// The body is not the one that was signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body does not match its signed digest")]
pub struct DigestMismatch;

/// Hashes a body as it flows; constant memory (about 500 bytes), whatever the body's size.
#[derive(Debug, Clone)]
pub struct DigestVerifier {
    sha256: Option<(Sha256, [u8; 32])>,
    sha512: Option<(Sha512, [u8; 64])>,
}

impl DigestVerifier {
    /// Takes the next bytes of the body.
    pub fn update(&mut self, bytes: &[u8]) {
        if let Some((hash, _)) = &mut self.sha256 {
            hash.update(bytes);
        }
        if let Some((hash, _)) = &mut self.sha512 {
            hash.update(bytes);
        }
    }

    /// The verdict over everything taken.
    pub fn finish(self) -> Result<(), DigestMismatch> {
        let sha256 = self.sha256.map(|(hash, expected)| hash.finalize().as_slice().ct_eq(&expected));
        let sha512 = self.sha512.map(|(hash, expected)| hash.finalize().as_slice().ct_eq(&expected));
        let verdict = match (sha256, sha512) {
            (Some(one), Some(other)) => one & other,
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => return Err(DigestMismatch),
        };
        if verdict.into() { Ok(()) } else { Err(DigestMismatch) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9530 appendix B: digests of `{"hello": "world"}` and a line feed.
    const BODY: &[u8] = b"{\"hello\": \"world\"}\n";
    const FIELD: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:, sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    fn verdict(field: &str, body: &[u8]) -> Result<(), DigestMismatch> {
        let mut verifier = ContentDigest::parse(field).unwrap().verifier();
        for piece in body.chunks(5) {
            verifier.update(piece);
        }
        verifier.finish()
    }

    #[test]
    fn every_known_digest_given_is_checked() {
        assert_eq!(verdict(FIELD, BODY), Ok(()));
        assert_eq!(verdict(FIELD, b"{}"), Err(DigestMismatch));
        let (sha256, sha512) = FIELD.split_once(", ").unwrap();
        assert_eq!(verdict(sha256, BODY), Ok(()));
        assert_eq!(verdict(sha512, BODY), Ok(()));
        assert_eq!(verdict(&format!("md5=:AAAA:, {sha256}"), BODY), Ok(()));
        let one_wrong = format!("sha-256=:{}:, {sha512}", BASE64.encode([0; 32]));
        assert_eq!(verdict(&one_wrong, BODY), Err(DigestMismatch));
        assert_eq!(verdict(sha512, &BODY[1..]), Err(DigestMismatch));
    }

    #[test]
    fn a_field_that_vouches_for_nothing_is_refused() {
        use ContentDigestError::*;
        let sha256 = FIELD.split_once(", ").unwrap().0;
        let cases = [
            ("", Malformed),
            ("md5=:AAAA:", Unknown),
            ("sha-256=RK", Malformed),
            ("sha-256=:AAAA:", Malformed),
            (&sha256.replace("=:", ":"), Malformed),
            (&sha256.replace("sha-256", "SHA-256"), Malformed),
            (&format!("{sha256}, {sha256}"), Repeated),
            (&format!("{sha256},"), Malformed),
        ];
        for (field, error) in cases {
            assert_eq!(ContentDigest::parse(field), Err(error), "{field}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let expected = ContentDigest::parse(FIELD).unwrap();
        let mut written = Vec::new();
        ContentDigest::format(&expected, &mut written);
        assert_eq!(String::from_utf8(written).unwrap(), FIELD);
        let zero = ExpectedDigest::sha256([0; 32]);
        assert_eq!(expected.and(zero), None);
        assert_eq!(
            ExpectedDigest::sha512([1; 64]).and(zero).and_then(|both| both.and(zero)).unwrap().sha256,
            Some([0; 32])
        );
    }
}
