//! The audit's entries: appended, never changed.

use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::built::Built;
use super::{Store, StoreError, to_sql};
use crate::audit::{Attempt, Entry};

/// The most entries one page holds; at most 1 KiB each but for long targets.
pub const AUDIT_PAGE_MAX: u32 = 1_000;

/// Where a page of the audit begins, and in which direction it goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditPage {
    /// The entries after this number, oldest first.
    After(u64),
    /// The entries before this number, newest first; the newest of all when absent.
    Before(Option<u64>),
}

/// Which entries, of those on a page's way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AuditFilter {
    /// Only what this operator attempted.
    pub operator: Option<String>,
    /// Only what was about something that has this in its name.
    pub target: Option<String>,
    /// Only from this instant on.
    pub since: Option<UnixSeconds>,
    /// Only before this instant.
    pub until: Option<UnixSeconds>,
}

/// The last entry that was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// Its number; 0 before the first.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

impl Store {
    /// Appends an entry that belongs to no other change.
    pub async fn record(&self, attempt: Attempt) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        append(&mut transaction, attempt).await?;
        transaction.commit().await?;
        Ok(())
    }

    /// The last entry that was written.
    pub async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        let row = sqlx::query("SELECT number, hash FROM audit_head WHERE id = 1").fetch_one(self.pool()).await?;
        head(&row)
    }

    /// One page of the entries that `filter` lets through, at most [`AUDIT_PAGE_MAX`].
    pub async fn audit_page(
        &self,
        page: AuditPage,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<Entry>, StoreError> {
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let mut sql = Built::new("SELECT * FROM audit WHERE number ");
        match page {
            AuditPage::After(after) => sql.push("> ").number(number(after)),
            AuditPage::Before(before) => sql.push("< ").number(before.map_or(i64::MAX, number)),
        };
        let AuditFilter { operator, target, since, until } = filter;
        if let Some(operator) = operator {
            sql.push(" AND operator = ").text(operator.as_str());
        }
        if let Some(target) = target.as_deref().filter(|target| !target.is_empty()) {
            // What `LIKE` takes for equal differs between the databases.
            sql.push(" AND REPLACE(target, ").text(target).push(", '') <> target");
        }
        if let Some(since) = since {
            sql.push(" AND made_at >= ").number(since.0);
        }
        if let Some(until) = until {
            sql.push(" AND made_at < ").number(until.0);
        }
        sql.push(match page {
            AuditPage::After(_) => " ORDER BY number LIMIT ",
            AuditPage::Before(_) => " ORDER BY number DESC LIMIT ",
        });
        sql.number(i64::from(limit.clamp(1, AUDIT_PAGE_MAX)));
        let rows = sql.query().fetch_all(self.pool()).await?;
        rows.iter().map(entry).collect()
    }
}

/// Appends an entry in the transaction of what it is about, which is alone among all writers: so there is one chain.
pub(super) async fn append(connection: &mut AnyConnection, attempt: Attempt) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT number, hash FROM audit_head WHERE id = 1").fetch_one(&mut *connection).await?;
    let AuditHead { number, hash } = head(&row)?;
    let entry = Entry::after(number, &hash, attempt.bounded());
    let number = i64::try_from(entry.number).unwrap_or(i64::MAX);
    let Attempt { at, operator, bearer, source, action, target, before, after, outcome, revision } = &entry.attempt;
    sqlx::query(
        "INSERT INTO audit (number, made_at, operator, bearer, source, action, target, was, became, outcome, revision, \
         previous, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(number)
    .bind(at.0)
    .bind(operator)
    .bind(bearer)
    .bind(source)
    .bind(action)
    .bind(target)
    .bind(before)
    .bind(after)
    .bind(outcome)
    .bind(revision.map(to_sql))
    .bind(&entry.previous)
    .bind(&entry.hash)
    .execute(&mut *connection)
    .await?;
    sqlx::query("UPDATE audit_head SET number = $1, hash = $2 WHERE id = 1")
        .bind(number)
        .bind(&entry.hash)
        .execute(connection)
        .await?;
    Ok(())
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged { what: "audit entry" })
}

fn head(row: &AnyRow) -> Result<AuditHead, StoreError> {
    Ok(AuditHead { number: unsigned(row.try_get("number")?)?, hash: row.try_get("hash")? })
}

fn entry(row: &AnyRow) -> Result<Entry, StoreError> {
    let revision: Option<i64> = row.try_get("revision")?;
    let attempt = Attempt {
        at: UnixSeconds(row.try_get("made_at")?),
        operator: row.try_get("operator")?,
        bearer: row.try_get("bearer")?,
        source: row.try_get("source")?,
        action: row.try_get("action")?,
        target: row.try_get("target")?,
        before: row.try_get("was")?,
        after: row.try_get("became")?,
        outcome: row.try_get("outcome")?,
        revision: revision.map(unsigned).transpose()?.map(Revision),
    };
    let number = unsigned(row.try_get("number")?)?;
    Ok(Entry { number, attempt, previous: row.try_get("previous")?, hash: row.try_get("hash")? })
}

#[cfg(test)]
mod tests;
