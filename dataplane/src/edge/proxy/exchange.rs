//! One exchange on this face, by stage: arriving, admitted, or answered by the node.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lgsp_shared::refusal::Code;

use super::failure;
use super::forwarded::Forwarded;
use super::watch::{self, Stage as Awaiting, Watch};
use crate::admission::Admission;
use crate::clock::MonotonicMillis;
use crate::edge::answer::Reader;
use crate::edge::cause::Cause;
use crate::record::{OpenRecord, Outcome};
use crate::stream::{BodyGate, Declared};
use crate::upstream::{Failure, Lease, Tried};

/// What Pingora carries from phase to phase.
#[derive(Debug)]
pub struct ProxyExchange {
    /// Closed when this is dropped, whatever happened.
    pub record: OpenRecord,
    /// Its deadlines.
    pub watch: Arc<Watch>,
    /// How its source reads refusals.
    pub reader: Reader,
    /// How far it is.
    pub stage: Stage,
}

/// How far an exchange is.
#[derive(Debug)]
pub enum Stage {
    /// Its head is being decided on.
    Arriving,
    /// It may go to its target.
    Admitted(Box<Admitted>),
    /// The node has answered it.
    Answered,
}

/// An exchange that may go to its target.
pub struct Admitted {
    /// Why it may.
    pub admission: Admission,
    /// What the target is told.
    pub forwarded: Forwarded,
    /// Whether the request can be sent twice without doing something twice (RFC 9110 section 9.2.2).
    pub idempotent: bool,
    /// Why it will be refused, when the node knows better than Pingora's error.
    pub cause: Option<Cause>,
    /// Microseconds after arrival when the request was sent on.
    pub sent_micros: u64,
    /// Whether there was a connection on which a target may have heard of the request.
    pub reached: bool,
    body: Body,
    attempts: Attempts,
}

impl std::fmt::Debug for Admitted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Admitted").field("admission", &self.admission).finish_non_exhaustive()
    }
}

struct Body {
    gate: BodyGate,
    finished: bool,
    pieces: Vec<Bytes>,
}

#[derive(Default)]
struct Attempts {
    tried: Tried,
    lease: Option<Lease>,
    retries: u8,
    failed: Option<Cause>,
}

impl Admitted {
    /// An admitted exchange, before its first attempt.
    pub fn new(admission: Admission, forwarded: Forwarded, idempotent: bool, gate: BodyGate) -> Self {
        let body = Body { gate, finished: false, pieces: Vec::new() };
        Self {
            admission,
            forwarded,
            idempotent,
            cause: None,
            sent_micros: 0,
            reached: false,
            body,
            attempts: Attempts::default(),
        }
    }

    /// What the target is told about the body.
    pub fn released_length(&self) -> Declared {
        self.body.gate.released_length()
    }

    /// Takes one piece of the body and tells what may go on now. `None` ends the body at the target, an empty piece
    /// does not: Pingora reads them so.
    pub fn take_body(&mut self, piece: Option<Bytes>, end: bool) -> Result<Option<Bytes>, Code> {
        let Body { gate, finished, pieces } = &mut self.body;
        if *finished {
            // A second attempt asks again about a body that was empty the first time; there is no other.
            return Ok(None);
        }
        if let Some(piece) = piece {
            gate.push(piece, pieces)?;
        }
        if end {
            *finished = true;
            gate.finish(pieces)?;
        }
        Ok(match (join(pieces), end) {
            (released, true) if released.is_empty() => None,
            (released, _) => Some(released),
        })
    }

    /// A place at an endpoint for the next attempt: the one already held when only its connection was stale.
    pub fn lease(&mut self, now: MonotonicMillis) -> Result<&Lease, Code> {
        let Attempts { tried, lease, .. } = &mut self.attempts;
        match lease {
            Some(lease) => Ok(lease),
            None => {
                let Admission { route, grant, .. } = &self.admission;
                Ok(lease.insert(route.service.upstream.pick(now, tried, &grant.share)?))
            }
        }
    }

