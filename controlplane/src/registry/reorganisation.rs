//! Rename, split, merge, dissolve (A8.5): what was asked, checked as far as it can be without the directory.

use std::collections::{BTreeMap, BTreeSet};

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{Revision, SystemId};
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};

/// How long an old code resolves when nothing else is said: half a year.
pub const ALIAS_SECS_DEFAULT: i64 = 180 * 86_400;
/// The longest alias window: ten years.
pub const ALIAS_SECS_MAX: i64 = 3_650 * 86_400;
/// The furthest a reorganisation may be scheduled ahead: two years.
pub const AHEAD_SECS_MAX: i64 = 730 * 86_400;
/// The most agencies one operation names, and the most systems it assigns.
pub const PARTIES_MAX: usize = 500;
/// The longest chain of successors that is followed.
pub const CHAIN_MAX: usize = 64;

/// The agency that takes over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Its code.
    pub code: AgencyCode,
    /// Its name.
    pub title: String,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Operation {
    /// One agency gets another code, another name, or both.
    Rename {
        /// The code it has.
        code: AgencyCode,
        /// What it will be.
        to: Successor,
    },
    /// One agency becomes several; every system is told where it goes.
    Split {
        /// The agency that is split.
        code: AgencyCode,
        /// What it becomes; one of them may keep the code.
        into: Vec<Successor>,
        /// Which system goes to which of them.
        systems: BTreeMap<SystemId, AgencyCode>,
    },
    /// Several agencies become one, with all their systems.
    Merge {
        /// The agencies that are merged.
        codes: Vec<AgencyCode>,
        /// What they become: a new agency, an existing one, or one of them.
        into: Successor,
    },
    /// An agency ends without a successor.
    Dissolve {
        /// The agency.
        code: AgencyCode,
    },
}

/// An operation that cannot be meant.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOperation {
    /// Too few parties.
    #[error("a {0} needs at least two different agencies; `rename` takes one agency to one")]
    TooFew(&'static str),
    /// Too many parties.
    #[error("more than {PARTIES_MAX} agencies or systems in one operation; do it in parts")]
    TooMany,
    /// One named twice.
    #[error("`{0}` is named twice; name it once")]
    Twice(AgencyCode),
    /// A name that is no name.
    #[error("`{code}`: {error}")]
    Title {
        /// Whose.
        code: AgencyCode,
        /// What is wrong with it.
        error: super::directory::InvalidTitle,
    },
    /// A system sent to an agency that is no part of it.
    #[error("`System/{system}` goes to `{code}`, which is none of the successors")]
    Elsewhere {
        /// The system.
        system: SystemId,
        /// Where it was sent.
        code: AgencyCode,
    },
}

impl Operation {
    /// The operation as text.
    pub fn label(&self) -> &'static str {
        match self {
            Operation::Rename { .. } => "rename",
            Operation::Split { .. } => "split",
            Operation::Merge { .. } => "merge",
            Operation::Dissolve { .. } => "dissolve",
        }
    }

    /// The agencies it begins with.
    pub fn from(&self) -> Vec<&AgencyCode> {
        match self {
            Operation::Rename { code, to: _ } | Operation::Split { code, .. } | Operation::Dissolve { code } => {
                vec![code]
            }
            Operation::Merge { codes, into: _ } => codes.iter().collect(),
        }
    }

    /// The agencies it ends with.
    pub fn to(&self) -> Vec<&Successor> {
        match self {
            Operation::Rename { code: _, to } => vec![to],
            Operation::Split { into, .. } => into.iter().collect(),
            Operation::Merge { codes: _, into } => vec![into],
            Operation::Dissolve { code: _ } => Vec::new(),
        }
    }

    /// The codes that end with it: those it begins with and does not end with.
    pub fn ending(&self) -> Vec<&AgencyCode> {
        let to = self.to();
        self.from().into_iter().filter(|code| to.iter().all(|successor| successor.code != **code)).collect()
    }

    /// Checks what can be checked without knowing what there is.
    pub fn checked(mut self) -> Result<Self, InvalidOperation> {
        let successors = match &mut self {
            Operation::Rename { code: _, to } => vec![to],
            Operation::Split { into, .. } => into.iter_mut().collect(),
            Operation::Merge { codes: _, into } => vec![into],
            Operation::Dissolve { code: _ } => Vec::new(),
        };
        for Successor { code, title } in successors {
            *title = super::directory::title(title)
                .map_err(|error| InvalidOperation::Title { code: code.clone(), error })?;
        }
        let (from, to) = (self.from(), self.to());
        distinct(from.iter().copied())?;
        distinct(to.iter().map(|successor| &successor.code))?;
        match &self {
            Operation::Split { into, .. } if into.len() < 2 => return Err(InvalidOperation::TooFew("split")),
            Operation::Merge { codes, into } if codes.iter().chain([&into.code]).collect::<BTreeSet<_>>().len() < 2 => {
                return Err(InvalidOperation::TooFew("merge"));
            }
            Operation::Split { code: _, into, systems } => {
                if systems.len() > PARTIES_MAX {
                    return Err(InvalidOperation::TooMany);
                }
                let goes_elsewhere = |code: &AgencyCode| into.iter().all(|successor| successor.code != *code);
                if let Some((system, code)) = systems.iter().find(|(_, code)| goes_elsewhere(code)) {
                    return Err(InvalidOperation::Elsewhere { system: system.clone(), code: code.clone() });
                }
            }
            Operation::Merge { .. } | Operation::Rename { .. } | Operation::Dissolve { .. } => {}
        }
        Ok(self)
    }
}

