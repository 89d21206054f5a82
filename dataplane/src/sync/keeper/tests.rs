use std::sync::Mutex;
use std::sync::atomic::Ordering;

use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::resources::lineage;
use serde_json::{Value, json};

use super::super::apply::Prepared;
use super::*;

/// Serves `Kind/name=at`. `bad` documents are left out, as are those whose `needs` is not there; `closed` ones close.
#[derive(Default)]
struct Fake {
    served: Arc<Mutex<Vec<String>>>,
}

impl Apply for Fake {
    fn prepare(&self, _: Revision, _: &ContentHash, documents: &Documents) -> Prepared {
        let bad = |document: &&Arc<Document>| document.spec.get("bad").is_some();
        let there: HashSet<String> = documents.iter().filter(|doc| !bad(doc)).map(|doc| doc.label()).collect();
        let problem = |document: &Arc<Document>| {
            let needs = document.spec.get("needs").and_then(Value::as_str);
            let effect = match document.spec.get("closed").is_some() {
                true => Effect::Closed,
                false if !there.contains(&document.label()) => Effect::LeftOut,
                false if needs.is_some_and(|needs| !there.contains(needs)) => Effect::LeftOut,
                false => return None,
            };
            Some(DocumentProblem {
                document: document.label(),
                path: "spec".into(),
                message: format!("{effect:?}"),
                effect,
            })
        };
        let problems: Vec<DocumentProblem> = documents.iter().filter_map(problem).collect();
        let served = documents
            .iter()
            .filter(|document| !problems.iter().any(|problem| problem.document == document.label()))
            .map(|document| format!("{}={}", document.label(), document.spec["at"]))
            .collect();
        let place = self.served.clone();
        Prepared { problems, publish: Box::new(move || *place.lock().unwrap() = served) }
    }
}

struct Bench {
    keeper: Keeper,
    health: Arc<SyncHealth>,
    served: Arc<Mutex<Vec<String>>>,
    copies: watch::Receiver<Option<Arc<LastGood>>>,
    notices: Arc<Notices>,
}

impl Bench {
    fn new() -> Self {
        let fake = Fake::default();
        let served = fake.served.clone();
        let (reporter, report) = Reporter::new(Arc::new(|| UnixSeconds(0)));
        let health = Arc::new(SyncHealth::new("etcd", report));
        let (sender, copies) = watch::channel(None);
        let notices = Arc::new(Notices::default());
        let keeper = Keeper::new(Arc::new(fake), reporter, health.clone(), sender, notices.clone());
        Self { keeper, health, served, copies, notices }
    }

    /// The process ends, another starts from what it left.
    fn restarted(self) -> Self {
        let left = self.copies.borrow().clone().unwrap();
        let text = serde_json::to_string(&*left).unwrap();
        let mut next = Self::new();
        next.keeper.remember(left.seen.clone());
        next.keeper.restore(serde_json::from_str(&text).unwrap());
        next
    }

    fn take(&mut self, revision: u64, documents: &[Document]) -> Taken {
        self.take_from(Origin::fake(None), revision, documents)
    }

    fn take_marked(&mut self, since: i64, revision: u64, documents: &[Document]) -> Taken {
        let lineage = Lineage { since: UnixSeconds(since), ..lineage() };
        self.take_from(Origin::fake(Some(lineage)), revision, documents)
    }

    fn take_from(&mut self, origin: Origin, revision: u64, documents: &[Document]) -> Taken {
        let offer = Offer {
            origin,
            revision: Revision(revision),
            hash: lgsp_shared::bundle::content_hash(documents),
            allow_large_removal: false,
            allow_older: false,
            documents: documents.iter().cloned().map(Arc::new).collect(),
            unreadable: Vec::new(),
        };
        self.keeper.take(offer)
    }

    fn served(&self) -> Vec<String> {
        self.served.lock().unwrap().clone()
    }

    fn compilations(&self) -> u64 {
        self.health.counters().compilations.load(Ordering::Relaxed)
    }

    fn state(&self) -> (NodeState, Option<u64>, Option<u64>) {
        let report = self.health.report();
        (report.state, report.desired.map(|revision| revision.0), report.active.map(|revision| revision.0))
    }
}

