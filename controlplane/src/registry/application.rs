//! An application for connection (A8.4, A16.3–4): submitted → reviewing → approved or refused; cancelled at any time.
//!
//! Every transition is [`State::after`]. A decision needs a reason and the number of the official letter it was made
//! in: [`Decision`] exists only with both.

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AgencyId, Revision, ServiceId, SystemId};
use lgsp_shared::timestamp::UnixSeconds;
use serde::{Deserialize, Serialize};

use super::contact::Contact;
use super::directory::Identity;

/// The most services one application asks for.
pub const SERVICES_MAX: usize = 100;
/// The longest purpose or reason, in characters.
pub const REASON_CHARS_MAX: usize = 2_000;
/// The longest number of an official letter, such as `123/STP-VP`, in characters.
pub const LETTER_CHARS_MAX: usize = 100;

/// How an application stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// It has arrived.
    Submitted,
    /// Somebody examines it.
    Reviewing,
    /// Rights were granted; keys may be issued.
    Approved,
    /// It was turned down.
    Refused,
    /// It was taken back before a decision.
    Withdrawn,
    /// It had been approved, and the connection was ended.
    Cancelled,
}

/// What somebody does to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Hands it in; the first step of every application.
    Submit,
    /// Starts examining it.
    Review,
    /// Grants it.
    Approve,
    /// Turns it down.
    Refuse,
    /// Takes it back, or ends the connection it led to.
    Cancel,
}

/// An action that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an application that is {} cannot be {}", .state.label(), .action.participle())]
pub struct NotAllowed {
    /// The state.
    pub state: State,
    /// What was asked.
    pub action: Action,
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Submitted, State::Reviewing, State::Approved, State::Refused, State::Withdrawn, State::Cancelled];

    /// The state after an action: the whole machine.
    pub fn after(self, action: Action) -> Result<State, NotAllowed> {
        match (self, action) {
            (State::Submitted, Action::Review) => Ok(State::Reviewing),
            (State::Reviewing, Action::Approve) => Ok(State::Approved),
            (State::Reviewing, Action::Refuse) => Ok(State::Refused),
            (State::Submitted | State::Reviewing, Action::Cancel) => Ok(State::Withdrawn),
            (State::Approved, Action::Cancel) => Ok(State::Cancelled),
            (State::Submitted, Action::Submit | Action::Approve | Action::Refuse)
            | (State::Reviewing, Action::Submit | Action::Review)
            | (State::Approved, Action::Submit | Action::Review | Action::Approve | Action::Refuse)
            | (State::Refused | State::Withdrawn | State::Cancelled, _) => Err(NotAllowed { state: self, action }),
        }
    }

    /// The state as text.
    pub fn label(self) -> &'static str {
        match self {
            State::Submitted => "submitted",
            State::Reviewing => "reviewing",
            State::Approved => "approved",
            State::Refused => "refused",
            State::Withdrawn => "withdrawn",
            State::Cancelled => "cancelled",
        }
    }

    /// Reads a label.
    pub fn parse(text: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.label() == text)
    }
}

impl Action {
    /// Every action.
    pub const ALL: [Action; 5] = [Action::Submit, Action::Review, Action::Approve, Action::Refuse, Action::Cancel];

    /// The action as text.
    pub fn label(self) -> &'static str {
        match self {
            Action::Submit => "submit",
            Action::Review => "review",
            Action::Approve => "approve",
            Action::Refuse => "refuse",
            Action::Cancel => "cancel",
        }
    }

    /// Reads a label.
    pub fn parse(text: &str) -> Option<Action> {
        Action::ALL.into_iter().find(|action| action.label() == text)
    }

    fn participle(self) -> &'static str {
        match self {
            Action::Submit => "submitted again",
            Action::Review => "reviewed",
            Action::Approve => "approved; review it first",
            Action::Refuse => "refused; review it first",
            Action::Cancel => "cancelled",
        }
    }
}

/// What is asked for, as it was handed in; it never changes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The agency that asks.
    pub agency: AgencyCode,
    /// The name its document has or shall have; made of its title when absent.
    pub agency_name: Option<AgencyId>,
    /// The system to connect.
    pub system: SystemId,
    /// The full name people know the system by.
    pub system_title: String,
    /// Why, and on which legal ground.
    pub purpose: String,
    /// Which services it wants to use.
    pub services: Vec<Wanted>,
    /// The number of the agency's official letter.
    pub letter: String,
}

/// One service an application asks for: what the permission will say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Wanted {
    /// The service.
    pub service: ServiceId,
    /// Methods, in upper case.
    pub methods: Vec<String>,
    /// Path prefixes.
    pub paths: Vec<String>,
}

/// An application as it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Application {
    /// Its number.
    pub number: u64,
    /// How it stands.
    pub state: State,
    /// What is asked.
    pub request: Request,
    /// When it was handed in.
    pub submitted_at: UnixSeconds,
    /// Whose it is now, whatever became of the code it was handed in with; absent where no directory had that code.
    pub agency: Option<Identity>,
}

/// One step of an application's history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What was done.
    pub action: Action,
    /// By whom.
    pub actor: String,
    /// When.
    pub at: UnixSeconds,
    /// Why; empty where the action needs none.
    pub reason: String,
    /// The number of the official letter; empty where the action needs none.
    pub letter: String,
    /// The revision that carried it out, when it changed the configuration.
    pub revision: Option<Revision>,
}

