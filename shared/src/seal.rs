//! Sealed secrets: AES-256-GCM under the platform's key-encryption keys.
//!
//! The additional data is the identity of the record that holds the secret, so that a sealed secret moved to another
//! row does not open. A sealed secret names its key, and a process holds several ([`SealKeys`]): the first seals, all
//! open, so that one can follow another without a pause. Nothing here prints a secret: [`Secret`] and [`SealKey`] have
//! no readable `Debug`.

use std::fmt;

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

pub mod origin;
mod ring;
pub mod vouch;

pub use ring::{KEYS_MAX, SealKeys};

/// Bytes of a key-encryption key.
pub const KEY_BYTES: usize = 32;
/// Bytes of the random nonce of one sealing.
pub const NONCE_BYTES: usize = 12;
const KEY_ID_BYTES: usize = 4;
const FORMAT: &str = "v1";

/// A secret in the clear; wiped when dropped, never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, for a key state; do not copy them anywhere.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A secret as stored and published: `v1.<key id>.<base64 of nonce and ciphertext>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

impl Sealed {
    /// The sealed text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key it is sealed under; `None` when the text has not the sealed form.
    pub fn key_id(&self) -> Option<KeyId> {
        let mut parts = self.0.split('.');
        let (Some(FORMAT), Some(key_id)) = (parts.next(), parts.next()) else { return None };
        KeyId::parse(key_id)
    }

    /// Whether the text has the sealed form, under whatever key; a secret in the clear has not.
    pub fn is_well_formed(&self) -> bool {
        const TAG_BYTES: usize = 16;
        let mut parts = self.0.split('.');
        let (Some(FORMAT), Some(key_id), Some(body), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        KeyId::parse(key_id).is_some() && BASE64.decode(body).is_ok_and(|body| body.len() > NONCE_BYTES + TAG_BYTES)
    }
}

impl From<String> for Sealed {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Why a key is unusable or a secret does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// Not 32 bytes in hexadecimal or base64.
    #[error("a key-encryption key is 32 random bytes in hexadecimal or base64; make one with `openssl rand -hex 32`")]
    KeyMalformed,
    /// Few distinct bytes: a default, a placeholder, a counter.
    #[error("the key-encryption key is too regular to be random; make one with `openssl rand -hex 32`")]
    KeyWeak,
    /// Not in the sealed form.
    #[error("this is not a sealed secret: issue the credential again")]
    SealedMalformed,
    /// Sealed under a key this process does not have.
    #[error(
        "sealed under key-encryption key {wanted}, which is not in the key file of this process: add it there, it is read \
         again within seconds"
    )]
    KeyUnknown {
        /// The key it is sealed under.
        wanted: KeyId,
    },
    /// More keys than a rotation needs.
    #[error("the key file holds more than {KEYS_MAX} keys: remove those that nothing is sealed under any more")]
    KeysTooMany,
    /// The same key twice.
    #[error("the key file holds key {0} twice: remove one of the two lines")]
    KeyRepeated(KeyId),
    /// Changed, or moved from another record.
    #[error("the sealed secret does not belong to this record or was changed: issue the credential again")]
    Forged,
}

/// The short public name of a key-encryption key: part of a hash of it, in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId([u8; KEY_ID_BYTES]);

impl KeyId {
    /// Reads eight lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let is_id = text.len() == 2 * KEY_ID_BYTES && text.bytes().all(hex);
        is_id.then(|| u32::from_str_radix(text, 16).ok()).flatten().map(|number| Self(number.to_be_bytes()))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", u32::from_be_bytes(self.0))
    }
}

impl TryFrom<String> for KeyId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a key id is eight lower-case hexadecimal digits")
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> Self {
        id.to_string()
    }
}

/// One key-encryption key.
#[derive(Clone)]
pub struct SealKey {
    cipher: Aes256Gcm,
    derivation: Hmac<Sha256>,
    id: KeyId,
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealKey({})", self.id())
    }
}

impl SealKey {
    /// Fewer distinct bytes than this among 32 random ones is less likely than 1 in 10^12.
    const DISTINCT_BYTES_MIN: usize = 16;

