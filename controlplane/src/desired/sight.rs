//! What somebody sees of the configuration: all of it, or what concerns one agency. Sealed secrets are for those alone who
//! may change credentials.

use std::collections::HashSet;

use lgsp_shared::id::AgencyId;
use lgsp_shared::resource::{Document, Kind};
use serde_json::Value;

use super::ownership;
use super::whole::{Entries, Whole};

/// The systems and services that belong to an agency. Costs one look at every document.
#[derive(Debug, Clone)]
pub struct Own {
    agency: AgencyId,
    systems: HashSet<String>,
    services: HashSet<String>,
}

fn field<'a>(document: &'a Document, name: &str) -> &'a str {
    document.spec.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn kind(document: &Document) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == document.kind)
}

impl Own {
    /// What belongs to `agency` in this revision.
    pub fn of(whole: &Whole, agency: &AgencyId) -> Self {
        let mut own = Self { agency: agency.clone(), systems: HashSet::new(), services: HashSet::new() };
        // Kinds come in the order in which they refer to each other: systems before services.
        whole.documents().for_each(|document| own.take_in(document));
        own
    }

    /// Counts a document as there.
    pub fn take_in(&mut self, document: &Document) {
        match kind(document) {
            Some(Kind::System) if field(document, "agency") == self.agency.as_str() => {
                self.systems.insert(document.name.clone());
            }
            Some(Kind::Service) if self.systems.contains(field(document, "system")) => {
                self.services.insert(document.name.clone());
            }
            Some(_) | None => {}
        }
    }

    /// Whether the agency decides about it. Who may call a service is for the service's side to say.
    pub fn owns(&self, document: &Document) -> bool {
        match kind(document) {
            Some(Kind::System) => field(document, "agency") == self.agency.as_str(),
            Some(Kind::Credential | Kind::Service) => self.systems.contains(field(document, "system")),
            Some(Kind::Route | Kind::Permission) => self.services.contains(field(document, "service")),
            Some(Kind::Defaults | Kind::Agency) | None => false,
        }
    }

    /// Whether it concerns the agency: what it owns, the agency itself, and what its systems may do elsewhere.
    pub fn concerns(&self, document: &Document) -> bool {
        match kind(document) {
            Some(Kind::Agency) => document.name == self.agency.as_str(),
            Some(Kind::Permission) => self.owns(document) || self.systems.contains(field(document, "source")),
            Some(Kind::System | Kind::Credential | Kind::Service | Kind::Route) => self.owns(document),
            Some(Kind::Defaults) | None => false,
        }
    }
}

/// What somebody sees of one revision.
#[derive(Debug, Clone)]
pub struct Sight {
    own: Option<Own>,
    sealed: bool,
}

impl Sight {
    /// What concerns `agency`, or everything without one; sealed secrets only when `sealed`.
    pub fn new(whole: &Whole, agency: Option<&AgencyId>, sealed: bool) -> Self {
        Self { own: agency.map(|agency| Own::of(whole, agency)), sealed }
    }

    /// Whether everything is seen.
    pub fn is_whole(&self) -> bool {
        self.own.is_none()
    }

    /// Whether this document is seen.
    pub fn sees(&self, document: &Document) -> bool {
        self.own.as_ref().is_none_or(|own| own.concerns(document))
    }

    /// The document as it may be shown.
    pub fn show(&self, document: &Document) -> Option<Document> {
        if !self.sees(document) {
            return None;
        }
        Some(self.without_secrets(document.clone()))
    }

    /// The document without what only who may change credentials sees.
    pub fn without_secrets(&self, mut shown: Document) -> Document {
        if !self.sealed
            && let (Some(kind), Some(spec)) = (kind(&shown), shown.spec.as_object_mut())
        {
            ownership::sealed(kind).for_each(|field| drop(spec.remove(field)));
        }
        shown
    }

    /// The revision with only what is seen.
    pub fn restrict(&self, whole: &Whole) -> Whole {
        let seen: Entries = whole
            .entries()
            .iter()
            .filter(|(_, entry)| self.sees(entry.document()))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        whole.with_entries(seen)
    }
}
