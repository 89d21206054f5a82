//! The registry over HTTP: agencies, systems and services, contacts, applications, reorganisations, notices.

use axum::extract::DefaultBodyLimit;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::needs::{Gate, Needs};
use super::problem::Problem;
use crate::desired::{Audit, Authority};
use crate::operator::right;
use crate::registry::directory::Identity;

mod agencies;
mod applications;
mod contacts;
mod notices;
mod participants;
mod party;
mod reorganisations;

/// The longest body of an import, in bytes: [`crate::registry::directory::IMPORT_BATCH_MAX`] agencies with long names.
const IMPORT_BYTES_MAX: usize = 2 << 20;

/// Who carries a decision out: what was decided says what changes, so the author's own kinds do not limit it.
fn authorised(needs: &Needs<right::Register>, message: &str) -> Result<Audit, Problem> {
    Ok(Audit { authority: Authority::everything(), ..needs.audit(message)? })
}

/// Which agencies' papers somebody is shown.
enum Reach {
    /// Everybody's.
    Everywhere,
    /// Those of the agency the operator is bound to, whatever codes it has had.
    Agency(Identity),
    /// Nobody's: the agency the operator is bound to was never there.
    Nowhere,
}

impl Reach {
    async fn of<R>(needs: &Needs<R>) -> Result<Self, Problem> {
        let Some(agency) = needs.operator().agency() else { return Ok(Reach::Everywhere) };
        let identity = needs.desired.store().identity_of(agency).await?;
        Ok(identity.map_or(Reach::Nowhere, Reach::Agency))
    }

    fn holds(&self, identity: Option<Identity>) -> bool {
        match self {
            Reach::Everywhere => true,
            Reach::Agency(own) => identity == Some(*own),
            Reach::Nowhere => false,
        }
    }
}

/// All routes of the registry.
pub(super) fn routes() -> OpenApiRouter<Gate> {
    let import = OpenApiRouter::new().routes(routes!(agencies::import)).layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX));
    OpenApiRouter::new()
        .routes(routes!(agencies::search))
        .routes(routes!(agencies::one, agencies::put))
        .routes(routes!(agencies::history))
        .routes(routes!(contacts::list, contacts::replace, contacts::add))
        .routes(routes!(contacts::remove))
        .routes(routes!(applications::list, applications::submit))
        .routes(routes!(applications::one))
        .routes(routes!(applications::review))
        .routes(routes!(applications::approve))
        .routes(routes!(applications::refuse))
        .routes(routes!(applications::cancel))
        .routes(routes!(participants::systems))
        .routes(routes!(participants::services))
        .routes(routes!(participants::approval))
        .routes(routes!(participants::approve))
        .routes(routes!(participants::cancel))
        .routes(routes!(reorganisations::list, reorganisations::ask))
        .routes(routes!(reorganisations::one))
        .routes(routes!(reorganisations::cancel))
        .routes(routes!(reorganisations::resume))
        .routes(routes!(notices::list, notices::add))
        .routes(routes!(notices::cancel))
        .merge(import)
}
