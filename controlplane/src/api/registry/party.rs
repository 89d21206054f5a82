//! The agency an application is for, as it is now.

use lgsp_shared::agency_code::AgencyCode;

use super::agencies::unknown;
use super::applications::unknown_application;
use crate::api::Rooms;
use crate::api::problem::{Code, Problem};
use crate::desired::connection::Party;
use crate::registry::application::Application;
use crate::registry::directory::Agency;

/// The agency an application is for, as it is now: an old code leads to its successor.
pub(super) async fn party(rooms: &Rooms, code: &AgencyCode) -> Result<Party, Problem> {
    let found = rooms.desired.store().resolve_agency(code).await?.ok_or_else(|| unknown(code))?;
    let mut current = found.current.into_iter();
    match (current.next(), current.next()) {
        (Some(agency), None) => now(rooms, agency).await,
        (None, _) => {
            let next = format!("`lgspctl agency history {code}` tells what became of it.");
            Err(Problem::new(Code::NotNow, format!("agency `{code}` was dissolved"), next))
        }
        (Some(_), Some(_)) => {
            let next = format!("Name one of its successors: `lgspctl agency history {code}`.");
            Err(Problem::new(Code::NotNow, format!("agency `{code}` was split"), next))
        }
    }
}

/// The agency an application is of now, whatever became of the code it was handed in with.
pub(super) async fn party_of(rooms: &Rooms, application: &Application) -> Result<Party, Problem> {
    let store = rooms.desired.store();
    let application =
        store.application(application.number).await?.ok_or_else(|| unknown_application(application.number))?;
    let Application { request, agency, .. } = application;
    let Some(identity) = agency else { return party(rooms, &request.agency).await };
    if let Some(agency) = store.agency_with(identity).await? {
        return now(rooms, agency).await;
    }
    let code = request.agency;
    let next = format!("`lgspctl agency history {code}` tells what became of it; hand in another application.");
    Err(Problem::new(Code::NotNow, format!("agency `{code}` was split or dissolved"), next))
}

async fn now(rooms: &Rooms, agency: Agency) -> Result<Party, Problem> {
    let names = rooms.desired.store().former_names().await?;
    Ok(Party { code: agency.code, title: agency.title, former: names.of(agency.identity), names })
}
