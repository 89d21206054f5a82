//! Decides what becomes of an offered revision, and keeps what is good.
//!
//! Guarantees: a revision serves whole or not at all; a document that cannot be used keeps its last good value, across
//! resyncs and restarts, while everything else of the revision serves; equal content rebuilds nothing.
//! Blocks while compiling: call it where blocking is allowed.

use std::collections::HashSet;
use std::sync::Arc;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::{NodeState, StatusError};
use lgsp_shared::resource::{CredentialState, Document, Kind};
use tokio::sync::watch;

use super::apply::Apply;
use super::health::{Reporter, SyncHealth, count};
use super::last_good::LastGood;
use super::rejection::{Offer, Rejection, judge};
use crate::snapshot::{DocumentProblem, Documents, Effect};

/// The most rounds in which last good values may step in; each round is a compilation. References go through at most
/// as many kinds.
const ROUNDS_MAX: usize = Kind::ALL.len() + 1;

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It already serves.
    Unchanged,
    /// It serves now, perhaps with last good values in it.
    Serves,
    /// It was refused as a whole.
    Rejected {
        /// Why.
        rejection: Rejection,
        /// Whether that was not known before.
        news: bool,
    },
}

/// What serves.
struct Serving {
    revision: Revision,
    hash: ContentHash,
    documents: Documents,
    unreadable: Vec<StatusError>,
    errors: Vec<StatusError>,
    /// Whether this process has tried all documents of the revision, so that trying again can bring nothing new.
    tried: bool,
}

impl Serving {
    fn copy(&self) -> LastGood {
        LastGood::new(self.revision, self.hash.clone(), self.documents.clone(), self.errors.clone())
    }
}

/// See the module.
pub(super) struct Keeper {
    apply: Arc<dyn Apply>,
    reporter: Reporter,
    health: Arc<SyncHealth>,
    last_good: watch::Sender<Option<Arc<LastGood>>>,
    serving: Option<Serving>,
    /// The last thing refused, until something is taken; the same again is no news.
    refused: Option<(Option<Revision>, Rejection)>,
}

impl Keeper {
    pub fn new(
        apply: Arc<dyn Apply>,
        reporter: Reporter,
        health: Arc<SyncHealth>,
        last_good: watch::Sender<Option<Arc<LastGood>>>,
    ) -> Self {
        Self { apply, reporter, health, last_good, serving: None, refused: None }
    }

    /// The documents that serve.
    pub fn documents(&self) -> Documents {
        self.serving.as_ref().map(|serving| serving.documents.clone()).unwrap_or_default()
    }

    /// Whether this very revision serves.
    pub fn serves(&self, revision: Revision, hash: &ContentHash) -> bool {
        self.serving.as_ref().is_some_and(|serving| serving.revision == revision && serving.hash == *hash)
    }

    /// Serves the copy a former process left.
    pub fn restore(&mut self, copy: LastGood) {
        let LastGood { format: _, revision, hash, documents, errors } = copy;
        let prepared = self.apply.prepare(revision, &hash, &documents);
        count(&self.health.counters().compilations);
        (prepared.publish)();
        let mut all: Vec<StatusError> = prepared.problems.iter().map(status_error).collect();
        let seen: HashSet<StatusError> = all.iter().cloned().collect();
        all.extend(errors.into_iter().filter(|error| !seen.contains(error)));
        let tried = all.is_empty();
        self.serving = Some(Serving { revision, hash, documents, unreadable: Vec::new(), errors: all, tried });
        self.report_serving(None);
    }

    /// Takes a revision, or says why not.
    pub fn take(&mut self, offer: Offer) -> Taken {
        if self.has_nothing_new(&offer) {
            count(&self.health.counters().revisions_unchanged);
            self.refused = None;
            self.report_serving(Some(offer.revision));
            return Taken::Unchanged;
        }
        let allowed = self.serving.as_ref().map_or(Ok(()), |now| judge(now.revision, &now.documents, &offer));
        if let Err(rejection) = allowed {
            let news = self.reject(Some(offer.revision), &rejection);
            return Taken::Rejected { rejection, news };
        }
        self.serve(offer);
        Taken::Serves
    }

    /// Reports that what is desired was refused as a whole. What serves, serves on. False when it is no news.
    pub fn reject(&mut self, desired: Option<Revision>, rejection: &Rejection) -> bool {
        let refused = Some((desired, rejection.clone()));
        if self.refused == refused {
            return false;
        }
        self.refused = refused;
        let state = match rejection {
            Rejection::NothingPublished => NodeState::Waiting,
            Rejection::HeadGone
            | Rejection::Head(_)
            | Rejection::Bundle(_)
            | Rejection::File { .. }
            | Rejection::Hash { .. }
            | Rejection::Older { .. }
            | Rejection::Emptied
            | Rejection::LargeRemoval { .. }
            | Rejection::TooLarge => NodeState::Rejected,
        };
        if state == NodeState::Rejected {
            count(&self.health.counters().revisions_rejected);
        }
        let mut errors = vec![StatusError::new(rejection.subject(), "", &rejection.to_string())];
        errors.extend(self.serving.iter().flat_map(|serving| serving.errors.iter().cloned()));
        self.reporter.set(state, desired, self.active(), &errors);
        true
    }

