//! Errors become responses here and nowhere else: problem documents (RFC 9457) with a closed set of codes.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use lgsp_shared::validate;
use serde::Serialize;
use utoipa::ToSchema;

use crate::desired::ChangeError;
use crate::operator::accounts::AccountError;
use crate::operator::manage::Beyond;
use crate::operator::oidc::{OidcError, ProviderError};
use crate::rollout::RolloutError;
use crate::store::StoreError;

/// Why a request was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// No operator token, or a wrong one.
    Unauthorized,
    /// The password is right; a code of the second factor is needed too.
    FactorNeeded,
    /// The operator may not do this.
    Forbidden,
    /// Too many of these from one source.
    TooMany,
    /// The request itself is not understood.
    Malformed,
    /// The configuration would not be valid; `errors` lists everything.
    Refused,
    /// The base is not the current revision.
    StaleBase,
    /// Removing a large part was not asked for.
    LargeRemoval,
    /// What it is about is in a state that does not allow it.
    NotNow,
    /// The system was never approved, or its connection was cancelled.
    NotApproved,
    /// There is no such thing.
    NotFound,
    /// Not with this method.
    MethodNotAllowed,
    /// The body is too long.
    TooLarge,
    /// The database or etcd does not answer.
    Unavailable,
    /// A fault of this program.
    Internal,
}

impl Code {
    /// The code as it is written, here and in the audit.
    pub fn label(self) -> &'static str {
        match self {
            Code::Unauthorized => "unauthorized",
            Code::FactorNeeded => "factor-needed",
            Code::Forbidden => "forbidden",
            Code::TooMany => "too-many",
            Code::Malformed => "malformed",
            Code::Refused => "refused",
            Code::StaleBase => "stale-base",
            Code::LargeRemoval => "large-removal",
            Code::NotNow => "not-now",
            Code::NotApproved => "not-approved",
            Code::NotFound => "not-found",
            Code::MethodNotAllowed => "method-not-allowed",
            Code::TooLarge => "too-large",
            Code::Unavailable => "unavailable",
            Code::Internal => "internal",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Code::Unauthorized | Code::FactorNeeded => StatusCode::UNAUTHORIZED,
            Code::TooMany => StatusCode::TOO_MANY_REQUESTS,
            Code::Forbidden => StatusCode::FORBIDDEN,
            Code::Malformed => StatusCode::BAD_REQUEST,
            Code::Refused | Code::LargeRemoval => StatusCode::UNPROCESSABLE_ENTITY,
            Code::StaleBase | Code::NotNow | Code::NotApproved => StatusCode::CONFLICT,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Code::Unauthorized => "An operator token is needed",
            Code::FactorNeeded => "A second factor is needed",
            Code::Forbidden => "You may not do this",
            Code::TooMany => "Too many requests",
            Code::Malformed => "The request is not understood",
            Code::Refused => "The configuration is refused",
            Code::StaleBase => "The configuration has moved on",
            Code::LargeRemoval => "The change removes a large part",
            Code::NotNow => "This is not possible now",
            Code::NotApproved => "The system is not approved",
            Code::NotFound => "There is no such thing",
            Code::MethodNotAllowed => "The method is not supported here",
            Code::TooLarge => "The body is too long",
            Code::Unavailable => "Something this needs does not answer",
            Code::Internal => "A fault inside the control plane",
        }
    }
}

/// One entry of `errors`, `warnings` and the like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// `Kind/name`.
    pub document: String,
    /// The path of the field.
    pub path: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Errors and warnings in one answer; what is beyond is counted.
pub const FINDINGS_MAX: usize = 1_000;
/// The longest text of a finding, in characters: it may repeat what was sent.
const FINDING_CHARS_MAX: usize = 1_000;

impl From<validate::Problem> for Finding {
    fn from(validate::Problem { document, path, message }: validate::Problem) -> Self {
        Self { document: shortened(document), path: shortened(path), message: shortened(message) }
    }
}

