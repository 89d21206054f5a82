//! Where a revision has arrived: what nodes report, folded against the revision that is current.
//!
//! Reports are hostile input: whoever holds a node's credentials wrote them. Length and count are bounded.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, GetOptions};
use lgsp_etcd::Access;
use lgsp_shared::id::{AccessKey, NodeId, Revision};
use lgsp_shared::keyspace::{NODE_PREFIX, NodeState, NodeStatus, STATUS_BYTES_MAX, bundle_status_dir, node_of_key};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_shared::usage::{USAGE_PAGE_BYTES_MAX, USAGE_PAGES, USAGE_PREFIX, UsagePage};

use tokio::sync::watch;

use crate::desired::Whole;
use crate::publish::{PublishError, etcd};
use crate::settings::PublishSettings;

/// How often nodes' reports are looked at for refusals.
const REFUSALS_EVERY: Duration = Duration::from_secs(2);
/// The most nodes shown; at most 64 KiB each while they are read.
const NODES_MAX: usize = 1_000;
/// A status file that was not refreshed for so long is of a node that does not run.
const STALE_AFTER_SECS: i64 = 30;

/// How a node stands to the current revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It serves the current revision, all of it.
    Synced,
    /// It serves the current revision, but some documents were unusable.
    Degraded,
    /// It serves another revision and has not said why.
    Pending,
    /// It refused the current revision and serves the last good one.
    Rejected,
    /// It has not reported for a while.
    Stale,
}

impl Standing {
    /// The standing as text.
    pub fn label(self) -> &'static str {
        match self {
            Standing::Synced => "synced",
            Standing::Degraded => "degraded",
            Standing::Pending => "pending",
            Standing::Rejected => "rejected",
            Standing::Stale => "stale",
        }
    }
}

/// Whether a node still reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Life {
    Reporting,
    Gone,
}

/// What nodes report, read anew at each call.
#[derive(Debug)]
pub struct Rollout {
    source: Source,
}

enum Source {
    Bundle(PathBuf),
    Etcd(Box<EtcdReports>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::Bundle(directory) => f.debug_tuple("Bundle").field(directory).finish(),
            Source::Etcd(_) => f.write_str("Etcd(..)"),
        }
    }
}

/// Reports under leases: a node that is gone leaves nothing, so those seen before are remembered.
struct EtcdReports {
    access: Access,
    /// Made anew after a failure, with the certificates as they are then.
    client: tokio::sync::Mutex<Option<Client>>,
    seen: Mutex<BTreeMap<NodeId, NodeStatus>>,
}

/// Why the reports cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// The directory cannot be read.
    #[error("cannot read the nodes' reports in `{path}`")]
    Directory {
        /// The directory.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// etcd does not answer.
    #[error("cannot read the nodes' reports in etcd")]
    Etcd(#[from] PublishError),
}

impl Rollout {
    /// Reads where `settings` publish to.
    pub fn new(settings: &PublishSettings) -> Self {
        let source = match settings {
            PublishSettings::Bundle(path) => Source::Bundle(bundle_status_dir(path)),
            PublishSettings::Etcd(access) => Source::Etcd(Box::new(EtcdReports {
                access: access.clone(),
                client: tokio::sync::Mutex::default(),
                seen: Mutex::default(),
            })),
        };
        Self { source }
    }

    /// All nodes and how they stand to `whole`, by name.
    pub async fn nodes(&self, whole: &Whole, now: UnixSeconds) -> Result<Vec<(NodeStatus, Standing)>, RolloutError> {
        let reports = match &self.source {
            Source::Bundle(directory) => read_files(directory.clone(), now).await?,
            Source::Etcd(reports) => reports.read().await?,
        };
        let fold = |(status, life): (NodeStatus, Life)| {
            let standing = standing(&status, life, whole);
            (status, standing)
        };
        Ok(reports.into_iter().map(fold).collect())
    }
}

impl Rollout {
    /// When access keys were last used, as every node that reports says.
    pub async fn usage(&self) -> Result<Vec<(AccessKey, i64)>, RolloutError> {
        match &self.source {
            Source::Bundle(directory) => read_usage_files(directory.clone()).await,
            Source::Etcd(reports) => reports.read_usage().await,
        }
    }
}

/// Tells the publisher, once for every refusal, that a node refuses what is published: what stands there may not be what was
/// written.
pub async fn follow_refusals(
    rollout: Arc<Rollout>,
    wholes: watch::Receiver<Arc<Whole>>,
    now: fn() -> UnixSeconds,
    doubts: watch::Sender<u64>,
    mut stop: watch::Receiver<bool>,
) {
    let mut known: BTreeSet<Refusal> = BTreeSet::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(REFUSALS_EVERY) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        let whole = wholes.borrow().clone();
        // What cannot be read now is read at the next look.
        let Ok(nodes) = rollout.nodes(&whole, now()).await else { continue };
        let refusals: BTreeSet<Refusal> = nodes.into_iter().filter_map(refusal).collect();
        if !refusals.is_subset(&known) {
            doubts.send_modify(|doubts| *doubts = doubts.wrapping_add(1));
        }
        known = refusals;
    }
}

