//! One exchange: decide, verify what is already here, ask the target, pass its answer on. One record, closed once.

use std::time::Duration;

use lgsp_shared::refusal::{Code, Step};
use tokio::time::Instant;

use super::body::BodyDecoder;
use super::connect::{self, NoConnection};
use super::converse::{Conversation, Reply};
use super::deadline::Total;
use super::decide::{Arrival, Asked, Decision, Forward, decide};
use super::framing::Framing;
use super::platform::{self, PlatformCall};
use super::refuse::{self, After, refuse};
use super::relay::{Patience, Relay, Relayed};
use super::sending::Sending;
use super::source::Source;
use super::stock::BODY_BYTES;
use super::upload::Progress;
use super::wire::Wire;
use crate::admission::Refusal;
use crate::clock::{MonotonicMillis, Now};
use crate::edge::Rooms;
use crate::edge::cause::{BODY_LATE, Cause, TOTAL_OVER};
use crate::record::{Face, OpenRecord, Outcome, RequestId};
use crate::upstream::{Failure, Lease, Tried};

/// A body of a declared length up to this is read and verified before the target is asked, so that nothing of one that
/// does not verify reaches it. Held in memory meanwhile.
const VERIFIED_FIRST_BYTES_MAX: u64 = BODY_BYTES as u64;

const SILENT: Cause = Cause::closed("the connection ended before the first byte of an answer");

/// What becomes of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// The next request starts at the front of the input.
    Request,
    /// It is over once the source has read what was written.
    Linger,
    /// It is over.
    Close,
    /// pingora-proxy serves the request whose head is still at the front of the input, and all that follow.
    HandOver,
}

impl From<After> for Next {
    fn from(after: After) -> Self {
        match after {
            After::KeepAlive => Next::Request,
            After::Linger => Next::Linger,
            After::Close => Next::Close,
        }
    }
}

/// Serves the request whose complete head is the first `length` bytes of the source's input.
pub async fn serve(source: &mut Source, context: &Rooms, length: usize) -> Next {
    match begin(source, context, length) {
        Begun::HandOver => Next::HandOver,
        Begun::Refused(refused) => Box::pin(refused.tell(source)).await,
        Begun::ToPlatform(call, record) => {
            let next = Box::pin(platform::serve(source, context, *call, record)).await;
            source.look_at_clock();
            next
        }
        Begun::Admitted(record, forward) => {
            let mut exchange = Exchange { source, context, record, forward, reached: false };
            exchange.run().await
        }
    }
}

/// What became of a request before anyone had to be waited for.
#[allow(clippy::large_enum_variant, reason = "moved once, and a box would be an allocation per exchange")]
enum Begun {
    HandOver,
    Refused(Box<Refused>),
    ToPlatform(Box<PlatformCall>, OpenRecord),
    Admitted(OpenRecord, Forward),
}

/// Parses, decides and opens the record. Not a part of [`serve`]: what an `async` function borrows stays in its room,
/// which is in memory for as long as the target takes.
fn begin(source: &mut Source, context: &Rooms, length: usize) -> Begun {
    let at = source.look_at_clock();
    let arrival = Arrival { scheme: source.scheme, now: Now::at(at.into_std()) };
    let mut record =
        OpenRecord::open_at(&context.records, RequestId::new(), Face::Http1, source.peer, arrival.now, at.into_std());
    let head = source.wire.input().get(..length).unwrap_or_default();
    let decision = decide(head, arrival, context, &mut record);
    if matches!(decision, Decision::HandOver) {
        record.hand_over();
        return Begun::HandOver;
    }
    source.wire.consume(length);
    match decision {
        Decision::HandOver => Begun::HandOver,
        Decision::Refuse(asked, refusal) => Begun::Refused(Box::new(Refused { asked, refusal, record })),
        Decision::Answer(call) => Begun::ToPlatform(call, record),
        Decision::Forward(forward) => Begun::Admitted(record, forward),
    }
}

/// A request that is refused before anything of its body was read.
struct Refused {
    asked: Asked,
    refusal: Refusal,
    record: OpenRecord,
}

impl Refused {
    async fn tell(mut self: Box<Self>, source: &mut Source) -> Next {
        let rest = BodyDecoder::new(self.asked.framing);
        let after = refuse(source, &self.asked, rest, &self.refusal, &mut self.record).await;
        source.look_at_clock();
        after.into()
    }
}

/// An admitted request on its way.
struct Exchange<'a> {
    source: &'a mut Source,
    context: &'a Rooms,
    record: OpenRecord,
    forward: Forward,
    /// Whether there was a connection on which a target may have heard of the request.
    reached: bool,
}

