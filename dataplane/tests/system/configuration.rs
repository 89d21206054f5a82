//! Configuration faults: whatever happens to the source, a node serves the last good revision and never half of one.
//!
//! The room that follows the source runs for real, against a real etcd and real files; what it publishes is put on a
//! shelf to look at.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use etcd_client::{Client, Txn, TxnOp};
use lgsp_dataplane::snapshot::{DocumentProblem, Documents, Effect};
use lgsp_dataplane::sync::{
    Apply, BackoffBounds, EtcdSettings, EtcdTiming, Identity, Keyring, Notices, Prepared, Source, SyncHandle,
    SyncHealth, SyncSettings,
};
use lgsp_etcd::Access;
use lgsp_shared::bundle::{ContentHash, content_hash};
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::{HEAD_KEY, Head, NodeState, TXN_OPERATIONS_MAX, document_key};
use lgsp_shared::resource::Document;
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::eventually;
use lgsp_testkit::resources::{lineage, seal_key, seal_keys};
use serde_json::{Value, json};

mod a_denied_node_does_not_hammer_etcd;
mod a_half_written_revision_never_serves;
mod a_node_reports_what_it_serves;
mod a_node_restarts_without_its_source;
mod a_torn_bundle_never_serves;
mod etcd_proves_itself_and_is_shown_who_asks;
mod faults_of_etcd_never_stop_a_node;
mod no_service_leads_into_the_platform;
mod one_bad_document_costs_only_itself;
mod only_what_the_platform_marked_serves;
mod traffic_never_stops_while_configuration_fails;

/// How long anything here may take; generous, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Where revisions end up.
#[derive(Debug, Default)]
pub struct Shelf {
    serving: Mutex<BTreeMap<String, Value>>,
    history: Mutex<Vec<u64>>,
    compilations: AtomicU64,
}

impl Shelf {
    /// The value of `at` in a document that serves.
    pub fn at(&self, label: &str) -> Option<u64> {
        self.serving.lock().unwrap().get(label)?["at"].as_u64()
    }

    pub fn len(&self) -> usize {
        self.serving.lock().unwrap().len()
    }

    /// Revisions in the order in which they began to serve.
    pub fn history(&self) -> Vec<u64> {
        self.history.lock().unwrap().clone()
    }

    pub fn compilations(&self) -> u64 {
        self.compilations.load(Ordering::Relaxed)
    }
}

struct ApplyToShelf(Arc<Shelf>);

impl Apply for ApplyToShelf {
    /// Documents with `bad` are left out.
    fn prepare(&self, revision: Revision, _: &ContentHash, documents: &Documents) -> Prepared {
        self.0.compilations.fetch_add(1, Ordering::Relaxed);
        let (bad, good): (Vec<_>, Vec<_>) = documents.iter().partition(|document| document.spec.get("bad").is_some());
        let problem = |document: &Arc<Document>| DocumentProblem {
            document: document.label(),
            path: "spec.bad".into(),
            message: "this document is bad".into(),
            effect: Effect::LeftOut,
        };
        let problems = bad.into_iter().map(problem).collect();
        let serving = good.into_iter().map(|document| (document.label(), document.spec.clone())).collect();
        let shelf = self.0.clone();
        let publish = move || {
            *shelf.serving.lock().unwrap() = serving;
            shelf.history.lock().unwrap().push(revision.0);
        };
        Prepared { problems, publish: Box::new(publish) }
    }
}

/// The room at work, and what it has published.
pub struct Node {
    pub shelf: Arc<Shelf>,
    pub health: Arc<SyncHealth>,
    pub notices: Arc<Notices>,
    handle: SyncHandle,
}

impl Node {
    pub async fn start(source: Source, state_dir: &Path) -> Self {
        Self::start_that(false, source, state_dir).await
    }

    /// A node that accepts unmarked configuration, or not.
    pub async fn start_that(accept_unmarked: bool, source: Source, state_dir: &Path) -> Self {
        let shelf = Arc::new(Shelf::default());
        let identity = Identity { node: "node-1".parse().unwrap(), version: "0.0.0-test".into(), admin: None };
        let (state_dir, notices) = (state_dir.to_owned(), Arc::<Notices>::default());
        let settings =
            SyncSettings { identity, source, state_dir, accept_unmarked, notices: notices.clone(), cluster: None };
        let clock = Arc::new(|| UnixSeconds(1_000));
        let handle = lgsp_dataplane::sync::start(
            settings,
            Arc::new(ApplyToShelf(shelf.clone())),
            Keyring::new(seal_key()),
            clock,
        )
        .await;
        Self { shelf, health: handle.health(), notices, handle }
    }

