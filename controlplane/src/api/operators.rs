//! Operators: who there is, and what they are trusted with.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::Response;
use lgsp_shared::id::{AgencyId, ResourceName};
use lgsp_shared::resource::{Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Rooms;
use super::body::{Body, Query, segment};
use super::login::no_store;
use super::needs::Needs;
use super::problem::{Code, Problem, ProblemBody};
use crate::desired::ownership::Namespace;
use crate::operator::manage::{self, Account};
use crate::operator::{BearerKind, Operator, Role, factor, right};
use crate::store::{Also, Forgets, OperatorRow};

/// The longest identity, in characters.
const IDENTITY_CHARS_MAX: usize = 200;

/// One page of operators.
#[derive(Debug, Serialize, ToSchema)]
pub struct OperatorList {
    /// By name.
    #[schema(value_type = Vec<Object>)]
    operators: Vec<serde_json::Value>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct OperatorQuery {
    /// Only after this name.
    #[serde(default)]
    after: String,
}

/// The operators, without their secrets; of one agency for its administrator.
#[utoipa::path(
    get, path = "/v1/operators", params(OperatorQuery), security(("operator_token" = ["operators"])),
    responses((status = 200, description = "One page", body = OperatorList))
)]
pub async fn list(
    needs: Needs<right::Operators>,
    Query(OperatorQuery { after }): Query<OperatorQuery>,
) -> Result<Json<OperatorList>, Problem> {
    let rows = needs.desired.store().operators(needs.operator().agency(), &after).await?;
    let full = rows.len() >= usize::try_from(crate::store::OPERATOR_PAGE_MAX).unwrap_or(usize::MAX);
    let next = rows.last().filter(|_| full).map(|last| last.name.to_string());
    Ok(Json(OperatorList { operators: rows.iter().map(OperatorRow::public).collect(), next }))
}

/// Somebody new.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AddBody {
    /// The name.
    #[schema(value_type = String)]
    name: ResourceName,
    /// The roles, such as `service-administrator`.
    #[serde(default)]
    roles: Vec<String>,
    /// The agency beyond which nothing is seen or done.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    agency: Option<AgencyId>,
    /// What the identity provider calls this operator; without it there is no login through one.
    #[serde(default)]
    identity: Option<String>,
    /// Whether there is no login with a password.
    #[serde(default)]
    without_password: bool,
}

/// An operator, and a password that was just made.
#[derive(Serialize, ToSchema)]
pub struct MadeOperator {
    /// The operator.
    #[schema(value_type = Object)]
    operator: serde_json::Value,
    /// To be changed at the first login. Shown now and never again.
    password: Option<String>,
}

/// A token makes nothing that outlives it: no operator, no password, no right. So one that leaked ends when it ends.
fn by_no_token(needs: &Needs<right::Operators>) -> Result<(), Problem> {
    if needs.known().bearer.kind == BearerKind::Token {
        let detail = "a token adds no operators and gives them neither rights nor passwords, for they would outlive it";
        return Err(Problem::new(Code::Forbidden, detail, "Log in: `lgspctl login`."));
    }
    Ok(())
}

