//! By what a valid configuration is found again when something in it changes: who refers to what, which access keys and
//! places of routes are taken, and what there is to warn about.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;

use super::{Known, Problem, whole};
use crate::id::{AccessKey, SystemId};
use crate::resource::{CredentialState, Document, Kind, PathMatch, Resource, ResourceKey, RouteSpec};
use crate::sorted::Sorted;

/// Host, whether the path is exact, path: where a route takes requests.
type Place = (Option<Box<str>>, bool, Box<str>);

/// See the module. About 300 bytes per document.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Index {
    /// What is referred to, and by what.
    referrers: Sorted<(ResourceKey, ResourceKey), ()>,
    access_keys: Sorted<AccessKey, ResourceKey>,
    places: Sorted<(Place, ResourceKey), ()>,
    /// Systems and their active credentials.
    signing: Sorted<(SystemId, ResourceKey), ()>,
    /// Services whose system has nothing to sign forwarded requests with.
    silent: Sorted<ResourceKey, SystemId>,
}

/// A valid configuration.
#[derive(Clone, Copy)]
pub struct Base<'a> {
    /// Its index.
    pub index: &'a Index,
    /// Its documents.
    pub document: &'a dyn Fn(&ResourceKey) -> Option<&'a Document>,
}

/// What a change leaves as it is.
pub(super) struct Stays<'a> {
    base: Base<'a>,
    /// Put or deleted.
    changed: BTreeSet<ResourceKey>,
    deleted: BTreeSet<ResourceKey>,
}

impl fmt::Debug for Base<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Base").field("index", self.index).finish_non_exhaustive()
    }
}

impl<'a> Base<'a> {
    pub(super) fn without(self, puts: &[Document], deletes: &[ResourceKey]) -> Stays<'a> {
        let put: BTreeSet<ResourceKey> = puts.iter().filter_map(|put| put.key().ok()).collect();
        let deleted: BTreeSet<ResourceKey> = deletes.iter().filter(|key| !put.contains(key)).cloned().collect();
        let changed = put.into_iter().chain(deletes.iter().cloned()).collect();
        Stays { base: self, changed, deleted }
    }
}

impl<'a> Stays<'a> {
    /// Whether this document stays.
    pub fn has(&self, key: &ResourceKey) -> bool {
        !self.changed.contains(key) && (self.base.document)(key).is_some()
    }

    /// What goes without anything in its place.
    pub fn deleted(&self) -> impl Iterator<Item = &ResourceKey> {
        self.deleted.iter()
    }

    /// What stays and refers to `key`.
    pub fn referrers(&self, key: &ResourceKey) -> impl Iterator<Item = (&'a Document, Resource)> {
        let kept = self.base.index.referrers_of(key).into_iter().filter(|other| !self.changed.contains(other));
        kept.filter_map(|other| self.read(other))
    }

