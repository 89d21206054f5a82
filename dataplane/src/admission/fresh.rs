//! Step three: the request is of now, and is here for the first time.

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::Code;
use lgsp_shared::signature::Nonce;
use lgsp_shared::timestamp::UnixSeconds;

use super::authenticated::Authenticated;
use super::question::{Known, Question};
use super::refusal::{Refusal, SignedAt};
use super::replay::{KeyId, ReplayWindow, Seen, Used};
use crate::clock::Now;
use crate::snapshot::Snapshot;

/// The longest a nonce is remembered, in seconds: both halves of the largest clock window. A presigned request that
/// changes things may not live longer, because it could be replayed after it was forgotten.
pub const REPLAY_HOLD_SECS_MAX: i64 = 1_800;

/// Seconds a source is asked to wait when the window has no room.
const FULL_RETRY_SECS: u32 = 5;

/// An authenticated request that was not seen before.
pub struct Fresh<'c, 'a> {
    authenticated: Authenticated<'c, 'a>,
    has_nonce: bool,
    question: Option<Question>,
    used: Option<Used>,
}

impl<'c, 'a> Fresh<'c, 'a> {
    /// Checks the clock, then remembers the nonce.
    pub fn check(
        authenticated: Authenticated<'c, 'a>,
        head: &RequestHead<'a>,
        snapshot: &Snapshot,
        replay: &ReplayWindow,
        now: Now,
    ) -> Result<Self, Refusal> {
        let claim = authenticated.claim();
        let (created, window_secs) = (claim.created(), i64::from(snapshot.defaults.clock_window_secs));
        let window_secs = replay.span().window_secs(window_secs, created, now.unix);
        let refuse = |refusal: Refusal| Err(refusal.from(authenticated.credential()));
        let until = match valid_until(SignedAt::of(claim), now.unix, window_secs) {
            Ok(until) => until,
            Err(refusal) => return refuse(refusal),
        };
        let nonce = claim.nonce();
        let has_nonce = matches!(nonce, Nonce::Given(_));
        let fresh = Self { authenticated, has_nonce, question: None, used: None };
        if !is_once_only(has_nonce, head.method) {
            return Ok(fresh);
        }
        let access_key = claim.access_key();
        let (name, again) = (replay.name(access_key, nonce), again(nonce, SignedAt::of(claim)));
        let mut handed_over = false;
        let see = || {
            let (seen, handed) = replay.see(&name, until, now.unix);
            handed_over = handed;
            seen
        };
        if let Err(refusal) = first_time(until, now.unix, again, see) {
            return refuse(refusal);
        }
        let ahead_secs = created.0.saturating_sub(now.unix.0);
        let ahead = (ahead_secs > 0).then(|| (KeyId::of(access_key), ahead_secs));
        let unknown = !replay.span().covers(access_key, created);
        let question = Question::about(Known { name, created, until, ahead, unknown, handed_over, again });
        Ok(Self { question, used: Some(Used::new(&name, until, !has_nonce)), ..fresh })
    }

    /// What is left to be found out about its nonce.
    pub fn question(&self) -> Option<Question> {
        self.question
    }

    /// The nonce it used up, if it is good once only.
    pub fn used(&self) -> Option<Used> {
        self.used
    }

    /// The request as authenticated.
    pub fn authenticated(&self) -> Authenticated<'c, 'a> {
        self.authenticated
    }

    /// Whether it carries a nonce of its own, so that it is good exactly once whatever its method.
    pub fn has_nonce(&self) -> bool {
        self.has_nonce
    }
}

/// Until when, inclusive, the same request would still pass the clock check: how long its nonce must be remembered.
/// Explanations ask the same.
pub(super) fn valid_until(signed: SignedAt, now: UnixSeconds, window_secs: i64) -> Result<UnixSeconds, Refusal> {
    let SignedAt { created, expires, presigned } = signed;
    let ahead_secs = created.0.saturating_sub(now.0);
    let skewed = |how: String| {
        let detail = format!("{how}; {window_secs} s are allowed: signed at {created}, received at {now}");
        Err(Refusal::new(Code::ClockSkew).with_detail(detail))
    };
    if ahead_secs > window_secs {
        return skewed(format!("signed {ahead_secs} s in the future"));
    }
    if expires.is_some_and(|expires| now >= expires) {
        return Err(Refusal::new(Code::SignatureExpired));
    }
    // A presigned request states its own life time; everything else lives for the clock window.
    if let (true, Some(expires)) = (presigned, expires) {
        return Ok(expires);
    }
    if ahead_secs < -window_secs {
        return skewed(format!("signed {} s ago", ahead_secs.saturating_neg()));
    }
    Ok(UnixSeconds(created.0.saturating_add(window_secs)))
}

/// Whether a request is good once only. Explanations ask the same.
pub(super) fn is_once_only(has_nonce: bool, method: &str) -> bool {
    has_nonce || changes_things(method)
}

/// What a request that was seen before is refused with. SigV4 signs whole seconds and no nonce: a client that sends again
/// within the same second, as SDKs do after a failure, makes an equal signature without meaning to, and has to be sent
/// where it signs again. Explanations ask the same.
pub(super) fn again(nonce: Nonce<'_>, signed: SignedAt) -> Code {
    match nonce {
        Nonce::Signature(_) if !signed.presigned => Code::SignatureRepeated,
        Nonce::Signature(_) | Nonce::Given(_) => Code::Replayed,
    }
}

/// Refuses what was seen before, and what could be replayed after it was forgotten. `see` asks the window; explanations
/// ask it without being remembered.
pub(super) fn first_time(
    until: UnixSeconds,
    now: UnixSeconds,
    again: Code,
    see: impl FnOnce() -> Seen,
) -> Result<(), Refusal> {
    if until.0.saturating_sub(now.0) > REPLAY_HOLD_SECS_MAX {
        let detail = format!(
            "a presigned request that changes things may be valid for {REPLAY_HOLD_SECS_MAX} seconds at most, because it is \
             remembered for that long: presign it with a shorter `X-Amz-Expires` (boto3: `ExpiresIn`)"
        );
        return Err(Refusal::new(Code::SignatureMalformed).with_detail(detail));
    }
    match see() {
        Seen::First => Ok(()),
        Seen::Again => Err(again.into()),
        Seen::NoRoom => Err(Refusal::new(Code::ReplayWindowFull).with_retry_after(FULL_RETRY_SECS)),
        Seen::OverShare => {
            let detail = "this access key holds its share of the places for nonces on this node";
            Err(Refusal::new(Code::ReplayWindowFull).with_detail(detail).with_retry_after(FULL_RETRY_SECS))
        }
    }
}

/// Whether the method may change something at the target: all but the safe methods of RFC 9110 section 9.2.1.
fn changes_things(method: &str) -> bool {
    !matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE")
}
