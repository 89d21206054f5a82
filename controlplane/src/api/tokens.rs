//! Tokens for programs: never worth more than whoever makes them.

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lgsp_shared::id::{AgencyId, ResourceName};
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Body, Query};
use super::login::no_store;
use super::needs::Needs;
use super::operators::{agency_exists, read_roles};
use super::problem::{Code, Problem, ProblemBody};
use crate::operator::bearer::{BearerKind, Terms};
use crate::operator::manage::{self, Account};
use crate::operator::{Right, right};
use crate::store::{Also, BearerPlace, BearerRow};

/// How long a token lasts when nothing else is said: 90 days.
const SECS_DEFAULT: u32 = 90 * 86_400;
/// The longest: a year and a day.
const SECS_MAX: u32 = 366 * 86_400;
/// The longest name, in characters.
const TITLE_CHARS_MAX: usize = 80;
/// The most on one page; about 300 bytes each.
const LISTED_MAX: u32 = 1_000;

/// Whose.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct TokenQuery {
    /// Of everybody, which takes the right `operators` over the whole platform.
    #[serde(default)]
    all: bool,
    /// `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 at most and when absent.
    limit: Option<u32>,
}

/// Sessions and tokens, without their texts.
#[derive(Debug, Serialize, ToSchema)]
pub struct TokenList {
    /// By operator and age.
    #[schema(value_type = Vec<Object>)]
    tokens: Vec<serde_json::Value>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// One's own sessions and tokens; a token is shown itself alone.
#[utoipa::path(
    get, path = "/v1/tokens", params(TokenQuery), security(("operator_token" = ["tokens"])),
    responses((status = 200, description = "One page", body = TokenList))
)]
pub async fn list(
    needs: Needs<right::Tokens>,
    Query(TokenQuery { all, after, limit }): Query<TokenQuery>,
) -> Result<Json<TokenList>, Problem> {
    let operator = needs.operator();
    if all && !(operator.may(Right::Operators) && operator.agency().is_none()) {
        let next = "Leave `all` out to see your own.";
        return Err(Problem::new(Code::Forbidden, "you may not see the tokens of others", next));
    }
    let bearer = &needs.known().bearer;
    if !all && bearer.kind == BearerKind::Token {
        // A token is worth less than its owner: it learns of nothing else that the owner has.
        return Ok(Json(TokenList { tokens: vec![bearer.public()], next: None }));
    }
    let whose = (!all).then_some(&bearer.operator);
    let unknown = |text: String| Problem::malformed(format!("`after={text}` is not the `next` of a page"));
    let after = after.map(|text| BearerPlace::parse(&text).ok_or_else(|| unknown(text))).transpose()?;
    let limit = limit.unwrap_or(LISTED_MAX).clamp(1, LISTED_MAX);
    // One more than the page holds tells whether there is another page.
    let mut rows = needs.desired.store().bearers(whose, after.as_ref(), limit + 1).await?;
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > wanted;
    rows.truncate(wanted);
    let next = rows.last().filter(|_| more).map(|last| BearerPlace::of(last).to_string());
    Ok(Json(TokenList { tokens: rows.iter().map(BearerRow::public).collect(), next }))
}

/// What a token is worth.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueTokenBody {
    /// What to call it, such as the program that uses it.
    title: String,
    /// Roles of which one may do all they may; one's own when absent.
    #[serde(default)]
    roles: Option<Vec<String>>,
    /// An agency beyond which it is worth nothing.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agency: Option<AgencyId>,
    /// Seconds until it ends; 90 days when absent, 366 days at most.
    #[serde(default)]
    expires_secs: Option<u32>,
}

/// A token that was just made.
#[derive(Serialize, ToSchema)]
pub struct IssuedToken {
    /// Send it as `Authorization: Bearer …`. Shown now and never again.
    token: String,
    /// What it is worth.
    #[schema(value_type = Object)]
    terms: serde_json::Value,
}