/// The text, cut where it is too long.
fn shortened(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(FINDING_CHARS_MAX) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// A problem document as it is written.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemBody {
    /// Names the code as a URI.
    #[serde(rename = "type")]
    uri: String,
    /// What kind of problem it is.
    title: &'static str,
    /// The status of the response.
    status: u16,
    /// The closed code.
    code: Code,
    /// What happened, with which value.
    detail: String,
    /// What to do next.
    next: String,
    /// What is wrong, for `refused`; the first 1000.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Finding>,
    /// How many errors there are, where `errors` does not hold all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors_total: Option<usize>,
    /// The current revision, for `stale-base`.
    #[serde(skip_serializing_if = "Option::is_none")]
    current: Option<u64>,
}

/// A problem: what a handler returns in place of its answer.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    next: String,
    errors: Vec<Finding>,
    errors_total: Option<usize>,
    current: Option<u64>,
}

impl Problem {
    /// A problem of this code.
    pub fn new(code: Code, detail: impl Into<String>, next: impl Into<String>) -> Self {
        Self { code, detail: detail.into(), next: next.into(), errors: Vec::new(), errors_total: None, current: None }
    }

    /// Something that does not exist.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no {what}"), "Check the name, or list what there is.")
    }

    /// A request that is not understood.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(Code::Malformed, detail, "Correct the request; `/openapi.json` describes it.")
    }

    fn unavailable(detail: String) -> Self {
        Self::new(Code::Unavailable, detail, "Try again; if it stays so, look at the control plane's log.")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { code, detail, next, errors, errors_total, current } = self;
        let status = code.status();
        let uri = format!("urn:lgsp:problem:{}", code.label());
        let (title, number) = (code.title(), status.as_u16());
        let body = ProblemBody { uri, title, status: number, code, detail, next, errors, errors_total, current };
        let mut response = (status, Json(body)).into_response();
        response.extensions_mut().insert(code);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lgsp\""));
        }
        response
    }
}

impl From<ChangeError> for Problem {
    fn from(error: ChangeError) -> Self {
        let detail = error.to_string();
        match error {
            ChangeError::Refused(problems) => {
                let next = "Correct what `errors` lists; nothing was changed.";
                let errors_total = Some(problems.len()).filter(|total| *total > FINDINGS_MAX);
                let errors = problems.into_iter().take(FINDINGS_MAX).map(Finding::from).collect();
                Self { errors, errors_total, ..Self::new(Code::Refused, detail, next) }
            }
            ChangeError::Stale { base: _, current } => {
                let next = format!("Look at `lgspctl diff`, then apply against revision {current}.");
                Self { current: Some(current.0), ..Self::new(Code::StaleBase, detail, next) }
            }
            ChangeError::LargeRemoval { .. } => {
                let next = "If that is meant, say so: `allow_large_removal: true`, or `--allow-large-removal`.";
                Self::new(Code::LargeRemoval, detail, next)
            }
            ChangeError::TooLarge { .. } => {
                let next = "Publish less, or have the bound raised: `limits` in the control plane's settings.";
                Self::new(Code::Refused, detail, next)
            }
            ChangeError::Forbidden { .. } => {
                let next = "Leave it out, or ask somebody whose roles allow it; `lgspctl whoami` shows yours.";
                Self::new(Code::Forbidden, detail, next)
            }
            ChangeError::NotFound { what } => Self::not_found(&what),
            ChangeError::NotApproved { system } => {
                let next = format!(
                    "Approve its application (`lgspctl application list --state reviewing`), or the system itself: \
                     `lgspctl system approve {system} --letter NUMBER -m WHY`."
                );
                Self::new(Code::NotApproved, detail, next)
            }
            ChangeError::NotNow(detail) => Self::new(Code::NotNow, detail, "Nothing was changed."),
            ChangeError::Store(source) => source.into(),
            ChangeError::Seal(source) => {
                tracing::error!(%source, "a secret cannot be sealed");
                Self::new(Code::Internal, detail, "Look at the control plane's log.")
            }
            ChangeError::Interrupted => Self::unavailable(detail),
        }
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        if let StoreError::Full { .. } = error {
            return Self::new(Code::NotNow, error.to_string(), "Revoke one that is not needed any more.");
        }
        if let StoreError::Moved { what } = error {
            return Self::new(Code::NotNow, what, "Look again, then decide.");
        }
        if let StoreError::Taken { what } = error {
            return Self::new(Code::NotNow, what, "Nothing was changed.");
        }
        if let StoreError::Ended { code } = error {
            let next = format!("`lgspctl agency history {code}` tells what became of it.");
            return Self::new(Code::NotNow, format!("agency `{code}` ended"), next);
        }
        let cause = std::error::Error::source(&error).map(ToString::to_string);
        tracing::error!(%error, cause, "the database failed");
        match error.reason() {
            Some(reason) => Self::new(Code::Unavailable, format!("{error}: {}", reason.text()), reason.next()),
            None => Self::unavailable(error.to_string()),
        }
    }
}

