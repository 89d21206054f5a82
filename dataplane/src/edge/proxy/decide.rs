//! The decision on this face: read the head strictly, admit it, and prepare what the target is told.

use std::time::Duration;

use lgsp_shared::refusal::Code;
use pingora_proxy::Session;

use super::arrival::{self, Arrived};
use super::exchange::{Admitted, ProxyExchange, Stage};
use super::forwarded::Forwarded;
use super::platform::PlatformCall;
use super::watch::{Patience, Stage as Awaiting};
use crate::admission::{Refusal, admit};
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::answer::Reader;
use crate::edge::http1::head::Fields;
use crate::session::is_for_platform;
use crate::snapshot::Snapshot;
use crate::stream::{BodyGate, Declared, Held};
use crate::upstream::Upstream;

/// What was decided.
#[derive(Debug)]
pub enum Decision {
    /// The exchange is admitted.
    Forward(Decided),
    /// The platform itself answers.
    Answer(Decided, Box<PlatformCall>),
}

/// What of a decision the session has to know.
#[derive(Debug)]
pub struct Decided {
    /// How long the source may pause.
    pub source_idle: Duration,
    /// Whether it waits for `100 Continue`.
    pub expects_continue: bool,
}

/// Decides on the session's request; an admitted one is then the exchange's stage.
pub fn decide(session: &mut Session, rooms: &Rooms, exchange: &mut ProxyExchange) -> Result<Decision, Refusal> {
    let now = Now::read();
    let unannounced = arrival::may_send_unannounced(session);
    let session = &*session;
    let sent = session.req_header();
    exchange.record.asked(sent.method.as_str(), sent.uri.path());
    let arrived = Arrived::of(session)?;
    let mut fields = Fields::new();
    let request = arrived.read(arrival::scheme(session), &mut fields)?;
    let head = &request.head;
    exchange.record.asked(head.method, head.path);
    let over_http2 = session.as_downstream().as_http2().is_some();
    exchange.reader = if over_http2 { Reader::of_http2(head) } else { Reader::of_http1(head) };
    let snapshot = rooms.snapshots.load().ok_or(Code::Overloaded)?;
    exchange.record.exchange.revision = Some(snapshot.revision);
    if !rooms.records.admits() {
        return Err(Code::RecordsUnavailable.into());
    }
    let source_idle = Duration::from_millis(snapshot.defaults.body_idle_ms);
    let expects_continue = request.expects_continue;
    if is_for_platform(head.path) {
        let declared = arrival::declared(request.framing, unannounced);
        let call = PlatformCall::receive(head, declared, &snapshot, rooms, exchange, now)?;
        return Ok(Decision::Answer(Decided { source_idle, expects_continue }, Box::new(call)));
    }
    let mut admission = admit(head, &snapshot, &rooms.replay, now)?;
    exchange.record.admitted(&admission);

    // What follows a 101 is no body: an upgrade is decided on as the request without one that it is.
    let declared = if request.upgrade { Declared::Nothing } else { arrival::declared(request.framing, unannounced) };
    let forwarded = Forwarded::new(head, &admission, exchange.record.exchange.request_id, now);
    let chunks = admission.chunks.take();
    let memory = Held::new(&rooms.held, &admission.credential.held);
    let gate = BodyGate::new(admission.body, chunks, declared, admission.route.body_bytes_max, memory)
        .map_err(|code| Refusal::new(code).from(&admission.credential).towards(&admission.route))?;
    let upstream = &admission.route.service.upstream;
    upstream.budget.earn(upstream.retry.budget_percent);
    exchange.watch.admitted(patience(&snapshot, upstream));
    exchange.watch.enter(Awaiting::Body);
    let idempotent = matches!(head.method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE");
    exchange.stage = Stage::Admitted(Box::new(Admitted::new(admission, forwarded, idempotent, gate)));
    Ok(Decision::Forward(Decided { source_idle, expects_continue }))
}

fn patience(snapshot: &Snapshot, upstream: &Upstream) -> Patience {
    /// A target that stops reading stops its source as well: its own deadline, for writing to it, must pass first.
    const AFTER_TARGET_MS: u64 = 1_000;
    let deadlines = &upstream.deadlines;
    Patience {
        body_ms: snapshot.defaults.body_idle_ms.max(deadlines.idle_ms.saturating_add(AFTER_TARGET_MS)),
        body_bytes_per_sec_min: snapshot.defaults.body_bytes_per_sec_min,
        first_byte_ms: deadlines.first_byte_ms,
        idle_ms: deadlines.idle_ms.max(snapshot.defaults.body_idle_ms),
        total_ms: deadlines.total_ms,
    }
}