    /// Reads the content of a key file: 64 hexadecimal digits, or base64 of 32 bytes; surrounding white space is ignored.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(decode_key(text.trim()).ok_or(SealError::KeyMalformed)?);
        let mut distinct = [false; 256];
        for byte in bytes.iter() {
            if let Some(seen) = distinct.get_mut(usize::from(*byte)) {
                *seen = true;
            }
        }
        if distinct.iter().filter(|seen| **seen).count() < Self::DISTINCT_BYTES_MIN {
            return Err(SealError::KeyWeak);
        }
        let cipher = Aes256Gcm::new_from_slice(&bytes).map_err(|_| SealError::KeyMalformed)?;
        let derivation = Hmac::new_from_slice(&bytes).map_err(|_| SealError::KeyMalformed)?;
        let mut id = [0; KEY_ID_BYTES];
        let digest = Sha256::new().chain_update(b"lgsp key id").chain_update(bytes.as_slice()).finalize();
        id.copy_from_slice(digest.get(..KEY_ID_BYTES).unwrap_or_default());
        Ok(Self { cipher, derivation, id: KeyId(id) })
    }

    /// A short public name of the key, to tell keys apart in messages.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// A key of its own for `purpose` and `name`: HKDF-Expand (RFC 5869 section 2.3) of one block; the extraction before
    /// it is left out because this key is random already (section 3.3). Neither text may hold a zero byte.
    pub(crate) fn derive(&self, purpose: &str, name: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        let mut mac = self.derivation.clone();
        for part in [purpose.as_bytes(), &[0], name.as_bytes(), &[1]] {
            mac.update(part);
        }
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// Seals `secret` for the record called `identity`; `nonce` must be random and never used twice.
    pub fn seal(&self, secret: &Secret, identity: &str, nonce: [u8; NONCE_BYTES]) -> Result<Sealed, SealError> {
        let payload = Payload { msg: secret.expose(), aad: identity.as_bytes() };
        let ciphertext = self.cipher.encrypt(&nonce.into(), payload).map_err(|_| SealError::SealedMalformed)?;
        let body = [nonce.as_slice(), &ciphertext].concat();
        Ok(Sealed(format!("{FORMAT}.{}.{}", self.id(), BASE64.encode(body))))
    }

    /// Opens a secret that was sealed for `identity`.
    pub fn open(&self, sealed: &Sealed, identity: &str) -> Result<Secret, SealError> {
        let mut parts = sealed.0.split('.');
        let (Some(FORMAT), Some(key_id), Some(body), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(SealError::SealedMalformed);
        };
        let wanted = KeyId::parse(key_id).ok_or(SealError::SealedMalformed)?;
        if wanted != self.id {
            return Err(SealError::KeyUnknown { wanted });
        }
        let body = BASE64.decode(body).map_err(|_| SealError::SealedMalformed)?;
        let (nonce, ciphertext) = body.split_first_chunk::<NONCE_BYTES>().ok_or(SealError::SealedMalformed)?;
        let payload = Payload { msg: ciphertext, aad: identity.as_bytes() };
        self.cipher.decrypt(&(*nonce).into(), payload).map(Secret::new).map_err(|_| SealError::Forged)
    }
}

fn decode_key(text: &str) -> Option<Vec<u8>> {
    if text.len() == 2 * KEY_BYTES && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let pair = |at: usize| text.get(at..at + 2).and_then(|pair| u8::from_str_radix(pair, 16).ok());
        return (0..text.len()).step_by(2).map(pair).collect();
    }
    BASE64.decode(text).ok().filter(|bytes| bytes.len() == KEY_BYTES)
}

/// The identity under which a credential's secret is sealed.
pub fn credential_identity(name: &str, system: &str, access_key: &str) -> String {
    format!("lgsp/credential/{name}/{system}/{access_key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    #[test]
    fn a_secret_opens_only_for_its_own_record_and_key() {
        let key = SealKey::parse(KEY).unwrap();
        let sealed = key.seal(&Secret::new(b"swordfish".to_vec()), "row 1", [7; NONCE_BYTES]).unwrap();
        assert_eq!(key.open(&sealed, "row 1").unwrap().expose(), b"swordfish");
        assert_eq!(key.open(&sealed, "row 2"), Err(SealError::Forged));
        let other = SealKey::parse(&KEY.replace("00", "ff")).unwrap();
        assert_eq!(other.open(&sealed, "row 1"), Err(SealError::KeyUnknown { wanted: key.id() }));
        let mut changed = sealed.as_str().to_owned();
        changed.replace_range(changed.len() - 6..changed.len() - 5, if changed.ends_with("A==") { "B" } else { "A" });
        assert!(key.open(&Sealed(changed), "row 1").is_err());
        assert_eq!(key.open(&Sealed("plain".into()), "row 1"), Err(SealError::SealedMalformed));
    }

    #[test]
    fn weak_and_malformed_keys_are_refused() {
        assert_eq!(SealKey::parse("changeme").unwrap_err(), SealError::KeyMalformed);
        assert_eq!(SealKey::parse(&"00".repeat(32)).unwrap_err(), SealError::KeyWeak);
        assert_eq!(SealKey::parse("").unwrap_err(), SealError::KeyMalformed);
        assert!(SealKey::parse(&format!("  {KEY}\n")).is_ok());
        assert_eq!(SealKey::parse(&BASE64.encode([5; 32])).unwrap_err(), SealError::KeyWeak);
    }

    #[test]
    fn nothing_readable_is_printed() {
        let key = SealKey::parse(KEY).unwrap();
        assert_eq!(format!("{:?}", Secret::new(b"swordfish".to_vec())), "Secret(..)");
        assert!(format!("{key:?}").len() < 20);
    }
}
