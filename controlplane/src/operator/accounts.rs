//! Logging in and out, and what operators do with their own accounts.
//!
//! A login that is refused says the same and costs the same whatever the reason: unknown name, wrong password, or one too
//! many failures before. It is counted before it is decided, so that a thousand at one instant are a thousand. Failures
//! count by name and source: who guesses locks out nobody but that source, and never a session that is alive.

use std::collections::BTreeSet;
use std::time::Duration;

use lgsp_shared::id::ResourceName;
use lgsp_shared::timestamp::UnixSeconds;

use super::bearer::{self, BearerKind, Terms};
use super::factor::{Factor, FactorError};
use super::password::{HashError, Hasher, Password, Weak};
use super::{Operator, Role, factor};
use crate::audit::Trail;
use crate::audit::limit::network;
use crate::desired::Keys;
use crate::settings::login::LoginSettings;
use crate::store::{Also, BearerRow, Counted, Forgets, OperatorRow, Store, StoreError};

/// Failures in a row of one source after which its next login has to wait.
const FAILURES_FREE: u32 = 5;
/// The first wait; it doubles with every further failure.
const WAIT_SECS_FIRST: i64 = 30;
/// The longest wait.
const WAIT_SECS_MAX: i64 = 900;
/// How much later a login is decided while others guess at its name.
const SLOWED_BY: Duration = Duration::from_secs(1);

/// How long a request waits until the last use of its token is written.
const TOUCH_WAIT: Duration = Duration::from_millis(500);

/// Why something about an account was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Not let in.
    #[error("the name, the password or the code is wrong, or there were too many attempts")]
    Refused,
    /// The password is right; a code is needed too.
    #[error("a code of the second factor is needed")]
    CodeNeeded,
    /// The password is not good enough.
    #[error(transparent)]
    Weak(#[from] Weak),
    /// Not for this operator, or not in this state.
    #[error("{0}")]
    NotNow(String),
    /// Too many passwords are being checked.
    #[error("too many logins at a time")]
    Busy,
    /// A fault of this program or of the machine.
    #[error("this cannot be done now")]
    Failed,
    /// The database failed.
    #[error("the account cannot be stored")]
    Store(#[from] StoreError),
}

impl From<HashError> for AccountError {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::Busy,
            HashError::Failed => Self::Failed,
        }
    }
}

impl From<FactorError> for AccountError {
    fn from(error: FactorError) -> Self {
        match error {
            FactorError::Needed => Self::CodeNeeded,
            FactorError::Wrong => Self::Refused,
            FactorError::Damaged => Self::Failed,
        }
    }
}

/// A session that was just begun.
pub struct Begun {
    /// Its text.
    pub token: String,
    /// Everything else about it.
    pub bearer: BearerRow,
    /// Whose it is.
    pub operator: OperatorRow,
}

impl std::fmt::Debug for Begun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Begun").field("bearer", &self.bearer).finish_non_exhaustive()
    }
}

/// Somebody who proved to hold a session or token, and what it is.
#[derive(Debug)]
pub struct Known {
    /// Who.
    pub operator: Operator,
    /// By which of them.
    pub bearer: BearerRow,
    /// Whether nothing may be done before the password is changed.
    pub must_change: bool,
}

/// Keeps accounts.
#[derive(Debug, Clone)]
pub struct Accounts {
    pub(super) store: Store,
    pub(super) keys: Keys,
    hasher: Hasher,
    settings: LoginSettings,
}

/// How long further logins wait after so many failures in a row.
fn wait_secs(failures: u32) -> i64 {
    match failures.checked_sub(FAILURES_FREE) {
        None => 0,
        Some(more) => WAIT_SECS_FIRST.saturating_mul(1 << more.min(20)).min(WAIT_SECS_MAX),
    }
}

impl Accounts {
    /// Keeps accounts in this database; `keys` seal second factors.
    pub fn new(store: Store, keys: impl Into<Keys>, settings: LoginSettings) -> Result<Self, HashError> {
        Ok(Self { store, keys: keys.into(), hasher: Hasher::new()?, settings })
    }

