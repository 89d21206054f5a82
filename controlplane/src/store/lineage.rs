//! Which lines of revisions this database has made, and whether something published is one of its own.

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::seal::origin::{DATABASE_ID_BYTES, DatabaseId, Lineage};
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::revision::insert_revision;
use super::{RevisionRow, Store, StoreError, audit, from_sql, to_sql};
use crate::audit::Attempt;

/// A line of revisions and the first number that can only belong to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What it is called in what is published.
    pub lineage: Lineage,
    /// The first revision that was made in it.
    pub from: Revision,
}

/// What was published, as far as this database can say whether it knows it.
#[derive(Debug, Clone, Copy)]
pub struct Published<'a> {
    /// The line it was marked for; absent when it is unmarked.
    pub lineage: Option<&'a Lineage>,
    /// Its number.
    pub revision: Revision,
    /// Its content.
    pub hash: &'a ContentHash,
}

/// A line that is to begin.
#[derive(Debug, Clone)]
pub struct NewLine<'a> {
    /// Now.
    pub at: UnixSeconds,
    /// It begins after this instant too, whatever the clock says.
    pub after: Option<UnixSeconds>,
    /// Why, for who looks into the database.
    pub why: &'a str,
}

impl Store {
    /// The line of what is published now.
    pub async fn own_lineage(&self) -> Result<Lineage, StoreError> {
        let lines = lines(&mut *self.pool().acquire().await?).await?;
        lines.last().map(|line| line.lineage.clone()).ok_or(StoreError::Damaged { what: "lineage: there is none" })
    }

    /// Whether this database has made what was published: this number with this content, in this line.
    pub async fn knows(&self, published: Published<'_>) -> Result<bool, StoreError> {
        let Published { lineage, revision, hash } = published;
        let lines = lines(&mut *self.pool().acquire().await?).await?;
        if let Some(lineage) = lineage {
            let Some(at) = lines.iter().position(|line| line.lineage == *lineage) else { return Ok(false) };
            let next = lines.get(at.saturating_add(1));
            if next.is_some_and(|next| revision >= next.from) {
                return Ok(false);
            }
        }
        Ok(self.revision(revision).await?.is_some_and(|row| row.hash == *hash))
    }

    /// Makes `revision` the first of a new line. Its content is that of its base.
    pub async fn begin_line(
        &self,
        revision: &RevisionRow,
        line: NewLine<'_>,
        attempt: Attempt,
    ) -> Result<Lineage, StoreError> {
        let mut transaction = self.begin().await?;
        let current: Option<i64> =
            sqlx::query_scalar("SELECT MAX(number) FROM revision").fetch_one(&mut *transaction).await?;
        let current = from_sql(current.unwrap_or(0))?;
        if current != revision.base {
            return Err(StoreError::Stale { current });
        }
        insert_revision(&mut transaction, revision).await?;
        let lineage = begin(&mut transaction, line, revision.number).await?;
        audit::append(&mut transaction, attempt).await?;
        transaction.commit().await?;
        Ok(lineage)
    }
}

/// Begins a line with the revision `from`, later than every line there is.
pub(super) async fn begin(
    connection: &mut AnyConnection,
    NewLine { at, after, why }: NewLine<'_>,
    from: Revision,
) -> Result<Lineage, StoreError> {
    let last = lines(connection).await?.pop();
    let database = match &last {
        Some(line) => line.lineage.database.clone(),
        None => random_id()?,
    };
    let earliest = [last.map(|line| line.lineage.since), after].into_iter().flatten().max();
    let since = earliest.map_or(at, |earliest| UnixSeconds(earliest.0.saturating_add(1).max(at.0)));
    insert(connection, &Lineage { database: database.clone(), since }, from, why).await?;
    Ok(Lineage { database, since })
}

/// Gives a database its identity and its first line unless it has one.
pub(super) async fn ensure(connection: &mut AnyConnection, now: UnixSeconds) -> Result<(), StoreError> {
    if !lines(connection).await?.is_empty() {
        return Ok(());
    }
    let first = Lineage { database: random_id()?, since: now };
    insert(connection, &first, Revision(0), "the first").await
}

