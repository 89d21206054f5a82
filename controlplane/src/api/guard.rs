//! Everything under `/v1` needs an operator, also what does not exist: a stranger learns nothing from a path. What was
//! attempted is in the audit when this is left, exactly once.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::{Code, Problem};
use super::{Allowances, App, edge};
use crate::audit::{Attempt, DONE, Trail};
use crate::operator::accounts::Known;
use crate::runtime::now;

/// What is asked without an operator, because it is how one becomes known.
pub const OPEN: [&str; 3] = ["/v1/login", "/v1/login/oidc/start", "/v1/login/oidc/finish"];
/// The longest path that is written into the audit, in characters.
const PATH_CHARS_MAX: usize = 200;

/// Lets a request pass with its operator beside it, or answers 401; writes what became of it.
pub async fn guard(
    State(app): State<App>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !path.starts_with("/v1") {
        return next.run(request).await;
    }
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    let trail = trail(&app, peer.ip(), &request);
    let admitted = match edge::check(&request, OPEN.contains(&path)) {
        Err(problem) => Err(problem),
        Ok(()) if OPEN.contains(&path) => Ok(None),
        Ok(()) => admit(&app, request.headers(), &trail).await.map(Some),
    };
    let response = match admitted {
        Ok(known) => {
            request.extensions_mut().insert(trail.clone());
            if let Some(known) = known {
                request.extensions_mut().insert(Arc::new(known));
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    };
    write(&app, &trail, reading, response).await
}

fn trail(app: &App, peer: IpAddr, request: &Request) -> Trail {
    let path: String = request.uri().path().chars().take(PATH_CHARS_MAX).collect();
    let action = format!("{} {path}", request.method());
    let trusted = app.accounts.settings().trust_forwarded_for;
    let source = if trusted { forwarded_for(request.headers()).unwrap_or(peer) } else { peer };
    Trail::new(now(), source, action, target(request.uri().path()))
}

/// What a request is about as far as its path tells; a handler that is reached says it better.
fn target(path: &str) -> String {
    path.strip_prefix("/v1/").unwrap_or_default().chars().take(PATH_CHARS_MAX).collect()
}

/// The address that the proxy before this program saw: the last one it appended.
fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
    let last = headers.get_all("x-forwarded-for").iter().next_back()?.to_str().ok()?;
    last.rsplit(',').next()?.trim().parse().ok()
}

async fn admit(app: &App, headers: &HeaderMap, trail: &Trail) -> Result<Known, Problem> {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    let known = match token {
        Some(token) => app.accounts.authenticate(token, trail.at()).await?,
        None => None,
    };
    let Some(known) = known else {
        let detail =
            if token.is_some() { "the operator token is wrong, or is over" } else { "there is no operator token" };
        let next = "Send `Authorization: Bearer <token>`; `lgspctl login` begins a session, and on the server's machine \
                    `lgsp-controlplane new-token` makes the first operator's token anew.";
        return Err(Problem::new(Code::Unauthorized, detail, next));
    };
    trail.by(known.operator.name(), &format!("{} {}", known.bearer.kind.label(), known.bearer.id));
    Ok(known)
}

/// The token of `Bearer <token>`; the scheme in any case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Whether a refused attempt is written. A known operator has an own allowance, so that no stranger uses it up.
fn allowed(app: &App, trail: &Trail, attempt: &Attempt) -> Option<u64> {
    let Allowances { refusals, refusals_of_operators, logins: _ } = &app.allowances;
    if attempt.bearer.is_empty() {
        return refusals.lock().unwrap_or_else(PoisonError::into_inner).take(trail.source(), trail.at());
    }
    let mut operators = refusals_of_operators.lock().unwrap_or_else(PoisonError::into_inner);
    operators.take_of(attempt.operator.clone(), trail.at())
}

/// Writes the attempt unless it was written with what it changed. What was only read is not written, but for what says so
/// and for what was refused.
async fn write(app: &App, trail: &Trail, reading: bool, response: Response) -> Response {
    let status = response.status();
    let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    if trail.is_written() || (reading && !refused && !trail.is_reading()) {
        return response;
    }
    let mut attempt = trail.attempt(response.extensions().get::<Code>().map_or(DONE, |code| code.label()));
    if !status.is_success() {
        match allowed(app, trail, &attempt) {
            None => return response,
            Some(0) => {}
            Some(before) => attempt.after = serde_json::json!({"refused_and_not_written_before": before}).to_string(),
        }
    }
    match app.desired.store().record(attempt).await {
        Ok(()) => response,
        Err(error) if status.is_success() => Problem::from(error).into_response(),
        Err(error) => {
            tracing::error!(%error, "a refused attempt is not in the audit");
            response
        }
    }
}