    /// How logins go.
    pub fn settings(&self) -> &LoginSettings {
        &self.settings
    }

    /// Whose session or token this is, if it still counts.
    pub async fn authenticate(&self, token: &str, now: UnixSeconds) -> Result<Option<Known>, StoreError> {
        let Some(bearer) = self.store.bearer(&bearer::hash(token)).await? else { return Ok(None) };
        if !bearer.is_alive(now) {
            return Ok(None);
        }
        let Some(row) = self.store.operator(&bearer.operator).await? else { return Ok(None) };
        let Some(operator) = standing(&row, &bearer) else { return Ok(None) };
        // The time of the last use is no reason to refuse a reader, or to keep it waiting, while a writer holds the database.
        match tokio::time::timeout(TOUCH_WAIT, self.store.touch_bearer(&bearer, now)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the last use of a token was not written"),
            Err(_) => tracing::debug!("the last use of a token was not written in time"),
        }
        let must_change = row.must_change && bearer.kind == BearerKind::Session;
        Ok(Some(Known { operator, bearer, must_change }))
    }

    /// Begins a session for whoever knows the password and has the second factor, where there is one.
    pub async fn login(
        &self,
        name: &str,
        password: Password,
        code: Option<&str>,
        trail: &Trail,
    ) -> Result<Begun, AccountError> {
        let (now, name) = (trail.at(), name.parse::<ResourceName>().ok());
        trail.about(name.as_ref().map_or_else(String::new, |name| format!("operator {name}")));
        let source = source_of(trail);
        let Counted { row, open, slowed } = self.store.count_login(name.as_ref(), &source, now, wait_secs).await?;
        if slowed {
            tokio::time::sleep(SLOWED_BY).await;
        }
        let kept = row.as_ref().filter(|_| open).and_then(|row| row.password.clone());
        if !self.hasher.verify(password, kept).await? {
            return Err(AccountError::Refused);
        }
        let row = row.ok_or(AccountError::Refused)?;
        let factor = factor::check(&row, &self.keys.load(), code, now)?;
        self.begin(&row, factor, None, trail).await
    }

    /// Begins a session for an operator whose identity somebody else vouched for.
    pub async fn begin(
        &self,
        row: &OperatorRow,
        factor: Factor,
        roles: Option<std::collections::BTreeSet<super::Role>>,
        trail: &Trail,
    ) -> Result<Begun, AccountError> {
        let LoginSettings { session_minutes, idle_minutes, title: _, trust_forwarded_for: _, oidc: _ } = &self.settings;
        let now = trail.at();
        let terms = Terms {
            kind: BearerKind::Session,
            operator: row.name.clone(),
            title: String::new(),
            roles,
            agency: None,
            expires_at: Some(UnixSeconds(now.0.saturating_add(i64::from(*session_minutes) * 60))),
            idle_secs: Some(i64::from(*idle_minutes) * 60),
        };
        let (token, bearer) = terms.draw(now).map_err(|_| AccountError::Failed)?;
        let forgets = Forgets::Source(source_of(trail));
        let begins = bearer.clone();
        trail.by(row.name.as_str(), &format!("session {}", bearer.id));
        let changed = self.store.change_operator(&row.name, trail, move |row| {
            if row.disabled {
                return Err(AccountError::Refused);
            }
            let uses_code = factor.apply(row)?;
            Ok(Also { begins: Some(begins), uses_code, forgets, ..Also::default() })
        });
        let operator = changed.await.map_err(used_up)?.ok_or(AccountError::Refused)?;
        Ok(Begun { token, bearer, operator })
    }

    /// Ends a session.
    pub async fn logout(&self, bearer: &BearerRow, trail: &Trail) -> Result<(), AccountError> {
        if bearer.kind != BearerKind::Session {
            return Err(AccountError::NotNow("this is a token, not a session; `lgspctl token revoke` ends it".into()));
        }
        self.store.end_bearer(bearer, trail).await?;
        Ok(())
    }

