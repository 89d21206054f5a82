//! How a nonce is known: by a keyed hash in this process, by SHA-256 on every node.

use std::hash::Hasher as _;

use lgsp_shared::signature::Nonce;
use sha2::{Digest, Sha256};

use super::ReplayWindow;

/// Bytes of a [`NonceId`].
pub const NONCE_ID_BYTES: usize = 32;

/// A nonce of a key in the same form on every node: SHA-256 over both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NonceId([u8; NONCE_ID_BYTES]);

impl NonceId {
    /// The nonce of this key.
    pub fn of(access_key: &str, nonce: Nonce<'_>) -> Self {
        // No access key holds a zero byte, so the two parts cannot be told apart in two ways.
        let hash = Sha256::new().chain_update(access_key.as_bytes());
        let (tag, bytes) = parts(&nonce);
        Self(hash.chain_update([0, tag]).chain_update(bytes).finalize().into())
    }

    /// Takes over what another node sent.
    pub fn from_bytes(bytes: [u8; NONCE_ID_BYTES]) -> Self {
        Self(bytes)
    }

    /// The bytes, to be sent to another node.
    pub fn as_bytes(&self) -> &[u8; NONCE_ID_BYTES] {
        &self.0
    }
}

/// An access key in the same form in every process: the first bytes of its SHA-256. Two keys with one form share a mark,
/// which refuses a request and never lets one through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyId(pub u64);

impl KeyId {
    /// The form of this access key.
    pub fn of(access_key: &str) -> Self {
        Self(Sha256::digest(access_key.as_bytes()).first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes)))
    }
}

/// A nonce of a key as one window knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Name {
    /// The keyed hash of both.
    pub(super) hash: u64,
    /// The keyed hash of the key, where it is known.
    pub(super) key: Option<u64>,
    /// The form on every node, if other nodes ask this window.
    pub(super) id: Option<NonceId>,
}

impl Name {
    /// The keyed hash, the same in a successor.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The form on every node, if other nodes ask this window.
    pub fn id(&self) -> Option<NonceId> {
        self.id
    }
}

impl ReplayWindow {
    /// How this window knows the nonce of this key.
    pub fn name(&self, access_key: &str, nonce: Nonce<'_>) -> Name {
        let mut hasher = self.hasher();
        hasher.write(access_key.as_bytes());
        let key = Some(hasher.finish());
        if self.shared {
            return self.name_of_id(&NonceId::of(access_key, nonce), key);
        }
        let (tag, bytes) = parts(&nonce);
        hasher.write(&[0, tag]);
        hasher.write(bytes);
        Name { hash: hasher.finish(), key, id: None }
    }

    pub(super) fn name_of_id(&self, id: &NonceId, key: Option<u64>) -> Name {
        let mut hasher = self.hasher();
        hasher.write(id.as_bytes());
        Name { hash: hasher.finish(), key, id: Some(*id) }
    }

    /// `write` alone is used: what `Hash` writes for a type may differ in a successor that another compiler built.
    #[expect(deprecated, reason = "the only hasher of the standard library whose key another process can be given")]
    fn hasher(&self) -> std::hash::SipHasher {
        let [first, second] = self.hash_key();
        std::hash::SipHasher::new_with_keys(first, second)
    }
}

fn parts<'a>(nonce: &'a Nonce<'_>) -> (u8, &'a [u8]) {
    match nonce {
        Nonce::Given(text) => (0, text.as_bytes()),
        Nonce::Signature(bytes) => (1, bytes),
    }
}

/// Two words that nobody can guess.
pub(super) fn random_hash_key() -> [u64; 2] {
    use std::hash::{BuildHasher as _, RandomState};
    // Each `RandomState` is keyed at random; what it makes of nothing is as random as its key.
    [RandomState::new().hash_one(0_u8), RandomState::new().hash_one(1_u8)]
}
