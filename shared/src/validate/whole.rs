//! What can only be seen in the whole: references, access keys used twice, routes that take the same requests.

use std::collections::{HashMap, HashSet};

use super::index::Stays;
use super::{Known, Notes, Problem, Report};
use crate::id::{AccessKey, ResourceName, SystemId};
use crate::resource::{Document, Kind, PathMatch, Resource, ResourceKey, RouteSpec};

/// Kind and name of every document put, readable or not: a reference to a broken document is not dangling.
type Names<'a> = HashSet<(&'a str, &'a str)>;

pub(super) fn check(puts: &[Known<'_>], names: &Names<'_>, stays: &Stays<'_>, report: &mut Report) {
    for Known { document, resource, .. } in puts {
        let there = |to: &ResourceKey| names.contains(&(to.kind.as_str(), to.name.as_str())) || stays.has(to);
        let dangling = references(resource).into_iter().filter(|(_, to)| !there(to));
        dangling.for_each(|(path, to)| note_dangling(document, path, &to, report));
    }
    for gone in stays.deleted() {
        for (document, resource) in stays.referrers(gone) {
            let dangling = references(&resource).into_iter().filter(|(_, to)| to == gone);
            dangling.for_each(|(path, to)| note_dangling(document, path, &to, report));
        }
    }
    access_keys(puts, stays, report);
    routes(puts, stays, report);
}

/// What a resource refers to, and at which path.
pub(super) fn references(resource: &Resource) -> Vec<(&'static str, ResourceKey)> {
    let refer = |path, kind, name: &str| {
        let name: Option<ResourceName> = name.parse().ok();
        name.map(|name| (path, ResourceKey { kind, name }))
    };
    let found = match resource {
        Resource::Defaults(_) | Resource::Agency(..) => [None, None],
        Resource::System(_, spec) => [refer("spec.agency", Kind::Agency, spec.agency.as_str()), None],
        Resource::Credential(_, spec) => [refer("spec.system", Kind::System, spec.system.as_str()), None],
        Resource::Service(_, spec) => [refer("spec.system", Kind::System, spec.system.as_str()), None],
        Resource::Route(_, spec) => [refer("spec.service", Kind::Service, spec.service.as_str()), None],
        Resource::Permission(_, spec) => [
            refer("spec.source", Kind::System, spec.source.as_str()),
            refer("spec.service", Kind::Service, spec.service.as_str()),
        ],
    };
    found.into_iter().flatten().collect()
}

fn note_dangling(document: &Document, path: &str, to: &ResourceKey, report: &mut Report) {
    Notes::new(document, report).problem(path, format!("there is no `{to}`; add it, or correct the name"));
}

fn access_keys(puts: &[Known<'_>], stays: &Stays<'_>, report: &mut Report) {
    let mut owners: HashMap<&AccessKey, &Document> = HashMap::new();
    let mut note = |document: &Document, other: &Document| {
        let message = format!("`{}` also has this access key; issue a new credential", other.label());
        Notes::new(document, report).problem("spec.access_key", message);
    };
    for Known { document, resource, .. } in puts {
        let Resource::Credential(_, spec) = resource else { continue };
        if let Some(other) = owners.insert(&spec.access_key, document) {
            note(document, other);
        }
    }
    for (key, other) in owners {
        if let Some(document) = stays.owner(key) {
            note(document, other);
        }
    }
}

/// The methods taken at one host and path, each by one route.
#[derive(Default)]
struct Taken<'a> {
    any: Option<&'a Document>,
    methods: HashMap<&'a str, &'a Document>,
}

fn routes(puts: &[Known<'_>], stays: &Stays<'_>, report: &mut Report) {
    let mut places: HashMap<(Option<&str>, PathMatch), Taken<'_>> = HashMap::new();
    let put: Vec<(&Document, &RouteSpec)> =
        puts.iter().filter_map(|known| Some((known.document, route(&known.resource)?))).collect();
    let beside = stays.beside(put.iter().map(|(_, spec)| *spec));
    let beside = beside.iter().filter_map(|(document, resource)| Some((*document, route(resource)?)));
    for (document, spec) in put.iter().copied().chain(beside) {
        let hosts: HashSet<Option<&str>> = match spec.hosts.as_slice() {
            [] => HashSet::from([None]),
            named => named.iter().map(|host| Some(host.as_str())).collect(),
        };
        let conflicts: HashSet<String> = hosts
            .into_iter()
            .filter_map(|host| take(places.entry((host, spec.path.in_matched_form())).or_default(), document, spec))
            .map(Document::label)
            .collect();
        let mut conflicts: Vec<String> = conflicts.into_iter().collect();
        conflicts.sort();
        for other in conflicts {
            let message = format!("`{other}` takes the same host, path and method; change or remove one of them");
            Notes::new(document, report).problem("spec.path", message);
        }
    }
}

/// Takes the route's methods at a place; returns the route that already had one of them.
fn take<'a>(taken: &mut Taken<'a>, document: &'a Document, spec: &'a RouteSpec) -> Option<&'a Document> {
    let mut conflict = taken.any;
    if spec.methods.is_empty() {
        conflict = conflict.or_else(|| taken.methods.values().min_by_key(|other| &other.name).copied());
        taken.any.get_or_insert(document);
    }
    for method in &spec.methods {
        let other = *taken.methods.entry(method).or_insert(document);
        if !std::ptr::eq(other, document) {
            conflict = conflict.or(Some(other));
        }
    }
    conflict
}

fn route(resource: &Resource) -> Option<&RouteSpec> {
    match resource {
        Resource::Route(_, spec) => Some(spec),
        _ => None,
    }
}

/// A service whose system has nothing to sign forwarded requests with.
pub(super) fn silent(service: &ResourceKey, system: &SystemId) -> Problem {
    let message = format!(
        "`System/{system}` has no active credential, so nothing signs what is forwarded to it; \
         run `lgspctl credential issue {system}`"
    );
    Problem { document: service.to_string(), path: "spec.system".to_owned(), message }
}
