//! The values of one resource, without what it refers to.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::RangeInclusive;

use super::Notes;
use super::text::{check_host, check_matched_path, check_method, check_path, check_prefix, check_title};
use crate::field_name::{Passing, passing};
use crate::network::{Network, is_loopback, never};
use crate::path::{document_form, is_below};
use crate::resource::{
    AgencySpec, CredentialSpec, CredentialState, Deadlines, DefaultsSpec, ENDPOINTS_MAX, Endpoint,
    HEALTH_INTERVAL_MS_MIN, HealthCheck, Outlier, PathMatch, PermissionMode, PermissionSpec, Rate, Require, Resource,
    Retry, Rewrite, RouteSpec, ServiceSpec, SessionDefaults, SystemSpec, UpstreamTls,
};
use crate::session::{RESERVED_PATH, TICKET_KEYS_MAX};
use crate::timestamp::Validity;

/// Every first byte comes within 30 s (A7.3), with time left to say so.
const WAIT_MS: RangeInclusive<u64> = 1..=29_900;
/// A pause within a body; one hour is longer than any network pause worth keeping a connection for.
const IDLE_MS: RangeInclusive<u64> = 1..=3_600_000;
const BODY_BYTES_PER_SEC_MIN: RangeInclusive<u64> = 0..=1_000_000;
const WEIGHT: RangeInclusive<u16> = 1..=1000;
const RETRY_ATTEMPTS: RangeInclusive<u8> = 0..=5;
const PERCENT: RangeInclusive<u8> = 0..=100;
const CLOCK_WINDOW_SECS: RangeInclusive<u32> = 1..=900;
/// A ticket is checked against the current configuration each time, so an hour is a convenience and not a risk.
const SESSION_LIFETIME_SECS: RangeInclusive<u32> = 1..=3_600;
const HEALTH_INTERVAL_MS: RangeInclusive<u64> = 100..=3_600_000;
const COUNT: RangeInclusive<u32> = 1..=1_000_000;
/// Longer than any body this platform carries, and small enough for signed 64-bit arithmetic.
const BODY_BYTES: RangeInclusive<u64> = 1..=(1 << 50);

pub(super) fn check(resource: &Resource, notes: &mut Notes<'_>) {
    match resource {
        Resource::Defaults(spec) => defaults(spec, notes),
        Resource::Agency(_, spec) => agency(spec, notes),
        Resource::System(_, SystemSpec { agency: _, title, former_agency: _ }) => {
            noted(check_title(title), "spec.title", notes);
        }
        Resource::Credential(_, spec) => credential(spec, notes),
        Resource::Service(_, spec) => service(spec, notes),
        Resource::Route(_, spec) => route(spec, notes),
        Resource::Permission(_, spec) => permission(spec, notes),
    }
}

fn defaults(spec: &DefaultsSpec, notes: &mut Notes<'_>) {
    let DefaultsSpec {
        clock_window_secs,
        body_bytes_max,
        body_idle_ms,
        body_bytes_per_sec_min,
        session,
        debug_signatures: _,
        replay_owner_unreachable: _,
    } = spec;
    within(*clock_window_secs, &CLOCK_WINDOW_SECS, "spec.clock_window_secs", notes);
    within(*body_bytes_max, &BODY_BYTES, "spec.body_bytes_max", notes);
    within(*body_idle_ms, &IDLE_MS, "spec.body_idle_ms", notes);
    within(*body_bytes_per_sec_min, &BODY_BYTES_PER_SEC_MIN, "spec.body_bytes_per_sec_min", notes);
    sessions(session, notes);
}

/// Its code was checked when it was read.
fn agency(AgencySpec { code: _, title, networks, hosts, paths }: &AgencySpec, notes: &mut Notes<'_>) {
    noted(check_title(title), "spec.title", notes);
    let networks: Vec<String> = networks.iter().map(Network::to_string).collect();
    each(&networks, |_| Ok(()), "spec.networks", notes);
    each(hosts, check_host, "spec.hosts", notes);
    each(paths, check_prefix, "spec.paths", notes);
}

fn sessions(SessionDefaults { keys, lifetime_secs }: &SessionDefaults, notes: &mut Notes<'_>) {
    within(*lifetime_secs, &SESSION_LIFETIME_SECS, "spec.session.lifetime_secs", notes);
    within(keys.len(), &(1..=TICKET_KEYS_MAX), "spec.session.keys", notes);
    let mut seen = HashSet::new();
    for (at, key) in keys.iter().enumerate().filter(|(_, key)| !seen.insert(*key)) {
        notes.problem(format!("spec.session.keys[{at}]"), format!("`{key}` is listed twice; remove one"));
    }
}