fn document(kind: &str, name: &str, spec: Value) -> Document {
    Document { kind: kind.into(), name: name.into(), spec }
}

fn agency(name: &str, at: u32) -> Document {
    document("Agency", name, json!({"at": at}))
}

fn bad(name: &str) -> Document {
    document("Agency", name, json!({"bad": true, "at": 0}))
}

#[test]
fn a_bad_document_keeps_its_last_good_value_while_the_rest_moves_on() {
    let mut bench = Bench::new();
    bench.take(1, &[agency("a", 1), agency("b", 1)]);
    assert_eq!(bench.take(2, &[bad("a"), agency("b", 2), bad("new")]), Taken::Serves);
    assert_eq!(bench.served(), ["Agency/a=1", "Agency/b=2"]);
    assert_eq!(bench.state(), (NodeState::Degraded, Some(2), Some(2)));
    let report = bench.health.report();
    let told: Vec<_> = report.errors.iter().map(|error| (error.document.as_str(), error.message.as_str())).collect();
    assert_eq!(told, [("Agency/a", "LeftOut; its last good value serves"), ("Agency/new", "LeftOut")]);
    bench.take(3, &[bad("a"), agency("b", 3)]);
    assert_eq!(bench.served(), ["Agency/a=1", "Agency/b=3"], "also in the revision after");
    bench.take(4, &[agency("a", 4), agency("b", 3)]);
    assert_eq!(bench.state(), (NodeState::Applied, Some(4), Some(4)));
}

#[test]
fn a_last_good_value_survives_a_restart_and_the_resync_after_it() {
    let mut bench = Bench::new();
    let revision = [bad("a"), agency("b", 2)];
    bench.take(1, &[agency("a", 1), agency("b", 1)]);
    bench.take(2, &revision);
    let mut bench = bench.restarted();
    assert_eq!(bench.served(), ["Agency/a=1", "Agency/b=2"]);
    assert_eq!(bench.state(), (NodeState::Degraded, None, Some(2)));
    assert_eq!(bench.take(2, &revision), Taken::Serves, "this process has not tried the bad document yet");
    assert_eq!(bench.served(), ["Agency/a=1", "Agency/b=2"]);
    assert_eq!(bench.take(2, &revision), Taken::Unchanged);
}

#[test]
fn what_refers_to_a_bad_document_takes_its_own_new_value() {
    let mut bench = Bench::new();
    let system = |at: u32| document("System", "s", json!({"needs": "Agency/a", "at": at}));
    bench.take(1, &[agency("a", 1), system(1)]);
    bench.take(2, &[bad("a"), system(2)]);
    assert_eq!(bench.served(), ["Agency/a=1", "System/s=2"]);
}

#[test]
fn a_closed_document_never_falls_back_to_a_value_that_grants_more() {
    let mut bench = Bench::new();
    bench.take(1, &[document("Permission", "p", json!({"at": 1}))]);
    bench.take(2, &[document("Permission", "p", json!({"at": 2, "closed": true}))]);
    assert!(bench.served().is_empty());
}

#[test]
fn a_disabled_credential_never_comes_back_as_a_last_good_value() {
    let credential = |spec: Value| [document("Credential", "c", spec)];
    for state in [json!("disabled"), json!("suspended"), json!(7)] {
        let mut bench = Bench::new();
        bench.take(1, &credential(json!({"at": 1, "state": "active"})));
        bench.take(2, &credential(json!({"at": 2, "bad": true, "state": state})));
        assert!(bench.served().is_empty(), "{state}");
    }
    let mut bench = Bench::new();
    bench.take(1, &credential(json!({"at": 1, "state": "active"})));
    bench.take(2, &credential(json!({"at": 2, "bad": true, "state": "active"})));
    assert_eq!(bench.served(), ["Credential/c=1"]);
}

