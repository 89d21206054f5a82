//! `apply --wait` ends well when every node that reports serves the revision, and says which does not when one refuses
//! it or does not answer in time.

use std::time::Duration;

use lgsp_shared::bundle::ContentHash;
use lgsp_shared::id::Revision;
use lgsp_shared::keyspace::{NodeState, NodeStatus, StatusError, node_key};
use lgsp_shared::timestamp::UnixSeconds;
use lgsp_testkit::child::Signal;
use lgsp_testkit::eventually::eventually;

use crate::fleet::Fleet;
use crate::platform::agency;

/// Longer than a node's lease.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_ends_when_all_serve_and_names_those_that_refuse_or_are_late() {
    let fleet = Fleet::start("database: cp.db\n", 2).await;
    let apply = |title: &str, secs: &str| {
        fleet.platform.write("a.yaml", &agency("a", title));
        fleet.platform.run(&["apply", "-f", "a.yaml", &format!("--wait={secs}")])
    };
    let done = apply("A", "20");
    assert!(done.code == 0 && done.err.contains("revision 2 is published and serves on 2 nodes"), "{done:?}");
    assert_eq!(fleet.states(), ["synced", "synced"]);

    fleet.nodes[1].child.signal(Signal::Stop);
    let late = apply("B", "1");
    assert!(late.code == 5 && late.err.contains("revision 3 is made, but is not everywhere after 1 s"), "{late:?}");
    assert!(late.err.contains("node-1 is pending and serves 2"), "{late:?}");
    assert_eq!(fleet.states(), ["synced", "pending"]);
    eventually(DEADLINE, "its lease ends", async || fleet.states() == ["synced", "stale"]).await;
    let done = apply("C", "20");
    assert!(
        done.code == 0 && done.err.contains("serves on 1 node,") && done.err.contains("node-1 no longer reports"),
        "a node that is gone is not waited for: {done:?}"
    );
    fleet.nodes[1].child.signal(Signal::Continue);
    eventually(DEADLINE, "it catches up", async || fleet.states() == ["synced", "synced"]).await;

    // A node that refuses: its report is what a node writes.
    let refusing = NodeStatus {
        node: "node-9".parse().unwrap(),
        state: NodeState::Rejected,
        desired: Some(Revision(5)),
        active: Some(Revision(4)),
        hash: Some(ContentHash::from("x".to_owned())),
        errors: vec![StatusError::new("Agency/a", "spec.code", "is not one of this node's")],
        errors_total: 1,
        since: UnixSeconds(1),
        reported_at: UnixSeconds(1),
        version: "0.1.0".into(),
        admin: None,
        key_ids: Vec::new(),
        shadow: Vec::new(),
        notices: Vec::new(),
    };
    let mut etcd = fleet.etcd.client().await.unwrap();
    etcd.put(node_key(&refusing.node), refusing.to_json(), None).await.unwrap();
    let refused = apply("D", "20");
    assert!(refused.code == 3 && refused.err.contains("revision 5 is made, but a node refused it"), "{refused:?}");
    assert!(refused.err.contains("node-9 is rejected and serves 4"), "{refused:?}");
    let told = fleet.platform.ok(&["nodes"]);
    assert!(told.contains("Agency/a: spec.code: is not one of this node's"), "{told}");

    // One that serves it without some of its documents.
    let hash = fleet.platform.json(&["nodes"])["hash"].as_str().unwrap().to_owned().into();
    let degraded =
        NodeStatus { state: NodeState::Degraded, active: Some(Revision(5)), hash: Some(hash), ..refusing.clone() };
    etcd.put(node_key(&refusing.node), degraded.to_json(), None).await.unwrap();
    let done = apply("D", "20");
    assert!(done.code == 0 && done.err.contains("revision 5 is published and serves on 3 nodes"), "{done:?}");
    assert!(done.err.contains("1 node cannot use all of it"), "{done:?}");
}
