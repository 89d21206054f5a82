//! Passwords: argon2id, off the threads that answer others, a few at a time.
//!
//! What is hashed is the text in NFKC, so that two keyboards that write `ậ` as one character or as three give one password.
//! A hash from before that is tried with the text as typed and in NFD too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordVerifier as _, Version};
use tokio::sync::Semaphore;
use unicode_normalization::UnicodeNormalization;
use zeroize::Zeroizing;

mod guessable;

/// Memory of one hash, in KiB: 19 MiB, what OWASP asks for with two passes and one lane. About 20 ms of one core.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Hashes computed at a time: 38 MiB and two cores at most.
const AT_A_TIME: usize = 2;
/// Callers that may wait for their turn; later ones are told to come again.
const WAITING_MAX: usize = 32;
/// The shortest password, in characters.
pub const CHARS_MIN: usize = 12;
/// The longest password, in bytes: longer ones would only cost time.
pub const BYTES_MAX: usize = 256;
/// How many different characters a password has at least.
const DISTINCT_MIN: usize = 5;
const SALT_BYTES: usize = 16;

/// A password in memory, wiped when it is dropped and never shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(from = "String")]
pub struct Password(Zeroizing<String>);

impl std::fmt::Debug for Password {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Password(..)")
    }
}

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

/// Why a password is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weak {
    /// Too short.
    #[error("the password is shorter than {CHARS_MIN} characters; several words are easier to keep than signs")]
    Short,
    /// Too long.
    #[error("the password is longer than {BYTES_MAX} bytes")]
    Long,
    /// It holds the name.
    #[error("the password contains the operator's name")]
    HoldsName,
    /// It is one of those that are tried first.
    #[error("the password is one of those that are guessed first; take several words that do not belong together")]
    Common,
    /// Few different characters.
    #[error("the password has fewer than {DISTINCT_MIN} different characters")]
    Monotonous,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Too many wait already.
    #[error("too many passwords are being checked")]
    Busy,
    /// No randomness, or the computation was lost.
    #[error("the password cannot be hashed")]
    Failed,
}

impl Password {
    /// Whether the operator called `name` may have it.
    pub fn check(&self, name: &str) -> Result<(), Weak> {
        let text = self.normalised();
        if self.0.len() > BYTES_MAX || text.len() > BYTES_MAX {
            return Err(Weak::Long);
        }
        if text.chars().count() < CHARS_MIN {
            return Err(Weak::Short);
        }
        if text.to_lowercase().contains(&name.to_lowercase()) {
            return Err(Weak::HoldsName);
        }
        if guessable::is_common(&text) {
            return Err(Weak::Common);
        }
        let distinct: std::collections::HashSet<char> = text.chars().collect();
        if distinct.len() < DISTINCT_MIN { Err(Weak::Monotonous) } else { Ok(()) }
    }

    /// Whether both are one password.
    pub fn is_same(&self, other: &Self) -> bool {
        self.normalised() == other.normalised()
    }

    /// The text that is hashed.
    fn normalised(&self) -> Zeroizing<String> {
        Zeroizing::new(self.0.nfkc().collect())
    }

    /// The texts that may have been hashed: in NFKC, and those of the time before.
    fn spellings(&self) -> Vec<Zeroizing<String>> {
        let mut spellings = vec![self.normalised()];
        for spelling in [self.0.clone(), Zeroizing::new(self.0.nfd().collect())] {
            if !spellings.contains(&spelling) {
                spellings.push(spelling);
            }
        }
        spellings
    }

    /// A random one, to be changed by whoever is given it: 100 random bits.
    pub fn random() -> Result<(Self, String), HashError> {
        let mut random = [0; 20];
        getrandom::fill(&mut random).map_err(|_| HashError::Failed)?;
        // Without characters that are mistaken for each other.
        const ALPHABET: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz23456789_";
        let char = |byte: &u8| ALPHABET.get(usize::from(byte % 32)).map(|char| char::from(*char));
        let text: String = random.iter().filter_map(char).collect();
        Ok((Self::from(text.clone()), text))
    }
}

/// Computes hashes, a few at a time.
#[derive(Debug, Clone)]
pub struct Hasher {
    turns: Arc<Semaphore>,
    waiting: Arc<AtomicUsize>,
    /// A hash of nothing anybody knows: an unknown name costs what a known one does.
    decoy: Arc<str>,
}

impl Hasher {
    /// Prepares the decoy.
    pub fn new() -> Result<Self, HashError> {
        let (decoy, _) = Password::random()?;
        let decoy = hash(&decoy, salt()?)?;
        Ok(Self { turns: Arc::new(Semaphore::new(AT_A_TIME)), waiting: Arc::default(), decoy: decoy.into() })
    }

    /// The PHC string to keep.
    pub async fn hash(&self, password: Password) -> Result<String, HashError> {
        let salt = salt()?;
        self.compute(move || hash(&password, salt)).await?
    }

    /// Whether the password is the one kept. Without one kept it takes as long, and the answer is no.
    pub async fn verify(&self, password: Password, kept: Option<String>) -> Result<bool, HashError> {
        let (known, decoy) = (kept.is_some(), self.decoy.clone());
        let right = self.compute(move || verify(&password, kept.as_deref().unwrap_or(&decoy))).await?;
        Ok(right && known)
    }

