//! The session key, and the proof that a request's sender holds it.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::signature::hex;

/// Bytes of a session key.
pub const SESSION_KEY_BYTES: usize = 32;
/// Bytes of a proof as written: hexadecimal digits.
pub const PROOF_BYTES: usize = 64;
/// What stands before the nonce, so that a proof is never a MAC made for something else.
const PURPOSE: &[u8] = b"lgsp-session-proof:";

/// The key of one session; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKey(Zeroizing<[u8; SESSION_KEY_BYTES]>);

impl SessionKey {
    /// Takes over random bytes.
    pub fn new(bytes: [u8; SESSION_KEY_BYTES]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// Reads the 64 hexadecimal digits in which it is returned.
    pub fn parse(text: &str) -> Option<Self> {
        hex::decode(text.as_bytes()).map(Self::new)
    }

    /// The key as 64 hexadecimal digits, for the one to whom the session is given.
    pub fn to_hex(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    pub(super) fn expose(&self) -> &[u8; SESSION_KEY_BYTES] {
        &self.0
    }

    /// The proof for a request with this nonce: HMAC-SHA256 over `lgsp-session-proof:<nonce>`, in hexadecimal.
    pub fn proof(&self, nonce: &str) -> [u8; PROOF_BYTES] {
        prove(&self.0, nonce)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(..)")
    }
}

fn prove(key: &[u8; SESSION_KEY_BYTES], nonce: &str) -> [u8; PROOF_BYTES] {
    // HMAC takes keys of any length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else { return [0; PROOF_BYTES] };
    mac.update(PURPOSE);
    mac.update(nonce.as_bytes());
    hex::encode(&mac.finalize().into_bytes().into())
}

/// Whether `proof` is the one that `key` makes for this nonce; compares in constant time.
pub(super) fn is_proof(key: &[u8; SESSION_KEY_BYTES], nonce: &str, proof: &[u8]) -> bool {
    bool::from(prove(key, nonce).as_slice().ct_eq(proof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_belongs_to_one_key_and_one_nonce() {
        let key = SessionKey::new([7; SESSION_KEY_BYTES]);
        let proof = key.proof("nonce-1");
        assert!(is_proof(key.expose(), "nonce-1", &proof));
        assert!(!is_proof(key.expose(), "nonce-2", &proof));
        assert!(!is_proof(&[8; SESSION_KEY_BYTES], "nonce-1", &proof));
        assert!(!is_proof(key.expose(), "nonce-1", &proof[1..]) && !is_proof(key.expose(), "nonce-1", b""));
    }

    #[test]
    fn a_proof_is_what_openssl_makes() {
        // printf 'lgsp-session-proof:nonce-1' | openssl dgst -sha256 -mac HMAC -macopt hexkey:0707…07
        let expected = "576c2d65f071e9d26df9d79d15f1143c18c2f2612513a55a3c594bdd5e29e530";
        assert_eq!(std::str::from_utf8(&SessionKey::new([7; SESSION_KEY_BYTES]).proof("nonce-1")), Ok(expected));
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_never_printed() {
        let key = SessionKey::new(std::array::from_fn(|at| at as u8));
        assert_eq!(SessionKey::parse(&key.to_hex()), Some(key.clone()));
        assert_eq!(SessionKey::parse("00"), None);
        assert_eq!(format!("{key:?}"), "SessionKey(..)");
    }
}