fn distinct<'a>(codes: impl Iterator<Item = &'a AgencyCode>) -> Result<(), InvalidOperation> {
    let mut seen = BTreeSet::new();
    for code in codes {
        if !seen.insert(code) {
            return Err(InvalidOperation::Twice(code.clone()));
        }
        if seen.len() > PARTIES_MAX {
            return Err(InvalidOperation::TooMany);
        }
    }
    Ok(())
}

/// How a reorganisation stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its day has not come.
    Scheduled,
    /// It was carried out.
    Applied,
    /// It was called off before its day.
    Cancelled,
    /// On its day it could not be carried out; `error` says why. Nothing was changed.
    Failed,
    /// On its day its author no longer had the right to it. Nothing was changed; it waits until somebody who has the right
    /// resumes it or calls it off.
    Held,
}

impl State {
    /// Every state.
    pub const ALL: [State; 5] = [State::Scheduled, State::Applied, State::Cancelled, State::Failed, State::Held];

    /// The state as text.
    pub fn label(self) -> &'static str {
        match self {
            State::Scheduled => "scheduled",
            State::Applied => "applied",
            State::Cancelled => "cancelled",
            State::Failed => "failed",
            State::Held => "held",
        }
    }

    /// Reads a label.
    pub fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.label() == text)
    }
}

/// A reorganisation as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reorganisation {
    /// Its number; 0 before it was stored.
    pub number: u64,
    /// How it stands.
    pub state: State,
    /// What happens.
    pub operation: Operation,
    /// From when on.
    pub effective: UnixSeconds,
    /// Until when old codes resolve.
    pub alias_until: UnixSeconds,
    /// Why, and in which official letter.
    pub decision: super::application::Decision,
    /// Who asked.
    pub author: String,
    /// When it was asked.
    pub created_at: UnixSeconds,
    /// The revision that carried it out, when it changed the configuration.
    pub revision: Option<Revision>,
    /// Why it failed.
    pub error: Option<String>,
}

/// One link from an old code to what came after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Succession {
    /// The code before.
    pub old: AgencyCode,
    /// The code after; none when it was dissolved.
    pub new: Option<AgencyCode>,
    /// What happened: a label of [`Operation`].
    pub operation: String,
    /// The reorganisation.
    pub reorganisation: u64,
    /// When.
    pub at: UnixSeconds,
    /// Until when the old code resolves.
    pub alias_until: UnixSeconds,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> AgencyCode {
        text.parse().unwrap()
    }

    fn successor(text: &str) -> Successor {
        Successor { code: code(text), title: format!("Sở {text}") }
    }

    #[test]
    fn what_ends_is_what_no_successor_keeps() {
        let split = Operation::Split {
            code: code("H61.1"),
            into: vec![successor("H61.1"), successor("H61.2")],
            systems: BTreeMap::new(),
        };
        assert!(split.ending().is_empty());
        let merge = Operation::Merge { codes: vec![code("H61.1"), code("H61.2")], into: successor("H61.2") };
        assert_eq!(merge.ending(), [&code("H61.1")]);
        assert_eq!(Operation::Dissolve { code: code("H61.1") }.ending(), [&code("H61.1")]);
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let split = |into: Vec<Successor>, systems: BTreeMap<SystemId, AgencyCode>| {
            Operation::Split { code: code("H61.1"), into, systems }.checked()
        };
        assert_eq!(split(vec![successor("H61.2")], BTreeMap::new()), Err(InvalidOperation::TooFew("split")));
        let twice = split(vec![successor("H61.2"), successor("H61.2")], BTreeMap::new());
        assert_eq!(twice, Err(InvalidOperation::Twice(code("H61.2"))));
        let elsewhere = BTreeMap::from([("s".parse().unwrap(), code("H61.9"))]);
        let error = split(vec![successor("H61.2"), successor("H61.3")], elsewhere).unwrap_err();
        assert_eq!(error.to_string(), "`System/s` goes to `H61.9`, which is none of the successors");
        let itself = Operation::Merge { codes: vec![code("H61.1")], into: successor("H61.1") };
        assert_eq!(itself.checked(), Err(InvalidOperation::TooFew("merge")));
        let nameless =
            Operation::Rename { code: code("H61.1"), to: Successor { code: code("H61.1"), title: " ".into() } };
        assert!(matches!(nameless.checked(), Err(InvalidOperation::Title { .. })));
    }

    #[test]
    fn an_operation_is_read_as_it_was_written() {
        let merge = Operation::Merge { codes: vec![code("H61.1"), code("H61.2")], into: successor("H61.3") };
        let json = serde_json::to_value(&merge).unwrap();
        assert_eq!(json["kind"], "merge");
        assert_eq!(serde_json::from_value::<Operation>(json).unwrap(), merge);
    }
}
