//! One exchange: decide, verify what is already here, ask the target, pass its answer on. One record, closed once.

use std::time::Duration;

use lgsp_shared::refusal::Code;
use tokio::time::Instant;

use super::connect::{self, NoConnection};
use super::converse::{Conversation, Reply};
use super::decide::{Arrival, Asked, Decision, Forward, decide};
use super::framing::Framing;
use super::platform;
use super::refuse::{self, After, refuse};
use super::relay::{Patience, Relay, Relayed};
use super::sending::Sending;
use super::source::Source;
use super::stock::{BODY_BYTES, Use};
use super::upload::Progress;
use super::wire::Wire;
use crate::admission::Refusal;
use crate::clock::{MonotonicMillis, Now};
use crate::edge::Rooms;
use crate::record::{Face, OpenRecord, Outcome, RequestId};
use crate::upstream::{Failure, Lease, Tried};

/// A body of a declared length up to this is read and verified before the target is asked, so that nothing of one that
/// does not verify reaches it. Held in memory meanwhile.
const VERIFIED_FIRST_BYTES_MAX: u64 = BODY_BYTES as u64;

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
    let arrival = Arrival { scheme: source.scheme, now: Now::read() };
    let mut record = OpenRecord::open(&context.records, RequestId::new(), Face::Http1, source.peer, arrival.now);
    let head = source.wire.input().get(..length).unwrap_or_default();
    let decision = decide(head, arrival, context, &mut record);
    if matches!(decision, Decision::HandOver) {
        record.hand_over();
        return Next::HandOver;
    }
    source.wire.consume(length);
    match decision {
        Decision::HandOver => Next::HandOver,
        Decision::Refuse(asked, refusal) => {
            let rest = super::body::BodyDecoder::new(asked.framing);
            refuse(source, &asked, rest, &refusal, &mut record).await.into()
        }
        Decision::Answer(call) => Box::pin(platform::serve(source, context, *call, record)).await,
        Decision::Forward(forward) => Exchange { source, context, record, forward }.run().await,
    }
}

/// An admitted request on its way.
struct Exchange<'a> {
    source: &'a mut Source,
    context: &'a Rooms,
    record: OpenRecord,
    forward: Forward,
}

/// Why there is no answer of the target to pass on.
enum Unanswered {
    Refused(Code),
    SourceGone,
}

/// A target that has begun to answer.
struct Answered {
    wire: Wire,
    lease: Lease,
    head: usize,
}

