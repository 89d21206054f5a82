//! Credentials: issued and rotated here; the secret key is in one answer and nowhere else.

use axum::Json;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lgsp_shared::id::{CredentialId, ResourceName, SystemId};
use lgsp_shared::resource::CredentialSpec;
use lgsp_shared::seal::SealKey;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::body::{Body, Query, parameter, segment};
use super::changes::ChangeResult;
use super::needs::Needs;
use super::problem::{Code, Problem, ProblemBody};
use crate::desired::credential::{self, Draw, OVERLAP_SECS_DEFAULT, OVERLAP_SECS_MAX, Overlap};
use crate::desired::{Change, ChangeError, Mode, Whole};
use crate::operator::right;
use crate::runtime::now;

const SECS_PER_DAY: i64 = 86_400;

/// A credential without its secret.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialBody {
    /// Its name.
    name: String,
    /// The system it identifies.
    system: String,
    /// Who am I: sent with every request.
    access_key: String,
    /// `active`, `retiring` or `disabled`.
    #[schema(value_type = String)]
    state: serde_json::Value,
    /// Refused before this instant.
    not_before: Option<String>,
    /// Refused from this instant on.
    not_after: Option<String>,
    /// When it was last used on any node, to the hour; absent when no node has reported a use.
    last_used: Option<String>,
    /// Whole days since then.
    unused_days: Option<i64>,
}

/// The most credentials on one page; about 300 bytes each.
const PAGE_MAX: usize = 1_000;

/// Which credentials.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CredentialQuery {
    /// Only those of this system.
    system: Option<String>,
    /// Only after this name: `next` of the page before.
    after: Option<String>,
    /// At most so many; 1000 at most and when absent.
    limit: Option<usize>,
}

/// The credentials of the current revision.
#[derive(Debug, Serialize, ToSchema)]
pub struct CredentialList {
    /// The revision they are of.
    revision: u64,
    /// By name.
    credentials: Vec<CredentialBody>,
    /// Give it as `after` for the next page; absent on the last.
    next: Option<String>,
}

/// A credential that was just made, with its secret.
#[derive(Serialize, ToSchema)]
pub struct IssuedCredential {
    /// Its name.
    name: String,
    /// The system it identifies.
    system: String,
    /// Who am I: sent with every request.
    access_key: String,
    /// The secret key; exactly this text signs. Shown now and never again.
    secret_key: String,
    /// The revision that holds it.
    revision: u64,
}

/// For whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct IssueBody {
    /// The system's name.
    #[schema(value_type = String)]
    system: SystemId,
    /// The credential's name; `<system>-<number>` when absent.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    name: Option<CredentialId>,
    /// Why, for the history.
    #[serde(default)]
    message: String,
}

/// For how long the old one stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateBody {
    /// Seconds until the old credential ends; a day when absent, 90 days at most, 0 for at once.
    #[serde(default)]
    overlap_secs: Option<u32>,
    /// Why, for the history.
    #[serde(default)]
    message: String,
}

/// Credentials, without secrets.
#[utoipa::path(
    get, path = "/v1/credentials", params(CredentialQuery), security(("operator_token" = ["look"])),
    responses((status = 200, description = "One page", body = CredentialList))
)]
pub async fn list(
    needs: Needs<right::Look>,
    Query(query): Query<CredentialQuery>,
) -> Result<Json<CredentialList>, Problem> {
    let CredentialQuery { system, after, limit } = query;
    let system: Option<SystemId> = system.map(|system| parameter("system", &system)).transpose()?;
    let after: Option<ResourceName> = after.map(|after| parameter("after", &after)).transpose()?;
    let limit = limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let whole = needs.desired.current();
    let sight = needs.sight(&whole);
    let now = now();
    needs.usage.refresh(&needs.rollout, &whole, now).await;
    let body = |(name, spec): (CredentialId, CredentialSpec)| CredentialBody {
        last_used: needs.usage.last(&spec.access_key).map(|at| at.to_string()),
        unused_days: needs.usage.last(&spec.access_key).map(|at| now.0.saturating_sub(at.0) / SECS_PER_DAY),
        name: name.to_string(),
        system: spec.system.to_string(),
        access_key: spec.access_key.to_string(),
        state: serde_json::json!(spec.state),
        not_before: spec.not_before.map(|instant| instant.to_string()),
        not_after: spec.not_after.map(|instant| instant.to_string()),
    };
    let of_system = |(_, spec): &(CredentialId, CredentialSpec)| system.as_ref().is_none_or(|one| spec.system == *one);
    let mut rest = credential::list(&whole, &sight, after.as_ref()).filter(of_system);
    let credentials: Vec<_> = rest.by_ref().take(limit).map(body).collect();
    let next = credentials.last().filter(|_| rest.next().is_some()).map(|last| last.name.clone());
    Ok(Json(CredentialList { revision: whole.revision().0, credentials, next }))
}

