//! Calls to the platform itself: no route leads there, and what is granted depends on the service that the body names.

use lgsp_shared::explain::Mark;
use lgsp_shared::refusal::{Code, Step};
use lgsp_shared::session::message::BODY_BYTES_MAX;
use lgsp_shared::session::{SESSIONS_PATH, VERIFICATIONS_PATH};

use super::{Check, Walker};
use crate::snapshot::Credential;

/// The steps in place of those that lead to a target.
pub(super) fn checks(walker: &Walker<'_>, credential: Option<&Credential>) -> Vec<Check> {
    let mut checks = vec![endpoint(walker)];
    checks.extend((walker.asked.path == SESSIONS_PATH).then(|| permission(walker, credential)));
    let text = format!("at most {BODY_BYTES_MAX} bytes, with a signed digest");
    checks.push(Check::assumed(Step::Body, text));
    checks
}

fn endpoint(walker: &Walker<'_>) -> Check {
    let (method, path) = (walker.asked.method, walker.asked.path);
    let text = match path {
        SESSIONS_PATH => "the platform itself answers: it opens a session",
        VERIFICATIONS_PATH => "the platform itself answers: it verifies a request that reached its target directly",
        _ => {
            let text = format!("the platform answers at {SESSIONS_PATH} and {VERIFICATIONS_PATH}, not at {path}");
            return Check::fail(Step::Route, Code::RouteNotFound, text);
        }
    };
    match method {
        "POST" => Check::pass(Step::Route, text),
        _ => Check::fail(Step::Route, Code::MethodNotAllowed, format!("{path} is taken only with POST")),
    }
}

/// A session needs some grant of now; which requests it covers is for the requests.
fn permission(walker: &Walker<'_>, credential: Option<&Credential>) -> Check {
    let Some(service) = walker.asked.service else {
        return Check::unknown(Step::Permission, "the body names the service; it is not known here");
    };
    let Some(credential) = credential else { return Check::unknown(Step::Permission, "who asks is not known") };
    let source = &credential.system.id;
    let grants = walker.snapshot.grants().of(source, service);
    let (valid, over): (Vec<_>, Vec<_>) = grants.iter().partition(|grant| grant.validity.holds_at(walker.now.unix));
    if !valid.is_empty() {
        let facts = valid.iter().map(|grant| format!("Permission/{} grants something there", grant.id)).collect();
        let text =
            format!("System/{source} may call Service/{service}; a session covers what is granted and asked for");
        return Check { mark: Mark::Assumed, ..Check::pass(Step::Permission, text).with(facts) };
    }
    let mut facts: Vec<String> =
        over.iter().map(|grant| format!("Permission/{} does not hold at this time", grant.id)).collect();
    if walker.snapshot.service(service.as_str()).is_none() {
        facts.push(format!("there is no Service/{service}"));
    }
    let text = format!("nothing grants System/{source} anything at Service/{service}");
    Check::fail(Step::Permission, Code::PermissionMissing, text).with(facts)
}
