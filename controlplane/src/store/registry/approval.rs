//! Which systems may have keys.

use lgsp_shared::id::SystemId;
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::AnyConnection;
use sqlx::Row;

use super::super::{Store, StoreError};
use super::{Rule, number_from_sql, number_to_sql};
use crate::registry::application::Step;

/// That keys may be made for a system, or that they no longer may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// The application it came from; none when it was approved directly.
    pub application: Option<u64>,
    /// Who approved.
    pub actor: String,
    /// When.
    pub at: UnixSeconds,
    /// Why.
    pub reason: String,
    /// In which official letter.
    pub letter: String,
    /// When, by whom and why it was withdrawn.
    pub withdrawn: Option<Withdrawal>,
}

/// The end of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withdrawal {
    /// When.
    pub at: UnixSeconds,
    /// By whom.
    pub actor: String,
    /// Why.
    pub reason: String,
}

impl Rule {
    /// Whether keys may be made under this rule.
    pub fn allows(self, approval: Option<&Approval>) -> bool {
        match (self, approval) {
            (_, Some(approval)) => approval.withdrawn.is_none(),
            (Rule::Approved, None) => false,
            (Rule::NotWithdrawn, None) => true,
        }
    }
}

impl Store {
    /// A system's approval; none when there never was one.
    pub async fn approval(&self, system: &SystemId) -> Result<Option<Approval>, StoreError> {
        let mut connection = self.pool().acquire().await?;
        find(&mut connection, system).await
    }
}

async fn find(connection: &mut AnyConnection, system: &SystemId) -> Result<Option<Approval>, StoreError> {
    let row = sqlx::query("SELECT * FROM approval WHERE system = $1")
        .bind(system.as_str())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let withdrawn = match row.try_get::<Option<i64>, _>("withdrawn_at")? {
        Some(at) => Some(Withdrawal {
            at: UnixSeconds(at),
            actor: row.try_get::<Option<String>, _>("withdrawn_by")?.unwrap_or_default(),
            reason: row.try_get::<Option<String>, _>("withdrawn_reason")?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Some(Approval {
        application: row.try_get::<Option<i64>, _>("application")?.map(number_from_sql).transpose()?,
        actor: row.try_get("actor")?,
        at: UnixSeconds(row.try_get("made_at")?),
        reason: row.try_get("reason")?,
        letter: row.try_get("letter")?,
        withdrawn,
    }))
}

/// Fails when no key may be made for the system.
pub(super) async fn insist(connection: &mut AnyConnection, system: &SystemId, rule: Rule) -> Result<(), StoreError> {
    let approval = find(connection, system).await?;
    if rule.allows(approval.as_ref()) { Ok(()) } else { Err(StoreError::NotApproved { system: system.clone() }) }
}

/// Fails when the system's connection was cancelled.
pub(super) async fn insist_connected(connection: &mut AnyConnection, system: &SystemId) -> Result<(), StoreError> {
    match insist(connection, system, Rule::NotWithdrawn).await {
        Err(StoreError::NotApproved { system }) => Err(StoreError::Cancelled { system }),
        other => other,
    }
}

pub(super) async fn approve(
    connection: &mut AnyConnection,
    system: &SystemId,
    application: Option<u64>,
    step: &Step,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approval (system, application, actor, made_at, reason, letter) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (system) DO UPDATE SET application = excluded.application, actor = excluded.actor, \
         made_at = excluded.made_at, reason = excluded.reason, letter = excluded.letter, \
         withdrawn_at = NULL, withdrawn_by = NULL, withdrawn_reason = NULL",
    )
    .bind(system.as_str())
    .bind(application.map(number_to_sql))
    .bind(&step.actor)
    .bind(step.at.0)
    .bind(&step.reason)
    .bind(&step.letter)
    .execute(connection)
    .await?;
    Ok(())
}

/// Withdraws an approval; a system without one gets a withdrawn one, so that no rule takes it for approved. Who withdrew
/// it first stays noted.
pub(super) async fn withdraw(connection: &mut AnyConnection, system: &SystemId, step: &Step) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO approval (system, actor, made_at, reason, letter, withdrawn_at, withdrawn_by, withdrawn_reason) \
         VALUES ($1, $2, $3, $4, $5, $3, $2, $4) \
         ON CONFLICT (system) DO UPDATE SET withdrawn_at = excluded.withdrawn_at, \
         withdrawn_by = excluded.withdrawn_by, withdrawn_reason = excluded.withdrawn_reason \
         WHERE approval.withdrawn_at IS NULL",
    )
    .bind(system.as_str())
    .bind(&step.actor)
    .bind(step.at.0)
    .bind(&step.reason)
    .bind(&step.letter)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets an approval that was not withdrawn.
pub(super) async fn forget(connection: &mut AnyConnection, system: &SystemId) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM approval WHERE system = $1 AND withdrawn_at IS NULL")
        .bind(system.as_str())
        .execute(connection)
        .await?;
    Ok(())
}
