//! Sessions and tokens: kept as the SHA-256 of the text that is shown once.

use std::collections::BTreeSet;

use lgsp_shared::id::{AgencyId, ResourceName};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::built::Built;
use super::operator::{roles_of, roles_text};
use super::{Store, StoreError, audit};
use crate::audit::Trail;
use crate::operator::{BearerKind, Role};

/// Sessions and tokens an operator may have at a time; about 300 bytes each.
pub const BEARERS_MAX: i64 = 50;
/// How often the last use is written.
const USED_EVERY_SECS: i64 = 60;

/// A session or token.
#[derive(Clone, PartialEq, Eq)]
pub struct BearerRow {
    /// SHA-256 of its text.
    pub hash: String,
    /// What it is called where it cannot be shown.
    pub id: String,
    /// Which of them it is.
    pub kind: BearerKind,
    /// Whose it is.
    pub operator: ResourceName,
    /// What its maker calls it.
    pub title: String,
    /// Fewer roles than the operator's.
    pub roles: Option<BTreeSet<Role>>,
    /// An agency beyond which it is worth nothing.
    pub agency: Option<AgencyId>,
    /// Since when.
    pub created_at: UnixSeconds,
    /// Until when.
    pub expires_at: Option<UnixSeconds>,
    /// It ends when it was not used for so long.
    pub idle_secs: Option<i64>,
    /// When it was last used, to the minute.
    pub used_at: UnixSeconds,
}

impl std::fmt::Debug for BearerRow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BearerRow").field("id", &self.id).field("operator", &self.operator).finish_non_exhaustive()
    }
}

/// Where a page of them ends: what they are ordered by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerPlace {
    operator: ResourceName,
    created_at: UnixSeconds,
    id: String,
}

impl BearerPlace {
    /// The place of one.
    pub fn of(row: &BearerRow) -> Self {
        Self { operator: row.operator.clone(), created_at: row.created_at, id: row.id.clone() }
    }

    /// Reads what [`std::fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (operator, rest) = text.split_once('/')?;
        let (created_at, id) = rest.split_once('/')?;
        let (operator, created_at) = (operator.parse().ok()?, UnixSeconds(created_at.parse().ok()?));
        Some(Self { operator, created_at, id: id.to_owned() })
    }
}

impl std::fmt::Display for BearerPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.operator, self.created_at.0, self.id)
    }
}

impl BearerRow {
    /// Whether it still counts.
    pub fn is_alive(&self, now: UnixSeconds) -> bool {
        let idle = |secs: i64| self.used_at.0.saturating_add(secs).saturating_add(USED_EVERY_SECS) < now.0;
        self.expires_at.is_none_or(|end| now < end) && !self.idle_secs.is_some_and(idle)
    }

    /// What others may know, and what the audit holds.
    pub fn public(&self) -> Value {
        let roles = self.roles.as_ref().map(|roles| roles.iter().map(|role| role.label()).collect::<Vec<_>>());
        json!({
            "id": self.id, "kind": self.kind.label(), "operator": self.operator, "title": self.title, "roles": roles,
            "agency": self.agency, "created_at": self.created_at, "expires_at": self.expires_at, "used_at": self.used_at,
        })
    }
}

