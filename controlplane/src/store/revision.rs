//! Revisions: numbered, immutable, each at the cost of its change.

use std::collections::BTreeMap;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, Transaction};

use super::registry::{self, Write};
use super::{Store, StoreError, audit, from_sql, placeholders, to_sql};
use crate::audit::Attempt;

/// The most revisions one page of history holds; about 300 bytes each.
pub const HISTORY_PAGE_MAX: u32 = 500;
/// Rows per `INSERT`: four values each, and SQLite takes 32,766 values.
const INSERT_ROWS_MAX: usize = 500;

/// A revision without its documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevisionRow {
    /// Its number.
    pub number: Revision,
    /// The revision it was made from.
    pub base: Revision,
    /// The hash of all its documents.
    pub hash: ContentHash,
    /// How many documents it has.
    pub documents: u64,
    /// Who made it.
    pub author: String,
    /// Why, in the author's words.
    pub message: String,
    /// When.
    pub created_at: UnixSeconds,
}

/// The only writer of the database, until it is used or dropped.
#[derive(Debug)]
pub struct Writer(Transaction<'static, Any>);

impl Writer {
    /// Lets others write again.
    pub async fn release(self) -> Result<(), StoreError> {
        Ok(self.0.rollback().await?)
    }
}

/// One key's change in a revision.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeRow {
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: String,
    /// The hash of the new content and the content; absent when removed.
    pub content: Option<Content>,
}

/// Content under its hash.
#[derive(Debug, Clone, PartialEq)]
pub struct Content {
    /// SHA-256 of the canonical `spec`, in hexadecimal.
    pub hash: String,
    /// The `spec` as JSON text.
    pub spec: String,
}

impl Store {
    /// The current revision; none before the first.
    pub async fn head(&self) -> Result<Option<RevisionRow>, StoreError> {
        let row =
            sqlx::query("SELECT * FROM revision ORDER BY number DESC LIMIT 1").fetch_optional(self.pool()).await?;
        row.as_ref().map(revision_row).transpose()
    }

    /// One revision.
    pub async fn revision(&self, number: Revision) -> Result<Option<RevisionRow>, StoreError> {
        let number = to_sql(number);
        let row =
            sqlx::query("SELECT * FROM revision WHERE number = $1").bind(number).fetch_optional(self.pool()).await?;
        row.as_ref().map(revision_row).transpose()
    }

    /// Revisions below `before`, newest first, at most [`HISTORY_PAGE_MAX`].
    pub async fn history(&self, before: Option<Revision>, limit: u32) -> Result<Vec<RevisionRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM revision WHERE number < $1 ORDER BY number DESC LIMIT $2")
            .bind(before.map_or(i64::MAX, to_sql))
            .bind(i64::from(limit.min(HISTORY_PAGE_MAX)))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(revision_row).collect()
    }

    /// What changed in a revision, in the order of kind and name.
    pub async fn changes(&self, number: Revision) -> Result<Vec<ChangeRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.kind, c.name, t.hash, t.spec FROM revision_change c LEFT JOIN content t ON t.hash = c.content \
             WHERE c.revision = $1 ORDER BY c.kind, c.name",
        )
        .bind(to_sql(number))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(change_row).collect()
    }

    /// What changed after `after` up to `upto`, each with its revision, in the order of revisions.
    pub async fn changes_between(
        &self,
        after: Revision,
        upto: Revision,
    ) -> Result<Vec<(Revision, ChangeRow)>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.kind, c.name, c.revision, t.hash, t.spec \
             FROM revision_change c LEFT JOIN content t ON t.hash = c.content \
             WHERE c.revision > $1 AND c.revision <= $2 ORDER BY c.revision, c.kind, c.name",
        )
        .bind(to_sql(after))
        .bind(to_sql(upto))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(|row| Ok((from_sql(row.try_get("revision")?)?, change_row(row)?))).collect()
    }

    /// All documents of a revision, in the order of kind and name.
    pub async fn documents(&self, number: Revision) -> Result<Vec<Document>, StoreError> {
        let rows = sqlx::query(
            "SELECT c.kind, c.name, t.spec FROM revision_change c JOIN content t ON t.hash = c.content \
             WHERE c.revision = (SELECT MAX(d.revision) FROM revision_change d \
                                 WHERE d.kind = c.kind AND d.name = c.name AND d.revision <= $1) \
             ORDER BY c.kind, c.name",
        )
        .bind(to_sql(number))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(document).collect()
    }

    /// Keeps every other writer out, of every process, until the writer is used or dropped. For a change that others were
    /// faster than again and again; it is computed meanwhile, which has to end before the database takes the lock away.
    pub async fn alone(&self) -> Result<Writer, StoreError> {
        Ok(Writer(self.begin().await?))
    }

    /// Makes `revision` and writes what belongs to it, all of it or nothing; refuses when `revision.base` is not current.
    /// The audit's entry is part of it. `alone` is the writer that keeps others out already, where there is one.
    pub async fn commit(
        &self,
        alone: Option<Writer>,
        revision: &RevisionRow,
        changes: &[ChangeRow],
        writes: &[Write],
        attempt: Attempt,
    ) -> Result<(), StoreError> {
        let mut transaction = match alone {
            Some(Writer(transaction)) => transaction,
            None => self.begin().await?,
        };
        let current: Option<i64> =
            sqlx::query_scalar("SELECT MAX(number) FROM revision").fetch_one(&mut *transaction).await?;
        let current = from_sql(current.unwrap_or(0))?;
        if current != revision.base {
            return Err(StoreError::Stale { current });
        }
        insert_revision(&mut transaction, revision).await?;
        for changes in changes.chunks(INSERT_ROWS_MAX) {
            insert_content(&mut transaction, changes).await?;
            insert_changes(&mut transaction, revision.number, changes).await?;
        }
        registry::write(&mut transaction, writes, Some(revision.number)).await?;
        audit::append(&mut transaction, attempt).await?;
        transaction.commit().await?;
        Ok(())
    }
}

