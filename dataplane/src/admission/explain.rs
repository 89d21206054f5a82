//! Why a request would be refused: the decision walked step by step with the very functions that decide, going on after
//! a failure to show what else is in the way.
//!
//! Guarantees: it takes no quota and remembers no nonce; its verdict is the decision's. A signature is never checked
//! here, because whoever asks has no secret: it is taken to be right, or is what a recorded refusal says.
//! Not on a request's path: it allocates, and looks at every route and credential.

use std::sync::Arc;

use lgsp_shared::explain::{FACTS_MAX, Line, Mark, Source};
use lgsp_shared::id::ServiceId;
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::refusal::{Code, Step};
use lgsp_shared::resource::PermissionMode;
use lgsp_shared::session::is_for_platform;
use lgsp_shared::signature::Nonce;
use lgsp_shared::timestamp::UnixSeconds;

use super::authenticated::usable;
use super::fresh::{again, first_time, is_once_only, valid_until};
use super::permit::{Wanted, allowing, covering, demands, no_route, slash_is_data};
use super::refusal::SignedAt;
use super::replay::ReplayWindow;
use crate::clock::Now;
use crate::snapshot::{Credential, Found, Grant, Snapshot};

mod near;
mod platform;

/// A request as far as it is known.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Who sends it, as far as it says so.
    pub source: Option<&'a Source>,
    /// Its method.
    pub method: &'a str,
    /// Its host; empty for none in particular.
    pub authority: &'a str,
    /// Its path.
    pub path: &'a str,
    /// The service it is meant for.
    pub service: Option<&'a ServiceId>,
    /// When it was signed, by its own account; now when absent.
    pub signed: Option<SignedAt>,
    /// Its nonce; a new one when absent.
    pub nonce: Option<Nonce<'a>>,
}

/// How a request stands to the decision.
#[derive(Debug)]
pub struct Walk {
    /// Step by step, in the order of the decision.
    pub checks: Vec<Check>,
    /// The credential it would be from.
    pub credential: Option<Arc<Credential>>,
    /// The route it would take.
    pub found: Option<Found>,
}

/// One step.
#[derive(Debug)]
pub struct Check {
    /// Which.
    pub step: Step,
    /// How it stands.
    pub mark: Mark,
    /// The reason, when it fails.
    pub code: Option<Code>,
    /// In a sentence.
    pub text: String,
    /// What it was told from.
    pub facts: Vec<String>,
}

impl Walk {
    /// The reason for which the request would be refused: the first there is.
    pub fn code(&self) -> Option<Code> {
        self.checks.iter().find_map(|check| check.code)
    }

    /// Lays what was decided over what would be decided now. Steps before the refusal passed, as far as the sender was
    /// proved; the one that failed says what was told then; those after it stay what they would be now.
    pub fn as_recorded(&mut self, code: Code, told: &str, proved: bool) {
        let refused = code.step();
        if self.checks.iter().all(|check| check.step != refused) {
            let at = self.checks.iter().position(|check| check.step > refused).unwrap_or(self.checks.len());
            self.checks.insert(at, Check::unknown(refused, ""));
        }
        for check in &mut self.checks {
            if check.step == refused {
                let now = match check.mark {
                    Mark::Fail | Mark::Pass => format!("now: {}", check.text),
                    Mark::Assumed | Mark::Unknown => String::new(),
                };
                check.facts.insert(0, now);
                check.facts.retain(|fact| !fact.is_empty());
                *check = Check::fail(refused, code, told).with(std::mem::take(&mut check.facts));
            } else if check.step < refused && proved {
                let differs = check.mark == Mark::Fail;
                let text = if differs { format!("passed then; now: {}", check.text) } else { check.text.clone() };
                let text = if check.step == Step::Signature { "it verified".to_owned() } else { text };
                *check = Check::pass(check.step, text).with(std::mem::take(&mut check.facts));
            }
        }
    }

    /// Adds what a step was told from.
    pub fn add_facts(&mut self, step: Step, facts: impl Iterator<Item = String>) {
        if let Some(check) = self.checks.iter_mut().find(|check| check.step == step) {
            check.facts.extend(facts);
        }
    }

