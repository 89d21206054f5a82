//! Documents → snapshot: the only way to make one.
//!
//! It never fails as a whole. A document that cannot take effect is left out and reported, and whatever refers to it
//! with it: the grant that names it grants nothing, the route that leads to it leads nowhere. A field that restricts
//! and is not understood closes what it restricts.
//!
//! What did not change since the previous snapshot is taken over, so that a change costs what it touches: changed
//! documents are made anew, and then, kind by kind in the order of references, whatever stands on something that came
//! out otherwise. A whole is a change to an empty snapshot. Other defaults or other keys touch everything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::resource::{DEFAULTS_NAME, DefaultsSpec, Document, Kind, Read, Resource};
use lgsp_shared::seal::SealKeys;
use lgsp_shared::session::{TICKET_KEYS_MAX, TicketKeys};
use lgsp_shared::signature::KeyState;

use super::{Documents, Snapshot};
use crate::upstream::Targets;

mod make;
mod tables;
mod understood;

pub(super) use tables::Tables;
pub(super) use understood::Understood;
use understood::{Made, Name, Reading, Source};

/// A revision before it is compiled.
#[derive(Debug, Clone)]
pub struct SnapshotSource {
    /// Its number.
    pub revision: Revision,
    /// Its content hash.
    pub hash: ContentHash,
    /// Its documents; one that is the same allocation as in the previous snapshot is known not to have changed.
    pub documents: Documents,
}

/// What a problem did to its document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The document took effect; something in it was ignored.
    Noted,
    /// The document was understood well enough to know that it must not grant anything. A former value must not come
    /// back in its place: it may be the very thing the document takes away.
    Closed,
    /// The document could not be used; a former value may take its place.
    LeftOut,
}

/// A document that did not take effect, or not entirely.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentProblem {
    /// `Kind/name`.
    pub document: String,
    /// The path of the field.
    pub path: String,
    /// What is wrong and what it leads to.
    pub message: String,
    /// What became of the document.
    pub effect: Effect,
}

/// A snapshot and what was left out of it.
#[derive(Debug)]
pub struct Compiled {
    /// The snapshot.
    pub snapshot: Snapshot,
    /// Documents that did not take effect, in the order of kind and name.
    pub problems: Vec<DocumentProblem>,
}

/// Compiles a revision for a node that may connect to `targets`.
pub fn compile(source: &SnapshotSource, keys: &SealKeys, targets: &Targets, previous: Option<&Snapshot>) -> Compiled {
    let defaults = defaults_of(&source.documents);
    let known = previous.filter(|known| known.defaults == defaults && known.understood.opened_with(keys));
    let mut compiler = Compiler {
        keys,
        targets,
        previous,
        tables: known.map(|known| known.tables.clone()).unwrap_or_default(),
        understood: known.map_or_else(|| Understood::new(keys), |known| known.understood.clone()),
        defaults,
        gone: BTreeMap::new(),
        touched: BTreeMap::new(),
    };
    compiler.take_changes(&source.documents);
    for kind in Kind::ALL {
        compiler.renew(kind);
    }
    compiler.finish(source)
}

fn defaults_of(documents: &Documents) -> DefaultsSpec {
    let read = documents.get(Kind::Defaults.as_str(), DEFAULTS_NAME).and_then(|document| document.read().ok());
    match read.map(|read| read.resource) {
        Some(Resource::Defaults(spec)) => spec,
        Some(_) | None => DefaultsSpec::default(),
    }
}

struct Compiler<'a> {
    keys: &'a SealKeys,
    targets: &'a Targets,
    previous: Option<&'a Snapshot>,
    defaults: DefaultsSpec,
    tables: Tables,
    understood: Understood,
    /// What documents had become that are no longer there.
    gone: BTreeMap<Name, Made>,
    /// What has to be made anew.
    touched: BTreeMap<Kind, BTreeSet<Name>>,
}

