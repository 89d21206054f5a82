//! Operators: read one, and change one in the same transaction as the audit's entry.

use std::collections::BTreeSet;

use lgsp_shared::id::{AgencyId, ResourceName};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::bearer::{BearerRow, insert_bearer};
use super::{Store, StoreError, attempt, audit};
use crate::audit::Trail;
use crate::operator::Role;

/// The most operators one page holds; about 300 bytes each.
pub const OPERATOR_PAGE_MAX: u32 = 500;

/// An operator as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct OperatorRow {
    /// The name.
    pub name: ResourceName,
    /// The roles.
    pub roles: BTreeSet<Role>,
    /// The agency it is bound to.
    pub agency: Option<AgencyId>,
    /// Whether it may do nothing at all.
    pub disabled: bool,
    /// What the identity provider calls it.
    pub identity: Option<String>,
    /// The password's hash.
    pub password: Option<String>,
    /// Whether the password was given by somebody else.
    pub must_change: bool,
    /// The second factor's key, sealed.
    pub totp: Option<String>,
    /// Whether it is asked for.
    pub totp_on: bool,
    /// The last step whose code was used.
    pub totp_step: i64,
    /// Since when.
    pub created_at: UnixSeconds,
}

impl std::fmt::Debug for OperatorRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OperatorRow").field("name", &self.name).field("roles", &self.roles).finish_non_exhaustive()
    }
}

/// What changes together with an operator.
#[derive(Debug, Default)]
pub struct Also {
    /// A session or token that begins.
    pub begins: Option<BearerRow>,
    /// The hash of a recovery code that is used up; it is an error when there is none such.
    pub uses_code: Option<String>,
    /// The hashes of the recovery codes there are from now on.
    pub codes: Option<Vec<String>>,
    /// Whether all sessions end.
    pub ends_sessions: bool,
    /// The hash of a session that does not.
    pub spares: Option<String>,
    /// Whether all tokens end too, the first operator's from the first start included.
    pub ends_tokens: bool,
    /// Which failed logins are forgotten.
    pub forgets: Forgets,
}

/// Which failed logins of a name are forgotten.
#[derive(Debug, Default)]
pub enum Forgets {
    /// None.
    #[default]
    Nothing,
    /// Those of this source.
    Source(String),
    /// All of them.
    Everything,
}

impl OperatorRow {
    /// An operator that cannot log in yet.
    pub fn new(name: ResourceName, roles: BTreeSet<Role>, agency: Option<AgencyId>, now: UnixSeconds) -> Self {
        Self {
            name,
            roles,
            agency,
            disabled: false,
            identity: None,
            password: None,
            must_change: false,
            totp: None,
            totp_on: false,
            totp_step: 0,
            created_at: now,
        }
    }

    /// What others may know, and what the audit holds.
    pub fn public(&self) -> Value {
        json!({
            "name": self.name, "roles": labels(&self.roles), "agency": self.agency, "disabled": self.disabled,
            "identity": self.identity, "password": self.password.is_some(), "must_change_password": self.must_change,
            "second_factor": self.totp_on, "created_at": self.created_at,
        })
    }
}

fn labels(roles: &BTreeSet<Role>) -> Vec<&'static str> {
    roles.iter().map(|role| role.label()).collect()
}

/// Roles as they are kept.
pub(super) fn roles_text(roles: &BTreeSet<Role>) -> String {
    labels(roles).join(" ")
}

/// Roles as they were kept. One that this version does not know is left out: it gives no right.
pub(super) fn roles_of(text: &str) -> BTreeSet<Role> {
    text.split_whitespace().filter_map(|label| label.parse().ok()).collect()
}

impl Store {
    /// One operator.
    pub async fn operator(&self, name: &ResourceName) -> Result<Option<OperatorRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM operator WHERE name = $1").bind(name.as_str());
        row.fetch_optional(self.pool()).await?.as_ref().map(operator_row).transpose()
    }

    /// The operator that the identity provider calls so.
    pub async fn operator_of_identity(&self, identity: &str) -> Result<Option<OperatorRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM operator WHERE identity = $1").bind(identity);
        row.fetch_optional(self.pool()).await?.as_ref().map(operator_row).transpose()
    }

    /// Operators after this name, at most [`OPERATOR_PAGE_MAX`]; only of an agency where one is given.
    pub async fn operators(&self, agency: Option<&AgencyId>, after: &str) -> Result<Vec<OperatorRow>, StoreError> {
        let sql = "SELECT * FROM operator WHERE name > $1 AND ($2 = '' OR agency = $2) ORDER BY name LIMIT $3";
        let rows = sqlx::query(sql)
            .bind(after)
            .bind(agency.map_or("", AgencyId::as_str))
            .bind(i64::from(OPERATOR_PAGE_MAX))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(operator_row).collect()
    }

    /// Adds an operator, unless the name or the identity is taken: then nothing happens, and the answer is no.
    pub async fn add_operator(&self, row: &OperatorRow, trail: &Trail) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let taken = sqlx::query("SELECT name FROM operator WHERE name = $1 OR identity = $2")
            .bind(row.name.as_str())
            .bind(row.identity.as_deref().unwrap_or_default())
            .fetch_optional(&mut *transaction)
            .await?;
        if taken.is_some() {
            return Ok(false);
        }
        save(&mut transaction, row).await?;
        audit::append(&mut transaction, trail.done(&Value::Null, &row.public(), None)).await?;
        transaction.commit().await?;
        trail.set_written();
        Ok(true)
    }

    /// Changes an operator, and what belongs to the change, all of it or nothing, with the audit's entry. `None` when
    /// there is no such operator.
    pub async fn change_operator<E: From<StoreError>>(
        &self,
        name: &ResourceName,
        trail: &Trail,
        change: impl FnOnce(&mut OperatorRow) -> Result<Also, E> + Send,
    ) -> Result<Option<OperatorRow>, E> {
        let mut transaction = self.begin().await?;
        let Some(before) = load(&mut transaction, name).await? else { return Ok(None) };
        let mut after = before.clone();
        let also = change(&mut after)?;
        let begun = also.begins.as_ref().map(BearerRow::public);
        save(&mut transaction, &after).await?;
        apply(&mut transaction, name, also).await?;
        let shown = begun.unwrap_or_else(|| after.public());
        audit::append(&mut transaction, trail.done(&before.public(), &shown, None)).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        trail.set_written();
        Ok(Some(after))
    }
}