    /// The lines to show.
    pub fn lines(&self) -> Vec<Line> {
        let line = |check: &Check| Line {
            step: check.step.label().to_owned(),
            mark: check.mark,
            text: check.text.clone(),
            facts: check.facts.iter().take(FACTS_MAX).cloned().collect(),
        };
        self.checks.iter().map(line).collect()
    }
}

impl Check {
    fn pass(step: Step, text: impl Into<String>) -> Self {
        Self { step, mark: Mark::Pass, code: None, text: text.into(), facts: Vec::new() }
    }

    fn assumed(step: Step, text: impl Into<String>) -> Self {
        Self { mark: Mark::Assumed, ..Self::pass(step, text) }
    }

    fn unknown(step: Step, text: impl Into<String>) -> Self {
        Self { mark: Mark::Unknown, ..Self::pass(step, text) }
    }

    fn fail(step: Step, code: Code, text: impl Into<String>) -> Self {
        Self { mark: Mark::Fail, code: Some(code), ..Self::pass(step, text) }
    }

    fn with(mut self, facts: Vec<String>) -> Self {
        self.facts = facts;
        self
    }
}

/// Walks the decision.
pub fn explain(asked: &Asked<'_>, snapshot: &Snapshot, replay: &ReplayWindow, now: Now) -> Walk {
    let mut room = PathRoom::default();
    let walker = Walker { asked, snapshot, replay, now, path: MatchedPath::of(asked.path, &mut room) };
    let credentials = walker.credentials();
    let (identity, credential) = walker.identity(&credentials);
    let key = walker.key(&credentials, credential.as_deref());
    let signature = Check::assumed(Step::Signature, "taken to be right: explaining asks for no secret");
    let mut checks = vec![identity, signature, key, walker.clock()];
    if is_for_platform(asked.path) {
        checks.push(walker.replay(credential.as_deref(), None));
        checks.extend(platform::checks(&walker, credential.as_deref()));
        return Walk { checks, credential, found: None };
    }
    let found = snapshot.router().find(asked.authority, &walker.path, asked.method);
    let route = found.as_ref().ok();
    let permission = match (&credential, route) {
        (Some(credential), Some(found)) => walker.permission(credential, found),
        (None, _) => walker.untold("who asks is not known"),
        (_, None) => walker.untold("no route leads to a service"),
    };
    let [permission, quota] = permission;
    checks.extend([
        walker.replay(credential.as_deref(), route),
        walker.route(&found),
        walker.session(route),
        permission,
        quota,
        walker.body(route),
        walker.target(route),
    ]);
    Walk { checks, credential, found: found.ok() }
}

struct Walker<'a> {
    asked: &'a Asked<'a>,
    snapshot: &'a Snapshot,
    replay: &'a ReplayWindow,
    now: Now,
    path: MatchedPath<'a>,
}