    /// Notes why the attempt failed, and gives its place back; the endpoint hears of it when it is to blame.
    pub fn attempt_failed(&mut self, cause: Cause, now: MonotonicMillis) {
        self.attempts.failed = Some(cause);
        if let (Some(lease), Some(failure)) = (self.attempts.lease.take(), failure::blame(cause.code)) {
            lease.failed(failure, now);
        }
    }

    /// Notes that there is no endpoint for an attempt; what the caller hears of is the attempt before it.
    pub fn no_endpoint(&mut self, code: Code) {
        self.cause = self.cause.or(self.attempts.failed).or(Some(code.into()));
    }

    /// Notes how the endpoint did in an exchange that came to its end.
    pub fn attempt_ended(&mut self, failure: Option<Failure>, now: MonotonicMillis) {
        match (self.attempts.lease.take(), failure) {
            (Some(lease), Some(failure)) => lease.failed(failure, now),
            (Some(lease), None) => lease.succeeded(),
            (None, _) => {}
        }
    }

    /// Whether another attempt may be made, which is then counted: nothing of the body was taken yet, and either
    /// nothing at all was sent or sending it twice is harmless; and the service still has retries to spend.
    pub fn may_retry(&mut self, reached: Reached) -> bool {
        let upstream = &self.admission.route.service.upstream;
        let harmless = match reached {
            Reached::Nothing => true,
            Reached::Target => self.idempotent,
            Reached::End => false,
        };
        let allowed = self.cause.is_none()
            && self.body.gate.received_bytes() == 0
            && harmless
            && self.attempts.retries < upstream.retry.attempts
            && upstream.budget.spend();
        self.attempts.retries += u8::from(allowed);
        allowed
    }

    /// Whether a connection that was closed while it was idle may be replaced: it counts as no attempt.
    pub fn may_reconnect(&self) -> bool {
        self.cause.is_none() && self.body.gate.received_bytes() == 0 && self.idempotent
    }
}

/// How far an attempt had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// There was no connection.
    Nothing,
    /// The request may have reached the target.
    Target,
    /// The answer had begun, or the exchange's deadline passed: there is nothing left to try.
    End,
}

impl ProxyExchange {
    /// The admitted exchange, if it is one.
    pub fn admitted(&mut self) -> Option<&mut Admitted> {
        match &mut self.stage {
            Stage::Admitted(admitted) => Some(admitted),
            Stage::Arriving | Stage::Answered => None,
        }
    }

    /// Notes that the request was sent on as far as it goes without its body.
    pub fn request_sent(&mut self) {
        let elapsed = self.record.elapsed_micros();
        if let Stage::Admitted(admitted) = &mut self.stage {
            admitted.sent_micros = elapsed;
        }
        self.record.exchange.own_micros = elapsed;
    }

    /// Notes the target's first byte.
    pub fn answer_begun(&mut self) {
        self.watch.enter(Awaiting::Response);
        let elapsed = self.record.elapsed_micros();
        if let Stage::Admitted(admitted) = &mut self.stage {
            self.record.exchange.target_micros = elapsed.saturating_sub(admitted.sent_micros).max(1);
        }
    }
}

impl Drop for ProxyExchange {
    fn drop(&mut self) {
        // An exchange that had to be dropped did not get as far as saying so itself.
        if let (Stage::Admitted(_), Some(code), false) = (&self.stage, self.watch.cut_because(), self.watch.has_ended())
        {
            self.record.ends(Outcome::TargetCut(code));
            self.record.because(watch::overdue(code).detail);
        }
    }
}

fn join(pieces: &mut Vec<Bytes>) -> Bytes {
    if pieces.len() > 1 {
        let mut whole = BytesMut::with_capacity(pieces.iter().map(Bytes::len).sum());
        pieces.drain(..).for_each(|piece| whole.extend_from_slice(&piece));
        return whole.freeze();
    }
    pieces.pop().unwrap_or_default()
}
