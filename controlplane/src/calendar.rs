//! What happens on its day: scheduled reorganisations are carried out.
//!
//! Every control plane does this. A reorganisation happens once however many try: it is carried out in the transaction
//! that finds it still scheduled. It is done in the name of its author, so it is held when the author may no longer do it.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::audit::Trail;
use crate::desired::reorganise::{self, Facts};
use crate::desired::{Audit, Authority, ChangeError, Desired, Mode, Outcome, Whole};
use crate::operator::{Operator, Right};
use crate::registry::application::State as ApplicationState;
use crate::registry::reorganisation::{Operation, Reorganisation, State};
use crate::runtime::now;
use crate::store::registry::application::{APPLICATIONS_PAGE_MAX, Applications};
use crate::store::{Store, StoreError};

/// Between two looks: how late something scheduled happens. One indexed query each.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Looks until `stop`; what was begun is finished.
pub async fn run(desired: Arc<Desired>, mut stop: watch::Receiver<bool>) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        match desired.store().reorganisations_due(now()).await {
            Ok(due) => carry_out_all(&desired, due).await,
            Err(error) => tracing::warn!(%error, "the calendar cannot be read; tried again"),
        }
    }
}

async fn carry_out_all(desired: &Desired, due: Vec<Reorganisation>) {
    for one in due {
        let (number, operation) = (one.number, one.operation.label());
        let trail = trail(&one);
        match may_still(desired.store(), &one.author).await {
            Ok(true) => {}
            Ok(false) => {
                hold(desired, &one, &trail).await;
                continue;
            }
            Err(error) => {
                tracing::warn!(number, %error, "reorganisation delayed; tried again");
                continue;
            }
        }
        match carry_out(desired, &one, Mode::Commit, trail.clone()).await {
            Ok(outcome) => tracing::info!(
                reorganisation = number,
                operation,
                revision = outcome.whole.revision().0,
                "reorganisation carried out"
            ),
            Err(ChangeError::Store(error)) => tracing::warn!(number, %error, "reorganisation delayed; tried again"),
            Err(ChangeError::Interrupted) => {}
            Err(error) => {
                let failure = told(&error);
                match desired.store().end_reorganisation(number, State::Failed, Some(&failure), &trail).await {
                    Ok(true) => {
                        tracing::error!(
                            number,
                            operation,
                            failure,
                            "a reorganisation cannot be carried out on its day"
                        );
                    }
                    // Another control plane was faster, and so it fails here.
                    Ok(false) => {}
                    Err(error) => tracing::warn!(number, %error, "the failure is not noted yet; tried again"),
                }
            }
        }
    }
}

/// Whether this operator may carry out a reorganisation now.
async fn may_still(store: &Store, author: &str) -> Result<bool, StoreError> {
    let Ok(name) = author.parse() else { return Ok(false) };
    let Some(row) = store.operator(&name).await? else { return Ok(false) };
    Ok(!row.disabled && Operator::new(author, row.roles, row.agency).may(Right::Register))
}

async fn hold(desired: &Desired, one: &Reorganisation, trail: &Trail) {
    let (number, author) = (one.number, one.author.as_str());
    let failure = format!(
        "its author `{author}` may no longer reorganise; resume it in your own name (`lgspctl agency \
         resume-reorganisation {number}`), or call it off"
    );
    match desired.store().end_reorganisation(number, State::Held, Some(&failure), trail).await {
        Ok(true) => tracing::error!(number, author, "a reorganisation is held: its author may no longer do it"),
        // Another control plane was faster.
        Ok(false) => {}
        Err(error) => tracing::warn!(number, %error, "that it is held is not noted yet; tried again"),
    }
}

/// Nobody asks on the day itself: it is done in the name of whoever entered it.
fn trail(one: &Reorganisation) -> Trail {
    let action = "lgsp-controlplane calendar".to_owned();
    let trail = Trail::new(now(), Ipv4Addr::LOCALHOST.into(), action, format!("reorganisation {}", one.number));
    trail.by(&one.author, "");
    trail
}

/// Carries a reorganisation out, or tells what it would do.
pub async fn carry_out(
    desired: &Desired,
    one: &Reorganisation,
    mode: Mode,
    trail: Trail,
) -> Result<Outcome, ChangeError> {
    let (author, at, message) = (one.author.clone(), trail.at(), message(one));
    let audit = Audit { author, message, at, authority: Authority::everything(), trail };
    let facts_now = async || facts(desired, &one.operation).await.map_err(ChangeError::Store);
    loop {
        let facts = facts_now().await?;
        let make = {
            let (one, facts) = (one.clone(), facts.clone());
            move |whole: &Whole, _: &_| reorganise::carry_out(whole, &one, &facts)
        };
        match desired.carry_out(mode, audit.clone(), make).await {
            // Something it is about was decided in between, which is no reason to fail for good.
            Err(ChangeError::NotNow(_)) if facts_now().await? != facts => {}
            done => return done,
        }
    }
}

/// What the directory and the applications say about an operation now.
pub async fn facts(desired: &Desired, operation: &Operation) -> Result<Facts, StoreError> {
    let store = desired.store();
    let mut facts = Facts { names: store.former_names().await?, ..Facts::default() };
    let codes = operation.from().into_iter().chain(operation.to().into_iter().map(|successor| &successor.code));
    for code in codes {
        if let Some(agency) = store.agency(code).await? {
            facts.agencies.insert(code.clone(), agency);
        }
    }
    if let Operation::Dissolve { code } = operation {
        // An agency that is in no directory is refused before anything is done.
        let Some(agency) = facts.agencies.get(code).cloned() else { return Ok(facts) };
        let systems = systems_of(&desired.current(), operation);
        for state in [ApplicationState::Approved, ApplicationState::Submitted, ApplicationState::Reviewing] {
            let of_agency = Applications {
                state: Some(state),
                agency: Some(agency.identity),
                limit: APPLICATIONS_PAGE_MAX,
                ..Applications::default()
            };
            facts.applications.extend(store.applications(&of_agency).await?.into_iter().map(|one| (one.number, state)));
        }
        for system in systems {
            let of_system = Applications {
                state: Some(ApplicationState::Approved),
                system: Some(system),
                limit: APPLICATIONS_PAGE_MAX,
                ..Applications::default()
            };
            let found = store.applications(&of_system).await?;
            facts.applications.extend(found.into_iter().map(|one| (one.number, ApplicationState::Approved)));
        }
        facts.applications.sort_by_key(|(number, _)| *number);
        facts.applications.dedup_by_key(|(number, _)| *number);
    }
    Ok(facts)
}

fn systems_of(whole: &Whole, operation: &Operation) -> Vec<lgsp_shared::id::SystemId> {
    reorganise::moves(whole, operation).map(|moves| moves.into_keys().collect()).unwrap_or_default()
}

/// What it does, for the history and the audit.
pub fn message(one: &Reorganisation) -> String {
    let from: Vec<&str> = one.operation.from().into_iter().map(|code| code.as_str()).collect();
    let to: Vec<&str> = one.operation.to().into_iter().map(|successor| successor.code.as_str()).collect();
    let into = if to.is_empty() { String::new() } else { format!(" into {}", to.join(", ")) };
    format!("{} of {}{into}, letter {}", one.operation.label(), from.join(", "), one.decision.letter())
}

/// An error with everything it lists, for the operator who reads it later.
fn told(error: &ChangeError) -> String {
    match error {
        ChangeError::Refused(problems) => {
            let lines = problems.iter().map(|one| format!("{}: {}: {}", one.document, one.path, one.message));
            lines.collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
