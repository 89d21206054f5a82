//! Routes that take requests away from another agency's: allowed, because the platform may mean it, and never silent.

use std::collections::BTreeSet;

use lgsp_shared::id::ServiceId;
use lgsp_shared::resource::{Kind, PathMatch, Resource, ResourceKey, RouteSpec};
use lgsp_shared::validate::{Index, Problem};

use super::change::Edit;
use super::connection::text;
use super::whole::Whole;

/// Routes named in one warning.
const NAMED_MAX: usize = 5;

/// A warning for each route that was put and is more specific than another agency's: `whole` is what the edits lead to. The
/// other's name is left out for who may not see it.
pub fn warnings(whole: &Whole, edits: &[Edit], named: bool) -> Vec<Problem> {
    let Some(index) = whole.index() else { return Vec::new() };
    let routes = edits.iter().filter(|edit| edit.key.kind == Kind::Route);
    let warning = |edit: &Edit| {
        let Ok(Resource::Route(_, spec)) = edit.after.as_ref()?.document().read().map(|read| read.resource) else {
            return None;
        };
        let own = agency_of(whole, &spec.service)?;
        let others = less_specific(index, &spec).into_iter().filter(|key| **key != edit.key);
        let others: Vec<(&ResourceKey, String)> = others
            .filter_map(|key| Some((key, agency_of_route(whole, key)?)))
            .filter(|(_, agency)| *agency != own)
            .collect();
        if others.is_empty() {
            return None;
        }
        let names = others.iter().take(NAMED_MAX).map(|(key, agency)| format!("`{key}` of `Agency/{agency}`"));
        let whose = if named { names.collect::<Vec<_>>().join(", ") } else { "a route of another agency".to_owned() };
        let message =
            format!("it takes requests that {whose} takes without it; change its host or path if that is not meant");
        Some(Problem { document: edit.key.to_string(), path: "spec.path".to_owned(), message })
    };
    routes.filter_map(warning).collect()
}

/// The routes that take, among others, requests that this one takes, and give way to it.
fn less_specific<'a>(index: &'a Index, spec: &RouteSpec) -> BTreeSet<&'a ResourceKey> {
    let (exact, path) = match &spec.path {
        PathMatch::Exact(path) => (true, path.as_str()),
        PathMatch::Prefix(path) => (false, path.as_str()),
    };
    let mut found = BTreeSet::new();
    let hosts: Vec<Option<&str>> = match spec.hosts.as_slice() {
        [] => vec![None],
        hosts => hosts.iter().map(|host| Some(host.as_str())).collect(),
    };
    for host in hosts {
        for above in ancestors(path) {
            found.extend(index.routes_at(host, false, above));
        }
        if exact {
            found.extend(index.routes_at(host, false, path));
        }
        // A named host goes before any host, whatever the path.
        if host.is_some() {
            for above in ancestors(path).chain([path]) {
                found.extend(index.routes_at(None, false, above));
            }
            found.extend(index.routes_at(None, true, path));
        }
    }
    found
}

/// The prefixes above a path, `/` included and the path itself not.
fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let slashes = path.char_indices().filter(|(_, char)| *char == '/').map(|(at, _)| at);
    let above = slashes.filter_map(|at| path.get(..at.max(1)));
    above.filter(move |above| *above != path)
}

fn agency_of_route(whole: &Whole, key: &ResourceKey) -> Option<String> {
    agency_of(whole, &text(whole.get(key)?, "service").parse().ok()?)
}

fn agency_of(whole: &Whole, service: &ServiceId) -> Option<String> {
    let service = ResourceKey { kind: Kind::Service, name: service.as_str().parse().ok()? };
    let system = ResourceKey { kind: Kind::System, name: text(whole.get(&service)?, "system").parse().ok()? };
    Some(text(whole.get(&system)?, "agency").to_owned())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lgsp_shared::id::Revision;
    use lgsp_shared::resource::Document;
    use serde_json::{Value, json};

    use super::*;
    use crate::desired::whole::Entry;

    fn document(kind: &str, name: &str, spec: Value) -> Document {
        Document { kind: kind.into(), name: name.into(), spec }
    }

    /// What is said when agency `a` puts this route beside those of `b`.
    fn said(path: Value, hosts: &[&str], named: bool) -> Vec<String> {
        let mut documents = Vec::new();
        for (agency, code) in [("a", "H61"), ("b", "H62")] {
            documents.push(document("Agency", agency, json!({"code": code, "title": agency})));
            documents.push(document("System", agency, json!({"agency": agency, "title": agency})));
            let endpoints = json!([{"address": "10.0.0.1:80"}]);
            documents.push(document(
                "Service",
                agency,
                json!({"system": agency, "title": "V", "endpoints": endpoints}),
            ));
        }
        documents.push(document("Route", "of-b", json!({"service": "b", "path": {"prefix": "/b"}})));
        documents.push(document("Route", "exact-of-b", json!({"service": "b", "path": {"exact": "/x"}})));
        documents.push(document("Route", "of-a", json!({"service": "a", "path": {"prefix": "/a"}})));
        let put = document("Route", "new", json!({"service": "a", "path": path, "hosts": hosts}));
        let edit = Edit { key: put.key().unwrap(), before: None, after: Some(Arc::new(Entry::new(put.clone()))) };
        documents.push(put);
        let whole = Whole::new(Revision(1), documents).unwrap().indexed();
        warnings(&whole, &[edit], named).into_iter().map(|problem| problem.message).collect()
    }

    #[test]
    fn a_route_that_takes_another_agency_s_requests_is_warned_about() {
        for (path, hosts) in [
            (json!({"exact": "/b/secret"}), &[][..]),
            (json!({"exact": "/b"}), &[]),
            (json!({"prefix": "/b/c/d"}), &[]),
            (json!({"prefix": "/b"}), &["h.vn"]),
        ] {
            let said = said(path.clone(), hosts, true);
            assert!(said.len() == 1 && said[0].contains("`Route/of-b`"), "{path}: {said:?}");
        }
        assert!(said(json!({"exact": "/x"}), &["h.vn"], true)[0].contains("`Route/exact-of-b`"));
        let hidden = said(json!({"exact": "/b/secret"}), &[], false);
        assert!(hidden.len() == 1 && !hidden[0].contains("of-b"), "{hidden:?}");
    }

    #[test]
    fn a_route_that_takes_its_own_agency_s_or_gives_way_is_not() {
        for path in
            [json!({"prefix": "/a/b"}), json!({"prefix": "/"}), json!({"prefix": "/bb"}), json!({"prefix": "/x/y"})]
        {
            assert_eq!(said(path.clone(), &[], true), Vec::<String>::new(), "{path}");
        }
    }
}
