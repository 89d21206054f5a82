//! What the connections of one thread share: who is free, what has been counted. One thread, so no lock and no atomics.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::answer::{Answer, Fault};
use super::pulse::Pulse;
use super::request::Ink;
use super::tally::{Tally, micros};
use super::{Order, Report, interval_of};
use crate::scenario::Expect;

/// A request that is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) kind: usize,
    /// Which step of the plan it belongs to.
    pub(super) step: usize,
    /// Whether it counts; not so in the warm-up.
    pub(super) counted: bool,
}

/// The same on its way to a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Job {
    pub(super) due: Due,
    /// When it was planned for.
    pub(super) planned: Instant,
    /// Planned, or when a connection became free for it, if that was later.
    pub(super) possible: Instant,
}

/// A connection's place to wait for its next request.
#[derive(Debug, Default)]
pub(super) struct Slot {
    job: Cell<Option<Job>>,
    woken: Notify,
    freed_at: Cell<Option<Instant>>,
    /// The last window in which it completed an exchange, counted from 1.
    window: Cell<u64>,
}

/// See the module.
pub(super) struct Room {
    pub(super) order: Arc<Order>,
    /// The first counted instant.
    pub(super) begins: Instant,
    pub(super) slots: Vec<Slot>,
    idle: RefCell<VecDeque<usize>>,
    pub(super) freed: Notify,
    closing: Cell<bool>,
    pub(super) tally: RefCell<Tally>,
    pulse: RefCell<Pulse>,
    reports: SyncSender<Report>,
    pub(super) ink: RefCell<Ink>,
    /// For each kind that is replayed, the bytes of one that was accepted.
    pub(super) accepted: RefCell<Vec<Vec<u8>>>,
    /// When each of them was.
    pub(super) accepted_at: Vec<Cell<Instant>>,
    interval: Duration,
    /// Planned end: what happens later belongs to the totals, not to the time axis.
    ends: Duration,
}

impl Room {
    pub(super) fn new(
        order: Arc<Order>,
        begins: Instant,
        slots: usize,
        reports: SyncSender<Report>,
        ink: Ink,
        accepted: Vec<Vec<u8>>,
    ) -> Self {
        let ends = order.load.duration().saturating_sub(order.warmup);
        Self {
            begins,
            slots: (0..slots).map(|_| Slot::default()).collect(),
            idle: RefCell::new(VecDeque::with_capacity(slots)),
            freed: Notify::new(),
            closing: Cell::new(false),
            tally: RefCell::new(Tally::new(order.kinds.len(), order.load.steps().len())),
            pulse: RefCell::new(Pulse::empty(0)),
            reports,
            ink: RefCell::new(ink),
            accepted: RefCell::new(accepted),
            accepted_at: order.kinds.iter().map(|_| Cell::new(Instant::now())).collect(),
            interval: interval_of(ends),
            ends,
            order,
        }
    }

    /// Called by a connection when it can take a request; waits for one. `None` when there will be no more.
    pub(super) async fn next_job(&self, at: usize) -> Option<Job> {
        let slot = self.slots.get(at)?;
        slot.freed_at.set(Some(Instant::now()));
        self.idle.borrow_mut().push_back(at);
        self.freed.notify_one();
        loop {
            if let Some(job) = slot.job.take() {
                return Some(job);
            }
            if self.closing.get() {
                return None;
            }
            slot.woken.notified().await;
        }
    }

    /// Hands a request to the connection that has been free for longest; false when all are busy.
    pub(super) fn hand_out(&self, due: Due, planned: Option<Instant>) -> bool {
        let Some(slot) = self.idle.borrow_mut().pop_front().and_then(|at| self.slots.get(at)) else { return false };
        let free = slot.freed_at.take().unwrap_or(self.begins);
        let planned = planned.unwrap_or(free);
        slot.job.set(Some(Job { due, planned, possible: planned.max(free) }));
        slot.woken.notify_one();
        true
    }

    /// Whether all connections are busy.
    pub(super) fn is_full(&self) -> bool {
        self.idle.borrow().is_empty()
    }

    /// Lets the connections end once they have their answers.
    pub(super) fn close(&self) {
        self.closing.set(true);
        self.slots.iter().for_each(|slot| slot.woken.notify_one());
    }

