//! Documents of any revision, by page or one at a time: a page costs a page, one document one query.

use lgsp_shared::id::Revision;
use lgsp_shared::resource::{Document, Kind, ResourceKey};
use sqlx::Row;
use sqlx::any::AnyRow;

use super::{Store, StoreError, to_sql};

/// Documents read at once; about 1 KiB each.
pub const PAST_PAGE_MAX: usize = 1_000;

impl Store {
    /// The documents of one kind that a revision has, by name, only those after `after`; at most [`PAST_PAGE_MAX`]. Costs
    /// one look in an index for each, and one for each that was removed between them.
    pub async fn documents_of(
        &self,
        number: Revision,
        kind: Kind,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let limit = i64::try_from(limit.clamp(1, PAST_PAGE_MAX)).unwrap_or(i64::MAX);
        let rows = sqlx::query(
            "SELECT c.kind, c.name, t.spec FROM revision_change c JOIN content t ON t.hash = c.content \
             WHERE c.kind = $1 AND c.name > $2 \
             AND c.revision = (SELECT MAX(d.revision) FROM revision_change d \
                               WHERE d.kind = c.kind AND d.name = c.name AND d.revision <= $3) \
             ORDER BY c.name LIMIT $4",
        )
        .bind(kind.as_str())
        .bind(after)
        .bind(to_sql(number))
        .bind(limit)
        .fetch_all(self.pool())
        .await?;
        rows.iter().map(document).collect()
    }

    /// One document as a revision has it.
    pub async fn document_at(&self, number: Revision, key: &ResourceKey) -> Result<Option<Document>, StoreError> {
        // A removal is the latest change too, and has no content.
        let row = sqlx::query(
            "SELECT c.kind, c.name, t.spec FROM revision_change c LEFT JOIN content t ON t.hash = c.content \
             WHERE c.kind = $1 AND c.name = $2 AND c.revision <= $3 ORDER BY c.revision DESC LIMIT 1",
        )
        .bind(key.kind.as_str())
        .bind(key.name.as_str())
        .bind(to_sql(number))
        .fetch_optional(self.pool())
        .await?;
        let Some(row) = row else { return Ok(None) };
        let removed = row.try_get::<Option<String>, _>("spec")?.is_none();
        if removed { Ok(None) } else { document(&row).map(Some) }
    }
}

fn document(row: &AnyRow) -> Result<Document, StoreError> {
    let spec: String = row.try_get("spec")?;
    let spec = serde_json::from_str(&spec).map_err(|_| StoreError::Damaged { what: "document" })?;
    Ok(Document { kind: row.try_get("kind")?, name: row.try_get("name")?, spec })
}
