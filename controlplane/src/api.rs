//! The HTTP API under `/v1`: thin handlers over `desired`, `publish` and `rollout`.
//!
//! Every route is registered together with its description, so `/openapi.json` lists all of them. Everything under
//! `/v1` needs an operator token; `/livez`, `/readyz` and `/openapi.json` tell nothing that needs one. A handler's
//! signature names the right it needs ([`needs::Needs`]), and its description names the same one as the scope of
//! `operator_token`; a test tries every handler with every role.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::get;
use tokio::sync::watch;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, RefOr, Response, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::audit::limit::Limit;
use crate::desired::Desired;
use crate::operator::accounts::Accounts;
use crate::operator::oidc::Oidc;
use crate::publish::{Demand, Status};
use crate::rollout::Rollout;
use crate::usage::Usage;

mod arrival;
mod audit;
mod body;
mod changes;
mod credentials;
mod documents;
mod edge;
mod explain;
mod guard;
pub mod health;
mod login;
mod me;
mod needs;
mod nodes;
mod oidc;
mod operators;
mod problem;
mod registry;
mod reseal;
mod revisions;
mod tokens;

pub use body::DocumentBody;
use needs::Gate;
use problem::ProblemBody;

/// The longest body of a change, in bytes: about 100,000 documents. Held in memory once as text and once as values,
/// about five times this, and only for operators.
pub const CHANGE_BYTES_MAX: usize = 32 << 20;
/// The most documents in one change, put or removed: as many as small ones fit the bytes above. About 1 KiB each while it
/// is made; a longer list is refused while it is read.
pub const CHANGE_DOCUMENTS_MAX: usize = 200_000;
/// The longest of all other bodies, in bytes.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// What every operation that takes an operator token may answer, because of the guard, of what is sent, or of the
/// database.
const GUARDED: [(&str, &str); 5] = [
    ("400", "The request is not understood"),
    ("401", "There is no operator token, or a wrong one"),
    ("403", "The operator's roles do not allow it"),
    ("413", "The body is longer than this route takes"),
    ("503", "The database or etcd does not answer"),
];

/// What handlers need; cloned per request, so it is one reference.
#[derive(Debug, Clone)]
pub struct App(Arc<Rooms>);

/// The rooms below the API.
#[derive(Debug)]
pub struct Rooms {
    /// The desired state.
    pub desired: Arc<Desired>,
    /// Who may ask.
    pub accounts: Accounts,
    /// The identity provider, where there is one.
    pub oidc: Option<Oidc>,
    /// How much of what costs something each source may still cause.
    pub allowances: Allowances,
    /// What nodes report.
    pub rollout: Arc<Rollout>,
    /// When credentials were last used.
    pub usage: Arc<Usage>,
    /// How publishing stands.
    pub published: watch::Receiver<Status>,
    /// Demands to the publisher.
    pub demands: watch::Sender<Demand>,
    /// Security notices.
    pub notices: Vec<String>,
    /// Whether the database takes changes, as it was found last.
    pub writing: health::Writing,
}

/// How much of what costs something each source may still cause.
#[derive(Debug, Default)]
pub struct Allowances {
    /// Entries of the audit for what was refused to strangers, by source.
    pub refusals: Mutex<Limit>,
    /// The same for what was refused to operators, by name.
    pub refusals_of_operators: Mutex<Limit<String>>,
    /// Logins.
    pub logins: Mutex<Limit>,
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
                       Errors are problem documents (RFC 9457) with `code`, `detail`, `next` and `errors`. The scope of \
                       `operator_token` is the right an operation takes."
    ),
    modifiers(&OperatorToken)
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
    described().1
}

fn routes() -> OpenApiRouter<Gate> {
    let changes = OpenApiRouter::new().routes(routes!(changes::apply)).layer(DefaultBodyLimit::max(CHANGE_BYTES_MAX));
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(documents::list))
        .routes(routes!(documents::one))
        .routes(routes!(revisions::history))
        .routes(routes!(revisions::one))
        .routes(routes!(revisions::documents))
        .routes(routes!(revisions::document))
        .routes(routes!(revisions::rollback))
        .routes(routes!(arrival::arrival))
        .routes(routes!(credentials::list, credentials::issue))
        .routes(routes!(credentials::rotate))
        .routes(routes!(credentials::disable))
        .routes(routes!(nodes::nodes))
        .routes(routes!(reseal::reseal))
        .routes(routes!(explain::explain))
        .routes(routes!(nodes::publish_status, nodes::publish_again))
        .merge(operator_routes())
        .merge(registry::routes())
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .merge(changes)
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
}

fn operator_routes() -> OpenApiRouter<Gate> {
    OpenApiRouter::new()
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(oidc::start))
        .routes(routes!(oidc::finish))
        .routes(routes!(me::whoami))
        .routes(routes!(me::password))
        .routes(routes!(me::enrol))
        .routes(routes!(me::confirm))
        .routes(routes!(me::remove))
        .routes(routes!(operators::list, operators::add))
        .routes(routes!(operators::grant))
        .routes(routes!(operators::revoke))
        .routes(routes!(operators::disable))
        .routes(routes!(operators::enable))
        .routes(routes!(operators::reset_password))
        .routes(routes!(tokens::list, tokens::issue))
        .routes(routes!(tokens::revoke))
        .routes(routes!(audit::list))
}

/// The routes and their description. What the guard answers is the same everywhere and told here, and so is the media
/// type of every refusal.
fn described() -> (Router<Gate>, utoipa::openapi::OpenApi) {
    let (router, mut openapi) = routes().split_for_parts();
    let items = openapi.paths.paths.values_mut();
    let operations = items.flat_map(|item| [&mut item.get, &mut item.post, &mut item.put, &mut item.delete]);
    for operation in operations.flatten() {
        let responses = &mut operation.responses.responses;
        if operation.security.iter().flatten().any(|wanted| *wanted != SecurityRequirement::default()) {
            for (status, description) in GUARDED {
                responses.entry(status.to_owned()).or_insert_with(|| problem_response(description).into());
            }
        }
        for (_, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
            if let RefOr::T(told) = response {
                *told = problem_response(&told.description);
            }
        }
    }
    (router, openapi)
}

fn problem_response(description: &str) -> Response {
    let schema = utoipa::openapi::Ref::from_schema_name(ProblemBody::name());
    let content = ContentBuilder::new().schema(Some(schema)).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

/// All routes.
pub fn router(app: App) -> Router {
    let (router, openapi) = described();
    router
        .route("/openapi.json", get(async move || axum::Json(openapi)))
        .fallback(problem::no_such_route)
        .method_not_allowed_fallback(problem::no_such_method)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(Gate::new(app))
}

#[cfg(test)]
mod tests;
