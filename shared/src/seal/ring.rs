//! The key-encryption keys of one process: what its key file holds.
//!
//! The file has one key per line, as hexadecimal digits or base64; empty lines and lines that start with `#` are
//! skipped. A file with a single key is such a file. The first key seals, all open: a key is added at the end, moved to
//! the front once every process has it, and its predecessor removed once nothing is sealed under it any more.

use std::fmt;
use std::sync::Arc;

use super::vouch::{Denied, Vouched};
use super::{KeyId, NONCE_BYTES, SealError, SealKey, Sealed, Secret};
use crate::timestamp::UnixSeconds;

/// The most keys of one process: two during a rotation, and room for one that was interrupted.
pub const KEYS_MAX: usize = 8;

/// The keys of a process, at least one; cheap to clone.
#[derive(Clone)]
pub struct SealKeys {
    first: SealKey,
    others: Arc<[SealKey]>,
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.ids()).finish()
    }
}

impl From<SealKey> for SealKeys {
    fn from(first: SealKey) -> Self {
        Self { first, others: Arc::default() }
    }
}

impl SealKeys {
    /// Reads the content of a key file.
    pub fn parse(text: &str) -> Result<Self, SealError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let mut keys: Vec<SealKey> = Vec::new();
        for line in lines {
            if keys.len() == KEYS_MAX {
                return Err(SealError::KeysTooMany);
            }
            let key = SealKey::parse(line)?;
            if keys.iter().any(|other| other.id() == key.id()) {
                return Err(SealError::KeyRepeated(key.id()));
            }
            keys.push(key);
        }
        let mut keys = keys.into_iter();
        let first = keys.next().ok_or(SealError::KeyMalformed)?;
        Ok(Self { first, others: keys.collect() })
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &SealKey> {
        std::iter::once(&self.first).chain(self.others.iter())
    }

    /// The names of all keys, the sealing one first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.all().map(SealKey::id).collect()
    }

    /// The key that seals.
    pub fn sealing(&self) -> &SealKey {
        &self.first
    }

    /// Seals under the first key; see [`SealKey::seal`].
    pub fn seal(&self, secret: &Secret, identity: &str, nonce: [u8; NONCE_BYTES]) -> Result<Sealed, SealError> {
        self.first.seal(secret, identity, nonce)
    }

    /// Opens a secret that was sealed for `identity` under any of the keys.
    pub fn open(&self, sealed: &Sealed, identity: &str) -> Result<Secret, SealError> {
        let wanted = sealed.key_id().ok_or(SealError::SealedMalformed)?;
        let key = self.all().find(|key| key.id() == wanted).ok_or(SealError::KeyUnknown { wanted })?;
        key.open(sealed, identity)
    }

    /// Proves to a node that the request comes from a holder of the platform's key; see [`super::vouch`].
    pub fn vouch(&self, request: &Vouched<'_>, at: UnixSeconds) -> String {
        self.first.vouch(request, at)
    }

    /// Whether `proof` was made for this request by a holder of one of the keys, about now.
    pub fn check(&self, proof: &str, request: &Vouched<'_>, now: UnixSeconds) -> Result<(), Denied> {
        let wanted = proof.split('.').next().and_then(KeyId::parse).ok_or(Denied::Malformed)?;
        let key = self.all().find(|key| key.id() == wanted).ok_or(Denied::KeyUnknown)?;
        key.check(proof, request, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "3f9a0c17d25b8e6410f7c2a95d3e8b60714fd2ac9e05b83361c8f47a2d90be15";

    fn seal(keys: &SealKeys) -> Sealed {
        keys.seal(&Secret::new(b"swordfish".to_vec()), "row", [7; NONCE_BYTES]).unwrap()
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (SealKeys::parse(OLD).unwrap(), SealKeys::parse(NEW).unwrap());
        let both = SealKeys::parse(&format!("# made 2026-11-24\n{NEW}\n\n  {OLD}  \n")).unwrap();
        assert_eq!(both.ids(), [new.ids(), old.ids()].concat());
        for sealed in [seal(&old), seal(&new)] {
            assert_eq!(both.open(&sealed, "row").unwrap().expose(), b"swordfish");
        }
        assert_eq!(seal(&both).key_id(), Some(new.sealing().id()));
        assert_eq!(old.open(&seal(&both), "row"), Err(SealError::KeyUnknown { wanted: new.sealing().id() }));
        assert_eq!(both.open(&seal(&old), "another row"), Err(SealError::Forged));
    }

    #[test]
    fn a_file_without_a_key_with_a_weak_one_or_with_one_twice_is_refused() {
        assert_eq!(SealKeys::parse("# nothing\n").unwrap_err(), SealError::KeyMalformed);
        assert_eq!(SealKeys::parse(&format!("{OLD}\n{}", "00".repeat(32))).unwrap_err(), SealError::KeyWeak);
        let id = SealKeys::parse(OLD).unwrap().sealing().id();
        assert_eq!(SealKeys::parse(&format!("{OLD}\n{OLD}")).unwrap_err(), SealError::KeyRepeated(id));
    }

    #[test]
    fn nothing_readable_of_a_key_is_printed() {
        let keys = SealKeys::parse(OLD).unwrap();
        assert_eq!(format!("{keys:?}"), format!("[{:?}]", keys.sealing().id()));
    }
}
