//! When credentials were last used: a row per access key, always the latest.

use std::collections::BTreeMap;

use lgsp_shared::id::AccessKey;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// When each access key was last used, as far as was kept.
    pub async fn credential_uses(&self) -> Result<BTreeMap<AccessKey, UnixSeconds>, StoreError> {
        let rows = sqlx::query("SELECT access_key, used_at FROM credential_use").fetch_all(self.pool()).await?;
        let use_of = |row: &sqlx::any::AnyRow| {
            let key: String = row.try_get("access_key")?;
            let key = key.parse().map_err(|_| StoreError::Damaged { what: "access key" })?;
            Ok((key, UnixSeconds(row.try_get("used_at")?)))
        };
        rows.iter().map(use_of).collect()
    }

    /// Keeps these uses, each unless a later one is kept already.
    pub async fn keep_credential_uses(&self, uses: &[(AccessKey, UnixSeconds)]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for (key, at) in uses {
            sqlx::query(
                "INSERT INTO credential_use (access_key, used_at) VALUES ($1, $2) \
                 ON CONFLICT (access_key) DO UPDATE SET used_at = excluded.used_at \
                 WHERE excluded.used_at > credential_use.used_at",
            )
            .bind(key.as_str())
            .bind(at.0)
            .execute(&mut *transaction)
            .await?;
        }
        transaction.commit().await?;
        Ok(())
    }
}