impl Store {
    /// The session or token with this hash.
    pub async fn bearer(&self, hash: &str) -> Result<Option<BearerRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM bearer WHERE hash = $1").bind(hash).fetch_optional(self.pool()).await?;
        row.as_ref().map(bearer_row).transpose()
    }

    /// Writes that it is used now, at most once a minute.
    pub async fn touch_bearer(&self, bearer: &BearerRow, now: UnixSeconds) -> Result<(), StoreError> {
        if now.0 < bearer.used_at.0.saturating_add(USED_EVERY_SECS) {
            return Ok(());
        }
        let update = sqlx::query("UPDATE bearer SET used_at = $1 WHERE hash = $2 AND used_at < $1");
        update.bind(now.0).bind(&bearer.hash).execute(self.pool()).await?;
        Ok(())
    }

    /// The tokens of an operator, sessions too; of everybody without one. By operator and time, only those after a place.
    pub async fn bearers(
        &self,
        operator: Option<&ResourceName>,
        after: Option<&BearerPlace>,
        limit: u32,
    ) -> Result<Vec<BearerRow>, StoreError> {
        let mut sql = Built::new("SELECT * FROM bearer WHERE 1 = 1");
        if let Some(operator) = operator {
            sql.push(" AND operator = ").text(operator.as_str());
        }
        if let Some(BearerPlace { operator, created_at, id }) = after {
            sql.push(" AND (operator, created_at, id) > (").text(operator.as_str()).push(", ").number(created_at.0);
            sql.push(", ").text(id.as_str()).push(")");
        }
        sql.push(" ORDER BY operator, created_at, id LIMIT ").number(i64::from(limit));
        let rows = sql.query().fetch_all(self.pool()).await?;
        rows.iter().map(bearer_row).collect()
    }

    /// The session or token with this identifier.
    pub async fn bearer_called(&self, id: &str) -> Result<Option<BearerRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM bearer WHERE id = $1").bind(id).fetch_optional(self.pool()).await?;
        row.as_ref().map(bearer_row).transpose()
    }

    /// Ends it, with the audit's entry. The answer is no when it was gone already.
    pub async fn end_bearer(&self, bearer: &BearerRow, trail: &Trail) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let delete = sqlx::query("DELETE FROM bearer WHERE hash = $1").bind(&bearer.hash);
        if delete.execute(&mut *transaction).await?.rows_affected() == 0 {
            return Ok(false);
        }
        audit::append(&mut transaction, trail.done(&bearer.public(), &Value::Null, None)).await?;
        transaction.commit().await?;
        trail.set_written();
        Ok(true)
    }

    /// Puts this text's hash in place of the one the first operator had, and gives that operator back what it needs to
    /// help everybody else. `unless_any`: only when there is no operator at all; the answer is whether it was done.
    pub async fn put_first_bearer(
        &self,
        bearer: &BearerRow,
        roles: &BTreeSet<Role>,
        unless_any: bool,
        trail: &Trail,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let any = sqlx::query("SELECT name FROM operator LIMIT 1").fetch_optional(&mut *transaction).await?;
        if unless_any && any.is_some() {
            return Ok(false);
        }
        sqlx::query(
            "INSERT INTO operator (name, roles, agency, disabled, identity, password, must_change, failures, \
             wait_until, totp, totp_on, totp_step, created_at) \
             VALUES ($1, $2, NULL, 0, NULL, NULL, 0, 0, 0, NULL, 0, 0, $3) \
             ON CONFLICT (name) DO UPDATE SET roles = excluded.roles, agency = NULL, disabled = 0",
        )
        .bind(bearer.operator.as_str())
        .bind(roles_text(roles))
        .bind(bearer.created_at.0)
        .execute(&mut *transaction)
        .await?;
        let delete = sqlx::query("DELETE FROM bearer WHERE operator = $1 AND kind = $2");
        delete.bind(bearer.operator.as_str()).bind(bearer.kind.label()).execute(&mut *transaction).await?;
        insert_bearer(&mut transaction, bearer).await?;
        audit::append(&mut transaction, trail.done(&Value::Null, &bearer.public(), None)).await?;
        transaction.commit().await?;
        trail.set_written();
        Ok(true)
    }
}

/// Keeps it; those of the operator that are over go, and so do the oldest sessions above [`BEARERS_MAX`].
pub(super) async fn insert_bearer(connection: &mut AnyConnection, bearer: &BearerRow) -> Result<(), StoreError> {
    let BearerRow { hash, id, kind, operator, title, roles, agency, created_at, expires_at, idle_secs, used_at } =
        bearer;
    sqlx::query(
        "DELETE FROM bearer WHERE operator = $1 AND (expires_at <= $2 OR used_at + idle_secs < $3 OR hash IN \
         (SELECT hash FROM bearer WHERE operator = $1 AND kind = 'session' ORDER BY created_at DESC, id \
          LIMIT $4 OFFSET $5))",
    )
    .bind(operator.as_str())
    .bind(created_at.0)
    .bind(created_at.0.saturating_sub(USED_EVERY_SECS))
    .bind(BEARERS_MAX)
    .bind(BEARERS_MAX - 1)
    .execute(&mut *connection)
    .await?;
    let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM bearer WHERE operator = $1 AND kind = $2")
        .bind(operator.as_str())
        .bind(kind.label())
        .fetch_one(&mut *connection)
        .await?;
    if count >= BEARERS_MAX {
        return Err(StoreError::Full { what: "tokens" });
    }
    sqlx::query(
        "INSERT INTO bearer (hash, id, kind, operator, title, roles, agency, created_at, expires_at, idle_secs, used_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
    )
    .bind(hash)
    .bind(id)
    .bind(kind.label())
    .bind(operator.as_str())
    .bind(title)
    .bind(roles.as_ref().map(roles_text))
    .bind(agency.as_ref().map(AgencyId::as_str))
    .bind(created_at.0)
    .bind(expires_at.map(|end| end.0))
    .bind(*idle_secs)
    .bind(used_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

fn bearer_row(row: &AnyRow) -> Result<BearerRow, StoreError> {
    let damaged = StoreError::Damaged { what: "token" };
    let (operator, agency): (String, Option<String>) = (row.try_get("operator")?, row.try_get("agency")?);
    let Ok(operator) = operator.parse() else { return Err(damaged) };
    let Ok(agency) = agency.map(|agency| agency.parse()).transpose() else { return Err(damaged) };
    let Some(kind) = BearerKind::parse(row.try_get("kind")?) else { return Err(damaged) };
    let (roles, expires_at): (Option<String>, Option<i64>) = (row.try_get("roles")?, row.try_get("expires_at")?);
    Ok(BearerRow {
        hash: row.try_get("hash")?,
        id: row.try_get("id")?,
        kind,
        operator,
        title: row.try_get("title")?,
        roles: roles.map(|roles| roles_of(&roles)),
        agency,
        created_at: UnixSeconds(row.try_get("created_at")?),
        expires_at: expires_at.map(UnixSeconds),
        idle_secs: row.try_get("idle_secs")?,
        used_at: UnixSeconds(row.try_get("used_at")?),
    })
}
