//! The session a request belongs to (A12, steps 4 to 6): its ticket was made by this platform, is of now, was given to
//! who signed the request, and covers what is asked.
//!
//! Nothing is looked up but the keys: whether credential and permission still hold is decided by the other steps, from
//! the snapshot of now, so that taking either away ends the session with the next request. Allocates nothing.

use lgsp_shared::path::MatchedPath;
use lgsp_shared::refusal::Code;
use lgsp_shared::session::{Ticket, TicketRoom};
use lgsp_shared::signature::{Nonce, SessionClaim};

use super::authenticated::Authenticated;
use super::fresh::Fresh;
use super::refusal::Refusal;
use crate::clock::Now;
use crate::snapshot::{Route, Service, Snapshot};

/// Checks the session of a request that goes through this node: there is one where the route demands it, and it holds.
pub(super) fn check(
    fresh: &Fresh<'_, '_>,
    method: &str,
    path: &MatchedPath<'_>,
    route: &Route,
    snapshot: &Snapshot,
    now: Now,
) -> Result<(), Refusal> {
    let Some(session) = fresh.authenticated().claim().session() else {
        return if route.require_session { Err(Code::SessionRequired.into()) } else { Ok(()) };
    };
    // The room is this function's own, so that a request without a session does not pay for it.
    let mut room = TicketRoom::default();
    let ticket = open(session, snapshot, &mut room)?;
    is_current(&ticket, snapshot, now)?;
    belongs_to(&ticket, session, &fresh.authenticated())?;
    covers(&ticket, &route.service, method, path)
}

/// Opens the ticket; what cannot be opened was not made here, or is too old to be told from what was not.
pub(super) fn open<'r>(
    session: SessionClaim<'_>,
    snapshot: &Snapshot,
    room: &'r mut TicketRoom,
) -> Result<Ticket<'r>, Refusal> {
    if session.ticket.is_empty() {
        let detail = "`lgsp-session-proof` is there, but `lgsp-session` is not";
        return Err(Refusal::new(Code::SessionInvalid).with_detail(detail));
    }
    let opened = snapshot.ticket_keys().open(session.ticket, room);
    opened.map_err(|error| Refusal::new(Code::SessionInvalid).with_detail(error.to_string()))
}

/// Whether the ticket's time has come and is not over.
pub(super) fn is_current(ticket: &Ticket<'_>, snapshot: &Snapshot, now: Now) -> Result<(), Refusal> {
    if now.unix >= ticket.expires {
        let detail = format!("it was good until {}; here it is {}", ticket.expires, now.unix);
        return Err(Refusal::new(Code::SessionExpired).with_detail(detail));
    }
    // Another node's clock may be ahead by as much as a source's may.
    let ahead_secs = ticket.issued.0.saturating_sub(now.unix.0);
    if ahead_secs > i64::from(snapshot.defaults.clock_window_secs) {
        let detail = format!("it begins at {}; here it is {}", ticket.issued, now.unix);
        return Err(Refusal::new(Code::SessionInvalid).with_detail(detail));
    }
    Ok(())
}

/// Whether the ticket was given to the credential that signed this request, and the sender holds the session's key.
pub(super) fn belongs_to(
    ticket: &Ticket<'_>,
    session: SessionClaim<'_>,
    authenticated: &Authenticated<'_, '_>,
) -> Result<(), Refusal> {
    let credential = authenticated.credential();
    if ticket.access_key != credential.access_key.as_str() || ticket.source != credential.system.id.as_str() {
        return Err(Code::SessionForeign.into());
    }
    let Nonce::Given(nonce) = authenticated.claim().nonce() else {
        let detail = "a request of a session needs a `lgsp-nonce`, over which its proof is made";
        return Err(Refusal::new(Code::NonceMissing).with_detail(detail));
    };
    if ticket.is_proved_by(nonce, session.proof.as_bytes()) { Ok(()) } else { Err(Code::SessionProofInvalid.into()) }
}

/// Whether the ticket is for this service, and for this method and path.
pub(super) fn covers(
    ticket: &Ticket<'_>,
    service: &Service,
    method: &str,
    path: &MatchedPath<'_>,
) -> Result<(), Refusal> {
    if ticket.service != service.id.as_str() {
        let detail = format!("the session is for `{}`", ticket.service);
        return Err(Refusal::new(Code::SessionWrongTarget).with_detail(detail));
    }
    if ticket.scopes.cover(method, path) { Ok(()) } else { Err(Code::SessionOutOfScope.into()) }
}
