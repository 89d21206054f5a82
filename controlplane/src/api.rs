//! The HTTP API under `/v1`: thin handlers over `desired`, `publish` and `rollout`.
//!
//! Every route is registered together with its description, so `/openapi.json` lists all of them. Everything under
//! `/v1` needs an operator token; `/livez`, `/readyz` and `/openapi.json` tell nothing that needs one.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tokio::sync::watch;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::desired::Desired;
use crate::operator::Operators;
use crate::publish::{Demand, Status};
use crate::rollout::Rollout;

mod body;
mod changes;
mod credentials;
mod documents;
mod guard;
mod health;
mod nodes;
mod problem;
mod revisions;

pub use body::DocumentBody;

/// The longest body of a change, in bytes: about 100,000 documents. Held in memory once as text and once as values,
/// about five times this, and only for operators.
pub const CHANGE_BYTES_MAX: usize = 32 << 20;
/// The longest of all other bodies, in bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// What handlers need; cloned per request, so it is one reference.
#[derive(Debug, Clone)]
pub struct App(Arc<Rooms>);

/// The rooms below the API.
#[derive(Debug)]
pub struct Rooms {
    /// The desired state.
    pub desired: Desired,
    /// Who may ask.
    pub operators: Operators,
    /// What nodes report.
    pub rollout: Rollout,
    /// How publishing stands.
    pub published: watch::Receiver<Status>,
    /// Demands to the publisher.
    pub demands: watch::Sender<Demand>,
}

impl App {
    /// Serves these rooms.
    pub fn new(rooms: Rooms) -> Self {
        Self(Arc::new(rooms))
    }
}

impl std::ops::Deref for App {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.0
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "LGSP control plane",
        description = "Who exists, who may do what, which revision is current, and whether nodes have it. \
                       Errors are problem documents (RFC 9457) with `code`, `detail`, `next` and `errors`."
    ),
    modifiers(&OperatorToken),
    security(("operator_token" = []))
)]
struct Description;

struct OperatorToken;

impl Modify for OperatorToken {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        openapi.components.get_or_insert_default().add_security_scheme("operator_token", token);
    }
}

/// The description of all routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().split_for_parts().1
}

fn routes() -> OpenApiRouter<App> {
    let changes = OpenApiRouter::new().routes(routes!(changes::apply)).layer(DefaultBodyLimit::max(CHANGE_BYTES_MAX));
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(documents::list))
        .routes(routes!(documents::one))
        .routes(routes!(revisions::history))
        .routes(routes!(revisions::one))
        .routes(routes!(revisions::documents))
        .routes(routes!(revisions::rollback))
        .routes(routes!(credentials::list, credentials::issue))
        .routes(routes!(credentials::rotate))
        .routes(routes!(credentials::disable))
        .routes(routes!(nodes::nodes))
        .routes(routes!(nodes::publish_status, nodes::publish_again))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(changes)
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
}

/// All routes.
pub fn router(app: App) -> Router {
    let (router, openapi) = routes().split_for_parts();
    router
        .route("/openapi.json", get(async move || axum::Json(openapi)))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

#[cfg(test)]
mod tests;