    pub(super) fn sent(&self, job: &Job, at: Instant, signing: Option<u64>) {
        if !job.due.counted {
            return;
        }
        let since = at.saturating_duration_since(self.begins);
        let tally = &mut *self.tally.borrow_mut();
        tally.last_sent = tally.last_sent.max(since);
        if let Some(nanos) = signing {
            tally.signing.saturating_record(nanos);
        }
        for tally in tally.of(job.due.kind, job.due.step) {
            tally.sent += 1;
            tally.lag.saturating_record(micros(at.saturating_duration_since(job.possible)));
        }
        self.on_axis(since, |pulse| pulse.sent += 1);
    }

    /// Counts how a request ended; whether it was as expected.
    pub(super) fn ended(&self, at: usize, job: &Job, sent: Instant, outcome: &Result<Answer, Fault>, up: u64) -> bool {
        let Some(prepared) = self.order.kinds.get(job.due.kind) else { return false };
        let verdict = verdict(&prepared.expect, outcome);
        if !job.due.counted {
            return verdict.is_ok();
        }
        let whole = outcome.as_ref().map_or_else(|_| Instant::now(), |answer| answer.whole);
        let response = micros(whole.saturating_duration_since(job.planned));
        let since = whole.saturating_duration_since(self.begins);
        let down = outcome.as_ref().map_or(0, |answer| answer.bytes);
        let tally = &mut *self.tally.borrow_mut();
        for kind in tally.of(job.due.kind, job.due.step) {
            kind.response.saturating_record(response);
            kind.service.saturating_record(micros(whole.saturating_duration_since(sent)));
            let first = outcome.as_ref().map_or(whole, |answer| answer.first_byte);
            kind.first_byte_max = kind.first_byte_max.max(micros(first.saturating_duration_since(job.planned)));
            kind.bytes_down += down;
            match &verdict {
                Ok(()) => {
                    kind.expected += 1;
                    kind.bytes_up += up;
                }
                Err(label) => kind.unexpected(label),
            }
        }
        if verdict.is_ok() {
            self.mark_active(at, since, &mut tally.active);
        }
        self.on_axis(since, |pulse| {
            pulse.answered += 1;
            pulse.unexpected += u64::from(verdict.is_err());
            pulse.bytes += up + down;
            pulse.response.saturating_record(response);
        });
        verdict.is_ok()
    }

    /// Enters a connection as active in the window that `since` lies in, once.
    fn mark_active(&self, at: usize, since: Duration, active: &mut Vec<u64>) {
        if since >= self.ends {
            return;
        }
        let window = since.as_millis() / self.order.window.as_millis().max(1);
        let window = usize::try_from(window).unwrap_or_default();
        let Some(slot) = self.slots.get(at).filter(|slot| slot.window.get() != window as u64 + 1) else { return };
        slot.window.set(window as u64 + 1);
        if active.len() <= window {
            active.resize(window + 1, 0);
        }
        if let Some(count) = active.get_mut(window) {
            *count += 1;
        }
    }

    fn on_axis(&self, since: Duration, change: impl FnOnce(&mut Pulse)) {
        if since >= self.ends {
            return;
        }
        let index = since.as_secs() / self.interval.as_secs().max(1);
        if index > self.pulse.borrow().index {
            self.flush(index);
        }
        change(&mut self.pulse.borrow_mut());
    }

    /// Hands the interval that is over to the reporting thread, and begins the one called `next`.
    pub(super) fn flush(&self, next: u64) {
        let pulse = self.pulse.replace(Pulse::empty(next));
        // The reporting thread being behind must never hold this one up.
        if self.reports.try_send(Report::Pulse(pulse)).is_err() {
            self.tally.borrow_mut().pulses_lost += 1;
        }
    }
}

/// As expected, or the label under which it is counted.
fn verdict(expect: &Expect, outcome: &Result<Answer, Fault>) -> Result<(), String> {
    let answer = outcome.as_ref().map_err(|fault| fault.label().to_owned())?;
    let Expect { status, code, bytes } = expect;
    let label = || match &answer.code {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    };
    if answer.status != *status || code.is_some() && answer.code != *code {
        return Err(label());
    }
    match bytes {
        Some(bytes) if *bytes != answer.bytes => Err(format!("{} with another length", label())),
        _ => Ok(()),
    }
}
