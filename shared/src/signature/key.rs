//! Key states: everything about a credential that can be computed before a request arrives.

use std::fmt;
use std::sync::{Arc, Mutex};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

use super::error::Mismatch;
use super::sigv4::scope::Scope;
use crate::seal::Secret;

const BLOCK_BYTES: usize = 64;

/// The HMAC states of one secret: one for RFC 9421, one for SigV4 (keyed with `"AWS4" + secret`).
///
/// Made once per credential when a snapshot is compiled; copying it is copying about 300 bytes. The SigV4 signing key
/// that verified last is kept beside them, about 300 bytes more: deriving it takes four HMACs, 0.6 µs.
#[derive(Clone)]
pub struct KeyState {
    rfc9421: Hmac<Sha256>,
    aws4: Hmac<Sha256>,
    kept: Arc<Mutex<Kept>>,
    /// False for the decoy, whose key anyone can read in this file: nothing may verify under it.
    genuine: Choice,
}

/// The longest day, region and service together whose signing key is kept; those of AWS have at most 30 bytes.
const SCOPE_BYTES_KEPT_MAX: usize = 48;

/// The SigV4 signing key that verified last, and its scope.
struct Kept {
    scope: [u8; SCOPE_BYTES_KEPT_MAX],
    key: Option<Hmac<Sha256>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self { scope: [0; SCOPE_BYTES_KEPT_MAX], key: None }
    }
}

/// The scope as it is compared: its parts hold no `/`, so that two scopes never read the same.
fn scope_text(scope: &Scope<'_>) -> Option<[u8; SCOPE_BYTES_KEPT_MAX]> {
    let mut text = [0; SCOPE_BYTES_KEPT_MAX];
    let mut used = 0;
    for part in [scope.date, "/", scope.region, "/", scope.service] {
        text.get_mut(used..used + part.len())?.copy_from_slice(part.as_bytes());
        used += part.len();
    }
    Some(text)
}

impl KeyState {
    /// The states of `secret`.
    pub fn new(secret: &Secret) -> KeyState {
        let prefixed = Zeroizing::new([b"AWS4", secret.expose()].concat());
        KeyState {
            rfc9421: keyed(secret.expose()),
            aws4: keyed(&prefixed),
            kept: Arc::default(),
            genuine: Choice::from(1),
        }
    }

    /// A state to verify against when the access key is unknown: it costs what a real one costs and never verifies.
    pub fn decoy() -> KeyState {
        KeyState { genuine: Choice::from(0), ..KeyState::new(&Secret::new(vec![0; SECRET_BYTES])) }
    }

    pub(super) fn rfc9421(&self) -> Hmac<Sha256> {
        self.rfc9421.clone()
    }

    /// The SigV4 signing key of a day, region and service, if it is the one that was kept last. Never waits: while another
    /// thread holds it, it is derived instead.
    pub(super) fn kept_signing_key(&self, scope: &Scope<'_>) -> Option<Hmac<Sha256>> {
        let text = scope_text(scope)?;
        let kept = self.kept.try_lock().ok()?;
        if kept.scope == text { kept.key.clone() } else { None }
    }

    /// Keeps a signing key that has just verified. Only such: whoever does not hold the secret cannot replace it.
    pub(super) fn keep_signing_key(&self, scope: &Scope<'_>, key: &Hmac<Sha256>) {
        if let (Some(scope), Ok(mut kept)) = (scope_text(scope), self.kept.try_lock()) {
            *kept = Kept { scope, key: Some(key.clone()) };
        }
    }

    /// The SigV4 signing key of a day, region and service.
    pub(super) fn signing_key(&self, scope: &Scope<'_>) -> Hmac<Sha256> {
        let mut mac = self.aws4.clone();
        for part in [scope.date, scope.region, scope.service, "aws4_request"] {
            mac.update(part.as_bytes());
            let derived = Zeroizing::new(finish(mac));
            mac = keyed(derived.as_slice());
        }
        mac
    }

    /// Compares in constant time; under the decoy nothing is equal.
    pub(super) fn compare(&self, computed: &[u8; 32], given: &[u8; 32]) -> Result<(), Mismatch> {
        if bool::from(computed.ct_eq(given) & self.genuine) { Ok(()) } else { Err(Mismatch) }
    }

    pub(super) fn genuine(&self) -> Choice {
        self.genuine
    }
}

impl fmt::Debug for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyState(..)")
    }
}

/// Bytes of the secrets the control plane issues; the decoy is as long, though HMAC's cost does not depend on it.
const SECRET_BYTES: usize = 32;

/// An HMAC state under `key` of any length (RFC 2104 section 2).
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    let mut block = Zeroizing::new([0; BLOCK_BYTES]);
    match block.get_mut(..key.len()) {
        Some(place) => place.copy_from_slice(key),
        None => {
            for (place, byte) in block.iter_mut().zip(Sha256::digest(key)) {
                *place = byte;
            }
        }
    }
    Hmac::new(&(*block).into())
}

/// The finished MAC as an array.
pub(super) fn finish(mac: Hmac<Sha256>) -> [u8; 32] {
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_any_length_agree_with_the_library() {
        for length in [0, 1, 32, 63, 64, 65, 200] {
            let key = vec![7; length];
            let mut expected = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            expected.update(b"text");
            let mut ours = keyed(&key);
            ours.update(b"text");
            assert_eq!(finish(ours), finish(expected), "{length}");
        }
    }

    #[test]
    fn a_kept_signing_key_is_given_out_for_its_own_scope_only() {
        let key = KeyState::new(&Secret::new(b"secret".to_vec()));
        let scope = Scope { access_key: "K", date: "20261124", region: "vn", service: "s3" };
        assert!(key.kept_signing_key(&scope).is_none());
        let derived = key.signing_key(&scope);
        key.keep_signing_key(&scope, &derived);
        let kept = key.clone().kept_signing_key(&scope);
        assert_eq!(kept.map(finish), Some(finish(derived)));
        for other in
            [Scope { date: "20261125", ..scope }, Scope { region: "us", ..scope }, Scope { service: "sqs", ..scope }]
        {
            assert!(key.kept_signing_key(&other).is_none(), "{other:?}");
        }
        assert!(KeyState::new(&Secret::new(b"other".to_vec())).kept_signing_key(&scope).is_none());
    }

    #[test]
    fn nothing_verifies_under_the_decoy_and_no_state_is_printed() {
        let decoy = KeyState::decoy();
        assert_eq!(decoy.compare(&[1; 32], &[1; 32]), Err(Mismatch));
        assert_eq!(KeyState::new(&Secret::new(vec![1])).compare(&[1; 32], &[1; 32]), Ok(()));
        assert_eq!(format!("{decoy:?}"), "KeyState(..)");
    }
}