/// A node that refuses, what it refuses, and since when.
type Refusal = (NodeId, Option<Revision>, i64);

fn refusal((status, standing): (NodeStatus, Standing)) -> Option<Refusal> {
    let refuses = status.state == NodeState::Rejected && standing != Standing::Stale;
    refuses.then_some((status.node, status.desired, status.since.0))
}

async fn read_usage_files(directory: PathBuf) -> Result<Vec<(AccessKey, i64)>, RolloutError> {
    const FILE_BYTES_MAX: usize = USAGE_PAGES * USAGE_PAGE_BYTES_MAX;
    let path = directory.display().to_string();
    let failed = |source| RolloutError::Directory { path, source };
    let read = move || -> std::io::Result<Vec<(AccessKey, i64)>> {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut used = Vec::new();
        let files = entries.take(NODES_MAX).filter_map(|entry| Some(entry.ok()?.path()));
        for file in files.filter(|file| file.extension().is_some_and(|extension| extension == "usage")) {
            let page = read_bounded(&file, FILE_BYTES_MAX).and_then(|bytes| UsagePage::parse(&bytes, FILE_BYTES_MAX));
            used.extend(page.unwrap_or_default().0);
        }
        Ok(used)
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(used) => used.map_err(failed),
        Err(error) => Err(failed(std::io::Error::other(error))),
    }
}

fn standing(status: &NodeStatus, life: Life, whole: &Whole) -> Standing {
    let current = status.active == Some(whole.revision()) && status.hash.as_ref() == Some(whole.hash());
    match (life, status.state) {
        (Life::Gone, _) => Standing::Stale,
        (Life::Reporting, NodeState::Applied) if current => Standing::Synced,
        (Life::Reporting, NodeState::Degraded) if current => Standing::Degraded,
        (Life::Reporting, NodeState::Rejected) if status.desired == Some(whole.revision()) => Standing::Rejected,
        (Life::Reporting, NodeState::Waiting | NodeState::Applied | NodeState::Degraded | NodeState::Rejected) => {
            Standing::Pending
        }
    }
}

async fn read_files(directory: PathBuf, now: UnixSeconds) -> Result<Vec<(NodeStatus, Life)>, RolloutError> {
    let path = directory.display().to_string();
    let failed = |source| RolloutError::Directory { path, source };
    let task = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<NodeStatus>> {
        let entries = match std::fs::read_dir(&directory) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut found = BTreeMap::new();
        for entry in entries.take(NODES_MAX) {
            if let Some(status) = read_file(&entry?.path()) {
                found.insert(status.node.clone(), status);
            }
        }
        Ok(found.into_values().collect())
    });
    let found = match task.await {
        Ok(found) => found.map_err(failed)?,
        Err(error) => return Err(failed(std::io::Error::other(error))),
    };
    let live = |status: NodeStatus| {
        let age_secs = now.0.saturating_sub(status.reported_at.0);
        (status, if age_secs > STALE_AFTER_SECS { Life::Gone } else { Life::Reporting })
    };
    Ok(found.into_iter().map(live).collect())
}

