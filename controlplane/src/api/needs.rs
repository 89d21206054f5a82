//! What a handler is given: the rooms, behind a right.
//!
//! A handler that wants to reach anything takes [`Needs`] with the right it needs, or says by [`Open`] that it needs none.
//! Nothing else opens the [`Gate`] that the router holds as its state, so a handler that forgets to ask reaches nothing.

use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::changes::ChangeResult;
use super::problem::{Code, Problem};
use super::{App, Rooms};
use crate::audit::Trail;
use crate::desired::sight::Sight;
use crate::desired::whole::Whole;
use crate::desired::{Audit, Mode, Outcome};
use crate::operator::accounts::Known;
use crate::operator::right::Named;
use crate::operator::{BearerKind, Operator, Right};

/// The longest message of a change, in characters.
const MESSAGE_CHARS_MAX: usize = 1_000;

/// The rooms, closed.
#[derive(Debug, Clone)]
pub struct Gate(App);

impl Gate {
    /// Closes them.
    pub fn new(app: App) -> Self {
        Self(app)
    }
}

/// Proof that whoever asks has the right `R`; opens the rooms.
#[derive(Debug)]
pub struct Needs<R> {
    app: App,
    known: Arc<Known>,
    trail: Trail,
    right: PhantomData<R>,
}

impl<R: Named> FromRequestParts<Gate> for Needs<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, Gate(app): &Gate) -> Result<Self, Problem> {
        // The guard lets nobody under `/v1` without an operator beside the request.
        let known = parts.extensions.get::<Arc<Known>>().cloned().ok_or_else(no_operator)?;
        let trail = parts.extensions.get::<Trail>().cloned().ok_or_else(no_operator)?;
        if known.must_change && R::RIGHT != Right::Myself {
            let next = "Run `lgspctl password`; nothing else is possible before.";
            return Err(Problem::new(Code::Forbidden, "the password was given by somebody else", next));
        }
        if !known.operator.may(R::RIGHT) {
            return Err(forbidden(&known, R::RIGHT));
        }
        Ok(Self { app: app.clone(), known, trail, right: PhantomData })
    }
}

impl<R> Deref for Needs<R> {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.app
    }
}

impl<R> Needs<R> {
    /// Who asks.
    pub fn operator(&self) -> &Operator {
        &self.known.operator
    }

    /// Who asks, and by which session or token.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What becomes the audit's entry. A handler notes what it is about, and hands it to what changes something.
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// What whoever asks sees of a revision. Whatever is shown of one passes through it.
    pub fn sight(&self, whole: &Whole) -> Sight {
        self.operator().authority().sight(whole)
    }

    /// The outcome of a change as whoever asked for it may see it.
    pub fn result(&self, outcome: Outcome, mode: Mode) -> ChangeResult {
        let sight = self.sight(&outcome.whole);
        ChangeResult::new(outcome, mode, &sight)
    }

    /// Who changes something now, why, and with which authority.
    pub fn audit(&self, message: &str) -> Result<Audit, Problem> {
        if message.chars().count() > MESSAGE_CHARS_MAX {
            return Err(Problem::malformed(format!("`message` is longer than {MESSAGE_CHARS_MAX} characters")));
        }
        let (author, authority) = (self.operator().name().to_owned(), self.operator().authority());
        let (at, trail) = (self.trail.at(), self.trail.clone());
        Ok(Audit { author, message: message.to_owned(), at, authority, trail })
    }
}

/// The rooms for a handler that anybody may ask.
#[derive(Debug)]
pub struct Open {
    app: App,
    trail: Option<Trail>,
}

impl Open {
    /// What becomes the audit's entry; only paths under `/v1` have one.
    pub fn trail(&self) -> Result<&Trail, Problem> {
        self.trail.as_ref().ok_or_else(no_operator)
    }
}

impl FromRequestParts<Gate> for Open {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, Gate(app): &Gate) -> Result<Self, Self::Rejection> {
        Ok(Self { app: app.clone(), trail: parts.extensions.get().cloned() })
    }
}

impl Deref for Open {
    type Target = Rooms;

    fn deref(&self) -> &Rooms {
        &self.app
    }
}

fn no_operator() -> Problem {
    Problem::new(Code::Unauthorized, "there is no operator token", "Send `Authorization: Bearer <token>`.")
}

fn forbidden(known: &Known, right: Right) -> Problem {
    let operator = &known.operator;
    let holders: Vec<String> = right.roles().iter().map(|role| format!("`{role}`")).collect();
    let detail = match operator.agency() {
        Some(agency) if !right.within_agency() => {
            format!("the right `{}` is over the whole platform, and you are bound to `Agency/{agency}`", right.label())
        }
        // A token may be worth less than its operator.
        Some(_) | None if known.bearer.kind == BearerKind::Token => {
            format!(
                "this takes the right `{}`, and this token of `{}` does not have it",
                right.label(),
                operator.name()
            )
        }
        Some(_) | None => {
            format!("this takes the right `{}`, and `{}` does not have it", right.label(), operator.name())
        }
    };
    let next = format!("It comes with the roles {}; a system administrator grants roles.", holders.join(", "));
    Problem::new(Code::Forbidden, detail, next)
}
