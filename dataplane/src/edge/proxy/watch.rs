//! Deadlines of one exchange on this face. Pingora's own are per read, and HTTP/2 streams have none, so a watch runs
//! beside each exchange, notes its progress, and cuts it when it stands still too long.
//!
//! Cutting means to shut the connection to the target down: the exchange then ends with an error like any other and the
//! caller still gets its answer. What does not end even then is dropped. Costs one timer and 112 bytes per exchange, and
//! four looks a second at those that last.
//!
//! No neighbour is ever cut. A watch is looked at by the task that carries its exchange out, and only while that waits;
//! Pingora gives a connection back to its pool and then, without waiting in between, either ends the exchange or reports
//! why the attempt failed, and both make the watch forget the socket. Until then the connection is this exchange's
//! alone, which is why HTTP/2 to targets carries one stream per connection: a second would be cut with the first.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use lgsp_shared::refusal::Code;

use super::target_socket::TargetSocket;
use crate::clock::MonotonicMillis;
use crate::edge::cause::{BODY_LATE, Cause};

/// How often a watch looks; deadlines are met to this precision.
pub const LOOK: Duration = Duration::from_millis(250);
/// How long an exchange may take to end once it was cut: to answer and to close its record.
const END: Duration = Duration::from_secs(2);
/// How long an upgraded connection (WebSocket) may be silent in both directions.
const UPGRADED_IDLE_MS: u64 = 600_000;

tokio::task_local! {
    static CURRENT: Arc<Watch>;
}

/// What an exchange is waiting for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// A request head.
    Head = 0,
    /// The request body.
    Body = 1,
    /// The target's first byte.
    Answer = 2,
    /// The response body.
    Response = 3,
    /// Either side of an upgraded connection.
    Upgraded = 4,
}

/// How long an exchange may stand still, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Within the request body.
    pub body_ms: u64,
    /// The least bytes of the request body for each second beyond `body_ms`, until the target answers; 0 for no minimum.
    pub body_bytes_per_sec_min: u64,
    /// Until the target's first byte.
    pub first_byte_ms: u64,
    /// Within the response body.
    pub idle_ms: u64,
    /// In all; 0 for ever.
    pub total_ms: u64,
}

/// That the request was admitted. The wait for its head, on a connection that was idle before, is not a part of it.
#[derive(Debug, Clone, Copy)]
struct Admitted {
    patience: Patience,
    at: MonotonicMillis,
}

/// One exchange's progress.
#[derive(Debug)]
pub struct Watch {
    head_ms: u64,
    admitted: OnceLock<Admitted>,
    stage: AtomicU8,
    progress: AtomicU64,
    received_bytes: AtomicU64,
    target: Mutex<Option<TargetSocket>>,
    cut: OnceLock<Code>,
    ended: AtomicBool,
}

impl Watch {
    fn new(head: Duration) -> Self {
        let now = MonotonicMillis::now();
        Self {
            head_ms: u64::try_from(head.as_millis()).unwrap_or(u64::MAX),
            admitted: OnceLock::new(),
            stage: AtomicU8::new(Stage::Head as u8),
            progress: AtomicU64::new(now.0),
            received_bytes: AtomicU64::new(0),
            target: Mutex::default(),
            cut: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// The watch of the exchange this task carries out; one nobody looks at when there is none.
    pub fn current() -> Arc<Self> {
        CURRENT.try_with(Arc::clone).unwrap_or_else(|_| Arc::new(Self::new(Duration::MAX)))
    }

    /// Notes that the request was admitted, and how patient to be from then on.
    pub fn admitted(&self, patience: Patience) {
        self.admitted_at(patience, MonotonicMillis::now());
    }

    fn admitted_at(&self, patience: Patience, at: MonotonicMillis) {
        // It is admitted once.
        let _ = self.admitted.set(Admitted { patience, at });
    }

    /// Notes progress, and what is awaited next.
    pub fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Relaxed);
        self.progress.store(MonotonicMillis::now().0, Ordering::Relaxed);
    }

