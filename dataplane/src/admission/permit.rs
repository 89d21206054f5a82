//! Step four: there is a route, and a grant for this source, service, method and path with quota left.

use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::{BodyRule, SignatureScheme};

use super::Admission;
use super::fresh::Fresh;
use super::refusal::Refusal;
use super::ticket;
use crate::clock::Now;
use crate::snapshot::{Found, Grant, NotFound, Route, Service, Snapshot};

/// A fresh request that may go where it wants to.
pub struct Permit<'c, 'a> {
    fresh: Fresh<'c, 'a>,
    found: Found,
    grant: Arc<Grant>,
    body: BodyRule,
}

impl<'c, 'a> Permit<'c, 'a> {
    /// Finds the route, what it demands, and the grant.
    pub fn check(fresh: Fresh<'c, 'a>, head: &RequestHead<'a>, snapshot: &Snapshot, now: Now) -> Result<Self, Refusal> {
        let credential = fresh.authenticated().credential();
        let found = match snapshot.router().find(head.authority, head.path, head.method) {
            Ok(found) => found,
            Err(not_found) => return Err(no_route(not_found).from(credential)),
        };
        let refuse = |refusal: Refusal| Err(refusal.from(credential).towards(&found.route));
        if let Err(code) = demands(&found.route, &fresh) {
            return refuse(code.into());
        }
        let body = match body_rule(&found.route, &fresh) {
            Ok(body) => body,
            Err(code) => return refuse(code.into()),
        };
        if let Err(refusal) = ticket::check(&fresh, head.method, head.path, &found.route, snapshot, now) {
            return refuse(refusal);
        }
        match grant(&fresh, &found.route.service, head.method, head.path, snapshot, now) {
            Ok(grant) => Ok(Self { grant, fresh, found, body }),
            Err(refusal) => refuse(refusal),
        }
    }

    /// The end of the decision.
    pub fn into_admission(self) -> Admission {
        let authenticated = self.fresh.authenticated();
        let credential = authenticated.credential().clone();
        Admission {
            chunks: authenticated.claim().chunk_verifier(&credential.key),
            scheme: authenticated.claim().scheme(),
            credential,
            route: self.found.route,
            matched: self.found.matched,
            grant: self.grant,
            body: self.body,
            question: self.fresh.question(),
        }
    }
}

fn no_route(not_found: NotFound) -> Refusal {
    match not_found {
        NotFound::Path => Refusal::new(Code::RouteNotFound),
        NotFound::Method(routes) => {
            let mut allow: Vec<Box<str>> = routes.iter().flat_map(|route| route.methods.iter().cloned()).collect();
            allow.sort_unstable();
            allow.dedup();
            Refusal { allow, ..Refusal::new(Code::MethodNotAllowed) }
        }
    }
}

fn demands(route: &Route, fresh: &Fresh<'_, '_>) -> Result<(), Code> {
    if route.closed {
        return Err(Code::RouteClosed);
    }
    if route.require_nonce && !fresh.has_nonce() {
        return Err(Code::NonceMissing);
    }
    Ok(())
}

/// What the body must satisfy here. RFC 9421 without a digest vouches for no body at all, which a route may allow;
/// SigV4 always says something of the body, and what it says holds everywhere.
fn body_rule(route: &Route, fresh: &Fresh<'_, '_>) -> Result<BodyRule, Code> {
    let claim = fresh.authenticated().claim();
    match (claim.body(), claim.scheme()) {
        // Presigned requests are always unsigned; one without a body has nothing that could have been signed.
        (BodyRule::Unsigned, _) if !route.unsigned_payload => Ok(BodyRule::Empty),
        (BodyRule::Empty, SignatureScheme::Rfc9421) if route.unsigned_payload => Ok(BodyRule::Unsigned),
        (rule, _) => Ok(rule),
    }
}

/// The first grant that covers this and has quota left.
pub(super) fn grant(
    fresh: &Fresh<'_, '_>,
    service: &Service,
    method: &str,
    path: &str,
    snapshot: &Snapshot,
    now: Now,
) -> Result<Arc<Grant>, Refusal> {
    let source = &fresh.authenticated().credential().system.id;
    let grants = snapshot.grants().of(source, &service.id);
    let mut wait_secs = None;
    for grant in grants.iter().filter(|grant| grant.covers(method, path, now.unix)) {
        match grant.quota.as_ref().map_or(Ok(()), |quota| quota.take(now.monotonic)) {
            Ok(()) => return Ok(grant.clone()),
            Err(secs) => wait_secs = Some(wait_secs.map_or(secs, |least: u32| least.min(secs))),
        }
    }
    Err(match wait_secs {
        Some(secs) => Refusal::new(Code::QuotaExceeded).with_retry_after(secs),
        None => Refusal::new(Code::PermissionMissing),
    })
}
