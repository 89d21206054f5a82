//! Maintenance notices.

use lgsp_shared::id::AgencyId;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::built::Built;
use super::super::{Store, StoreError};
use super::{next_number, number_from_sql, number_to_sql};
use crate::audit::Trail;
use crate::registry::notice::{Notice, PAGE_MAX};

impl Store {
    /// Notices whose work ends after `ends_after`, the soonest first; those that were called off included. Whoever is
    /// bound to an agency is given those to it and those to all. Only those after a start and a number.
    pub async fn notices(
        &self,
        ends_after: UnixSeconds,
        reader: Option<&AgencyId>,
        after: Option<(UnixSeconds, u64)>,
        limit: u32,
    ) -> Result<Vec<Notice>, StoreError> {
        let mut sql = Built::new("SELECT * FROM notice WHERE ends > ");
        sql.number(ends_after.0);
        if let Some(agency) = reader {
            sql.push(" AND (agency IS NULL OR agency = ").text(agency.as_str()).push(")");
        }
        if let Some((starts, number)) = after {
            sql.push(" AND (starts, number) > (").number(starts.0).push(", ").number(number_to_sql(number)).push(")");
        }
        sql.push(" ORDER BY starts, number LIMIT ").number(i64::from(limit.clamp(1, PAGE_MAX + 1)));
        let rows = sql.query().fetch_all(self.pool()).await?;
        rows.iter().map(notice).collect()
    }

    /// One notice.
    pub async fn notice(&self, number: u64) -> Result<Option<Notice>, StoreError> {
        let row = sqlx::query("SELECT * FROM notice WHERE number = $1")
            .bind(number_to_sql(number))
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(notice).transpose()
    }

    /// Keeps a notice and returns its number.
    pub async fn add_notice(&self, one: &Notice, trail: &Trail) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let number = next_number(&mut transaction, "SELECT MAX(number) FROM notice").await?;
        sqlx::query(
            "INSERT INTO notice (number, agency, starts, ends, text_vi, text_en, author, published_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(number)
        .bind(one.agency.as_ref().map(AgencyId::as_str))
        .bind(one.starts.0)
        .bind(one.ends.0)
        .bind(&one.text)
        .bind(&one.text_en)
        .bind(&one.author)
        .bind(one.published_at.0)
        .execute(&mut *transaction)
        .await?;
        let number = number_from_sql(number)?;
        super::finish(transaction, trail, &json!({"notice": number})).await?;
        Ok(number)
    }

    /// Calls a notice off; false when that was done before.
    pub async fn cancel_notice(&self, number: u64, by: &str, trail: &Trail) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let cancelled = sqlx::query(
            "UPDATE notice SET cancelled_at = $1, cancelled_by = $2 WHERE number = $3 AND cancelled_at IS NULL",
        )
        .bind(trail.at().0)
        .bind(by)
        .bind(number_to_sql(number))
        .execute(&mut *transaction)
        .await?;
        if cancelled.rows_affected() == 0 {
            return Ok(false);
        }
        super::finish(transaction, trail, &json!({"notice": number})).await?;
        Ok(true)
    }
}

fn notice(row: &AnyRow) -> Result<Notice, StoreError> {
    let agency: Option<String> = row.try_get("agency")?;
    Ok(Notice {
        number: number_from_sql(row.try_get("number")?)?,
        agency: agency.map(|name| name.parse()).transpose().map_err(|_| StoreError::Damaged { what: "notice" })?,
        starts: UnixSeconds(row.try_get("starts")?),
        ends: UnixSeconds(row.try_get("ends")?),
        text: row.try_get("text_vi")?,
        text_en: row.try_get("text_en")?,
        author: row.try_get("author")?,
        published_at: UnixSeconds(row.try_get("published_at")?),
        cancelled_at: row.try_get::<Option<i64>, _>("cancelled_at")?.map(UnixSeconds),
    })
}
