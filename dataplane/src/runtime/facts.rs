//! What the admin listener tells about this node.

use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use lgsp_shared::explain::{Explanation, Question};
use lgsp_shared::id::{NodeId, Revision};
use lgsp_shared::seal::vouch::{Denied, Vouched};
use lgsp_shared::timestamp::UnixSeconds;
use serde_json::{Value, json};

use super::admin::{Condition, Facts};
use super::descriptors::Descriptors;
use super::explain;
use super::process::Process;
use crate::clock::Now;
use crate::edge::Rooms;
use crate::edge::connections::Connections;
use crate::edge::drain::Drain;
use crate::record::{Metrics, ProcessMetrics, RequestId};
use crate::sync::{Keyring, Notices, SyncHealth};

/// The node as its admin listener sees it.
#[derive(Debug)]
pub struct NodeFacts {
    /// Its name.
    pub node: NodeId,
    /// The keys whose holders may ask from elsewhere.
    pub keys: Arc<Keyring>,
    /// Whether it is stopping.
    pub drain: Drain,
    /// Its connections.
    pub connections: Arc<Connections>,
    /// How many descriptors it may open.
    pub descriptors: Descriptors,
    /// How its configuration arrives; unknown until that room has started.
    pub sync: Arc<OnceLock<Arc<SyncHealth>>>,
    /// Security notices.
    pub notices: Arc<Notices>,
    /// Its rooms.
    pub rooms: Arc<Rooms>,
}

impl Facts for NodeFacts {
    fn conditions(&self) -> Vec<Condition> {
        let revision = self.rooms.snapshots.load().map(|snapshot| snapshot.revision);
        let began = self.rooms.replay.span().began();
        let (writable, draining) = (self.rooms.records.is_writable(), self.drain.is_draining());
        let told = |holds: bool, yes: &str, no: &str| if holds { yes } else { no }.to_owned();
        // They do not keep the node from serving; `?verbose` shows them.
        let notice = |detail| Condition { name: "notice", holds: true, detail };
        let notices = self.notices.list().into_iter().map(notice);
        let conditions = [
            Condition {
                name: "configuration",
                holds: revision.is_some(),
                detail: revision.map_or("no revision yet".to_owned(), |revision| format!("revision {revision}")),
            },
            Condition { name: "records", holds: writable, detail: records(writable, self.rooms.records.metrics()) },
            // Fewer connections than wanted is no reason to send it none.
            Condition { name: "descriptors", holds: true, detail: self.descriptors.to_string() },
            Condition {
                name: "replay",
                // Signatures say whole seconds: what is signed in the second of the start may have been signed before.
                holds: Now::read().unix > began,
                detail: format!("takes what is signed after {began}"),
            },
            Condition { name: "accepting", holds: !draining, detail: told(draining, "draining", "not draining") },
        ];
        conditions.into_iter().chain(notices).collect()
    }

    fn metrics(&self) -> Vec<u8> {
        let metrics = self.rooms.records.metrics();
        metrics.connections.set(i64::try_from(self.connections.open()).unwrap_or(i64::MAX));
        let refused = self.connections.refused();
        raise(
            &metrics.connections_refused,
            refused.total.saturating_add(refused.per_address).saturating_add(refused.descriptors),
        );
        if let Some(snapshot) = self.rooms.snapshots.load() {
            metrics.set_shadow(snapshot.watched().into_iter().map(|watched| &**watched));
        }
        if let Some(sync) = self.sync.get() {
            let report = sync.report();
            let gauge =
                |revision: Option<Revision>| revision.map_or(0, |revision| i64::try_from(revision.0).unwrap_or(0));
            metrics.revision_active.set(gauge(report.active));
            metrics.revision_desired.set(gauge(report.desired));
            metrics.configuration_connected.set(i64::from(sync.connected()));
            raise(&metrics.revisions_applied, sync.counters().revisions_applied.load(Ordering::Relaxed));
            raise(&metrics.revisions_rejected, sync.counters().revisions_rejected.load(Ordering::Relaxed));
        }
        if let Some(process) = Process::read() {
            tell(&metrics.process, &process);
        }
        metrics.to_text()
    }

    fn explain(&self, question: &Question) -> Option<Explanation> {
        explain::answer(&self.node, &self.rooms, question, Now::read())
    }

    fn decision(&self, request_id: RequestId) -> Option<Explanation> {
        explain::recorded(&self.node, &self.rooms, request_id, Now::read())
    }

    fn check(&self, proof: &str, method: &str, path: &str, body: &[u8]) -> Result<(), Denied> {
        let request = Vouched { node: &self.node, method, path, body };
        self.keys.load().check(proof, &request, Now::read().unix)
    }

    fn config(&self) -> Value {
        let snapshot = self.rooms.snapshots.load();
        let mut told = json!({
            "revision": snapshot.as_deref().map(|snapshot| snapshot.revision),
            "hash": snapshot.as_deref().map(|snapshot| snapshot.hash.clone()),
            "key_ids": self.keys.load().ids(),
            "notices": self.notices.list(),
        });
        if let (Some(sync), Value::Object(fields)) = (self.sync.get(), &mut told) {
            let report = sync.report();
            let now = Now::read().unix;
            let age = |since: UnixSeconds| now.0.saturating_sub(since.0);
            fields.insert("desired".to_owned(), json!(report.desired));
            fields.insert("state".to_owned(), json!(report.state.label()));
            fields.insert("since".to_owned(), json!(report.since));
            fields.insert("age_secs".to_owned(), json!(age(report.since)));
            fields.insert("errors".to_owned(), json!(report.errors));
            fields.insert("errors_total".to_owned(), json!(report.errors_total));
            fields.insert(
                "source".to_owned(),
                json!({
                    "kind": sync.source(),
                    "connected": sync.connected(),
                    "heard_secs_ago": sync.last_progress().map(age),
                }),
            );
        }
        told
    }
}

/// Whether records are written, and everything that was lost since the start.
fn records(writable: bool, metrics: &Metrics) -> String {
    let mut told = if writable { "written" } else { "cannot be written" }.to_owned();
    let lost = metrics.records_lost().into_iter().filter(|(_, count)| *count > 0);
    let lost: Vec<String> = lost.map(|(loss, count)| format!("{count} {}", loss.label())).collect();
    if !lost.is_empty() {
        told.push_str(&format!("; not kept since the start: {}", lost.join(", ")));
    }
    match metrics.record_files_removed.get() {
        0 => {}
        removed => told.push_str(&format!("; files removed by rotation: {removed}")),
    }
    told
}

fn tell(metrics: &ProcessMetrics, process: &Process) {
    let Process { cpu_seconds, resident_bytes, open_fds, max_fds, started_unix_seconds } = *process;
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.cpu_seconds.inc_by((cpu_seconds - metrics.cpu_seconds.get()).max(0.0));
    metrics.resident_bytes.set(whole(resident_bytes));
    metrics.open_fds.set(whole(open_fds));
    metrics.max_fds.set(whole(max_fds.unwrap_or(0)));
    // Once: the kernel works the time of its own start out anew at each look, and it moves by a second.
    if metrics.start_time_seconds.get() == 0.0 {
        metrics.start_time_seconds.set(started_unix_seconds);
    }
}

/// Brings a counter up to a count that is kept elsewhere.
fn raise(counter: &prometheus::IntCounter, to: u64) {
    counter.inc_by(to.saturating_sub(counter.get()));
}
