//! Maintenance notices: announced ahead of time, listed, called off.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::Kind;
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::api::body::{Body, Query, segment};
use crate::api::needs::Needs;
use crate::api::problem::{Code, Problem, ProblemBody};
use crate::desired::connection;
use crate::operator::right;
use crate::registry::application::filled;
use crate::registry::notice::{self, Notice, PAGE_MAX, TEXT_CHARS_MAX};
use crate::runtime::now;

/// A notice to announce.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NoticeAdded {
    /// The document of the agency it is for; for all agencies when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agency: Option<AgencyId>,
    /// When the work starts, in RFC 3339.
    #[schema(value_type = String)]
    starts: UnixSeconds,
    /// When it ends, in RFC 3339.
    #[schema(value_type = String)]
    ends: UnixSeconds,
    /// The text in Vietnamese.
    text: String,
    /// The text in English.
    #[serde(default)]
    text_en: String,
}

/// A notice.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeBody {
    /// Its number.
    number: u64,
    /// The document of the agency it is for; absent when it is for all.
    agency: Option<String>,
    /// `ahead`, `underway`, `over` or `cancelled`.
    state: &'static str,
    /// When the work starts.
    starts: String,
    /// When it ends.
    ends: String,
    /// The text in Vietnamese.
    text: String,
    /// The text in English; empty when there is none.
    text_en: String,
    /// When it was announced.
    published_at: String,
    /// When it was called off.
    cancelled_at: Option<String>,
}

impl NoticeBody {
    fn new(notice: Notice, now: UnixSeconds) -> Self {
        let state = notice.standing(now).label();
        let Notice { number, agency, starts, ends, text, text_en, author: _, published_at, cancelled_at } = notice;
        Self {
            number,
            agency: agency.map(String::from),
            state,
            starts: starts.to_string(),
            ends: ends.to_string(),
            text,
            text_en,
            published_at: published_at.to_string(),
            cancelled_at: cancelled_at.map(|at| at.to_string()),
        }
    }
}

/// Which notices.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct NoticeQuery {
    /// Also those whose work is over.
    #[serde(default)]
    all: bool,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many; 200 at most and when absent.
    limit: Option<u32>,
}

/// One page of notices.
#[derive(Debug, Serialize, ToSchema)]
pub struct NoticeList {
    /// The soonest first.
    notices: Vec<NoticeBody>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Notices whose work is ahead or underway, the soonest first: those to one's own agency, and those to all.
#[utoipa::path(
    get, path = "/v1/notices", params(NoticeQuery),
    security(("operator_token" = ["look"])),
    responses((status = 200, description = "One page", body = NoticeList))
)]
pub async fn list(needs: Needs<right::Look>, Query(query): Query<NoticeQuery>) -> Result<Json<NoticeList>, Problem> {
    let NoticeQuery { all, after, limit } = query;
    let place = |text: &str| {
        let (starts, number) = text.split_once('.')?;
        Some((UnixSeconds(starts.parse().ok()?), number.parse().ok()?))
    };
    let unknown = |text: String| Problem::malformed(format!("`after={text}` is not the `next` of a page"));
    let after = after.map(|text| place(&text).ok_or_else(|| unknown(text))).transpose()?;
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let now = now();
    let ends_after = if all { UnixSeconds(i64::MIN) } else { now };
    // One more than the page holds tells whether there is another page.
    let reader = needs.operator().agency();
    let mut found = needs.desired.store().notices(ends_after, reader, after, limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > wanted;
    found.truncate(wanted);
    let next = found.last().filter(|_| more).map(|last| format!("{}.{}", last.starts.0, last.number));
    Ok(Json(NoticeList { notices: found.into_iter().map(|notice| NoticeBody::new(notice, now)).collect(), next }))
}

/// Announces maintenance to one agency or to all of them.
#[utoipa::path(
    post, path = "/v1/notices", request_body = NoticeAdded,
    security(("operator_token" = ["register"])),
    responses(
        (status = 201, description = "It is announced", body = NoticeBody),
        (status = 400, description = "It cannot be meant", body = ProblemBody),
        (status = 404, description = "There is no such agency", body = ProblemBody),
    )
)]
pub async fn add(
    needs: Needs<right::Register>,
    Body(NoticeAdded { agency, starts, ends, text, text_en }): Body<NoticeAdded>,
) -> Result<(StatusCode, Json<NoticeBody>), Problem> {
    let now = needs.trail().at();
    notice::check(starts, ends, now).map_err(|error| Problem::malformed(error.to_string()))?;
    let malformed = |error: crate::registry::application::InvalidText| Problem::malformed(error.to_string());
    let text =
        filled("text", &text, TEXT_CHARS_MAX, "what is done and what does not work meanwhile").map_err(malformed)?;
    let text_en = match text_en.trim() {
        "" => String::new(),
        english => filled("text_en", english, TEXT_CHARS_MAX, "the same in English").map_err(malformed)?,
    };
    if let Some(agency) = &agency {
        let key = connection::key(Kind::Agency, agency.as_str())?;
        needs.desired.current().get(&key).ok_or_else(|| Problem::not_found(&format!("`{key}`")))?;
        needs.trail().about(key.to_string());
    }
    let author = needs.operator().name().to_owned();
    let mut notice =
        Notice { number: 0, agency, starts, ends, text, text_en, author, published_at: now, cancelled_at: None };
    notice.number = needs.desired.store().add_notice(&notice, needs.trail()).await?;
    Ok((StatusCode::CREATED, Json(NoticeBody::new(notice, now))))
}

/// Calls announced maintenance off; the notice stays, marked as cancelled.
#[utoipa::path(
    post, path = "/v1/notices/{number}/cancel", params(("number" = u64, Path)),
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "It is called off", body = NoticeBody),
        (status = 404, description = "There is none", body = ProblemBody),
        (status = 409, description = "It was called off before", body = ProblemBody),
    )
)]
pub async fn cancel(needs: Needs<right::Register>, Path(number): Path<String>) -> Result<Json<NoticeBody>, Problem> {
    let number: u64 = segment(&number, "notice")?;
    needs.trail().about(format!("notice {number}"));
    let (store, now) = (needs.desired.store(), needs.trail().at());
    let missing = || Problem::not_found(&format!("notice `{number}`; `lgspctl notice list` shows them"));
    store.notice(number).await?.ok_or_else(missing)?;
    if !store.cancel_notice(number, needs.operator().name(), needs.trail()).await? {
        let detail = format!("notice {number} was called off before");
        return Err(Problem::new(Code::NotNow, detail, "`lgspctl notice list` shows it."));
    }
    let notice = store.notice(number).await?.ok_or_else(missing)?;
    Ok(Json(NoticeBody::new(notice, now)))
}
