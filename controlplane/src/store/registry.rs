//! What the registry keeps, and what is written together with a revision: all of it or nothing.

use std::collections::BTreeMap;

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, Revision, ServiceId, SystemId};
use lgsp_shared::resource::ResourceKey;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::Value;
use sqlx::{Any, AnyConnection, Transaction};

use super::{Store, StoreError, audit};
use crate::audit::Trail;
use crate::registry::application::{State, Step};
use crate::registry::reorganisation::{Reorganisation, Succession};

pub mod adopt;
pub mod agency;
pub mod application;
pub mod approval;
pub mod binding;
pub mod concern;
pub mod contact;
mod identity;
pub mod lineage;
pub mod notice;
pub mod reorganisation;

/// One thing to write beside a revision, or to insist on: when it does not hold, nothing is written.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Keeps an agency in the directory; refused when it ended.
    Agency {
        /// Its code.
        code: AgencyCode,
        /// Its name.
        title: String,
        /// Since when, if it is new.
        since: UnixSeconds,
    },
    /// An agency has this document now; refused when the agency ended.
    Document {
        /// The document.
        document: AgencyId,
        /// The code in it.
        code: AgencyCode,
        /// The name in it.
        title: String,
        /// Since when, if the agency is new.
        since: UnixSeconds,
    },
    /// An agency's document was removed.
    DocumentGone {
        /// The document.
        document: AgencyId,
    },
    /// An agency ends.
    AgencyEnds {
        /// Its code.
        code: AgencyCode,
        /// When.
        at: UnixSeconds,
    },
    /// The successor of a reorganisation is kept; a code that ended is another agency's from now on.
    Succeeds {
        /// Its code.
        code: AgencyCode,
        /// Its name.
        title: String,
        /// Since when, if it is new.
        since: UnixSeconds,
    },
    /// An agency has another code from now on, and stays who it is.
    Recoded {
        /// The code it had, which ends.
        from: AgencyCode,
        /// The code it has.
        to: AgencyCode,
        /// Its name.
        title: String,
        /// When.
        at: UnixSeconds,
    },
    /// The applications of an agency and the names its systems left are another's from now on.
    Inherits {
        /// Whose they were.
        from: AgencyCode,
        /// Whose they are.
        to: AgencyCode,
    },
    /// The applications for a system are another agency's from now on.
    InheritsSystem {
        /// The system.
        system: SystemId,
        /// Whose they were.
        from: AgencyCode,
        /// Whose they are.
        to: AgencyCode,
    },
    /// Operators, tokens and notices bound to an agency are bound to another, or end.
    Bound {
        /// The document of the agency they are bound to.
        from: AgencyId,
        /// The document they are bound to from now on; they end where there is none.
        to: Option<AgencyId>,
        /// By whom.
        by: String,
        /// When.
        at: UnixSeconds,
    },
    /// A system is its agency's; refused where its name was left to another agency.
    SystemOf {
        /// The system.
        system: SystemId,
        /// The document of its agency.
        agency: AgencyId,
    },
    /// A service is its system's; refused where its name was left to another agency.
    ServiceOf {
        /// The service.
        service: ServiceId,
        /// Its system.
        system: SystemId,
    },
    /// An agency, a system or a service was removed; its name is left to its agency.
    NameLeft {
        /// Which.
        key: ResourceKey,
        /// When.
        at: UnixSeconds,
    },
    /// How many changes of the revision concern which agency.
    Concerns {
        /// By the documents of agencies.
        counts: BTreeMap<AgencyId, u64>,
    },
    /// An application goes from one state to the next.
    Step {
        /// Which.
        application: u64,
        /// The state it must be in.
        from: State,
        /// What is done, by whom and why.
        step: Step,
    },
    /// Its contacts are another subject's too, when that has none.
    ContactsCopied {
        /// Whose they are.
        from: String,
        /// Whose they are too.
        to: String,
    },
    /// Keys may be made for a system.
    Approve {
        /// The system.
        system: SystemId,
        /// The application, if there was one.
        application: Option<u64>,
        /// By whom and why.
        step: Step,
    },
    /// No key may be made for a system any more.
    Withdraw {
        /// The system.
        system: SystemId,
        /// By whom and why.
        step: Step,
    },
    /// A system was removed: a later one of this name is another one, and needs its own approval. A withdrawal stays.
    Forget {
        /// The system.
        system: SystemId,
    },
    /// Insists that keys may be made for a system.
    Insist {
        /// The system.
        system: SystemId,
        /// Whether the absence of an approval is enough.
        rule: Rule,
    },
    /// Insists that a system's connection was not cancelled.
    InsistConnected {
        /// The system.
        system: SystemId,
    },
    /// A reorganisation was carried out: one that was scheduled, or one that is entered as applied.
    Reorganised {
        /// Which.
        one: Box<Reorganisation>,
        /// What became of which code.
        successions: Vec<Succession>,
    },
}

