//! The tables as the schema lists them, read and written row by row without knowing what they mean: for backup and
//! restore, so that a table that is added later is never left out.

use std::collections::BTreeSet;

use futures_util::TryStreamExt;
use lgsp_shared::id::Revision;
use lgsp_shared::seal::origin::Lineage;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Any, AnyConnection, AssertSqlSafe, Row, Transaction};

use super::{Dialect, NewLine, Store, StoreError, audit, from_sql, lineage, migration, placeholders};
use crate::audit::Attempt;

/// Rows per `INSERT`, so that values stay far below SQLite's 32,766 and a statement below a few MiB.
pub const ROWS_PER_INSERT: usize = 200;

/// Where the schema itself puts a row: a database with nothing else in it is empty.
const FILLED_BY_SCHEMA: [&str; 3] = ["audit_head", "identity_last", "lineage"];

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Type {
    Integer,
    Text,
}

/// A table and its columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    name: String,
    columns: Vec<(String, Type)>,
}

impl Table {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn columns(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }
}

/// One view of the whole database.
pub struct Tables {
    transaction: Transaction<'static, Any>,
    dialect: Dialect,
}

impl std::fmt::Debug for Tables {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tables").field("dialect", &self.dialect).finish_non_exhaustive()
    }
}

/// The version of the schema that this program makes.
pub fn schema_version() -> i64 {
    migration::version()
}

impl Store {
    /// The version of the schema that the database has; none when it is not one of ours.
    pub async fn found_schema(&self) -> Result<Option<i64>, StoreError> {
        let tables = match self.dialect() {
            Dialect::Sqlite => "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
            Dialect::Postgres => {
                "SELECT COUNT(*) FROM pg_tables WHERE schemaname = current_schema() AND tablename = '_sqlx_migrations'"
            }
        };
        let tables: i64 = sqlx::query_scalar(tables).fetch_one(self.pool()).await?;
        if tables == 0 {
            return Ok(None);
        }
        Ok(sqlx::query_scalar("SELECT MAX(version) FROM _sqlx_migrations").fetch_one(self.pool()).await?)
    }

    /// Everything as it is at this instant; writers are not kept waiting.
    pub async fn view(&self) -> Result<Tables, StoreError> {
        let dialect = self.dialect();
        let begin = match dialect {
            Dialect::Sqlite => "BEGIN",
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        };
        Ok(Tables { transaction: self.pool().begin_with(begin).await?, dialect })
    }

    /// Everything, to be written; alone among writers, and undone unless [`Tables::commit`] is reached.
    pub async fn overwrite(&self) -> Result<Tables, StoreError> {
        Ok(Tables { transaction: self.begin().await?, dialect: self.dialect() })
    }
}

#[cfg(test)]
impl Store {
    /// As if a later version of this program had added its last step.
    pub async fn forget_the_last_step(&self) {
        let sql = "DELETE FROM _sqlx_migrations WHERE version = (SELECT MAX(version) FROM _sqlx_migrations)";
        sqlx::query(sql).execute(self.pool()).await.unwrap();
    }
}

impl Tables {
    /// All tables, those that others refer to first. What the schema's versions are kept in is not one of them.
    pub async fn list(&mut self) -> Result<Vec<Table>, StoreError> {
        let names = match self.dialect {
            Dialect::Sqlite => {
                "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' \
                 AND name <> '_sqlx_migrations' ORDER BY name"
            }
            Dialect::Postgres => {
                "SELECT CAST(tablename AS TEXT) AS name FROM pg_tables WHERE schemaname = current_schema() \
                 AND tablename <> '_sqlx_migrations' ORDER BY 1"
            }
        };
        let references = match self.dialect {
            Dialect::Sqlite => {
                "SELECT m.name AS from_table, f.\"table\" AS to_table FROM sqlite_master m \
                 JOIN pragma_foreign_key_list(m.name) f WHERE m.type = 'table'"
            }
            Dialect::Postgres => {
                "SELECT CAST(a.relname AS TEXT) AS from_table, CAST(b.relname AS TEXT) AS to_table \
                 FROM pg_constraint c JOIN pg_class a ON a.oid = c.conrelid JOIN pg_class b ON b.oid = c.confrelid \
                 WHERE c.contype = 'f'"
            }
        };
        let names: Vec<String> = sqlx::query_scalar(names).fetch_all(self.connection()).await?;
        let references = sqlx::query(references).fetch_all(self.connection()).await?;
        let references: BTreeSet<(String, String)> = references
            .iter()
            .map(|row| Ok((row.try_get("from_table")?, row.try_get("to_table")?)))
            .collect::<Result<_, sqlx::Error>>()?;
        let mut tables = Vec::new();
        for name in in_order(names, &references) {
            tables.push(self.describe(name).await?);
        }
        Ok(tables)
    }

    async fn describe(&mut self, name: String) -> Result<Table, StoreError> {
        let sql = match self.dialect {
            Dialect::Sqlite => "SELECT name, lower(type) AS type FROM pragma_table_info($1) ORDER BY cid",
            Dialect::Postgres => {
                "SELECT CAST(column_name AS TEXT) AS name, CAST(data_type AS TEXT) AS type \
                 FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 \
                 ORDER BY ordinal_position"
            }
        };
        let rows = sqlx::query(sql).bind(&name).fetch_all(self.connection()).await?;
        let column = |row: &AnyRow| {
            let kind = match row.try_get::<String, _>("type")?.as_str() {
                "bigint" => Type::Integer,
                "text" => Type::Text,
                _ => return Err(StoreError::Damaged { what: "schema: a column is neither TEXT nor BIGINT" }),
            };
            Ok((row.try_get("name")?, kind))
        };
        Ok(Table { columns: rows.iter().map(column).collect::<Result<_, StoreError>>()?, name })
    }

