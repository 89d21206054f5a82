//! One measuring thread: opens its connections, then sends each request at its instant on the connection that has been
//! free for longest.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinSet, LocalSet};

use super::answer::{Answer, Fault};
use super::request::{Ink, Prepared};
use super::room::{Due, Job, Room};
use super::tally::Tally;
use super::timer::Timer;
use super::wire::Wire;
use super::{EngineError, Order, Report};
use crate::scenario::{Flaw, Load};

/// Connections being opened at a time; a listener's queue is short.
const OPENING_MAX: usize = 64;
/// How often a thread with nothing to do looks whether the run was ended early.
const LOOK_UP: Duration = Duration::from_millis(100);
/// How long answers are awaited when the run was ended early.
const PATIENCE_WHEN_STOPPED: Duration = Duration::from_secs(1);
/// How long requests that were due are still sent after the plan has ended: a tenth of it, within these.
const OVERTIME_MIN: Duration = Duration::from_secs(1);
const OVERTIME_MAX: Duration = Duration::from_secs(5);
/// A connection that could not be opened is tried again after this.
const RECONNECT_PAUSE: Duration = Duration::from_millis(20);

/// A request that is to be refused as a replay must still be within the clock window, or it is refused for its age.
const REPLAY_FRESH: Duration = Duration::from_secs(120);

/// What a thread is given.
pub(super) struct Crew {
    pub(super) order: Arc<Order>,
    pub(super) part: usize,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) reports: SyncSender<Report>,
}

/// The thread. Always says whether it is ready; returns what it counted.
pub(super) fn run(crew: Crew, started: watch::Receiver<Option<Instant>>) -> Tally {
    let kinds = crew.order.kinds.len();
    let reports = crew.reports.clone();
    let system = |what| move |source| EngineError::System { what, source };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(system("runtime"));
    let done = runtime.and_then(|runtime| LocalSet::new().block_on(&runtime, work(crew, started)));
    done.unwrap_or_else(|error| {
        // Whoever started this thread reports it; if that has gone, nobody is left to tell.
        let _ = reports.send(Report::Ready(Err(error)));
        Tally::new(kinds, 0)
    })
}

async fn work(crew: Crew, mut started: watch::Receiver<Option<Instant>>) -> Result<Tally, EngineError> {
    let Crew { order, part, stop, reports } = crew;
    // The first threads take one more where the connections do not divide evenly.
    let own = order.connections / order.workers + usize::from(part < order.connections % order.workers);
    let mut wires = open(&order, own).await?;
    let mut ink =
        Ink::new().map_err(|error| EngineError::System { what: "randomness", source: std::io::Error::other(error) })?;
    let accepted = prime(&order, &mut wires, &mut ink).await?;
    let timer = Timer::new().map_err(|source| EngineError::System { what: "timer", source })?;
    // Its reader outlives the thread, except when another one failed; then there is nothing to do.
    let _ = reports.send(Report::Ready(Ok(())));
    let Ok(start) = started.wait_for(Option::is_some).await.map(|start| *start) else {
        return Ok(Tally::new(order.kinds.len(), order.load.steps().len()));
    };
    let start = start.unwrap_or_else(Instant::now);
    let room = Rc::new(Room::new(order.clone(), start + order.warmup, wires.len(), reports, ink, accepted));
    let mut connections = JoinSet::new();
    for (at, wire) in wires.into_iter().enumerate() {
        connections.spawn_local(serve(room.clone(), at, Some(wire)));
    }
    Pace { room: &room, timer: &timer, stop: &stop, start, part }.keep().await?;
    room.close();
    let patience = if stop.load(Ordering::Relaxed) { PATIENCE_WHEN_STOPPED } else { order.timeout + LOOK_UP };
    let all = async { while connections.join_next().await.is_some() {} };
    let ended = tokio::select! {
        ended = tokio::time::timeout(patience, all) => ended.is_ok(),
        () = stopped(&stop, PATIENCE_WHEN_STOPPED) => false,
    };
    if !ended {
        room.tally.borrow_mut().abandoned += connections.len() as u64;
    }
    room.flush(u64::MAX);
    let tally = room.tally.borrow().clone();
    Ok(tally)
}

/// Waits until the run is ended early, and a while more.
async fn stopped(stop: &AtomicBool, patience: Duration) {
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK_UP).await;
    }
    tokio::time::sleep(patience).await;
}

async fn open(order: &Arc<Order>, wanted: usize) -> Result<Vec<Wire>, EngineError> {
    let (gate, mut opening) = (Rc::new(Semaphore::new(OPENING_MAX)), JoinSet::new());
    for _ in 0..wanted {
        let (order, gate) = (order.clone(), gate.clone());
        opening.spawn_local(async move {
            let _permit = gate.acquire().await;
            match tokio::time::timeout(order.timeout, Wire::open(&order.target)).await {
                Ok(opened) => opened.map_err(|error| error.to_string()),
                Err(_) => Err("no answer in time".to_owned()),
            }
        });
    }
    let mut wires = Vec::with_capacity(wanted);
    while let Some(opened) = opening.join_next().await {
        match opened.unwrap_or_else(|error| Err(error.to_string())) {
            Ok(wire) => wires.push(wire),
            Err(reason) => {
                let (opened, target) = (wires.len(), order.target.url());
                return Err(EngineError::Connect { opened, wanted, target, reason });
            }
        }
    }
    Ok(wires)
}