/// The report in a file called after its node; anything else is not one.
fn read_file(path: &std::path::Path) -> Option<NodeStatus> {
    let node: NodeId = path.file_name()?.to_str()?.strip_suffix(".json")?.parse().ok()?;
    NodeStatus::parse(&read_bounded(path, STATUS_BYTES_MAX)?).filter(|status| status.node == node)
}

/// The file, or one byte more than the bound.
fn read_bounded(path: &std::path::Path, bytes_max: usize) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut bytes = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    std::fs::File::open(path).ok()?.take(limit).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

impl EtcdReports {
    async fn client(&self) -> Result<Client, PublishError> {
        if let Some(client) = &*self.client.lock().await {
            return Ok(client.clone());
        }
        let client = etcd::connect(&self.access).await?;
        *self.client.lock().await = Some(client.clone());
        Ok(client)
    }

    /// Every page of every node, a bounded number at a time.
    async fn read_usage(&self) -> Result<Vec<(AccessKey, i64)>, RolloutError> {
        const KEYS_AT_ONCE: i64 = 64;
        const ROUNDS_MAX: usize = NODES_MAX;
        let client = self.client().await?;
        let mut kv = client.kv_client().max_decoding_message_size(2 * USAGE_PAGES * USAGE_PAGE_BYTES_MAX);
        let (mut used, mut from) = (Vec::new(), USAGE_PREFIX.as_bytes().to_vec());
        for _ in 0..ROUNDS_MAX {
            let options = GetOptions::new().with_range(etcd::prefix_end(USAGE_PREFIX)).with_limit(KEYS_AT_ONCE);
            let answer = match kv.get(from, Some(options)).await {
                Ok(answer) => answer,
                Err(error) => {
                    *self.client.lock().await = None;
                    return Err(PublishError::from(error).into());
                }
            };
            for page in answer.kvs().iter().filter_map(|entry| UsagePage::parse(entry.value(), USAGE_PAGE_BYTES_MAX)) {
                used.extend(page.0);
            }
            match answer.kvs().last() {
                Some(last) if answer.more() => from = [last.key(), b"\0"].concat(),
                Some(_) | None => break,
            }
        }
        Ok(used)
    }

    async fn read(&self) -> Result<Vec<(NodeStatus, Life)>, RolloutError> {
        let client = self.client().await?;
        let limit = i64::try_from(NODES_MAX).unwrap_or(i64::MAX);
        let options = GetOptions::new().with_prefix().with_limit(limit);
        let mut kv = client.kv_client().max_decoding_message_size(NODES_MAX * STATUS_BYTES_MAX * 2);
        let response = match kv.get(NODE_PREFIX, Some(options)).await {
            Ok(response) => response,
            Err(error) => {
                *self.client.lock().await = None;
                return Err(PublishError::from(error).into());
            }
        };
        let reports = response.kvs().iter().filter_map(|entry| {
            let node = node_of_key(entry.key())?;
            NodeStatus::parse(entry.value()).filter(|status| status.node == node)
        });
        let mut found: BTreeMap<NodeId, (NodeStatus, Life)> =
            reports.map(|status| (status.node.clone(), (status, Life::Reporting))).collect();
        // A poisoned memory is only a memory: what it holds is still right.
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (node, status) in seen.iter().take(NODES_MAX.saturating_sub(found.len())) {
            found.entry(node.clone()).or_insert_with(|| (status.clone(), Life::Gone));
        }
        *seen = found.iter().map(|(node, (status, _))| (node.clone(), status.clone())).collect();
        Ok(found.into_values().collect())
    }
}

#[cfg(test)]
mod tests;
