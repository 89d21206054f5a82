//! Contacts of agencies, systems and services. Personal data: no log and no document holds them.

use axum::Json;
use axum::extract::Path;
use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::resource::{Kind, ResourceKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Reach;
use super::agencies::unknown;
use crate::api::body::{Body, segment};
use crate::api::needs::Needs;
use crate::api::problem::{Problem, ProblemBody};
use crate::operator::right;
use crate::registry::contact::{self, Contact};
use crate::store::registry::contact::contacts_of;

/// The people of one agency, system or service.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactList {
    /// In the order in which they are to be called; 20 at most.
    contacts: Vec<Contact>,
}

/// The contacts of an agency (by code), a system or a service (by name).
#[utoipa::path(
    get, path = "/v1/contacts/{kind}/{name}",
    params(("kind" = String, Path), ("name" = String, Path)),
    security(("operator_token" = ["look"])),
    responses(
        (status = 200, description = "Its contacts", body = ContactList),
        (status = 404, description = "There is no such agency, system or service", body = ProblemBody),
    )
)]
pub async fn list(
    needs: Needs<right::Look>,
    Path((kind, name)): Path<(String, String)>,
) -> Result<Json<ContactList>, Problem> {
    let subject = subject(&needs, &kind, &name).await?;
    Ok(Json(ContactList { contacts: needs.desired.store().contacts(&subject).await? }))
}

/// Adds somebody at the end of the contacts of an agency (by code), a system or a service (by name).
#[utoipa::path(
    post, path = "/v1/contacts/{kind}/{name}",
    params(("kind" = String, Path), ("name" = String, Path)), request_body = Contact,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "All of its contacts", body = ContactList),
        (status = 400, description = "The contact is not usable, or one too many", body = ProblemBody),
        (status = 404, description = "There is no such agency, system or service", body = ProblemBody),
    )
)]
pub async fn add(
    needs: Needs<right::Register>,
    Path((kind, name)): Path<(String, String)>,
    Body(one): Body<Contact>,
) -> Result<Json<ContactList>, Problem> {
    let subject = subject(&needs, &kind, &name).await?;
    needs.trail().about(format!("{kind}/{name}"));
    let added = needs.desired.store().add_contact(&subject, &one, needs.trail()).await?;
    let contacts = added.map_err(|error| Problem::malformed(error.to_string()))?;
    Ok(Json(ContactList { contacts }))
}

/// Who is taken off. A name is personal data: it is in no `Debug`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContactRemoved {
    /// The person's name, as listed.
    name: String,
}

impl std::fmt::Debug for ContactRemoved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ContactRemoved(..)")
    }
}

/// Takes somebody off the contacts of an agency (by code), a system or a service (by name).
#[utoipa::path(
    post, path = "/v1/contacts/{kind}/{name}/remove",
    params(("kind" = String, Path), ("name" = String, Path)), request_body = ContactRemoved,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "The contacts that stay", body = ContactList),
        (status = 404, description = "There is no such agency, system or service, or no such contact", body = ProblemBody),
    )
)]
pub async fn remove(
    needs: Needs<right::Register>,
    Path((kind, name)): Path<(String, String)>,
    Body(ContactRemoved { name: person }): Body<ContactRemoved>,
) -> Result<Json<ContactList>, Problem> {
    let subject = subject(&needs, &kind, &name).await?;
    needs.trail().about(format!("{kind}/{name}"));
    let stay = needs.desired.store().remove_contact(&subject, &person, needs.trail()).await?;
    let nobody = || Problem::not_found(&format!("contact of `{kind}/{name}` with this name"));
    Ok(Json(ContactList { contacts: stay.ok_or_else(nobody)? }))
}

/// Replaces the contacts of an agency (by code), a system or a service (by name).
#[utoipa::path(
    put, path = "/v1/contacts/{kind}/{name}",
    params(("kind" = String, Path), ("name" = String, Path)), request_body = ContactList,
    security(("operator_token" = ["register"])),
    responses(
        (status = 200, description = "They are kept", body = ContactList),
        (status = 400, description = "A contact is not usable", body = ProblemBody),
        (status = 404, description = "There is no such agency, system or service", body = ProblemBody),
    )
)]
pub async fn replace(
    needs: Needs<right::Register>,
    Path((kind, name)): Path<(String, String)>,
    Body(ContactList { contacts }): Body<ContactList>,
) -> Result<Json<ContactList>, Problem> {
    let subject = subject(&needs, &kind, &name).await?;
    contact::check(&contacts).map_err(|error| Problem::malformed(error.to_string()))?;
    needs.trail().about(format!("{kind}/{name}"));
    needs.desired.store().put_contacts(&subject, &contacts, needs.trail()).await?;
    Ok(Json(ContactList { contacts }))
}

/// Whose contacts they are, when there is such a subject.
async fn subject<R>(needs: &Needs<R>, kind: &str, name: &str) -> Result<String, Problem> {
    let nothing = || Problem::not_found(&format!("`{kind}/{name}` that has contacts"));
    match Kind::parse(kind) {
        Some(Kind::Agency) => {
            let code: AgencyCode = segment(name, "agency")?;
            let (agency, reach) = (needs.desired.store().agency(&code).await?, Reach::of(needs).await?);
            match (agency, reach) {
                (Some(agency), reach) if reach.holds(Some(agency.identity)) => Ok(contacts_of(agency.identity)),
                (None, Reach::Everywhere) => Err(unknown(&code)),
                // Whoever is bound to an agency does not learn which codes others have.
                (Some(_) | None, _) => Err(nothing()),
            }
        }
        Some(kind @ (Kind::System | Kind::Service)) => {
            let key = ResourceKey { kind, name: name.parse().map_err(|_| nothing())? };
            let whole = needs.desired.current();
            let seen = whole.get(&key).is_some_and(|document| needs.sight(&whole).sees(document));
            if seen { Ok(key.to_string()) } else { Err(nothing()) }
        }
        Some(Kind::Defaults | Kind::Credential | Kind::Route | Kind::Permission) | None => Err(nothing()),
    }
}
