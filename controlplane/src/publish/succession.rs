//! Taking the place of what another database, or a later time of this one, has published: a revision of a number above it,
//! the first of a new line. Only on demand.

use std::net::Ipv4Addr;
use std::sync::Arc;

use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::Head;
use lgsp_shared::seal::origin::Lineage;
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::json;

use super::PublishError;
use super::origin::Marker;
use crate::audit::Trail;
use crate::desired::{Desired, Whole};

/// A number that lies further above this database's own is not taken over from a head that nobody proves: it would use the
/// numbers up.
const UNPROVEN_LEAP_MAX: u64 = 1_000_000;

/// Makes the current content the first revision of a new line, above what `found` names.
pub async fn succeed(
    desired: &Desired,
    found: &Head,
    marker: &Marker,
    now: UnixSeconds,
) -> Result<(Arc<Whole>, Lineage), PublishError> {
    let current = desired.current().revision();
    let proven = found.proven(&marker.keys).ok();
    let is_near = found.revision.0.saturating_sub(current.0) <= UNPROVEN_LEAP_MAX;
    let above = if proven.is_some() || is_near { found.revision.max(current) } else { current };
    let after = proven.filter(|lineage| lineage.database == marker.lineage.database).map(|lineage| lineage.since);
    let trail = Trail::new(now, Ipv4Addr::LOCALHOST.into(), "publish --allow-older".to_owned(), "publish".to_owned());
    let line = found.origin.as_ref().map(|origin| origin.lineage.to_string());
    let before = json!({"published": found.revision, "hash": found.hash, "line": line});
    let next = Revision(above.0.saturating_add(1));
    desired.begin_line(next, after, &trail, &before).await.map_err(PublishError::Database)
}