    /// Notes progress within a stage, unless the exchange is past it: while the response flows, a request body that is
    /// still arriving does not change what is awaited.
    pub fn progress(&self, stage: Stage) {
        if self.stage() <= stage as u8 {
            self.enter(stage);
        } else {
            self.progress.store(MonotonicMillis::now().0, Ordering::Relaxed);
        }
    }

    /// Notes how much of the request body has arrived in all.
    pub fn received(&self, bytes: u64) {
        self.received_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Notes the socket to the target.
    pub fn connected(&self, socket: i32) {
        self.set_target(TargetSocket::note(socket));
    }

    /// Notes that the socket to the target is not this exchange's any more.
    pub fn disconnected(&self) {
        self.set_target(None);
    }

    fn set_target(&self, target: Option<TargetSocket>) -> Option<TargetSocket> {
        std::mem::replace(&mut *self.target.lock().unwrap_or_else(PoisonError::into_inner), target)
    }

    /// Notes that nothing is awaited any more.
    pub fn ended(&self) {
        self.disconnected();
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Whether the exchange came to an end of its own.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// Why the exchange was cut, if it was.
    pub fn cut_because(&self) -> Option<Code> {
        self.cut.get().copied()
    }

    fn stage(&self) -> u8 {
        self.stage.load(Ordering::Relaxed)
    }

    fn overdue(&self, now: MonotonicMillis) -> Option<Code> {
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let silent_ms = now.0.saturating_sub(self.progress.load(Ordering::Relaxed));
        let Some(Admitted { patience, at }) = self.admitted.get() else {
            return (silent_ms >= self.head_ms).then_some(Code::HeaderTimeout);
        };
        let age_ms = now.0.saturating_sub(at.0);
        let stage = self.stage();
        if patience.total_ms > 0 && age_ms > patience.total_ms && stage != Stage::Upgraded as u8 {
            return Some(Code::TargetTimeout);
        }
        let earned_secs = self.received_bytes.load(Ordering::Relaxed).checked_div(patience.body_bytes_per_sec_min);
        let body_until_ms = earned_secs.map(|secs| patience.body_ms.saturating_add(secs.saturating_mul(1_000)));
        if stage <= Stage::Body as u8 && body_until_ms.is_some_and(|until_ms| age_ms >= until_ms) {
            return Some(Code::BodyTimeout);
        }
        let (limit_ms, code) = match stage {
            stage if stage <= Stage::Body as u8 => (patience.body_ms, Code::BodyTimeout),
            stage if stage == Stage::Answer as u8 => (patience.first_byte_ms, Code::TargetTimeout),
            stage if stage == Stage::Response as u8 => (patience.idle_ms, Code::TargetTimeout),
            _ => (UPGRADED_IDLE_MS, Code::TargetTimeout),
        };
        (silent_ms >= limit_ms).then_some(code)
    }

    fn cut(&self, code: Code) {
        // It is cut once; the first reason counts.
        let _ = self.cut.set(code);
        if let Some(target) = self.set_target(None) {
            target.shut_down();
        }
    }

    async fn guard(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(code) = self.overdue(MonotonicMillis::now()) {
                self.cut(code);
                tokio::time::sleep(END).await;
                return;
            }
        }
    }
}

/// Carries out `exchange` under a watch; `None` when it had to be dropped. `head` is for its request head to arrive.
pub async fn watched<T>(head: Duration, exchange: impl Future<Output = T>) -> Option<T> {
    let watch = Arc::new(Watch::new(head));
    let guard = watch.clone();
    tokio::select! {
        biased;
        done = CURRENT.scope(watch, exchange) => Some(done),
        () = guard.guard() => None,
    }
}

/// What a watch that cut an exchange knows of it.
pub fn overdue(code: Code) -> Cause {
    match code {
        Code::TargetTimeout => Cause::late("the target paused, or the exchange took, longer than the service allows"),
        Code::BodyTimeout => BODY_LATE,
        _ => code.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience =
        Patience { body_ms: 30, body_bytes_per_sec_min: 0, first_byte_ms: 20, idle_ms: 40, total_ms: 1_000 };

    fn overdue_after(watch: &Watch, millis: u64) -> Option<Code> {
        watch.overdue(MonotonicMillis(watch.progress.load(Ordering::Relaxed) + millis))
    }

    #[test]
    fn each_stage_has_its_own_deadline_and_code() {
        let watch = Watch::new(Duration::from_millis(10));
        assert_eq!((overdue_after(&watch, 9), overdue_after(&watch, 10)), (None, Some(Code::HeaderTimeout)));
        watch.admitted(PATIENCE);
        for (stage, limit_ms, code) in [
            (Stage::Body, 30, Code::BodyTimeout),
            (Stage::Answer, 20, Code::TargetTimeout),
            (Stage::Response, 40, Code::TargetTimeout),
        ] {
            watch.enter(stage);
            assert_eq!(overdue_after(&watch, limit_ms - 1), None, "{stage:?}");
            assert_eq!(overdue_after(&watch, limit_ms), Some(code), "{stage:?}");
        }
        watch.enter(Stage::Upgraded);
        assert_eq!(overdue_after(&watch, 2_000), None);
        watch.ended();
        assert_eq!(overdue_after(&watch, u64::MAX >> 1), None);
    }

    #[test]
    fn the_whole_exchange_has_a_deadline_too_that_begins_when_it_is_admitted() {
        const LONG: Patience = Patience {
            body_ms: 1 << 40,
            body_bytes_per_sec_min: 0,
            first_byte_ms: 1 << 40,
            idle_ms: 1 << 40,
            total_ms: 1_000,
        };
        let (watch, idle) = (Watch::new(Duration::MAX), MonotonicMillis::now().0 + 5_000);
        watch.admitted_at(LONG, MonotonicMillis(idle));
        for stage in [Stage::Body, Stage::Answer, Stage::Response] {
            watch.enter(stage);
            assert_eq!(watch.overdue(MonotonicMillis(idle + 1_000)), None, "{stage:?}");
            assert_eq!(watch.overdue(MonotonicMillis(idle + 1_001)), Some(Code::TargetTimeout), "{stage:?}");
        }
        watch.enter(Stage::Upgraded);
        assert_eq!(watch.overdue(MonotonicMillis(idle + 1_001)), None);
    }

    #[test]
    fn a_body_that_arrives_too_slowly_is_cut_although_it_never_pauses() {
        let watch = Watch::new(Duration::MAX);
        let admitted = MonotonicMillis::now().0;
        let patience = Patience { body_ms: 30_000, body_bytes_per_sec_min: 500, total_ms: 0, ..PATIENCE };
        watch.admitted_at(patience, MonotonicMillis(admitted));
        watch.enter(Stage::Body);
        let overdue_at = |millis, received| {
            watch.received(received);
            watch.progress.store(admitted + millis, Ordering::Relaxed);
            watch.overdue(MonotonicMillis(admitted + millis))
        };
        assert_eq!((overdue_at(29_999, 1), overdue_at(30_000, 1)), (None, Some(Code::BodyTimeout)));
        assert_eq!((overdue_at(60_000, 20_000), overdue_at(70_001, 20_000)), (None, Some(Code::BodyTimeout)));
        watch.enter(Stage::Response);
        assert_eq!(overdue_at(3_600_000, 1), None, "a stream of both directions may be slow");
    }

    #[test]
    fn a_body_that_still_arrives_does_not_turn_a_response_back_into_a_request() {
        let watch = Watch::new(Duration::ZERO);
        watch.enter(Stage::Response);
        watch.progress(Stage::Body);
        assert_eq!(watch.stage(), Stage::Response as u8);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_when_cut_is_dropped() {
        assert_eq!(watched(Duration::from_secs(1), std::future::ready(7)).await, Some(7));
    }
}