/// Makes a token for whoever asks. A token makes no other tokens, so that one that leaked ends when it ends.
#[utoipa::path(
    post, path = "/v1/tokens", request_body = IssueTokenBody, security(("operator_token" = ["tokens"])),
    responses(
        (status = 201, description = "Made", body = IssuedToken),
        (status = 404, description = "There is no such agency", body = ProblemBody),
        (status = 409, description = "There are too many", body = ProblemBody),
    )
)]
pub async fn issue(needs: Needs<right::Tokens>, Body(body): Body<IssueTokenBody>) -> Result<Response, Problem> {
    let IssueTokenBody { title, roles, agency, expires_secs } = body;
    let (known, operator, now) = (needs.known(), needs.operator(), needs.trail().at());
    if known.bearer.kind == BearerKind::Token {
        return Err(Problem::new(Code::Forbidden, "a token makes no tokens", "Log in: `lgspctl login`."));
    }
    if title.is_empty() || title.chars().count() > TITLE_CHARS_MAX {
        return Err(Problem::malformed(format!("`title` is empty, or longer than {TITLE_CHARS_MAX} characters")));
    }
    let secs = expires_secs.unwrap_or(SECS_DEFAULT);
    if !(1..=SECS_MAX).contains(&secs) {
        return Err(Problem::malformed(format!("`expires_secs` of {secs} is not from 1 to {SECS_MAX}, 366 days")));
    }
    let roles = roles.map_or_else(|| Ok(operator.roles().clone()), |roles| read_roles(&roles))?;
    manage::may_carry(operator, &roles)?;
    match (operator.agency(), &agency) {
        (Some(own), Some(other)) if own != other => return Err(manage::Beyond::Agency(own.clone()).into()),
        _ => agency_exists(&needs, agency.as_ref())?,
    }
    let expires_at = Some(UnixSeconds(now.0.saturating_add(i64::from(secs))));
    let (kind, owner) = (BearerKind::Token, known.bearer.operator.clone());
    let terms = Terms { kind, operator: owner.clone(), title, roles: Some(roles), agency, expires_at, idle_secs: None };
    let random = |_| Problem::new(Code::Unavailable, "the operating system gives no random bytes", "Try again.");
    let (token, row) = terms.draw(now).map_err(random)?;
    needs.trail().about(format!("token {}", row.id));
    let terms = row.public();
    let begun = move |_: &mut _| Ok::<_, Problem>(Also { begins: Some(row), ..Also::default() });
    needs.desired.store().change_operator(&owner, needs.trail(), begun).await?;
    Ok(no_store(StatusCode::CREATED, IssuedToken { token, terms }))
}

/// Ends a session or token of one's own, or of somebody within one's reach; a token ends itself alone.
#[utoipa::path(
    post, path = "/v1/tokens/{id}/revoke", params(("id" = String, Path)), security(("operator_token" = ["tokens"])),
    responses(
        (status = 204, description = "It is over"),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn revoke(needs: Needs<right::Tokens>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let unknown = || Problem::not_found(&format!("token `{id}`; `lgspctl token list` shows yours"));
    let store = needs.desired.store();
    needs.trail().about(format!("token {id}"));
    let bearer = store.bearer_called(&id).await?.ok_or_else(unknown)?;
    let own = &needs.known().bearer;
    if own.kind == BearerKind::Token && own.hash != bearer.hash {
        return Err(Problem::new(Code::Forbidden, "a token ends itself alone", "Log in: `lgspctl login`."));
    }
    if bearer.operator != needs.known().bearer.operator {
        let owner: &ResourceName = &bearer.operator;
        let row = store.operator(owner).await?.ok_or_else(unknown)?;
        let account = Account { name: owner, roles: &row.roles, agency: row.agency.as_ref() };
        if !needs.operator().may(Right::Operators) || !manage::sees(needs.operator(), account) {
            return Err(unknown());
        }
        manage::may_manage(needs.operator(), account)?;
    }
    if store.end_bearer(&bearer, needs.trail()).await? { Ok(StatusCode::NO_CONTENT) } else { Err(unknown()) }
}
