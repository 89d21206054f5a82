//! What others may know about this room: its report, its connection, its counters. Reading never waits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::{NodeId, Revision};
use lgsp_shared::keyspace::{NodeState, STATUS_ERRORS_MAX, StatusError};
use lgsp_shared::timestamp::UnixSeconds;
use tokio::sync::watch;

/// Where time comes from.
pub type Clock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

/// How the node stands to the desired revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// How it stands.
    pub state: NodeState,
    /// The revision it was told to serve.
    pub desired: Option<Revision>,
    /// The revision it serves.
    pub active: Option<Revision>,
    /// The content hash of the revision it serves.
    pub hash: Option<ContentHash>,
    /// At most [`STATUS_ERRORS_MAX`].
    pub errors: Vec<StatusError>,
    /// How many there are in all.
    pub errors_total: u64,
    /// When state, desired or active last changed.
    pub since: UnixSeconds,
}

/// Who reports.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The node.
    pub node: NodeId,
    /// Its software version.
    pub version: String,
    /// Where its admin listener is reached from other machines, if it is.
    pub admin: Option<SocketAddr>,
}

/// Counts since the start of the process.
#[derive(Debug, Default)]
pub struct SyncCounters {
    /// Revisions that began to serve, whole or degraded.
    pub revisions_applied: AtomicU64,
    /// Revisions refused as a whole.
    pub revisions_rejected: AtomicU64,
    /// Revisions offered again with nothing new in them.
    pub revisions_unchanged: AtomicU64,
    /// Compilations; more than one per revision when a last good value had to step in.
    pub compilations: AtomicU64,
    /// Full lists read from etcd.
    pub lists: AtomicU64,
    /// Watches opened.
    pub watches: AtomicU64,
    /// Watches given up because etcd did not answer in time.
    pub watchdog_expiries: AtomicU64,
    /// Connections, lists and watches that failed.
    pub source_failures: AtomicU64,
    /// Last good copies written.
    pub last_good_writes: AtomicU64,
    /// Last good copies that could not be written.
    pub last_good_failures: AtomicU64,
    /// Last good copies found unusable.
    pub last_good_discarded: AtomicU64,
    /// Status writes.
    pub status_writes: AtomicU64,
    /// Status writes that failed.
    pub status_failures: AtomicU64,
}

/// Adds one.
pub(super) fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// What others read.
pub struct SyncHealth {
    source: &'static str,
    connected: AtomicBool,
    last_progress: AtomicI64,
    report: watch::Receiver<Report>,
    counters: SyncCounters,
}

impl std::fmt::Debug for SyncHealth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SyncHealth")
            .field("source", &self.source)
            .field("report", &self.report())
            .finish_non_exhaustive()
    }
}

impl SyncHealth {
    const NEVER: i64 = i64::MIN;

    pub(super) fn new(source: &'static str, report: watch::Receiver<Report>) -> Self {
        let (connected, last_progress) = (AtomicBool::new(false), AtomicI64::new(Self::NEVER));
        Self { source, connected, last_progress, report, counters: SyncCounters::default() }
    }

    /// `etcd` or `bundle`.
    pub fn source(&self) -> &'static str {
        self.source
    }

    /// Whether the source answers.
    pub fn connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// When the source last proved that nothing newer is missing.
    pub fn last_progress(&self) -> Option<UnixSeconds> {
        Some(self.last_progress.load(Ordering::Relaxed)).filter(|at| *at != Self::NEVER).map(UnixSeconds)
    }

    /// How the node stands.
    pub fn report(&self) -> Report {
        self.report.borrow().clone()
    }

    /// Counts since the start of the process.
    pub fn counters(&self) -> &SyncCounters {
        &self.counters
    }

    /// To wait for changes of the report.
    pub(super) fn subscribe(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }

    pub(super) fn set_connected(&self, connected: bool) {
        self.connected.store(connected, Ordering::Relaxed);
    }

    pub(super) fn progressed(&self, now: UnixSeconds) {
        self.connected.store(true, Ordering::Relaxed);
        self.last_progress.store(now.0, Ordering::Relaxed);
    }
}

/// The one writer of the report.
pub(super) struct Reporter {
    report: watch::Sender<Report>,
    clock: Clock,
}

impl Reporter {
    /// Starts at [`NodeState::Waiting`].
    pub fn new(clock: Clock) -> (Self, watch::Receiver<Report>) {
        let waiting = Report {
            state: NodeState::Waiting,
            desired: None,
            active: None,
            hash: None,
            errors: Vec::new(),
            errors_total: 0,
            since: clock(),
        };
        let (report, receiver) = watch::channel(waiting);
        (Self { report, clock }, receiver)
    }

    /// Changes the report; readers wake only when something is different.
    pub fn set(
        &self,
        state: NodeState,
        desired: Option<Revision>,
        active: Option<(Revision, ContentHash)>,
        errors: &[StatusError],
    ) {
        let now = (self.clock)();
        self.report.send_if_modified(|report| {
            let (active, hash) = active.map_or((None, None), |(revision, hash)| (Some(revision), Some(hash)));
            let moved = (report.state, report.desired, report.active) != (state, desired, active);
            let next = Report {
                state,
                desired,
                active,
                hash,
                errors: errors.iter().take(STATUS_ERRORS_MAX).cloned().collect(),
                errors_total: errors.len() as u64,
                since: if moved { now } else { report.since },
            };
            let changed = *report != next;
            *report = next;
            changed
        });
    }
}