/// Adds an operator, with a password that has to be changed at the first login.
#[utoipa::path(
    post, path = "/v1/operators", request_body = AddBody, security(("operator_token" = ["operators"])),
    responses(
        (status = 201, description = "Added", body = MadeOperator),
        (status = 404, description = "There is no such agency", body = ProblemBody),
        (status = 409, description = "The name or the identity is taken", body = ProblemBody),
    )
)]
pub async fn add(needs: Needs<right::Operators>, Body(body): Body<AddBody>) -> Result<Response, Problem> {
    let AddBody { name, roles, agency, identity, without_password } = body;
    let roles = read_roles(&roles)?;
    needs.trail().about(format!("operator {name}"));
    by_no_token(&needs)?;
    manage::may_make(needs.operator(), Account { name: &name, roles: &roles, agency: agency.as_ref() })?;
    agency_exists(&needs, agency.as_ref())?;
    may_name_identity(needs.operator(), identity.as_deref())?;
    if identity.as_ref().is_some_and(|it| it.is_empty() || it.chars().count() > IDENTITY_CHARS_MAX) {
        return Err(Problem::malformed(format!("`identity` is empty, or longer than {IDENTITY_CHARS_MAX} characters")));
    }
    let mut row = OperatorRow::new(name, roles, agency, needs.trail().at());
    row.identity = identity;
    let mut shown = None;
    if !without_password {
        let (text, hash) = needs.accounts.random_password().await?;
        (row.password, row.must_change, shown) = (Some(hash), true, Some(text));
    }
    if !needs.desired.store().add_operator(&row, needs.trail()).await? {
        let detail = format!("the name `{}` or the identity is taken", row.name);
        return Err(Problem::new(Code::NotNow, detail, "`lgspctl operator list` shows all of them."));
    }
    Ok(no_store(StatusCode::CREATED, MadeOperator { operator: row.public(), password: shown }))
}

/// Roles.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolesBody {
    /// Such as `service-administrator`.
    roles: Vec<String>,
}

