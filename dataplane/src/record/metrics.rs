//! Metrics: base units, closed label sets, fed from records by the writer thread.
//!
//! Labels are codes, faces and the names of configured services; nothing a caller sends becomes a label.

use prometheus::{
    Counter, Encoder, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Opts,
    Registry, TextEncoder,
};

use super::{Called, Closed, Loss, Named, Verdict};
use crate::snapshot::Watched;

/// Permissions in shadow that have a metric of their own; the first by name.
const SHADOW_LABELS_MAX: usize = 200;

/// The label of exchanges whose service was not found out.
const NO_SERVICE: &str = "none";

/// From 50 µs, because that is where a good node is; to 30 s, the regulation's limit.
const SECONDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0,
    10.0, 30.0,
];

/// All metrics of a node.
#[derive(Debug, Clone)]
pub struct Metrics {
    registry: Registry,
    exchanges: IntCounterVec,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    overhead: Histogram,
    target: HistogramVec,
    duration: HistogramVec,
    calls: IntCounterVec,
    shadow: IntCounterVec,
    /// Exchanges open now.
    pub exchanges_in_flight: IntGauge,
    /// Connections of sources open now.
    pub connections: IntGauge,
    /// Connections refused at accept: over the node's or an address's limit.
    pub connections_refused: IntCounter,
    records_lost: IntCounterVec,
    /// Record files that rotation removed.
    pub record_files_removed: IntCounter,
    /// 1 while records cannot be written.
    pub records_failing: IntGauge,
    /// The revision in use.
    pub revision_active: IntGauge,
    /// The revision last heard of.
    pub revision_desired: IntGauge,
    /// Revisions applied.
    pub revisions_applied: IntCounter,
    /// Revisions rejected.
    pub revisions_rejected: IntCounter,
    /// 1 while the configuration source answers.
    pub configuration_connected: IntGauge,
    /// Questions to other nodes about nonces, by how they ended.
    pub replay_questions: IntCounterVec,
    /// Nodes of the cluster as this one knows them, itself included.
    pub cluster_nodes: IntGauge,
    /// Connections on which this node asks others.
    pub cluster_connections: IntGauge,
    /// The process itself, under the names every Prometheus client uses.
    pub process: ProcessMetrics,
}

/// CPU, memory and files of the process; brought up to date when they are asked for.
#[derive(Debug, Clone)]
pub struct ProcessMetrics {
    /// User and system time so far.
    pub cpu_seconds: Counter,
    /// Resident memory.
    pub resident_bytes: IntGauge,
    /// Open file descriptors.
    pub open_fds: IntGauge,
    /// How many may be open.
    pub max_fds: IntGauge,
    /// When it was started, in seconds since 1970.
    pub start_time_seconds: Gauge,
}

impl ProcessMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        Ok(Self {
            cpu_seconds: register(
                registry,
                Counter::new("process_cpu_seconds_total", "User and system CPU time of this process.")?,
            )?,
            resident_bytes: gauge("process_resident_memory_bytes", "Resident memory.")?,
            open_fds: gauge("process_open_fds", "Open file descriptors.")?,
            max_fds: gauge("process_max_fds", "File descriptors that may be open; 0 where there is no limit.")?,
            start_time_seconds: register(
                registry,
                Gauge::new("process_start_time_seconds", "Start of this process, in seconds since 1970.")?,
            )?,
        })
    }
}