fn credential(spec: &CredentialSpec, notes: &mut Notes<'_>) {
    let CredentialSpec { system: _, access_key: _, secret, state, not_before: _, not_after } = spec;
    if !secret.is_well_formed() {
        let message = "this is not a sealed secret; leave credentials out of files and use `lgspctl credential issue`";
        notes.problem("spec.secret", message);
    }
    if *state == CredentialState::Retiring && not_after.is_none() {
        notes.problem("spec.not_after", "a retiring credential needs the instant at which it ends; set `not_after`");
    }
    validity(spec.validity(), notes);
}

fn validity(span: Validity, notes: &mut Notes<'_>) {
    if let (Some(start), Some(end)) = (span.not_before, span.not_after)
        && start >= end
    {
        notes.problem("spec.not_after", format!("`{end}` is not after `not_before`, `{start}`; it would never hold"));
    }
}

fn service(spec: &ServiceSpec, notes: &mut Notes<'_>) {
    let ServiceSpec {
        system: _,
        title,
        protocol: _,
        endpoints,
        balance: _,
        host,
        tls,
        health,
        outlier,
        deadlines,
        retry,
        connections_max,
        session_lifetime_secs,
    } = spec;
    noted(check_title(title), "spec.title", notes);
    check_endpoints(endpoints, notes);
    if let Some(host) = host {
        let name = strip_port(host);
        noted(check_host(name), "spec.host", notes);
    }
    if let Some(UpstreamTls { server_name, ca_pem }) = tls {
        noted(check_host(server_name), "spec.tls.server_name", notes);
        if ca_pem.as_ref().is_some_and(|pem| !pem.contains("-----BEGIN CERTIFICATE-----")) {
            notes.problem(
                "spec.tls.ca_pem",
                "no `-----BEGIN CERTIFICATE-----` in it; paste the PEM text of the authority",
            );
        }
    }
    if let Some(health) = health {
        check_health(health, notes);
    }
    let Outlier { failures, eject_ms, ejected_percent_max } = outlier;
    if *failures > 0 {
        within(*eject_ms, &IDLE_MS, "spec.outlier.eject_ms", notes);
    }
    within(*ejected_percent_max, &PERCENT, "spec.outlier.ejected_percent_max", notes);
    check_deadlines(deadlines, notes);
    let Retry { attempts, budget_percent } = retry;
    within(*attempts, &RETRY_ATTEMPTS, "spec.retry.attempts", notes);
    within(*budget_percent, &PERCENT, "spec.retry.budget_percent", notes);
    within(*connections_max, &COUNT, "spec.connections_max", notes);
    if let Some(secs) = session_lifetime_secs {
        within(*secs, &SESSION_LIFETIME_SECS, "spec.session_lifetime_secs", notes);
    }
}

fn check_endpoints(endpoints: &[Endpoint], notes: &mut Notes<'_>) {
    if endpoints.is_empty() {
        notes.problem("spec.endpoints", "there is none; list at least one `address: IP:port`");
    }
    if endpoints.len() > ENDPOINTS_MAX {
        let message = format!("{} are too many; use {ENDPOINTS_MAX} at most, or more services", endpoints.len());
        notes.problem("spec.endpoints", message);
    }
    let mut seen = HashSet::new();
    for (at, Endpoint { address, weight }) in endpoints.iter().enumerate() {
        within(*weight, &WEIGHT, &format!("spec.endpoints[{at}].weight"), notes);
        let path = format!("spec.endpoints[{at}].address");
        if address.port() == 0 || address.ip().is_unspecified() {
            notes.problem(path, format!("`{address}` cannot be connected to; write `IP:port` of the target"));
        } else if !seen.insert(address) {
            notes.problem(path, format!("`{address}` is listed twice; remove one, or raise the weight of the other"));
        } else if let Some(kind) = never(address.ip()) {
            notes.warning(path, format!("`{address}` is {kind}, to which no node connects; write the target's own"));
        } else if is_loopback(address.ip()) {
            let message = format!(
                "`{address}` is loopback: each node connects there to itself, and only where `targets.allow` of its settings \
                 names loopback"
            );
            notes.warning(path, message);
        }
    }
}

fn check_health(health: &HealthCheck, notes: &mut Notes<'_>) {
    let HealthCheck { path, interval_ms, timeout_ms, unhealthy_after, healthy_after } = health;
    noted(check_path(path), "spec.health.path", notes);
    within(*interval_ms, &HEALTH_INTERVAL_MS, "spec.health.interval_ms", notes);
    if HEALTH_INTERVAL_MS.contains(interval_ms) && *interval_ms < HEALTH_INTERVAL_MS_MIN {
        let message =
            format!("nodes check every {HEALTH_INTERVAL_MS_MIN} ms at most, unless their settings allow more");
        notes.warning("spec.health.interval_ms", message);
    }
    within(*timeout_ms, &WAIT_MS, "spec.health.timeout_ms", notes);
    within(*unhealthy_after, &COUNT, "spec.health.unhealthy_after", notes);
    within(*healthy_after, &COUNT, "spec.health.healthy_after", notes);
}