    async fn compute<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, HashError> {
        let _place = Place::take(&self.waiting).ok_or(HashError::Busy)?;
        let turn = self.turns.clone().acquire_owned().await.map_err(|_| HashError::Failed)?;
        let work = tokio::task::spawn_blocking(move || {
            // Held by the work itself: a caller that goes away does not make room for another computation.
            let _turn = turn;
            work()
        });
        work.await.map_err(|_| HashError::Failed)
    }
}

/// A place in the queue.
struct Place<'a>(&'a AtomicUsize);

impl<'a> Place<'a> {
    fn take(waiting: &'a AtomicUsize) -> Option<Self> {
        let taken = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING_MAX + AT_A_TIME).then_some(taken)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn salt() -> Result<[u8; SALT_BYTES], HashError> {
    let mut salt = [0; SALT_BYTES];
    getrandom::fill(&mut salt).map_err(|_| HashError::Failed)?;
    Ok(salt)
}

fn argon2() -> Result<Argon2<'static>, HashError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| HashError::Failed)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &Password, salt: [u8; SALT_BYTES]) -> Result<String, HashError> {
    let hash =
        argon2()?.hash_password_with_salt(password.normalised().as_bytes(), &salt).map_err(|_| HashError::Failed)?;
    Ok(hash.to_string())
}

fn verify(password: &Password, kept: &str) -> bool {
    // Longer texts than are ever kept are not worth their time.
    if password.0.len() > BYTES_MAX {
        return false;
    }
    // The parameters are those the hash was made with.
    let is_it =
        |text: &[u8]| PasswordHash::new(kept).is_ok_and(|kept| Argon2::default().verify_password(text, &kept).is_ok());
    password.spellings().iter().any(|spelling| is_it(spelling.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::from(text.to_owned())
    }

    #[tokio::test]
    async fn only_the_password_that_was_hashed_verifies() {
        let hasher = Hasher::new().unwrap();
        let kept = hasher.hash(password("sông Hậu chảy chậm")).await.unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(hasher.verify(password("sông Hậu chảy chậm"), Some(kept.clone())).await.unwrap());
        assert!(!hasher.verify(password("sông Hậu chảy nhanh"), Some(kept.clone())).await.unwrap());
        assert!(!hasher.verify(password("sông Hậu chảy chậm"), Some("damaged".into())).await.unwrap());
        assert!(!hasher.verify(password("sông Hậu chảy chậm"), None).await.unwrap());
        assert_ne!(kept, hasher.hash(password("sông Hậu chảy chậm")).await.unwrap(), "the salt is new each time");
    }

    /// Found by trying: a password set on one keyboard failed on another.
    #[tokio::test]
    async fn one_password_typed_on_two_keyboards_is_one_and_old_hashes_still_count() {
        let hasher = Hasher::new().unwrap();
        let typed = "sông Hậu chảy chậm";
        let (composed, decomposed): (String, String) = (typed.nfc().collect(), typed.nfd().collect());
        assert_ne!(composed, decomposed);
        for set in [&composed, &decomposed] {
            let kept = hasher.hash(password(set)).await.unwrap();
            // As the version before hashed it: just as typed.
            let argon = argon2().unwrap();
            let before = argon.hash_password_with_salt(set.as_bytes(), &salt().unwrap()).unwrap().to_string();
            for entered in [&composed, &decomposed] {
                assert!(hasher.verify(password(entered), Some(kept.clone())).await.unwrap(), "{entered:?}");
                assert!(hasher.verify(password(entered), Some(before.clone())).await.unwrap(), "{entered:?} before");
            }
        }
        assert!(password(&composed).is_same(&password(&decomposed)));
    }

    #[tokio::test]
    async fn a_crowd_is_told_to_come_again() {
        let hasher = Hasher::new().unwrap();
        let crowd = (0..WAITING_MAX + AT_A_TIME).map(|_| Place::take(&hasher.waiting).unwrap()).collect::<Vec<_>>();
        assert!(matches!(hasher.hash(password("x")).await, Err(HashError::Busy)));
        drop(crowd);
        assert!(hasher.hash(password("x")).await.is_ok());
    }

    #[test]
    fn weak_passwords_are_refused_and_random_ones_are_not() {
        let cases = [
            ("short", Weak::Short),
            ("so-tu-phap-quan-tri-1", Weak::HoldsName),
            ("AAAAAAAAAAAAAAAAA", Weak::Monotonous),
            ("password1234", Weak::Common),
            ("123456789012", Weak::Common),
            ("matkhau12345", Weak::Common),
            ("Mật khẩu 2026!", Weak::Common),
            ("AdminPassword#1", Weak::Common),
            (&*"dài ".repeat(70), Weak::Long),
        ];
        for (text, weak) in cases {
            assert_eq!(password(text).check("quan-tri"), Err(weak), "{text}");
        }
        let (random, text) = Password::random().unwrap();
        assert_eq!(random.check("quan-tri"), Ok(()), "{text}");
        assert_eq!(text.len(), 20);
        assert_eq!(format!("{random:?}"), "Password(..)");
    }
}