impl Compiler<'_> {
    /// Reads what changed.
    fn take_changes(&mut self, documents: &Documents) {
        let before = std::mem::replace(&mut self.understood.documents, documents.clone());
        for (key, _, document) in before.diff(documents) {
            let Some(kind) = Kind::ALL.into_iter().find(|kind| kind.as_str() == &*key.kind) else {
                let reading = document.map(|document| self.reading(None, document));
                self.understood.set_problems(key, reading.and_then(Result::err).as_deref().cloned());
                continue;
            };
            let name = (kind, key.name.clone());
            let source = document.map(|document| Source {
                document: document.clone(),
                reading: self.reading(Some(&name), document),
                made: Made::Nothing,
            });
            if let Some(known) = self.understood.take_out(&name) {
                // Another credential may have waited for the access key.
                self.touch_claimants(&known.reading);
                self.gone.insert(name.clone(), known.made);
            }
            if let Some(source) = source {
                self.understood.take_in(&name, source);
            }
            self.touch(name);
        }
    }

    /// What the document says; known already if it is the one that the previous snapshot was made of.
    fn reading(&self, name: Option<&Name>, document: &Arc<Document>) -> Reading {
        let known = name.and_then(|name| self.previous?.understood.source(name));
        if let Some(known) = known.filter(|known| Arc::ptr_eq(&known.document, document)) {
            return known.reading.clone();
        }
        document.read().map(Arc::new).map_err(|error| {
            let (document, path, message) = (error.document, error.path, error.message);
            Arc::new(DocumentProblem { document, path, message, effect: Effect::LeftOut })
        })
    }

    fn touch(&mut self, name: Name) {
        self.touched.entry(name.0).or_default().insert(name);
    }

    /// Makes the touched documents of a kind anew. All are taken out before the first is put in, so that the order in
    /// which they stand is the only thing that decides between two that want the same place.
    fn renew(&mut self, kind: Kind) {
        if kind == Kind::Credential {
            let touched = self.touched.get(&kind).cloned().unwrap_or_default();
            let sources = touched.iter().filter_map(|name| self.understood.source(name));
            let readings: Vec<Reading> = sources.map(|source| source.reading.clone()).collect();
            readings.iter().for_each(|reading| self.touch_claimants(reading));
        }
        let touched = self.touched.remove(&kind).unwrap_or_default();
        let before: Vec<(Name, Made)> = touched.into_iter().map(|name| (name.clone(), self.take_out(&name))).collect();
        for (name, before) in before {
            let made = self.make(&name, &before);
            self.tables.put_in(&made);
            self.touch_dependents(&name, &before, &made);
            self.understood.set_made(&name, made);
        }
    }

    fn take_out(&mut self, name: &Name) -> Made {
        let kept = self.understood.source(name).map(|source| source.made.clone()).unwrap_or_default();
        let made = self.gone.remove(name).unwrap_or(kept);
        self.tables.take_out(&made);
        made
    }

    /// Everything that wants the access key of the credential that was read.
    fn touch_claimants(&mut self, reading: &Reading) {
        if let Ok(read) = reading
            && let Resource::Credential(_, spec) = &read.resource
        {
            for name in self.understood.claimants(&spec.access_key) {
                self.touch(name);
            }
        }
    }

    /// Everything that stands on what came out otherwise.
    fn touch_dependents(&mut self, name: &Name, before: &Made, made: &Made) {
        let appeared_or_went = before.is_something() != made.is_something();
        match name.0 {
            Kind::Agency if before != made => self.touch_referrers(name, |_| true),
            // A permission asks only whether its source and its service are there.
            Kind::System if before != made => {
                self.touch_referrers(name, |kind| kind != Kind::Permission || appeared_or_went);
            }
            Kind::Credential if before != made => {
                for system in [before, made].into_iter().filter_map(Made::system_of_credential) {
                    self.touch_referrers(&(Kind::System, system.id.as_str().into()), |kind| kind == Kind::Service);
                }
            }
            Kind::Service => self.touch_referrers(name, |kind| kind != Kind::Permission || appeared_or_went),
            Kind::Defaults | Kind::Agency | Kind::System | Kind::Credential | Kind::Route | Kind::Permission => {}
        }
    }

    fn touch_referrers(&mut self, to: &Name, wanted: impl Fn(Kind) -> bool) {
        for name in self.understood.referrers(to).into_iter().filter(|(kind, _)| wanted(*kind)) {
            self.touch(name);
        }
    }

    fn finish(self, source: &SnapshotSource) -> Compiled {
        let names = &self.defaults.session.keys;
        let ticket_keys = TicketKeys::derive(self.keys, names.get(..TICKET_KEYS_MAX).unwrap_or(names));
        let problems = self.understood.problems();
        let snapshot = Snapshot {
            revision: source.revision,
            hash: source.hash.clone(),
            defaults: self.defaults,
            tables: self.tables,
            ticket_keys,
            understood: self.understood,
            decoy: KeyState::decoy(),
        };
        Compiled { snapshot, problems }
    }
}

/// Fields of a resource that this version does not know.
fn unknown_fields(label: &str, read: &Read) -> Vec<DocumentProblem> {
    let problem = |path: &String| {
        let effect = match &read.resource {
            Resource::Credential(..) | Resource::Permission(..) => Effect::Closed,
            Resource::Route(..) if path.starts_with("spec.require") => Effect::Closed,
            Resource::Defaults(_)
            | Resource::Agency(..)
            | Resource::System(..)
            | Resource::Service(..)
            | Resource::Route(..) => Effect::Noted,
        };
        let message = "this version does not know the field; upgrade the node or remove the field".to_owned();
        DocumentProblem { document: label.to_owned(), path: path.clone(), message, effect }
    };
    read.unknown.iter().map(problem).collect()
}

#[cfg(test)]
mod tests;
