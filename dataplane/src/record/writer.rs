//! The one writer: a thread that takes closed records from a bounded queue, writes lines and feeds the metrics.
//!
//! It looks every 20 ms instead of being woken by each record: waking a thread costs a request more than everything
//! else about its record. The durable journal (hash chain, `fsync`, delivery to the control plane) will take the
//! place of the plain file behind the same queue.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lgsp_shared::id::NodeId;
use serde::Deserialize;

use super::metrics::Metrics;
use super::output::{Output, Place, RecordFile, Rotation, Stdout};
use super::strangers::{StrangerQuota, Strangers};
use super::unwritten::Unwritten;
use super::{Closed, Loss, Outcome, RecentRefusals, line};
use crate::clock::Now;

/// Records waiting for the writer at most; about 300 bytes each, 5 MiB.
const QUEUE_MAX: usize = 16_384;
/// Above this many waiting records a node that must not lose records refuses new requests.
const QUEUE_HIGH: usize = QUEUE_MAX / 10 * 9;
/// Above this many waiting records one of a request whose sender is not proved is not queued: however many of those come,
/// they are not why the node refuses others.
const QUEUE_STRANGERS_MAX: usize = QUEUE_MAX / 2;
/// Bytes kept for another try when the disk is full; what comes beyond is lost and counted.
const UNWRITTEN_BYTES_MAX: usize = 4 << 20;
/// Bytes waiting to be written above which records of strangers are only counted: with a look each 20 ms they cannot write
/// more than 50 MiB before the space left is asked for again, which is less than the reserve.
const UNWRITTEN_STRANGERS_BYTES_MAX: usize = 1 << 20;
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where records go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecordTarget {
    /// Lines appended to a file.
    File(PathBuf),
    /// Lines on standard output.
    Stdout,
}

/// What happens to new requests while records cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnFull {
    /// They are refused with `records-unavailable`.
    Refuse,
    /// They are served; lost records are counted.
    Serve,
}

/// Settings of the recorder.
#[derive(Debug, Clone)]
pub struct RecordSettings {
    /// The node's name, in every line.
    pub node: NodeId,
    /// Where records go.
    pub target: RecordTarget,
    /// What happens while they cannot go there.
    pub on_full: OnFull,
    /// How much disk they may take.
    pub bounds: RecordBounds,
}

/// What records may take of the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordBounds {
    /// When a file makes room for the next; `None` leaves that to others, such as logrotate.
    pub rotation: Option<Rotation>,
    /// Records of requests whose sender was not proved.
    pub strangers: StrangerQuota,
    /// Bytes of the file system that such records leave to others, a quarter of it at most.
    pub reserve_bytes: u64,
}

impl Default for RecordBounds {
    fn default() -> Self {
        Self { rotation: Some(Rotation::default()), strangers: StrangerQuota::default(), reserve_bytes: 256 << 20 }
    }
}

/// Why the recorder could not start.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The file cannot be appended to.
    #[error("cannot append records to `{path}`: create its directory or change `records` in the settings")]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// No thread.
    #[error("cannot start the record writer")]
    Thread(#[source] std::io::Error),
}

#[derive(Debug)]
struct Shared {
    waiting: AtomicUsize,
    failing: AtomicBool,
    stop: AtomicBool,
    reopen: AtomicBool,
    /// Records of strangers that were not queued and are not yet in a sum.
    strangers_unqueued: AtomicU64,
    on_full: OnFull,
    metrics: Metrics,
    refusals: RecentRefusals,
}

/// Where closed records are handed in; cheap to clone.
#[derive(Debug, Clone)]
pub struct RecordSink {
    queue: SyncSender<Closed>,
    shared: Arc<Shared>,
}

impl RecordSink {
    /// Hands a closed record in; never waits. A record that finds no room is lost and counted.
    pub(super) fn send(&self, closed: Closed) {
        let proved = closed.exchange.credential.is_some();
        let most = if proved { QUEUE_MAX } else { QUEUE_STRANGERS_MAX };
        let waiting = self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if waiting < most && self.queue.try_send(closed).is_ok() {
            return;
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        if proved {
            self.shared.metrics.record_lost(Loss::QueueFull);
        } else {
            self.shared.metrics.record_lost(Loss::Unauthenticated);
            self.shared.strangers_unqueued.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the record file again, wherever its path leads; done by the writer within moments.
    pub fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Relaxed);
    }

    /// Whether a new request may be served, as far as its record is concerned.
    pub fn admits(&self) -> bool {
        self.shared.on_full == OnFull::Serve || self.is_writable()
    }

    /// Whether records are being kept, for readiness.
    pub fn is_writable(&self) -> bool {
        !self.shared.failing.load(Ordering::Relaxed) && self.shared.waiting.load(Ordering::Relaxed) < QUEUE_HIGH
    }

    /// The refusals of the last minutes.
    pub fn refusals(&self) -> &RecentRefusals {
        &self.shared.refusals
    }

    /// The node's metrics.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }
}

/// The writer thread's owner.
#[derive(Debug)]
pub struct Recorder {
    sink: RecordSink,
    thread: JoinHandle<()>,
}

impl Recorder {
    /// Opens the target and starts the writer.
    pub fn start(settings: RecordSettings, metrics: Metrics) -> Result<Self, RecorderError> {
        let output = open(&settings, &metrics)?;
        Self::start_on(output, settings, metrics)
    }