async fn load(connection: &mut AnyConnection, name: &ResourceName) -> Result<Option<OperatorRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM operator WHERE name = $1").bind(name.as_str());
    row.fetch_optional(connection).await?.as_ref().map(operator_row).transpose()
}

/// Writes the whole row, new or not.
async fn save(connection: &mut AnyConnection, row: &OperatorRow) -> Result<(), StoreError> {
    let OperatorRow {
        name,
        roles,
        agency,
        disabled,
        identity,
        password,
        must_change,
        totp,
        totp_on,
        totp_step,
        created_at,
    } = row;
    sqlx::query(
        "INSERT INTO operator (name, roles, agency, disabled, identity, password, must_change, failures, wait_until, \
         totp, totp_on, totp_step, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, $9, $10, $11) \
         ON CONFLICT (name) DO UPDATE SET roles = excluded.roles, agency = excluded.agency, \
         disabled = excluded.disabled, identity = excluded.identity, password = excluded.password, \
         must_change = excluded.must_change, totp = excluded.totp, totp_on = excluded.totp_on, totp_step = excluded.totp_step",
    )
    .bind(name.as_str())
    .bind(roles_text(roles))
    .bind(agency.as_ref().map(AgencyId::as_str))
    .bind(i64::from(*disabled))
    .bind(identity.as_deref())
    .bind(password.as_deref())
    .bind(i64::from(*must_change))
    .bind(totp.as_deref())
    .bind(i64::from(*totp_on))
    .bind(*totp_step)
    .bind(created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn apply(connection: &mut AnyConnection, name: &ResourceName, also: Also) -> Result<(), StoreError> {
    let Also { begins, uses_code, codes, ends_sessions, spares, ends_tokens, forgets } = also;
    match forgets {
        Forgets::Nothing => {}
        Forgets::Source(source) => attempt::forget(connection, name, Some(&source)).await?,
        Forgets::Everything => attempt::forget(connection, name, None).await?,
    }
    let name = name.as_str();
    if let Some(hash) = uses_code {
        let used = sqlx::query("DELETE FROM recovery_code WHERE operator = $1 AND hash = $2").bind(name).bind(hash);
        if used.execute(&mut *connection).await?.rows_affected() != 1 {
            return Err(StoreError::Gone { what: "recovery code" });
        }
    }
    if let Some(codes) = codes {
        sqlx::query("DELETE FROM recovery_code WHERE operator = $1").bind(name).execute(&mut *connection).await?;
        for hash in codes {
            let insert =
                sqlx::query("INSERT INTO recovery_code (hash, operator) VALUES ($1, $2)").bind(hash).bind(name);
            insert.execute(&mut *connection).await?;
        }
    }
    for (ends, kind) in [(ends_sessions, "session"), (ends_tokens, "token"), (ends_tokens, "first")] {
        if ends {
            let delete = sqlx::query("DELETE FROM bearer WHERE operator = $1 AND kind = $2 AND hash <> $3");
            let delete = delete.bind(name).bind(kind).bind(spares.as_deref().unwrap_or_default());
            delete.execute(&mut *connection).await?;
        }
    }
    match begins {
        Some(bearer) => insert_bearer(connection, &bearer).await,
        None => Ok(()),
    }
}

pub(super) fn operator_row(row: &AnyRow) -> Result<OperatorRow, StoreError> {
    let damaged = StoreError::Damaged { what: "operator" };
    let name: String = row.try_get("name")?;
    let agency: Option<String> = row.try_get("agency")?;
    let Ok(name) = name.parse() else { return Err(damaged) };
    let Ok(agency) = agency.map(|agency| agency.parse()).transpose() else { return Err(damaged) };
    let flag = |column: &str| row.try_get::<i64, _>(column).map(|value| value != 0);
    Ok(OperatorRow {
        name,
        roles: roles_of(row.try_get("roles")?),
        agency,
        disabled: flag("disabled")?,
        identity: row.try_get("identity")?,
        password: row.try_get("password")?,
        must_change: flag("must_change")?,
        totp: row.try_get("totp")?,
        totp_on: flag("totp_on")?,
        totp_step: row.try_get("totp_step")?,
        created_at: UnixSeconds(row.try_get("created_at")?),
    })
}
