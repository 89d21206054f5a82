//! The node's status in etcd: what it serves, while it lives.

use lgsp_shared::keyspace::{NodeState, NodeStatus, node_key};
use lgsp_testkit::etcd::Etcd;
use lgsp_testkit::eventually::{eventually, eventually_some};

use super::*;

async fn status(etcd: &Etcd) -> Option<NodeStatus> {
    let mut client = etcd.client().await.unwrap();
    let answer = client.get(node_key(&"node-1".parse().unwrap()), None).await.ok()?;
    answer.kvs().first().map(|found| NodeStatus::parse(found.value()).unwrap())
}

async fn told(etcd: &Etcd, state: NodeState, active: u64) -> NodeStatus {
    let wanted = |status: &NodeStatus| status.state == state && status.active == Some(Revision(active));
    eventually_some(DEADLINE, "the status", async || status(etcd).await.filter(wanted)).await
}

#[tokio::test]
async fn it_is_written_when_it_changes_and_taken_away_at_the_end() {
    let (etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let node = Node::follow(&etcd, dir.path()).await;
    let mut publisher = Publisher::new(&etcd).await;
    publisher.publish(1, &agencies(30, 1)).await;
    let applied = told(&etcd, NodeState::Applied, 1).await;
    assert_eq!(applied.hash, Some(content_hash(&agencies(30, 1))));
    publisher.publish(2, &[]).await;
    let rejected = told(&etcd, NodeState::Rejected, 1).await;
    assert_eq!((rejected.desired, rejected.errors_total), (Some(Revision(2)), 1));
    node.stop().await;
    assert_eq!(status(&etcd).await, None);
}

#[tokio::test]
async fn it_outlives_its_lease_while_the_node_lives_and_comes_back_after_a_restored_etcd() {
    let (mut etcd, dir) = (Etcd::start().await.unwrap(), tempfile::tempdir().unwrap());
    let empty = etcd.snapshot("empty.db").unwrap();
    let node = Node::follow(&etcd, dir.path()).await;
    Publisher::new(&etcd).await.publish(1, &agencies(3, 1)).await;
    let _ = told(&etcd, NodeState::Applied, 1).await;
    etcd.restore(&empty).await.unwrap();
    let _ = told(&etcd, NodeState::Rejected, 1).await;
    assert!(node.first_error().contains("gone from etcd"), "{}", node.first_error());
    // A node that dies without a word is off the list when its lease has run out.
    drop(node);
    eventually(DEADLINE, "the lease runs out", async || status(&etcd).await.is_none()).await;
}