    /// The credential that stays and has this access key.
    pub fn owner(&self, key: &AccessKey) -> Option<&'a Document> {
        let owner = self.base.index.access_keys.get(key).filter(|owner| !self.changed.contains(owner))?;
        (self.base.document)(owner)
    }

    /// The routes that stay and take requests where one of these does, in the order of their names.
    pub fn beside<'r>(&self, routes: impl Iterator<Item = &'r RouteSpec>) -> Vec<(&'a Document, Resource)> {
        let mut keys = BTreeSet::new();
        for place in routes.flat_map(places) {
            keys.extend(at(&self.base.index.places, &place).into_iter().filter(|key| !self.changed.contains(key)));
        }
        keys.into_iter().filter_map(|key| self.read(key)).collect()
    }

    fn read(&self, key: &ResourceKey) -> Option<(&'a Document, Resource)> {
        let document = (self.base.document)(key)?;
        Some((document, document.read().ok()?.resource))
    }

    /// What to warn about, now that `next` is the index: what is put, and what was not so before.
    pub fn warnings(&self, puts: &[Known<'_>], next: &Index) -> Vec<Problem> {
        let put: BTreeSet<ResourceKey> = puts.iter().filter_map(|known| known.document.key().ok()).collect();
        let before = &self.base.index.silent;
        let fallen = before.diff(&next.silent, |one, other| one == other).into_iter();
        let fallen = fallen.filter_map(|(key, _, now)| Some((key, now?))).filter(|(key, _)| !put.contains(key));
        let still = put.iter().filter_map(|key| Some((key, next.silent.get(key)?)));
        let silent = still.chain(fallen).map(|(service, system)| whole::silent(service, system));
        puts.iter().flat_map(|known| known.warnings.iter().cloned()).chain(silent).collect()
    }

    /// The index after the change.
    pub fn index_with(&self, puts: &[Known<'_>]) -> Index {
        let mut next = self.base.index.clone();
        let mut systems = BTreeSet::new();
        for key in &self.changed {
            if let Some((_, resource)) = self.read(key) {
                next.take_out(key, &resource, &mut systems);
            }
        }
        for Known { document, resource, .. } in puts {
            if let Ok(key) = document.key() {
                next.take_in(&key, resource, &mut systems);
            }
        }
        systems.into_iter().for_each(|system| next.settle(system));
        next
    }
}

impl Index {
    /// The routes that take requests at this host, or at any, for exactly this path or for it as a prefix.
    pub fn routes_at(&self, host: Option<&str>, exact: bool, path: &str) -> Vec<&ResourceKey> {
        at(&self.places, &(host.map(Box::from), exact, path.into()))
    }

    fn referrers_of(&self, key: &ResourceKey) -> Vec<&ResourceKey> {
        at(&self.referrers, key)
    }

    fn take_in(&mut self, key: &ResourceKey, resource: &Resource, systems: &mut BTreeSet<SystemId>) {
        for (_, to) in whole::references(resource) {
            self.referrers.insert((to, key.clone()), ());
        }
        match resource {
            Resource::Credential(_, spec) => {
                self.access_keys.insert(spec.access_key.clone(), key.clone());
                if spec.state == CredentialState::Active {
                    self.signing.insert((spec.system.clone(), key.clone()), ());
                }
                systems.insert(spec.system.clone());
            }
            Resource::Service(_, spec) => {
                systems.insert(spec.system.clone());
            }
            Resource::Route(_, spec) => {
                for place in places(spec) {
                    self.places.insert((place, key.clone()), ());
                }
            }
            Resource::Defaults(_) | Resource::Agency(..) | Resource::System(..) | Resource::Permission(..) => {}
        }
    }

    fn take_out(&mut self, key: &ResourceKey, resource: &Resource, systems: &mut BTreeSet<SystemId>) {
        for (_, to) in whole::references(resource) {
            self.referrers.remove(&(to, key.clone()));
        }
        match resource {
            Resource::Credential(_, spec) => {
                self.access_keys.remove(&spec.access_key);
                self.signing.remove(&(spec.system.clone(), key.clone()));
                systems.insert(spec.system.clone());
            }
            Resource::Service(_, spec) => {
                self.silent.remove(key);
                systems.insert(spec.system.clone());
            }
            Resource::Route(_, spec) => {
                for place in places(spec) {
                    self.places.remove(&(place, key.clone()));
                }
            }
            Resource::Defaults(_) | Resource::Agency(..) | Resource::System(..) | Resource::Permission(..) => {}
        }
    }

    /// Looks anew which of the system's services have nothing that signs.
    fn settle(&mut self, system: SystemId) {
        let Ok(name) = system.as_str().parse() else { return };
        let signs = !at(&self.signing, &system).is_empty();
        let services: Vec<ResourceKey> = self
            .referrers_of(&ResourceKey { kind: Kind::System, name })
            .into_iter()
            .filter(|key| key.kind == Kind::Service)
            .cloned()
            .collect();
        for service in services {
            if signs {
                self.silent.remove(&service);
            } else {
                self.silent.insert(service, system.clone());
            }
        }
    }
}

/// The second halves of all pairs whose first is `first`.
fn at<'t, A: Ord, B>(pairs: &'t Sorted<(A, B), ()>, first: &A) -> Vec<&'t B> {
    let not_before = |(one, _): &(A, B)| if one < first { Ordering::Less } else { Ordering::Greater };
    pairs.from(not_before).map(|(pair, ())| pair).take_while(|(one, _)| one == first).map(|(_, other)| other).collect()
}

fn places(spec: &RouteSpec) -> Vec<Place> {
    let (exact, path) = match spec.path.in_matched_form() {
        PathMatch::Exact(path) => (true, path),
        PathMatch::Prefix(path) => (false, path),
    };
    let place = |host: Option<&String>| (host.map(|host| host.as_str().into()), exact, path.as_str().into());
    match spec.hosts.as_slice() {
        [] => vec![place(None)],
        named => named.iter().map(|host| place(Some(host))).collect(),
    }
}

#[cfg(test)]
mod tests;
