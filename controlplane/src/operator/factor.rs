//! The second factor of an account: enrolled with a code, asked for at every login, and replaced by a recovery code when it
//! is lost. Its key is sealed, its recovery codes are kept as hashes.

use lgsp_shared::seal::{NONCE_BYTES, SealKeys, Sealed, Secret};
use lgsp_shared::timestamp::UnixSeconds;

use super::accounts::{AccountError, Accounts, Known, session_of};
use super::bearer;
use super::password::Password;
use super::totp::{self, KEY_BYTES, RECOVERY_CODES, Step};
use crate::audit::Trail;
use crate::store::{Also, Forgets, OperatorRow};

/// Why a code was not enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactorError {
    /// There was none.
    #[error("a code is needed")]
    Needed,
    /// It is wrong, or was used.
    #[error("the code is wrong, or was used")]
    Wrong,
    /// The key cannot be opened.
    #[error("the second factor's key cannot be opened")]
    Damaged,
}

/// What proved it, to be used up together with what it allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// The account has none, or somebody else asked for it.
    NotAsked,
    /// The code of this step.
    Code(Step),
    /// The recovery code with this hash.
    Recovery(String),
}

/// What an authenticator application is given.
pub struct Enrolment {
    /// The key in base32, to type.
    pub key: String,
    /// The key as an `otpauth://` address, to scan.
    pub uri: String,
}

impl std::fmt::Debug for Enrolment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrolment(..)")
    }
}

fn identity(operator: &str) -> String {
    format!("operator-second-factor/{operator}")
}

fn open(row: &OperatorRow, keys: &SealKeys) -> Result<Option<Secret>, FactorError> {
    let Some(sealed) = &row.totp else { return Ok(None) };
    let sealed = serde_json::from_str(sealed).map_err(|_| FactorError::Damaged)?;
    keys.open(&sealed, &identity(row.name.as_str())).map(Some).map_err(|_| FactorError::Damaged)
}

/// Whether the code is enough for this account.
pub fn check(row: &OperatorRow, keys: &SealKeys, code: Option<&str>, now: UnixSeconds) -> Result<Factor, FactorError> {
    if !row.totp_on {
        return Ok(Factor::NotAsked);
    }
    let code = code.ok_or(FactorError::Needed)?.trim();
    let secret = open(row, keys)?.ok_or(FactorError::Damaged)?;
    if let Some(step) = totp::verify(secret.expose(), code, now, Some(Step(row.totp_step))) {
        return Ok(Factor::Code(step));
    }
    let code = totp::normalised(code);
    // A recovery code is looked for where it is used up: there it is gone exactly once.
    if code.len() == RECOVERY_CHARS { Ok(Factor::Recovery(bearer::hash(&code))) } else { Err(FactorError::Wrong) }
}

const RECOVERY_CHARS: usize = 16;

impl Factor {
    /// Uses it up: the step here, the recovery code by its hash in the same transaction.
    pub fn apply(self, row: &mut OperatorRow) -> Result<Option<String>, FactorError> {
        match self {
            Factor::NotAsked => Ok(None),
            // Another login may have used the same code in between.
            Factor::Code(Step(step)) if step <= row.totp_step => Err(FactorError::Wrong),
            Factor::Code(Step(step)) => {
                row.totp_step = step;
                Ok(None)
            }
            Factor::Recovery(hash) => Ok(Some(hash)),
        }
    }
}

impl Accounts {
    /// The second factor of an operator whose identity somebody else vouched for. Wrong codes count as failed logins do.
    pub async fn factor_of(
        &self,
        row: &OperatorRow,
        code: Option<&str>,
        trail: &Trail,
    ) -> Result<Factor, AccountError> {
        if row.totp_on && code.is_some() && !self.count(&row.name, trail).await? {
            return Err(AccountError::Refused);
        }
        Ok(check(row, &self.keys.load(), code, trail.at())?)
    }

