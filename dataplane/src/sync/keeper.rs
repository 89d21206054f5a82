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
use lgsp_shared::seal::origin::Lineage;
use tokio::sync::watch;

use super::apply::Apply;
use super::health::{Reporter, SyncHealth, count};
use super::last_good::LastGood;
use super::notices::Notices;
use super::origin::Origin;
use super::rejection::{Offer, Rejection, judge_order, judge_removal};
use super::seen::Seen;
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
    /// Absent when it is unmarked.
    lineage: Option<Lineage>,
    documents: Documents,
    unreadable: Vec<StatusError>,
    errors: Vec<StatusError>,
    /// Whether this process has tried all documents of the revision, so that trying again can bring nothing new.
    tried: bool,
}

impl Serving {
    fn copy(&self, seen: &Seen) -> LastGood {
        LastGood::new(self.revision, self.hash.clone(), self.documents.clone(), self.errors.clone())
            .with_origin(self.lineage.clone(), seen.clone())
    }
}

/// See the module.
pub(super) struct Keeper {
    apply: Arc<dyn Apply>,
    reporter: Reporter,
    health: Arc<SyncHealth>,
    last_good: watch::Sender<Option<Arc<LastGood>>>,
    serving: Option<Serving>,
    seen: Seen,
    notices: Arc<Notices>,
    /// The last thing refused, until something is taken; the same again is no news.
    refused: Option<(Option<Revision>, Rejection)>,
}

impl Keeper {
    pub fn new(
        apply: Arc<dyn Apply>,
        reporter: Reporter,
        health: Arc<SyncHealth>,
        last_good: watch::Sender<Option<Arc<LastGood>>>,
        notices: Arc<Notices>,
    ) -> Self {
        let seen = Seen::default();
        Self { apply, reporter, health, last_good, serving: None, seen, notices, refused: None }
    }

    /// Remembers what a former process has seen, whether or not it left a copy.
    pub fn remember(&mut self, seen: Seen) {
        self.seen = seen;
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
        let LastGood { format: _, revision, hash, documents, errors, lineage, seen: _ } = copy;
        self.notices.set_unmarked(lineage.is_none());
        let prepared = self.apply.prepare(revision, &hash, &documents);
        count(&self.health.counters().compilations);
        (prepared.publish)();
        let mut all: Vec<StatusError> = prepared.problems.iter().map(status_error).collect();
        let seen: HashSet<StatusError> = all.iter().cloned().collect();
        all.extend(errors.into_iter().filter(|error| !seen.contains(error)));
        let tried = all.is_empty();
        self.serving = Some(Serving { revision, hash, lineage, documents, unreadable: Vec::new(), errors: all, tried });
        self.report_serving(None);
    }

    /// Takes a revision, or says why not.
    pub fn take(&mut self, offer: Offer) -> Taken {
        if let Err(rejection) = self.judge(&offer) {
            let news = self.reject(Some(offer.revision), &rejection);
            return Taken::Rejected { rejection, news };
        }
        if self.has_nothing_new(&offer) {
            count(&self.health.counters().revisions_unchanged);
            self.takes_origin(&offer.origin);
            self.refused = None;
            self.report_serving(Some(offer.revision));
            return Taken::Unchanged;
        }
        self.serve(offer);
        Taken::Serves
    }

    fn judge(&self, offer: &Offer) -> Result<(), Rejection> {
        judge_order(self.serving.as_ref().map(|serving| serving.revision), &self.seen, offer)?;
        match &self.serving {
            Some(serving) if !self.has_nothing_new(offer) => judge_removal(&serving.documents, offer),
            Some(_) | None => Ok(()),
        }
    }

    /// What serves is offered again, now marked or for another line: kept so, without compiling anything.
    fn takes_origin(&mut self, origin: &Origin) {
        let Some(serving) = &mut self.serving else { return };
        let Some(lineage) = origin.lineage().filter(|lineage| serving.lineage.as_ref() != Some(*lineage)) else {
            return;
        };
        serving.lineage = Some(lineage.clone());
        self.seen.advance(lineage, serving.revision, &serving.hash);
        self.last_good.send_replace(Some(Arc::new(serving.copy(&self.seen))));
        self.notices.set_unmarked(false);
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
            | Rejection::Unproven { .. }
            | Rejection::WentBack { .. }
            | Rejection::TwoContents { .. }
            | Rejection::OtherDatabase { .. }
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
            self.last_good.send_replace(Some(Arc::new(serving.copy(&self.seen))));
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
        let Offer { revision, hash, allow_large_removal: _, allow_older: _, origin, documents, unreadable } = offer;
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
        let lineage = origin.lineage().cloned();
        if let Some(lineage) = &lineage {
            self.seen.advance(lineage, revision, &hash);
        }
        self.notices.set_unmarked(lineage.is_none());
        let serving = Serving { revision, hash, lineage, documents, unreadable, errors, tried: true };
        self.last_good.send_replace(Some(Arc::new(serving.copy(&self.seen))));
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
            && !may_take_away(offered)
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

/// Whether an unusable document may grant less than its last good value, which then must not step in. Permissions and
/// routes say what is allowed, and what the new value says is not known. A credential says clearly enough that it must not
/// be used. What the other kinds hold grants nothing by itself.
fn may_take_away(document: &Document) -> bool {
    match Kind::parse(&document.kind) {
        Some(Kind::Permission | Kind::Route) => true,
        Some(Kind::Credential) => {
            let state = document.spec.get("state").cloned().map(serde_json::from_value::<CredentialState>);
            !matches!(state, None | Some(Ok(CredentialState::Active | CredentialState::Retiring)))
        }
        // Without its last good value the platform's own would hold, which may be looser.
        Some(Kind::Defaults | Kind::Agency | Kind::System | Kind::Service) | None => false,
    }
}

fn status_error(problem: &DocumentProblem) -> StatusError {
    StatusError::new(&problem.document, &problem.path, &problem.message)
}

#[cfg(test)]
mod tests;
