//! Step four: there is a route, and a grant for this source, service, method and path with quota left.

use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::sigv4::SIGN_THE_BODY;
use lgsp_shared::signature::{BodyRule, EncodedSlash, SignatureScheme};
use lgsp_shared::timestamp::UnixSeconds;

use super::Admission;
use super::fresh::Fresh;
use super::refusal::Refusal;
use super::ticket;
use crate::clock::Now;
use crate::snapshot::{Found, Grant, NotFound, Quota, Route, Service, Snapshot};

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
        let mut room = PathRoom::default();
        let path = MatchedPath::of(head.path, &mut room);
        let found = match snapshot.router().find(head.authority, &path, head.method) {
            Ok(found) => found,
            Err(not_found) => return Err(no_route(not_found).from(credential)),
        };
        let refuse = |refusal: Refusal| Err(refusal.from(credential).towards(&found.route));
        if let Err(refusal) = slash_is_data(&found.route, head.authority, &path, head.method, snapshot) {
            return refuse(refusal);
        }
        if let Err(code) = demands(&found.route, fresh.has_nonce()) {
            return refuse(code.into());
        }
        let body = match body_rule(&found.route, &fresh) {
            Ok(body) => body,
            Err(refusal) => return refuse(refusal),
        };
        if let Err(refusal) = ticket::check(&fresh, head.method, &path, &found.route, snapshot, now) {
            return refuse(refusal);
        }
        match grant(&fresh, &found.route.service, head.method, &path, snapshot, now) {
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
            used: self.fresh.used(),
        }
    }
}

pub(super) fn no_route(not_found: NotFound) -> Refusal {
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

/// Whether an escaped `/` in the path may be data: the route says so, and a target that reads it as a `/` is asked for
/// nothing that another route decides on. Explanations ask the same.
pub(super) fn slash_is_data(
    route: &Route,
    authority: &str,
    path: &MatchedPath<'_>,
    method: &str,
    snapshot: &Snapshot,
) -> Result<(), Refusal> {
    if !path.has_encoded_slash() {
        return Ok(());
    }
    let mut room = PathRoom::default();
    let decoded = path.with_slashes_decoded(&mut room);
    let leads_there = |found: Found| found.route.id == route.id;
    let detail = match route.encoded_slash {
        EncodedSlash::Refuse => {
            "the path holds the escape `%2F`, which readers understand differently; the route has to take it as data"
        }
        EncodedSlash::Data if snapshot.router().find(authority, &decoded, method).is_ok_and(leads_there) => {
            return Ok(());
        }
        EncodedSlash::Data => "with its escape `%2F` read as `/` the path would be another route's",
    };
    Err(Refusal::new(Code::RequestMalformed).with_detail(detail))
}

/// Whether the request is what the route demands. Explanations ask the same.
pub(super) fn demands(route: &Route, has_nonce: bool) -> Result<(), Code> {
    if route.closed {
        return Err(Code::RouteClosed);
    }
    if route.require_nonce && !has_nonce {
        return Err(Code::NonceMissing);
    }
    Ok(())
}

/// What the body must satisfy here. RFC 9421 without a digest vouches for no body at all, which a route may allow;
/// SigV4 always says something of the body, and what it says holds everywhere.
fn body_rule(route: &Route, fresh: &Fresh<'_, '_>) -> Result<BodyRule, Refusal> {
    let claim = fresh.authenticated().claim();
    match (claim.body(), claim.scheme()) {
        // Presigned requests are always unsigned; one without a body has nothing that could have been signed.
        (BodyRule::UnsignedChunks { .. }, _) if !route.unsigned_payload => {
            Err(Refusal::new(Code::DigestMissing).with_detail(SIGN_THE_BODY))
        }
        (BodyRule::Unsigned, _) if !route.unsigned_payload => Ok(BodyRule::Empty),
        (BodyRule::Empty, SignatureScheme::Rfc9421) if route.unsigned_payload => Ok(BodyRule::Unsigned),
        (rule, _) => Ok(rule),
    }
}

/// The first grant that covers this and has quota left. What permissions that are tried would do is counted here.
pub(super) fn grant(
    fresh: &Fresh<'_, '_>,
    service: &Service,
    method: &str,
    path: &MatchedPath<'_>,
    snapshot: &Snapshot,
    now: Now,
) -> Result<Arc<Grant>, Refusal> {
    let source = &fresh.authenticated().credential().system.id;
    let grants = snapshot.grants().of(source, &service.id);
    let wanted = Wanted { method, path, at: now.unix };
    let allowed = allowing(grants, wanted, |quota| quota.take(now.monotonic)).cloned();
    match &allowed {
        Ok(grant) => grant.watched.iter().for_each(|watched| watched.count()),
        Err(_) => {
            let shadow = covering(snapshot.grants().shadow_of(source, &service.id), wanted);
            shadow.filter_map(|grant| grant.watched.as_ref()).for_each(|watched| watched.count());
        }
    }
    allowed
}

/// What a grant is wanted for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub method: &'a str,
    pub path: &'a MatchedPath<'a>,
    pub at: UnixSeconds,
}

/// The grants that cover what is wanted, their quotas apart.
pub(super) fn covering<'g>(grants: &'g [Arc<Grant>], wanted: Wanted<'g>) -> impl Iterator<Item = &'g Arc<Grant>> {
    let Wanted { method, path, at } = wanted;
    grants.iter().filter(move |grant| grant.covers(method, path, at))
}

/// The first grant that covers what is wanted and has quota left. `take` asks the quota; explanations ask it without
/// taking.
pub(super) fn allowing<'g>(
    grants: &'g [Arc<Grant>],
    wanted: Wanted<'g>,
    take: impl Fn(&Quota) -> Result<(), u32>,
) -> Result<&'g Arc<Grant>, Refusal> {
    let mut wait_secs = None;
    for grant in covering(grants, wanted) {
        match grant.quota.as_deref().map_or(Ok(()), &take) {
            Ok(()) => return Ok(grant),
            Err(secs) => wait_secs = Some(wait_secs.map_or(secs, |least: u32| least.min(secs))),
        }
    }
    Err(match wait_secs {
        Some(secs) => Refusal::new(Code::QuotaExceeded).with_retry_after(secs),
        None => Refusal::new(Code::PermissionMissing),
    })
}
