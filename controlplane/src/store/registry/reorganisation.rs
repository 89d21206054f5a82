//! Reorganisations and what became of which code.

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::Revision;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::{Store, StoreError};
use super::{next_number, number_from_sql, number_to_sql, revision_from_sql};
use crate::audit::Trail;
use crate::registry::application::Decision;
use crate::registry::reorganisation::{Reorganisation, State, Succession};

/// The most reorganisations on one page; about 1 KiB each, a split of hundreds of systems more.
pub const REORGANISATIONS_PAGE_MAX: u32 = 200;
/// The most that are carried out in one go.
const DUE_MAX: i64 = 100;

impl Store {
    /// Reorganisations, newest first.
    pub async fn reorganisations(&self, before: Option<u64>, limit: u32) -> Result<Vec<Reorganisation>, StoreError> {
        let rows = sqlx::query("SELECT * FROM reorganisation WHERE number < $1 ORDER BY number DESC LIMIT $2")
            .bind(before.map_or(i64::MAX, number_to_sql))
            .bind(i64::from(limit.clamp(1, REORGANISATIONS_PAGE_MAX)))
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(reorganisation).collect()
    }

    /// One reorganisation.
    pub async fn reorganisation(&self, number: u64) -> Result<Option<Reorganisation>, StoreError> {
        let row = sqlx::query("SELECT * FROM reorganisation WHERE number = $1")
            .bind(number_to_sql(number))
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(reorganisation).transpose()
    }

    /// Those whose day has come, the earliest first.
    pub async fn reorganisations_due(&self, now: UnixSeconds) -> Result<Vec<Reorganisation>, StoreError> {
        let rows = sqlx::query(
            "SELECT * FROM reorganisation WHERE state = 'scheduled' AND effective <= $1 \
             ORDER BY effective, number LIMIT $2",
        )
        .bind(now.0)
        .bind(DUE_MAX)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(reorganisation).collect()
    }

    /// The number of the next one; entered at the same instant by another, it is refused.
    pub async fn next_reorganisation(&self) -> Result<u64, StoreError> {
        let mut connection = self.pool().acquire().await?;
        number_from_sql(next_number(&mut connection, "SELECT MAX(number) FROM reorganisation").await?)
    }

    /// Schedules one.
    pub async fn schedule_reorganisation(&self, one: &Reorganisation, trail: &Trail) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        insert(&mut transaction, one, None).await?;
        super::finish(transaction, trail, &json!({"reorganisation": one.number, "effective": one.effective})).await
    }

    /// Ends or holds one that was not carried out; `failure` says why when it could not be. False when it was neither
    /// scheduled nor held any more.
    pub async fn end_reorganisation(
        &self,
        number: u64,
        state: State,
        failure: Option<&str>,
        trail: &Trail,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let ended =
            sqlx::query("UPDATE reorganisation SET state = $1, failure = $2 WHERE number = $3 AND state IN ('scheduled', 'held') AND state <> $1")
                .bind(state.label())
                .bind(failure)
                .bind(number_to_sql(number))
                .execute(&mut *transaction)
                .await?;
        if ended.rows_affected() == 0 {
            return Ok(false);
        }
        let after = json!({"reorganisation": number, "state": state.label(), "failure": failure});
        super::finish(transaction, trail, &after).await?;
        Ok(true)
    }

    /// Schedules one that was held again, in the name of who resumes it. False when it was not held.
    pub async fn resume_reorganisation(&self, number: u64, author: &str, trail: &Trail) -> Result<bool, StoreError> {
        let mut transaction = self.begin().await?;
        let resumed = sqlx::query(
            "UPDATE reorganisation SET state = 'scheduled', failure = NULL, author = $1 \
             WHERE number = $2 AND state = 'held'",
        )
        .bind(author)
        .bind(number_to_sql(number))
        .execute(&mut *transaction)
        .await?;
        if resumed.rows_affected() == 0 {
            return Ok(false);
        }
        super::finish(transaction, trail, &json!({"reorganisation": number, "author": author})).await?;
        Ok(true)
    }

    /// What became of a code.
    pub async fn successions_from(&self, code: &AgencyCode) -> Result<Vec<Succession>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM succession WHERE code_before = $1 ORDER BY made_at, reorganisation, place")
                .bind(code.as_str())
                .fetch_all(self.pool())
                .await?;
        rows.iter().map(succession).collect()
    }

    /// What a code came from.
    pub async fn successions_to(&self, code: &AgencyCode) -> Result<Vec<Succession>, StoreError> {
        let rows =
            sqlx::query("SELECT * FROM succession WHERE code_after = $1 ORDER BY made_at, reorganisation, place")
                .bind(code.as_str())
                .fetch_all(self.pool())
                .await?;
        rows.iter().map(succession).collect()
    }
}

