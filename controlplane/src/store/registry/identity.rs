//! Who has a name: the name of an agency's document is that agency's for ever, and the name of a system or service that was
//! removed is left to its agency. So whatever was noted under a name never reaches another agency.

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, ServiceId, SystemId};
use lgsp_shared::resource::{Kind, ResourceKey};
use lgsp_shared::timestamp::UnixSeconds;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row};

use super::super::{Store, StoreError};
use crate::registry::directory::{Agency, FormerNames, Identity};

impl Store {
    /// Whose the name of an agency's document is.
    pub async fn identity_of(&self, document: &AgencyId) -> Result<Option<Identity>, StoreError> {
        let found = sqlx::query_scalar("SELECT agency FROM document_name WHERE kind = 'Agency' AND name = $1");
        Ok(found.bind(document.as_str()).fetch_optional(self.pool()).await?.map(Identity))
    }

    /// Names that documents of agencies had and that no document has now.
    pub async fn former_names(&self) -> Result<FormerNames, StoreError> {
        let rows = sqlx::query("SELECT name, agency FROM document_name WHERE kind = 'Agency' AND ended IS NOT NULL");
        let rows = rows.fetch_all(self.pool()).await?;
        let name = |row: &AnyRow| Ok((row.try_get("name")?, Identity(row.try_get("agency")?)));
        rows.iter().map(name).collect::<Result<_, StoreError>>().map(FormerNames)
    }

    /// The agency as it is now, under whichever code; none when it ended.
    pub async fn agency_with(&self, identity: Identity) -> Result<Option<Agency>, StoreError> {
        let found = sqlx::query("SELECT * FROM agency WHERE identity = $1 AND ended IS NULL").bind(identity.0);
        found.fetch_optional(self.pool()).await?.as_ref().map(super::agency::agency).transpose()
    }
}

/// The first of `count` numbers that were never given. Alone among writers, as every transaction of [`Store::begin`] is.
pub(super) async fn draw(connection: &mut AnyConnection, count: usize) -> Result<Identity, StoreError> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    sqlx::query("UPDATE identity_last SET last = last + $1").bind(count).execute(&mut *connection).await?;
    let last: i64 = sqlx::query_scalar("SELECT last FROM identity_last").fetch_one(connection).await?;
    Ok(Identity(last.saturating_sub(count).saturating_add(1)))
}

/// Gives an agency's document its name; refused where the name was another agency's, or where a change of the code would
/// make the document another agency's.
pub(super) async fn name_agency(
    connection: &mut AnyConnection,
    document: &AgencyId,
    identity: Identity,
    code: &AgencyCode,
) -> Result<(), StoreError> {
    let named = sqlx::query(
        "INSERT INTO document_name (kind, name, agency) VALUES ('Agency', $1, $2) ON CONFLICT (kind, name) DO UPDATE \
         SET ended = NULL WHERE document_name.agency = excluded.agency",
    )
    .bind(document.as_str())
    .bind(identity.0)
    .execute(&mut *connection)
    .await?;
    if named.rows_affected() > 0 {
        return follow(connection, document, identity).await;
    }
    let owner = sqlx::query(
        "SELECT a.code, a.ended, n.ended AS gone FROM document_name n LEFT JOIN agency a ON a.identity = n.agency \
         WHERE n.kind = 'Agency' AND n.name = $1 ORDER BY a.ended IS NOT NULL, a.ended DESC LIMIT 1",
    )
    .bind(document.as_str())
    .fetch_one(connection)
    .await?;
    let (former, gone): (Option<String>, Option<i64>) = (owner.try_get("code")?, owner.try_get("gone")?);
    let former = former.unwrap_or_else(|| "another code".to_owned());
    let what = if gone.is_some() {
        format!(
            "`Agency/{document}` was the document of agency `{former}`, and its name is given to no other agency; \
             choose another name for the document of `{code}`"
        )
    } else {
        format!(
            "`Agency/{document}` is the document of agency `{former}`, and a code changes by reorganisation only: \
             `lgspctl agency rename {former} --to {code}`"
        )
    };
    Err(StoreError::Taken { what })
}

