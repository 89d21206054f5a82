//! A change together with what is written beside it: one revision and its registry, all of it or nothing.

use std::collections::BTreeSet;

use lgsp_shared::id::SystemId;
use lgsp_shared::resource::{CredentialState, Kind, Resource};
use lgsp_shared::timestamp::UnixSeconds;

use super::change::{Change, Edit};
use super::whole::Entry;
use crate::store::registry::{Rule, Write};

/// What is done.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Deed {
    /// To the configuration; it may change nothing.
    pub change: Change,
    /// To the registry, in order.
    pub writes: Vec<Write>,
}

impl From<Change> for Deed {
    fn from(change: Change) -> Self {
        Self { change, writes: Vec::new() }
    }
}

/// What follows from the edits themselves: the directory learns which agencies have documents, a system that is gone
/// loses its approval, and no key appears for a system that has none.
pub fn consequences(edits: &[Edit], rule: Rule, at: UnixSeconds) -> Vec<Write> {
    // Removals first: a document that takes another's code comes after the one that had it.
    let gone = edits.iter().filter(|edit| edit.after.is_none()).filter_map(removal);
    let put = edits.iter().filter_map(|edit| document(edit, at));
    let insisted = newly_keyed(edits).into_iter().map(|system| Write::Insist { system, rule });
    gone.chain(put).chain(insisted).collect()
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

fn removal(edit: &Edit) -> Option<Write> {
    let name = edit.key.name.as_str();
    match edit.key.kind {
        Kind::Agency => Some(Write::DocumentGone { document: name.parse().ok()? }),
        Kind::System => Some(Write::Forget { system: name.parse().ok()? }),
        Kind::Defaults | Kind::Credential | Kind::Service | Kind::Route | Kind::Permission => None,
    }
}

fn document(edit: &Edit, at: UnixSeconds) -> Option<Write> {
    match edit.after.as_ref()?.document().read().ok()?.resource {
        Resource::Agency(document, spec) => {
            Some(Write::Document { document, code: spec.code, title: spec.title, since: at })
        }
        _ => None,
    }
}
