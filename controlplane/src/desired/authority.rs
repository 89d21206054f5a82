//! What the author of a change may change: which kinds, and within which agency.
//!
//! Checked before the whole is validated, so that whoever is bound to one agency learns nothing about others from what
//! validation says.

use std::collections::{BTreeSet, HashSet};

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{Document, Kind};
use lgsp_shared::validate::Problem;

use super::ChangeError;
use super::change::{Change, edits};
use super::ownership::{self, Door};
use super::sight::{Own, Sight};
use super::whole::Whole;

/// What an author may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    kinds: BTreeSet<Kind>,
    agency: Option<AgencyId>,
}

impl Authority {
    /// These kinds; only what belongs to `agency`, where one is given.
    pub fn new(kinds: BTreeSet<Kind>, agency: Option<AgencyId>) -> Self {
        Self { kinds, agency }
    }

    /// Every kind of every agency.
    pub fn everything() -> Self {
        Self::new(Kind::ALL.into(), None)
    }

    /// What the author sees of the whole.
    pub fn sight(&self, whole: &Whole) -> Sight {
        Sight::new(whole, self.agency.as_ref(), self.kinds.contains(&Kind::Credential))
    }

    /// Refuses a change that goes beyond it.
    pub fn check(&self, current: &Whole, change: &Change, door: Door) -> Result<(), ChangeError> {
        if let Some(agency) = &self.agency {
            self.check_scope(current, change, agency)?;
        }
        let touched: BTreeSet<Kind> =
            edits(current, &change.puts, &change.deletes).into_iter().map(|edit| edit.key.kind).collect();
        let missing: Vec<&str> = touched.difference(&self.kinds).map(|kind| kind.as_str()).collect();
        if !missing.is_empty() {
            return Err(ChangeError::Forbidden { what: missing.join(", ") });
        }
        let refusals = ownership::refusals(current, change, door, self.agency.as_ref());
        if refusals.is_empty() { Ok(()) } else { Err(ChangeError::Refused(refusals)) }
    }

    /// Every document named must be the agency's, as it is and as it would be.
    fn check_scope(&self, current: &Whole, change: &Change, agency: &AgencyId) -> Result<(), ChangeError> {
        let beyond = |document: &dyn std::fmt::Display| ChangeError::Forbidden {
            what: format!("`{document}`, which is not known to belong to `Agency/{agency}`"),
        };
        let own = Own::of(current, agency);
        let mut own_then = own.clone();
        // Twice, because a service may come before its system.
        change.puts.iter().chain(&change.puts).for_each(|put| own_then.take_in(put));
        for key in &change.deletes {
            if !current.get(key).is_some_and(|document| own.owns(document)) {
                return Err(beyond(key));
            }
        }
        for put in &change.puts {
            // One without a valid key is refused by validation.
            let Ok(key) = put.key() else { continue };
            let before = current.get(&key).is_none_or(|document| own.owns(document));
            if !before || !own_then.owns(put) {
                return Err(beyond(&key));
            }
        }
        Ok(())
    }

    /// Leaves of a refusal what the author may know.
    pub fn narrow(&self, current: &Whole, change: &Change, error: ChangeError) -> ChangeError {
        match error {
            ChangeError::Refused(problems) if self.agency.is_some() => {
                ChangeError::Refused(self.narrowed(current, change, problems))
            }
            other => other,
        }
    }

    /// Leaves of problems and warnings what the author may know; what is left out is said to be so.
    pub fn narrowed(&self, current: &Whole, change: &Change, problems: Vec<Problem>) -> Vec<Problem> {
        let Some(agency) = &self.agency else { return problems };
        let sight = self.sight(current);
        let named = change.puts.iter().map(Document::label).chain(change.deletes.iter().map(ToString::to_string));
        let seen = current.documents().filter(|document| sight.sees(document)).map(Document::label);
        let known: HashSet<String> = named.chain(seen).collect();
        let (mut kept, hidden): (Vec<_>, Vec<_>) =
            problems.into_iter().partition(|problem| known.contains(&problem.document));
        if !hidden.is_empty() {
            let message = "it would break what belongs to others; ask a service administrator".to_owned();
            kept.push(Problem { document: format!("Agency/{agency}"), path: "spec".to_owned(), message });
        }
        kept
    }
}

#[cfg(test)]
mod tests;
