//! What can only be seen in the whole: references, access keys used twice, routes that take the same requests.

use std::collections::{HashMap, HashSet};

use super::{Notes, Report};
use crate::id::AccessKey;
use crate::resource::{CredentialState, Document, Kind, PathMatch, Resource, RouteSpec};

/// A resource beside the document it was read from.
type Known<'a> = (&'a Document, Resource);
/// Kind and name of every document, readable or not: a reference to a broken document is not dangling.
type Names<'a> = HashSet<(&'a str, &'a str)>;

pub(super) fn check(resources: &[Known<'_>], names: &Names<'_>, report: &mut Report) {
    for (document, resource) in resources {
        references(resource, names, &mut Notes::new(document, report));
    }
    access_keys(resources, report);
    routes(resources, report);
    silent_services(resources, report);
}

fn references(resource: &Resource, names: &Names<'_>, notes: &mut Notes<'_>) {
    let mut refer = |path: &str, kind: Kind, name: &str| {
        if !names.contains(&(kind.as_str(), name)) {
            notes.problem(path, format!("there is no `{kind}/{name}`; add it, or correct the name"));
        }
    };
    match resource {
        Resource::Defaults(_) | Resource::Agency(..) => {}
        Resource::System(_, spec) => refer("spec.agency", Kind::Agency, spec.agency.as_str()),
        Resource::Credential(_, spec) => refer("spec.system", Kind::System, spec.system.as_str()),
        Resource::Service(_, spec) => refer("spec.system", Kind::System, spec.system.as_str()),
        Resource::Route(_, spec) => refer("spec.service", Kind::Service, spec.service.as_str()),
        Resource::Permission(_, spec) => {
            refer("spec.source", Kind::System, spec.source.as_str());
            refer("spec.service", Kind::Service, spec.service.as_str());
        }
    }
}

fn access_keys(resources: &[Known<'_>], report: &mut Report) {
    let mut owners: HashMap<&AccessKey, &Document> = HashMap::new();
    for (document, resource) in resources {
        let Resource::Credential(_, spec) = resource else { continue };
        if let Some(other) = owners.insert(&spec.access_key, document) {
            let message = format!("`{}` also has this access key; issue a new credential", other.label());
            Notes::new(document, report).problem("spec.access_key", message);
        }
    }
}

/// The methods taken at one host and path, each by one route.
#[derive(Default)]
struct Taken<'a> {
    any: Option<&'a Document>,
    methods: HashMap<&'a str, &'a Document>,
}

fn routes(resources: &[Known<'_>], report: &mut Report) {
    let mut places: HashMap<(Option<&str>, &PathMatch), Taken<'_>> = HashMap::new();
    for (document, resource) in resources {
        let Resource::Route(_, spec) = resource else { continue };
        let hosts: HashSet<Option<&str>> = match spec.hosts.as_slice() {
            [] => HashSet::from([None]),
            named => named.iter().map(|host| Some(host.as_str())).collect(),
        };
        let conflicts: HashSet<String> = hosts
            .into_iter()
            .filter_map(|host| take(places.entry((host, &spec.path)).or_default(), document, spec))
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

/// Services whose system has nothing to sign forwarded requests with.
fn silent_services(resources: &[Known<'_>], report: &mut Report) {
    let signing: HashSet<&str> = resources
        .iter()
        .filter_map(|(_, resource)| match resource {
            Resource::Credential(_, spec) if spec.state == CredentialState::Active => Some(spec.system.as_str()),
            _ => None,
        })
        .collect();
    for (document, resource) in resources {
        if let Resource::Service(_, spec) = resource
            && !signing.contains(spec.system.as_str())
        {
            let system = &spec.system;
            let message = format!(
                "`System/{system}` has no active credential, so nothing signs what is forwarded to it; \
                 run `lgspctl credential issue {system}`"
            );
            Notes::new(document, report).warning("spec.system", message);
        }
    }
}