fn check_deadlines(deadlines: &Deadlines, notes: &mut Notes<'_>) {
    // A total of 0 leaves it to the idle deadline, so every total is in range.
    let Deadlines { connect_ms, first_byte_ms, idle_ms, total_ms: _ } = deadlines;
    within(*connect_ms, &WAIT_MS, "spec.deadlines.connect_ms", notes);
    within(*first_byte_ms, &WAIT_MS, "spec.deadlines.first_byte_ms", notes);
    within(*idle_ms, &IDLE_MS, "spec.deadlines.idle_ms", notes);
}

fn route(spec: &RouteSpec, notes: &mut Notes<'_>) {
    let RouteSpec {
        service: _,
        hosts,
        path,
        methods,
        rewrite,
        body_bytes_max,
        unsigned_payload: _,
        require,
        debug_signatures: _,
        replay_owner_unreachable: _,
        pass_headers,
        encoded_slash: _,
    } = spec;
    let Require { nonce: _, session: _ } = require;
    each(hosts, check_host, "spec.hosts", notes);
    let (path, at) = match path {
        PathMatch::Exact(path) => {
            noted(check_matched_path(path), "spec.path.exact", notes);
            (path, "spec.path.exact")
        }
        PathMatch::Prefix(path) => {
            noted(check_prefix(path), "spec.path.prefix", notes);
            (path, "spec.path.prefix")
        }
    };
    if is_below(&document_form(path), RESERVED_PATH) {
        let message =
            format!("`{path}` lies below `{RESERVED_PATH}`, where the platform itself answers; choose another");
        notes.problem(at, message);
    }
    each(methods, check_method, "spec.methods", notes);
    each(pass_headers, check_passed_header, "spec.pass_headers", notes);
    if let Some(Rewrite::Prefix(path)) = rewrite {
        noted(check_path(path), "spec.rewrite.prefix", notes);
    }
    if let Some(bytes) = body_bytes_max {
        within(*bytes, &BODY_BYTES, "spec.body_bytes_max", notes);
    }
}

/// A header that passes to a target only where a route asks for it.
fn check_passed_header(name: &str) -> Result<(), String> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase() || byte == b'_') {
        return Err(format!("`{name}`: write it in lower case with `-`; other spellings of it pass too"));
    }
    match passing(name) {
        Passing::IfAsked => Ok(()),
        Passing::Freely => Err(format!("`{name}` passes without being listed; remove it")),
        Passing::Never => Err(format!("`{name}` never passes, the platform speaks for it; remove it")),
    }
}

fn permission(spec: &PermissionSpec, notes: &mut Notes<'_>) {
    let PermissionSpec { source: _, service: _, methods, paths, not_before: _, not_after: _, rate, mode } = spec;
    if *mode == PermissionMode::Unknown {
        notes.problem("spec.mode", "there is no such mode; use `enforce`, `shadow` or `retiring`, or leave it out");
    }
    if methods.is_empty() {
        notes.problem("spec.methods", "there is none; list the methods granted, such as `[GET]`");
    }
    if paths.is_empty() {
        notes.problem("spec.paths", "there is none; list the path prefixes granted, `/` for all");
    }
    each(methods, check_method, "spec.methods", notes);
    each(paths, check_prefix, "spec.paths", notes);
    validity(spec.validity(), notes);
    if let Some(Rate { requests_per_second, burst }) = rate {
        if !(requests_per_second.is_finite() && *requests_per_second > 0.0) {
            let message = format!("`{requests_per_second}` is not above 0; remove the permission to grant nothing");
            notes.problem("spec.rate.requests_per_second", message);
        }
        within(*burst, &COUNT, "spec.rate.burst", notes);
    }
}

fn within<T: PartialOrd + Display>(value: T, range: &RangeInclusive<T>, path: &str, notes: &mut Notes<'_>) {
    if !range.contains(&value) {
        notes.problem(path, format!("`{value}` is out of range; use {} to {}", range.start(), range.end()));
    }
}

fn noted(checked: Result<(), String>, path: &str, notes: &mut Notes<'_>) {
    if let Err(message) = checked {
        notes.problem(path, message);
    }
}

/// Checks every item of a list, and that none is there twice.
fn each(items: &[String], rule: fn(&str) -> Result<(), String>, path: &str, notes: &mut Notes<'_>) {
    let mut seen = HashSet::new();
    for (at, item) in items.iter().enumerate() {
        let path = format!("{path}[{at}]");
        noted(rule(item), &path, notes);
        if !seen.insert(item) {
            notes.problem(path, format!("`{item}` is listed twice; remove one"));
        }
    }
}

/// The host of a `Host` value: unlike a route's host, what is sent to a target may name a port.
fn strip_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() && !name.is_empty() => name,
        Some(_) | None => host,
    }
}
