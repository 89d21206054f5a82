//! The routing table: host, then exact path, then the longest prefix by whole segments. The most specific place decides;
//! a method that no route takes there is not looked for elsewhere, so that what a route demands cannot be walked around.
//!
//! Paths are compared in their matched form, hosts in lower case and without a final dot. A look-up costs one hash per
//! segment of the path whatever the number of routes, and allocates nothing.

use std::sync::Arc;

use lgsp_shared::path::MatchedPath;
use lgsp_shared::resource::PathMatch;

use super::{Route, Table};

/// Paths of one host.
#[derive(Debug, Clone, Default)]
struct Paths {
    exact: Table<Box<str>, Vec<Arc<Route>>>,
    prefix: Table<Box<str>, Vec<Arc<Route>>>,
}

/// The part of a request's path that a route matched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched {
    /// How many bytes of the path as sent matched.
    pub path_bytes: usize,
}

/// A place at which a route can be found.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The host; none for any.
    pub host: Option<&'a str>,
    /// Whether the path is taken alone, or with everything below it.
    pub exact: bool,
    /// The path, without a trailing `/` where it is a prefix.
    pub path: &'a str,
    /// The route.
    pub route: &'a Arc<Route>,
}

/// A route that takes the request.
#[derive(Debug, Clone)]
pub struct Found {
    /// The route.
    pub route: Arc<Route>,
    /// What of the path it matched.
    pub matched: Matched,
}

/// Why there is no route.
#[derive(Debug, Clone)]
pub enum NotFound {
    /// Nothing takes this host and path.
    Path,
    /// These routes take the path, with other methods.
    Method(Vec<Arc<Route>>),
}

/// The routing table. Hosts that did not change are shared with the snapshot before.
#[derive(Debug, Clone, Default)]
pub struct Router {
    named: Arc<Table<Box<str>, Arc<Paths>>>,
    any: Arc<Paths>,
}

impl Router {
    /// Adds a route while compiling.
    pub(super) fn add(&mut self, hosts: &[String], route: &Arc<Route>) {
        if hosts.is_empty() {
            Arc::make_mut(&mut self.any).add(route);
        }
        for host in hosts {
            let named = Arc::make_mut(&mut self.named);
            Arc::make_mut(named.entry(folded(host).into()).or_default()).add(route);
        }
    }

    /// Removes a route while compiling.
    pub(super) fn remove(&mut self, hosts: &[String], route: &Route) {
        if hosts.is_empty() {
            Arc::make_mut(&mut self.any).remove(route);
        }
        for host in hosts {
            let (named, host) = (Arc::make_mut(&mut self.named), folded(host));
            let Some(paths) = named.get_mut(host.as_str()).map(Arc::make_mut) else { continue };
            paths.remove(route);
            if paths.exact.is_empty() && paths.prefix.is_empty() {
                named.remove(host.as_str());
            }
        }
    }

    /// The route for a request. `authority` may carry a port and any case.
    pub fn find(&self, authority: &str, path: &MatchedPath<'_>, method: &str) -> Result<Found, NotFound> {
        let tables = [self.host(authority), Some(&*self.any)].into_iter().flatten();
        let place = tables.filter_map(|paths| paths.most_specific(path)).next();
        let (routes, path_bytes) = place.ok_or(NotFound::Path)?;
        match routes.iter().find(|route| route.takes(method)) {
            Some(route) => Ok(Found { route: route.clone(), matched: Matched { path_bytes } }),
            None => Err(NotFound::Method(routes.clone())),
        }
    }

    /// Every place at which a route can be found, in no order; for explanations.
    pub fn places(&self) -> impl Iterator<Item = Place<'_>> {
        let named = self.named.iter().map(|(host, paths)| (Some(&**host), &**paths));
        named.chain([(None, &*self.any)]).flat_map(|(host, paths)| {
            let exact = paths.exact.iter().map(|(path, routes)| (true, path, routes));
            let prefix = paths.prefix.iter().map(|(path, routes)| (false, path, routes));
            exact.chain(prefix).flat_map(move |(exact, path, routes)| {
                routes.iter().map(move |route| Place { host, exact, path, route })
            })
        })
    }

    fn host(&self, authority: &str) -> Option<&Paths> {
        if self.named.is_empty() {
            return None;
        }
        let host = host_of(authority);
        // Hosts come in lower case nearly always; only another spelling costs a copy.
        match host.bytes().any(|byte| byte.is_ascii_uppercase()) {
            false => self.named.get(host).map(|paths| &**paths),
            true => self.named.get(host.to_ascii_lowercase().as_str()).map(|paths| &**paths),
        }
    }
}

impl Paths {
    /// In the order of names, and once even where a host is named twice.
    fn add(&mut self, route: &Arc<Route>) {
        let (table, path) = self.place(&route.path);
        let routes = table.entry(path.into()).or_default();
        if let Err(at) = routes.binary_search_by(|other| other.id.cmp(&route.id)) {
            routes.insert(at, route.clone());
        }
    }

    fn remove(&mut self, route: &Route) {
        let (table, path) = self.place(&route.path);
        let Some(routes) = table.get_mut(path) else { return };
        routes.retain(|other| other.id != route.id);
        if routes.is_empty() {
            table.remove(path);
        }
    }

    fn place<'p>(&mut self, path: &'p PathMatch) -> (&mut Table<Box<str>, Vec<Arc<Route>>>, &'p str) {
        match path {
            PathMatch::Exact(path) => (&mut self.exact, path.as_str()),
            PathMatch::Prefix(path) => (&mut self.prefix, path.trim_end_matches('/')),
        }
    }

    /// The most specific place that takes `path`, and how much of the path as sent it takes.
    fn most_specific(&self, path: &MatchedPath<'_>) -> Option<(&Vec<Arc<Route>>, usize)> {
        if let Some(routes) = self.exact.get(path.form()) {
            return Some((routes, path.sent().len()));
        }
        let place = |prefix: &str| Some((self.prefix.get(prefix)?, path.sent_bytes(prefix.len())));
        prefixes(path.form()).find_map(place)
    }
}

/// `/a/b` → `/a/b`, `/a`, and the empty prefix.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let whole = path.trim_end_matches('/');
    std::iter::successors(Some(whole), |prefix| {
        let slash = prefix.bytes().rposition(|byte| byte == b'/');
        slash.and_then(|at| prefix.get(..at))
    })
}

/// The host of an authority, without its port (`[::1]:80` → `[::1]`) and without a final dot, which names the same host
/// (RFC 3986 section 3.2.2). Letters keep their case.
pub fn host_of(authority: &str) -> &str {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        Some(_) | None => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

/// A host of a document as it is compared.
fn folded(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
