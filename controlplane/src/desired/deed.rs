//! A change together with what is written beside it: one revision and its registry, all of it or nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lgsp_shared::id::{AgencyId, ServiceId, SystemId};
use lgsp_shared::resource::{CredentialState, Kind, Resource, ResourceKey};
use lgsp_shared::timestamp::UnixSeconds;

use super::change::{Change, Edit};
use super::connection::key;
use super::ownership::Door;
use super::whole::{Entry, Whole};
use crate::registry::concern::{Owners, concerned};
use crate::store::registry::{Rule, Write};

/// What is done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deed {
    /// To the configuration; it may change nothing.
    pub change: Change,
    /// To the registry, in order.
    pub writes: Vec<Write>,
    /// How it came about.
    pub door: Door,
}

impl From<Change> for Deed {
    fn from(change: Change) -> Self {
        Self { change, ..Self::default() }
    }
}

/// What follows from the edits themselves: the directory learns which agencies have documents, names are taken and left, a
/// system that is gone loses its approval, no key appears for a system that has none, and nothing is granted from or to a
/// system whose connection was cancelled. `whole` is what the edits lead to.
pub fn consequences(whole: &Whole, edits: &[Edit], rule: Rule, at: UnixSeconds) -> Vec<Write> {
    // Removals first: a document that takes another's code comes after the one that had it.
    let gone = edits.iter().filter(|edit| edit.after.is_none()).flat_map(|edit| removal(edit, at));
    let put = edits.iter().filter_map(|edit| taken(edit, at));
    let insisted = newly_keyed(edits).into_iter().map(|system| Write::Insist { system, rule });
    let connected = newly_granted(whole, edits).into_iter().map(|system| Write::InsistConnected { system });
    gone.chain(put).chain(insisted).chain(connected).collect()
}

/// How many of the edits concern which agency, as things stood before or as they stand after.
pub fn concerns(before: &Whole, after: &Whole, edits: &[Edit]) -> Option<Write> {
    let mut counts: BTreeMap<AgencyId, u64> = BTreeMap::new();
    for edit in edits {
        let was = edit.before.as_deref().map(|entry| concerned(entry.document(), before));
        let is = edit.after.as_deref().map(|entry| concerned(entry.document(), after));
        let agencies: BTreeSet<AgencyId> = was.into_iter().chain(is).flatten().collect();
        agencies.into_iter().for_each(|agency| *counts.entry(agency).or_default() += 1);
    }
    (!counts.is_empty()).then_some(Write::Concerns { counts })
}

impl Owners for Whole {
    fn agency_of(&self, system: &str) -> Option<&str> {
        field_of(self, Kind::System, system, "agency")
    }

    fn system_of(&self, service: &str) -> Option<&str> {
        field_of(self, Kind::Service, service, "system")
    }
}

fn field_of<'a>(whole: &'a Whole, kind: Kind, name: &str, field: &str) -> Option<&'a str> {
    whole.get(&key(kind, name).ok()?)?.spec.get(field)?.as_str()
}

/// Systems for which a key may be used from now on that could not be used before.
pub fn newly_keyed(edits: &[Edit]) -> BTreeSet<SystemId> {
    edits
        .iter()
        .filter_map(|Edit { key: _, before, after }| {
            let system = keyed(after.as_deref()?)?;
            (before.as_deref().and_then(keyed) != Some(system.clone())).then_some(system)
        })
        .collect()
}

/// Systems from which or to whose services something is granted that was not granted before.
fn newly_granted(whole: &Whole, edits: &[Edit]) -> BTreeSet<SystemId> {
    let resource = |entry: &Arc<Entry>| entry.document().read().ok().map(|read| read.resource);
    let owner = |service: &ServiceId| {
        let key = ResourceKey { kind: Kind::Service, name: service.as_str().parse().ok()? };
        match whole.get(&key)?.read().ok()?.resource {
            Resource::Service(_, spec) => Some(spec.system),
            _ => None,
        }
    };
    let mut systems = BTreeSet::new();
    for Edit { key: _, before, after } in edits {
        match (before.as_ref().and_then(resource), after.as_ref().and_then(resource)) {
            (Some(Resource::Permission(_, old)), Some(Resource::Permission(_, new)))
                if (&old.source, &old.service) == (&new.source, &new.service) => {}
            (_, Some(Resource::Permission(_, new))) => {
                systems.extend(owner(&new.service));
                systems.insert(new.source);
            }
            // Permissions that stay lead to its new owner.
            (Some(Resource::Service(_, old)), Some(Resource::Service(_, new))) if old.system != new.system => {
                systems.insert(new.system);
            }
            _ => {}
        }
    }
    systems
}

/// The system of a credential that is not disabled.
fn keyed(entry: &Entry) -> Option<SystemId> {
    match entry.document().read().ok()?.resource {
        Resource::Credential(_, spec) => match spec.state {
            CredentialState::Active | CredentialState::Retiring => Some(spec.system),
            CredentialState::Disabled => None,
        },
        _ => None,
    }
}

fn removal(edit: &Edit, at: UnixSeconds) -> Vec<Write> {
    let name = edit.key.name.as_str();
    let what = match edit.key.kind {
        Kind::Agency => name.parse().ok().map(|document| Write::DocumentGone { document }),
        Kind::System => name.parse().ok().map(|system| Write::Forget { system }),
        Kind::Service => None,
        Kind::Defaults | Kind::Credential | Kind::Route | Kind::Permission => return Vec::new(),
    };
    what.into_iter().chain([Write::NameLeft { key: edit.key.clone(), at }]).collect()
}

/// What an agency, a system or a service is called, and whose it is. One that stays whose it was says nothing new.
fn taken(edit: &Edit, at: UnixSeconds) -> Option<Write> {
    let owned = |entry: &Entry| match entry.document().read().ok()?.resource {
        Resource::Agency(document, spec) => {
            Some(Write::Document { document, code: spec.code, title: spec.title, since: at })
        }
        Resource::System(system, spec) => Some(Write::SystemOf { system, agency: spec.agency }),
        Resource::Service(service, spec) => Some(Write::ServiceOf { service, system: spec.system }),
        _ => None,
    };
    let after = owned(edit.after.as_deref()?)?;
    (edit.before.as_deref().and_then(owned) != Some(after.clone())).then_some(after)
}