    /// Draws a key for a second factor. It is not asked for before a code of it is confirmed.
    pub async fn enrol_factor(
        &self,
        known: &Known,
        password: Password,
        trail: &Trail,
    ) -> Result<Enrolment, AccountError> {
        let row = self.prove(known, password, trail).await?;
        if row.totp_on {
            return Err(AccountError::NotNow("there is a second factor; remove it first".into()));
        }
        let (mut random, mut nonce) = ([0; KEY_BYTES], [0; NONCE_BYTES]);
        getrandom::fill(&mut random).map_err(|_| AccountError::Failed)?;
        getrandom::fill(&mut nonce).map_err(|_| AccountError::Failed)?;
        let name = row.name.as_str();
        let sealed = self.keys.load().seal(&Secret::new(random.to_vec()), &identity(name), nonce);
        let sealed = sealed.ok().and_then(|sealed| serde_json::to_string(&sealed).ok()).ok_or(AccountError::Failed)?;
        let forgets = Forgets::Source(session_of(known));
        let changed = self.store.change_operator(&row.name, trail, move |row| {
            if row.totp_on {
                return Err(AccountError::NotNow("there is a second factor; remove it first".into()));
            }
            row.totp = Some(sealed);
            row.totp_step = 0;
            Ok(Also { forgets, ..Also::default() })
        });
        changed.await?.ok_or(AccountError::Refused)?;
        let uri = totp::uri(&random, name, &self.settings().title);
        Ok(Enrolment { key: totp::base32(&random), uri })
    }

    /// Seals every second factor under the first key that another one sealed; says how many.
    pub async fn reseal_factors(&self) -> Result<usize, AccountError> {
        let keys = self.keys.load();
        let mut resealed = 0;
        for (name, before) in self.store.sealed_factors().await? {
            let sealed: Sealed = serde_json::from_str(&before).map_err(|_| AccountError::Failed)?;
            if sealed.key_id() == Some(keys.sealing().id()) {
                continue;
            }
            let mut nonce = [0; NONCE_BYTES];
            getrandom::fill(&mut nonce).map_err(|_| AccountError::Failed)?;
            let anew = keys.open(&sealed, &identity(&name)).and_then(|key| keys.seal(&key, &identity(&name), nonce));
            let after = anew.ok().and_then(|sealed| serde_json::to_string(&sealed).ok()).ok_or(AccountError::Failed)?;
            self.store.replace_sealed_factor(&name, &before, &after).await?;
            resealed += 1;
        }
        Ok(resealed)
    }

    /// Asks for the second factor from now on, and gives the recovery codes. Wrong codes count for this session.
    pub async fn confirm_factor(&self, known: &Known, code: &str, trail: &Trail) -> Result<Vec<String>, AccountError> {
        if !self.count_in_session(known, trail).await?.open {
            return Err(AccountError::Refused);
        }
        let forgets = Forgets::Source(session_of(known));
        let mut codes = Vec::with_capacity(RECOVERY_CODES);
        for _ in 0..RECOVERY_CODES {
            let mut random = [0; 10];
            getrandom::fill(&mut random).map_err(|_| AccountError::Failed)?;
            codes.push(totp::recovery_code(random));
        }
        let hashes = codes.iter().map(|code| bearer::hash(&totp::normalised(code))).collect();
        let (keys, now, code) = (self.keys.load(), trail.at(), code.trim().to_owned());
        let changed = self.store.change_operator(&known.bearer.operator, trail, move |row| {
            if row.totp_on {
                return Err(AccountError::NotNow("the second factor is confirmed already".into()));
            }
            let Some(secret) = open(row, &keys)? else {
                return Err(AccountError::NotNow("there is nothing to confirm; enrol first".into()));
            };
            let used = Some(Step(row.totp_step));
            let Step(step) = totp::verify(secret.expose(), &code, now, used).ok_or(AccountError::Refused)?;
            row.totp_on = true;
            row.totp_step = step;
            Ok(Also { codes: Some(hashes), forgets, ..Also::default() })
        });
        changed.await?.ok_or(AccountError::Refused)?;
        Ok(codes)
    }

    /// Takes the second factor away from whoever proves password and code.
    pub async fn remove_factor(
        &self,
        known: &Known,
        password: Password,
        code: &str,
        trail: &Trail,
    ) -> Result<(), AccountError> {
        let row = self.prove(known, password, trail).await?;
        let factor = check(&row, &self.keys.load(), Some(code), trail.at())?;
        let forgets = Forgets::Source(session_of(known));
        let changed = self.store.change_operator(&row.name, trail, move |row| {
            let uses_code = factor.apply(row)?;
            forget(row);
            Ok::<_, AccountError>(Also { uses_code, codes: Some(Vec::new()), forgets, ..Also::default() })
        });
        changed.await?.map(|_| ()).ok_or(AccountError::Refused)
    }
}

/// Takes the second factor off an account.
pub fn forget(row: &mut OperatorRow) {
    row.totp = None;
    row.totp_on = false;
    row.totp_step = 0;
}
