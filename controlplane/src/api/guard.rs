//! Everything under `/v1` needs an operator token, also what does not exist: a stranger learns nothing from a path.

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::App;
use super::problem::{Code, Problem};

/// Lets a request pass with its operator beside it, or answers 401.
pub async fn guard(State(app): State<App>, mut request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/v1") {
        return next.run(request).await;
    }
    let token = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(bearer);
    match token.and_then(|token| app.operators.authenticate(token)) {
        Some(operator) => {
            request.extensions_mut().insert(operator);
            next.run(request).await
        }
        None => {
            let detail = if token.is_some() { "the operator token is wrong" } else { "there is no operator token" };
            let next = "Send `Authorization: Bearer <token>` with the token printed at the first start; \
                        `lgsp-controlplane new-token` makes another.";
            Problem::new(Code::Unauthorized, detail, next).into_response()
        }
    }
}

/// The token of `Bearer <token>`; the scheme in any case (RFC 9110 section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