/// What is bound to names that an agency's document had is bound to the one it has.
async fn follow(connection: &mut AnyConnection, document: &AgencyId, identity: Identity) -> Result<(), StoreError> {
    for sql in [
        "UPDATE operator SET agency = $1 WHERE agency IN (SELECT name FROM document_name \
         WHERE kind = 'Agency' AND agency = $2 AND name <> $1)",
        "UPDATE bearer SET agency = $1 WHERE agency IN (SELECT name FROM document_name \
         WHERE kind = 'Agency' AND agency = $2 AND name <> $1)",
        "UPDATE notice SET agency = $1 WHERE agency IN (SELECT name FROM document_name \
         WHERE kind = 'Agency' AND agency = $2 AND name <> $1)",
    ] {
        sqlx::query(sql).bind(document.as_str()).bind(identity.0).execute(&mut *connection).await?;
    }
    Ok(())
}

/// Gives a system its name; refused where it was a system of another agency.
pub(super) async fn name_system(
    connection: &mut AnyConnection,
    system: &SystemId,
    agency: &AgencyId,
) -> Result<(), StoreError> {
    let named = sqlx::query(
        "INSERT INTO document_name (kind, name, agency) VALUES ('System', $1, COALESCE((SELECT o.agency \
         FROM document_name o WHERE o.kind = 'Agency' AND o.name = $2), 0)) ON CONFLICT (kind, name) DO UPDATE \
         SET agency = excluded.agency, ended = NULL \
         WHERE document_name.ended IS NULL OR document_name.agency = excluded.agency",
    )
    .bind(system.as_str())
    .bind(agency.as_str())
    .execute(connection)
    .await?;
    if named.rows_affected() > 0 { Ok(()) } else { Err(left(Kind::System, system.as_str())) }
}

/// Gives a service its name; refused where it was a service of another agency.
pub(super) async fn name_service(
    connection: &mut AnyConnection,
    service: &ServiceId,
    system: &SystemId,
) -> Result<(), StoreError> {
    let named = sqlx::query(
        "INSERT INTO document_name (kind, name, agency, parent) VALUES ('Service', $1, 0, $2) \
         ON CONFLICT (kind, name) DO UPDATE SET parent = excluded.parent, ended = NULL \
         WHERE document_name.ended IS NULL OR document_name.parent = excluded.parent OR \
         (SELECT s.agency FROM document_name s WHERE s.kind = 'System' AND s.name = document_name.parent) = \
         (SELECT s.agency FROM document_name s WHERE s.kind = 'System' AND s.name = excluded.parent)",
    )
    .bind(service.as_str())
    .bind(system.as_str())
    .execute(connection)
    .await?;
    if named.rows_affected() > 0 { Ok(()) } else { Err(left(Kind::Service, service.as_str())) }
}

fn left(kind: Kind, name: &str) -> StoreError {
    let what = format!(
        "`{kind}/{name}` was another agency's and was removed; its name is given to no other agency, choose another one"
    );
    StoreError::Taken { what }
}

/// Notes that a document was removed; its name stays whose it was.
pub(super) async fn unname(
    connection: &mut AnyConnection,
    key: &ResourceKey,
    at: UnixSeconds,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE document_name SET ended = $1 WHERE kind = $2 AND name = $3")
        .bind(at.0)
        .bind(key.kind.as_str())
        .bind(key.name.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Everything noted about one agency is another's from now on: its applications, and the names its systems left.
pub(super) async fn inherit(
    connection: &mut AnyConnection,
    from: &AgencyCode,
    to: &AgencyCode,
) -> Result<(), StoreError> {
    for sql in [
        "UPDATE application SET identity = (SELECT identity FROM agency WHERE code = $1) \
         WHERE identity = (SELECT identity FROM agency WHERE code = $2)",
        "UPDATE document_name SET agency = (SELECT identity FROM agency WHERE code = $1) \
         WHERE kind = 'System' AND agency = (SELECT identity FROM agency WHERE code = $2)",
    ] {
        sqlx::query(sql).bind(to.as_str()).bind(from.as_str()).execute(&mut *connection).await?;
    }
    Ok(())
}

/// The applications for a system are another agency's from now on.
pub(super) async fn inherit_system(
    connection: &mut AnyConnection,
    system: &SystemId,
    from: &AgencyCode,
    to: &AgencyCode,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE application SET identity = (SELECT identity FROM agency WHERE code = $1) \
         WHERE system = $2 AND identity = (SELECT identity FROM agency WHERE code = $3)",
    )
    .bind(to.as_str())
    .bind(system.as_str())
    .bind(from.as_str())
    .execute(connection)
    .await?;
    Ok(())
}