impl Exchange<'_> {
    async fn run(mut self) -> Next {
        if let Some(question) = self.forward.question
            && let Err(code) = Box::pin(self.context.first_use(question, self.forward.route.owner_unreachable)).await
        {
            return self.refuse(code).await;
        }
        let answered = match self.verify_first().await {
            Ok(()) => self.ask().await,
            Err(unanswered) => Err(unanswered),
        };
        self.record.exchange.request_bytes = self.forward.upload.received_bytes();
        match answered {
            Ok(answered) => self.pass_on(answered).await,
            Err(Unanswered::SourceGone) => Next::Close,
            Err(Unanswered::Refused(code)) => self.refuse(code).await,
        }
    }

    async fn refuse(&mut self, code: Code) -> Next {
        let refusal = Refusal::new(code);
        let rest = self.forward.upload.rest();
        refuse(self.source, &self.forward.asked, rest, &refusal, &mut self.record).await.into()
    }

    fn asked(&self) -> &Asked {
        &self.forward.asked
    }

    /// Invites the body, and verifies a small one before anything reaches the target.
    async fn verify_first(&mut self) -> Result<(), Unanswered> {
        let asked = *self.asked();
        let waits = match asked.framing {
            Framing::Empty | Framing::Length(0) => return self.take_buffered(),
            Framing::Length(length) => length <= VERIFIED_FIRST_BYTES_MAX,
            Framing::Chunked | Framing::UntilClose => false,
        };
        if asked.expects_continue
            && self.source.wire.input().is_empty()
            && !refuse::send(self.source, b"HTTP/1.1 100 Continue\r\n\r\n", asked.source_idle_ms).await
        {
            return Err(Unanswered::SourceGone);
        }
        if waits { self.take_whole(asked).await } else { Ok(()) }
    }

    fn take_buffered(&mut self) -> Result<(), Unanswered> {
        let Forward { upload, out, .. } = &mut self.forward;
        loop {
            match upload.advance(&mut self.source.wire, out) {
                Ok(Progress::Moved) => {}
                Ok(Progress::More | Progress::Done) => return Ok(()),
                Err(code) => return Err(Unanswered::Refused(code)),
            }
        }
    }

    async fn take_whole(&mut self, asked: Asked) -> Result<(), Unanswered> {
        let idle = Duration::from_millis(asked.source_idle_ms);
        loop {
            self.take_buffered()?;
            if self.forward.upload.is_done() {
                return Ok(());
            }
            self.source.deadline.set_after(idle);
            let source = &mut *self.source;
            let read = std::future::poll_fn(|cx| match source.wire.poll_fill(cx, Use::Body) {
                std::task::Poll::Ready(read) => std::task::Poll::Ready(Some(read)),
                std::task::Poll::Pending => source.deadline.poll_expired(cx).map(|()| None),
            });
            match read.await {
                None => return Err(Unanswered::Refused(Code::BodyTimeout)),
                Some(Ok(0) | Err(_)) => return Err(Unanswered::SourceGone),
                Some(Ok(_)) => {}
            }
        }
    }

    /// Asks endpoints until one begins to answer. Another is asked only while nothing of the body is gone.
    async fn ask(&mut self) -> Result<Answered, Unanswered> {
        let upstream = self.forward.route.service.upstream.clone();
        upstream.budget.earn(upstream.retry.budget_percent);
        let started = Instant::now();
        let answer_by = started + Duration::from_millis(upstream.deadlines.first_byte_ms);
        let mut tried = Tried::default();
        let mut failed = None;
        for attempt in 0..=upstream.retry.attempts {
            if attempt > 0 && Instant::now() >= answer_by {
                failed = Some(Code::TargetTimeout);
                break;
            }
            if attempt > 0 && !upstream.budget.spend() {
                break;
            }
            let lease = match upstream.pick(MonotonicMillis::now(), &mut tried) {
                Ok(lease) => lease,
                Err(code) => return Err(Unanswered::Refused(failed.unwrap_or(code))),
            };
            self.record.exchange.endpoint = Some(lease.address());
            match self.attempt(lease, started, answer_by).await {
                Attempt::Answered(answered) => return Ok(answered),
                Attempt::Over(unanswered) => return Err(unanswered),
                Attempt::Again(code) => failed = Some(code),
            }
        }
        Err(Unanswered::Refused(failed.unwrap_or(Code::TargetUnreachable)))
    }

    /// Asks one endpoint: on an idle connection first, and on a new one when that turns out to be dead.
    async fn attempt(&mut self, lease: Lease, started: Instant, answer_by: Instant) -> Attempt {
        let key = connect::key(&lease);
        let mut idle = self.context.pool.take(&key);
        loop {
            self.record.exchange.attempts = self.record.exchange.attempts.saturating_add(1);
            let reused = idle.is_some();
            let stream = match idle.take() {
                Some(stream) => stream,
                None => match Box::pin(connect::open(self.context, &lease, answer_by)).await {
                    Ok(stream) => stream,
                    Err(NoConnection { failure, code }) => {
                        lease.failed(failure, MonotonicMillis::now());
                        return Attempt::Again(code);
                    }
                },
            };
            let mut wire = Wire::new(stream);
            let reply = self.converse(&mut wire, started, answer_by).await;
            let blame = match reply {
                Reply::Head(head) => return Attempt::Answered(Answered { wire, lease, head }),
                Reply::SourceGone => return Attempt::Over(Unanswered::SourceGone),
                Reply::Refused(code) => return Attempt::Over(Unanswered::Refused(code)),
                Reply::Silent if self.may_repeat() && reused => {
                    self.forward.out.restart();
                    continue;
                }
                Reply::Silent => (Failure::Broken, Code::TargetClosed),
                Reply::Failed(code @ Code::TargetTimeout) => (Failure::Deadline, code),
                Reply::Failed(code) => (Failure::Protocol, code),
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

    async fn converse(&mut self, target: &mut Wire, started: Instant, answer_by: Instant) -> Reply {
        let Forward { asked, route, question: _, upload, out } = &mut self.forward;
        let deadlines = &route.service.upstream.deadlines;
        let answer_by = upload.is_done().then_some(answer_by);
        let total = total(started, deadlines.total_ms);
        let sent_after = self.record.elapsed_micros();
        let conversation = Conversation {
            source: self.source,
            target,
            sending: Sending::new(out, upload),
            deadlines,
            source_idle: Duration::from_millis(asked.source_idle_ms),
            total,
            answer_by,
            sent_at: None,
            interim: 0,
            scanned: 0,
        };
        let began = Instant::now();
        let (reply, sent_at) = conversation.run().await;
        let waited = sent_at.map_or(Duration::ZERO, |sent_at| sent_at.elapsed());
        let sending = sent_at.map_or(Duration::ZERO, |sent_at| sent_at - began);
        self.record.exchange.target_micros = micros(waited);
        self.record.exchange.own_micros = sent_after + if asked.framing.has_content() { 0 } else { micros(sending) };
        reply
    }

    async fn pass_on(mut self, answered: Answered) -> Next {
        let Answered { mut wire, lease, head } = answered;
        let first_byte = Instant::now();
        let Forward { out, upload, .. } = &mut self.forward;
        let keep = Sending::new(out, upload).is_whole() && !self.source.is_closing();
        let begun = Relay::begin(&mut wire, head, &self.forward.asked, keep, self.record.exchange.request_id);
        let mut relay = match begun {
            Ok(relay) => relay,
            Err(fault) => {
                lease.failed(Failure::Protocol, MonotonicMillis::now());
                return self.refuse(fault.code).await;
            }
        };
        self.record.exchange.status = relay.status;
        let deadlines = &self.forward.route.service.upstream.deadlines;
        let patience = Patience {
            target: Duration::from_millis(deadlines.idle_ms),
            source: Duration::from_millis(self.forward.asked.source_idle_ms),
            total: total(first_byte, deadlines.total_ms),
        };
        let Forward { out, upload, .. } = &mut self.forward;
        let mut rest = Sending::new(out, upload);
        let relayed = relay.run(self.source, &mut wire, &mut rest, patience).await;
        let request_whole = rest.is_whole();
        self.record.exchange.request_bytes = self.forward.upload.received_bytes();
        if let Relayed::NotBegun(code) = relayed {
            lease.failed(Failure::Protocol, MonotonicMillis::now());
            return self.refuse(code).await;
        }
        self.record.exchange.response_bytes = relay.body_bytes;
        let delivered = relay.begun_at().map_or(Duration::ZERO, |at| at.saturating_duration_since(first_byte));
        self.record.exchange.own_micros += micros(delivered);
        self.finish(relayed, &relay, wire, lease, request_whole)
    }

    fn finish(mut self, relayed: Relayed, relay: &Relay, wire: Wire, lease: Lease, request_whole: bool) -> Next {
        match relayed {
            Relayed::Whole => {
                self.record.ends(Outcome::Completed);
                match relay.status {
                    502..=504 => lease.failed(Failure::Status, MonotonicMillis::now()),
                    _ => lease.succeeded(),
                }
                let (stream, unread) = wire.into_parts();
                if relay.target_reusable && request_whole && unread.is_empty() {
                    self.context.pool.put(connect::key(&lease), stream);
                }
            }
            Relayed::TargetCut(code) | Relayed::NotBegun(code) => {
                self.record.ends(Outcome::TargetCut(code));
                lease.failed(Failure::Broken, MonotonicMillis::now());
                return Next::Close;
            }
            Relayed::RequestWrong(code) => {
                self.record.ends(Outcome::Refused(code));
                return Next::Close;
            }
            Relayed::SourceGone => return Next::Close,
        }
        if relay.source_persistent { Next::Request } else { Next::Linger }
    }
}

/// How one attempt went.
enum Attempt {
    Answered(Answered),
    Over(Unanswered),
    /// Nothing reached the target that would forbid asking another.
    Again(Code),
}

fn total(started: Instant, total_ms: u64) -> Option<Instant> {
    (total_ms > 0).then(|| started + Duration::from_millis(total_ms))
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
