//! What operators do with their own account.

use axum::Json;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::body::Body;
use super::login::no_store;
use super::needs::Needs;
use super::problem::{Problem, ProblemBody};
use crate::operator::factor::Enrolment;
use crate::operator::password::Password;
use crate::operator::{Right, right};

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct MeBody {
    /// The name.
    name: String,
    /// The roles that count now.
    roles: Vec<&'static str>,
    /// The agency beyond which nothing is seen or done.
    agency: Option<String>,
    /// What can be done.
    rights: Vec<&'static str>,
    /// `session`, `token` or `first`, and what it is called.
    bearer: String,
    /// When it ends, in RFC 3339.
    expires_at: Option<String>,
    /// Whether nothing can be done before the password is changed.
    must_change_password: bool,
}

/// Who asks, and what they may do.
#[utoipa::path(
    get, path = "/v1/me", security(("operator_token" = ["myself"])),
    responses((status = 200, description = "Who asks", body = MeBody))
)]
pub async fn whoami(needs: Needs<right::Myself>) -> Json<MeBody> {
    let (operator, known) = (needs.operator(), needs.known());
    let allowed = |right: &Right| operator.may(*right) && (!known.must_change || *right == Right::Myself);
    Json(MeBody {
        name: operator.name().to_owned(),
        roles: operator.roles().iter().map(|role| role.label()).collect(),
        agency: operator.agency().map(ToString::to_string),
        rights: Right::ALL.iter().filter(|right| allowed(right)).map(|right| right.label()).collect(),
        bearer: format!("{} {}", known.bearer.kind.label(), known.bearer.id),
        expires_at: known.bearer.expires_at.map(|end| end.to_string()),
        must_change_password: known.must_change,
    })
}

/// The password and the next one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordBody {
    /// The password as it is.
    #[schema(value_type = String)]
    old: Password,
    /// As it is to be: 12 characters or more, without the operator's name.
    #[schema(value_type = String)]
    new: Password,
}

/// Changes one's own password; all other sessions end.
#[utoipa::path(
    post, path = "/v1/me/password", request_body = PasswordBody, security(("operator_token" = ["myself"])),
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "The new one is too weak", body = ProblemBody),
        (status = 409, description = "Only a session can do this", body = ProblemBody),
    )
)]
pub async fn password(needs: Needs<right::Myself>, Body(body): Body<PasswordBody>) -> Result<StatusCode, Problem> {
    let PasswordBody { old, new } = body;
    needs.trail().about(format!("operator {}", needs.operator().name()));
    needs.accounts.change_password(needs.known(), old, new, needs.trail()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Proof that it is still the same person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnrolBody {
    /// The password.
    #[schema(value_type = String)]
    password: Password,
}

/// The key of a second factor. Shown now and never again.
#[derive(Serialize, ToSchema)]
pub struct EnrolmentBody {
    /// The key in base32, to type.
    key: String,
    /// The key as an `otpauth://` address, to scan as a QR code.
    uri: String,
}

/// Draws the key of a second factor, which counts once a code of it is confirmed.
#[utoipa::path(
    post, path = "/v1/me/factor", request_body = EnrolBody, security(("operator_token" = ["myself"])),
    responses(
        (status = 201, description = "The key", body = EnrolmentBody),
        (status = 409, description = "There is one, or this is no session", body = ProblemBody),
    )
)]
pub async fn enrol(needs: Needs<right::Myself>, Body(body): Body<EnrolBody>) -> Result<Response, Problem> {
    needs.trail().about(format!("operator {}", needs.operator().name()));
    let Enrolment { key, uri } = needs.accounts.enrol_factor(needs.known(), body.password, needs.trail()).await?;
    Ok(no_store(StatusCode::CREATED, EnrolmentBody { key, uri }))
}

/// A code of the new second factor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfirmBody {
    /// Six digits.
    code: String,
}

/// What replaces a second factor that is lost. Each is good once; shown now and never again.
#[derive(Serialize, ToSchema)]
pub struct RecoveryBody {
    /// The codes.
    recovery_codes: Vec<String>,
}

/// Asks for the second factor at every login from now on.
#[utoipa::path(
    post, path = "/v1/me/factor/confirm", request_body = ConfirmBody, security(("operator_token" = ["myself"])),
    responses(
        (status = 200, description = "The recovery codes", body = RecoveryBody),
        (status = 409, description = "There is nothing to confirm", body = ProblemBody),
    )
)]
pub async fn confirm(needs: Needs<right::Myself>, Body(body): Body<ConfirmBody>) -> Result<Response, Problem> {
    needs.trail().about(format!("operator {}", needs.operator().name()));
    let recovery_codes = needs.accounts.confirm_factor(needs.known(), &body.code, needs.trail()).await?;
    Ok(no_store(StatusCode::OK, RecoveryBody { recovery_codes }))
}

/// Proof that it is still the same person, second factor included.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveBody {
    /// The password.
    #[schema(value_type = String)]
    password: Password,
    /// Six digits, or a recovery code.
    code: String,
}

/// Takes the second factor away.
#[utoipa::path(
    post, path = "/v1/me/factor/remove", request_body = RemoveBody, security(("operator_token" = ["myself"])),
    responses(
        (status = 204, description = "It is not asked for any more"),
        (status = 409, description = "This is no session", body = ProblemBody),
    )
)]
pub async fn remove(needs: Needs<right::Myself>, Body(body): Body<RemoveBody>) -> Result<StatusCode, Problem> {
    let RemoveBody { password, code } = body;
    needs.trail().about(format!("operator {}", needs.operator().name()));
    needs.accounts.remove_factor(needs.known(), password, &code, needs.trail()).await?;
    Ok(StatusCode::NO_CONTENT)
}
