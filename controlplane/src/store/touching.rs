//! Which revisions changed certain documents, and how many: one query, however many documents there are.

use lgsp_shared::id::Revision;
use lgsp_shared::resource::ResourceKey;
use serde_json::json;
use sqlx::Row;

use super::revision::revision_row;
use super::{Dialect, HISTORY_PAGE_MAX, RevisionRow, Store, StoreError, to_sql};

/// A revision, and how much of what it changed is among the documents that were asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touching {
    /// The revision.
    pub row: RevisionRow,
    /// Whether it changed nothing else.
    pub nothing_else: bool,
}

/// The keys as a table, from one text of JSON: a list of placeholders would be bounded by the database.
const KEYS_SQLITE: &str =
    "(SELECT json_extract(value, '$.k') AS kind, json_extract(value, '$.n') AS name FROM json_each($1))";
const KEYS_POSTGRES: &str =
    "(SELECT x.k AS kind, x.n AS name FROM jsonb_to_recordset(CAST($1 AS jsonb)) AS x(k text, n text))";

impl Store {
    /// Revisions below `before` that changed one of `keys`, newest first; at most `limit`. One query, which costs one look
    /// in an index for each key.
    pub async fn touching(
        &self,
        keys: impl Iterator<Item = &ResourceKey>,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<Touching>, StoreError> {
        let keys: Vec<_> = keys.map(|key| json!({"k": key.kind.as_str(), "n": key.name.as_str()})).collect();
        let table = match self.dialect() {
            Dialect::Sqlite => KEYS_SQLITE,
            Dialect::Postgres => KEYS_POSTGRES,
        };
        let sql = format!(
            "WITH seen AS (SELECT c.revision AS revision, COUNT(*) AS seen FROM {table} AS k \
                           JOIN revision_change c ON c.kind = k.kind AND c.name = k.name \
                           WHERE c.revision < $2 GROUP BY c.revision ORDER BY c.revision DESC LIMIT $3) \
             SELECT r.*, s.seen, \
                    (SELECT COUNT(*) FROM revision_change d WHERE d.revision = r.number) AS changed \
             FROM seen s JOIN revision r ON r.number = s.revision ORDER BY r.number DESC"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(serde_json::Value::from(keys).to_string())
            .bind(before.map_or(i64::MAX, to_sql))
            .bind(i64::from(limit.min(HISTORY_PAGE_MAX)))
            .fetch_all(self.pool())
            .await?;
        let read = |row: &sqlx::any::AnyRow| {
            let (seen, changed): (i64, i64) = (row.try_get("seen")?, row.try_get("changed")?);
            Ok(Touching { row: revision_row(row)?, nothing_else: seen == changed })
        };
        rows.iter().map(read).collect()
    }
}
