//! Applications and their history.

use lgsp_shared::id::{Revision, SystemId};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;
use sqlx::AnyConnection;
use sqlx::Row;
use sqlx::any::AnyRow;

use super::super::built::Built;
use super::super::{Store, StoreError};
use super::{next_number, number_from_sql, number_to_sql, revision_from_sql};
use crate::audit::Trail;
use crate::registry::application::{Action, Application, State, Step, Submission};
use crate::registry::directory::Identity;

/// The most applications on one page; about 1 KiB each.
pub const APPLICATIONS_PAGE_MAX: u32 = 200;

/// Which applications.
#[derive(Debug, Clone, Default)]
pub struct Applications {
    /// Only in this state.
    pub state: Option<State>,
    /// Only for this system.
    pub system: Option<SystemId>,
    /// Only of this agency, under whichever code it was handed in.
    pub agency: Option<Identity>,
    /// Only below this number.
    pub before: Option<u64>,
    /// At most so many; [`APPLICATIONS_PAGE_MAX`] at most.
    pub limit: u32,
}

impl Store {
    /// Applications, newest first.
    pub async fn applications(&self, which: &Applications) -> Result<Vec<Application>, StoreError> {
        let Applications { state, system, agency, before, limit } = which;
        let mut sql =
            Built::new("SELECT number, state, request, submitted_at, identity FROM application WHERE number < ");
        sql.number(before.map_or(i64::MAX, number_to_sql));
        if let Some(state) = state {
            sql.push(" AND state = ").text(state.label());
        }
        if let Some(system) = system {
            sql.push(" AND system = ").text(system.as_str());
        }
        if let Some(agency) = agency {
            sql.push(" AND identity = ").number(agency.0);
        }
        sql.push(" ORDER BY number DESC LIMIT ").number(i64::from((*limit).clamp(1, APPLICATIONS_PAGE_MAX)));
        let rows = sql.query().fetch_all(self.pool()).await?;
        rows.iter().map(application).collect()
    }

    /// One application.
    pub async fn application(&self, number: u64) -> Result<Option<Application>, StoreError> {
        let row =
            sqlx::query("SELECT number, state, request, submitted_at, identity FROM application WHERE number = $1")
                .bind(number_to_sql(number))
                .fetch_optional(self.pool())
                .await?;
        row.as_ref().map(application).transpose()
    }

    /// What was done to an application, in order.
    pub async fn application_steps(&self, number: u64) -> Result<Vec<Step>, StoreError> {
        let rows = sqlx::query(
            "SELECT action, actor, made_at, reason, letter, revision FROM application_step WHERE application = $1 \
             ORDER BY place",
        )
        .bind(number_to_sql(number))
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(step).collect()
    }

    /// Hands an application in and returns its number; refused while another one for the same system is open.
    pub async fn submit_application(
        &self,
        submission: &Submission,
        by: &Step,
        trail: &Trail,
    ) -> Result<u64, StoreError> {
        let mut transaction = self.begin().await?;
        let number = number_from_sql(submit(&mut transaction, submission, by).await?)?;
        super::finish(transaction, trail, &json!({"application": number})).await?;
        Ok(number)
    }
}

async fn submit(connection: &mut AnyConnection, submission: &Submission, by: &Step) -> Result<i64, StoreError> {
    let Submission { request, contacts } = submission;
    let open: Option<i64> =
        sqlx::query_scalar("SELECT number FROM application WHERE system = $1 AND state IN ('submitted', 'reviewing')")
            .bind(request.system.as_str())
            .fetch_optional(&mut *connection)
            .await?;
    if let Some(open) = open {
        let what = format!("application {open} for `System/{}` is open; it has to be decided first", request.system);
        return Err(StoreError::Moved { what });
    }
    let number = next_number(connection, "SELECT MAX(number) FROM application").await?;
    let text = serde_json::to_string(request).map_err(|_| StoreError::Damaged { what: "application" })?;
    sqlx::query(
        "INSERT INTO application (number, state, agency, system, request, submitted_at, identity) \
         VALUES ($1, $2, $3, $4, $5, $6, (SELECT identity FROM agency WHERE code = $3))",
    )
    .bind(number)
    .bind(State::Submitted.label())
    .bind(request.agency.as_str())
    .bind(request.system.as_str())
    .bind(text)
    .bind(by.at.0)
    .execute(&mut *connection)
    .await?;
    super::contact::put(connection, &contacts_of(number_from_sql(number)?), contacts).await?;
    insert_step(connection, number, by, None).await?;
    Ok(number)
}

/// Whose contacts those of an application are.
pub fn contacts_of(application: u64) -> String {
    format!("Application/{application}")
}

/// Takes a step, when the application is still in the state it was seen in.
pub(super) async fn take(
    connection: &mut AnyConnection,
    application: u64,
    from: State,
    step: &Step,
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    let what =
        |error: &dyn std::fmt::Display| StoreError::Moved { what: format!("application {application}: {error}") };
    let to = from.after(step.action).map_err(|error| what(&error))?;
    let number = number_to_sql(application);
    let moved = sqlx::query("UPDATE application SET state = $1 WHERE number = $2 AND state = $3")
        .bind(to.label())
        .bind(number)
        .bind(from.label())
        .execute(&mut *connection)
        .await?;
    if moved.rows_affected() == 0 {
        return Err(what(&"somebody else decided in the meantime"));
    }
    insert_step(connection, number, step, revision).await
}

async fn insert_step(
    connection: &mut AnyConnection,
    application: i64,
    step: &Step,
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    let Step { action, actor, at, reason, letter, revision: _ } = step;
    let place: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM application_step WHERE application = $1")
        .bind(application)
        .fetch_one(&mut *connection)
        .await?;
    sqlx::query(
        "INSERT INTO application_step (application, place, action, actor, made_at, reason, letter, revision) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(application)
    .bind(place.saturating_add(1))
    .bind(action.label())
    .bind(actor)
    .bind(at.0)
    .bind(reason)
    .bind(letter)
    .bind(revision.map(|revision| number_to_sql(revision.0)))
    .execute(connection)
    .await?;
    Ok(())
}

fn application(row: &AnyRow) -> Result<Application, StoreError> {
    let damaged = || StoreError::Damaged { what: "application" };
    let request: String = row.try_get("request")?;
    Ok(Application {
        number: number_from_sql(row.try_get("number")?)?,
        state: State::parse(row.try_get("state")?).ok_or_else(damaged)?,
        request: serde_json::from_str(&request).map_err(|_| damaged())?,
        submitted_at: UnixSeconds(row.try_get("submitted_at")?),
        agency: row.try_get::<Option<i64>, _>("identity")?.map(Identity),
    })
}

fn step(row: &AnyRow) -> Result<Step, StoreError> {
    Ok(Step {
        action: Action::parse(row.try_get("action")?).ok_or(StoreError::Damaged { what: "application's step" })?,
        actor: row.try_get("actor")?,
        at: UnixSeconds(row.try_get("made_at")?),
        reason: row.try_get("reason")?,
        letter: row.try_get("letter")?,
        revision: revision_from_sql(row.try_get("revision")?)?,
    })
}
