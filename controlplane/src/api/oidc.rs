//! Login through the identity provider: begun here, answered by the provider on the operator's own machine, and finished
//! here with what came back.

use axum::Json;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::login::{SessionBody, attempt, begun};
use super::needs::Open;
use super::problem::{Code, Problem, ProblemBody};
use crate::operator::oidc::{Answer, Oidc, Started};

/// Where the answer goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartBody {
    /// `http://127.0.0.1:PORT/callback`, where whoever asks listens.
    redirect_uri: String,
}

/// A login that was begun.
#[derive(Serialize, ToSchema)]
pub struct StartedBody {
    /// Where the person logs in.
    url: String,
    /// What has to come back with the answer.
    state: String,
}

/// Begins a login at the identity provider; it waits for ten minutes.
#[utoipa::path(
    post, path = "/v1/login/oidc/start", request_body = StartBody, security(()),
    responses(
        (status = 200, description = "Where to go", body = StartedBody),
        (status = 400, description = "The request is not understood", body = ProblemBody),
        (status = 409, description = "There is no provider, or too many logins are under way", body = ProblemBody),
        (status = 429, description = "Too many from this address", body = ProblemBody),
        (status = 503, description = "The provider does not answer", body = ProblemBody),
    )
)]
pub async fn start(open: Open, Body(body): Body<StartBody>) -> Result<Json<StartedBody>, Problem> {
    let trail = attempt(&open)?;
    let Started { url, state } = provider(&open)?.start(&body.redirect_uri, trail.at()).await?;
    Ok(Json(StartedBody { url, state }))
}

/// What the provider sent back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FinishBody {
    /// The state.
    state: String,
    /// The code; not needed again when the second factor was asked for.
    #[serde(default)]
    code: String,
    /// Six digits of the second factor, or a recovery code; only when it was asked for, with the same state.
    #[serde(default)]
    factor_code: Option<String>,
}

/// Begins the session of whoever logged in at the identity provider, if an operator has that identity.
#[utoipa::path(
    post, path = "/v1/login/oidc/finish", request_body = FinishBody, security(()),
    responses(
        (status = 201, description = "The session", body = SessionBody),
        (status = 400, description = "The request is not understood", body = ProblemBody),
        (status = 401, description = "Refused, or a code of the second factor is needed", body = ProblemBody),
        (status = 409, description = "There is no provider", body = ProblemBody),
        (status = 429, description = "Too many from this address", body = ProblemBody),
        (status = 503, description = "The provider does not answer", body = ProblemBody),
    )
)]
pub async fn finish(open: Open, Body(body): Body<FinishBody>) -> Result<Response, Problem> {
    let FinishBody { state, code, factor_code } = body;
    let trail = attempt(&open)?;
    let answer = Answer { code: &code, factor: factor_code.as_deref() };
    Ok(begun(provider(&open)?.finish(&open.accounts, &state, answer, trail).await?))
}

fn provider(open: &Open) -> Result<&Oidc, Problem> {
    open.oidc.as_ref().ok_or_else(|| {
        let next = "Log in with a password, or set `login.oidc` in the control plane's settings.";
        Problem::new(Code::NotNow, "no identity provider is set up", next)
    })
}
