//! The proof that a published configuration comes from the platform: an HMAC over its outline under a key that is derived
//! from the key-encryption key, which both planes hold already.
//!
//! A hash shows that nothing was damaged; only the mark shows who wrote it. A party that can write to etcd, to the bundle
//! file or to a node's disk, and does not hold the key, can delete configuration and cannot make any.
//!
//! The [`Lineage`] orders what one key has marked: a marked configuration that was replaced stays marked for ever, so a
//! reader also refuses one that goes back in its lineage.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::{KEYS_MAX, KeyId, SealKey, SealKeys};
use crate::bundle::ContentHash;
use crate::id::Revision;
use crate::timestamp::UnixSeconds;

/// What the derived key is for; it is used for nothing else.
const PURPOSE: &str = "lgsp origin";
const PURPOSE_VERSION: &str = "1";
/// Bytes of a database's identity.
pub const DATABASE_ID_BYTES: usize = 16;

/// The identity of a database: random bytes in hexadecimal, drawn once, kept by every backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DatabaseId(String);

impl DatabaseId {
    /// The identity made of these random bytes.
    pub fn new(random: [u8; DATABASE_ID_BYTES]) -> Self {
        Self(random.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// Reads lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 2 * DATABASE_ID_BYTES && text.bytes().all(hex)).then(|| Self(text.to_owned()))
    }

    /// The identity as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DatabaseId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("a database's identity is 32 lower-case hexadecimal digits")
    }
}

impl From<DatabaseId> for String {
    fn from(id: DatabaseId) -> Self {
        id.0
    }
}

/// Which line of revisions a configuration belongs to: one database, from one instant on.
///
/// A restore begins a new line, because the revisions it makes repeat numbers that were published with other content.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lineage {
    /// The database.
    pub database: DatabaseId,
    /// When this line began; later lines of one database have later instants.
    pub since: UnixSeconds,
}

impl fmt::Display for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let short: String = self.database.0.chars().take(8).collect();
        write!(f, "{short} since {}", self.since)
    }
}

/// Where a configuration comes from, and the proof.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The line of revisions it belongs to.
    pub lineage: Lineage,
    /// One for every key of the process that marked it, `<key id>.<HMAC-SHA256 in hexadecimal>` each: while one key follows
    /// another, a reader that holds either of them can tell.
    pub marks: Vec<String>,
}

impl Origin {
    /// The keys the marks were made under; at most [`KEYS_MAX`].
    pub fn key_ids(&self) -> Vec<KeyId> {
        self.marks.iter().take(KEYS_MAX).filter_map(|mark| key_of(mark)).collect()
    }
}

fn key_of(mark: &str) -> Option<KeyId> {
    KeyId::parse(mark.split_once('.')?.0)
}

/// What a mark covers.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The line of revisions.
    pub lineage: &'a Lineage,
    /// The revision.
    pub revision: Revision,
    /// The hash of all documents.
    pub hash: &'a ContentHash,
    /// How many documents there are.
    pub documents: u64,
    /// As in the head.
    pub allow_large_removal: bool,
    /// As in the head.
    pub allow_older: bool,
}

/// Why a configuration is not known to come from the platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproven {
    /// It has no mark.
    #[error(
        "it carries no proof of origin: upgrade the control plane, which marks what it publishes; until then \
         `source.accept_unmarked: true` accepts it"
    )]
    Unmarked,
    /// Its mark was made under a key this process does not hold.
    #[error("it was marked under key-encryption key {0}, which is not in the key file of this process: add it there")]
    KeyUnknown(KeyId),
    /// Its mark is not the one of this content.
    #[error(
        "its proof of origin is false: it was changed, or made by a party that does not hold the key-encryption key; \
         find out who can write there"
    )]
    Forged,
}

impl SealKey {
    fn mark(&self, claim: &Claim<'_>) -> String {
        let Claim { lineage, revision, hash, documents, allow_large_removal, allow_older } = claim;
        // A key of 32 bytes fits every HMAC.
        let key = self.derive(PURPOSE, PURPOSE_VERSION);
        let mut mac = Hmac::<Sha256>::new_from_slice(key.as_slice()).unwrap_or_else(|_| Hmac::new(&Default::default()));
        let numbers = [lineage.since.0.to_string(), revision.0.to_string(), documents.to_string()];
        let [since, revision, documents] = &numbers;
        let flag = |set: &bool| if *set { "1" } else { "0" };
        let (removal, older) = (flag(allow_large_removal), flag(allow_older));
        // The hash comes last: it is the only part that could hold a line feed.
        let database = lineage.database.as_str();
        for part in ["lgsp origin 1", database, since, revision, documents, removal, older, hash.as_str()] {
            mac.update(part.as_bytes());
            mac.update(b"\n");
        }
        let mac: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{}.{mac}", self.id())
    }
}