    pub async fn follow(etcd: &Etcd, state_dir: &Path) -> Self {
        Self::start(Source::Etcd(Box::new(settings(etcd))), state_dir).await
    }

    pub async fn stop(self) {
        self.handle.stop().await;
    }

    pub fn state(&self) -> (NodeState, Option<u64>, Option<u64>) {
        let report = self.health.report();
        (report.state, report.desired.map(|revision| revision.0), report.active.map(|revision| revision.0))
    }

    pub async fn reaches(&self, state: NodeState, desired: u64, active: u64) {
        let wanted = (state, Some(desired), Some(active));
        let what = format!("{wanted:?}");
        let reached = async || self.state() == wanted;
        let seen = tokio::time::timeout(DEADLINE, eventually(2 * DEADLINE, &what, reached)).await;
        assert!(seen.is_ok(), "wanted {wanted:?}, but {:#?} {:#?}", self.health.report(), self.health.counters());
    }

    pub async fn applies(&self, revision: u64) {
        self.reaches(NodeState::Applied, revision, revision).await;
    }

    pub fn first_error(&self) -> String {
        self.health.report().errors.first().map(|error| format!("{}: {}", error.document, error.message)).unwrap()
    }
}

/// Quick to notice and to try again, so that faults pass quickly.
pub fn settings(etcd: &Etcd) -> EtcdSettings {
    let timing = EtcdTiming {
        progress_every: Duration::from_millis(200),
        reply_deadline: Duration::from_secs(2),
        backoff: BackoffBounds { min: Duration::from_millis(20), max: Duration::from_millis(500) },
        lease: Duration::from_secs(3),
    };
    EtcdSettings { access: Access::plain(vec![etcd.endpoint()]), timing }
}

pub fn agency(name: &str, at: u64) -> Document {
    Document { kind: "Agency".into(), name: name.into(), spec: json!({"at": at}) }
}

/// `count` agencies.
pub fn agencies(count: usize, at: u64) -> Vec<Document> {
    (0..count).map(|number| agency(&format!("a-{number:05}"), at)).collect()
}

/// Publishes as the control plane does.
pub struct Publisher {
    client: Client,
    published: BTreeMap<String, Document>,
}

impl Publisher {
    pub async fn new(etcd: &Etcd) -> Self {
        Self { client: etcd.client().await.unwrap(), published: BTreeMap::new() }
    }

    /// Publishes `documents` as `revision`: what changed in batches, the head last.
    pub async fn publish(&mut self, revision: u64, documents: &[Document]) {
        self.write_documents(documents, usize::MAX).await;
        self.write_head(&head(revision, documents)).await;
    }

    /// Writes what changed, at most `batches` transactions of it, and no head.
    pub async fn write_documents(&mut self, documents: &[Document], batches: usize) {
        let wanted: BTreeMap<String, Document> = documents.iter().map(|doc| (document_key(doc), doc.clone())).collect();
        let put = |(key, document): (&String, &Document)| TxnOp::put(key.as_str(), to_json(document), None);
        let changed = wanted.iter().filter(|(key, document)| self.published.get(*key) != Some(*document)).map(put);
        let gone = self.published.keys().filter(|key| !wanted.contains_key(*key));
        let operations: Vec<TxnOp> = changed.chain(gone.map(|key| TxnOp::delete(key.as_str(), None))).collect();
        for batch in operations.chunks(TXN_OPERATIONS_MAX).take(batches) {
            self.client.txn(Txn::new().and_then(batch)).await.unwrap();
        }
        self.published = wanted;
    }

    /// Writes it with the platform's mark.
    pub async fn write_head(&mut self, head: &Head) {
        self.write_head_as_it_is(&head.clone().marked(&seal_keys(), &lineage())).await;
    }

    pub async fn write_head_as_it_is(&mut self, head: &Head) {
        self.client.put(HEAD_KEY, head.to_json(), None).await.unwrap();
    }

    pub async fn put(&mut self, key: &str, value: &str) {
        self.client.put(key, value, None).await.unwrap();
    }

    /// Forgets the store's history up to now.
    pub async fn compact(&mut self) {
        let now = self.client.get(HEAD_KEY, None).await.unwrap().header().unwrap().revision();
        self.client.compact(now, None).await.unwrap();
    }
}

fn to_json(document: &Document) -> String {
    serde_json::to_string(document).unwrap()
}

pub fn head(revision: u64, documents: &[Document]) -> Head {
    Head::new(Revision(revision), content_hash(documents), documents.len() as u64)
}
