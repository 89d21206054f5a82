//! How an operator becomes known, and stops being so.

use std::sync::PoisonError;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::needs::{Needs, Open};
use super::problem::{Code, Problem, ProblemBody};
use crate::audit::Trail;
use crate::operator::accounts::Begun;
use crate::operator::password::Password;
use crate::operator::right;

/// Who, and the proof.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LoginBody {
    /// The operator's name.
    name: String,
    /// The password.
    #[schema(value_type = String)]
    password: Password,
    /// Six digits of the second factor, or a recovery code; only where there is one.
    #[serde(default)]
    code: Option<String>,
}

/// A session that was just begun.
#[derive(Serialize, ToSchema)]
pub struct SessionBody {
    /// Send it as `Authorization: Bearer …`. Shown now and never again.
    token: String,
    /// Who it is.
    operator: String,
    /// When it ends whatever happens, in RFC 3339; earlier when it is not used.
    expires_at: Option<String>,
    /// Whether nothing can be done before the password is changed.
    must_change_password: bool,
}

/// What a login answers; no cache keeps it.
pub fn begun(begun: Begun) -> Response {
    let Begun { token, bearer, operator } = begun;
    let expires_at = bearer.expires_at.map(|end| end.to_string());
    let must_change_password = operator.must_change;
    let body = SessionBody { token, operator: operator.name.to_string(), expires_at, must_change_password };
    no_store(StatusCode::CREATED, body)
}

/// An answer that holds a secret.
pub fn no_store(status: StatusCode, body: impl Serialize) -> Response {
    let mut response = (status, Json(body)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// An attempt to log in. A source that tries too often is refused before anything is computed for it.
pub fn attempt(open: &Open) -> Result<&Trail, Problem> {
    let trail = open.trail()?;
    let mut logins = open.allowances.logins.lock().unwrap_or_else(PoisonError::into_inner);
    match logins.take(trail.source(), trail.at()) {
        Some(_) => Ok(trail),
        None => {
            let detail = "there were too many logins from this address";
            Err(Problem::new(Code::TooMany, detail, "Wait a few seconds, then try again."))
        }
    }
}

/// Begins a session. Refusals say the same whatever the reason, but for a missing second factor.
#[utoipa::path(
    post, path = "/v1/login", request_body = LoginBody, security(()),
    responses(
        (status = 201, description = "The session", body = SessionBody),
        (status = 400, description = "The request is not understood", body = ProblemBody),
        (status = 401, description = "Refused, or a code is needed", body = ProblemBody),
        (status = 429, description = "Too many from this address", body = ProblemBody),
        (status = 503, description = "Too many at a time", body = ProblemBody),
    )
)]
pub async fn login(open: Open, Body(body): Body<LoginBody>) -> Result<Response, Problem> {
    let LoginBody { name, password, code } = body;
    Ok(begun(open.accounts.login(&name, password, code.as_deref(), attempt(&open)?).await?))
}

/// Ends the session that asks.
#[utoipa::path(
    post, path = "/v1/logout", security(("operator_token" = ["myself"])),
    responses(
        (status = 204, description = "It is over"),
        (status = 409, description = "It is no session", body = ProblemBody),
    )
)]
pub async fn logout(needs: Needs<right::Myself>) -> Result<StatusCode, Problem> {
    needs.accounts.logout(&needs.known().bearer, needs.trail()).await?;
    Ok(StatusCode::NO_CONTENT)
}
