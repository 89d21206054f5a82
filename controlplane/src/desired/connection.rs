//! Connections as changes: what an approval grants, what a cancellation takes away. Pure.

use std::collections::BTreeSet;

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, SystemId};
use lgsp_shared::resource::{CredentialState, Document, Kind, PermissionMode, PermissionSpec, Resource, ResourceKey};
use serde_json::json;

use super::ChangeError;
use super::change::Change;
use super::deed::Deed;
use super::whole::Whole;
use crate::registry::application::{Application, State, Step, Wanted};
use crate::registry::directory::FormerNames;
use crate::registry::fold::slug;
use crate::store::registry::Write;
use crate::store::registry::application::contacts_of;

/// The agency an approval is for, as the directory has it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Party {
    /// Its code.
    pub code: AgencyCode,
    /// Its name.
    pub title: String,
    /// The name its document had, when it has none now.
    pub former: Option<AgencyId>,
    /// Names that are given to no agency again.
    pub names: FormerNames,
}

/// Grants an application: its system, with its agency when that has no document yet, and a permission per service.
pub fn approve(whole: &Whole, application: &Application, party: &Party, step: &Step) -> Result<Deed, ChangeError> {
    let Application { number, state, request, submitted_at: _, agency: _ } = application;
    let mut puts = Vec::new();
    let agency = match agency_of_code(whole, &party.code) {
        Some(name) => name,
        None => {
            let name = match &request.agency_name {
                Some(name) if whole.get(&key(Kind::Agency, name.as_str())?).is_some() => {
                    return Err(ChangeError::NotNow(format!(
                        "`Agency/{name}` exists and has another code than `{}`; refuse the application, and ask for \
                         another `agency_name`",
                        party.code
                    )));
                }
                Some(name) => name.clone(),
                None => match &party.former {
                    Some(name) => name.clone(),
                    None => free_agency_name(whole, &party.names, &party.title)?,
                },
            };
            puts.push(agency_document(&name, &party.code, &party.title));
            name
        }
    };
    let system_key = key(Kind::System, request.system.as_str())?;
    match whole.get(&system_key).map(|document| text(document, "agency")) {
        None => {
            let spec = json!({"agency": agency, "title": request.system_title});
            puts.push(Document { kind: Kind::System.to_string(), name: request.system.to_string(), spec });
        }
        Some(owner) if owner == agency.as_str() => {}
        Some(owner) => {
            let message = format!("`{system_key}` belongs to `Agency/{owner}`; choose another name for the system");
            return Err(ChangeError::NotNow(message));
        }
    }
    for wanted in &request.services {
        puts.push(permission(whole, &request.system, wanted)?);
    }
    let writes = vec![
        Write::Step { application: *number, from: *state, step: step.clone() },
        Write::Approve { system: request.system.clone(), application: Some(*number), step: step.clone() },
        Write::ContactsCopied { from: contacts_of(*number), to: system_key.to_string() },
    ];
    Ok(Deed { change: Change { puts, ..Change::default() }, writes, ..Deed::default() })
}

/// Allows keys for a system whose document was applied.
pub fn approve_system(whole: &Whole, system: &SystemId, step: &Step) -> Result<Deed, ChangeError> {
    exists(whole, system)?;
    let approve = Write::Approve { system: system.clone(), application: None, step: step.clone() };
    Ok(Deed { writes: vec![approve], ..Deed::default() })
}

/// Ends a system's connection: its keys are disabled, and every permission from it and to its services is withdrawn.
/// `applications` are those that led to it.
pub fn cancel(
    whole: &Whole,
    system: &SystemId,
    applications: &[(u64, State)],
    step: &Step,
) -> Result<Deed, ChangeError> {
    let steps = applications.iter().map(|(application, from)| Write::Step {
        application: *application,
        from: *from,
        step: step.clone(),
    });
    let withdraw = Write::Withdraw { system: system.clone(), step: step.clone() };
    let change = disconnect(whole, &BTreeSet::from([system.clone()]))?;
    Ok(Deed { change, writes: steps.chain([withdraw]).collect(), ..Deed::default() })
}

