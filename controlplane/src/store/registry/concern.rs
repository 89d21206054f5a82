//! Which agencies a revision concerned when it was made. What belongs to whom changes; this does not.

use std::collections::BTreeMap;

use lgsp_shared::id::{AgencyId, Revision};
use sqlx::{AnyConnection, Row};

use super::super::revision::revision_row;
use super::super::{HISTORY_PAGE_MAX, RevisionRow, Store, StoreError, to_sql};
use crate::registry::directory::Identity;

/// A revision as it concerned an agency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concern {
    /// The revision.
    pub revision: RevisionRow,
    /// Whether it changed nothing else.
    pub alone: bool,
}

impl Store {
    /// The revisions below `before` that concerned an agency when they were made, newest first, at most
    /// [`HISTORY_PAGE_MAX`]. One statement, which reads as many rows as it answers.
    pub async fn concerning(
        &self,
        identity: Identity,
        before: Option<Revision>,
        limit: u32,
    ) -> Result<Vec<Concern>, StoreError> {
        let rows = sqlx::query(
            "SELECT r.*, c.changes AS seen, (SELECT COUNT(*) FROM revision_change x WHERE x.revision = r.number) \
             AS changed FROM revision_concern c JOIN revision r ON r.number = c.revision \
             WHERE c.agency = $1 AND c.revision < $2 ORDER BY c.revision DESC LIMIT $3",
        )
        .bind(identity.0)
        .bind(before.map_or(i64::MAX, to_sql))
        .bind(i64::from(limit.min(HISTORY_PAGE_MAX)))
        .fetch_all(self.pool())
        .await?;
        let concern = |row| {
            let revision = revision_row(row)?;
            let (seen, changed): (i64, i64) = (row.try_get("seen")?, row.try_get("changed")?);
            Ok(Concern { revision, alone: seen == changed })
        };
        rows.iter().map(concern).collect()
    }
}

/// Notes how many changes of a revision concern which agency, by the names of their documents.
pub(super) async fn note(
    connection: &mut AnyConnection,
    revision: Revision,
    counts: &BTreeMap<AgencyId, u64>,
) -> Result<(), StoreError> {
    for (agency, changes) in counts {
        sqlx::query(
            "INSERT INTO revision_concern (agency, revision, changes) SELECT agency, $1, $2 FROM document_name \
             WHERE kind = 'Agency' AND name = $3",
        )
        .bind(to_sql(revision))
        .bind(i64::try_from(*changes).unwrap_or(i64::MAX))
        .bind(agency.as_str())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}
