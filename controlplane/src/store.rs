//! Revisions in SQLite: numbered, immutable, each at the cost of its change.
//!
//! The SQL is plain enough for PostgreSQL; what is SQLite's own is how the database is opened, how a writing
//! transaction begins, and the migrations' folder.

use std::path::Path;
use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::Document;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Row, SqliteConnection, SqlitePool};

mod migration;
mod token;
mod touching;

/// Connections to the database; each costs about 2 MiB of page cache at most.
const CONNECTIONS_MAX: u32 = 4;
/// How long a writer waits for another process's write.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// The most revisions one page of history holds; about 300 bytes each.
pub const HISTORY_PAGE_MAX: u32 = 500;

/// The database.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

/// Why the database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be made or opened.
    #[error("cannot open the database `{path}`; check that its directory exists and belongs to this user")]
    Open {
        /// The database file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The schema is newer or was changed.
    #[error("the database's schema does not fit this version; start the version that wrote it, or restore a backup")]
    Schema(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("the database refused")]
    Database(#[from] sqlx::Error),
    /// A row does not hold what this program writes.
    #[error("the database holds a damaged {what}; restore it from a backup")]
    Damaged {
        /// What is damaged.
        what: &'static str,
    },
    /// Another revision was made in the meantime.
    #[error("revision {current} was made in the meantime")]
    Stale {
        /// The revision that is current now.
        current: Revision,
    },
}

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
    /// Opens the database, makes it when missing (readable by this user only), and brings its schema up to date.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        create_private(path).map_err(|source| StoreError::Open { path: path.display().to_string(), source })?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_WAIT);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS_MAX).connect_with(options).await?;
        migration::migrator().run(&pool).await.map_err(StoreError::Schema)?;
        Ok(Self { pool })
    }

    /// Closes all connections, after which the write-ahead log is folded into the database file.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT 1").execute(&self.pool).await?;
        Ok(())
    }

    /// The current revision; none before the first.
    pub async fn head(&self) -> Result<Option<RevisionRow>, StoreError> {
        let row = sqlx::query("SELECT * FROM revision ORDER BY number DESC LIMIT 1").fetch_optional(&self.pool).await?;
        row.as_ref().map(revision_row).transpose()
    }

    /// One revision.
    pub async fn revision(&self, number: Revision) -> Result<Option<RevisionRow>, StoreError> {
        let number = to_sql(number);
        let row =
            sqlx::query("SELECT * FROM revision WHERE number = $1").bind(number).fetch_optional(&self.pool).await?;
        row.as_ref().map(revision_row).transpose()
    }

    /// Revisions below `before`, newest first, at most [`HISTORY_PAGE_MAX`].
    pub async fn history(&self, before: Option<Revision>, limit: u32) -> Result<Vec<RevisionRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM revision WHERE number < $1 ORDER BY number DESC LIMIT $2")
            .bind(before.map_or(i64::MAX, to_sql))
            .bind(i64::from(limit.min(HISTORY_PAGE_MAX)))
            .fetch_all(&self.pool)
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
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let (hash, spec): (Option<String>, Option<String>) = (row.try_get("hash")?, row.try_get("spec")?);
                let content = hash.zip(spec).map(|(hash, spec)| Content { hash, spec });
                Ok(ChangeRow { kind: row.try_get("kind")?, name: row.try_get("name")?, content })
            })
            .collect()
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
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|row| {
                let spec =
                    serde_json::from_str(row.try_get("spec")?).map_err(|_| StoreError::Damaged { what: "document" })?;
                Ok(Document { kind: row.try_get("kind")?, name: row.try_get("name")?, spec })
            })
            .collect()
    }

    /// Makes `revision`, all of it or nothing; refuses when `revision.base` is not current.
    pub async fn commit(&self, revision: &RevisionRow, changes: &[ChangeRow]) -> Result<(), StoreError> {
        // Taking the write lock first lets the check below see what it guards.
        let mut transaction = self.pool.begin_with("BEGIN IMMEDIATE").await?;
        let current: Option<i64> =
            sqlx::query_scalar("SELECT MAX(number) FROM revision").fetch_one(&mut *transaction).await?;
        let current = from_sql(current.unwrap_or(0))?;
        if current != revision.base {
            return Err(StoreError::Stale { current });
        }
        insert_revision(&mut transaction, revision).await?;
        for change in changes {
            insert_change(&mut transaction, revision.number, change).await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}

async fn insert_revision(connection: &mut SqliteConnection, revision: &RevisionRow) -> Result<(), StoreError> {
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

async fn insert_change(
    connection: &mut SqliteConnection,
    revision: Revision,
    change: &ChangeRow,
) -> Result<(), StoreError> {
    let ChangeRow { kind, name, content } = change;
    if let Some(Content { hash, spec }) = content {
        sqlx::query("INSERT INTO content (hash, spec) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING")
            .bind(hash)
            .bind(spec)
            .execute(&mut *connection)
            .await?;
    }
    sqlx::query("INSERT INTO revision_change (kind, name, revision, content) VALUES ($1, $2, $3, $4)")
        .bind(kind)
        .bind(name)
        .bind(to_sql(revision))
        .bind(content.as_ref().map(|content| &content.hash))
        .execute(connection)
        .await?;
    Ok(())
}

fn revision_row(row: &sqlx::sqlite::SqliteRow) -> Result<RevisionRow, StoreError> {
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

fn to_sql(revision: Revision) -> i64 {
    i64::try_from(revision.0).unwrap_or(i64::MAX)
}

fn from_sql(number: i64) -> Result<Revision, StoreError> {
    u64::try_from(number).map(Revision).map_err(|_| StoreError::Damaged { what: "revision number" })
}

/// Makes an empty file that only this user can read; the log and shared-memory files inherit its mode.
fn create_private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests;