/// Issues a credential for a system. The secret key is in this answer and never shown again.
#[utoipa::path(
    post, path = "/v1/credentials", request_body = IssueBody, security(("operator_token" = ["keys"])),
    responses(
        (status = 201, description = "Issued", body = IssuedCredential),
        (status = 404, description = "There is no such system", body = ProblemBody),
        (status = 409, description = "The name is taken", body = ProblemBody),
    )
)]
pub async fn issue(needs: Needs<right::Keys>, Body(body): Body<IssueBody>) -> Result<Response, Problem> {
    let IssueBody { system, name, message } = body;
    let message = or_default(message, || format!("credential issue {system}"));
    needs.trail().about(format!("System/{system}"));
    let make =
        move |whole: &Whole, key: &SealKey, draw: &Draw| credential::issue(whole, key, draw, &system, name.as_ref());
    make_one(&needs, &message, make).await
}

/// Issues a successor; the old credential stays valid until the overlap ends.
#[utoipa::path(
    post, path = "/v1/credentials/{name}/rotate", params(("name" = String, Path)), request_body = RotateBody,
    security(("operator_token" = ["keys"])),
    responses(
        (status = 201, description = "The successor", body = IssuedCredential),
        (status = 404, description = "There is no such credential", body = ProblemBody),
        (status = 409, description = "It is not active", body = ProblemBody),
    )
)]
pub async fn rotate(
    needs: Needs<right::Keys>,
    Path(name): Path<String>,
    Body(body): Body<RotateBody>,
) -> Result<Response, Problem> {
    let RotateBody { overlap_secs, message } = body;
    let old: CredentialId = segment(&name, "credential")?;
    let secs = overlap_secs.unwrap_or(OVERLAP_SECS_DEFAULT);
    if secs > OVERLAP_SECS_MAX {
        let detail = format!("`overlap_secs` of {secs} is more than {OVERLAP_SECS_MAX}, 90 days");
        return Err(Problem::malformed(detail));
    }
    let message = or_default(message, || format!("credential rotate {old}"));
    needs.trail().about(format!("Credential/{old}"));
    let make = move |whole: &Whole, key: &SealKey, draw: &Draw| {
        credential::rotate(whole, key, draw, &old, Overlap { now: now(), secs })
    };
    make_one(&needs, &message, make).await
}

/// Why.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisableBody {
    /// Why, for the history.
    #[serde(default)]
    message: String,
}

/// Refuses the credential from now on: in the revision of the answer, and on every node that serves it
/// (`/v1/revisions/{revision}/arrival`).
#[utoipa::path(
    post, path = "/v1/credentials/{name}/disable", params(("name" = String, Path)), request_body = DisableBody,
    security(("operator_token" = ["keys"])),
    responses(
        (status = 200, description = "Disabled", body = ChangeResult),
        (status = 404, description = "There is no such credential", body = ProblemBody),
    )
)]
pub async fn disable(
    needs: Needs<right::Keys>,
    Path(name): Path<String>,
    Body(DisableBody { message }): Body<DisableBody>,
) -> Result<Json<ChangeResult>, Problem> {
    let name: CredentialId = segment(&name, "credential")?;
    let audit = needs.audit(&or_default(message, || format!("credential disable {name}")))?;
    needs.trail().about(format!("Credential/{name}"));
    let outcome = needs.desired.edit(Mode::Commit, audit, move |whole, _| credential::disable(whole, &name)).await?;
    Ok(Json(needs.result(outcome, Mode::Commit)))
}

fn or_default(message: String, default: impl FnOnce() -> String) -> String {
    if message.is_empty() { default() } else { message }
}

/// Draws a credential, makes the revision that holds it, and shows it once.
async fn make_one(
    needs: &Needs<right::Keys>,
    message: &str,
    make: impl Fn(&Whole, &SealKey, &Draw) -> Result<(CredentialId, Change), ChangeError> + Send + Sync + 'static,
) -> Result<Response, Problem> {
    let random = |error| {
        tracing::error!(%error, "no random bytes");
        Problem::new(Code::Unavailable, "the operating system gives no random bytes", "Try again.")
    };
    let draw = std::sync::Arc::new(Draw::random().map_err(random)?);
    let drawn = draw.clone();
    let edit = move |whole: &Whole, key: &SealKey| make(whole, key, &drawn).map(|(_, change)| change);
    let outcome = needs.desired.edit(Mode::Commit, needs.audit(message)?, edit).await?;
    let access_key = draw.access_key().map_err(|error| Problem::malformed(error.to_string()))?;
    let (name, spec) = credential::list(&outcome.whole, &needs.sight(&outcome.whole), None)
        .find(|(_, spec)| spec.access_key == access_key)
        .ok_or_else(|| Problem::not_found("credential that was just made"))?;
    let issued = IssuedCredential {
        name: name.to_string(),
        system: spec.system.to_string(),
        access_key: access_key.to_string(),
        secret_key: String::from_utf8_lossy(draw.secret().expose()).into_owned(),
        revision: outcome.whole.revision().0,
    };
    let mut response = (StatusCode::CREATED, Json(issued)).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