/// Adds roles.
#[utoipa::path(
    post, path = "/v1/operators/{name}/grant", params(("name" = String, Path)), request_body = RolesBody,
    security(("operator_token" = ["operators"])),
    responses(
        (status = 200, description = "The operator", body = MadeOperator),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn grant(
    needs: Needs<right::Operators>,
    Path(name): Path<String>,
    Body(body): Body<RolesBody>,
) -> Result<Response, Problem> {
    let roles = read_roles(&body.roles)?;
    needs.trail().about(format!("operator {name}"));
    by_no_token(&needs)?;
    change(&needs, &name, move |row| {
        row.roles.extend(&roles);
        Also::default()
    })
    .await
}

/// Takes roles away; sessions and tokens of the operator lose them at once.
#[utoipa::path(
    post, path = "/v1/operators/{name}/revoke", params(("name" = String, Path)), request_body = RolesBody,
    security(("operator_token" = ["operators"])),
    responses(
        (status = 200, description = "The operator", body = MadeOperator),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn revoke(
    needs: Needs<right::Operators>,
    Path(name): Path<String>,
    Body(body): Body<RolesBody>,
) -> Result<Response, Problem> {
    let roles = read_roles(&body.roles)?;
    change(&needs, &name, move |row| {
        row.roles.retain(|role| !roles.contains(role));
        Also::default()
    })
    .await
}

/// Ends every session and token of an operator, and lets none begin.
#[utoipa::path(
    post, path = "/v1/operators/{name}/disable", params(("name" = String, Path)),
    security(("operator_token" = ["operators"])),
    responses(
        (status = 200, description = "The operator", body = MadeOperator),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn disable(needs: Needs<right::Operators>, Path(name): Path<String>) -> Result<Response, Problem> {
    change(&needs, &name, |row| {
        row.disabled = true;
        Also { ends_sessions: true, ends_tokens: true, ..Also::default() }
    })
    .await
}

/// Lets an operator that was disabled log in again; no session and no token of before comes back.
#[utoipa::path(
    post, path = "/v1/operators/{name}/enable", params(("name" = String, Path)),
    security(("operator_token" = ["operators"])),
    responses(
        (status = 200, description = "The operator", body = MadeOperator),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn enable(needs: Needs<right::Operators>, Path(name): Path<String>) -> Result<Response, Problem> {
    needs.trail().about(format!("operator {name}"));
    by_no_token(&needs)?;
    change(&needs, &name, |row| {
        row.disabled = false;
        Also::default()
    })
    .await
}

/// What is made anew.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResetBody {
    /// Whether the second factor goes too.
    #[serde(default)]
    second_factor: bool,
}

/// Gives an operator a new password, to be changed at the next login; all sessions and tokens end.
#[utoipa::path(
    post, path = "/v1/operators/{name}/reset-password", params(("name" = String, Path)), request_body = ResetBody,
    security(("operator_token" = ["operators"])),
    responses(
        (status = 200, description = "The operator and the password", body = MadeOperator),
        (status = 404, description = "There is none", body = ProblemBody),
    )
)]
pub async fn reset_password(
    needs: Needs<right::Operators>,
    Path(name): Path<String>,
    Body(ResetBody { second_factor }): Body<ResetBody>,
) -> Result<Response, Problem> {
    needs.trail().about(format!("operator {name}"));
    by_no_token(&needs)?;
    let (text, hash) = needs.accounts.random_password().await?;
    let made = change_row(&needs, &name, move |row| {
        row.password = Some(hash);
        row.must_change = true;
        if second_factor {
            factor::forget(row);
        }
        let codes = second_factor.then(Vec::new);
        Also { ends_sessions: true, ends_tokens: true, codes, forgets: Forgets::Everything, ..Also::default() }
    });
    let operator = made.await?.public();
    Ok(no_store(StatusCode::OK, MadeOperator { operator, password: Some(text) }))
}

async fn change(
    needs: &Needs<right::Operators>,
    name: &str,
    change: impl FnOnce(&mut OperatorRow) -> Also + Send,
) -> Result<Response, Problem> {
    let operator = change_row(needs, name, change).await?.public();
    Ok(no_store(StatusCode::OK, MadeOperator { operator, password: None }))
}

/// Changes an account within the reach of whoever asks: as it is, and as it becomes.
async fn change_row(
    needs: &Needs<right::Operators>,
    name: &str,
    change: impl FnOnce(&mut OperatorRow) -> Also + Send,
) -> Result<OperatorRow, Problem> {
    let name: ResourceName = segment(name, "operator")?;
    needs.trail().about(format!("operator {name}"));
    let actor: Operator = needs.operator().clone();
    let changed = needs.desired.store().change_operator(&name, needs.trail(), move |row| {
        manage::may_manage(&actor, account(row))?;
        let also = change(row);
        manage::may_make(&actor, account(row))?;
        Ok::<_, Problem>(also)
    });
    changed.await?.ok_or_else(|| Problem::from(manage::Beyond::Unknown(name.to_string())))
}

/// Who logs in through the identity provider as whom is the platform's to say: an identity belongs to one operator, and the
/// first to name it would keep it.
fn may_name_identity(actor: &Operator, identity: Option<&str>) -> Result<(), Problem> {
    let open = Namespace::Identity.is_open_to_agencies();
    match (identity, actor.agency()) {
        (Some(_), Some(agency)) if !open => Err(Problem::new(
            Code::Forbidden,
            format!("`identity` is not for operators of `Agency/{agency}` to name"),
            "Leave it out, or ask a system administrator to add the operator.",
        )),
        (Some(_) | None, Some(_) | None) => Ok(()),
    }
}

fn account(row: &OperatorRow) -> Account<'_> {
    Account { name: &row.name, roles: &row.roles, agency: row.agency.as_ref() }
}

/// Reads roles, or says which are known.
pub fn read_roles(roles: &[String]) -> Result<BTreeSet<Role>, Problem> {
    roles.iter().map(|role| role.parse().map_err(|error| Problem::malformed(format!("`roles`: {error}")))).collect()
}

/// Refuses an agency that the current revision does not have.
pub fn agency_exists(rooms: &Rooms, agency: Option<&AgencyId>) -> Result<(), Problem> {
    let Some(agency) = agency else { return Ok(()) };
    let key = agency.as_str().parse().map(|name| ResourceKey { kind: Kind::Agency, name });
    let there = key.is_ok_and(|key| rooms.desired.current().get(&key).is_some());
    if there { Ok(()) } else { Err(Problem::not_found(&format!("`Agency/{agency}`; apply it first"))) }
}
