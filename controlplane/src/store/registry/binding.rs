//! What is bound to an agency by the name of its document: operators, tokens, notices. A reorganisation moves or ends it.

use lgsp_shared::id::AgencyId;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::{AnyConnection, Row};

use super::super::{Store, StoreError};
use super::number_from_sql;

/// What is bound to agencies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bound {
    /// Operators, by name.
    pub operators: Vec<String>,
    /// Sessions and tokens by identifier: those narrowed to the agency.
    pub tokens: Vec<String>,
    /// Notices that are not over and were not called off, by number.
    pub notices: Vec<u64>,
}

impl Store {
    /// What is bound to the agency that has this document.
    pub async fn bound_to(&self, document: &AgencyId, now: UnixSeconds) -> Result<Bound, StoreError> {
        let name = document.as_str();
        let operators = sqlx::query("SELECT name FROM operator WHERE agency = $1 ORDER BY name").bind(name);
        let operators = operators.fetch_all(self.pool()).await?;
        let tokens = sqlx::query("SELECT id FROM bearer WHERE agency = $1 ORDER BY id").bind(name);
        let tokens = tokens.fetch_all(self.pool()).await?;
        let notices = sqlx::query(
            "SELECT number FROM notice WHERE agency = $1 AND ends > $2 AND cancelled_at IS NULL ORDER BY number",
        );
        let notices = notices.bind(name).bind(now.0).fetch_all(self.pool()).await?;
        Ok(Bound {
            operators: operators.iter().map(|row| row.try_get("name")).collect::<Result<_, _>>()?,
            tokens: tokens.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?,
            notices: notices.iter().map(|row| number_from_sql(row.try_get("number")?)).collect::<Result<_, _>>()?,
        })
    }
}

/// Binds all of it to another agency.
pub(super) async fn rebind(connection: &mut AnyConnection, from: &AgencyId, to: &AgencyId) -> Result<(), StoreError> {
    for sql in [
        "UPDATE operator SET agency = $1 WHERE agency = $2",
        "UPDATE bearer SET agency = $1 WHERE agency = $2",
        "UPDATE notice SET agency = $1 WHERE agency = $2 AND cancelled_at IS NULL",
    ] {
        sqlx::query(sql).bind(to.as_str()).bind(from.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Ends all of it: operators are disabled, their sessions and tokens and those narrowed to the agency are gone, and notices
/// are called off.
pub(super) async fn unbind(
    connection: &mut AnyConnection,
    from: &AgencyId,
    by: &str,
    at: UnixSeconds,
) -> Result<(), StoreError> {
    let name = from.as_str();
    for sql in [
        "DELETE FROM bearer WHERE agency = $1 OR operator IN (SELECT name FROM operator WHERE agency = $1)",
        "UPDATE operator SET disabled = 1 WHERE agency = $1",
    ] {
        sqlx::query(sql).bind(name).execute(&mut *connection).await?;
    }
    sqlx::query(
        "UPDATE notice SET cancelled_at = $1, cancelled_by = $2 \
         WHERE agency = $3 AND ends > $1 AND cancelled_at IS NULL",
    )
    .bind(at.0)
    .bind(by)
    .bind(name)
    .execute(connection)
    .await?;
    Ok(())
}