/// Has one request of every kind that will be replayed accepted.
async fn prime(order: &Order, wires: &mut [Wire], ink: &mut Ink) -> Result<Vec<Vec<u8>>, EngineError> {
    let mut accepted = vec![Vec::new(); order.kinds.len()];
    let Some(wire) = wires.first_mut() else { return Ok(accepted) };
    for kind in order.kinds.iter().filter(|kind| kind.opener.is_some()) {
        let failed = |answer: String| EngineError::Session { kind: kind.name.clone(), answer };
        match open_session(order, kind, wire, ink).await {
            Ok(Some(created)) if ink.take_session(kind, &created) => {}
            Ok(_) => return Err(failed("something that is no session".to_owned())),
            Err(answer) => return Err(failed(answer)),
        }
    }
    let replayed = order.kinds.iter().zip(&mut accepted).filter(|(kind, _)| kind.flaw == Flaw::Replay);
    for (kind, bytes) in replayed {
        let failed = |answer: String| EngineError::Priming { kind: kind.name.clone(), answer };
        kind.write(ink).map_err(|error| failed(error.to_string()))?;
        let answered = tokio::time::timeout(order.timeout, wire.exchange(kind, &ink.out)).await;
        match answered.unwrap_or(Err(Fault::Timeout)) {
            Ok(Answer { status: 200..300, .. }) => bytes.clone_from(&ink.out),
            Ok(answer) => return Err(failed(format!("{} {}", answer.status, answer.code.unwrap_or_default()))),
            Err(fault) => return Err(failed(fault.label().to_owned())),
        }
    }
    Ok(accepted)
}

/// Asks for a session; what was created, or how it ended otherwise.
async fn open_session(
    order: &Order,
    kind: &Prepared,
    wire: &mut Wire,
    ink: &mut Ink,
) -> Result<Option<Vec<u8>>, String> {
    let Some(opener) = &kind.opener else { return Ok(None) };
    opener.write(ink).map_err(|error| error.to_string())?;
    let bytes = std::mem::take(&mut ink.out);
    let answered = tokio::time::timeout(order.timeout, wire.exchange(opener, &bytes)).await;
    match answered.unwrap_or(Err(Fault::Timeout)) {
        Ok(Answer { status: 201, created, .. }) => Ok(created),
        Ok(answer) => Err(format!("{} {}", answer.status, answer.code.unwrap_or_default())),
        Err(fault) => Err(fault.label().to_owned()),
    }
}

/// Sends at the planned instants.
struct Pace<'r> {
    room: &'r Room,
    timer: &'r Timer,
    stop: &'r AtomicBool,
    start: Instant,
    part: usize,
}

impl Pace<'_> {
    async fn keep(&self) -> Result<(), EngineError> {
        match &self.room.order.load {
            Load::Open(plan) => self.planned(plan).await,
            Load::Closed { duration } => self.closed(*duration).await,
        }
        .map_err(|source| EngineError::System { what: "timer", source })
    }

    async fn planned(&self, plan: &crate::plan::Plan) -> std::io::Result<()> {
        let order = &self.room.order;
        let mut arrivals = plan.arrivals(order.share.split(self.part as u64, order.workers as u64)).peekable();
        let overtime = (plan.duration() / 10).clamp(OVERTIME_MIN, OVERTIME_MAX);
        let last_call = self.start + plan.duration() + overtime;
        while let Some(arrival) = arrivals.peek() {
            let due = self.start + arrival.at;
            let now = Instant::now();
            if self.stop.load(Ordering::Relaxed) || now >= last_call {
                break;
            }
            if now < due {
                self.timer.until(due.min(now + LOOK_UP)).await?;
                continue;
            }
            let request = self.due(arrival.index, arrival.at);
            if !self.room.hand_out(request, Some(due)) {
                self.await_a_free_connection().await;
                continue;
            }
            self.planned_one(request);
            arrivals.next();
            // Connections must get to send what they were handed before more is handed out.
            if self.room.is_full() || arrivals.peek().is_some_and(|next| self.start + next.at <= now) {
                tokio::task::yield_now().await;
            }
        }
        // What was due and never sent still counts as planned; so does, but for an early end, what was to come.
        let over = self.stop.load(Ordering::Relaxed).then(|| self.start.elapsed());
        for arrival in arrivals.take_while(|arrival| over.is_none_or(|over| arrival.at <= over)) {
            self.planned_one(self.due(arrival.index, arrival.at));
        }
        Ok(())
    }

    /// The request of this index, due so long after the start.
    fn due(&self, index: u64, at: Duration) -> Due {
        let order = &self.room.order;
        Due { kind: order.cycle.kind(index), step: order.load.step_at(at), counted: at >= order.warmup }
    }

    fn planned_one(&self, due: Due) {
        if due.counted {
            self.room.tally.borrow_mut().of(due.kind, due.step).for_each(|tally| tally.planned += 1);
        }
    }

    async fn closed(&self, duration: Duration) -> std::io::Result<()> {
        let order = &self.room.order;
        let mut index = self.part as u64;
        while self.start.elapsed() < duration && !self.stop.load(Ordering::Relaxed) {
            let request = self.due(index, self.start.elapsed());
            if Instant::now() < self.start {
                self.timer.until(self.start).await?;
            } else if self.room.hand_out(request, None) {
                self.planned_one(request);
                index += order.workers as u64;
            } else {
                self.await_a_free_connection().await;
            }
        }
        Ok(())
    }

    async fn await_a_free_connection(&self) {
        // A stalled server must not keep an early end from being noticed.
        let _ = tokio::time::timeout(LOOK_UP, self.room.freed.notified()).await;
    }
}

