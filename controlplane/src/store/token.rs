//! Operator tokens: only their hashes are kept.

use lgsp_shared::timestamp::UnixSeconds;
use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// All operator tokens, by name, as hexadecimal SHA-256.
    pub async fn token_hashes(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT name, hash FROM operator_token ORDER BY name").fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("hash")?))).collect()
    }

    /// Keeps a token's hash under `name`, in place of an earlier one.
    pub async fn put_token_hash(&self, name: &str, hash: &str, now: UnixSeconds) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO operator_token (name, hash, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT (name) DO UPDATE SET hash = excluded.hash, created_at = excluded.created_at",
        )
        .bind(name)
        .bind(hash)
        .bind(now.0)
        .execute(self.pool())
        .await?;
        Ok(())
    }
}
