//! The one writer: a thread that takes closed records from a bounded queue, writes lines and feeds the metrics.
//!
//! It looks every 20 ms instead of being woken by each record: waking a thread costs a request more than everything
//! else about its record. The durable journal (hash chain, `fsync`, delivery to the control plane) will take the
//! place of the plain file behind the same queue.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use lgsp_shared::id::NodeId;
use serde::Deserialize;

use super::metrics::Metrics;
use super::{Closed, Outcome, RecentRefusals, line};

/// Records waiting for the writer at most; about 300 bytes each, 5 MiB.
const QUEUE_MAX: usize = 16_384;
/// Above this many waiting records a node that must not lose records refuses new requests.
const QUEUE_HIGH: usize = QUEUE_MAX / 10 * 9;
/// Bytes kept for another try when the disk is full; what comes beyond is lost and counted.
const UNWRITTEN_BYTES_MAX: usize = 4 << 20;
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
        self.shared.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(closed).is_err() {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.metrics.records_lost.inc();
        }
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
        let output = open(&settings.target)?;
        let (queue, records) = sync_channel(QUEUE_MAX);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            failing: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            on_full: settings.on_full,
            metrics,
            refusals: RecentRefusals::default(),
        });
        let writer = Writer { records, output, node: settings.node, shared: shared.clone(), unwritten: Vec::new() };
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

fn open(target: &RecordTarget) -> Result<Box<dyn Write + Send>, RecorderError> {
    match target {
        RecordTarget::Stdout => Ok(Box::new(std::io::stdout())),
        RecordTarget::File(path) => {
            let file: Result<File, _> = OpenOptions::new().create(true).append(true).open(path);
            let file = file.map_err(|cause| RecorderError::Open { path: path.clone(), cause })?;
            Ok(Box::new(file))
        }
    }
}

struct Writer {
    records: Receiver<Closed>,
    output: Box<dyn Write + Send>,
    node: NodeId,
    shared: Arc<Shared>,
    unwritten: Vec<u8>,
}

impl Writer {
    fn run(mut self) {
        loop {
            // Read before draining: what was handed in before the stop is drained after it.
            let stop = self.shared.stop.load(Ordering::Acquire);
            self.drain();
            self.write();
            if stop {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn drain(&mut self) {
        while let Ok(closed) = self.records.try_recv() {
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
            self.shared.metrics.observe(&closed);
            if self.unwritten.len() > UNWRITTEN_BYTES_MAX {
                self.shared.metrics.records_lost.inc();
            } else {
                line::append(&closed, self.node.as_str(), &mut self.unwritten);
            }
            if let Outcome::Refused(code) = closed.outcome {
                self.shared.refusals.keep(closed.exchange, code);
            }
        }
    }

    fn write(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let result = write_some(&mut *self.output, &mut self.unwritten).and_then(|()| self.output.flush());
        let failing = result.is_err();
        if failing != self.shared.failing.swap(failing, Ordering::Relaxed) {
            self.shared.metrics.records_failing.set(i64::from(failing));
            match result {
                Ok(()) => tracing::info!("records can be written again"),
                Err(error) => {
                    tracing::error!(%error, "records cannot be written; free the disk or move the record file")
                }
            }
        }
    }
}

/// Writes all it can and keeps the rest, so that no line is written twice or torn by a second try.
fn write_some(output: &mut dyn Write, unwritten: &mut Vec<u8>) -> std::io::Result<()> {
    let mut written = 0;
    let result = loop {
        match output.write(unwritten.get(written..).unwrap_or_default()) {
            Ok(0) if written == unwritten.len() => break Ok(()),
            Ok(0) => break Err(std::io::ErrorKind::WriteZero.into()),
            Ok(bytes) => written += bytes,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => break Err(error),
        }
        if written == unwritten.len() {
            break Ok(());
        }
    };
    unwritten.drain(..written);
    result
}