    /// Changes the password of whoever knows the one before; all other sessions end.
    pub async fn change_password(
        &self,
        known: &Known,
        old: Password,
        new: Password,
        trail: &Trail,
    ) -> Result<(), AccountError> {
        let name = &known.bearer.operator;
        new.check(name.as_str())?;
        if old.is_same(&new) {
            return Err(AccountError::NotNow("the new password is the old one".into()));
        }
        self.prove(known, old, trail).await?;
        let hash = self.hasher.hash(new).await?;
        let (spares, forgets) = (Some(known.bearer.hash.clone()), Forgets::Source(session_of(known)));
        let changed = self.store.change_operator(name, trail, move |row| {
            row.password = Some(hash);
            row.must_change = false;
            Ok::<_, StoreError>(Also { ends_sessions: true, spares, forgets, ..Also::default() })
        });
        changed.await?.map(|_| ()).ok_or(AccountError::Refused)
    }

    /// Counts an attempt at a login of this name; whether it may be let in now.
    pub(super) async fn count(&self, name: &ResourceName, trail: &Trail) -> Result<bool, AccountError> {
        Ok(self.store.count_login(Some(name), &source_of(trail), trail.at(), wait_secs).await?.open)
    }

    /// Refuses unless it is a session and the password is right. Failures count for this session alone: whoever guesses
    /// elsewhere does not keep an operator from changing a password.
    pub async fn prove(&self, known: &Known, password: Password, trail: &Trail) -> Result<OperatorRow, AccountError> {
        let Counted { row, open, slowed: _ } = self.count_in_session(known, trail).await?;
        let kept = row.as_ref().filter(|_| open).and_then(|row| row.password.clone());
        if self.hasher.verify(password, kept).await? {
            row.ok_or(AccountError::Refused)
        } else {
            Err(AccountError::Refused)
        }
    }

    /// Counts an attempt to prove something within a session; a token proves nothing.
    pub(super) async fn count_in_session(&self, known: &Known, trail: &Trail) -> Result<Counted, AccountError> {
        if known.bearer.kind != BearerKind::Session {
            return Err(AccountError::NotNow(
                "only a session can do this, no token; `lgspctl login` begins one".into(),
            ));
        }
        let (name, source) = (&known.bearer.operator, session_of(known));
        Ok(self.store.count_login(Some(name), &source, trail.at(), wait_secs).await?)
    }

    /// A random password and its hash, for an operator who has to change it at the first login.
    pub async fn random_password(&self) -> Result<(String, String), AccountError> {
        let (password, text) = Password::random()?;
        Ok((text, self.hasher.hash(password).await?))
    }
}

/// Under which source the failures of a login count.
fn source_of(trail: &Trail) -> String {
    network(trail.source()).to_string()
}

/// Under which source the failures within a session count.
pub(super) fn session_of(known: &Known) -> String {
    format!("session {}", known.bearer.id)
}

/// A recovery code that somebody else used a moment before is a wrong one.
fn used_up(error: AccountError) -> AccountError {
    match error {
        AccountError::Store(StoreError::Gone { .. }) => AccountError::Refused,
        other => other,
    }
}

/// What a session or token is worth: never more than its operator is now.
fn standing(row: &OperatorRow, bearer: &BearerRow) -> Option<Operator> {
    if row.disabled {
        return None;
    }
    let owner = Operator::new(row.name.to_string(), row.roles.clone(), row.agency.clone());
    let roles: BTreeSet<Role> = match &bearer.roles {
        Some(lent) => lent.iter().copied().filter(|role| owner.covers(*role)).collect(),
        None => row.roles.clone(),
    };
    let agency = match (&row.agency, &bearer.agency) {
        (Some(own), Some(narrowed)) if own != narrowed => return None,
        (own, narrowed) => own.clone().or_else(|| narrowed.clone()),
    };
    Some(Operator::new(row.name.to_string(), roles, agency))
}

#[cfg(test)]
mod tests;