/// When keys may be made for a system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// It was approved, and the approval was not withdrawn.
    Approved,
    /// Its approval was not withdrawn: whoever applied its document approved it.
    NotWithdrawn,
}

impl Store {
    /// Writes all of it or nothing, without a revision; the audit's entry is part of it.
    pub async fn write(&self, writes: &[Write], trail: &Trail) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        write(&mut transaction, writes, None).await?;
        finish(transaction, trail, &Value::Null).await
    }

    /// Whether all of it could be written; nothing is.
    pub async fn try_write(&self, writes: &[Write]) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        let mut transaction = self.begin().await?;
        let tried = write(&mut transaction, writes, None).await;
        transaction.rollback().await?;
        tried
    }
}

/// Commits what was written, with the audit's entry.
async fn finish(mut transaction: Transaction<'_, Any>, trail: &Trail, after: &Value) -> Result<(), StoreError> {
    audit::append(&mut transaction, trail.done(&Value::Null, after, None)).await?;
    transaction.commit().await?;
    trail.set_written();
    Ok(())
}

/// Writes within a transaction, in order.
pub(super) async fn write(
    connection: &mut AnyConnection,
    writes: &[Write],
    revision: Option<Revision>,
) -> Result<(), StoreError> {
    for one in writes {
        match one {
            Write::Agency { code, title, since } => agency::put(connection, code, title, *since).await?,
            Write::Document { document, code, title, since } => {
                agency::put_document(connection, document, code, title, *since).await?;
            }
            Write::DocumentGone { document } => agency::remove_document(connection, document).await?,
            Write::AgencyEnds { code, at } => agency::end(connection, code, *at).await?,
            Write::Succeeds { code, title, since } => agency::succeed(connection, code, title, *since).await?,
            Write::Recoded { from, to, title, at } => agency::recode(connection, from, to, title, *at).await?,
            Write::Inherits { from, to } => identity::inherit(connection, from, to).await?,
            Write::InheritsSystem { system, from, to } => {
                identity::inherit_system(connection, system, from, to).await?;
            }
            Write::Bound { from, to: Some(to), by: _, at: _ } => binding::rebind(connection, from, to).await?,
            Write::Bound { from, to: None, by, at } => binding::unbind(connection, from, by, *at).await?,
            Write::SystemOf { system, agency } => identity::name_system(connection, system, agency).await?,
            Write::ServiceOf { service, system } => identity::name_service(connection, service, system).await?,
            Write::NameLeft { key, at } => identity::unname(connection, key, *at).await?,
            Write::Concerns { counts } => {
                if let Some(revision) = revision {
                    concern::note(connection, revision, counts).await?;
                }
            }
            Write::ContactsCopied { from, to } => contact::copy_to(connection, from, to).await?,
            Write::Step { application, from, step } => {
                application::take(connection, *application, *from, step, revision).await?;
            }
            Write::Approve { system, application, step } => {
                approval::approve(connection, system, *application, step).await?;
            }
            Write::Withdraw { system, step } => approval::withdraw(connection, system, step).await?,
            Write::Forget { system } => approval::forget(connection, system).await?,
            Write::Insist { system, rule } => approval::insist(connection, system, *rule).await?,
            Write::InsistConnected { system } => approval::insist_connected(connection, system).await?,
            Write::Reorganised { one, successions } => {
                reorganisation::carried_out(connection, one, successions, revision).await?;
            }
        }
    }
    Ok(())
}

/// A number as the database has it.
fn number_to_sql(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A number from the database.
fn number_from_sql(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Damaged { what: "number" })
}

/// A revision from the database.
fn revision_from_sql(number: Option<i64>) -> Result<Option<Revision>, StoreError> {
    Ok(number.map(number_from_sql).transpose()?.map(Revision))
}

/// The next number of a table whose numbers only grow; within a transaction that is alone among writers.
async fn next_number(connection: &mut AnyConnection, sql: &'static str) -> Result<i64, StoreError> {
    let last: Option<i64> = sqlx::query_scalar(sql).fetch_one(connection).await?;
    Ok(last.unwrap_or(0).saturating_add(1))
}

#[cfg(test)]
mod tests;
