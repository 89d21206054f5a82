//! What one compilation leaves for the next: each document, what it said and became, and who refers to whom.

use std::cmp::Ordering;
use std::sync::Arc;

use lgsp_shared::agency_code::AgencyCode;
use lgsp_shared::id::{AccessKey, ServiceId, SystemId};
use lgsp_shared::resource::{Document, Kind, Read, Resource};
use lgsp_shared::seal::{KeyId, SealKeys};
use lgsp_shared::sorted::Sorted;

use super::DocumentProblem;
use crate::snapshot::documents::{DocumentKey, Documents};
use crate::snapshot::{Credential, Grant, Route, Service, System};

/// A document of a known kind, by kind and name.
pub type Name = (Kind, Arc<str>);

/// What a document says, or why that cannot be told.
pub type Reading = Result<Arc<Read>, Arc<DocumentProblem>>;

/// One document and what it became.
#[derive(Clone)]
pub struct Source {
    pub document: Arc<Document>,
    pub reading: Reading,
    pub made: Made,
}

/// What a document became.
#[derive(Clone, Default)]
pub enum Made {
    /// Nothing: it cannot be used, or there is nothing to make of it.
    #[default]
    Nothing,
    Agency(Arc<AgencyCode>),
    System(Arc<System>),
    Credential(Arc<Credential>),
    Service(Arc<Service>),
    Route(Arc<Placed>),
    Grant(Arc<Granted>),
}

/// A route and the hosts at which it is found.
pub struct Placed {
    pub route: Arc<Route>,
    pub hosts: Vec<String>,
}

/// A grant and where it stands.
pub struct Granted {
    pub grant: Arc<Grant>,
    pub source: SystemId,
    pub service: ServiceId,
    /// Whether it grants nothing and is only counted.
    pub shadow: bool,
}

impl Made {
    pub fn is_something(&self) -> bool {
        !matches!(self, Made::Nothing)
    }

    pub fn system_of_credential(&self) -> Option<&System> {
        match self {
            Made::Credential(credential) => Some(&credential.system),
            _ => None,
        }
    }
}

impl PartialEq for Made {
    /// Whether what stands on one may stand on the other: the same, not only of equal content, but for what is copied.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Made::Nothing, Made::Nothing) => true,
            (Made::Agency(one), Made::Agency(other)) => one == other,
            (Made::System(one), Made::System(other)) => Arc::ptr_eq(one, other),
            (Made::Credential(one), Made::Credential(other)) => Arc::ptr_eq(one, other),
            (Made::Service(one), Made::Service(other)) => Arc::ptr_eq(one, other),
            (Made::Route(one), Made::Route(other)) => Arc::ptr_eq(one, other),
            (Made::Grant(one), Made::Grant(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Understood {
    pub documents: Documents,
    sources: Sorted<Name, Source>,
    /// What is referred to, there or not, and by what.
    referrers: Sorted<(Name, Name), ()>,
    /// Credentials by access key.
    claims: Sorted<(AccessKey, Name), ()>,
    problems: Sorted<DocumentKey, Vec<DocumentProblem>>,
    /// The key-encryption keys secrets were opened with.
    keys: Vec<KeyId>,
}

impl Understood {
    pub fn new(keys: &SealKeys) -> Self {
        Self {
            documents: Documents::default(),
            sources: Sorted::default(),
            referrers: Sorted::default(),
            claims: Sorted::default(),
            problems: Sorted::default(),
            keys: keys.ids(),
        }
    }

    /// Whether secrets were opened with these keys.
    pub fn opened_with(&self, keys: &SealKeys) -> bool {
        self.keys == keys.ids()
    }

    pub fn source(&self, name: &Name) -> Option<&Source> {
        self.sources.get(name)
    }

    pub fn take_in(&mut self, name: &Name, source: Source) {
        if let Ok(read) = &source.reading {
            for to in references(&read.resource) {
                self.referrers.insert((to, name.clone()), ());
            }
            if let Resource::Credential(_, spec) = &read.resource {
                self.claims.insert((spec.access_key.clone(), name.clone()), ());
            }
        }
        self.sources.insert(name.clone(), source);
    }

    pub fn take_out(&mut self, name: &Name) -> Option<Source> {
        let source = self.sources.remove(name)?;
        if let Ok(read) = &source.reading {
            for to in references(&read.resource) {
                self.referrers.remove(&(to, name.clone()));
            }
            if let Resource::Credential(_, spec) = &read.resource {
                self.claims.remove(&(spec.access_key.clone(), name.clone()));
            }
        }
        Some(source)
    }

    pub fn set_made(&mut self, name: &Name, made: Made) {
        if let Some(source) = self.sources.get(name) {
            let source = Source { made, ..source.clone() };
            self.sources.insert(name.clone(), source);
        }
    }

    /// Replaces what is wrong with a document.
    pub fn set_problems(&mut self, key: &DocumentKey, problems: impl IntoIterator<Item = DocumentProblem>) {
        let problems: Vec<_> = problems.into_iter().collect();
        if problems.is_empty() {
            self.problems.remove(key);
        } else {
            self.problems.insert(key.clone(), problems);
        }
    }

    pub fn problems(&self) -> Vec<DocumentProblem> {
        self.problems.values().flatten().cloned().collect()
    }

    /// What refers to `to`, in order.
    pub fn referrers(&self, to: &Name) -> Vec<Name> {
        seconds(&self.referrers, to)
    }

    /// The credentials that want this access key, in order.
    pub fn claimants(&self, key: &AccessKey) -> Vec<Name> {
        seconds(&self.claims, key)
    }
}

/// The second halves of all pairs whose first is `first`, in order.
fn seconds<A: Ord, B: Clone>(pairs: &Sorted<(A, B), ()>, first: &A) -> Vec<B> {
    let not_before = |(one, _): &(A, B)| if one < first { Ordering::Less } else { Ordering::Greater };
    let from = pairs.from(not_before).map(|(pair, ())| pair);
    from.take_while(|(one, _)| one == first).map(|(_, other)| other.clone()).collect()
}

fn references(resource: &Resource) -> Vec<Name> {
    match resource {
        Resource::Defaults(_) | Resource::Agency(..) => Vec::new(),
        Resource::System(_, spec) => vec![(Kind::Agency, spec.agency.as_str().into())],
        Resource::Credential(_, spec) => vec![(Kind::System, spec.system.as_str().into())],
        Resource::Service(_, spec) => vec![(Kind::System, spec.system.as_str().into())],
        Resource::Route(_, spec) => vec![(Kind::Service, spec.service.as_str().into())],
        Resource::Permission(_, spec) => {
            vec![(Kind::System, spec.source.as_str().into()), (Kind::Service, spec.service.as_str().into())]
        }
    }
}