    pub(super) fn start_on(
        output: Box<dyn Output>,
        settings: RecordSettings,
        metrics: Metrics,
    ) -> Result<Self, RecorderError> {
        let (queue, records) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            strangers_unqueued: AtomicU64::new(0),
            on_full: settings.on_full,
            metrics,
            refusals: RecentRefusals::default(),
        });
        let writer = Writer {
            records,
            output,
            node: settings.node,
            shared: shared.clone(),
            unwritten: Unwritten::default(),
            strangers: Strangers::new(settings.bounds.strangers, Instant::now()),
        };
        let builder = std::thread::Builder::new().name("records".into());
        let thread = builder.spawn(move || writer.run()).map_err(RecorderError::Thread)?;
        Ok(Self { sink: RecordSink { queue, shared }, thread })
    }

    /// Where records are handed in.
    pub fn sink(&self) -> &RecordSink {
        &self.sink
    }

    /// Writes what is waiting and ends the thread.
    pub fn close(self) {
        self.sink.shared.stop.store(true, Ordering::Release);
        if self.thread.join().is_err() {
            tracing::error!("the record writer panicked; records of the last moments are lost");
        }
    }
}

fn open(settings: &RecordSettings, metrics: &Metrics) -> Result<Box<dyn Output>, RecorderError> {
    let RecordSettings { node: _, target, on_full: _, bounds } = settings;
    match target {
        RecordTarget::Stdout => Ok(Box::new(Stdout)),
        RecordTarget::File(path) => {
            let removed = metrics.record_files_removed.clone();
            let file = RecordFile::open(path, bounds.rotation, bounds.reserve_bytes, removed);
            Ok(Box::new(file.map_err(|cause| RecorderError::Open { path: path.clone(), cause })?))
        }
    }
}

struct Writer {
    records: Receiver<Closed>,
    output: Box<dyn Output>,
    node: NodeId,
    shared: Arc<Shared>,
    unwritten: Unwritten,
    strangers: Strangers,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Read before draining: what was handed in before the stop is drained after it.
            let stop = self.shared.stop.load(Ordering::Acquire);
            let now = Instant::now();
            self.drain(now);
            self.sum(now, stop);
            self.write();
            if stop {
                return self.end();
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Says what could not be written before the end.
    fn end(self) {
        let records = self.unwritten.bytes().iter().filter(|byte| **byte == b'\n').count();
        if records > 0 {
            tracing::error!(records, "records could not be written before the end; they are lost");
        }
    }

    fn drain(&mut self, now: Instant) {
        let room = !self.shared.failing.load(Ordering::Relaxed) && self.output.has_room_for_strangers(now);
        while let Ok(closed) = self.records.try_recv() {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.metrics.observe(&closed);
            self.take(&closed, room, now);
            if let Outcome::Refused(code) | Outcome::TargetCut(code) = closed.outcome {
                let detail = closed.exchange.reason.as_ref().and_then(|reason| reason.detail.as_deref());
                tracing::debug!(request_id = %closed.exchange.request_id, %code, detail, "not completed");
                self.shared.refusals.keep(closed.exchange, code);
            }
        }
    }

    /// Puts a record among what is written next. One of a request whose sender was not proved needs a share of the quota,
    /// and room beside the reserve: such a request costs its sender nothing, and must cost others nothing.
    fn take(&mut self, closed: &Closed, room: bool, now: Instant) {
        let address = closed.exchange.client.map(|client| client.ip());
        let room = room && self.unwritten.bytes().len() < UNWRITTEN_STRANGERS_BYTES_MAX;
        if closed.exchange.credential.is_none() && !(room && self.strangers.admit(address, now)) {
            self.shared.metrics.record_lost(Loss::Unauthenticated);
            return self.strangers.missed(closed.outcome.label());
        }
        if self.unwritten.bytes().len() > UNWRITTEN_BYTES_MAX {
            self.shared.metrics.record_lost(Loss::Unwritable);
        } else {
            line::append(closed, self.node.as_str(), self.unwritten.lines());
        }
    }

    /// Says once a second how many records of strangers were not written.
    fn sum(&mut self, now: Instant, stop: bool) {
        self.strangers.missed_before(self.shared.strangers_unqueued.swap(0, Ordering::Relaxed));
        if self.shared.failing.load(Ordering::Relaxed) {
            return;
        }
        if let Some(missed) = self.strangers.sum(now, stop) {
            line::append_missed(&missed, Now::read().unix, self.node.as_str(), self.unwritten.lines());
        }
    }

    fn write(&mut self) {
        if self.shared.reopen.swap(false, Ordering::Relaxed) {
            self.output.reopen();
        }
        let result = self.write_all();
        let failing = result.is_err();
        if failing != self.shared.failing.swap(failing, Ordering::Relaxed) {
            self.shared.metrics.records_failing.set(i64::from(failing));
            match result {
                Ok(()) => tracing::info!("records can be written again"),
                Err(error) => {
                    tracing::error!(%error, "records cannot be written; free the disk, or make the file's directory")
                }
            }
        }
    }

    fn write_all(&mut self) -> std::io::Result<()> {
        if self.output.settle(self.unwritten.begins_a_line())? == Place::Another {
            self.unwritten.restart_line();
        }
        if self.unwritten.bytes().is_empty() {
            return Ok(());
        }
        self.unwritten.write_to(&mut *self.output)?;
        self.output.flush()
    }
}