pub(super) async fn insert_revision(connection: &mut AnyConnection, revision: &RevisionRow) -> Result<(), StoreError> {
    let RevisionRow { number, base, hash, documents, author, message, created_at } = revision;
    sqlx::query(
        "INSERT INTO revision (number, base, hash, documents, author, message, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(to_sql(*number))
    .bind(to_sql(*base))
    .bind(hash.as_str())
    .bind(i64::try_from(*documents).unwrap_or(i64::MAX))
    .bind(author)
    .bind(message)
    .bind(created_at.0)
    .execute(connection)
    .await?;
    Ok(())
}

async fn insert_content(connection: &mut AnyConnection, changes: &[ChangeRow]) -> Result<(), StoreError> {
    // Each hash once, and in one order: then two rows of one statement never meet.
    let contents: BTreeMap<&str, &str> = changes
        .iter()
        .filter_map(|change| change.content.as_ref())
        .map(|Content { hash, spec }| (hash.as_str(), spec.as_str()))
        .collect();
    if contents.is_empty() {
        return Ok(());
    }
    let rows = placeholders(contents.len(), 2);
    let sql = format!("INSERT INTO content (hash, spec) VALUES {rows} ON CONFLICT (hash) DO NOTHING");
    let query =
        contents.into_iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, (hash, spec)| query.bind(hash).bind(spec));
    query.execute(connection).await?;
    Ok(())
}

async fn insert_changes(
    connection: &mut AnyConnection,
    revision: Revision,
    changes: &[ChangeRow],
) -> Result<(), StoreError> {
    let rows = placeholders(changes.len(), 4);
    let sql = format!("INSERT INTO revision_change (kind, name, revision, content) VALUES {rows}");
    let query = changes.iter().fold(sqlx::query(AssertSqlSafe(sql)), |query, ChangeRow { kind, name, content }| {
        let content = content.as_ref().map(|content| content.hash.as_str());
        query.bind(kind).bind(name).bind(to_sql(revision)).bind(content)
    });
    query.execute(connection).await?;
    Ok(())
}

fn document(row: &AnyRow) -> Result<Document, StoreError> {
    let spec = serde_json::from_str(row.try_get("spec")?).map_err(|_| StoreError::Damaged { what: "document" })?;
    Ok(Document { kind: row.try_get("kind")?, name: row.try_get("name")?, spec })
}

pub(super) fn change_row(row: &AnyRow) -> Result<ChangeRow, StoreError> {
    let (hash, spec): (Option<String>, Option<String>) = (row.try_get("hash")?, row.try_get("spec")?);
    let content = hash.zip(spec).map(|(hash, spec)| Content { hash, spec });
    Ok(ChangeRow { kind: row.try_get("kind")?, name: row.try_get("name")?, content })
}

pub(super) fn revision_row(row: &AnyRow) -> Result<RevisionRow, StoreError> {
    let documents: i64 = row.try_get("documents")?;
    Ok(RevisionRow {
        number: from_sql(row.try_get("number")?)?,
        base: from_sql(row.try_get("base")?)?,
        hash: ContentHash::from(row.try_get::<String, _>("hash")?),
        documents: u64::try_from(documents).map_err(|_| StoreError::Damaged { what: "revision" })?,
        author: row.try_get("author")?,
        message: row.try_get("message")?,
        created_at: UnixSeconds(row.try_get("created_at")?),
    })
}