/// One connection's life.
async fn serve(room: Rc<Room>, at: usize, mut wire: Option<Wire>) {
    let mut bytes = Vec::new();
    while let Some(job) = room.next_job(at).await {
        let Some(kind) = room.order.kinds.get(job.due.kind) else { return };
        if kind.flaw == Flaw::Replay {
            renew(&room, kind, job.due.kind, &mut wire).await;
        }
        if wire.is_some() && room.ink.borrow_mut().takes_session_over(kind) {
            open_another(&room, kind, &mut wire).await;
        }
        let signing = write(&room, kind, job.due.kind, &mut bytes);
        let sent = Instant::now();
        room.sent(&job, sent, signing);
        let outcome = tokio::time::timeout(room.order.timeout, exchange(&room, kind, &mut wire, &bytes, &job)).await;
        let outcome = outcome.unwrap_or(Err(Fault::Timeout));
        let up = if outcome.is_ok() { kind.body_bytes } else { 0 };
        if !outcome.as_ref().is_ok_and(|answer| answer.keep) {
            wire = None;
        }
        room.ended(at, &job, sent, &outcome, up);
        if matches!(outcome, Err(Fault::Connect)) {
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
}

/// Opens the session that follows the one a kind has. Without it the next are refused, and counted as what they are.
async fn open_another(room: &Room, kind: &Prepared, wire: &mut Option<Wire>) {
    let (Some(open), Ok(mut own)) = (wire.as_mut(), Ink::new()) else { return };
    match open_session(&room.order, kind, open, &mut own).await {
        Ok(Some(created)) => {
            room.ink.borrow_mut().take_session(kind, &created);
        }
        // What is still to come on this connection would be taken for the answer to the next request.
        Ok(None) | Err(_) => *wire = None,
    }
}

/// Has another request accepted when the one that is replayed has become old.
async fn renew(room: &Room, kind: &Prepared, at: usize, wire: &mut Option<Wire>) {
    match room.accepted_at.get(at) {
        Some(accepted) if accepted.get().elapsed() >= REPLAY_FRESH => accepted.set(Instant::now()),
        _ => return,
    }
    let Some(open) = wire.as_mut() else { return };
    let mut bytes = Vec::new();
    let signed = kind.write(&mut room.ink.borrow_mut());
    bytes.clone_from(&room.ink.borrow().out);
    let answered = tokio::time::timeout(room.order.timeout, open.exchange(kind, &bytes)).await;
    match answered {
        Ok(Ok(Answer { status: 200..300, keep: true, .. })) if signed.is_ok() => {
            if let Some(accepted) = room.accepted.borrow_mut().get_mut(at) {
                *accepted = bytes;
            }
        }
        // The old one will be refused for its age, which is counted as what it is.
        _ => *wire = None,
    }
}

/// Writes the request into the connection's own buffer; nanoseconds spent on signing.
fn write(room: &Room, kind: &Prepared, at: usize, bytes: &mut Vec<u8>) -> Option<u64> {
    bytes.clear();
    if kind.flaw == Flaw::Replay {
        bytes.extend_from_slice(room.accepted.borrow().get(at).map_or(&[][..], Vec::as_slice));
        return None;
    }
    let mut ink = room.ink.borrow_mut();
    // It could be signed when it was prepared; only the clock and the nonce have changed since.
    let signing = kind.write(&mut ink).unwrap_or_default();
    std::mem::swap(bytes, &mut ink.out);
    signing
}

async fn exchange(
    room: &Room,
    kind: &Prepared,
    wire: &mut Option<Wire>,
    bytes: &[u8],
    job: &Job,
) -> Result<Answer, Fault> {
    if wire.as_ref().is_none_or(Wire::has_ended) {
        if job.due.counted {
            room.tally.borrow_mut().reconnects += 1;
        }
        *wire = Some(Wire::open(&room.order.target).await.map_err(|_| Fault::Connect)?);
    }
    match wire {
        Some(wire) => wire.exchange(kind, bytes).await,
        None => Err(Fault::Closed),
    }
}