/// Disables the keys of systems and withdraws every permission from them and to their services. Asked for by name, so
/// it may be a large part of a small configuration.
pub fn disconnect(whole: &Whole, systems: &BTreeSet<SystemId>) -> Result<Change, ChangeError> {
    let mut change = Change { allow_large_removal: true, ..Change::default() };
    let mut services = BTreeSet::new();
    for document in whole.documents() {
        match document.read().map(|read| read.resource) {
            Ok(Resource::Credential(_, mut spec))
                if systems.contains(&spec.system) && spec.state != CredentialState::Disabled =>
            {
                spec.state = CredentialState::Disabled;
                let spec = serde_json::to_value(&spec).map_err(|_| ChangeError::Interrupted)?;
                change.puts.push(Document { spec, ..document.clone() });
            }
            Ok(Resource::Service(name, spec)) if systems.contains(&spec.system) => {
                services.insert(name);
            }
            // Kinds come in the order of references: all services have been seen.
            Ok(Resource::Permission(_, spec)) if systems.contains(&spec.source) || services.contains(&spec.service) => {
                change.deletes.push(key(Kind::Permission, &document.name)?);
            }
            Ok(_) | Err(_) => {}
        }
    }
    Ok(change)
}

/// The name of the document that has this code.
pub fn agency_of_code(whole: &Whole, code: &AgencyCode) -> Option<AgencyId> {
    let agencies = whole.entries().iter().filter(|(key, _)| key.kind == Kind::Agency);
    agencies
        .map(|(_, entry)| entry.document())
        .find(|document| text(document, "code") == code.as_str())
        .and_then(|document| document.name.parse().ok())
}

/// An agency's document.
pub fn agency_document(name: &AgencyId, code: &AgencyCode, title: &str) -> Document {
    let spec = json!({"code": code, "title": title});
    Document { kind: Kind::Agency.to_string(), name: name.to_string(), spec }
}

/// A name made of a title that no agency has or had.
pub fn free_agency_name(whole: &Whole, former: &FormerNames, title: &str) -> Result<AgencyId, ChangeError> {
    let stem = slug(title);
    let name = free(whole, Kind::Agency, &stem, former)?;
    name.parse().map_err(|_| ChangeError::NotFound { what: format!("name for `{title}`") })
}

/// The key of a document.
pub fn key(kind: Kind, name: &str) -> Result<ResourceKey, ChangeError> {
    let name = name.parse().map_err(|_| ChangeError::NotFound { what: format!("`{kind}/{name}`") })?;
    Ok(ResourceKey { kind, name })
}

/// Fails when there is no such system.
fn exists(whole: &Whole, system: &SystemId) -> Result<(), ChangeError> {
    let key = key(Kind::System, system.as_str())?;
    whole.get(&key).map(|_| ()).ok_or_else(|| ChangeError::NotFound { what: format!("`{key}`; apply it first") })
}

/// The permission a service is wanted with: the one there is between the two, or a new one.
fn permission(whole: &Whole, system: &SystemId, wanted: &Wanted) -> Result<Document, ChangeError> {
    let Wanted { service, methods, paths } = wanted;
    let stem: String = format!("{system}-{service}").chars().take(lgsp_shared::id::NAME_BYTES_MAX - 8).collect();
    let stem = stem.trim_end_matches(['-', '.']);
    let between = |document: &Document| {
        text(document, "source") == system.as_str() && text(document, "service") == service.as_str()
    };
    let name = match whole.get(&key(Kind::Permission, stem)?) {
        Some(document) if !between(document) => free(whole, Kind::Permission, stem, &FormerNames::default())?,
        Some(_) | None => stem.to_owned(),
    };
    let spec = PermissionSpec {
        source: system.clone(),
        service: service.clone(),
        methods: methods.clone(),
        paths: paths.clone(),
        not_before: None,
        not_after: None,
        rate: None,
        mode: PermissionMode::Enforce,
    };
    let spec = serde_json::to_value(&spec).map_err(|_| ChangeError::Interrupted)?;
    Ok(Document { kind: Kind::Permission.to_string(), name, spec })
}

/// `stem`, or the first of `stem-2`, `stem-3`, … that no document of the kind has, and none had before.
fn free(whole: &Whole, kind: Kind, stem: &str, former: &FormerNames) -> Result<String, ChangeError> {
    // As many candidates as there are names, and one more: one of them is free.
    for number in 1..=whole.len() + former.0.len() + 2 {
        let name = if number == 1 { stem.to_owned() } else { format!("{stem}-{number}") };
        if whole.get(&key(kind, &name)?).is_none() && !former.contains(&name) {
            return Ok(name);
        }
    }
    Err(ChangeError::Interrupted)
}

/// A text of a document's `spec`.
pub fn text<'a>(document: &'a Document, field: &str) -> &'a str {
    document.spec.get(field).and_then(serde_json::Value::as_str).unwrap_or_default()
}