async fn insert(
    connection: &mut AnyConnection,
    Lineage { database, since }: &Lineage,
    from: Revision,
    why: &str,
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO lineage (since, database_id, from_revision, why) VALUES ($1, $2, $3, $4)")
        .bind(since.0)
        .bind(database.as_str())
        .bind(to_sql(from))
        .bind(why)
        .execute(connection)
        .await?;
    Ok(())
}

fn random_id() -> Result<DatabaseId, StoreError> {
    let mut random = [0; DATABASE_ID_BYTES];
    getrandom::fill(&mut random).map_err(|_| StoreError::NoRandom)?;
    Ok(DatabaseId::new(random))
}

async fn lines(connection: &mut AnyConnection) -> Result<Vec<Line>, StoreError> {
    let rows = sqlx::query("SELECT since, database_id, from_revision FROM lineage ORDER BY since")
        .fetch_all(connection)
        .await?;
    rows.iter().map(line).collect()
}

fn line(row: &AnyRow) -> Result<Line, StoreError> {
    let database: String = row.try_get("database_id")?;
    let database = DatabaseId::parse(&database).ok_or(StoreError::Damaged { what: "lineage" })?;
    let since = UnixSeconds(row.try_get("since")?);
    Ok(Line { lineage: Lineage { database, since }, from: from_sql(row.try_get("from_revision")?)? })
}

#[cfg(test)]
mod tests {
    use lgsp_testkit::postgres::Postgres;

    use super::*;
    use crate::store::tests::{connect, trail};

    fn row(number: u64, base: u64) -> RevisionRow {
        RevisionRow {
            number: Revision(number),
            base: Revision(base),
            hash: ContentHash::from(format!("hash {number}")),
            documents: 1,
            author: "operator".into(),
            message: String::new(),
            created_at: UnixSeconds(1),
        }
    }

    #[tokio::test]
    async fn a_database_of_an_earlier_version_gets_its_identity_once_and_keeps_its_revisions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let store = Store::open(&path).await.unwrap();
        store.commit(None, &row(1, 0), &[], &[], trail("test").attempt("done")).await.unwrap();
        let (given, version) = (store.own_lineage().await.unwrap(), store.found_schema().await.unwrap());
        for undo in ["DROP TABLE lineage", "DELETE FROM _sqlx_migrations WHERE version = 10"] {
            sqlx::query(undo).execute(store.pool()).await.unwrap();
        }
        store.close().await;
        let store = Store::open(&path).await.unwrap();
        assert_eq!(store.found_schema().await.unwrap(), version);
        let lineage = store.own_lineage().await.unwrap();
        assert_ne!(lineage.database, given.database, "it is random");
        let hash = ContentHash::from("hash 1".to_owned());
        let published = Published { lineage: None, revision: Revision(1), hash: &hash };
        assert!(store.knows(published).await.unwrap(), "what it published before is its own");
        store.close().await;
        assert_eq!(Store::open(&path).await.unwrap().own_lineage().await.unwrap(), lineage, "and is not drawn again");
    }

    #[tokio::test]
    async fn a_new_line_is_later_than_every_other_whatever_the_clock_says() {
        let directory = tempfile::tempdir().unwrap();
        let server = Postgres::start().await.unwrap();
        for store in [Store::open(&directory.path().join("a.db")).await.unwrap(), connect(&server).await.unwrap()] {
            store.commit(None, &row(1, 0), &[], &[], trail("test").attempt("done")).await.unwrap();
            let first = store.own_lineage().await.unwrap();
            let begin = async |number, base, after| {
                let line = NewLine { at: UnixSeconds(5), after, why: "test" };
                store.begin_line(&row(number, base), line, trail("test").attempt("done")).await
            };
            let second = begin(7, 1, None).await.unwrap();
            assert_eq!((second.since.0, &second.database), (first.since.0 + 1, &first.database));
            let later = UnixSeconds(second.since.0 + 1_000);
            assert_eq!(begin(8, 7, Some(later)).await.unwrap().since.0, later.0 + 1);
            assert!(matches!(begin(9, 7, None).await, Err(StoreError::Stale { current: Revision(8) })));
            assert_eq!(store.head().await.unwrap().unwrap().number, Revision(8));
        }
    }
}