impl Walker<'_> {
    /// The credentials of who asks, the best first: one that may be used, an active one, by name.
    fn credentials(&self) -> Vec<Arc<Credential>> {
        let system = match self.asked.source {
            None => None,
            Some(Source::System(system)) => Some(system),
            Some(Source::AccessKey(key)) => {
                self.snapshot.credential(key.as_str()).map(|credential| &credential.system.id)
            }
        };
        let Some(system) = system else { return Vec::new() };
        let mut all: Vec<_> =
            self.snapshot.credentials().filter(|credential| credential.system.id == *system).cloned().collect();
        let named = |credential: &Credential| matches!(self.asked.source, Some(Source::AccessKey(key)) if *key == credential.access_key);
        all.sort_by(|one, other| {
            let rank = |credential: &Credential| {
                (!named(credential), usable(credential, self.now).is_err(), credential.state as u8)
            };
            rank(one).cmp(&rank(other)).then_with(|| one.id.cmp(&other.id))
        });
        all
    }

    fn identity(&self, credentials: &[Arc<Credential>]) -> (Check, Option<Arc<Credential>>) {
        let revision = self.snapshot.revision;
        let Some(best) = credentials.first() else {
            let text = match self.asked.source {
                None => return (Check::unknown(Step::Identity, "it named no access key that could be read"), None),
                Some(Source::System(system)) => {
                    format!(
                        "in revision {revision} nothing identifies System/{system}: it has no credential that opens"
                    )
                }
                Some(Source::AccessKey(key)) => format!("revision {revision} knows no access key {key}"),
            };
            return (Check::fail(Step::Identity, Code::KeyUnknown, text), None);
        };
        let system = &best.system;
        let text = format!("access key {} is Credential/{} of System/{}", best.access_key, best.id, system.id);
        let facts = vec![format!("Agency/{}, code {}", system.agency, system.agency_code)];
        (Check::pass(Step::Identity, text).with(facts), Some(best.clone()))
    }

    /// Every credential of the system, so that one sees which would do.
    fn key(&self, credentials: &[Arc<Credential>], chosen: Option<&Credential>) -> Check {
        let Some(chosen) = chosen else { return Check::unknown(Step::Key, "who asks is not known") };
        let told = |credential: &Arc<Credential>| match usable(credential, self.now) {
            Ok(()) => format!("{}: usable", described(credential)),
            Err(code) => format!("{}: refused, {code}", described(credential)),
        };
        let facts = credentials.iter().map(told).collect();
        let check = match usable(chosen, self.now) {
            Ok(()) => Check::pass(Step::Key, format!("Credential/{} may be used", chosen.id)),
            Err(code) => Check::fail(Step::Key, code, format!("Credential/{} may not be used", chosen.id)),
        };
        check.with(facts)
    }

    fn clock(&self) -> Check {
        let (now, window_secs) = (self.now.unix, self.snapshot.defaults.clock_window_secs);
        let Some(signed) = self.asked.signed else {
            let text =
                format!("the node's clock reads {now}; it takes what was signed up to {window_secs} s from that");
            return Check::assumed(Step::Clock, text);
        };
        let mut facts = vec![format!("signed at {}", signed.created), format!("the node's clock: {now}")];
        facts.extend(signed.expires.map(|expires| format!("ends by its own account at {expires}")));
        let apart_secs = signed.created.0.abs_diff(now.0);
        let window_secs = self.replay.span().window_secs_now(i64::from(window_secs), signed.created);
        let check = match valid_until(signed, now, window_secs) {
            Ok(_) => Check::pass(Step::Clock, format!("{apart_secs} s apart; {window_secs} s are allowed")),
            Err(refusal) => {
                let detail = refusal.detail.unwrap_or("the signature's own end has passed".into());
                Check::fail(Step::Clock, refusal.code, detail)
            }
        };
        check.with(facts)
    }

    fn replay(&self, credential: Option<&Credential>, route: Option<&Found>) -> Check {
        let has_nonce = self.asked.nonce.is_none_or(|nonce| matches!(nonce, Nonce::Given(_)));
        if let (Some(nonce), Some(credential)) = (self.asked.nonce, credential)
            && let Some(until) = self.valid_until()
            && is_once_only(has_nonce, self.asked.method)
        {
            let access_key = credential.access_key.as_str();
            let see = || self.replay.peek(&self.replay.name(access_key, nonce), self.now.unix);
            let signed = self.asked.signed.filter(|signed| !self.replay.span().covers(access_key, signed.created));
            let again = self.asked.signed.map_or(Code::Replayed, |signed| again(nonce, signed));
            if let Err(refusal) = first_time(until, self.now.unix, again, see) {
                let detail =
                    refusal.detail.unwrap_or("this node has seen it before, or has no room to remember it".into());
                return Check::fail(Step::Replay, refusal.code, detail);
            }
            if let Some(signed) = signed {
                let began = self.replay.span().began();
                let text = format!("signed at {}; this node cannot know what was taken before {began}", signed.created);
                return Check::fail(Step::Replay, Code::ReplayUnknown, text);
            }
        }
        match route.map(|found| (&found.route.id, demands(&found.route, has_nonce))) {
            Some((route, Err(code))) if code.step() == Step::Replay => {
                Check::fail(Step::Replay, code, format!("Route/{route} takes only requests with a nonce"))
            }
            Some(_) | None if self.asked.nonce.is_some() => Check::pass(Step::Replay, "not seen before on this node"),
            Some(_) | None => Check::assumed(Step::Replay, "taken to be new: a nonce, or a signature, is good once"),
        }
    }

    fn valid_until(&self) -> Option<UnixSeconds> {
        let (signed, window_secs) = (self.asked.signed?, i64::from(self.snapshot.defaults.clock_window_secs));
        let window_secs = self.replay.span().window_secs_now(window_secs, signed.created);
        valid_until(signed, self.now.unix, window_secs).ok()
    }

    fn route(&self, found: &Result<Found, crate::snapshot::NotFound>) -> Check {
        let Asked { method, path, authority, service, .. } = *self.asked;
        let host = if authority.is_empty() { "any host" } else { authority };
        match found {
            Ok(found) => {
                let (route, led) = (&found.route.id, &found.route.service.id);
                let text = format!("Route/{route} takes {method} {path} at {host} to Service/{led}");
                let mut facts = Vec::new();
                if let Some(service) = service.filter(|service| *service != led) {
                    facts.push(format!("not to Service/{service}, which was asked about"));
                    facts.extend(near::routes_of(self.snapshot, service));
                }
                let slash = slash_is_data(&found.route, authority, &self.path, method, self.snapshot);
                let check = match (slash, demands(&found.route, true)) {
                    (Err(refusal), _) => {
                        let why = refusal.detail.unwrap_or_default();
                        Check::fail(Step::Route, refusal.code, format!("Route/{route} refuses it: {why}"))
                    }
                    (Ok(()), Ok(())) => Check::pass(Step::Route, text),
                    (Ok(()), Err(code)) => {
                        let why = "it has a restriction this node does not understand; upgrade the node";
                        Check::fail(Step::Route, code, format!("Route/{route} is closed: {why}"))
                    }
                };
                check.with(facts)
            }
            Err(not_found) => {
                let refusal = no_route(not_found.clone());
                let text = match refusal.allow.is_empty() {
                    true => format!("no route takes {path} at {host}"),
                    false => format!("{path} is taken only with {}", refusal.allow.join(", ")),
                };
                let mut facts = near::misses(self.snapshot, self.asked, &self.path);
                facts.extend(service.iter().flat_map(|service| near::routes_of(self.snapshot, service)));
                Check::fail(Step::Route, refusal.code, text).with(facts)
            }
        }
    }

    fn session(&self, route: Option<&Found>) -> Check {
        match route {
            None => Check::unknown(Step::Session, "no route leads to a service"),
            Some(Found { route, .. }) if route.require_session => Check::assumed(
                Step::Session,
                "the route takes requests of a session only; one that covers this is assumed",
            ),
            Some(_) => {
                Check::assumed(Step::Session, "the route asks for none; if there is one, it is taken to cover this")
            }
        }
    }

    fn untold(&self, why: &str) -> [Check; 2] {
        [Check::unknown(Step::Permission, why), Check::unknown(Step::Quota, why)]
    }

    /// The permission and its quota.
    fn permission(&self, credential: &Credential, found: &Found) -> [Check; 2] {
        let (source, service) = (&credential.system.id, &found.route.service.id);
        let grants = self.snapshot.grants().of(source, service);
        let Asked { method, path, .. } = *self.asked;
        let wanted = Wanted { method, path: &self.path, at: self.now.unix };
        let shadow = self.snapshot.grants().shadow_of(source, service);
        let tried: Vec<String> = covering(grants, wanted).chain(covering(shadow, wanted)).filter_map(tried).collect();
        let covering: Vec<&Arc<Grant>> = covering(grants, wanted).collect();
        let facts: Vec<String> = covering.iter().map(|grant| self.quota_of(grant)).collect();
        match allowing(grants, wanted, |quota| quota.peek(self.now.monotonic)) {
            Ok(grant) => [
                Check::pass(Step::Permission, format!("Permission/{} grants it", grant.id)).with(tried),
                Check::pass(Step::Quota, "there is room").with(facts),
            ],
            Err(refusal) if refusal.code.step() == Step::Quota => {
                let wait = format!("used up; there is room again in {} s", refusal.retry_after_secs.unwrap_or(1));
                let names: Vec<String> = covering.iter().map(|grant| format!("Permission/{}", grant.id)).collect();
                let text = format!("{} would grant it", names.join(", "));
                [
                    Check::pass(Step::Permission, text).with(tried),
                    Check::fail(Step::Quota, refusal.code, wait).with(facts),
                ]
            }
            Err(refusal) => {
                let text = format!("nothing grants System/{source} {method} {path} at Service/{service}");
                let near = [tried, near::grants(grants, wanted)].concat();
                [
                    Check::fail(Step::Permission, refusal.code, text).with(near),
                    Check::unknown(Step::Quota, "nothing grants it"),
                ]
            }
        }
    }

    fn quota_of(&self, grant: &Grant) -> String {
        match &grant.quota {
            None => format!("Permission/{} has no quota", grant.id),
            Some(quota) => {
                let (rate, left) = (quota.rate(), quota.left(self.now.monotonic));
                let per_second = rate.requests_per_second;
                format!("Permission/{}: {left} of {} left on this node, {per_second} a second", grant.id, rate.burst)
            }
        }
    }

    fn body(&self, route: Option<&Found>) -> Check {
        let Some(Found { route, .. }) = route else { return Check::unknown(Step::Body, "no route leads to a service") };
        let vouched = if route.unsigned_payload { "may come without a signed digest" } else { "needs a signed digest" };
        Check::assumed(Step::Body, format!("at most {} bytes; a body {vouched}", route.body_bytes_max))
    }

    fn target(&self, route: Option<&Found>) -> Check {
        let Some(Found { route, .. }) = route else {
            return Check::unknown(Step::Target, "no route leads to a service");
        };
        let upstream = &route.service.upstream;
        let most = upstream.connections_max();
        let facts = upstream.endpoints().iter().map(|endpoint| {
            let stands = if endpoint.is_usable(self.now.monotonic) { "usable" } else { "out of service" };
            format!("{}: {stands}, {} of {most} exchanges in flight", endpoint.address, endpoint.in_flight())
        });
        let service = &route.service.id;
        let check = match upstream.has_room(self.now.monotonic, None) {
            Ok(()) => Check::pass(Step::Target, format!("Service/{service} has an endpoint with room")),
            Err(code) => Check::fail(Step::Target, code, format!("Service/{service} has no endpoint with room")),
        };
        check.with(facts.collect())
    }
}

/// What is counted for a permission that is tried.
fn tried(grant: &Arc<Grant>) -> Option<String> {
    let watched = grant.watched.as_ref()?;
    let (id, requests) = (&grant.id, watched.requests());
    Some(match watched.mode {
        PermissionMode::Retiring => {
            format!(
                "Permission/{id} is retiring: {requests} requests on this node that nothing else would have granted"
            )
        }
        PermissionMode::Shadow => {
            format!(
                "Permission/{id} is in shadow: it grants nothing and would have granted {requests} requests on this node"
            )
        }
        PermissionMode::Enforce | PermissionMode::Unknown => return None,
    })
}

fn described(credential: &Credential) -> String {
    let state = match credential.state {
        lgsp_shared::resource::CredentialState::Active => "active",
        lgsp_shared::resource::CredentialState::Retiring => "retiring",
        lgsp_shared::resource::CredentialState::Disabled => "disabled",
    };
    let mut text = format!("Credential/{} ({}), {state}", credential.id, credential.access_key);
    if let Some(start) = credential.validity.not_before {
        text.push_str(&format!(", from {start}"));
    }
    if let Some(end) = credential.validity.not_after {
        text.push_str(&format!(", until {end}"));
    }
    text
}

#[cfg(test)]
mod tests;
