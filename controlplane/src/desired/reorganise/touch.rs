//! What an operation touches: every agency, system, key, service, route and permission, and what becomes of it.

use std::collections::HashSet;

use lgsp_shared::resource::{CredentialState, Document, Kind, Resource};

use super::{Belongings, Moves};
use crate::desired::change::Edit;
use crate::desired::whole::Whole;

/// What becomes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is new.
    Added,
    /// It is changed.
    Changed,
    /// It is removed.
    Removed,
    /// A key that stays valid.
    StaysValid,
    /// A key that was disabled before.
    StaysDisabled,
    /// A key that is refused from then on.
    Disabled,
    /// It stays as it is.
    Stays,
    /// A permission that no longer grants anything.
    Withdrawn,
    /// It stays, but its system has no key any more.
    Unreachable,
}

impl Effect {
    /// The effect as text.
    pub fn label(self) -> &'static str {
        match self {
            Effect::Added => "added",
            Effect::Changed => "changed",
            Effect::Removed => "removed",
            Effect::StaysValid => "stays-valid",
            Effect::StaysDisabled => "stays-disabled",
            Effect::Disabled => "disabled",
            Effect::Stays => "stays",
            Effect::Withdrawn => "withdrawn",
            Effect::Unreachable => "unreachable",
        }
    }
}

/// One document an operation touches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touch {
    /// `Kind/name`.
    pub document: String,
    /// What becomes of it.
    pub effect: Effect,
}

/// Everything an operation touches, in the order of kinds and names: what `edits` change, and what hangs on the systems
/// it moves.
pub fn touches(whole: &Whole, moves: &Moves, edits: &[Edit]) -> Vec<Touch> {
    let belongings = Belongings::of(whole, moves);
    let ends = moves.values().any(|destination| destination.to.is_none());
    let credential = |key| match whole.get(key).map(state) {
        Some(Some(CredentialState::Disabled)) => Effect::StaysDisabled,
        _ => Effect::StaysValid,
    };
    let left = if ends { Effect::Unreachable } else { Effect::Stays };
    let services = belongings.services.iter().map(|name| (Kind::Service, format!("{}/{name}", Kind::Service), left));
    let routes = belongings.routes.iter().map(|key| (Kind::Route, key.to_string(), left));
    let credentials = belongings.credentials.iter().map(|key| (Kind::Credential, key.to_string(), credential(key)));
    let permissions = belongings.permissions.iter().map(|key| (Kind::Permission, key.to_string(), Effect::Stays));
    let mut touched: Vec<(Kind, String, Effect)> = edits.iter().map(edited).collect();
    let systems = moves.keys().map(|system| (Kind::System, format!("{}/{system}", Kind::System), Effect::Stays));
    let known: HashSet<String> = touched.iter().map(|(_, document, _)| document.clone()).collect();
    let left_alone = systems.chain(credentials).chain(services).chain(routes).chain(permissions);
    touched.extend(left_alone.filter(|(_, document, _)| !known.contains(document)));
    touched.sort_by(|one, other| (one.0, &one.1).cmp(&(other.0, &other.1)));
    touched.into_iter().map(|(_, document, effect)| Touch { document, effect }).collect()
}

fn edited(edit: &Edit) -> (Kind, String, Effect) {
    let effect = match (edit.key.kind, &edit.before, &edit.after) {
        (Kind::Permission, Some(_), None) => Effect::Withdrawn,
        (Kind::Credential, Some(_), Some(_)) => Effect::Disabled,
        (_, _, None) => Effect::Removed,
        (_, None, Some(_)) => Effect::Added,
        (_, Some(_), Some(_)) => Effect::Changed,
    };
    (edit.key.kind, edit.key.to_string(), effect)
}

fn state(document: &Document) -> Option<CredentialState> {
    match document.read().ok()?.resource {
        Resource::Credential(_, spec) => Some(spec.state),
        _ => None,
    }
}

impl Belongings {
    fn of(whole: &Whole, moves: &Moves) -> Self {
        let mut found = Self::default();
        for (key, entry) in whole.entries().iter() {
            match entry.document().read().map(|read| read.resource) {
                Ok(Resource::Credential(_, spec)) if moves.contains_key(&spec.system) => {
                    found.credentials.push(key.clone());
                }
                Ok(Resource::Service(name, spec)) if moves.contains_key(&spec.system) => {
                    found.services.insert(name.to_string());
                }
                Ok(Resource::Route(_, spec)) if found.services.contains(spec.service.as_str()) => {
                    found.routes.push(key.clone());
                }
                Ok(Resource::Permission(_, spec))
                    if moves.contains_key(&spec.source) || found.services.contains(spec.service.as_str()) =>
                {
                    found.permissions.push(key.clone());
                }
                Ok(_) | Err(_) => {}
            }
        }
        found
    }
}
