//! Operators: who may use the API. For now whoever holds a token; only a token's SHA-256 is kept.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::store::{Store, StoreError};
use lgsp_shared::timestamp::UnixSeconds;

/// The operator that exists from the first start.
pub const FIRST_OPERATOR: &str = "operator";
const TOKEN_PREFIX: &str = "lgsp_op_";
const TOKEN_BYTES: usize = 32;

/// Somebody who proved to hold a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    name: String,
}

impl Operator {
    /// The name, for the audit columns.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The hashes of all tokens.
#[derive(Debug, Clone, Default)]
pub struct Operators {
    hashes: Vec<(String, String)>,
}

impl Operators {
    /// Loads them.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        Ok(Self { hashes: store.token_hashes().await? })
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    /// Whose token this is. Every hash is compared, each in constant time.
    pub fn authenticate(&self, token: &str) -> Option<Operator> {
        let given = hash(token);
        let mut found = None;
        for (name, kept) in &self.hashes {
            if bool::from(kept.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(Operator { name: name.clone() });
            }
        }
        found
    }
}

/// Makes a token for `name` in place of an earlier one and keeps its hash. The text is all there ever is of it.
pub async fn make_token(store: &Store, name: &str, now: UnixSeconds) -> Result<String, MakeTokenError> {
    let mut random = [0; TOKEN_BYTES];
    getrandom::fill(&mut random)?;
    let token = format!("{TOKEN_PREFIX}{}", hex(&random));
    store.put_token_hash(name, &hash(&token), now).await?;
    Ok(token)
}

/// Why no token was made.
#[derive(Debug, thiserror::Error)]
pub enum MakeTokenError {
    /// The operating system has no randomness.
    #[error("the operating system gives no random bytes")]
    Random(#[from] getrandom::Error),
    /// The database failed.
    #[error("the token's hash cannot be stored")]
    Store(#[from] StoreError),
}

fn hash(token: &str) -> String {
    hex(&Sha256::digest(token.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_token_that_was_made_last_is_accepted() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("test.db")).await.unwrap();
        assert!(Operators::load(&store).await.unwrap().is_empty());
        let first = make_token(&store, FIRST_OPERATOR, UnixSeconds(1)).await.unwrap();
        let second = make_token(&store, FIRST_OPERATOR, UnixSeconds(2)).await.unwrap();
        let operators = Operators::load(&store).await.unwrap();
        assert_eq!(operators.authenticate(&second).unwrap().name(), "operator");
        for wrong in [first.as_str(), "", "lgsp_op_", &second[..second.len() - 1]] {
            assert_eq!(operators.authenticate(wrong), None);
        }
        let kept = store.token_hashes().await.unwrap();
        assert!(kept.iter().all(|(_, hash)| !second.contains(hash.as_str())));
    }
}
