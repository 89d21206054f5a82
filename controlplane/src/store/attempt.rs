//! Attempts at login, counted by name and source before they are decided, so that a thousand at one instant are a thousand.
//!
//! Whether an operator has the name or not, the statements and writes are the same. Somebody who guesses from one source
//! makes that source wait, and nobody else; many guesses from elsewhere slow a login down.

use lgsp_shared::id::ResourceName;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::AnyConnection;
use sqlx::Row;

use super::operator::operator_row;
use super::{OperatorRow, Store, StoreError};

/// Names and sources that are counted at a time; about 150 bytes each. The oldest go first.
const ATTEMPTS_MAX: i64 = 10_000;
/// How long failures are remembered: a day.
const KEPT_SECS: i64 = 86_400;
/// Which failures from elsewhere slow a login down: those of the last quarter of an hour.
const RECENT_SECS: i64 = 900;
/// So many of them.
const SLOWED_AFTER: i64 = 20;

/// A login that was counted before it was decided.
#[derive(Debug)]
pub struct Counted {
    /// The operator, when there is one.
    pub row: Option<OperatorRow>,
    /// Whether it may be let in at all now.
    pub open: bool,
    /// Whether it is decided later than usual, because others guess at this name.
    pub slowed: bool,
}

impl Store {
    /// Counts a login that is about to be decided. `wait_secs` tells how long later ones of the same source wait after so
    /// many failures.
    pub async fn count_login(
        &self,
        name: Option<&ResourceName>,
        source: &str,
        now: UnixSeconds,
        wait_secs: fn(u32) -> i64,
    ) -> Result<Counted, StoreError> {
        let name = name.map_or("", ResourceName::as_str);
        let mut transaction = self.begin().await?;
        let row = sqlx::query("SELECT * FROM operator WHERE name = $1").bind(name);
        let row = row.fetch_optional(&mut *transaction).await?.as_ref().map(operator_row).transpose()?;
        let before = sqlx::query("SELECT failures, wait_until FROM login_attempt WHERE name = $1 AND source = $2");
        let before = before.bind(name).bind(source).fetch_optional(&mut *transaction).await?;
        let (failures, wait_until): (i64, i64) = match before {
            Some(before) => (before.try_get("failures")?, before.try_get("wait_until")?),
            None => (0, 0),
        };
        let elsewhere: i64 = sqlx::query_scalar(
            "SELECT CAST(COALESCE(SUM(failures), 0) AS BIGINT) FROM login_attempt \
             WHERE name = $1 AND source <> $2 AND made_at > $3",
        )
        .bind(name)
        .bind(source)
        .bind(now.0.saturating_sub(RECENT_SECS))
        .fetch_one(&mut *transaction)
        .await?;
        let open = wait_until <= now.0;
        let failures = failures.saturating_add(i64::from(open));
        let wait_until = match u32::try_from(failures) {
            Ok(failures) if open => now.0.saturating_add(wait_secs(failures)),
            Ok(_) | Err(_) => wait_until,
        };
        put(&mut transaction, name, source, failures, wait_until, now).await?;
        transaction.commit().await?;
        let open = open && row.as_ref().is_some_and(|row| !row.disabled);
        Ok(Counted { row, open, slowed: elsewhere >= SLOWED_AFTER })
    }
}

async fn put(
    connection: &mut AnyConnection,
    name: &str,
    source: &str,
    failures: i64,
    wait_until: i64,
    now: UnixSeconds,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO login_attempt (name, source, failures, wait_until, made_at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (name, source) DO UPDATE SET failures = excluded.failures, wait_until = excluded.wait_until, \
         made_at = excluded.made_at",
    )
    .bind(name)
    .bind(source)
    .bind(failures)
    .bind(wait_until)
    .bind(now.0)
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM login_attempt WHERE made_at < $1 OR made_at < \
         COALESCE((SELECT made_at FROM login_attempt ORDER BY made_at DESC LIMIT 1 OFFSET $2), 0)",
    )
    .bind(now.0.saturating_sub(KEPT_SECS))
    .bind(ATTEMPTS_MAX)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets failures of a name: those of one source, or all of them.
pub(super) async fn forget(
    connection: &mut AnyConnection,
    name: &ResourceName,
    source: Option<&str>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM login_attempt WHERE name = $1 AND ($2 = '' OR source = $2)")
        .bind(name.as_str())
        .bind(source.unwrap_or_default())
        .execute(connection)
        .await?;
    Ok(())
}
