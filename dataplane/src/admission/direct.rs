//! The decision on a request that did not come this way: a target received it directly and asks whether to serve it.
//!
//! The same steps as for a request that goes through, with one before them: the ticket is this target's. A target that
//! asks about anything else, real or made up, is told the same, and nothing of it is used up.

use std::borrow::Cow;
use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::path::{MatchedPath, PathRoom};
use lgsp_shared::refusal::Code;
use lgsp_shared::session::{TICKET_HEADER, Ticket, TicketRoom};
use lgsp_shared::signature::{BodyRule, Claim, Nonce, SessionClaim};
use lgsp_shared::timestamp::UnixSeconds;

use super::authenticated::Authenticated;
use super::fresh::Fresh;
use super::permit;
use super::question::Question;
use super::refusal::Refusal;
use super::replay::ReplayWindow;
use super::ticket;
use crate::clock::Now;
use crate::snapshot::{Credential, Grant, Service, Snapshot};

/// A request that its target may serve.
#[derive(Debug)]
pub struct Direct {
    /// Who sent it.
    pub credential: Arc<Credential>,
    /// The grant that allows it.
    pub grant: Arc<Grant>,
    /// When its session ends.
    pub expires: UnixSeconds,
    /// What its body must satisfy.
    pub body: BodyRule,
    /// The nonce that is used up now.
    pub nonce: String,
    /// What is left to be found out about that nonce.
    pub question: Option<Question>,
}

/// Decides on a request that `target` received.
///
/// # Errors
/// The first reason to refuse it; [`Code::SessionUnknown`] for every ticket that is not for this target.
pub fn admit_direct(
    head: &RequestHead<'_>,
    target: &Service,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
    now: Now,
) -> Result<Direct, Refusal> {
    let mut room = TicketRoom::default();
    let ticket = of_target(head, target, snapshot, &mut room)?;
    let claim = Claim::read(head)?;
    let session = claim.session().ok_or(Code::SessionUnknown)?;
    let authenticated = Authenticated::check(&claim, head, snapshot, now)?;
    let decide = || {
        ticket::is_current(&ticket, snapshot, now)?;
        ticket::belongs_to(&ticket, session, &authenticated)?;
        let (mut received, mut asked) = (PathRoom::default(), PathRoom::default());
        let received = MatchedPath::of(head.path, &mut received);
        let path = granted_path(&ticket, target, head.method, &received, snapshot)?;
        let path = MatchedPath::of(&path, &mut asked);
        let fresh = Fresh::check(authenticated, head, snapshot, replay, now)?;
        let grant = permit::grant(&fresh, target, head.method, &path, snapshot, now)?;
        admitted(&fresh, grant, ticket.expires)
    };
    decide().map_err(|refusal| refusal.from(authenticated.credential()))
}

fn admitted(fresh: &Fresh<'_, '_>, grant: Arc<Grant>, expires: UnixSeconds) -> Result<Direct, Refusal> {
    let authenticated = fresh.authenticated();
    let Nonce::Given(nonce) = authenticated.claim().nonce() else { return Err(Code::NonceMissing.into()) };
    Ok(Direct {
        credential: authenticated.credential().clone(),
        grant,
        expires,
        body: authenticated.claim().body(),
        nonce: nonce.to_owned(),
        question: fresh.question(),
    })
}

fn of_target<'r>(
    head: &RequestHead<'_>,
    target: &Service,
    snapshot: &Snapshot,
    room: &'r mut TicketRoom,
) -> Result<Ticket<'r>, Refusal> {
    let text = head.only(TICKET_HEADER).ok().flatten().and_then(|field| field.text());
    let session = SessionClaim { ticket: text.ok_or(Code::SessionUnknown)?, proof: "" };
    let ticket = ticket::open(session, snapshot, room).map_err(|_| Code::SessionUnknown)?;
    if ticket.service == target.id.as_str() { Ok(ticket) } else { Err(Code::SessionUnknown.into()) }
}

/// The path by which the platform knows what was asked for: the one a source would send here. A service without a route
/// is only called directly, and its permissions speak of its own paths.
fn granted_path<'p>(
    ticket: &Ticket<'_>,
    target: &Service,
    method: &str,
    received: &MatchedPath<'p>,
    snapshot: &Snapshot,
) -> Result<Cow<'p, str>, Refusal> {
    let routes = snapshot.routes_to(&target.id);
    if routes.is_empty() {
        ticket::covers(ticket, target, method, received)?;
        return Ok(Cow::Borrowed(received.form()));
    }
    let open = routes.iter().filter(|route| !route.closed && route.takes(method));
    let mut paths = open.filter_map(|route| route.path_before_rewrite(received));
    let covers = |path: &str| ticket.scopes.cover(method, &MatchedPath::of(path, &mut PathRoom::default()));
    let covered = paths.find(|path| covers(path));
    covered.ok_or_else(|| Code::SessionOutOfScope.into())
}
