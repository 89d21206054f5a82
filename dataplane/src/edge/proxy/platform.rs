//! Requests to the platform itself on this face: the body is read whole, within its bound and verified, and answered.

use std::sync::Arc;
use std::time::Duration;

use lgsp_shared::head::RequestHead;
use lgsp_shared::refusal::Code;
use pingora_proxy::Session;

use super::exchange::ProxyExchange;
use super::respond;
use crate::admission::Refusal;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::answer::reply;
use crate::record::{CallKind, Called, Outcome};
use crate::session::{self, CALL_BYTES_MAX, Call, Reply};
use crate::snapshot::Snapshot;
use crate::stream::{BodyGate, Declared, Gathered, Held};

/// A call whose head was decided on.
#[derive(Debug)]
pub struct PlatformCall {
    call: Call,
    gate: BodyGate,
}

impl PlatformCall {
    /// Decides on the head.
    pub fn receive(
        head: &RequestHead<'_>,
        declared: Declared,
        snapshot: &Arc<Snapshot>,
        rooms: &Rooms,
        exchange: &mut ProxyExchange,
        now: Now,
    ) -> Result<Self, Refusal> {
        exchange.record.exchange.called = CallKind::at(head.path).map(|kind| Box::new(Called::new(kind)));
        let mut call = session::receive(head, snapshot, &rooms.replay, exchange.reader.language, now)?;
        exchange.record.identified(call.caller(), call.scheme());
        let (rule, chunks) = call.body_rule();
        let memory = Held::new(&rooms.held, &call.caller().held);
        let gate = BodyGate::new(rule, chunks, declared, CALL_BYTES_MAX, memory).map_err(|code| call.refused(code))?;
        Ok(Self { call, gate })
    }

    /// Reads the body and answers.
    pub async fn serve(self, session: &mut Session, rooms: &Rooms, exchange: &mut ProxyExchange, idle: Duration) {
        match self.answer(session, rooms, exchange, idle).await {
            Ok(Some(said)) => {
                exchange.record.exchange.status = said.status;
                exchange.record.ends(Outcome::Completed);
                let answer = reply(said, exchange.record.exchange.request_id);
                respond::tell(session, exchange, answer).await;
            }
            // The source is gone: the record says so unless told otherwise.
            Ok(None) => {}
            Err(refusal) => respond::refuse(session, exchange, &refusal).await,
        }
    }

    async fn answer(
        mut self,
        session: &mut Session,
        rooms: &Rooms,
        exchange: &mut ProxyExchange,
        idle: Duration,
    ) -> Result<Option<Reply>, Refusal> {
        let refused = |call: &Call, code| Err(call.refused(code));
        if let Some((question, unreachable)) = self.call.question()
            && let Err(code) = rooms.first_use(question, unreachable).await
        {
            return refused(&self.call, code);
        }
        let body = match self.whole_body(session, idle).await {
            Ok(Some(body)) => body,
            Ok(None) => return Ok(None),
            Err(code) => return refused(&self.call, code),
        };
        exchange.record.exchange.request_bytes = self.gate.received_bytes();
        let Some(random) = session::random() else { return refused(&self.call, Code::Internal) };
        let first_use = |question, unreachable| rooms.first_use(question, unreachable);
        let answered = self.call.answer(&body, &rooms.replay, Now::read(), &random, first_use).await;
        exchange.record.called(answered.called);
        answered.reply.map(Some)
    }

    /// The body, verified; `None` when the source went away.
    async fn whole_body(&mut self, session: &mut Session, idle: Duration) -> Result<Option<Vec<u8>>, Code> {
        let mut body = Gathered::default();
        self.gate.holds_outside(CALL_BYTES_MAX as usize)?;
        loop {
            // On HTTP/2 Pingora has no deadline of its own for this.
            let read = tokio::time::timeout(idle, session.as_downstream_mut().read_request_body()).await;
            match read.map_err(|_| Code::BodyTimeout)? {
                Ok(Some(piece)) => body.take(&mut self.gate, piece)?,
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "a call's body did not arrive");
                    return Ok(None);
                }
            }
        }
        body.finish(&mut self.gate).map(Some)
    }
}