#[test]
fn a_permission_or_route_whose_new_value_cannot_be_read_grants_nothing() {
    for kind in ["Permission", "Route"] {
        let mut bench = Bench::new();
        bench.take(1, &[document(kind, "p", json!({"at": 1})), agency("a", 1)]);
        bench.take(2, &[document(kind, "p", json!({"at": 2, "bad": true})), agency("a", 2)]);
        assert_eq!(bench.served(), ["Agency/a=2"], "{kind}");
        let mut bench = bench.restarted();
        bench.take(2, &[document(kind, "p", json!({"at": 2, "bad": true})), agency("a", 2)]);
        assert_eq!(bench.served(), ["Agency/a=2"], "{kind}: nor after a restart");
    }
}

#[test]
fn what_served_is_never_put_back_by_its_own_mark_across_a_restart() {
    let mut bench = Bench::new();
    bench.take_marked(10, 3, &[agency("a", 3)]);
    bench.take_marked(10, 4, &[agency("a", 4)]);
    let mut bench = bench.restarted();
    for (since, revision) in [(10, 3), (9, 8)] {
        let taken = bench.take_marked(since, revision, &[agency("a", 3)]);
        assert!(matches!(taken, Taken::Rejected { rejection: Rejection::WentBack { .. }, .. }), "{taken:?}");
    }
    let taken = bench.take_marked(10, 4, &[agency("a", 5)]);
    assert!(matches!(taken, Taken::Rejected { rejection: Rejection::TwoContents { .. }, .. }), "{taken:?}");
    assert_eq!(bench.served(), ["Agency/a=4"]);
    assert_eq!(bench.take_marked(11, 4, &[agency("a", 6)]), Taken::Serves, "a restored database begins a new line");
}

#[test]
fn a_mark_that_is_added_to_what_serves_compiles_nothing_and_ends_the_notice() {
    let mut bench = Bench::new();
    bench.take(3, &[agency("a", 3)]);
    assert_eq!(bench.notices.list().len(), 1);
    assert_eq!(bench.take_marked(10, 3, &[agency("a", 3)]), Taken::Unchanged);
    assert_eq!((bench.compilations(), bench.notices.list().len()), (1, 0));
    let mut bench = bench.restarted();
    assert!(matches!(bench.take_marked(10, 2, &[agency("a", 2)]), Taken::Rejected { .. }), "the mark was kept");
}

#[test]
fn a_removed_document_is_gone_whatever_its_last_good_value() {
    let mut bench = Bench::new();
    bench.take(1, &[agency("a", 1), agency("b", 1)]);
    bench.take(2, &[bad("a"), agency("b", 1)]);
    bench.take(3, &[agency("b", 1)]);
    assert_eq!(bench.served(), ["Agency/b=1"]);
    assert_eq!(bench.state(), (NodeState::Applied, Some(3), Some(3)));
}

#[test]
fn equal_content_rebuilds_nothing() {
    let mut bench = Bench::new();
    let revision = [agency("a", 1), agency("b", 1)];
    bench.take(1, &revision);
    assert_eq!((bench.take(1, &revision), bench.compilations()), (Taken::Unchanged, 1));
    let mut bench = bench.restarted();
    assert_eq!((bench.take(1, &revision), bench.compilations()), (Taken::Unchanged, 1));
    assert_eq!(bench.state(), (NodeState::Applied, Some(1), Some(1)));
}

#[test]
fn a_refused_revision_leaves_what_serves_and_is_reported_until_a_good_one_comes() {
    let mut bench = Bench::new();
    let many: Vec<Document> = (0..30).map(|at| agency(&format!("a-{at:02}"), 1)).collect();
    bench.take(5, &many);
    assert!(matches!(bench.take(6, &many[..3]), Taken::Rejected { news: true, .. }));
    assert!(matches!(bench.take(6, &many[..3]), Taken::Rejected { news: false, .. }));
    assert!(matches!(bench.take(4, &many), Taken::Rejected { .. }), "an older revision");
    assert_eq!((bench.served().len(), bench.compilations()), (30, 1));
    assert_eq!(bench.state(), (NodeState::Rejected, Some(4), Some(5)));
    assert!(bench.health.report().errors[0].message.contains("allow_older"));
    assert_eq!(bench.take(7, &many[..20]), Taken::Serves);
    assert_eq!(bench.state(), (NodeState::Applied, Some(7), Some(7)));
}