/// Why there is no answer of the target to pass on.
enum Unanswered {
    Refused(Cause),
    SourceGone,
}

/// A target that has begun to answer.
struct Answered {
    wire: Wire,
    lease: Lease,
    head: usize,
}

/// How an answer was passed on.
struct Passed {
    relayed: Relayed,
    status: u16,
    source_persistent: bool,
    target_reusable: bool,
    request_whole: bool,
}

impl Exchange<'_> {
    async fn run(&mut self) -> Next {
        if let Some(question) = self.forward.question
            && let Err(code) = Box::pin(self.context.first_use(question, self.forward.route.owner_unreachable)).await
        {
            return self.refuse(code.into()).await;
        }
        let answered = match self.verify_first().await {
            Ok(()) => self.ask().await,
            Err(unanswered) => Err(unanswered),
        };
        if matches!(answered, Err(Unanswered::Refused(cause)) if cause.code.step() == Step::Target) && !self.reached {
            self.context.nothing_reached(self.forward.used);
        }
        let received = self.forward.upload.received_bytes();
        self.record.exchange.request_bytes = self.record.exchange.request_bytes.max(received);
        let passed = match answered {
            Ok(mut answered) => self.pass_on(&mut answered).await.map(|passed| self.finish(&passed, answered)),
            Err(Unanswered::SourceGone) => return Next::Close,
            Err(Unanswered::Refused(cause)) => Err(cause),
        };
        match passed {
            Ok(next) => next,
            Err(cause) => Box::pin(self.refuse(cause)).await,
        }
    }

    async fn refuse(&mut self, cause: Cause) -> Next {
        let refusal: Refusal = cause.into();
        let rest = self.forward.upload.rest();
        let after = refuse(self.source, &self.forward.asked, rest, &refusal, &mut self.record).await;
        self.source.look_at_clock();
        after.into()
    }

    /// When all of it must be over, if ever.
    fn total(&self) -> Total {
        let total_ms = self.forward.route.service.upstream.deadlines.total_ms;
        let end = || Instant::from_std(self.record.started()) + Duration::from_millis(total_ms);
        Total((total_ms > 0).then(end))
    }

    fn asked(&self) -> &Asked {
        &self.forward.asked
    }

    /// Invites the body, and verifies a small one before anything reaches the target.
    async fn verify_first(&mut self) -> Result<(), Unanswered> {
        let asked = *self.asked();
        let whole = match asked.framing {
            // Usually nothing is waited for, and the clock need not be read again.
            Framing::Empty | Framing::Length(0) if !asked.expects_continue => return self.take_buffered(),
            Framing::Empty => Some(0),
            Framing::Length(length) => {
                (length <= VERIFIED_FIRST_BYTES_MAX).then(|| usize::try_from(length).unwrap_or(usize::MAX))
            }
            Framing::Chunked | Framing::UntilClose => None,
        };
        let verified = self.take_body(asked, whole).await;
        self.source.look_at_clock();
        verified
    }

    async fn take_body(&mut self, asked: Asked, whole: Option<usize>) -> Result<(), Unanswered> {
        if asked.expects_continue
            && self.source.wire.input().is_empty()
            && !refuse::send(self.source, b"HTTP/1.1 100 Continue\r\n\r\n", asked.source_idle_ms).await
        {
            return Err(Unanswered::SourceGone);
        }
        match whole {
            Some(length) => self.take_whole(length).await,
            // A place at the target is taken only when there is something to send.
            None => self.gather(1).await,
        }
    }

    fn take_buffered(&mut self) -> Result<(), Unanswered> {
        let Forward { upload, out, .. } = &mut self.forward;
        loop {
            match upload.advance(&mut self.source.wire, out) {
                Ok(Progress::Moved) => {}
                Ok(Progress::More | Progress::Done) => return Ok(()),
                Err(cause) => return Err(Unanswered::Refused(cause)),
            }
        }
    }

    /// Leaves the body in the read buffer until all of it is there, and verifies it then: pieces would each keep a buffer.
    async fn take_whole(&mut self, length: usize) -> Result<(), Unanswered> {
        if self.source.wire.input().len() >= length {
            return self.take_buffered();
        }
        let arrived = match self.forward.upload.holds_outside(length) {
            Ok(()) => self.gather(length).await,
            Err(code) => Err(Unanswered::Refused(code)),
        };
        if arrived.is_err() {
            self.record.exchange.request_bytes = self.source.wire.input().len().min(length) as u64;
            return arrived;
        }
        let taken = self.take_buffered();
        // It is verified or refused: nothing of it is held for a verdict.
        self.forward.upload.holds_outside(0).map_err(Unanswered::Refused)?;
        taken
    }

    async fn gather(&mut self, length: usize) -> Result<(), Unanswered> {
        let total = self.total();
        while self.source.wire.input().len() < length {
            let (source, pace) = (&mut *self.source, &mut self.forward.pace);
            pace.moved_to(source.wire.input().len() as u64, Instant::now);
            source.deadline.set(total.bound(pace.awaited(Instant::now())));
            let read = std::future::poll_fn(|cx| match source.wire.poll_gather(cx, length) {
                std::task::Poll::Ready(read) => std::task::Poll::Ready(Some(read)),
                // The source's socket wakes the task, or its deadline.
                std::task::Poll::Pending => source.deadline.poll_expired(cx).map(|()| None),
            });
            match read.await {
                None if total.is_over() => return Err(Unanswered::Refused(TOTAL_OVER)),
                None => return Err(Unanswered::Refused(BODY_LATE)),
                Some(Ok(0) | Err(_)) => return Err(Unanswered::SourceGone),
                Some(Ok(_)) => {}
            }
        }
        self.forward.pace.not_awaited(Instant::now);
        Ok(())
    }

    /// Asks endpoints until one begins to answer. Another is asked only while nothing of the body is gone.
    async fn ask(&mut self) -> Result<Answered, Unanswered> {
        let upstream = self.forward.route.service.upstream.clone();
        upstream.budget.earn(upstream.retry.budget_percent);
        let first_byte = Duration::from_millis(upstream.deadlines.first_byte_ms);
        let answer_by = self.total().bound(self.source.at + first_byte);
        let mut tried = Tried::default();
        let mut failed = None;
        for attempt in 0..=upstream.retry.attempts {
            if attempt > 0 && Instant::now() >= answer_by {
                failed = Some(Cause::late("no time was left for another attempt"));
                break;
            }
            if attempt > 0 && !upstream.budget.spend() {
                break;
            }
            let now = MonotonicMillis::at(self.source.at.into_std());
            let lease = match upstream.pick(now, &mut tried, &self.forward.grant.share) {
                Ok(lease) => lease,
                Err(code) => return Err(Unanswered::Refused(failed.unwrap_or(code.into()))),
            };
            self.record.exchange.endpoint = Some(lease.address());
            match self.attempt(lease, answer_by).await {
                Attempt::Answered(answered) => return Ok(answered),
                Attempt::Over(unanswered) => return Err(unanswered),
                Attempt::Again(cause) => failed = Some(cause),
            }
        }
        Err(Unanswered::Refused(failed.unwrap_or(Code::TargetUnreachable.into())))
    }

    /// Asks one endpoint: on an idle connection first, and on a new one when that turns out to be dead.
    async fn attempt(&mut self, lease: Lease, answer_by: Instant) -> Attempt {
        let key = connect::key(&lease);
        let mut idle = self.context.pool.take(&key, self.source.at.into_std());
        loop {
            self.record.exchange.attempts = self.record.exchange.attempts.saturating_add(1);
            let reused = idle.is_some();
            let stream = match idle.take() {
                Some(stream) => stream,
                None => match Box::pin(connect::open(self.context, &lease, answer_by)).await {
                    Ok(stream) => stream,
                    Err(NoConnection { failure: Some(failure), cause }) => {
                        lease.failed(failure, MonotonicMillis::now());
                        return Attempt::Again(cause);
                    }
                    Err(NoConnection { failure: None, cause }) => return Attempt::Over(Unanswered::Refused(cause)),
                },
            };
            if !reused {
                self.source.look_at_clock();
            }
            let mut wire = Wire::new(stream);
            self.reached = true;
            let reply = self.converse(&mut wire, answer_by).await;
            let blame = match reply {
                Reply::Head(head) => return Attempt::Answered(Answered { wire, lease, head }),
                Reply::SourceGone => return Attempt::Over(Unanswered::SourceGone),
                Reply::Refused(cause) => return Attempt::Over(Unanswered::Refused(cause)),
                Reply::Silent if self.may_repeat() && reused => {
                    self.forward.out.restart();
                    continue;
                }
                Reply::Silent => (Failure::Broken, SILENT),
                Reply::Failed(cause) if cause.code == Code::TargetTimeout => (Failure::Deadline, cause),
                Reply::Failed(cause) => (Failure::Protocol, cause),
            };
            lease.failed(blame.0, MonotonicMillis::now());
            if reply == Reply::Silent && self.may_repeat() {
                self.forward.out.restart();
                return Attempt::Again(blame.1);
            }
            return Attempt::Over(Unanswered::Refused(blame.1));
        }
    }

    /// Whether the request can be sent again: it is whole, and either nothing of it left or sending it twice is harmless.
    fn may_repeat(&self) -> bool {
        let Forward { asked, upload, out, .. } = &self.forward;
        upload.is_done() && !out.is_body_begun() && (asked.idempotent || !out.is_begun())
    }

    async fn converse(&mut self, target: &mut Wire, answer_by: Instant) -> Reply {
        let total = self.total();
        let Forward { asked, route, pace, upload, out, .. } = &mut self.forward;
        let deadlines = &route.service.upstream.deadlines;
        let began = self.source.at;
        let mut conversation = Conversation {
            total,
            answer_by: upload.is_done().then_some(answer_by),
            source: self.source,
            target,
            sending: Sending::new(out, upload),
            deadlines,
            pace,
            sent_at: None,
            interim: 0,
            scanned: 0,
        };
        let reply = conversation.run().await;
        let sent_at = conversation.sent_at;
        let first_byte = self.source.look_at_clock();
        let waited = sent_at.map_or(Duration::ZERO, |sent_at| first_byte.saturating_duration_since(sent_at));
        self.record.exchange.target_micros = micros(waited);
        // How long a body takes to come in is the source's time, not ours.
        let own_until = sent_at.filter(|_| !asked.framing.has_content()).unwrap_or(began);
        self.record.exchange.own_micros = self.record.micros_until(own_until.into_std());
        reply
    }

    /// Passes an answer on; why to refuse it when nothing of it can be.
    async fn pass_on(&mut self, answered: &mut Answered) -> Result<Passed, Cause> {
        let Answered { wire, lease, head } = answered;
        let (first_byte, total) = (self.source.at, self.total());
        let Forward { out, upload, asked, route, pace, .. } = &mut self.forward;
        let mut rest = Sending::new(out, upload);
        let keep = rest.is_whole() && !self.source.is_closing();
        let mut relay = match Relay::begin(wire, *head, asked, keep, self.record.exchange.request_id) {
            Ok(relay) => relay,
            Err(fault) => {
                lease.failed(Failure::Protocol, MonotonicMillis::now());
                return Err(fault.into());
            }
        };
        self.record.exchange.status = relay.status;
        let deadlines = &route.service.upstream.deadlines;
        let patience =
            Patience { target: Duration::from_millis(deadlines.idle_ms), taking: asked.pace(), sending: *pace, total };
        let relayed = relay.run(self.source, wire, &mut rest, patience).await;
        let request_whole = rest.is_whole();
        self.record.exchange.request_bytes = self.forward.upload.received_bytes();
        if let Relayed::NotBegun(cause) = relayed {
            lease.failed(Failure::Protocol, MonotonicMillis::now());
            return Err(cause);
        }
        self.record.exchange.response_bytes = relay.body_bytes;
        let delivered = relay.begun_at().map_or(Duration::ZERO, |at| at.saturating_duration_since(first_byte));
        self.record.exchange.own_micros += micros(delivered);
        let Relay { status, source_persistent, target_reusable, .. } = relay;
        Ok(Passed { relayed, status, source_persistent, target_reusable, request_whole })
    }

    fn finish(&mut self, passed: &Passed, answered: Answered) -> Next {
        let Answered { wire, lease, head: _ } = answered;
        let ended = self.source.at.into_std();
        match passed.relayed {
            Relayed::Whole => {
                self.record.ends(Outcome::Completed);
                self.record.ended_at(ended);
                match passed.status {
                    502..=504 => lease.failed(Failure::Status, MonotonicMillis::at(ended)),
                    _ => lease.succeeded(),
                }
                if passed.target_reusable && passed.request_whole && wire.input().is_empty() {
                    self.context.pool.put(connect::key(&lease), wire.into_stream(), ended);
                }
            }
            Relayed::TargetCut(cause) | Relayed::NotBegun(cause) => {
                self.record.ends(Outcome::TargetCut(cause.code));
                self.record.because(cause.detail);
                lease.failed(Failure::Broken, MonotonicMillis::now());
                return Next::Close;
            }
            Relayed::RequestWrong(cause) => {
                self.record.ends(Outcome::Refused(cause.code));
                self.record.because(cause.detail);
                return Next::Close;
            }
            Relayed::SourceGone => return Next::Close,
        }
        if passed.source_persistent { Next::Request } else { Next::Linger }
    }
}

/// How one attempt went.
enum Attempt {
    Answered(Answered),
    Over(Unanswered),
    /// Nothing reached the target that would forbid asking another.
    Again(Cause),
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
