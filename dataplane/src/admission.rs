//! The decision: claim → authenticated → fresh → permitted → admitted.
//!
//! Synchronous and pure but for the replay window and the quota; no allocation on success, no lock but one replay
//! shard. Each step's result can only be made by that step, from the result of the one before, so that skipping a
//! step does not compile. Budget: 2 µs.

use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::{BodyRule, ChunkVerifier, Claim, ClaimError, SignatureScheme};

use crate::clock::Now;
use crate::snapshot::{Credential, Grant, Matched, Route, Snapshot};

mod authenticated;
mod direct;
pub mod explain;
mod fresh;
mod permit;
mod question;
mod refusal;
mod replay;
mod ticket;

use authenticated::Authenticated;
pub use direct::{Direct, admit_direct};
use fresh::Fresh;
pub use fresh::REPLAY_HOLD_SECS_MAX;
use permit::Permit;
pub use question::Question;
pub use refusal::{Refusal, SignedAt, Stated, StatedSignature};
pub use replay::{
    Ahead, KeyId, NONCE_ID_BYTES, Name, NonceId, NonceQuestion, REPLAY_SLOTS_DEFAULT, ReplayWindow, SHARDS, Seen, Span,
    Used,
};

/// A request that may go to its target, and all that was found out about it.
pub struct Admission {
    /// Who sent it; its system is the source.
    pub credential: Arc<Credential>,
    /// How it was signed.
    pub scheme: SignatureScheme,
    /// How it finds its service.
    pub route: Arc<Route>,
    /// The part of the path the route matched.
    pub matched: Matched,
    /// The grant that allows it.
    pub grant: Arc<Grant>,
    /// What its body must satisfy.
    pub body: BodyRule,
    /// Verifies the body's chunks, where they are signed.
    pub chunks: Option<ChunkVerifier>,
    /// What is left to be found out about its nonce.
    pub question: Option<Question>,
    /// The nonce it used up, if it is good once only.
    pub used: Option<Used>,
}

impl std::fmt::Debug for Admission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admission")
            .field("credential", &self.credential.id)
            .field("route", &self.route.id)
            .field("grant", &self.grant.id)
            .finish_non_exhaustive()
    }
}

/// Decides on one request.
///
/// # Errors
/// The first reason to refuse it, in the order of the steps.
pub fn admit(
    head: &RequestHead<'_>,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
    now: Now,
) -> Result<Admission, Refusal> {
    // What an escaped `/` in the path is, the route says.
    let claim = claimed(head, Claim::read_for_route)?;
    decide(&claim, head, snapshot, replay, now).map_err(|refusal| refusal.stating(Stated::of(head, Some(&claim))))
}

fn claimed<'a>(
    head: &RequestHead<'a>,
    read: fn(&RequestHead<'a>) -> Result<Claim<'a>, ClaimError>,
) -> Result<Claim<'a>, Refusal> {
    read(head).map_err(|error| {
        let refusal: Refusal = error.into();
        refusal.stating(Stated::of(head, None))
    })
}

fn decide<'a>(
    claim: &Claim<'a>,
    head: &RequestHead<'a>,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
    now: Now,
) -> Result<Admission, Refusal> {
    let authenticated = Authenticated::check(claim, head, snapshot, now)?;
    let fresh = Fresh::check(authenticated, head, snapshot, replay, now)?;
    let used = fresh.used();
    let permit =
        Permit::check(fresh, head, snapshot, now).inspect_err(|refusal| take_back(used, refusal, replay, now))?;
    Ok(permit.into_admission())
}

/// What nobody permitted holds no place in the window. A request over its quota keeps its place: otherwise a copy of it
/// could be served later, although its source has read that it was refused.
#[cold]
fn take_back(used: Option<Used>, refusal: &Refusal, replay: &ReplayWindow, now: Now) {
    if let (Some(used), true) = (used, refusal.code != Code::QuotaExceeded) {
        replay.forget(&used, now.unix);
    }
}

/// Who sent a request to the platform itself: true, of now, and here for the first time.
pub struct Identified {
    /// Who sent it.
    pub credential: Arc<Credential>,
    /// How it was signed.
    pub scheme: SignatureScheme,
    /// When, by its own account.
    pub signed: SignedAt,
    /// Whether it came with a nonce of its own.
    pub has_nonce: bool,
    /// What its body must satisfy.
    pub body: BodyRule,
    /// Verifies the body's chunks, where they are signed.
    pub chunks: Option<ChunkVerifier>,
    /// What is left to be found out about its nonce.
    pub question: Option<Question>,
}

impl std::fmt::Debug for Identified {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identified").field("credential", &self.credential.id).finish_non_exhaustive()
    }
}

/// Decides who sent a request that goes to no target: the same steps as [`admit`] without the last one.
///
/// # Errors
/// The first reason to refuse it, in the order of the steps.
pub fn identify(
    head: &RequestHead<'_>,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
    now: Now,
) -> Result<Identified, Refusal> {
    let claim = claimed(head, Claim::read)?;
    let recognised = recognise(&claim, head, snapshot, replay, now);
    recognised.map_err(|refusal| refusal.stating(Stated::of(head, Some(&claim))))
}

fn recognise<'a>(
    claim: &Claim<'a>,
    head: &RequestHead<'a>,
    snapshot: &Snapshot,
    replay: &ReplayWindow,
    now: Now,
) -> Result<Identified, Refusal> {
    let authenticated = Authenticated::check(claim, head, snapshot, now)?;
    let fresh = Fresh::check(authenticated, head, snapshot, replay, now)?;
    let credential = authenticated.credential();
    Ok(Identified {
        signed: SignedAt::of(claim),
        has_nonce: fresh.has_nonce(),
        chunks: claim.chunk_verifier(&credential.key),
        scheme: claim.scheme(),
        body: claim.body(),
        credential: credential.clone(),
        question: fresh.question(),
    })
}

#[cfg(test)]
mod tests;
