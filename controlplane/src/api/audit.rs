//! The audit, by page. Reading it is audited.

use axum::Json;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::Query;
use super::needs::Needs;
use super::problem::Problem;
use crate::audit::Entry;
use crate::operator::right;
use crate::store::{AUDIT_PAGE_MAX, AuditFilter, AuditHead, AuditPage};

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
    /// Only what this operator attempted.
    operator: Option<String>,
    /// Only what was about something with this in its name, such as `Credential/mot-cua-1`.
    target: Option<String>,
    /// Only from this instant on, in RFC 3339.
    since: Option<String>,
    /// Only before this instant, in RFC 3339.
    until: Option<String>,
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
    /// The number to go on from, as `after` or as `before`; absent on the last page.
    next: Option<u64>,
}

/// Who attempted what, and what became of it.
#[utoipa::path(
    get, path = "/v1/audit", params(AuditQuery), security(("operator_token" = ["audit"])),
    responses((status = 200, description = "One page", body = AuditList))
)]
pub async fn list(needs: Needs<right::Audit>, Query(query): Query<AuditQuery>) -> Result<Json<AuditList>, Problem> {
    let AuditQuery { after, before, limit, operator, target, since, until } = query;
    let instant = |name: &str, text: Option<String>| {
        let wrong =
            |text: &str| Problem::malformed(format!("`{name}={text}` is not an instant such as 2026-12-05T22:00:00Z"));
        text.map(|text| UnixSeconds::parse(&text).map_err(|_| wrong(&text))).transpose()
    };
    let filter = AuditFilter { operator, target, since: instant("since", since)?, until: instant("until", until)? };
    let limit = limit.unwrap_or(AUDIT_PAGE_MAX).clamp(1, AUDIT_PAGE_MAX);
    let page = match (after, before) {
        (Some(_), Some(_)) => return Err(Problem::malformed("`after` and `before` exclude each other")),
        (Some(after), None) => AuditPage::After(after),
        (None, before) => AuditPage::Before(before),
    };
    needs.trail().reads();
    needs.trail().about("the audit");
    let store = needs.desired.store();
    let AuditHead { number: head, hash: head_hash } = store.audit_head().await?;
    let entries = store.audit_page(page, &filter, limit).await?;
    let full = u32::try_from(entries.len()).is_ok_and(|found| found == limit);
    let next = entries.last().filter(|_| full).map(|last| last.number);
    Ok(Json(AuditList { head, head_hash, entries, next }))
}
