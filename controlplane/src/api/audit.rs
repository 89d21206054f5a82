//! The audit, by page. Reading it is audited.

use axum::Json;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::needs::Needs;
use super::problem::Problem;
use crate::audit::Entry;
use crate::operator::right;
use crate::store::{AUDIT_PAGE_MAX, AuditHead, AuditPage};

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct AuditQuery {
    /// Those after this number, oldest first.
    after: Option<u64>,
    /// Those before this number, newest first; without either, the newest.
    before: Option<u64>,
    /// At most so many; 1000 at most.
    limit: Option<u32>,
}

/// One page of the audit.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditList {
    /// The number of the last entry there was; 0 before the first.
    head: u64,
    /// Its hash: keep it elsewhere, and `lgspctl audit verify --head` finds out whether the audit was cut off before it.
    head_hash: String,
    /// The entries.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Entry>,
}

/// Who attempted what, and what became of it.
#[utoipa::path(
    get, path = "/v1/audit", params(AuditQuery), security(("operator_token" = ["audit"])),
    responses((status = 200, description = "One page", body = AuditList))
)]
pub async fn list(needs: Needs<right::Audit>, Query(query): Query<AuditQuery>) -> Result<Json<AuditList>, Problem> {
    let AuditQuery { after, before, limit } = query;
    let page = match (after, before) {
        (Some(_), Some(_)) => return Err(Problem::malformed("`after` and `before` exclude each other")),
        (Some(after), None) => AuditPage::After(after),
        (None, before) => AuditPage::Before(before),
    };
    needs.trail().reads();
    needs.trail().about("the audit");
    let store = needs.desired.store();
    let AuditHead { number: head, hash: head_hash } = store.audit_head().await?;
    let entries = store.audit_page(page, limit.unwrap_or(AUDIT_PAGE_MAX)).await?;
    Ok(Json(AuditList { head, head_hash, entries }))
}