    /// Calls `each` with every row of `table`, one after another.
    pub async fn read<E: From<StoreError>>(
        &mut self,
        table: &Table,
        mut each: impl FnMut(Map<String, Value>) -> Result<(), E>,
    ) -> Result<(), E> {
        let sql = format!("SELECT {} FROM \"{}\"", table.columns(), table.name);
        let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut *self.transaction);
        while let Some(row) = rows.try_next().await.map_err(StoreError::from)? {
            each(object(table, &row)?)?;
        }
        Ok(())
    }

    /// Adds rows, at most [`ROWS_PER_INSERT`].
    pub async fn write(&mut self, table: &Table, rows: &[Map<String, Value>]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let values = placeholders(rows.len(), table.columns.len());
        let sql = format!("INSERT INTO \"{}\" ({}) VALUES {values}", table.name, table.columns());
        let mut query = sqlx::query(AssertSqlSafe(sql));
        for row in rows {
            for (name, kind) in &table.columns {
                let value = row.get(name).unwrap_or(&Value::Null);
                query = match kind {
                    Type::Integer => query.bind(value.as_i64()),
                    Type::Text => query.bind(value.as_str().map(str::to_owned)),
                };
            }
        }
        query.execute(self.connection()).await?;
        Ok(())
    }

    /// Whether no table holds anything but what the schema puts there.
    pub async fn is_empty(&mut self) -> Result<bool, StoreError> {
        Ok(self.filled().await?.iter().all(|table| FILLED_BY_SCHEMA.contains(&table.name())))
    }

    /// Deletes what the schema put into an empty database, so that everything can be written.
    pub async fn clear(&mut self) -> Result<(), StoreError> {
        for table in self.filled().await? {
            self.execute(format!("DELETE FROM \"{}\"", table.name)).await?;
        }
        Ok(())
    }

    async fn filled(&mut self) -> Result<Vec<Table>, StoreError> {
        let mut filled = Vec::new();
        for table in self.list().await? {
            let sql = format!("SELECT 1 FROM \"{}\" LIMIT 1", table.name);
            if sqlx::query(AssertSqlSafe(sql)).fetch_optional(self.connection()).await?.is_some() {
                filled.push(table);
            }
        }
        Ok(filled)
    }

    /// Drops all tables and makes them anew, the only way to empty those that are append-only.
    pub async fn make_anew(&mut self) -> Result<(), StoreError> {
        for table in self.list().await?.into_iter().rev() {
            self.execute(format!("DROP TABLE \"{}\"", table.name)).await?;
        }
        self.execute("DROP TABLE _sqlx_migrations".to_owned()).await?;
        if self.dialect == Dialect::Postgres {
            self.execute("DROP FUNCTION refuse_change()".to_owned()).await?;
        }
        let migrator = migration::migrator(self.dialect);
        migrator.run_direct(None, self.connection(), false).await.map_err(StoreError::Schema)
    }

    /// Begins a line of revisions in what was restored: what it publishes from here on is not what was published under the
    /// same numbers before.
    pub async fn begin_line(&mut self, at: UnixSeconds, why: &str) -> Result<(Revision, Lineage), StoreError> {
        let newest: Option<i64> =
            sqlx::query_scalar("SELECT MAX(number) FROM revision").fetch_one(self.connection()).await?;
        let newest = from_sql(newest.unwrap_or(0))?;
        let line = NewLine { at, after: None, why };
        let lineage = lineage::begin(self.connection(), line, Revision(newest.0.saturating_add(1))).await?;
        Ok((newest, lineage))
    }

    /// Ends every session and token; returns how many there were.
    pub async fn end_bearers(&mut self) -> Result<u64, StoreError> {
        let ended = sqlx::query("DELETE FROM bearer").execute(self.connection()).await?;
        sqlx::query("DELETE FROM oidc_login").execute(self.connection()).await?;
        Ok(ended.rows_affected())
    }

    /// Appends an entry to the audit.
    pub async fn record(&mut self, attempt: Attempt) -> Result<(), StoreError> {
        audit::append(self.connection(), attempt).await
    }

    /// Makes what was written last.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.transaction.commit().await?)
    }

    async fn execute(&mut self, sql: String) -> Result<(), StoreError> {
        sqlx::query(AssertSqlSafe(sql)).execute(self.connection()).await?;
        Ok(())
    }

    fn connection(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

fn object(table: &Table, row: &AnyRow) -> Result<Map<String, Value>, StoreError> {
    let column = |(name, kind): &(String, Type)| {
        let value = match kind {
            Type::Integer => row.try_get::<Option<i64>, _>(name.as_str())?.map(Value::from),
            Type::Text => row.try_get::<Option<String>, _>(name.as_str())?.map(Value::from),
        };
        Ok((name.clone(), value.unwrap_or(Value::Null)))
    };
    table.columns.iter().map(column).collect()
}

/// The names, each after those it refers to. What refers to itself or round in a circle comes last.
fn in_order(names: Vec<String>, references: &BTreeSet<(String, String)>) -> Vec<String> {
    let (mut ordered, mut left) = (Vec::<String>::new(), names);
    loop {
        let waits =
            |name: &String| references.iter().any(|(from, to)| from == name && to != name && !ordered.contains(to));
        let (later, now): (Vec<_>, Vec<_>) = left.into_iter().partition(waits);
        if now.is_empty() {
            ordered.extend(later);
            return ordered;
        }
        ordered.extend(now);
        left = later;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_comes_after_those_it_refers_to() {
        let references = [("a", "b"), ("b", "c"), ("c", "c")];
        let references = references.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let names = ["a", "b", "c", "d"].map(String::from).to_vec();
        assert_eq!(in_order(names, &references), ["c", "d", "b", "a"]);
    }
}
