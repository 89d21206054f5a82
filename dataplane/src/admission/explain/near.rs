//! What came close: routes that would have taken a request had it been a little different, and what each grant lacks.

use std::cmp::Reverse;
use std::sync::Arc;

use lgsp_shared::id::ServiceId;
use lgsp_shared::path::MatchedPath;

use super::super::permit::Wanted;
use super::Asked;
use crate::snapshot::{Grant, Place, Snapshot, host_of};

/// The most near misses told of each kind.
const NEAR_MAX: usize = 3;

/// Routes that came close: the path with another method, the path at another host, a path that begins the same.
pub fn misses(snapshot: &Snapshot, asked: &Asked<'_>, path: &MatchedPath<'_>) -> Vec<String> {
    let places: Vec<Place<'_>> = snapshot.router().places().collect();
    let here = |place: &Place<'_>| place.host.is_none_or(|host| host.eq_ignore_ascii_case(host_of(asked.authority)));
    let takes_path = |place: &Place<'_>| match place.exact {
        true => place.path == path.form(),
        false => path.is_below(place.path),
    };
    let mut facts = told("another method", places.iter().filter(|place| here(place) && takes_path(place)));
    facts.extend(told("another host", places.iter().filter(|place| !here(place) && takes_path(place))));
    let mut alike: Vec<(usize, &Place<'_>)> = places
        .iter()
        .filter(|place| here(place) && !takes_path(place))
        .map(|place| (segments_shared(path.form(), place.path), place))
        .filter(|(shared, _)| *shared > 0)
        .collect();
    alike.sort_by_key(|(shared, place)| (Reverse(*shared), place.path));
    facts.extend(told("a path that begins the same", alike.into_iter().map(|(_, place)| place)));
    facts
}

/// How the routes to a service are found.
pub fn routes_of(snapshot: &Snapshot, service: &ServiceId) -> Vec<String> {
    let places: Vec<Place<'_>> = snapshot.router().places().collect();
    let led: Vec<String> = told("leads there", places.iter().filter(|place| place.route.service.id == *service));
    if led.is_empty() { vec![format!("no route leads to Service/{service}")] } else { led }
}

fn told<'a>(what: &str, places: impl Iterator<Item = &'a Place<'a>>) -> Vec<String> {
    let mut lines: Vec<String> = places.map(|place| format!("{what}: {}", described(place))).collect();
    lines.dedup();
    lines.truncate(NEAR_MAX);
    lines
}

fn described(place: &Place<'_>) -> String {
    let Place { host, exact, path, route } = place;
    let methods = if route.methods.is_empty() { "any method".to_owned() } else { route.methods.join(", ") };
    let host = host.unwrap_or("any host");
    let (path, below) = match (exact, path.is_empty()) {
        (true, _) => (*path, ""),
        (false, true) => ("/", " and below"),
        (false, false) => (*path, " and below"),
    };
    format!("Route/{} takes {methods} {path}{below} at {host}, to Service/{}", route.id, route.service.id)
}

fn segments_shared(one: &str, other: &str) -> usize {
    let segments = |path: &'_ str| path.trim_start_matches('/').split('/').map(str::to_owned).collect::<Vec<_>>();
    let (one, other) = (segments(one), segments(other));
    one.iter().zip(&other).take_while(|(one, other)| one == other && !one.is_empty()).count()
}

/// What each grant lacks; those that lack least first.
pub fn grants(grants: &[Arc<Grant>], wanted: Wanted<'_>) -> Vec<String> {
    let mut lacking: Vec<(usize, String)> = grants
        .iter()
        .map(|grant| {
            let lacks = lacks(grant, wanted);
            (lacks.len(), format!("Permission/{} lacks {}", grant.id, lacks.join(" and ")))
        })
        .collect();
    lacking.sort();
    if lacking.is_empty() {
        return vec!["there is no permission between the two at all".to_owned()];
    }
    lacking.into_iter().map(|(_, text)| text).take(NEAR_MAX).collect()
}

fn lacks(grant: &Grant, wanted: Wanted<'_>) -> Vec<String> {
    let Wanted { method, path, at } = wanted;
    let mut lacks = Vec::new();
    if !grant.grants_method(method) {
        lacks.push(format!("the method (it grants {})", grant.methods.join(", ")));
    }
    if !grant.grants_path(path) {
        let paths: Vec<&str> = grant.paths.iter().map(|path| if path.is_empty() { "/" } else { path }).collect();
        lacks.push(format!("the path (it grants {})", paths.join(", ")));
    }
    if !grant.validity.holds_at(at) {
        let start = grant.validity.not_before.map(|start| format!(" from {start}")).unwrap_or_default();
        let end = grant.validity.not_after.map(|end| format!(" until {end}")).unwrap_or_default();
        lacks.push(format!("the time (it holds{start}{end})"));
    }
    lacks
}