impl Metrics {
    /// Registers everything.
    ///
    /// # Errors
    /// A fault of this file: a name that is not valid or occurs twice; the tests would see it.
    pub fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str| register(&registry, IntCounter::new(name, help)?);
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help)?);
        let seconds = |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        Ok(Self {
            exchanges: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("lgsp_exchanges_total", "Exchanges by service, outcome and face."),
                    &["service", "outcome", "face"],
                )?,
            )?,
            calls: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "lgsp_session_calls_total",
                        "Sessions asked for and verifications, by the service they name and what was said.",
                    ),
                    &["call", "service", "verdict"],
                )?,
            )?,
            shadow: register(
                &registry,
                IntCounterVec::new(
                    Opts::new(
                        "lgsp_permission_shadow_requests_total",
                        "Requests a permission in shadow would have granted, or one that is retiring granted alone.",
                    ),
                    &["permission", "mode"],
                )?,
            )?,
            request_bytes: counter("lgsp_request_body_bytes_total", "Body bytes received from sources.")?,
            response_bytes: counter("lgsp_response_body_bytes_total", "Body bytes sent to sources.")?,
            overhead: register(
                &registry,
                Histogram::with_opts(seconds("lgsp_gateway_overhead_seconds", "Time the node itself added."))?,
            )?,
            target: register(
                &registry,
                HistogramVec::new(
                    seconds("lgsp_target_seconds", "From the request sent on to the first byte."),
                    &["service"],
                )?,
            )?,
            duration: register(
                &registry,
                HistogramVec::new(seconds("lgsp_exchange_seconds", "From arrival to the end."), &["service"])?,
            )?,
            exchanges_in_flight: gauge("lgsp_exchanges_in_flight", "Exchanges open now.")?,
            connections: gauge("lgsp_connections", "Connections of sources open now.")?,
            connections_refused: counter("lgsp_connections_refused_total", "Connections over a limit.")?,
            records_lost: records_lost(&registry)?,
            record_files_removed: counter("lgsp_record_files_removed_total", "Record files that rotation removed.")?,
            records_failing: gauge("lgsp_records_failing", "1 while records cannot be written.")?,
            revision_active: gauge("lgsp_configuration_revision_active", "The revision in use.")?,
            revision_desired: gauge("lgsp_configuration_revision_desired", "The revision last heard of.")?,
            revisions_applied: counter("lgsp_configuration_applied_total", "Revisions applied.")?,
            revisions_rejected: counter("lgsp_configuration_rejected_total", "Revisions rejected.")?,
            configuration_connected: gauge("lgsp_configuration_connected", "1 while the source answers.")?,
            replay_questions: register(
                &registry,
                IntCounterVec::new(
                    Opts::new("lgsp_replay_questions_total", "Questions to other nodes about nonces, by outcome."),
                    &["outcome"],
                )?,
            )?,
            cluster_nodes: gauge("lgsp_cluster_nodes", "Nodes of the cluster, this one included.")?,
            cluster_connections: gauge("lgsp_cluster_connections", "Connections on which this node asks others.")?,
            process: ProcessMetrics::new(&registry)?,
            registry,
        })
    }

    /// Takes a closed record in; called by the writer thread only.
    pub(super) fn observe(&self, closed: &Closed) {
        let Closed { exchange, outcome } = closed;
        let service = exchange.route.as_deref().map_or(NO_SERVICE, |route| route.service.id.as_str());
        self.exchanges.with_label_values(&[service, outcome.label(), exchange.face.label()]).inc();
        if let Some(Called { kind, service, verdict, .. }) = exchange.called.as_deref() {
            // A service that is not configured is a caller's text, and no label.
            let named = match service {
                Some(Named::Known(service)) => service.id.as_str(),
                Some(Named::Unknown(_)) | None => NO_SERVICE,
            };
            let said = verdict.map_or(outcome.label(), Verdict::label);
            self.calls.with_label_values(&[kind.label(), named, said]).inc();
        }
        self.request_bytes.inc_by(exchange.request_bytes);
        self.response_bytes.inc_by(exchange.response_bytes);
        self.overhead.observe(seconds(exchange.own_micros));
        self.duration.with_label_values(&[service]).observe(seconds(exchange.total_micros));
        if exchange.target_micros > 0 {
            self.target.with_label_values(&[service]).observe(seconds(exchange.target_micros));
        }
    }

    /// Counts a record that was not kept.
    pub(super) fn record_lost(&self, loss: Loss) {
        self.records_lost.with_label_values(&[loss.label()]).inc();
    }

    /// Records that were not kept since the start, by reason.
    pub fn records_lost(&self) -> [(Loss, u64); Loss::ALL.len()] {
        Loss::ALL.map(|loss| (loss, self.records_lost.with_label_values(&[loss.label()]).get()))
    }

    /// Brings the counts of permissions that are tried up to date; one that is no longer tried has none any more.
    pub fn set_shadow<'a>(&self, watched: impl Iterator<Item = &'a Watched>) {
        self.shadow.reset();
        for watched in watched.take(SHADOW_LABELS_MAX) {
            let labels = [watched.permission.as_str(), watched.mode.label()];
            self.shadow.with_label_values(&labels).inc_by(watched.requests());
        }
    }

    /// Everything in the Prometheus text format.
    pub fn to_text(&self) -> Vec<u8> {
        let mut text = Vec::new();
        // Writing to memory fails only for a family without metrics, which then is not worth the rest.
        let _ = TextEncoder::new().encode(&self.registry.gather(), &mut text);
        text
    }
}

/// With every reason at 0, so that an alarm sees the first one.
fn records_lost(registry: &Registry) -> prometheus::Result<IntCounterVec> {
    let options = Opts::new("lgsp_records_lost_total", "Records that were not kept, by reason.");
    let lost = register(registry, IntCounterVec::new(options, &["reason"])?)?;
    for loss in Loss::ALL {
        lost.with_label_values(&[loss.label()]).reset();
    }
    Ok(lost)
}

fn register<C: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of an exchange are far below 2^52")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1_000_000.0
}