async fn insert(
    connection: &mut AnyConnection,
    one: &Reorganisation,
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    let operation =
        serde_json::to_string(&one.operation).map_err(|_| StoreError::Damaged { what: "reorganisation" })?;
    let inserted = sqlx::query(
        "INSERT INTO reorganisation (number, state, operation, effective, alias_until, reason, letter, author, \
         made_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (number) DO NOTHING",
    )
    .bind(number_to_sql(one.number))
    .bind(one.state.label())
    .bind(operation)
    .bind(one.effective.0)
    .bind(one.alias_until.0)
    .bind(one.decision.reason())
    .bind(one.decision.letter())
    .bind(&one.author)
    .bind(one.created_at.0)
    .bind(revision.map(|revision| number_to_sql(revision.0)))
    .execute(connection)
    .await?;
    if inserted.rows_affected() == 0 {
        let what = "another reorganisation was entered at the same instant; enter this one again".to_owned();
        return Err(StoreError::Moved { what });
    }
    Ok(())
}

/// Notes that one was carried out, and fails when it no longer is scheduled, so that none happens twice; one that
/// begins as applied is entered.
pub(super) async fn carried_out(
    connection: &mut AnyConnection,
    one: &Reorganisation,
    successions: &[Succession],
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    let number = one.number;
    if one.state == State::Applied {
        insert(connection, one, revision).await?;
    } else {
        let applied = sqlx::query(
            "UPDATE reorganisation SET state = 'applied', revision = $1 WHERE number = $2 AND state = 'scheduled'",
        )
        .bind(revision.map(|revision| number_to_sql(revision.0)))
        .bind(number_to_sql(number))
        .execute(&mut *connection)
        .await?;
        if applied.rows_affected() == 0 {
            return Err(StoreError::Moved { what: format!("reorganisation {number} is no longer scheduled") });
        }
    }
    for (place, succession) in (1_i64..).zip(successions) {
        let Succession { old, new, operation, reorganisation: _, at, alias_until } = succession;
        sqlx::query(
            "INSERT INTO succession (reorganisation, place, code_before, code_after, operation, made_at, alias_until) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
        )
        .bind(number_to_sql(number))
        .bind(place)
        .bind(old.as_str())
        .bind(new.as_ref().map(AgencyCode::as_str))
        .bind(operation)
        .bind(at.0)
        .bind(alias_until.0)
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

fn reorganisation(row: &AnyRow) -> Result<Reorganisation, StoreError> {
    let damaged = || StoreError::Damaged { what: "reorganisation" };
    let (operation, reason, letter): (String, String, String) =
        (row.try_get("operation")?, row.try_get("reason")?, row.try_get("letter")?);
    Ok(Reorganisation {
        number: number_from_sql(row.try_get("number")?)?,
        state: State::parse(row.try_get("state")?).ok_or_else(damaged)?,
        operation: serde_json::from_str(&operation).map_err(|_| damaged())?,
        effective: UnixSeconds(row.try_get("effective")?),
        alias_until: UnixSeconds(row.try_get("alias_until")?),
        decision: Decision::new(&reason, &letter).map_err(|_| damaged())?,
        author: row.try_get("author")?,
        created_at: UnixSeconds(row.try_get("made_at")?),
        revision: revision_from_sql(row.try_get("revision")?)?,
        error: row.try_get("failure")?,
    })
}

fn succession(row: &AnyRow) -> Result<Succession, StoreError> {
    let damaged = |_| StoreError::Damaged { what: "succession" };
    let new: Option<String> = row.try_get("code_after")?;
    Ok(Succession {
        old: row.try_get::<String, _>("code_before")?.parse().map_err(damaged)?,
        new: new.map(|code| code.parse()).transpose().map_err(damaged)?,
        operation: row.try_get("operation")?,
        reorganisation: number_from_sql(row.try_get("reorganisation")?)?,
        at: UnixSeconds(row.try_get("made_at")?),
        alias_until: UnixSeconds(row.try_get("alias_until")?),
    })
}