impl Problem {
    /// The same for those who are no operators: that the database failed, and not why.
    pub fn of_store_to_strangers(error: StoreError) -> Self {
        let detail = error.to_string();
        // The cause is in the log.
        drop(Self::from(error));
        Self::unavailable(detail)
    }
}

impl From<AccountError> for Problem {
    fn from(error: AccountError) -> Self {
        let detail = error.to_string();
        match error {
            AccountError::Refused => {
                let next =
                    "Try again later: after five failures in a row logins from one address wait, up to 15 minutes.";
                Self::new(Code::Unauthorized, detail, next)
            }
            AccountError::CodeNeeded => {
                Self::new(Code::FactorNeeded, detail, "Send `code`: six digits, or a recovery code.")
            }
            AccountError::Weak(_) => Self::new(Code::Malformed, detail, "Choose another one; nothing was changed."),
            AccountError::NotNow(_) => Self::new(Code::NotNow, detail, "Nothing was changed."),
            AccountError::Busy => Self::unavailable(detail),
            AccountError::Failed => {
                tracing::error!("a password, a second factor or a token cannot be made or read");
                Self::new(Code::Internal, detail, "Look at the control plane's log.")
            }
            AccountError::Store(source) => Self::of_store_to_strangers(source),
        }
    }
}

impl From<OidcError> for Problem {
    fn from(error: OidcError) -> Self {
        let detail = error.to_string();
        match error {
            OidcError::Redirect(_) => Self::malformed(detail),
            OidcError::Unknown => Self::new(Code::Unauthorized, detail, "Run `lgspctl login --oidc` again."),
            OidcError::Nobody(_) => {
                let next = "A system administrator gives an operator an identity: `lgspctl operator add --identity`.";
                Self::new(Code::Unauthorized, detail, next)
            }
            OidcError::Unverified(_) => {
                let next = "Have the provider verify it (`email_verified`), or set `login.oidc.claim` to `sub`.";
                Self::new(Code::Unauthorized, detail, next)
            }
            OidcError::Token(_) | OidcError::Provider(ProviderError::Refused(_)) => {
                tracing::warn!(%error, "a login through the identity provider failed");
                Self::new(Code::Unauthorized, detail, "Log in again; if it stays so, look at the control plane's log.")
            }
            OidcError::Provider(_) => {
                tracing::warn!(%error, "the identity provider does not help");
                Self::unavailable(detail)
            }
            OidcError::Account(source) => source.into(),
            OidcError::Store(source) => Self::of_store_to_strangers(source),
        }
    }
}

impl From<Beyond> for Problem {
    fn from(error: Beyond) -> Self {
        let code = match error {
            Beyond::Unknown(_) => Code::NotFound,
            Beyond::NoAgency => Code::Malformed,
            Beyond::Oneself | Beyond::Holder { .. } | Beyond::HandOut(_) | Beyond::Uncovered(_) | Beyond::Agency(_) => {
                Code::Forbidden
            }
        };
        Self::new(code, error.to_string(), error.next())
    }
}

impl From<RolloutError> for Problem {
    fn from(error: RolloutError) -> Self {
        let cause = match &error {
            RolloutError::Directory { source, .. } => source.to_string(),
            RolloutError::Etcd(source) => source.to_string(),
        };
        tracing::warn!(%error, cause, "nodes' reports cannot be read");
        Self::unavailable(format!("{error}: {cause}"))
    }
}

/// The answer to a path that means nothing.
pub async fn no_such_route(uri: axum::http::Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is nothing at `{}`", uri.path()), "`/openapi.json` lists all paths.")
}

/// The answer to a path that means something, with another method.
pub async fn no_such_method(method: axum::http::Method, uri: axum::http::Uri) -> Problem {
    let detail = format!("`{}` does not take {method}", uri.path());
    Problem::new(Code::MethodNotAllowed, detail, "`/openapi.json` lists all paths and their methods.")
}
