//! Which revisions changed certain documents, and how many.

use std::collections::BTreeMap;

use lgsp_shared::id::Revision;
use lgsp_shared::resource::ResourceKey;
use sqlx::Row;

use super::{HISTORY_PAGE_MAX, Store, StoreError, from_sql, to_sql};

impl Store {
    /// Revisions below `before` that changed one of `keys`, newest first, and how many of the keys each changed; at most
    /// `limit`. Costs one look by key for each of them.
    pub async fn touching(
        &self,
        keys: impl Iterator<Item = &ResourceKey>,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<(Revision, usize)>, StoreError> {
        let mut found: BTreeMap<i64, usize> = BTreeMap::new();
        for key in keys {
            let rows =
                sqlx::query("SELECT revision FROM revision_change WHERE kind = $1 AND name = $2 AND revision < $3")
                    .bind(key.kind.as_str())
                    .bind(key.name.as_str())
                    .bind(before.map_or(i64::MAX, to_sql))
                    .fetch_all(self.pool())
                    .await?;
            for row in rows {
                *found.entry(row.try_get("revision")?).or_default() += 1;
            }
        }
        let limit = usize::try_from(limit.min(HISTORY_PAGE_MAX)).unwrap_or(usize::MAX);
        found.into_iter().rev().take(limit).map(|(number, count)| Ok((from_sql(number)?, count))).collect()
    }

    /// How many documents a revision changed.
    pub async fn change_count(&self, number: Revision) -> Result<usize, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM revision_change WHERE revision = $1")
            .bind(to_sql(number))
            .fetch_one(self.pool())
            .await?;
        usize::try_from(count).map_err(|_| StoreError::Damaged { what: "revision" })
    }
}