impl Step {
    /// A step without reason and letter.
    pub fn new(action: Action, actor: &str, at: UnixSeconds) -> Self {
        Self { action, actor: actor.to_owned(), at, reason: String::new(), letter: String::new(), revision: None }
    }

    /// A step that a decision is carried out with.
    pub fn decided(action: Action, actor: &str, at: UnixSeconds, decision: &Decision) -> Self {
        let Decision { reason, letter } = decision.clone();
        Self { reason, letter, ..Self::new(action, actor, at) }
    }
}

/// A reason and the number of the official letter it is written in; exists only with both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    reason: String,
    letter: String,
}

/// Why something that was entered is not usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// A text that has to be there.
    #[error("`{field}` is empty; say {hint}")]
    Empty {
        /// Which.
        field: &'static str,
        /// What belongs there.
        hint: &'static str,
    },
    /// A text that is too long.
    #[error("`{field}` has more than {chars_max} characters; shorten it")]
    TooLong {
        /// Which.
        field: &'static str,
        /// How long it may be.
        chars_max: usize,
    },
    /// A list that is too long.
    #[error("`services` has more than {SERVICES_MAX} entries; hand in several applications")]
    TooManyServices,
}

impl Decision {
    /// A decision, with its reason and its letter.
    pub fn new(reason: &str, letter: &str) -> Result<Self, InvalidText> {
        let reason = filled("reason", reason, REASON_CHARS_MAX, "why, for the agency and the history")?;
        let letter =
            filled("letter", letter, LETTER_CHARS_MAX, "the number of the official letter, such as `12/STTTT-CNTT`")?;
        Ok(Self { reason, letter })
    }

    /// Why.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The number of the official letter.
    pub fn letter(&self) -> &str {
        &self.letter
    }
}

impl Request {
    /// Checks the texts; identifiers were checked when they were read, and the configuration checks what it becomes.
    pub fn checked(mut self) -> Result<Self, InvalidText> {
        self.purpose = filled("purpose", &self.purpose, REASON_CHARS_MAX, "what the connection is for")?;
        self.system_title = filled(
            "system_title",
            &self.system_title,
            lgsp_shared::validate::TITLE_CHARS_MAX,
            "the system's full name",
        )?;
        self.letter = filled("letter", &self.letter, LETTER_CHARS_MAX, "the number of the agency's official letter")?;
        if self.services.len() > SERVICES_MAX {
            return Err(InvalidText::TooManyServices);
        }
        Ok(self)
    }
}

/// A text that has to be there.
pub fn filled(field: &'static str, text: &str, chars_max: usize, hint: &'static str) -> Result<String, InvalidText> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(InvalidText::Empty { field, hint }),
        chars if chars > chars_max => Err(InvalidText::TooLong { field, chars_max }),
        _ => Ok(text.to_owned()),
    }
}

/// A new application with its people, before it has a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Submission {
    /// What is asked.
    pub request: Request,
    /// Who answers for the system.
    pub contacts: Vec<Contact>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn actions() -> impl Strategy<Value = Vec<Action>> {
        proptest::collection::vec(proptest::sample::select(Action::ALL.to_vec()), 0..12)
    }

    proptest! {
        #[test]
        fn whatever_is_tried_an_approval_follows_a_review_and_an_end_is_an_end(actions in actions()) {
            let (mut state, mut done) = (State::Submitted, Vec::new());
            for action in actions {
                let ended = !matches!(state, State::Submitted | State::Reviewing | State::Approved);
                match state.after(action) {
                    Ok(next) => {
                        prop_assert!(!ended && next != state, "{state:?} {action:?}");
                        (state, done) = (next, [done, vec![action]].concat());
                    }
                    Err(error) => prop_assert_eq!(error, NotAllowed { state, action }),
                }
                let reviewed = done.contains(&Action::Review);
                prop_assert!(reviewed || !matches!(state, State::Approved | State::Refused | State::Cancelled));
                prop_assert_eq!(state == State::Cancelled, done.contains(&Action::Approve) && done.contains(&Action::Cancel));
                prop_assert!(done.iter().filter(|action| **action == Action::Approve).count() <= 1);
            }
        }
    }

    #[test]
    fn labels_are_read_back_and_nothing_else_is() {
        assert!(State::ALL.into_iter().all(|state| State::parse(state.label()) == Some(state)));
        assert!(Action::ALL.into_iter().all(|action| Action::parse(action.label()) == Some(action)));
        assert_eq!((State::parse("open"), Action::parse("")), (None, None));
    }

    #[test]
    fn a_decision_needs_a_reason_and_a_letter() {
        assert!(Decision::new("đủ điều kiện", "12/STTTT").is_ok());
        for (reason, letter) in [("", "12"), ("ok", " "), (&"a".repeat(2_001), "12"), ("ok", &"1".repeat(101))] {
            assert!(Decision::new(reason, letter).is_err());
        }
    }

    #[test]
    fn an_error_says_what_stands_in_the_way() {
        let error = State::Submitted.after(Action::Approve).unwrap_err().to_string();
        assert_eq!(error, "an application that is submitted cannot be approved; review it first");
    }
}
