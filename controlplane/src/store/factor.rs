//! Second factors as they are kept: sealed texts, replaced by others that hold the same.

use sqlx::Row;

use super::{Store, StoreError};

impl Store {
    /// The sealed second factor of every account that has one, by name.
    pub async fn sealed_factors(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query("SELECT name, totp FROM operator WHERE totp IS NOT NULL ORDER BY name");
        let rows = rows.fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((row.try_get("name")?, row.try_get("totp")?))).collect()
    }

    /// Puts another text in place of this one; one that was changed meanwhile stays.
    pub async fn replace_sealed_factor(&self, name: &str, before: &str, after: &str) -> Result<(), StoreError> {
        sqlx::query("UPDATE operator SET totp = $1 WHERE name = $2 AND totp = $3")
            .bind(after)
            .bind(name)
            .bind(before)
            .execute(self.pool())
            .await?;
        Ok(())
    }
}