    /// Takes the same revision again when it is offered, and keeps a new copy of what serves: the keys have changed, so
    /// that secrets that did not open may open now, and the copy is sealed under the first of them.
    pub fn try_again(&mut self) {
        if let Some(serving) = &mut self.serving {
            serving.tried = false;
            self.last_good.send_replace(Some(Arc::new(serving.copy())));
        }
    }

    fn active(&self) -> Option<(Revision, ContentHash)> {
        self.serving.as_ref().map(|serving| (serving.revision, serving.hash.clone()))
    }

    fn has_nothing_new(&self, offer: &Offer) -> bool {
        self.serving.as_ref().is_some_and(|serving| {
            serving.tried
                && serving.revision == offer.revision
                && serving.hash == offer.hash
                && serving.unreadable == offer.unreadable
        })
    }

    fn serve(&mut self, offer: Offer) {
        let Offer { revision, hash, allow_large_removal: _, allow_older: _, documents, unreadable } = offer;
        let last_good = self.documents();
        let mut attempt = Attempt { documents, stepped_in: HashSet::new(), errors: unreadable.clone() };
        let mut prepared = self.apply.prepare(revision, &hash, &attempt.documents);
        count(&self.health.counters().compilations);
        for _ in 0..ROUNDS_MAX {
            if !attempt.step_in(&prepared.problems, &last_good) {
                break;
            }
            prepared = self.apply.prepare(revision, &hash, &attempt.documents);
            count(&self.health.counters().compilations);
        }
        let (documents, errors) = attempt.finish(&prepared.problems);
        (prepared.publish)();
        count(&self.health.counters().revisions_applied);
        let serving = Serving { revision, hash, documents, unreadable, errors, tried: true };
        self.last_good.send_replace(Some(Arc::new(serving.copy())));
        self.serving = Some(serving);
        self.refused = None;
        self.report_serving(Some(revision));
    }

    fn report_serving(&self, desired: Option<Revision>) {
        let errors = self.serving.as_ref().map(|serving| serving.errors.as_slice()).unwrap_or_default();
        let state = if errors.is_empty() { NodeState::Applied } else { NodeState::Degraded };
        self.reporter.set(state, desired, self.active(), errors);
    }
}

/// The documents of a revision while last good values step in for those that cannot be used.
struct Attempt {
    documents: Documents,
    stepped_in: HashSet<String>,
    errors: Vec<StatusError>,
}

impl Attempt {
    /// Lets last good values step in for documents of the first kind that has any to replace: what refers to them may
    /// be well once they are. False when there is nothing to replace.
    fn step_in(&mut self, problems: &[DocumentProblem], last_good: &Documents) -> bool {
        let candidates: Vec<(Kind, &DocumentProblem, Arc<Document>)> = problems
            .iter()
            .filter_map(|problem| {
                let (kind, name) = problem.document.split_once('/')?;
                Some((Kind::parse(kind)?, problem, last_good.get(kind, name)?.clone()))
            })
            .filter(|(_, problem, good)| self.may_step_in(problem, good))
            .collect();
        let Some(first) = candidates.iter().map(|(kind, ..)| *kind).min() else { return false };
        for (_, problem, good) in candidates.into_iter().filter(|(kind, ..)| *kind == first) {
            self.documents.insert(good);
            let message = format!("{}; its last good value serves", problem.message);
            self.errors.push(StatusError::new(&problem.document, &problem.path, &message));
            self.stepped_in.insert(problem.document.clone());
        }
        true
    }

    fn may_step_in(&self, problem: &DocumentProblem, good: &Document) -> bool {
        let Some(offered) = self.documents.get(&good.kind, &good.name) else { return false };
        problem.effect == Effect::LeftOut
            && !self.stepped_in.contains(&problem.document)
            && **offered != *good
            && !takes_away(offered)
    }

    /// The documents that took effect, and everything to report.
    fn finish(mut self, problems: &[DocumentProblem]) -> (Documents, Vec<StatusError>) {
        self.errors.extend(problems.iter().map(status_error));
        let left_out = problems.iter().filter(|problem| problem.effect == Effect::LeftOut);
        for (kind, name) in left_out.filter_map(|problem| problem.document.split_once('/')) {
            self.documents.remove(kind, name);
        }
        (self.documents, self.errors)
    }
}

/// Whether an unusable document still says clearly that its credential must not be used: no last good value may
/// bring a disabled credential back.
fn takes_away(document: &Document) -> bool {
    if document.kind != Kind::Credential.as_str() {
        return false;
    }
    let state = document.spec.get("state").map(|state| serde_json::from_value::<CredentialState>(state.clone()));
    !matches!(state, None | Some(Ok(CredentialState::Active | CredentialState::Retiring)))
}

fn status_error(problem: &DocumentProblem) -> StatusError {
    StatusError::new(&problem.document, &problem.path, &problem.message)
}

#[cfg(test)]
mod tests;
