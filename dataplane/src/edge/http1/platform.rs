//! Requests to the platform itself: the body is read whole, within its bound and verified, before anything is answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use lgsp_shared::refusal::Code;
use tokio::time::Instant;

use super::body::BodyDecoder;
use super::chunked::Step;
use super::decide::{Asked, Decision};
use super::exchange::Next;
use super::framing::Framing;
use super::head::Request;
use super::pace::Pace;
use super::refuse::{refuse, send, tell};
use super::source::Source;
use super::stock::Use;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::answer::reply;
use crate::edge::cause::{BODY_LATE, Cause};
use crate::record::{CallKind, Called, OpenRecord, Outcome};
use crate::session::{self, CALL_BYTES_MAX, Call};
use crate::snapshot::Snapshot;
use crate::stream::{BodyGate, Declared, Gathered, Held};

/// A call whose head was decided on.
#[derive(Debug)]
pub struct PlatformCall {
    asked: Asked,
    call: Call,
    gate: BodyGate,
    decoder: BodyDecoder,
}

/// Decides on the head.
pub fn receive(
    request: &Request<'_>,
    asked: Asked,
    snapshot: &Arc<Snapshot>,
    now: Now,
    context: &Rooms,
    record: &mut OpenRecord,
) -> Decision {
    if !context.records.admits() {
        return Decision::Refuse(asked, Code::RecordsUnavailable.into());
    }
    record.exchange.called = CallKind::at(request.head.path).map(|kind| Box::new(Called::new(kind)));
    let mut call = match session::receive(&request.head, snapshot, &context.replay, asked.reader.language, now) {
        Ok(call) => call,
        Err(refusal) => return Decision::Refuse(asked, refusal),
    };
    record.identified(call.caller(), call.scheme());
    let declared = match request.framing {
        Framing::Empty => Declared::Nothing,
        Framing::Length(length) => Declared::Bytes(length),
        Framing::Chunked | Framing::UntilClose => Declared::Unbounded,
    };
    let (rule, chunks) = call.body_rule();
    let memory = Held::new(&context.held, &call.caller().held);
    match BodyGate::new(rule, chunks, declared, CALL_BYTES_MAX, memory) {
        Ok(gate) => {
            let decoder = BodyDecoder::new(request.framing);
            Decision::Answer(Box::new(PlatformCall { asked, call, gate, decoder }))
        }
        Err(code) => Decision::Refuse(asked, call.refused(code)),
    }
}

/// Reads the body and answers.
pub async fn serve(source: &mut Source, context: &Rooms, call: PlatformCall, mut record: OpenRecord) -> Next {
    let PlatformCall { asked, call, mut gate, mut decoder } = call;
    if asked.expects_continue
        && source.wire.input().is_empty()
        && !send(source, b"HTTP/1.1 100 Continue\r\n\r\n", asked.source_idle_ms).await
    {
        return Next::Close;
    }
    if let Some((question, unreachable)) = call.question()
        && let Err(code) = context.first_use(question, unreachable).await
    {
        return refuse(source, &asked, decoder, &call.refused(code), &mut record).await.into();
    }
    let answered = match whole_body(source, &asked, &mut gate, &mut decoder).await {
        Ok(body) => {
            record.exchange.request_bytes = gate.received_bytes();
            let first_use = |question, unreachable| context.first_use(question, unreachable);
            match session::random() {
                Some(random) => {
                    let done = call.answer(&body, &context.replay, Now::read(), &random, first_use).await;
                    record.called(done.called);
                    done.reply
                }
                None => Err(call.refused(Code::Internal)),
            }
        }
        Err(Some(Cause { code, detail })) => Err(call.refused(code).because(detail)),
        Err(None) => return Next::Close,
    };
    match answered {
        Ok(said) => {
            record.exchange.status = said.status;
            record.ends(Outcome::Completed);
            let answer = reply(said, record.exchange.request_id);
            tell(source, &asked, decoder, &answer, &mut record).await.into()
        }
        Err(refusal) => refuse(source, &asked, decoder, &refusal, &mut record).await.into(),
    }
}

/// The body, verified; `None` when the source went away.
async fn whole_body(
    source: &mut Source,
    asked: &Asked,
    gate: &mut BodyGate,
    decoder: &mut BodyDecoder,
) -> Result<Vec<u8>, Option<Cause>> {
    let (mut body, mut pace) = (Gathered::default(), asked.pace());
    loop {
        match decoder.step(source.wire.input()) {
            Ok(Step::Framing(length)) => source.wire.consume(length),
            Ok(Step::Content(length)) => body.take(gate, source.wire.take(length)).map_err(Cause::from)?,
            Ok(Step::End(length)) => {
                source.wire.consume(length);
                // At its end, so that the next request is found behind it whatever the verdict is.
                *decoder = BodyDecoder::new(Framing::Empty);
                return Ok(body.finish(gate).map_err(Cause::from)?);
            }
            Ok(Step::More) => {
                // Only a body that has to be waited for is held.
                gate.holds_outside(CALL_BYTES_MAX as usize).map_err(Cause::from)?;
                pace.moved_to(gate.received_bytes(), Instant::now);
                fill(source, &mut pace).await?;
            }
            Err(fault) => {
                *decoder = BodyDecoder::UntilClose;
                return Err(Some(fault.into()));
            }
        }
    }
}

async fn fill(source: &mut Source, pace: &mut Pace) -> Result<(), Option<Cause>> {
    source.deadline.set(pace.awaited(Instant::now()));
    let read = poll_fn(|cx| match source.wire.poll_fill(cx, Use::Body) {
        Poll::Ready(read) => Poll::Ready(Some(read)),
        Poll::Pending => source.deadline.poll_expired(cx).map(|()| None),
    });
    match read.await {
        None => Err(Some(BODY_LATE)),
        Some(Ok(0) | Err(_)) => Err(None),
        Some(Ok(_)) => Ok(()),
    }
}