impl SealKeys {
    /// Marks under every key.
    pub fn mark(&self, claim: &Claim<'_>) -> Origin {
        Origin { lineage: claim.lineage.clone(), marks: self.all().map(|key| key.mark(claim)).collect() }
    }

    /// Whether one of the marks was made for this claim under one of the keys.
    pub fn check_marks(&self, marks: &[String], claim: &Claim<'_>) -> Result<(), Unproven> {
        let mut unknown = None;
        let mut held = false;
        for mark in marks.iter().take(KEYS_MAX) {
            let Some(wanted) = key_of(mark) else { continue };
            let Some(key) = self.all().find(|key| key.id() == wanted) else {
                unknown = unknown.or(Some(wanted));
                continue;
            };
            held = true;
            if bool::from(key.mark(claim).as_bytes().ct_eq(mark.as_bytes())) {
                return Ok(());
            }
        }
        match unknown {
            Some(wanted) if !held => Err(Unproven::KeyUnknown(wanted)),
            Some(_) | None => Err(Unproven::Forged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    const NEW: &str = "3f9a0c17d25b8e6410f7c2a95d3e8b60714fd2ac9e05b83361c8f47a2d90be15";

    fn keys(text: &str) -> SealKeys {
        SealKeys::parse(text).unwrap()
    }

    #[test]
    fn a_mark_is_good_for_its_own_claim_and_no_other() {
        let (keys, hash) = (keys(OLD), ContentHash::from("ab".to_owned()));
        let lineage = Lineage { database: DatabaseId::new([7; DATABASE_ID_BYTES]), since: UnixSeconds(5) };
        let claim = Claim {
            lineage: &lineage,
            revision: Revision(3),
            hash: &hash,
            documents: 2,
            allow_large_removal: false,
            allow_older: false,
        };
        let origin = keys.mark(&claim);
        assert_eq!(keys.check_marks(&origin.marks, &claim), Ok(()));
        let later = Lineage { since: UnixSeconds(6), ..lineage.clone() };
        let elsewhere = Lineage { database: DatabaseId::new([8; DATABASE_ID_BYTES]), ..lineage.clone() };
        let other = ContentHash::from("ac".to_owned());
        for changed in [
            Claim { revision: Revision(4), ..claim },
            Claim { documents: 3, ..claim },
            Claim { hash: &other, ..claim },
            Claim { allow_large_removal: true, ..claim },
            Claim { allow_older: true, ..claim },
            Claim { lineage: &later, ..claim },
            Claim { lineage: &elsewhere, ..claim },
        ] {
            assert_eq!(keys.check_marks(&origin.marks, &changed), Err(Unproven::Forged), "{changed:?}");
        }
        let mark = &origin.marks[0];
        for malformed in ["", ".", "zz.00", &mark[..20], &mark.to_uppercase()] {
            assert_eq!(keys.check_marks(&[malformed.to_owned()], &claim), Err(Unproven::Forged), "{malformed}");
        }
        assert_eq!(keys.check_marks(&[], &claim), Err(Unproven::Forged));
    }

    #[test]
    fn while_one_key_follows_another_a_holder_of_either_can_tell_and_of_neither_cannot() {
        let (hash, lineage) = (
            ContentHash::from("ab".to_owned()),
            Lineage { database: DatabaseId::new([7; DATABASE_ID_BYTES]), since: UnixSeconds(5) },
        );
        let claim = Claim {
            lineage: &lineage,
            revision: Revision(3),
            hash: &hash,
            documents: 2,
            allow_large_removal: false,
            allow_older: false,
        };
        let (old, both, new) = (keys(OLD), keys(&format!("{NEW}\n{OLD}")), keys(NEW));
        let (under_old, under_both) = (old.mark(&claim), both.mark(&claim));
        assert_eq!(under_old.key_ids(), old.ids());
        assert_eq!(under_both.key_ids(), both.ids());
        for holder in [&old, &both, &new] {
            assert_eq!(holder.check_marks(&under_both.marks, &claim), Ok(()), "{holder:?}");
        }
        assert_eq!(both.check_marks(&under_old.marks, &claim), Ok(()));
        assert_eq!(new.check_marks(&under_old.marks, &claim), Err(Unproven::KeyUnknown(old.sealing().id())));
        // A mark under a key that is not held says nothing, for or against.
        let forged = [under_both.marks[0].clone(), format!("{}.{}", old.sealing().id(), "0".repeat(64))];
        assert_eq!(old.check_marks(&forged, &claim), Err(Unproven::Forged));
    }
}
