//! The decision: claim → authenticated → fresh → permitted → admitted.
//!
//! Synchronous and pure but for the replay window and the quota; no allocation on success, no lock but one replay
//! shard. Each step's result can only be made by that step, from the result of the one before, so that skipping a
//! step does not compile. Budget: 2 µs.

use std::sync::Arc;

use lgsp_shared::head::RequestHead;
use lgsp_shared::signature::{BodyRule, ChunkVerifier, Claim, SignatureScheme};

use crate::clock::Now;
use crate::snapshot::{Credential, Grant, Matched, Route, Snapshot};

mod authenticated;
mod direct;
pub mod explain;
mod fresh;
mod permit;
mod refusal;
mod replay;
mod ticket;

use authenticated::Authenticated;
pub use direct::{Direct, admit_direct};
use fresh::Fresh;
pub use fresh::REPLAY_HOLD_SECS_MAX;
use permit::Permit;
pub use refusal::{Refusal, SignedAt, Stated, StatedSignature};
pub use replay::{NONCE_ID_BYTES, NonceId, Question, REPLAY_SLOTS_DEFAULT, ReplayWindow, Seen};

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
    /// What the owner of its nonce has still to be asked, where there are several nodes.
    pub question: Option<Question>,
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
    let claim = claimed(head)?;
    decide(&claim, head, snapshot, replay, now).map_err(|refusal| refusal.stating(Stated::of(head, Some(&claim))))
}

fn claimed<'a>(head: &RequestHead<'a>) -> Result<Claim<'a>, Refusal> {
    Claim::read(head).map_err(|error| {
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
    let permit = Permit::check(fresh, head, snapshot, now)?;
    Ok(permit.into_admission())
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
    /// What the owner of its nonce has still to be asked, where there are several nodes.
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
    let claim = claimed(head)?;
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
