//! Operators: who may use the API, in which roles, and within which agency.
//!
//! ```text
//! role    what an operator is trusted with
//! right   what can be done, and which roles may: what handlers name in their signatures
//! ```
//!
//! Only a token's SHA-256 is kept.

use std::collections::BTreeSet;

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::Kind;
use lgsp_shared::timestamp::UnixSeconds;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::desired::Authority;
use crate::store::{Store, StoreError};

pub mod right;
pub mod role;

pub use right::Right;
pub use role::Role;

/// The operator that exists from the first start.
pub const FIRST_OPERATOR: &str = "operator";
/// What it may do: everything, keys and audit included.
pub const FIRST_ROLES: [Role; 3] = [Role::SecurityOfficer, Role::SystemAdministrator, Role::Auditor];
const TOKEN_PREFIX: &str = "lgsp_op_";
const TOKEN_BYTES: usize = 32;

/// Somebody who proved to hold a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    name: String,
    roles: BTreeSet<Role>,
    agency: Option<AgencyId>,
}

impl Operator {
    /// Somebody with these roles, bound to `agency` where one is given.
    pub fn new(name: impl Into<String>, roles: impl IntoIterator<Item = Role>, agency: Option<AgencyId>) -> Self {
        Self { name: name.into(), roles: roles.into_iter().collect(), agency }
    }

    /// The name, for the history.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The roles.
    pub fn roles(&self) -> &BTreeSet<Role> {
        &self.roles
    }

    /// The agency beyond which nothing is seen and nothing is done.
    pub fn agency(&self) -> Option<&AgencyId> {
        self.agency.as_ref()
    }

    /// Whether this may be done, within the agency where there is one.
    pub fn may(&self, right: Right) -> bool {
        let bound = self.agency.is_some();
        let counts = |role: &Role| self.roles.contains(role) && (bound || !role.wants_agency());
        (right.within_agency() || !bound) && right.roles().iter().any(counts)
    }

    /// What may be changed.
    pub fn authority(&self) -> Authority {
        let bound = self.agency.is_some();
        let counting = || self.roles.iter().filter(|role| bound || !role.wants_agency());
        let kinds = Kind::ALL.into_iter().filter(|kind| counting().any(|role| role.may_change(*kind)));
        Authority::new(kinds.collect(), self.agency.clone())
    }
}

/// The hashes of all tokens, and whose they are.
#[derive(Debug, Clone, Default)]
pub struct Operators {
    tokens: Vec<(String, Operator)>,
}

impl Operators {
    /// Loads them.
    pub async fn load(store: &Store) -> Result<Self, StoreError> {
        let first = |(name, hash)| (hash, Operator::new(name, FIRST_ROLES, None));
        Ok(Self { tokens: store.token_hashes().await?.into_iter().map(first).collect() })
    }

    /// These tokens and no others.
    #[cfg(test)]
    pub fn of<'a>(tokens: impl IntoIterator<Item = (&'a str, Operator)>) -> Self {
        Self { tokens: tokens.into_iter().map(|(token, operator)| (hash(token), operator)).collect() }
    }

    /// Whether there is none yet.
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Whose token this is. Every hash is compared, each in constant time.
    pub fn authenticate(&self, token: &str) -> Option<Operator> {
        let given = hash(token);
        let mut found = None;
        for (kept, operator) in &self.tokens {
            if bool::from(kept.as_bytes().ct_eq(given.as_bytes())) {
                found = Some(operator.clone());
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

    #[test]
    fn an_agency_takes_away_every_right_over_the_platform_and_adds_none() {
        let agency: AgencyId = "so-tu-phap".parse().unwrap();
        let everything = Operator::new("x", Role::ALL, Some(agency.clone()));
        for right in Right::ALL {
            assert_eq!(everything.may(right), right.within_agency(), "{right:?}");
        }
        let observer = Operator::new("x", [Role::Observer], Some(agency));
        assert!(observer.may(Right::Look) && !observer.may(Right::Change) && !observer.may(Right::Watch));
        assert_eq!(observer.authority(), Authority::new(BTreeSet::new(), observer.agency().cloned()));
    }

    #[test]
    fn an_agency_administrator_without_an_agency_may_nothing() {
        let unbound = Operator::new("x", [Role::AgencyAdministrator], None);
        assert!(Right::ALL.into_iter().all(|right| !unbound.may(right)));
        assert_eq!(unbound.authority(), Authority::new(BTreeSet::new(), None));
        assert!(Right::ALL.into_iter().all(|right| !Operator::new("x", [], None).may(right)));
    }
}
